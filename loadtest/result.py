"""Figures of several rounds, and their medians."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Figures:
    """One figure, once per round."""

    values: list[float] = field(default_factory=list)

    def summary(self) -> tuple[float, float, float]:
        """(minimum, median, maximum)."""
        return min(self.values), median(self.values), max(self.values)


@dataclass(slots=True)
class Result:
    """All figures of a scenario by name, with the parameters they were measured with."""

    parameters: dict[str, object]
    figures: dict[str, Figures] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Add one round's value."""
        self.figures.setdefault(name, Figures()).values.append(value)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        figures = {}
        for name, item in self.figures.items():
            low, middle, high = item.summary()
            figures[name] = {"min": low, "median": middle, "max": high, "rounds": item.values}
        return {"parameters": self.parameters, "figures": figures}
