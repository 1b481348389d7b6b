"""What a field of `Settings` carries beside its type: variables, description, what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args, get_origin

import annotated_types
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamsync.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

#: Where a number has no limit of its own: fits PostgreSQL's integer, so nothing downstream overflows.
LARGEST: Final = 2_147_483_647
YEAR_SECONDS: Final = 31_536_000

#: The type of error with which the class reports that two settings contradict each other.
CONTRADICTION: Final = "contradiction"


class ArgumentsOnly(BaseSettings):
    """A settings class that is filled from its arguments.

    pydantic-settings' own sources know no `*_FILE`, let one alias win silently over another, and do not tell
    where a value came from; `streamsync.config.sources` does that part.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Neither the environment nor files."""
        return (init_settings,)


def setting(
    default: object,
    variables: str,
    description: str,
    *,
    takes: str | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """One setting. `variables` are the names operators know it by, the one to recommend first."""
    extra: dict[str, Any] = {"variables": variables.split(), "takes": takes}
    bounds: dict[str, Any] = {}
    if ge is not None or gt is not None:
        bounds = {"ge": ge, "gt": gt, "le": LARGEST if le is None else le}
        if isinstance(default, float):
            bounds["allow_inf_nan"] = False
    return Field(default, description=description, json_schema_extra=extra, **bounds)


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as operators see it."""

    field: str
    variables: tuple[str, ...]
    description: str
    takes: str
    default: object
    secret: bool

    @property
    def variable(self) -> str:
        """The name to recommend."""
        return self.variables[0]


def describe(name: str, field: FieldInfo) -> SettingInfo:
    """Read what `setting` wrote, and put the type and its limits into words."""
    extra = cast("dict[str, Any]", field.json_schema_extra)
    return SettingInfo(
        field=name,
        variables=tuple(extra["variables"]),
        description=field.description or "",
        takes=extra["takes"] or _takes(field),
        default=field.default,
        secret="SecretStr" in repr(field.annotation),
    )


def _takes(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        *others, last = get_args(field.annotation)
        return f"{', '.join(others)} or {last}"
    noun = "a whole number" if field.annotation is int else "a number"
    low, most = "", LARGEST
    for limit in field.metadata:
        if isinstance(limit, annotated_types.Ge):
            low = f"{limit.ge}"
        elif isinstance(limit, annotated_types.Gt):
            low = f"above {limit.gt}"
        elif isinstance(limit, annotated_types.Le):
            most = cast("int", limit.le)
    if low.startswith("above"):
        return f"{noun} {low}, {most} at most"
    return f"{noun}, {low} or more" if most == LARGEST else f"{noun} from {low} to {most}"


def require(variable: str, value: SecretStr | None, how: str) -> str:
    """The value, in clear. Raises ConfigurationError, with every way to set it, where there is none."""
    if value is None:
        raise ConfigurationError(
            f"{variable} is not set. Set {variable}, or {variable}_FILE to the path of a file that holds it, "
            f"or put a file named {variable.lower()} into the secrets directory; {how}"
        )
    return value.get_secret_value()
