"""The demo's story, from an empty folder to a verified result."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from streamsync.demo.show import Progress, print_checks, print_report
from streamsync.demo.stage import DemoFailed, Stage, kill
from streamsync.demo.verify import Check, check_ledger, check_redis, compare_all
from streamsync.errors import ConfigurationError
from streamsync.jobs import KINDS
from streamsync.queue.queue import Queue
from streamsync.simulator.data import Population
from streamsync.store.pool import Database
from streamsync.store.report import Report

#: The worker dies when this share of the jobs is done.
_KILL_AT: Final = 0.4

#: Longest that the jobs may take; a run on two cores takes well under a minute.
_LONGEST_SECONDS: Final = 300.0


def run_demo(
    console: Console,
    folder: Path,
    *,
    tenants: int,
    workers: int,
    concurrency: int,
    window_ms: int,
    seed: int,
    keep: bool,
    redis_url: str | None,
    database_url: str | None,
) -> bool:
    """Run the demo; True if everything was verified. Raises DemoFailed, ConfigurationError."""
    population = Population(
        seed=seed,
        customers_per_tenant=240,
        products_per_tenant=30,
        bad_rate=0.002,
        shared_trans_id_rate=0.05,
    )
    with Stage(folder, population, tenants, concurrency, window_ms) as stage:
        _prepare(console, stage, redis_url, database_url, workers)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seconds = runner.run(_watch(console, stage))
            statuses = _stop_workers(stage, keep)
            checks = runner.run(_verify(console, stage, seconds, statuses))
        good = print_checks(console, checks)
        if keep:
            _keep(console, stage)
        return good


def _prepare(
    console: Console, stage: Stage, redis_url: str | None, database_url: str | None, workers: int
) -> None:
    started = time.monotonic()
    console.print("starting Redis, PostgreSQL and a simulated ERP with faults …")
    stage.start_servers(redis_url, database_url)
    stage.start_erp()
    stage.configure()
    stage.command("migrate")
    with asyncio.Runner() as runner:
        runner.run(_refuse_foreign_data(stage))
    console.print(stage.command("tenants", "import", str(stage.folder / "tenants.csv")))
    stage.start_scheduler()
    for _ in range(workers):
        stage.start_worker()
    console.print(f"ready after {time.monotonic() - started:.1f} s", highlight=False)


async def _refuse_foreign_data(stage: Stage) -> None:
    """The demo compares everything it finds; a database in use is not for it."""
    async with Database(stage.database_url, max_size=1) as database:
        if (await Report(database).overview()).jobs:
            raise ConfigurationError("DATABASE_URL: the demo needs an empty database; this one holds jobs")


async def _watch(console: Console, stage: Stage) -> float:
    """Trigger, watch, kill a worker in the middle; returns the seconds until all jobs had ended."""
    started = time.monotonic()
    jobs = stage.tenants * len(KINDS)
    killed = False
    async with (
        Database(stage.database_url, max_size=2) as database,
        Queue(stage.redis_url, stage.environment["STREAMSYNC_QUEUE"], 1) as queue,
    ):
        report = Report(database)
        with Progress(console, jobs) as progress:
            for kind in KINDS:
                progress.say(await asyncio.to_thread(stage.command, "trigger", kind))
            while True:
                overview = await report.overview()
                progress.update(overview, await queue.depths())
                if overview.jobs >= jobs and overview.open == 0:
                    progress.say("every job has ended")
                    return time.monotonic() - started
                ended = overview.jobs - overview.open
                if not killed and ended >= _KILL_AT * jobs:
                    killed = _kill_one(stage, progress, overview.workers_running)
                if time.monotonic() - started > _LONGEST_SECONDS:
                    raise DemoFailed(f"{overview.open} jobs have not ended after {_LONGEST_SECONDS:.0f} s")
                await asyncio.sleep(0.25)


def _kill_one(stage: Stage, progress: Progress, running: dict[str, int]) -> bool:
    """Kill a worker that runs jobs, start another; False if none runs any at this moment."""
    victim = stage.workers[0]
    jobs = sum(count for name, count in running.items() if name.rsplit("-", 2)[-2] == str(victim.pid))
    if not jobs:
        return False
    kill(victim)
    progress.say(f"killed worker process {victim.pid} with SIGKILL in the middle of {jobs} jobs")
    replacement = stage.start_worker()
    progress.say(f"started worker process {replacement.pid} in its place")
    return True


def _stop_workers(stage: Stage, keep: bool) -> list[int]:
    """The statuses with which the workers ended, but for the one that was killed."""
    if keep:
        return []
    return stage.stop_processes()[1:]


async def _verify(console: Console, stage: Stage, seconds: float, statuses: list[int]) -> list[Check]:
    tenants = list(stage.population.tenants(stage.tenants))
    wrong = frozenset({stage.wrong_tenant})
    async with (
        Database(stage.database_url, max_size=2) as database,
        Queue(stage.redis_url, stage.environment["STREAMSYNC_QUEUE"], 1) as queue,
    ):
        await print_report(console, Report(database), seconds)
        with console.status("comparing every row with what the ERP holds …"):
            compared = await asyncio.to_thread(
                compare_all, stage.database_url, stage.population, tenants, wrong
            )
        counted = ", ".join(f"{rows:,} {name}" for name, rows in compared.rows.items())
        checks = [
            Check(
                "every tenant's rows are what the ERP holds",
                not compared.different,
                f"{counted}; different: {', '.join(compared.different[:3]) or 'none'}",
            ),
            *await check_ledger(database, stage.population, tenants, stage.wrong_tenant),
            Check(
                "the killed worker's jobs were taken over",
                await Report(database).taken_over() > 0,
                f"{await Report(database).taken_over()} attempts lost with it, their jobs went on elsewhere",
            ),
            *await check_redis(queue),
        ]
    if statuses:
        checks.append(
            Check("the other workers stopped in order", not any(statuses), f"exit statuses {statuses}")
        )
    return checks


def _keep(console: Console, stage: Stage) -> None:
    console.print("\nstill running, Ctrl-C stops everything:")
    for name, url in (("Redis", stage.redis_url), ("PostgreSQL", stage.database_url), ("ERP", stage.erp_url)):
        console.print(f"  {name:<11}{url}", highlight=False, soft_wrap=True)
    console.print(f"  logs       {stage.folder}", highlight=False, soft_wrap=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("stopping")
