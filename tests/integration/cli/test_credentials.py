"""`streamsync credentials rotate`: from an old key to a new one, while others work."""

from __future__ import annotations

import asyncio

import pytest

from streamsync.errors import ConfigurationError
from streamsync.store import tenant_credentials
from streamsync.store.credentials import Credential, CredentialBox, generate_key
from streamsync.store.pool import Database
from streamsync.store.tenant_credentials import Credentials
from tests.integration.cli.conftest import Operator

SHOPS = [f"shop-{number}" for number in range(5)]


def test_from_the_old_key_to_the_new_one(operator: Operator, key: str) -> None:
    """New key in front, rotate, check, old key away: every credential is what it was."""
    operator.add(*SHOPS)
    new = generate_key()
    operator.keys(new, key)
    before = {shop: operator.sealed(shop) for shop in SHOPS}
    check = operator.run("credentials", "rotate", "--check", status=1)
    assert "still sealed with older keys: 5" in check.stdout
    assert "run `streamsync credentials rotate`" in check.stderr
    assert {shop: operator.sealed(shop) for shop in SHOPS} == before, "--check changes nothing"
    rotated = operator.run("credentials", "rotate")
    assert "sealed anew with the first key: 5" in rotated.output
    check = operator.run("credentials", "rotate", "--check")
    assert "sealed with the first key before: 5" in check.output
    assert "still sealed with older keys: 0" in check.output
    operator.keys(new)
    assert {shop: operator.credential(shop, new) for shop in SHOPS} == {
        shop: Credential(shop, "first") for shop in SHOPS
    }
    assert "first" not in rotated.output.replace("first key", "")
    assert new not in rotated.output


def test_a_second_run_changes_nothing(operator: Operator, key: str) -> None:
    """What is sealed with the first key is passed over, so an interrupted run is simply run again."""
    operator.add(*SHOPS)
    operator.keys(generate_key(), key)
    operator.rows("UPDATE tenant SET updated_at = 'epoch'")
    operator.run("credentials", "rotate")
    after = {shop: operator.sealed(shop) for shop in SHOPS}
    result = operator.run("credentials", "rotate")
    assert "sealed anew with the first key: 0" in result.output
    assert "sealed with the first key before: 5" in result.output
    assert {shop: operator.sealed(shop) for shop in SHOPS} == after
    # The row's time moves with the seal: "the credential sealed last" is what a worker tries its keys on.
    assert operator.rows("SELECT 1 FROM tenant WHERE updated_at = 'epoch'") == []


def test_a_wrong_key_is_refused(operator: Operator, key: str) -> None:
    """Without the old key nothing opens: told, with status 2, and nothing is written."""
    operator.add(*SHOPS)
    before = {shop: operator.sealed(shop) for shop in SHOPS}
    operator.keys(generate_key(), generate_key())
    for arguments in (("--check",), ()):
        result = operator.run("credentials", "rotate", *arguments, status=2)
        assert "open with none of the keys: 5 (shop-0, shop-1, shop-2 …)" in result.stderr
        assert "STREAMSYNC_CREDENTIAL_KEYS" in result.stderr
    assert {shop: operator.sealed(shop) for shop in SHOPS} == before
    assert operator.credential("shop-0", key).password == "first"


def test_one_that_cannot_be_read_does_not_keep_the_others(operator: Operator, key: str) -> None:
    """The rest is rotated, and the one is named."""
    operator.add(*SHOPS)
    operator.rows("UPDATE tenant SET credential = 'x' WHERE tenant_id = 'shop-2'")
    new = generate_key()
    operator.keys(new, key)
    result = operator.run("credentials", "rotate", status=2)
    assert "sealed anew with the first key: 4" in result.stdout
    assert "open with none of the keys: 1 (shop-2)" in result.stderr
    assert operator.credential("shop-4", new).username == "shop-4"


def test_a_row_copied_from_another_tenant_is_not_made_good(operator: Operator, key: str) -> None:
    """Rotation opens as a worker would: a credential of another tenant stays what it is."""
    operator.add(*SHOPS)
    operator.rows(
        "UPDATE tenant SET credential = (SELECT credential FROM tenant WHERE tenant_id = 'shop-1')"
        " WHERE tenant_id = 'shop-2'"
    )
    before = operator.sealed("shop-2")
    operator.keys(generate_key(), key)
    operator.run("credentials", "rotate", status=2)
    assert operator.sealed("shop-2") == before


def test_without_keys_or_tenants(operator: Operator) -> None:
    """No tenants: nothing to do. No keys: told what to set."""
    assert "sealed anew with the first key: 0" in operator.run("credentials", "rotate").output
    (operator.folder / "keys").unlink()
    assert "STREAMSYNC_CREDENTIAL_KEYS" in operator.run("credentials", "rotate", status=2).stderr


@pytest.mark.parametrize("page", [1, 2, 5, 100])
async def test_all_pages(operator: Operator, key: str, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenant once, also where the last page is full."""
    monkeypatch.setattr(tenant_credentials, "_PAGE", page)
    await asyncio.to_thread(operator.add, *SHOPS)
    async with Database(operator.database_url) as database:
        box = CredentialBox([generate_key(), key])
        done = await Credentials(database, box).rotate()
        assert (done.resealed, done.current, done.outdated, done.unreadable) == (5, 0, 0, 0)
        done = await Credentials(database, box).rotate(only_check=True)
        assert (done.resealed, done.current, done.outdated, done.unreadable) == (0, 5, 0, 0)


class _Interfering(CredentialBox):
    """Lets somebody set another password between what a rotation reads and what it writes."""

    def __init__(self, keys: list[str], operator: Operator, other: CredentialBox) -> None:
        super().__init__(keys)
        self._operator = operator
        self._other = other

    def reseal(self, tenant_id: str, sealed: bytes) -> bytes:
        if tenant_id == SHOPS[1]:
            self._operator.rows(
                "UPDATE tenant SET credential = %s WHERE tenant_id = %s",
                [self._other.seal(tenant_id, Credential("u", "set meanwhile")), tenant_id],
            )
        elif tenant_id == SHOPS[2]:
            self._operator.rows("DELETE FROM tenant WHERE tenant_id = %s", [tenant_id])
        return super().reseal(tenant_id, sealed)


@pytest.mark.parametrize("with_old_key", [True, False])
async def test_a_credential_set_meanwhile_stays(operator: Operator, key: str, *, with_old_key: bool) -> None:
    """Compare and set: the newer password wins, and where it was sealed with the old key that is counted."""
    await asyncio.to_thread(operator.add, *SHOPS)
    new = generate_key()
    other = CredentialBox([key] if with_old_key else [new])
    async with Database(operator.database_url) as database:
        box = _Interfering([new, key], operator, other)
        done = await Credentials(database, box).rotate()
    assert (done.resealed, done.current, done.outdated) == (3, int(not with_old_key), int(with_old_key))
    assert operator.credential(SHOPS[1], new, key) == Credential("u", "set meanwhile")


async def test_two_who_set_a_password_at_once(operator: Operator, key: str) -> None:
    """One of the passwords, and a user that somebody gave: never the user of before with one's own password."""
    await asyncio.to_thread(operator.add, *SHOPS[:1])
    async with Database(operator.database_url) as database:
        credentials = Credentials(database, CredentialBox([key]))
        for round_ in range(20):
            done = await asyncio.gather(
                credentials.set(SHOPS[0], None, "kept"), credentials.set(SHOPS[0], f"user-{round_}", "given")
            )
            assert all(done)
            assert operator.credential(SHOPS[0], key) in (
                Credential(f"user-{round_}", "kept"), Credential(f"user-{round_}", "given"),
            )  # fmt: skip


class _Contested(CredentialBox):
    """Others set a password before anything that was sealed here is written."""

    def __init__(self, key: str, operator: Operator) -> None:
        super().__init__([key])
        self._operator = operator

    def seal(self, tenant_id: str, credential: Credential) -> bytes:
        theirs = super().seal(tenant_id, Credential("theirs", "theirs"))
        self._operator.rows("UPDATE tenant SET credential = %s", [theirs])
        return super().seal(tenant_id, credential)


async def test_a_credential_that_others_keep_changing(operator: Operator, key: str) -> None:
    """It ends, says so, and theirs is what stays."""
    await asyncio.to_thread(operator.add, *SHOPS[:1])
    async with Database(operator.database_url) as database:
        with pytest.raises(ConfigurationError, match="being changed by others"):
            await Credentials(database, _Contested(key, operator)).set(SHOPS[0], None, "x")
    assert operator.credential(SHOPS[0], key) == Credential("theirs", "theirs")
