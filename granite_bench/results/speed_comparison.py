"""Measurements that took turns: how many times as fast one is as another, as a record has it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Ratio(_Part):
    """
    One speed to another.

    Attributes:
        value: geometric mean of the pairs' ratios; above 1, the one is faster than the other.
        low, high: its confidence interval; None with a single pair.
        confidence: of the interval, a fraction.
        n_pairs: measurements of either.
    """

    value: _Positive
    low: _Positive | None
    high: _Positive | None
    confidence: Annotated[float, Field(gt=0, lt=1)]
    n_pairs: Annotated[int, Field(gt=0)]

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 1 out: one is faster than the other beyond noise."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


class SpeedComparison(_Part):
    """
    A measurement with another.

    Attributes:
        position: of the other in each turn, from 0.
        label: of the other: its model, and the settings that told those that took turns apart.
        model, revision, settings: of the other, as its own record has them.
        unit: what both did so many of per second.
        ratio: of the speeds, of this measurement to the other.
    """

    position: int
    label: str
    model: str
    revision: str | None
    settings: dict[str, Any]
    unit: str
    ratio: Ratio

    def __str__(self) -> str:
        ratio, how = self.ratio, f"{self.unit} per second"
        if ratio.low is not None and ratio.high is not None:
            interval = f"{ratio.confidence:.0%} interval {ratio.low:.2f} to {ratio.high:.2f}"
            how += f"; {interval}, {ratio.n_pairs} turns"
            how += "" if ratio.is_clear else "; no clear difference"
        return f"{ratio.value:.2f} times as fast as {self.label} ({how})"


class Turns(_Part):
    """
    A measurement among those that it took turns with.

    Attributes:
        id: shared by all of them.
        position: in each turn, from 0.
        label: its model, and the settings that tell it from the others; empty in format 1.
        ratios: with every other, in their order; empty in format 1.
    """

    id: str
    position: int
    label: str = ""
    ratios: list[SpeedComparison] = []

    @property
    def sentences(self) -> list[str]:
        """What came out of it, a sentence for each of the others."""
        return [f"{self.label} is {each}" for each in self.ratios]
