"""What the commands share: the settings, loaded when first asked for, and the logging they ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    # Only for types: pydantic takes longer to import than `streamsync --help` takes to answer.
    from streamsync.config import Loaded, Settings


@dataclass(slots=True)
class AppContext:
    """The object of every command: `@click.pass_obj` gives it."""

    config_file: Path | None = None
    #: Settings by field that options of a command replace; None = the option was not given.
    overrides: dict[str, object] = field(default_factory=dict)
    _loaded: Loaded | None = None
    _warned: bool = False

    def override(self, **values: object) -> None:
        """Let a command's options replace settings, by field. Call it before the settings are used."""
        self.overrides.update({name: value for name, value in values.items() if value is not None})
        self._loaded = None

    @property
    def loaded(self) -> Loaded:
        """The settings with their sources and warnings. Raises ConfigurationError."""
        if self._loaded is None:
            from streamsync.config import load_settings

            self._loaded = load_settings(config_file=self.config_file, overrides=self.overrides)
        return self._loaded

    @property
    def settings(self) -> Settings:
        """The settings. Warnings about them go to stderr once, unless logging has told them already."""
        loaded = self.loaded
        if not self._warned:
            self._warned = True
            for warning in loaded.warnings:
                click.echo(f"warning: {warning}", err=True)
        return loaded.settings

    def configure_logging(self) -> None:
        """Set up logging as the settings say; their warnings become log lines. For long-running commands."""
        from streamsync.log import configure_logging, get_logger

        loaded = self.loaded
        configure_logging(loaded.settings.log_level, loaded.settings.log_format)
        self._warned = True
        log = get_logger(__name__)
        for warning in loaded.warnings:
            log.warning("unknown setting", reason=warning)


pass_app = click.make_pass_decorator(AppContext, ensure=True)
