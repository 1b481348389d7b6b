"""The settings by field and by variable, and the nearest known name to a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from streamsync.config.field import SettingInfo, describe
from streamsync.config.settings import Settings

#: Every setting by its field, in the order of the class.
SETTINGS: Final[dict[str, SettingInfo]] = {
    name: describe(name, field) for name, field in Settings.model_fields.items()
}
#: The field that a variable sets.
FIELD_OF: Final[dict[str, str]] = {
    variable: info.field for info in SETTINGS.values() for variable in info.variables
}

CONFIG_VARIABLE: Final = "STREAMSYNC_CONFIG"
SECRETS_DIR_VARIABLE: Final = "STREAMSYNC_SECRETS_DIR"

#: Everything that the environment may hold; each setting can also be given as the path of a file.
KNOWN_VARIABLES: Final[frozenset[str]] = frozenset(
    {CONFIG_VARIABLE, SECRETS_DIR_VARIABLE, *FIELD_OF, *(f"{variable}_FILE" for variable in FIELD_OF)}
)

_OURS: Final = re.compile(r"(ERP_SYNC_|STREAMSYNC_)(?!TEST_)", re.IGNORECASE)
#: Kubernetes puts these into every container for a service named streamsync-…; nobody wrote them.
_SERVICE_LINK: Final = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)(_\w+)?)")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)


def nearest_field(key: str) -> str | None:
    """The field that a wrong key of the TOML file was probably meant to be; also understands variables."""
    match = nearest(key.upper(), FIELD_OF)
    by_variable = None if match is None or match != key.upper() else FIELD_OF[match]
    return by_variable or nearest(key.lower().replace("-", "_"), SETTINGS)


def unknown_names(names: Iterable[str], *, where: str) -> list[str]:
    """A warning for each name that looks like one of ours and is none."""
    warnings = []
    for name in sorted(names):
        if name.upper() in KNOWN_VARIABLES and name != name.upper() and where == "environment":
            warnings.append(f"{name} ({where}) is not read: did you mean {name.upper()}?")
        elif name.upper() in KNOWN_VARIABLES or not _OURS.match(name) or _SERVICE_LINK.fullmatch(name):
            continue
        else:
            match = nearest(name.upper(), KNOWN_VARIABLES)
            hint = f": did you mean {match}?" if match else ""
            warnings.append(f"{name} ({where}) is not a setting and is not read{hint}")
    return warnings
