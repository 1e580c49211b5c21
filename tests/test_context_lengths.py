"""Curves by the length of documents: which tasks have one, and what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from results_tree import suite_of, write_result

from granite_bench.report.context_lengths import ContextFigure, context_figures, context_length
from granite_bench.report.printed_table import HOLE
from granite_bench.report.suite_page import suite_page
from granite_bench.suite.suite import Suite
from granite_bench.tables.table import make_table

LENGTHS = (256, 1024, 4096)
SPLITS = [f"test_{length}" for length in LENGTHS]
PASSKEY = {"name": "Passkey", "splits": SPLITS}
SUITE = suite_of("Plain", PASSKEY)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """org/a falls from 90 to 20, org/b from 80 to 60; both have a task without lengths too."""
    root = tmp_path / "results"
    for model, values in {"org/a": (0.9, 0.5, 0.2), "org/b": (0.8, 0.7, 0.6)}.items():
        write_result(root, model, "Plain", {"test": {"default": 0.1}})
        write(root, model, *values)
    return root


def write(root: Path, model: str, *values: float, task: str = "Passkey") -> None:
    """A score for each length, in their order."""
    scores = {split: {"default": value} for split, value in zip(SPLITS, values, strict=False)}
    write_result(root, model, task, scores)


def drawn(
    root: Path, suite: Suite = SUITE, looks: dict[str, int] | None = None
) -> list[ContextFigure]:
    """Of the results in *root*."""
    return context_figures(make_table(suite, [root]), {} if looks is None else looks)


def shown(figure: ContextFigure) -> dict[str, list[str]]:
    """model -> what its row prints."""
    return {row.model: [cell.text for cell in row.cells] for row in figure.rows}


@pytest.mark.parametrize(
    ("split", "length"), [("test_4096", 4096), ("test", None), ("test_0", None), ("v2", None)]
)
def test_the_number_at_the_end_of_a_split_is_a_length(split: str, length: int | None) -> None:
    """As LongEmbed's and our own passkey's are called."""
    assert context_length(split) == length


def test_a_curve_has_every_model_and_length(root: Path) -> None:
    """Of the task that has lengths alone; the best of its models first in the legend."""
    (figure,) = drawn(root)
    assert [head for head, _ in figure.heads] == ["Model", "256", "1,024", "4,096"]
    assert shown(figure) == {
        "org/a": ["90.00", "50.00", "20.00"],
        "org/b": ["80.00", "70.00", "60.00"],
    }
    assert [entry.text for entry in figure.models] == ["org/b", "org/a"]
    assert figure.finding == "org/b has 80.00 at 256 tokens and 60.00 at 4,096."
    assert figure.caption.startswith("nDCG@10 of Passkey, by the length of the documents.")


def test_a_length_is_the_mean_over_tasks_that_have_it(root: Path) -> None:
    """90 and 70 make 80; 4,096 is there of one task alone for org/a, so it is a hole."""
    write(root, "org/a", 0.7, 0.3, task="Needle")
    write(root, "org/b", 0.6, 0.5, 0.4, task="Needle")
    (figure,) = drawn(root, suite_of(PASSKEY, {**PASSKEY, "name": "Needle"}))
    assert shown(figure) == {
        "org/a": ["80.00", "40.00", HOLE],
        "org/b": ["70.00", "60.00", "50.00"],
    }
    assert figure.caption.startswith("Mean nDCG@10 of Passkey and Needle, by")


def test_tasks_of_other_metrics_have_a_figure_of_their_own(root: Path) -> None:
    """A mean of both would mean nothing."""
    other = {**PASSKEY, "name": "Needle", "metric": "accuracy"}
    for model in ("org/a", "org/b"):
        scores: Any = {split: {"default": {"accuracy": 0.5}} for split in SPLITS}
        write_result(root, model, "Needle", scores)
    assert [each.title for each in drawn(root, suite_of(PASSKEY, other))] == ["nDCG@10", "accuracy"]


def test_two_lengths_are_no_curve(root: Path) -> None:
    """A table shows as much."""
    assert drawn(root, suite_of({**PASSKEY, "splits": SPLITS[:2]})) == []


def test_of_many_models_the_best_are_drawn_and_all_are_listed(root: Path) -> None:
    """Twelve lines can be told apart; the caption says that there are more."""
    for number in range(15):
        write(root, f"org/more-{number}", *[0.01 * number + 0.1] * 3)
    (figure,) = drawn(root, suite_of(PASSKEY))
    assert (len(figure.models), len(figure.rows)) == (12, 17)
    assert "org/more-0" not in {entry.text for entry in figure.models}
    assert figure.caption.endswith("The 12 best of 17 models; the table has all.")
    assert figure.svg.count('stroke-width: 2; stroke-linecap: square"') == 12


def test_a_model_keeps_the_look_it_has_in_other_pictures(root: Path) -> None:
    """And those without one get the next."""
    looks = {"org/a": 5}
    (figure,) = drawn(root, looks=looks)
    assert looks == {"org/a": 5, "org/b": 1}
    swatches = {entry.text: entry.swatch for entry in figure.models}
    assert "--series-6" in swatches["org/a"]


def test_the_page_draws_the_curve_the_same_every_time(root: Path) -> None:
    """After the scores, with its numbers."""
    page = suite_page(make_table(SUITE, [root]))
    assert page == suite_page(make_table(SUITE, [root]))
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", page)[1] == "Scores by context length"
    assert "Data: Small suite, 2 tasks. Scores by mteb." in page
