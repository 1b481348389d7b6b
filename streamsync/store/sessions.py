"""Sessions that are open at ERPs: kept, encrypted, so that whoever uses the credential next can close them."""

from __future__ import annotations

from dataclasses import dataclass

from streamsync.errors import LostLock
from streamsync.store.credentials import CredentialBox
from streamsync.store.ledger import Admitted
from streamsync.store.pool import Database
from streamsync.store.queries import query


@dataclass(slots=True)
class ErpSessions:
    """The row of one job's credential in `erp_session`; an `erp.connector.SessionStore`."""

    database: Database
    box: CredentialBox
    job: Admitted
    _sealed: bytes | None = None

    async def stored(self) -> tuple[str, str] | None:
        """(base URL, session id) that the credential's last user left open, if it can still be read."""
        rows = await self.database.fetch(
            query("sessions", "stored_session"), {"credential_id": self.job.credential_id}
        )
        if not rows:
            return None
        self._sealed = bytes(rows[0]["session"])
        session = self.box.open_session(self.job.credential_id, self._sealed)
        if session is None:
            await self.forget()
            return None
        return rows[0]["base_url"], session

    async def store(self, session: str) -> None:
        """Remember a session before its first use. Raises LostLock where this claim no longer stands."""
        sealed = self.box.seal_session(self.job.credential_id, session)
        # First: if it is not stored, or its answer is lost, `forget` means this session and no other.
        self._sealed = sealed
        rows = await self.database.fetch(
            query("sessions", "store_session"),
            {
                "credential_id": self.job.credential_id,
                "base_url": self.job.base_url,
                "session": sealed,
                "job_id": self.job.job_id,
                "fence": self.job.fence,
            },
        )
        if not rows:
            raise LostLock("a newer claim of this tenant exists")

    async def forget(self) -> None:
        """The session that was last stored, or found, is closed. A newer one of the credential stays."""
        if self._sealed is not None:
            await self.database.fetch(
                query("sessions", "forget_session"),
                {"credential_id": self.job.credential_id, "session": self._sealed},
            )
            self._sealed = None
