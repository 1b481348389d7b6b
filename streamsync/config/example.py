"""Writes `config/streamsync.toml`: every setting, commented out, with its default and what it is for.

`python -m streamsync.config.example` prints it; a test keeps the file equal to the class.
"""

from __future__ import annotations

import json
import sys

from streamsync.config.messages import shown
from streamsync.config.registry import SETTINGS

_HEAD = """\
# Settings of streamsync, all at their defaults. To change one, remove the # before its name.
#
# What counts more comes first: the command line, the environment (the names in brackets), the file that
# NAME_FILE names, the secrets directory (STREAMSYNC_SECRETS_DIR, /run/secrets by default), this file.
# STREAMSYNC_CONFIG or `streamsync --config FILE` names another file; `streamsync config` prints the effective
# settings and where each came from. Secrets are better kept in files of their own than here.
"""


def example_toml() -> str:
    """The text of `config/streamsync.toml`."""
    parts = [_HEAD]
    for info in SETTINGS.values():
        parts.append(f"# {info.description} [{' or '.join(info.variables)}]\n# Takes {info.takes}.\n")
        # TOML has no null, so that a setting without a default shows what a value looks like.
        default = '"…"' if info.default is None else json.dumps(shown(info, info.default), ensure_ascii=False)
        parts[-1] += f"# {info.field} = {default}\n"
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(example_toml())
