"""Figures as they are printed."""

from __future__ import annotations

import pytest

from granite_bench.printed import interval_text, p_text, points, score_text, some, speed_text
from granite_bench.stats.bootstrap import ConfidenceInterval


@pytest.mark.parametrize(("value", "text"), [(0.54321, "54.32"), (1.0, "100.00"), (0.0, "0.00")])
def test_a_score_is_printed_times_100_with_two_decimals(value: float, text: str) -> None:
    """Also where they are zeros."""
    assert score_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+1.23"), (-0.5, "−50.00"), (-0.00001, "+0.00"), (0.0, "+0.00")]
)
def test_points_have_a_sign(value: float, text: str) -> None:
    """A minus sign, not a hyphen; what rounds to zero is zero."""
    assert points(value) == text


def test_an_interval_goes_from_its_low_end_to_its_high_end() -> None:
    """In points."""
    interval = ConfidenceInterval(-0.004, -0.012, 0.004, confidence=0.95, n=9)
    assert interval_text(interval) == "−1.20 to +0.40"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "1.00"),
        (0.1, "0.10"),
        (0.0999, "0.100"),
        (0.0214, "0.021"),
        (0.001, "0.001"),
        (0.0009999, "< 0.001"),
        (0.0002, "< 0.001"),
    ],
)
def test_p_values_have_two_digits_that_count(p: float, text: str) -> None:
    """And none is zero."""
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12_345.6, "12,346"), (100.0, "100"), (99.94, "99.9"), (10.0, "10.0"), (9.994, "9.99")],
)
def test_a_speed_has_three_digits_that_count(value: float, text: str) -> None:
    """More where it is larger."""
    assert speed_text(value) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [("", ""), ("ab", "a, b"), ("abc", "a, b and 1 more"), ("abcde", "a, b and 3 more")],
)
def test_the_names_that_are_left_out_are_counted(names: str, text: str) -> None:
    """Of two at most."""
    assert some(list(names), most=2) == text
