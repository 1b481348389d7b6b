"""Which credential a job uses, which was refused, and which session is open with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamsync.errors import LostLock
from streamsync.store.credentials import Credential, CredentialBox, credential_identity, generate_key
from streamsync.store.pool import Database
from streamsync.store.refusals import Refusals
from streamsync.store.sessions import ErpSessions
from streamsync.store.tenants import NewTenant, Tenants
from tests.integration.store.helpers import add_job, admit, one

URL = "http://erp.example.invalid:6017"
BOX = CredentialBox([generate_key()])


def shop(tenant_id: str, user: str = "u", password: str = "p", *, box: CredentialBox = BOX) -> NewTenant:
    sealed = box.seal(tenant_id, Credential(user, password))
    return NewTenant(tenant_id, tenant_id, URL, sealed, credential_id=credential_identity(URL, user))


async def refused(database: Database) -> list[str]:
    """The tenants that are marked."""
    rows = await database.fetch(
        "SELECT tenant_id FROM tenant WHERE credential_refused_at IS NOT NULL ORDER BY tenant_id"
    )
    return [row["tenant_id"] for row in rows]


async def test_the_claim_says_which_credential(database: Database) -> None:
    """Tenants that share a user share its identity; one that has none of its own stands for itself."""
    await Tenants(database).put(
        [shop("a"), shop("b"), NewTenant("c", "c", URL, b"x", app_name="retag", licence_type="api")],
        replace=False,
    )
    claims = [await admit(database, await add_job(database, tenant_id)) for tenant_id in "abc"]
    assert claims[0].credential_id == claims[1].credential_id == credential_identity(URL, "u")
    assert claims[2].credential_id == "tenant:c"
    assert (claims[2].app_name, claims[2].licence_type) == ("retag", "api")
    assert [claim.credential_refused for claim in claims] == [False] * 3


async def test_exactly_the_refused_password_is_marked(database: Database) -> None:
    """Of those that share the user: not who has another password, another user, or an unreadable credential."""
    other_box = CredentialBox([generate_key()])
    await Tenants(database).put(
        [
            shop("a"),
            shop("b", user="U"),
            shop("c", password="new"),
            shop("d", user="v"),
            shop("e", box=other_box),
        ],
        replace=False,
    )
    claim = await admit(database, await add_job(database, "a"))
    assert await Refusals(database, BOX).mark(claim) == 2
    assert await refused(database) == ["a", "b"]
    assert (await admit(database, await add_job(database, "b"))).credential_refused
    assert await Refusals(database, BOX).mark(claim) == 0  # again, after a lost answer: nothing more


async def test_a_credential_set_while_the_old_one_was_tried_is_not_marked(database: Database) -> None:
    """The refusal is of what the job was given, not of what stands there now; not even the same text again."""
    tenants = Tenants(database)
    await tenants.put([shop("a"), shop("b")], replace=False)
    claim = await admit(database, await add_job(database, "a"))
    await tenants.put([shop("a", password="new")], replace=True)
    assert await Refusals(database, BOX).mark(claim) == 1
    assert await refused(database) == ["b"]


async def test_only_a_new_credential_or_an_operator_takes_a_mark_away(database: Database) -> None:
    """The same bytes again, as an import of the same file writes them, do not; other fields may change."""
    tenants = Tenants(database)
    first = shop("a")
    await tenants.put([first], replace=False)
    claim = await admit(database, await add_job(database, "a"))
    await Refusals(database, BOX).mark(claim)
    set_at = await one(database, "SELECT credential_set_at AS at FROM tenant")
    await tenants.put([replace(first, name="renamed")], replace=True)
    assert await refused(database) == ["a"]
    assert await one(database, "SELECT credential_set_at AS at FROM tenant") == set_at
    assert (await tenants.show("a") or {})["credential_refused_at"] is not None
    assert await tenants.clear_refusals(["a", "nobody"]) == {"a"}
    assert await refused(database) == []
    await Refusals(database, BOX).mark(claim)
    await tenants.put([shop("a")], replace=True)
    assert await refused(database) == []
    assert await one(database, "SELECT credential_set_at AS at FROM tenant") != set_at


async def test_a_session_is_kept_sealed_and_found_by_the_next_user(database: Database) -> None:
    """Another tenant of the same user finds it; forgetting takes exactly that one away."""
    await Tenants(database).put([shop("a"), shop("b")], replace=False)
    mine = ErpSessions(database, BOX, await admit(database, await add_job(database, "a")))
    other = ErpSessions(database, BOX, await admit(database, await add_job(database, "b")))
    assert await other.stored() is None
    await mine.store("{GUID-1}")
    row = await one(database, "SELECT * FROM erp_session")
    assert b"GUID" not in bytes(row["session"])
    assert (row["tenant_id"], row["base_url"]) == ("a", URL)
    assert await other.stored() == (URL, "{GUID-1}")
    await other.store("{GUID-2}")
    await mine.forget()  # the woken worker's, which is not there any more
    assert (await one(database, "SELECT tenant_id FROM erp_session"))["tenant_id"] == "b"
    await other.forget()
    assert await database.fetch("SELECT * FROM erp_session") == []


async def test_a_claim_that_no_longer_stands_keeps_no_session(database: Database) -> None:
    """LostLock, and the row of the newer claim stays as it is."""
    await Tenants(database).put([shop("a")], replace=False)
    job = await add_job(database, "a")
    old = ErpSessions(database, BOX, await admit(database, job))
    new = ErpSessions(database, BOX, await admit(database, job, worker="rescuer"))
    await new.store("{NEW}")
    with pytest.raises(LostLock):
        await old.store("{OLD}")
    assert await old.stored() == (URL, "{NEW}")


async def test_a_session_that_no_key_opens_is_forgotten(database: Database) -> None:
    """The key is gone: nobody can close it, so it must not stay in the way."""
    await Tenants(database).put([shop("a")], replace=False)
    claim = await admit(database, await add_job(database, "a"))
    await ErpSessions(database, BOX, claim).store("{GUID}")
    assert await ErpSessions(database, CredentialBox([generate_key()]), claim).stored() is None
    assert await database.fetch("SELECT * FROM erp_session") == []
