"""The `streamsync` command. Subcommands are imported when they are used, not before."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from streamsync import __version__
from streamsync.cli.context import AppContext
from streamsync.errors import ConfigurationError, QueueUnavailable, StoreUnavailable, StreamsyncError

FAILED: Final = 1
MISCONFIGURED: Final = 2
UNHEALTHY: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and what `--help` says of it without looking."""

    module: str
    attribute: str
    short_help: str


COMMANDS: Final[Mapping[str, LazyCommand]] = {
    "config": LazyCommand(
        "streamsync.cli.config", "config", "Show the effective settings and their sources."
    ),
    "migrate": LazyCommand("streamsync.cli.migrate", "migrate", "Bring the database to the code's version."),
    "tenants": LazyCommand(
        "streamsync.cli.tenants", "tenants", "Add, list, import, enable, disable tenants."
    ),
    "credentials": LazyCommand(
        "streamsync.cli.credentials", "credentials", "Manage the keys of the tenants' ERP credentials."
    ),
    "scheduler": LazyCommand("streamsync.cli.scheduler", "scheduler", "Make the jobs when their time comes."),
    "worker": LazyCommand("streamsync.cli.worker", "worker", "Run jobs."),
    "trigger": LazyCommand("streamsync.cli.trigger", "trigger", "Make jobs by hand."),
    "simulator": LazyCommand("streamsync.simulator.process", "simulator", "Run a simulated ERP."),
    "demo": LazyCommand("streamsync.cli.demo", "demo", "Show everything at work, and verify the result."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported by name, and which turns our errors into exit statuses."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order in which an operator meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command = getattr(import_module(entry.module), entry.attribute)
        except ModuleNotFoundError as error:
            missing = error.name or entry.module
            if missing.partition(".")[0] == "streamsync":
                raise ConfigurationError(f"{cmd_name}: this build of streamsync has no {missing}") from error
            raise ConfigurationError(
                f"{cmd_name} needs the package {missing.partition('.')[0]}, which is not installed; "
                "the demo's and the simulator's come with: pip install 'streamsync[embedded]'"
            ) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with suggestions from the table: click looks at imported commands only."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=list(COMMANDS), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in `--help`, from the table: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Errors that we raise on purpose become one message and a status, no traceback."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            _stop(ctx, str(error), MISCONFIGURED)
        except (StoreUnavailable, QueueUnavailable) as error:
            which = "PostgreSQL" if isinstance(error, StoreUnavailable) else "Redis"
            _stop(ctx, f"{which} is not available: {_one_line(error)}", UNHEALTHY)
        except StreamsyncError as error:
            _stop(ctx, _one_line(error), FAILED)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _stop(ctx: click.Context, message: str, status: int) -> NoReturn:
    click.echo(f"streamsync: {message}", err=True)
    ctx.exit(status)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 = done; 1 = failed; 2 = wrong usage or configuration; "
    "3 = unhealthy: PostgreSQL or Redis is not available; 130 = interrupted.",
)
@click.version_option(__version__, prog_name="streamsync", message="%(prog)s %(version)s")
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read settings from this TOML file instead of STREAMSYNC_CONFIG or config/streamsync.toml.",
)
@click.pass_context
def cli(ctx: click.Context, config_file: Path | None) -> None:
    """Bring many shops' ERP data into one PostgreSQL database, every night and on demand.

    Settings come from the environment, from files that NAME_FILE variables name, from a secrets directory and
    from a TOML file; `streamsync config` shows what is in effect.
    """
    # Tests and the demo may hand in a context of their own.
    app = ctx.ensure_object(AppContext)
    if config_file is not None:
        app.config_file = config_file


def main() -> None:
    """The entry point of the installed command."""
    try:
        cli(prog_name="streamsync")
    except KeyboardInterrupt:
        # Ctrl-C outside a command, while Python still imports.
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
