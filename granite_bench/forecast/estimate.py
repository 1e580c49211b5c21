"""A figure that is not known exactly: the least, the likely and the most that it may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """Three values of one figure, low <= likely <= high."""

    low: float
    likely: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Estimate:
        """A figure that is known."""
        return cls(value, value, value)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> Estimate:
        """Each of them *factor* times, which is not negative."""
        return Estimate(self.low * factor, self.likely * factor, self.high * factor)


NOTHING = Estimate.exactly(0.0)
