"""What the demo shows while it runs, and at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamsync.demo.verify import Check
from streamsync.queue.stream import Depths
from streamsync.store.report import Overview, Report

#: Without a terminal a line is printed this often.
_LINE_SECONDS = 5.0


@dataclass(slots=True)
class Progress:
    """The live display; plain lines where there is no terminal."""

    console: Console
    jobs: int
    events: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _rate: float = 0.0
    _last: tuple[float, int] | None = None
    _last_line: float = 0.0
    _live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, event: str) -> None:
        """Something happened that people should see."""
        text = f"{time.monotonic() - self._started:5.1f} s  {event}"
        self.events.append(text)
        if self._live is None:
            self.console.print(text, highlight=False)

    def update(self, overview: Overview, depths: Depths) -> None:
        """The figures as they are now."""
        now = time.monotonic()
        if self._last is not None and now - self._last[0] > 0.2:
            rate = (overview.rows - self._last[1]) / (now - self._last[0])
            self._rate = rate if self._rate == 0 else 0.7 * self._rate + 0.3 * rate
        self._last = (now, overview.rows)
        states = overview.states
        figures = {
            "delayed": depths.delayed,
            "waiting": depths.waiting,
            "running": states.get("running", 0),
            "retrying": states.get("retrying", 0),
            "done": states.get("succeeded", 0),
            "failed": states.get("failed", 0),
            "rows": overview.rows,
            "rows/s": round(self._rate),
        }
        if self._live is not None:
            self._live.update(self._panel(figures, overview))
        elif now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            self.console.print(
                f"{now - self._started:5.1f} s  "
                + "  ".join(f"{name} {value:,}" for name, value in figures.items()),
                highlight=False,
            )

    def _panel(self, figures: dict[str, int], overview: Overview) -> Panel:
        table = Table(box=None, expand=True)
        for name in figures:
            table.add_column(name, justify="right", style="bold red" if name == "failed" else "bold")
        table.add_row(*(f"{value:,}" for value in figures.values()))
        done = figures["done"] + figures["failed"]
        # A progress bar ends without a line end; a grid puts one there.
        bar = Table.grid(expand=True)
        bar.add_row(ProgressBar(total=max(self.jobs, 1), completed=done, width=None))
        workers = ", ".join(
            f"{name.rsplit('-', 2)[-2]}: {jobs}" for name, jobs in sorted(overview.workers_running.items())
        )
        lines: list[RenderableType] = [
            bar,
            table,
            Text(f"jobs running by worker process: {workers or 'none'}", style="dim"),
        ]
        lines += [Text(event) for event in self.events[-8:]]
        return Panel(Group(*lines), title=f"streamsync demo  {done}/{self.jobs} jobs")


async def print_report(console: Console, report: Report, seconds: float) -> None:
    """The closing tables."""
    table = Table(title="Jobs", title_justify="left")
    names = (
        "kind",
        "state",
        "jobs",
        "pages",
        "fetched",
        "inserted",
        "updated",
        "unchanged",
        "rejected",
        "median_ms",
    )
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name in ("kind", "state") else "right")
    for row in await report.jobs():
        table.add_row(*(_text(row[name]) for name in names))
    console.print(table)
    table = Table(title="Attempts", title_justify="left")
    for name in ("outcome", "error class", "attempts"):
        table.add_column(name, justify="right" if name == "attempts" else "left")
    for row in await report.attempts():
        table.add_row(row["outcome"], row["error_class"] or "", _text(row["attempts"]))
    console.print(table)
    rows = (await report.overview()).rows
    console.print(f"{rows:,} records in {seconds:.1f} s: {rows / seconds:,.0f} records/s", highlight=False)


def print_checks(console: Console, checks: list[Check]) -> bool:
    """The verification; True if all holds."""
    table = Table(title="Verification", title_justify="left")
    table.add_column("")
    table.add_column("must hold")
    table.add_column("found")
    for check in checks:
        mark = "[green]ok[/green]" if check.holds else "[bold red]FAILED[/bold red]"
        table.add_row(mark, check.what, check.detail)
    console.print(table)
    return all(check.holds for check in checks)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{float(str(value)):,.0f}"
