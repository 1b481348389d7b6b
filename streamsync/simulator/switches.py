"""How a simulated server behaves where real ones differ: one set of switches, with exceptions per tenant."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Switches:
    """The behaviours that the protocol reference (§8) lists as worth having.

    `exclusive`: `trans_id=X` lists rows after X instead of from X on. `count_total`: `odata.count` is the
    number of all matching rows. `honour_skip`: `$skip` works. `empty_as_object`: no rows
    are `{}`. `raw_control`: line ends and tabs stand unescaped in JSON. `upper_keys`: upper-case names.
    `auth`: which kinds of authentication are accepted. `session_limit`: sessions per user (0 = no limit).
    `session_ttl`: seconds without use after which a session is gone (0 = never). `delay`: seconds before each
    answer. `delay_per_row`: seconds more for each row.
    """

    exclusive: bool = False
    count_total: bool = False
    honour_skip: bool = False
    empty_as_object: bool = False
    raw_control: bool = False
    upper_keys: bool = False
    auth: Literal["any", "basic", "session"] = "any"
    session_limit: int = 0
    session_ttl: float = 0.0
    delay: float = 0.0
    delay_per_row: float = 0.0


_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float)}


class SwitchBoard:
    """The switches of a server: a default, and tenants that differ from it."""

    def __init__(self, default: Switches) -> None:
        self._initial = default
        self._default = default
        self._tenants: dict[str, dict[str, object]] = {}

    def of(self, tenant_id: str | None) -> Switches:
        """What holds for a tenant."""
        changes = self._tenants.get(tenant_id) if tenant_id is not None and self._tenants else None
        return replace(self._default, **changes) if changes else self._default  # type: ignore[arg-type]

    def set(self, tenant_id: str | None, changes: dict[str, object]) -> Switches:
        """Change switches for one tenant, or for all without a setting of their own. Gives what now holds."""
        for name, value in changes.items():
            check(name, value)
        if tenant_id is None:
            self._default = replace(self._default, **changes)  # type: ignore[arg-type]
        else:
            self._tenants[tenant_id] = {**self._tenants.get(tenant_id, {}), **changes}
        return self.of(tenant_id)

    def reset(self) -> None:
        """Back to how the server was started."""
        self._default = self._initial
        self._tenants.clear()


def check(name: str, value: object) -> None:
    """Refuse a switch that does not exist or a value it does not take (ValueError)."""
    kinds = {field.name: str(field.type) for field in fields(Switches)}
    if name not in kinds:
        raise ValueError(f"unknown switch {name!r}; known: {', '.join(kinds)}")
    kind = kinds[name]
    expected = _TYPES.get(kind)
    good = isinstance(value, expected) if expected else value in ("any", "basic", "session")
    if not good or (isinstance(value, bool) and kind != "bool"):
        raise ValueError(f"switch {name} takes {kind}, not {value!r}")
