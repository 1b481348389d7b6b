"""Changing sealed credentials in their rows: another password, another key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from streamsync.errors import ConfigurationError
from streamsync.store.credentials import Credential, CredentialBox, credential_identity
from streamsync.store.pool import Database
from streamsync.store.queries import query

#: Credentials read at once.
_PAGE: Final = 500

#: How often a credential that others keep changing is read again.
_TRIES: Final = 5


@dataclass(slots=True)
class Rotation:
    """What a rotation found and did, in numbers of tenants."""

    resealed: int = 0
    #: Sealed with the first key already, or by somebody else meanwhile.
    current: int = 0
    #: Sealed with one of the other keys; of a rotation, those that could not be written.
    outdated: int = 0
    #: None of the keys opens them; the ids, at most the first few.
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)


class Credentials:
    """The credentials in the `tenant` table, with the keys that open them."""

    def __init__(self, database: Database, box: CredentialBox) -> None:
        self._database = database
        self._box = box

    async def set(self, tenant_id: str, username: str | None, password: str) -> bool:
        """Seal and store a credential; without `username` the present one stays. False: no such tenant.

        Raises ConfigurationError where the present user is needed and none of the keys opens it.
        """
        for _ in range(_TRIES):
            found = await self._read(tenant_id)
            if found is None:
                return False
            before, base_url = found
            user = self._present_user(tenant_id, before) if username is None else username
            sealed = self._box.seal(tenant_id, Credential(user, password))
            parameters = {
                "tenant_id": tenant_id, "sealed": sealed, "credential_id": credential_identity(base_url, user),
                "base_url": base_url, "before": before if username is None else None,
            }  # fmt: skip
            if await self._database.fetch(query("tenants", "set_credential"), parameters):
                return True
        raise ConfigurationError(
            f"the credential of tenant {tenant_id} is being changed by others: try again"
        )

    async def rotate(self, *, only_check: bool = False) -> Rotation:
        """Seal every credential with the first key that is not yet.

        Each is a transaction of its own, and written only over what was read: a credential set meanwhile
        stays. A run that was interrupted is repeated; what is done is passed over.
        """
        rotation = Rotation()
        async for tenant_id, sealed in self._all():
            if self._box.is_current(sealed):
                rotation.current += 1
                continue
            try:
                new = self._box.reseal(tenant_id, sealed)
            except ConfigurationError:  # the caller tells of all of them at the end
                rotation.unreadable += 1
                rotation.examples = [*rotation.examples, tenant_id][:3]
                continue
            if only_check:
                rotation.outdated += 1
            elif await self._replace(tenant_id, new, sealed):
                rotation.resealed += 1
            else:
                await self._look_again(tenant_id, rotation)
        return rotation

    async def _look_again(self, tenant_id: str, rotation: Rotation) -> None:
        """Somebody set another credential, perhaps with old keys still, or removed the tenant."""
        found = await self._read(tenant_id)
        if found is not None:
            rotation.current += self._box.is_current(found[0])
            rotation.outdated += not self._box.is_current(found[0])

    def _present_user(self, tenant_id: str, sealed: bytes) -> str:
        try:
            return self._box.open(tenant_id, sealed).username
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}; or give the user, too, with --username") from error

    async def _all(self) -> AsyncIterator[tuple[str, bytes]]:
        after = ""
        while True:
            rows = await self._database.fetch(
                query("tenants", "credentials_by_tenant"), {"after": after, "limit": _PAGE}
            )
            for row in rows:
                yield row["tenant_id"], bytes(row["credential"])
            if len(rows) < _PAGE:
                return
            after = rows[-1]["tenant_id"]

    async def _read(self, tenant_id: str) -> tuple[bytes, str] | None:
        """(sealed credential, base URL)."""
        rows = await self._database.fetch(query("tenants", "sealed_credential"), {"tenant_id": tenant_id})
        return (bytes(rows[0]["credential"]), rows[0]["base_url"]) if rows else None

    async def _replace(self, tenant_id: str, sealed: bytes, before: bytes) -> bool:
        parameters = {"tenant_id": tenant_id, "sealed": sealed, "before": before}
        return bool(await self._database.fetch(query("tenants", "reseal_credential"), parameters))
