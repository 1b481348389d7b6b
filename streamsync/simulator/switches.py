"""How a simulated server behaves where real ones differ: one set of switches, with exceptions per tenant.

The class below is the list of them: name, type, default and meaning; help and error texts are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from streamsync.simulator.dirt import Style


def _switch(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Switches:
    """The behaviours that the protocol reference (§8) lists as worth having."""

    # Who may read.
    auth: Literal["any", "basic", "session", "ntlm-off"] = _switch(
        "any", "accepted: both, Basic only, sessions only; ntlm-off: Basic is refused, NTLM is asked for"
    )
    session_limit: int = _switch(0, "sessions a user may have open; 0 is no limit")
    session_ttl: float = _switch(0.0, "seconds without use after which a session is gone; 0 is never")
    session_requests: int = _switch(0, "requests after which a session is gone; 0 is never")
    basic_needs_licence: bool = _switch(False, "401 (busy) to Basic while session_limit sessions are open")
    lock_after: int = _switch(0, "wrong passwords after which a user is locked: 401 for ever; 0 is never")
    # What is listed.
    exclusive: bool = _switch(False, "trans_id=X lists rows after X instead of from X on")
    top_max: int = _switch(0, "most rows of one answer, whatever $top asks for; 0 is no limit")
    honour_skip: bool = _switch(False, "$skip works")
    count_total: bool = _switch(False, "odata.count is the number of all matching rows, not of those sent")
    unknown_parameter: str = _switch("", "a parameter that this server does not know: 400")
    no_trans_id: bool = _switch(False, "no trans_id: rows lack it, the parameter is unknown, dates must do")
    branch_trans_id: bool = _switch(False, "branches have a trans_id")
    unordered: bool = _switch(False, "the rows of a page come in any order")
    stuck_at: int = _switch(0, "no page begins after this many rows of a list, whatever the cursor; 0 is off")
    repeat_rows: int = _switch(0, "each page after the first begins with so many rows from before its cursor")
    duplicate_rate: float = _switch(0.0, "share of a page's rows that come twice in it")
    tombstones: bool = _switch(False, "deleted products stay as excluido, ativo F, web E with a new trans_id")
    change_rate: float = _switch(0.0, "records of a list that change per row read of it")
    change_cap: int = _switch(1000, "most records of a list that change by change_rate")
    # How it is written.
    dates: Literal["asked", "iso", "iso-seconds", "iso-naive"] = _switch(
        "asked", "as the request asks, or ISO always: with ms and Z, without ms, without zone (UTC)"
    )
    keys: Literal["lower", "upper", "mixed"] = _switch("lower", "the case of field names")
    xml: Literal["unasked", "always", "never"] = _switch("unasked", "Atom XML where JSON was not asked for")
    raw_control: bool = _switch(False, "line ends and tabs stand unescaped in JSON strings")
    latin1: bool = _switch(False, "bodies are in cp1252 and say UTF-8")
    dirt: bool = _switch(True, "blanks, soft hyphens, control characters, numeric numero, T/F and 1/0")
    envelope: Literal["value", "values", "data", "array", "string"] = _switch(
        "value", "where the rows are: under this name, in a bare array, in value as a JSON string"
    )
    empty: Literal["list", "object", "nothing", "null"] = _switch(
        "list", "how no rows are said: an empty list in the envelope, {}, an empty body, null"
    )
    single: Literal["arrays", "nested", "all"] = _switch(
        "arrays", "single records as objects instead of arrays: never, nested ones, the only row too"
    )
    preco1: Literal["price", "zero", "null"] = _switch(
        "price", "preco1 is the selling price, or 0 or null with the selling price in preco2"
    )
    old_branch_names: bool = _switch(False, "branches say cgc and estado instead of cnpj and uf")
    extra_field: str = _switch("", "a field that every record has besides, nested ones too")
    error_body: Literal["json", "string", "plain", "html", "empty"] = _switch(
        "json", "the body of errors: the ERP's, with message as a string, plain text, HTML, none"
    )
    delay: float = _switch(0.0, "seconds before each answer")
    delay_per_row: float = _switch(0.0, "seconds more for each row")


_HINTS: Final = get_type_hints(Switches)
_NUMBERS: Final[dict[object, tuple[type, ...]]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
}


def _kind(name: str) -> str:
    hint = _HINTS[name]
    return " | ".join(get_args(hint)) if get_origin(hint) is Literal else str(hint.__name__)


def described() -> list[dict[str, object]]:
    """All switches: name, type (or the words it takes), default and meaning."""
    return [
        {
            "name": one.name,
            "type": _kind(one.name),
            "default": one.default,
            "meaning": one.metadata["meaning"],
        }
        for one in fields(Switches)
    ]


def help_text() -> str:
    """The same as lines of text."""
    return "\n".join(f"{one['name']} ({one['type']}): {one['meaning']}" for one in described())


def check(name: str, value: object) -> None:
    """Refuse a switch that does not exist or a value it does not take (ValueError)."""
    if name not in _HINTS:
        raise ValueError(f"unknown switch {name!r}; known: {', '.join(_HINTS)}")
    hint = _HINTS[name]
    if get_origin(hint) is Literal:
        good = value in get_args(hint)
    else:
        good = isinstance(value, _NUMBERS[hint]) and (isinstance(value, bool) is (hint is bool))
        good = good and not (isinstance(value, int | float) and value < 0)
    if not good:
        raise ValueError(f"switch {name} takes {_kind(name)}, not {value!r}: {_meaning(name)}")


def _meaning(name: str) -> str:
    return next(str(one["meaning"]) for one in described() if one["name"] == name)


def switches_of(changes: Mapping[str, object]) -> Switches:
    """Switches that differ from the default ones so. Raises ValueError for what is no switch."""
    return _with(Switches(), changes)


def _with(switches: Switches, changes: Mapping[str, Any]) -> Switches:
    for name, value in changes.items():
        check(name, value)
    return replace(switches, **changes)


def takes_text(name: str) -> bool:
    """Whether a switch's value is text, so that a command line need not quote it."""
    hint = _HINTS.get(name)
    return hint is str or get_origin(hint) is Literal


class SwitchBoard:
    """The switches of a server: a default, and tenants that differ from it."""

    def __init__(self, default: Switches, tenants: Mapping[str, Mapping[str, object]] | None = None) -> None:
        self._initial = default
        self._initial_tenants = {tenant: dict(changes) for tenant, changes in (tenants or {}).items()}
        for changes in self._initial_tenants.values():
            switches_of(changes)
        self._default = default
        self._tenants: dict[str, dict[str, object]] = {}
        self._known: dict[str, Switches] = {}
        self.reset()

    def of(self, tenant_id: str | None) -> Switches:
        """What holds for a tenant."""
        if tenant_id is None or tenant_id not in self._tenants:
            return self._default
        known = self._known.get(tenant_id)
        if known is None:
            known = self._known[tenant_id] = _with(self._default, self._tenants[tenant_id])
        return known

    def set(self, tenant_id: str | None, changes: dict[str, object]) -> Switches:
        """Change switches for one tenant, or for all without a setting of their own. Gives what now holds."""
        for name, value in changes.items():
            check(name, value)
        if tenant_id is None:
            self._default = _with(self._default, changes)
        else:
            self._tenants[tenant_id] = {**self._tenants.get(tenant_id, {}), **changes}
        self._known.clear()
        return self.of(tenant_id)

    def reset(self) -> None:
        """Back to how the server was started."""
        self._default = self._initial
        self._tenants = {tenant: dict(changes) for tenant, changes in self._initial_tenants.items()}
        self._known.clear()


def style_of_server(switches: Switches, *, as_json: bool = True) -> Style:
    """How a server writes when the request does not ask for anything special but prices."""
    return Style(
        dates="wcf" if switches.dates == "asked" else switches.dates,
        keys=switches.keys,
        raw_control=switches.raw_control and as_json,
        dirt=switches.dirt,
        preco1=switches.preco1,
        trans_ids=not switches.no_trans_id,
        branch_trans_ids=switches.branch_trans_id,
        old_branch_names=switches.old_branch_names,
        single=switches.single if as_json else "arrays",
        extra_field=switches.extra_field,
    )
