"""Jitter: spreads the shops over a window, each at the same offset every night.

The offset is a hash, not a random number, so the interval between two syncs of a shop is constant.
"""

from __future__ import annotations

from hashlib import blake2b


def offset_ms(kind: str, tenant_id: str, *, window_ms: int, step_ms: int, salt: str = "") -> int:
    """Offset of a tenant within [0, window_ms), a multiple of `step_ms`; 0 for a window of 0."""
    steps = -(-window_ms // step_ms) if window_ms > 0 else 0
    if steps <= 1:
        return 0
    digest = blake2b(f"{kind}\0{tenant_id}\0{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * steps // 2**64 * step_ms
