"""`streamsync tenants` about how a tenant logs in, and about credentials that the ERP refused."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.faults.world import World, tenants

(SHOP,) = tenants(1)


async def _run(world: World, *arguments: str, status: int = 0) -> str:
    process = world.start("tenants", *arguments)
    assert await process.exited(30) == status, process.output()
    return process.output()


async def test_an_import_sets_how_a_tenant_logs_in_and_keeps_refusals(world: World, tmp_path: Path) -> None:
    """The same file again, by a nightly job say, is no new credential: the ERP is not asked again. Another
    password is one; and an operator may say that the ERP was put right."""
    file = tmp_path / "tenants.csv"
    header = "tenant_id,name,base_url,username,password,auth_mode,app_name,licence_type\n"
    line = f"{SHOP},Shop,{world.simulator.base_url(SHOP)},{SHOP},%s,session,retag,api\n"
    file.write_text(header + line % "errada")
    await _run(world, "import", str(file))
    async with world.worker():
        for reason in ("erp_wrong_password", "erp_credential_refused"):
            await world.trigger("customers")
            await world.in_state(SHOP, "failed")
            assert (await world.job(SHOP))["error_class"] == reason
            await _run(world, "import", str(file))
        shown = orjson.loads(await _run(world, "show", SHOP, "--json"))
        assert (shown["auth_mode"], shown["app_name"], shown["licence_type"]) == ("session", "retag", "api")
        assert shown["credential_refused_at"] is not None
        assert SHOP in await _run(world, "clear-refusal", SHOP)
        assert "no such tenant: nobody" in await _run(world, "clear-refusal", "nobody", status=2)
        await world.trigger("customers")
        await world.in_state(SHOP, "failed")
        assert (await world.job(SHOP))["error_class"] == "erp_wrong_password"
        file.write_text(header + line % world.population.password_of(SHOP))
        await _run(world, "import", str(file))
        await world.trigger("customers")
        await world.in_state(SHOP, "succeeded")
    assert len([e for e in world.simulator.admin.requests(SHOP) if e.status == 401]) == 2


async def test_what_cannot_be_sent_is_refused_at_once(world: World, tmp_path: Path) -> None:
    """A password with a slash in session mode, an unknown mode, a header of two lines: told by line and column."""
    file = tmp_path / "tenants.csv"
    for columns, values, told in (
        ("auth_mode", "ntlm", "auth_mode"),
        ("auth_mode,app_name", "basic,caf\u00e9", "app_name"),
        ("auth_mode", "session", "'/'"),
    ):
        file.write_text(f"tenant_id,name,base_url,username,password,{columns}\na,A,http://x,u,p/w,{values}\n")
        assert told in await _run(world, "import", str(file), status=2)
    assert await world.sql("SELECT * FROM tenant") == []
