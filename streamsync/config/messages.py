"""How values and faults are put into words. Nothing here ever shows a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr

from streamsync.config.field import SettingInfo

MASK: Final = "***"
_LONGEST: Final = 80
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,19}://")
_URL: Final = re.compile(r"(?P<scheme>[a-z]+)://(?:(?P<user>.*)@)?(?P<rest>.*)", re.DOTALL)
_SECRET_PARAMETER: Final = re.compile(r"([?&][^=&]*(?:pass|pwd|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


def masked_url(url: str) -> str:
    """The URL with its password hidden, its host visible.

    Everything up to the *last* `@` is treated as user and password: a password with an unescaped `/`, `?`
    or `@` then hides too much of the URL rather than too little of itself.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return MASK
    rest = _SECRET_PARAMETER.sub(rf"\g<1>{MASK}", match["rest"])
    if match["user"] is None:
        return f"{match['scheme']}://{rest}"
    user, colon, _ = match["user"].partition(":")
    # In a Redis URL, a lone word before the @ is often a password that lost its colon.
    if not colon and not match["scheme"].startswith("postgres"):
        return f"{match['scheme']}://{MASK}@{rest}"
    return f"{match['scheme']}://{user}{f':{MASK}' if colon else ''}@{rest}"


def shown(info: SettingInfo, value: object) -> object:
    """An effective value as people may see it, of a type that JSON knows."""
    if isinstance(value, SecretStr):
        return masked_url(value.get_secret_value()) if info.field.endswith("_url") else MASK
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def got(info: SettingInfo, value: object) -> str:
    """A wrong value in a message; of a secret only its scheme, which is what people get wrong."""
    if info.secret:
        scheme = _SCHEME.match(value) if isinstance(value, str) and info.field.endswith("_url") else None
        return f"{scheme.group() if scheme else ''}{MASK}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def all_faults(lines: Sequence[str]) -> str:
    """The one message about everything that is wrong."""
    head = "1 setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong"
    return "\n".join([f"{head}; nothing was started:", *(f"  {line}" for line in lines)])
