"""Measurements that took turns: what a record says of them, and what a page makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from results_tree import table_of, write_result
from speed_tree import turns_content, write_speed

from granite_bench.errors import BadInput
from granite_bench.report.speed import lay_out_speed
from granite_bench.results.speed_comparison import Turns
from granite_bench.results.speed_records import latest, read_speed_records

FASTER = (2.0, 1.9, 2.1)
SLOWER = (0.5, 0.48, 0.53)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def test_a_sentence_has_the_ratio_and_its_interval() -> None:
    """Over so many turns, in the unit that was counted."""
    turns = Turns.model_validate(turns_content(0, "org/a", org_b=FASTER))
    said = "org/a is 2.00 times as fast as org/b (texts per second; 95% interval 1.90 to 2.10"
    assert turns.sentences == [f"{said}, 3 turns)"]


def test_an_interval_that_holds_1_is_said_to_be_no_difference() -> None:
    """Noise explains it."""
    turns = Turns.model_validate(turns_content(0, "org/a", org_b=(1.05, 0.9, 1.2)))
    assert turns.sentences[0].endswith("0.90 to 1.20, 3 turns; no clear difference)")


def test_a_single_turn_has_no_interval() -> None:
    """The ratio alone."""
    content = turns_content(0, "org/a", org_b=FASTER)
    content["ratios"][0]["ratio"] |= {"low": None, "high": None, "n_pairs": 1}
    said = Turns.model_validate(content).sentences
    assert said == ["org/a is 2.00 times as fast as org/b (texts per second)"]


@pytest.mark.parametrize(
    ("key", "value"), [("value", 0.0), ("n_pairs", 0), ("confidence", 95), ("low", "1.9")]
)
def test_a_broken_ratio_is_named(key: str, value: Any, root: Path) -> None:
    """With its file and its place."""
    content = turns_content(0, "org/a", org_b=FASTER)
    content["ratios"][0]["ratio"][key] = value
    path = write_speed(root, "org/a", comparison=content)
    with pytest.raises(BadInput) as raised:
        read_speed_records(root)
    assert f"{path}: comparison.ratios.0.ratio.{key}: " in str(raised.value)


def test_a_record_of_format_1_has_turns_without_ratios(root: Path) -> None:
    """They were printed, and not kept."""
    path = write_speed(root, "org/a", comparison={"id": "0123456789ab", "position": 1})
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    (found,) = read_speed_records(root)
    assert found.turns == Turns(id="0123456789ab", position=1)
    assert found.turns.sentences == []


def test_of_settings_of_one_model_that_took_turns_the_first_named_counts(root: Path) -> None:
    """Padding or not is no column of its own; whatever the file's name, and however fast."""
    for name, position, chunks in (
        ("1.json", 1, 300.0),
        ("2.json", 0, 100.0),
        ("3.json", 2, 200.0),
    ):
        turns = turns_content(position, f"org/a ({position})")
        write_speed(root, "org/a", name=name, chunks=chunks, comparison=turns)
    (found,) = latest(read_speed_records(root))
    assert found.turns is not None
    assert found.turns.position == 0


def test_a_picture_has_the_ratios_of_those_that_took_turns(root: Path) -> None:
    """Once under the table, from the first to the others; and every pair in the cells' notes."""
    ratios = {"org/a": {"org_b": FASTER}, "org/b": {"org_a": SLOWER}}
    for position, (model, others) in enumerate(ratios.items()):
        for task in ("TaskA", "TaskB"):
            write_result(root, model, task, {"test": {"default": 0.5}})
        turns = turns_content(position, model, **others)
        write_speed(root, model, chunks=1000.0 / (position + 1), comparison=turns)
    page = lay_out_speed(table_of(root, "TaskA", "TaskB"))
    said = "org/a is 2.00 times as fast as org/b (texts per second; 95% interval 1.90 to 2.10"
    assert [note for note in page.notes if note.startswith("In turns")] == [
        f"In turns, {said}, 3 turns)."
    ]
    first, second = (row[page.heads.index("Speed")].note for row in page.rows)
    assert f"in turns: {said}" in first
    assert "in turns: org/b is 0.50 times as fast as org/a" in second
