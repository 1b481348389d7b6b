"""How long a job waits before it is tried again, by the reason why it waits. Pure, but for the dice."""

from __future__ import annotations

import random
from typing import Final

from streamsync.config import Settings

#: However many retries are configured, none waits longer than a day.
_LONGEST_RETRY_MS: Final = 86_400_000.0

#: A job whose credential is in use looks again after this long at the latest.
_LONGEST_PUT_OFF_MS: Final = 30_000.0


def _growing(base_ms: float, factor: float, times: int, longest_ms: float) -> float:
    delay_ms = min(base_ms, longest_ms)
    for _ in range(times):
        if delay_ms >= longest_ms:
            break
        delay_ms = min(delay_ms * factor, longest_ms)
    return delay_ms


def _spread(delay_ms: float, share: float) -> float:
    return delay_ms * random.uniform(1 - share, 1 + share)  # noqa: S311 - spreads, hides nothing


def retry_ms(settings: Settings, attempt: int, retry_after_seconds: float | None) -> int:
    """After a failed attempt (from 1): base, base·factor, base·factor² … ±10 %, or the ERP's wish if later."""
    delay_ms = _growing(settings.retry_base_ms, settings.retry_factor, attempt - 1, _LONGEST_RETRY_MS)
    return int(max(_spread(delay_ms, 0.1), (retry_after_seconds or 0) * 1000))


def put_off_ms(settings: Settings, put_offs: int) -> int:
    """While another job uses the ERP's user: half as long again each time up to half a minute, ±20 %."""
    return int(_spread(_growing(settings.busy_delay_ms, 1.5, put_offs, _LONGEST_PUT_OFF_MS), 0.2))


def deferral_ms(
    settings: Settings, deferrals: int, waited_seconds: float, retry_after_seconds: float | None
) -> int | None:
    """After being sent away: 1, 2, 4, 8, 15, 15 … minutes by default, ±10 %, or the ERP's wish if later.

    None where the job has waited for as long as it may. The last wait ends just then.
    """
    left_ms = (settings.session_wait_max_seconds - waited_seconds) * 1000
    if left_ms <= 0:
        return None
    delay_ms = _growing(settings.defer_base_ms, 2.0, deferrals, settings.defer_max_ms)
    return int(max(min(_spread(delay_ms, 0.1), left_ms), (retry_after_seconds or 0) * 1000))
