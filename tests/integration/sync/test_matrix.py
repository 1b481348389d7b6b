"""Each way in which servers differ or fail, against both ways of reading: the tables end up as the truth has them,
or the job ends with the class of error that says why, and what was stored before is still there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from streamsync.errors import SyncError
from streamsync.jobs import KINDS
from streamsync.simulator.data import Population
from streamsync.simulator.switches import Switches
from tests.integration.sync.conftest import SHOP, Shop

ENTITIES = [entity for kind in KINDS.values() for entity in kind]


@dataclass(frozen=True)
class Case:
    """A server's switches, a shop's columns, the settings of the worker, and the class of error expected."""

    name: str
    switches: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    tenant: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def __str__(self) -> str:
        return self.name


def switch(name: str, value: Any = True, **more: Any) -> Case:
    """One switch."""
    return Case(name if value is True else f"{name}={value}", {name: value}, **more)


def fault(kind: str, error: str) -> Case:
    """One fault that meets every request."""
    return Case(f"fault {kind}", fault=kind, error=error, settings={"erp_read_timeout_seconds": 0.3})


#: Servers that differ, and the rows do not.
DIFFERENT = [
    Case("a well-behaved server"),
    switch("exclusive"),
    switch("top_max", 25, settings={"erp_page_size": 100}),
    switch("honour_skip"),
    switch("count_total"),
    switch("no_trans_id", tenant={"cursor_mode": "date"}),
    Case("dates though there is a trans_id", tenant={"cursor_mode": "date"}),
    switch("branch_trans_id"),
    switch("unordered"),
    switch("repeat_rows", 3),
    switch("duplicate_rate", 0.2),
    switch("tombstones"),
    *(switch("dates", value) for value in ("iso", "iso-seconds", "iso-naive")),
    *(switch("keys", value) for value in ("upper", "mixed")),
    switch("raw_control"),
    switch("latin1"),
    switch("dirt", False),
    *(switch("envelope", value) for value in ("values", "data", "array", "string")),
    *(switch("empty", value) for value in ("object", "nothing", "null")),
    *(switch("single", value) for value in ("nested", "all")),
    *(switch("preco1", value) for value in ("zero", "null")),
    switch("old_branch_names"),
    switch("extra_field", "novo_campo"),
    switch("delay_per_row", 0.0002),
    switch("auth", "basic"),
]

#: Servers that cannot be read, and what is said then.
BROKEN = [
    switch("stuck_at", 20, error="erp_cursor_stuck"),
    Case(
        "stuck_at with a maximum of its own", {"stuck_at": 20, "top_max": 25},
        settings={"erp_page_size": 25}, error="erp_cursor_stuck",
    ),
    switch("xml", "always", error="erp_not_json"),
    switch("unknown_parameter", "trans_id", error="erp_unknown_parameter"),
    switch("no_trans_id", error="erp_unknown_parameter"),
    switch("auth", "ntlm-off", error="erp_unauthorized"),
    fault("500", "erp_server_error"),
    fault("503", "erp_server_error"),
    fault("429", "erp_throttled"),
    fault("timeout", "erp_timeout"),
    fault("html", "erp_garbage"),
    fault("truncated", "erp_garbage"),
    fault("cut", "erp_connection"),
    fault("reset", "erp_connection"),
    fault("password", "erp_wrong_password"),
    *(
        Case(f"error_body={body}", {"error_body": body}, fault="500", error="erp_server_error")
        for body in ("string", "plain", "html", "empty")
    ),
]  # fmt: skip


@pytest.fixture
def simulator_population() -> Population:
    """Storefronts and branches, shared trans_ids."""
    return Population(
        seed=11, customers_per_tenant=40, products_per_tenant=10, fixed_sizes=True, vitrines=2, branches=1,
        shared_trans_id_rate=0.3,
    )  # fmt: skip


async def prepare(shop: Shop, case: Case) -> None:
    """The server and the shop as the case has them."""
    for name, value in case.switches.items():
        shop.simulator.admin.switch(SHOP, **{name: value})
    for column, value in case.tenant.items():
        async with shop.database.connection() as connection:
            await connection.execute(f"UPDATE tenant SET {column} = %(value)s".encode(), {"value": value})


async def read(shop: Shop, case: Case, *, full: bool = False) -> list[dict[str, Any]]:
    """Both kinds of jobs; gives their rows of the ledger."""
    settings = {"erp_page_size": 20, "commit_max_rows": 50, **case.settings}
    return [await shop.sync(kind, full=full, **settings) for kind in KINDS]


def happen(shop: Shop, *, deletes: bool) -> None:
    """What happens in a shop between two nights."""
    world = shop.simulator.admin.world
    for entity in ENTITIES:
        world.change(SHOP, entity, share=0.2)
        if entity != "branches":
            world.insert(SHOP, entity, 3)
    world.delete_nested(SHOP, "customers", 5)
    world.delete_nested(SHOP, "products", 5)
    if deletes:
        for entity in ENTITIES:
            if entity != "branches":  # of so few one is more than the threshold
                world.delete(SHOP, entity, 1 if entity == "products" else 5)


def nothing_written(jobs: list[dict[str, Any]]) -> None:
    """What has not changed is not written."""
    for job in jobs:
        assert (job["rows_inserted"], job["rows_updated"], job["rows_deleted"]) == (0, 0, 0)


@pytest.mark.parametrize("case", DIFFERENT, ids=str)
async def test_incremental_then_full(shop: Shop, case: Case) -> None:
    """From nothing, then what has changed: the truth. A full read marks what has vanished, and nothing else."""
    await prepare(shop, case)
    await read(shop, case)
    await shop.check()
    happen(shop, deletes=False)
    await read(shop, case)
    await shop.check()
    nothing_written(await read(shop, case))

    happen(shop, deletes=True)
    gone = await shop.vanished()
    jobs = await read(shop, case, full=True)
    await shop.check()
    assert sum(job["deletions_withheld"] for job in jobs) == 0
    assert sum(job["rows_deleted"] for job in jobs) == gone > 0
    nothing_written(await read(shop, case, full=True))
    await shop.check()


@pytest.mark.parametrize("full", [False, True])
async def test_rows_that_change_while_they_are_read(shop: Shop, full: bool) -> None:
    """Whatever moves under the read: once it is quiet, an incremental read brings the rest."""
    case = Case("change_rate", {"change_rate": 0.3, "change_cap": 40})
    await read(shop, case)
    await prepare(shop, case)
    happen(shop, deletes=full)
    await read(shop, case, full=full)
    shop.simulator.admin.switch(SHOP, change_rate=0.0)
    await read(shop, case)
    if full:  # deletions that the unquiet read could not be sure of
        await read(shop, case, full=True)
    await shop.check()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("case", BROKEN, ids=str)
async def test_broken(shop: Shop, case: Case, full: bool) -> None:
    """The error is told by its class, and nothing that was stored is lost."""
    await read(shop, Case("before"))
    before = await shop.stored()
    await prepare(shop, case)
    if case.fault is not None:
        shop.simulator.admin.fault(case.fault)
    with pytest.raises(SyncError) as caught:
        await read(shop, case, full=full)
    assert caught.value.error_class == case.error
    assert await shop.stored() == before


@pytest.mark.parametrize("full", [False, True])
async def test_an_erp_restored_from_a_backup(shop: Shop, full: bool) -> None:
    """Its trans_ids go back. An incremental read leaves newer rows alone; a full one believes the ERP."""
    case = Case("restored")
    shop.simulator.admin.world.snapshot(SHOP)
    await read(shop, case)
    happen(shop, deletes=False)
    await read(shop, case)
    shop.simulator.admin.world.restore(SHOP)
    await read(shop, case, full=full)
    if full:
        await shop.check()
    else:
        with pytest.raises(AssertionError):
            await shop.check()
        await read(shop, case, full=True)
        await shop.check()
    happen(shop, deletes=False)
    await read(shop, case)
    await shop.check()


def test_every_switch_is_in_the_matrix_or_tested_elsewhere() -> None:
    """A new switch has to be put somewhere."""
    elsewhere = {
        # tests of sessions and credentials
        "session_limit", "session_ttl", "session_requests", "basic_needs_licence", "lock_after",
        # above
        "change_rate", "change_cap",
        "delay",  # latency alone: test_http.py
    }  # fmt: skip
    here = {name for case in DIFFERENT + BROKEN for name in case.switches}
    assert here | elsewhere == set(Switches.__dataclass_fields__)
