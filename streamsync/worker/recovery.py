"""Recovery of what dead workers left: by liveness, not by age.

A living worker resets the idle time of its entries with each heartbeat, so an entry that has been idle for
`claim_idle_ms` has lost its worker. A wrong suspicion costs a little work, never data: the fence guards that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamsync.clock import Clock
from streamsync.log import get_logger
from streamsync.metrics import RECOVERED, VANISHED
from streamsync.queue.stream import Delivery, Partition, Sweep

#: Consumers that own nothing are removed after this long; a worker's name is never used again.
GONE_MS: Final = 3_600_000

#: How often that is looked at.
_CONSUMERS_EVERY_SECONDS: Final = 600.0

#: XAUTOCLAIM looks at ten entries per one asked for, so a sweep with few free slots takes several calls to see
#: all that is pending; what is beyond these is looked at by the next sweep.
_MOST_STEPS: Final = 200

_log = get_logger("worker.recovery")


class Recovery:
    """Sweeps one partition every third of `claim_idle_ms`, keeping XAUTOCLAIM's cursor between sweeps."""

    def __init__(self, clock: Clock, claim_idle_ms: int) -> None:
        self._clock = clock
        self._claim_idle_ms = claim_idle_ms
        self._sweep = Sweep()
        #: Entries that Redis no longer holds. It names them once: they stay here until they are dealt with.
        self.vanished: list[str] = []
        self._next = clock.monotonic()
        self._next_consumers = clock.monotonic() + _CONSUMERS_EVERY_SECONDS

    def due(self) -> bool:
        """Whether it is time for a sweep."""
        return self._clock.monotonic() >= self._next

    def due_in_ms(self, longest_ms: int) -> int:
        """How long one may sleep without delaying a sweep; at least 1."""
        return max(1, min(longest_ms, int((self._next - self._clock.monotonic()) * 1000)))

    async def run_once(self, partition: Partition, consumer: str, count: int) -> Sequence[Delivery]:
        """Take over up to `count` entries; returns them. Entries that Redis no longer holds are `vanished`."""
        self._next = self._clock.monotonic() + self._claim_idle_ms / 3000
        taken: list[Delivery] = []
        unseen = set(self._sweep.cursors)
        for _ in range(_MOST_STEPS):
            found, gone = await partition.recover(
                consumer, self._sweep, idle_ms=self._claim_idle_ms, count=count - len(taken)
            )
            taken += found
            if gone:
                self.vanished += gone
                VANISHED.inc(len(gone))
                _log.error("pending entries have vanished from Redis", count=len(gone))
            unseen -= {stream for stream, cursor in self._sweep.cursors.items() if cursor == b"0-0"}
            if not unseen or len(taken) >= count:
                break
        if taken:
            RECOVERED.inc(len(taken))
            _log.warning("took entries over from silent workers", count=len(taken))
        if self._clock.monotonic() >= self._next_consumers:
            self._next_consumers = self._clock.monotonic() + _CONSUMERS_EVERY_SECONDS
            await partition.remove_gone_consumers(gone_ms=GONE_MS)
        return taken
