"""Dice that always fall the same way: every random choice of the simulated ERP is a pure function of a key.

A record's values come from `Dice`, one digest per record; the few numbers that a page needs for every index
(ids, cursors, whether a record is bad) come from `mix`, which is cheaper and needs no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeVar

T = TypeVar("T")

_POOL_BITS: Final = 512
_MASK: Final = (1 << 64) - 1


def salt_of(*words: object) -> int:
    """A 64-bit number that stands for these words."""
    text = "\x1f".join(str(word) for word in words)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def mix(salt: int, index: int) -> int:
    """A well-mixed 63-bit number for one index (splitmix64)."""
    x = (salt + index * 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) >> 1


def falls(salt: int, index: int, rate: float) -> bool:
    """Whether an event of this rate happens at this index."""
    return rate > 0 and mix(salt, index) < rate * (1 << 63)


class Dice:
    """A stream of choices for one record. The same salt, purpose and index give the same stream."""

    __slots__ = ("_index", "_left", "_pool", "_purpose", "_round", "_salt")

    def __init__(self, salt: int, purpose: bytes, index: int) -> None:
        self._salt = salt
        self._purpose = purpose
        self._index = index
        self._round = 0
        self._pool = 0
        self._left = 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit - 1`; `limit` up to 2^48."""
        if self._left < 64:
            key = b"%d %s %d %d" % (self._salt, self._purpose, self._index, self._round)
            self._pool = int.from_bytes(blake2b(key).digest(), "big")
            self._left = _POOL_BITS
            self._round += 1
        self._pool, value = divmod(self._pool, limit)
        self._left -= limit.bit_length()
        return value

    def chance(self, permille: int) -> bool:
        """True in `permille` of 1000 cases."""
        return self.below(1000) < permille

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[self.below(len(choices))]


class NoDice(Dice):
    """Dice that always fall on the first choice: dirt thrown with them is none."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0, b"", 0)

    def below(self, limit: int) -> int:
        """Always 0, the first of any number of choices."""
        return min(0, limit)
