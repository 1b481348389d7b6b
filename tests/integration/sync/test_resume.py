"""A sync that stops anywhere goes on at its last committed page; one that cannot go on says why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from streamsync.erp.http import Answer, ErpHttp
from streamsync.errors import HandBack, LostLock, PermanentError, SyncError, TransientError
from streamsync.jobs import State
from streamsync.store.ledger import Ledger, Settlement
from streamsync.sync.reading import MAX_PAGE_SIZE
from tests.integration.store.helpers import admit, job_row
from tests.integration.sync.conftest import SHOP, Free, Shop
from tests.support import wait_until


class _Aborting(Free):
    """Raises at the n-th page boundary."""

    def __init__(self, after: int, error: Exception) -> None:
        super().__init__()
        self._after = after
        self._error = error

    async def checkpoint(self) -> None:
        await super().checkpoint()
        if self.checkpoints > self._after:
            raise self._error


class _Stopping(Free):
    """A worker that is told to stop while the sync runs."""

    def stopping(self) -> bool:
        return self.checkpoints >= 3

    async def handed_back(self) -> None:
        if self.stopping():
            raise HandBack("the worker is stopping")


async def _cursor(shop: Shop) -> int:
    row = await shop.row("SELECT coalesce(max(cursor), 0) AS cursor FROM sync_state")
    return int(row["cursor"])


@pytest.mark.parametrize("after", [1, 4, 6])
async def test_a_run_goes_on_at_the_last_committed_page(shop: Shop, after: int) -> None:
    """Nothing before the committed cursor is read again, and in the end the data are right."""
    admitted = await shop.claim()
    with pytest.raises(LostLock):
        await shop.run(admitted, _Aborting(after, LostLock("aborted by the test")))
    committed, asked = await _cursor(shop), len(shop.asked())
    assert (committed > 0) == (after >= 3)  # a commit is due after twenty rows: three pages
    await Ledger(shop.database).settle(
        [Settlement(admitted.job_id, admitted.fence, State.SCHEDULED, "handed_back")]
    )
    await shop.sync_again(admitted)
    await shop.check("customer", "customer_address")
    assert all((trans_id or 0) >= committed - 1 for trans_id, _ in shop.asked()[asked:])


async def test_a_stopping_worker_commits_what_it_has_read(shop: Shop) -> None:
    """At the next page boundary, whatever the size of the unit; nothing of it is read twice."""
    admitted = await shop.claim()
    with pytest.raises(HandBack):
        await shop.run(admitted, _Stopping(), commit_max_rows=10_000, commit_max_seconds=600)
    held = len(await shop.rows("customer"))
    assert 7 < held < 60
    assert await _cursor(shop) > 0


async def test_a_newer_claim_stops_the_sync_at_its_next_commit(shop: Shop) -> None:
    """The older one is told LostLock by the guard and has written nothing since."""
    admitted = await shop.claim()
    shop.simulator.admin.hold(SHOP, after_requests=3)
    running = asyncio.create_task(shop.run(admitted, commit_max_rows=7))
    await shop.simulator.admin.wait_held(SHOP)
    before = await shop.rows("customer")
    job = (await Ledger(shop.database).jobs_of_entries([admitted.entry]))[0].job
    await admit(shop.database, job, worker="rescuer")
    shop.simulator.admin.release()
    with pytest.raises(LostLock):
        await running
    assert await shop.rows("customer") == before
    assert (await job_row(shop.database, job))["state"] == "running"


@pytest.mark.parametrize(
    ("kind", "what", "error_class"),
    [
        ("503", TransientError, "erp_server_error"),
        ("truncated", TransientError, "erp_garbage"),
        ("cut", TransientError, "erp_connection"),
        ("password", PermanentError, "erp_wrong_password"),
        ("timeout", TransientError, "erp_timeout"),
    ],
)
async def test_a_fault_in_mid_run_keeps_what_was_committed(
    shop: Shop, kind: str, what: type[SyncError], error_class: str
) -> None:
    """The error ends the attempt; committed pages stay, and the next run brings the rest."""
    fault = shop.simulator.admin.fault(kind, SHOP, times=1, after_requests=5)
    admitted = await shop.claim()
    with pytest.raises(what) as caught:
        await shop.run(admitted, erp_read_timeout_seconds=0.3, erp_page_timeout_seconds=0.5)
    assert (caught.value.error_class, fault.hits) == (error_class, 1)
    assert len(await shop.rows("customer")) >= 20
    await Ledger(shop.database).settle(
        [Settlement(admitted.job_id, admitted.fence, State.RETRYING, "retrying")]
    )
    await shop.sync_again(admitted)
    await shop.check("customer", "customer_address")


async def test_no_progress_ends_the_attempt(shop: Shop) -> None:
    """An ERP that answers nothing for longer than the lock's time: stopped, and worth a retry."""
    shop.simulator.admin.hold(SHOP)
    admitted = await shop.claim()
    with pytest.raises(TransientError) as caught:
        await shop.run(admitted, lock_ttl_seconds=1, erp_read_timeout_seconds=30, erp_page_timeout_seconds=60)
    assert caught.value.error_class == "no_progress"


async def test_each_request_takes_a_permit_first(shop: Shop) -> None:
    """As many permits as requests, and no request without one."""
    permits: asyncio.Queue[None] = asyncio.Queue()
    shop.take_permit = lambda _host: permits.get()
    admitted = await shop.claim()
    running = asyncio.create_task(shop.run(admitted))
    for _ in range(3):
        permits.put_nowait(None)
    await wait_until(lambda: len(shop.asked()) == 3, description="three requests")
    await shop.simulator.admin.wait_idle(SHOP)
    await wait_until(lambda: permits._getters, description="the sync to wait for its next permit")  # type: ignore[attr-defined]
    assert len(shop.asked()) == 3
    for _ in range(100):
        permits.put_nowait(None)
    await running
    assert 103 - permits.qsize() == len(shop.asked())


async def test_a_cursor_that_is_stuck_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that fills every page with one trans_id, whatever `$top`: the rows are kept, the job retried."""
    tops: list[int] = []

    async def get(
        self: ErpHttp, url: str, *, parameters: Mapping[str, str], headers: object, auth: object
    ) -> Answer:
        top = int(parameters["$top"])
        tops.append(top)
        rows = b",".join(b'{"cliente":%d,"trans_id":5}' % (n % 50) for n in range(top))
        return Answer(200, {}, b'{"value":[%s]}' % rows)

    monkeypatch.setattr(ErpHttp, "get", get)
    admitted = await shop.claim()
    with pytest.raises(TransientError) as caught:
        await shop.run(admitted, erp_page_size=1000)
    assert caught.value.error_class == "erp_cursor_stuck"
    assert max(tops) <= MAX_PAGE_SIZE
    assert tops[1:] == sorted(tops[1:])
    assert len(await shop.rows("customer")) == 50


async def test_a_credential_that_does_not_open_asks_the_erp_nothing(shop: Shop) -> None:
    """A row moved from another tenant, or a key that is gone: the operator must act."""
    from streamsync.errors import ConfigurationError

    await shop.database.fetch("UPDATE tenant SET credential = 'x'")
    admitted = await shop.claim()
    with pytest.raises(ConfigurationError):
        await shop.run(admitted)
    assert shop.asked() == []


async def test_an_absurd_trans_id_is_quarantined_and_skips_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record's impossible cursor is that record's fault: the others are read to the end."""
    real = ErpHttp.get

    async def get(self: ErpHttp, url: str, **more: Any) -> Answer:
        answer = await real(self, url, **more)
        bad = b'{"cliente":1,"trans_id":18446744073709551615},'
        return Answer(
            answer.status, answer.headers, answer.body.replace(b'"value":[{', b'"value":[' + bad + b"{")
        )

    monkeypatch.setattr(ErpHttp, "get", get)
    await shop.sync()
    await shop.check("customer", "customer_address")
    assert (await shop.row("SELECT field, times_seen > 1 AS often FROM rejected_record")) == {
        "field": "trans_id", "often": True,
    }  # fmt: skip
