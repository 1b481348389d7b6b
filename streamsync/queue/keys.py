"""The only place that spells a Redis key. `lua/KEYS.md` is the dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The consumer group that all workers share.
GROUP: Final = b"workers"


@dataclass(frozen=True, slots=True)
class PartitionKeys:
    """Keys of one partition. They share a hash tag, so that every script is cluster-safe."""

    queue: str
    partition: int

    def _key(self, suffix: str) -> bytes:
        return f"streamsync:{{{self.queue}:{self.partition}}}:{suffix}".encode()

    @property
    def delayed(self) -> bytes:
        return self._key("delayed")

    @property
    def stream(self) -> bytes:
        return self._key("stream")

    @property
    def urgent(self) -> bytes:
        return self._key("urgent")

    @property
    def dead(self) -> bytes:
        return self._key("dead")

    @property
    def wake(self) -> bytes:
        return self._key("wake")

    def lock(self, tenant_id: str) -> bytes:
        return self._key(f"lock:{tenant_id}")


def credential_key(queue: str, credential_id: str) -> bytes:
    """The lock of an ERP credential; tenants of any partition may share it."""
    return f"streamsync:{{{queue}}}:cred:{credential_id}".encode()


def limit_keys(queue: str, name: str) -> tuple[bytes, bytes]:
    """Keys of a limit that all partitions share: its permits and the moment since when it is known."""
    base = f"streamsync:{{{queue}}}:limit:{name}"
    return base.encode(), f"{base}:since".encode()
