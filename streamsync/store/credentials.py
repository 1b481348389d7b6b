"""Seals ERP credentials for the `tenant` row. Fernet: authenticated encryption with rotating keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from streamsync.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Credential:
    """A user of an ERP. The password never shows in a repr."""

    username: str
    password: str = field(repr=False)


class CredentialBox:
    """Seals with the first key, opens with any: a new key is put in front, the old one kept until rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._first = Fernet(keys[0])
        self._box = MultiFernet([Fernet(key) for key in keys])

    def seal(self, tenant_id: str, credential: Credential) -> bytes:
        """Encrypt a credential for one tenant; it opens for no other."""
        document = {"t": tenant_id, "u": credential.username, "p": credential.password}
        return self._box.encrypt(orjson.dumps(document))

    def open(self, tenant_id: str, sealed: bytes) -> Credential:
        """Decrypt. Raises ConfigurationError if no key fits or it was sealed for another tenant."""
        try:
            document = orjson.loads(self._box.decrypt(sealed))
        except InvalidToken as error:
            raise ConfigurationError(
                f"the credential of tenant {tenant_id} opens with none of the keys: "
                "STREAMSYNC_CREDENTIAL_KEYS lacks the key it was sealed with"
            ) from error
        if document["t"] != tenant_id:
            raise ConfigurationError(
                f"the credential in the row of tenant {tenant_id} belongs to another tenant"
            )
        return Credential(document["u"], document["p"])

    def is_current(self, sealed: bytes) -> bool:
        """Whether the first key sealed it, so that the others are not needed for it."""
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def reseal(self, tenant_id: str, sealed: bytes) -> bytes:
        """The same document, sealed with the first key. Raises ConfigurationError as `open` does."""
        self.open(tenant_id, sealed)
        return self._box.rotate(sealed)

    def seal_session(self, credential_id: str, session: str) -> bytes:
        """Encrypt the id of an ERP session; it opens for no other credential."""
        return self._box.encrypt(orjson.dumps({"c": credential_id, "s": session}))

    def open_session(self, credential_id: str, sealed: bytes) -> str | None:
        """Decrypt; None where no key fits any more: then only its expiry at the ERP ends that session."""
        try:
            document = orjson.loads(self._box.decrypt(sealed))
        except InvalidToken:
            return None
        return str(document["s"]) if document.get("c") == credential_id else None


def credential_identity(base_url: str, username: str) -> str:
    """Which user of which server: tenants that share it must not use it at once.

    A hash of host, port and user, because it travels in Redis keys, where no name belongs; the user without
    regard to case, as the ERP takes it. It is not keyed: keys rotate, and the same user must stay the same.
    """
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    text = f"{(parts.hostname or '').rstrip('.')}:{port}\n{username.strip().casefold()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def generate_key() -> str:
    """A new random key for STREAMSYNC_CREDENTIAL_KEYS."""
    return Fernet.generate_key().decode()
