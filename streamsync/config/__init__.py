"""Settings: one typed class, read from the command line, the environment, files and TOML."""

from streamsync.config.load import Loaded, load_settings
from streamsync.config.settings import Settings

__all__ = ["Loaded", "Settings", "load_settings"]
