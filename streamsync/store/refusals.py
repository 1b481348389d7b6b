"""Credentials that an ERP refused: marked, so that nobody locks the ERP's user out by trying again.

What is marked is exactly the refused user and password, wherever it stands: tenants that share the user and have
been given another password meanwhile go on. Times could not tell the two apart, so the credentials are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamsync.errors import ConfigurationError
from streamsync.store.credentials import Credential, CredentialBox
from streamsync.store.ledger import Admitted
from streamsync.store.pool import Database
from streamsync.store.queries import query
from streamsync.store.sqlstate import retry_conflicts

#: The error class that marks.
WRONG_PASSWORD: Final = "erp_wrong_password"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Refusals:
    """The mark `credential_refused_at` of tenants; `Tenants.clear_refusals` and a new credential take it away."""

    database: Database
    box: CredentialBox

    async def mark(self, job: Admitted) -> int:
        """The ERP refused this job's credential; how many tenants that mark concerns. Raises StoreUnavailable."""
        refused = self.box.open(job.tenant_id, job.credential)
        rows = await self.database.fetch(
            query("tenants", "credentials_alike"),
            {"tenant_id": job.tenant_id, "credential_id": job.credential_id},
        )
        same: list[tuple[str, bytes]] = []
        for row in rows:
            sealed = bytes(row["credential"])
            try:
                if _alike(self.box.open(row["tenant_id"], sealed)) == _alike(refused):
                    same.append((row["tenant_id"], sealed))
            except ConfigurationError:
                continue  # its jobs fail for want of a key before they ask anything
        parameters = {
            "tenant_ids": [tenant_id for tenant_id, _ in same], "sealed": [sealed for _, sealed in same],
        }  # fmt: skip
        marked = await retry_conflicts(
            lambda: self.database.fetch(query("tenants", "mark_refused"), parameters)
        )
        return len(marked)


def _alike(credential: Credential) -> tuple[str, str]:
    """Users are one without regard to case, as in `credential_identity`."""
    return credential.username.strip().casefold(), credential.password
