"""Baselines: a file says what the results said, keeps its history, and is refused when broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_tree import lowered, measured, write_measured
from results_tree import suite_of

from granite_bench.comparison.differences import compare_scores
from granite_bench.errors import BadInput
from granite_bench.gate.baseline import FileBaseline, History, open_baseline
from granite_bench.gate.baseline_file import HistoryEntry, _packed, _sha256
from granite_bench.gate.baseline_update import update
from granite_bench.gate.policy import Policy
from granite_bench.suite.suite import Suite

SUITE = suite_of("TaskA", {"name": "TaskB", "subsets": ["en", "de"]})
POLICY = Policy.model_validate(
    {
        "version": 1,
        "name": "x",
        "default": {"max_drop": 0.01},
        "tasks": {"TaskA": {"recall_at_100": {}}},
    }
)
SCORES = np.random.default_rng(7).choice([0.0, 0.5, 0.63093, 1.0], 60).tolist()


def _tree(root: Path, model: str = "org/a", scores: list[float] = SCORES, **options: Any) -> Path:
    write_measured(root, model, "TaskA", scores, recalls=[*scores[1:], 0.5], **options)
    write_measured(root, model, "TaskB", {"en": scores, "de": scores[::-1]}, **options)
    return root


def _file(path: Path, root: Path, *models: str, accepted: str | None = None) -> list[str]:
    """Update the file from a tree, as a check that passed does."""
    baseline = open_baseline(path, SUITE, make=True)
    assert isinstance(baseline, FileBaseline)
    candidates = [measured(root, model, SUITE, POLICY) for model in models or ("org/a",)]
    reasons = {each.model: accepted for each in candidates} if accepted is not None else {}
    return update(baseline, SUITE, candidates, reasons)


def _content(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_a_file_gives_the_differences_of_the_results_that_it_was_made_of(tmp_path: Path) -> None:
    """By the suite's metric and by one that the policy names, tested alike."""
    _tree(tmp_path / "results")
    _tree(tmp_path / "after", scores=lowered(SCORES, by=0.0625, of=20))
    _file(tmp_path / "baseline.json", tmp_path / "results")
    candidate = measured(tmp_path / "after", "org/a", SUITE, POLICY)
    folder = open_baseline(tmp_path / "results", SUITE)
    file = open_baseline(tmp_path / "baseline.json", SUITE)
    suites = POLICY.suites(SUITE)
    assert len(suites) == 2
    for suite in suites:
        one = compare_scores(folder.find("org/a", suites).measured, candidate, suite)
        other = compare_scores(file.find("org/a", suites).measured, candidate, suite)
        assert one.tasks
        assert one.tasks == other.tasks
        assert one.parts == other.parts
        assert one.average == other.average
        assert one.unlike == other.unlike == []


def test_a_file_says_what_is_missing_of_the_suite(tmp_path: Path) -> None:
    """A suite that has grown since finds a hole."""
    _tree(tmp_path / "results")
    _file(tmp_path / "baseline.json", tmp_path / "results")
    grown = suite_of("TaskA", {"name": "TaskB", "subsets": ["en", "de", "fr"]}, "TaskC")
    found = open_baseline(tmp_path / "baseline.json", grown).find("org/a", [grown])
    assert found.measured.missing == ["TaskB[fr] test", "TaskC test"]


def test_each_figure_of_a_file_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    """A change of one score is a change of its line; the packed scores come last."""
    _tree(tmp_path / "results")
    _file(tmp_path / "baseline.json", tmp_path / "results")
    lines = (tmp_path / "baseline.json").read_text().splitlines()
    figures = [line for line in lines if '"score":' in line]
    assert len(figures) == 4
    assert all(len(line) < 500 for line in figures)
    packed = [place for place, line in enumerate(lines) if '"packed":' in line]
    assert min(packed) > max(lines.index(line) for line in figures)


def test_the_same_queries_are_kept_once(tmp_path: Path) -> None:
    """Four evaluations of two models over the same ids have one list of ids."""
    _tree(tmp_path / "results")
    _tree(tmp_path / "results", "org/b")
    _file(tmp_path / "baseline.json", tmp_path / "results", "org/a", "org/b")
    content = _content(tmp_path / "baseline.json")
    assert len(content["queries"]) == 1
    assert [len(of_model) for of_model in content["scores"].values()] == [4, 4]


def test_an_update_without_a_change_leaves_the_file_alone(tmp_path: Path) -> None:
    """Byte for byte; and a change of one model adds to the history of that one."""
    path, root = tmp_path / "baseline.json", tmp_path / "results"
    _tree(root)
    _tree(root, "org/b")
    assert _file(path, root, "org/a", "org/b") == ["org/a", "org/b"]
    before = path.read_bytes()
    assert _file(path, root, "org/a", "org/b") == []
    assert path.read_bytes() == before
    _tree(root, "org/b", lowered(SCORES, by=0.25, of=3))
    assert _file(path, root, "org/a", "org/b") == ["org/b"]
    models = _content(path)["models"]
    assert [len(models[name]["history"]) for name in ("org/a", "org/b")] == [1, 2]
    assert models["org/b"]["history"][0] == json.loads(before)["models"]["org/b"]["history"][0]


def test_a_model_that_is_not_updated_stays_as_it_is(tmp_path: Path) -> None:
    """Its figures, its packed scores and its history."""
    path, root = tmp_path / "baseline.json", tmp_path / "results"
    _tree(root)
    _file(path, root)
    before = _content(path)
    _tree(root, "org/b", SCORES[::-1])
    _file(path, root, "org/b")
    after = _content(path)
    assert after["models"]["org/a"] == before["models"]["org/a"]
    assert after["scores"]["org/a"] == before["scores"]["org/a"]


def test_a_reason_is_kept_once(tmp_path: Path) -> None:
    """Accepting the same for the same reason again adds nothing."""
    path, root = tmp_path / "baseline.json", _tree(tmp_path / "results")
    _file(path, root)
    assert _file(path, root, accepted="shorter texts") == ["org/a"]
    assert _file(path, root, accepted="shorter texts") == []
    history = _content(path)["models"]["org/a"]["history"]
    assert [entry["accepted"] for entry in history] == [None, "shorter texts"]


def test_a_reason_that_was_given_before_another_is_one_again(tmp_path: Path) -> None:
    """The best starts anew from it, whatever was accepted in between."""
    path, root = tmp_path / "baseline.json", _tree(tmp_path / "results")
    for reason in ("shorter texts", "fewer texts", "shorter texts"):
        assert _file(path, root, accepted=reason) == ["org/a"]
    history = _content(path)["models"]["org/a"]["history"]
    assert [entry["accepted"] for entry in history] == [
        "shorter texts", "fewer texts", "shorter texts",
    ]  # fmt: skip


def test_a_file_that_somebody_else_changed_is_not_written(tmp_path: Path) -> None:
    """What the other wrote stays."""
    path, root = tmp_path / "baseline.json", _tree(tmp_path / "results")
    _file(path, root)
    baseline = open_baseline(path, SUITE, make=True)
    assert isinstance(baseline, FileBaseline)
    path.write_text(path.read_text() + "\n")
    theirs = path.read_bytes()
    candidate = measured(_tree(tmp_path / "after", scores=SCORES[::-1]), "org/a", SUITE)
    with pytest.raises(BadInput, match="changed by somebody else"):
        update(baseline, SUITE, [candidate], {})
    assert path.read_bytes() == theirs


def test_rows_are_not_needed_for_a_baseline(tmp_path: Path) -> None:
    """Scores alone are kept, and say that they have no queries."""
    root = _tree(tmp_path / "results", rows=False)
    _file(tmp_path / "baseline.json", root)
    found = open_baseline(tmp_path / "baseline.json", SUITE).find("org/a", [SUITE])
    assert {each.queries for each in found.measured.evaluations.values()} == {None}


# Broken files


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _edit(change: Callable[[Any], None]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return edit


def _higher_score(content: Any) -> None:
    content["models"]["org/a"]["evaluations"][0]["score"] += 0.01


def _fewer_queries(content: Any) -> None:
    content["models"]["org/a"]["evaluations"][0]["n_queries"] -= 1


def _other_packed(content: Any) -> None:
    of_model = content["scores"]["org/a"]
    of_model["TaskA test ndcg_at_10"]["packed"] = of_model["TaskA test recall_at_100"]["packed"]


def _evaluation_twice(content: Any) -> None:
    evaluations = content["models"]["org/a"]["evaluations"]
    evaluations.append({**evaluations[0], "score": 0.9})


def _other_ids(ids: str) -> Callable[[Any], None]:
    """Packed as the file packs them, with a SHA-256 that fits."""

    def change(content: Any) -> None:
        content["queries"] = {_sha256(ids.encode()): _packed(ids.encode())}
        for each in content["scores"]["org/a"].values():
            each["queries"] = _sha256(ids.encode())

    return change


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param(_cut, "cannot be read as JSON", id="truncated"),
        pytest.param(lambda text: "[" * 200_000, "cannot be read as JSON", id="nested"),
        pytest.param(lambda text: "[]", "must be a JSON object", id="no object"),
        pytest.param(
            lambda text: text.replace('"format": 1', '"format": 2, "format": 1', 1),
            "key 'format' stands there twice",
            id="key twice",
        ),
        pytest.param(
            _edit(_evaluation_twice), "models.org/a: has TaskA test ndcg_at_10 2 times", id="twice"
        ),
        pytest.param(_edit(_other_ids("nothing")), "no list of different ids", id="ids no JSON"),
        pytest.param(_edit(_other_ids("[1, 2]")), "no list of different ids", id="ids no text"),
        pytest.param(_edit(_other_ids('["q", "q"]')), "no list of different ids", id="id twice"),
        pytest.param(
            _edit(lambda content: content.update(format=2)), "update granite-bench", id="newer"
        ),
        pytest.param(
            _edit(lambda content: content.update(suite="other")),
            "is a baseline of suite other, not of small",
            id="suite",
        ),
        pytest.param(
            _edit(lambda content: content.pop("queries")), "queries: is missing", id="key"
        ),
        pytest.param(
            _edit(lambda content: content.update(extra=1)), "extra: extra inputs", id="unknown key"
        ),
        pytest.param(_edit(_higher_score), "has a mean of", id="score"),
        pytest.param(_edit(_fewer_queries), "60 scores of 60 queries, not of 59", id="n_queries"),
        pytest.param(_edit(_other_packed), "is damaged", id="packed"),
        pytest.param(
            _edit(lambda content: content["queries"].clear()), "missing or damaged", id="ids"
        ),
        pytest.param(
            _edit(lambda content: content["scores"].clear()), "there are 60 queries", id="scores"
        ),
        pytest.param(
            _edit(lambda content: content["models"]["org/a"]["evaluations"].pop()),
            "belongs to no evaluation",
            id="stranger",
        ),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, broken: Callable[[str], str], said: str) -> None:
    """With what is wrong with it, and never read in part."""
    path = tmp_path / "baseline.json"
    _file(path, _tree(tmp_path / "results"))
    path.write_text(broken(path.read_text()))
    with pytest.raises(BadInput) as caught:
        open_baseline(path, SUITE)
    assert said in str(caught.value)


def test_all_faults_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    """Two evaluations that do not fit their scores are two faults."""
    path = tmp_path / "baseline.json"
    _file(path, _tree(tmp_path / "results"))
    content = _content(path)
    content["models"]["org/a"]["evaluations"][0]["score"] += 0.01
    content["models"]["org/a"]["evaluations"][2]["n_queries"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput) as caught:
        open_baseline(path, SUITE)
    assert len(caught.value.faults) == 2


# Folders and names


def test_a_baseline_that_is_not_there_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    """Unless it is to be made."""
    with pytest.raises(BadInput, match="--update-baseline"):
        open_baseline(tmp_path / "baseline.json", SUITE)
    assert open_baseline(tmp_path / "baseline.json", SUITE, make=True).names == []


def test_several_revisions_in_a_folder_are_never_mixed(tmp_path: Path) -> None:
    """A name is of one of them; which one must be said."""
    _tree(tmp_path, revision="before1")
    write_measured(tmp_path, "org/a", "TaskA", SCORES, revision="later2")
    baseline = open_baseline(tmp_path, SUITE)
    with pytest.raises(BadInput, match="2 revisions of org/a: before1, later2"):
        baseline.find("org/a", [SUITE])
    assert baseline.find("org/a@before", [SUITE]).measured.missing == []
    later = baseline.find("org/a@later2", [SUITE]).measured
    assert later.missing == ["TaskB[en] test", "TaskB[de] test"]


def test_the_revision_that_is_offered_is_one_that_was_run(tmp_path: Path) -> None:
    """What others reported comes last, though it is the first by its letters."""
    for revision in ("external", "run1"):
        _tree(tmp_path, revision=revision)
    with pytest.raises(BadInput, match="say which: 'org/a@run1'"):
        open_baseline(tmp_path, SUITE).find("org/a", [SUITE])


def test_a_folder_without_results_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever folder somebody names by mistake; the working folder, say, or all of a disk."""
    _tree(tmp_path)
    read: list[Path] = []
    monkeypatch.setattr("granite_bench.gate.revisions.model_hash", read.append)
    for name in ("", "/", str(tmp_path)):
        with pytest.raises(BadInput, match="has no model"):
            open_baseline(tmp_path, SUITE).find(name, [SUITE])
    assert read == []


def test_an_unknown_model_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    """Of a folder as of a file."""
    root = _tree(tmp_path / "results", "org/model-a")
    _file(tmp_path / "baseline.json", root, "org/model-a")
    for path in (root, tmp_path / "baseline.json"):
        with pytest.raises(BadInput, match=r"did you mean 'org/model-a'\?"):
            open_baseline(path, SUITE).find("org/model-b", [SUITE])


# History


def _entry(a: float | None, en: float, de: float, accepted: str | None = None) -> HistoryEntry:
    scores = {"TaskB[en] test": {"ndcg_at_10": en}, "TaskB[de] test": {"ndcg_at_10": de}}
    if a is not None:
        scores["TaskA test"] = {"ndcg_at_10": a}
    return HistoryEntry(
        date="2026-01-01T00:00:00+00:00", revision="r", granite_bench="0", mteb=None,
        accepted=accepted, average=None, scores=scores,
    )  # fmt: skip


def _best(entries: list[HistoryEntry], suite: Suite = SUITE) -> list[float | None]:
    history = History(entries, suite)
    found = [
        history.of_task(suite.tasks[0]),
        history.of_task(suite.tasks[1]),
        history.of_part("TaskB[de] test"),
        history.of_average(),
    ]
    return [None if each is None else round(each.score, 6) for each in found]


def test_the_best_of_each_column_may_be_of_another_entry() -> None:
    """TaskA in the second, TaskB (0.4 + 0.6) / 2 in the first; averages are 0.45 and 0.425."""
    assert _best([_entry(0.4, 0.4, 0.6), _entry(0.5, 0.3, 0.4)]) == [0.5, 0.5, 0.6, 0.45]


def test_an_accepted_drop_starts_the_best_anew() -> None:
    """The accepted entry itself counts, what was before does not."""
    entries = [_entry(0.9, 0.9, 0.9), _entry(0.4, 0.4, 0.4, "why not"), _entry(0.3, 0.3, 0.5)]
    assert _best(entries) == [0.4, 0.4, 0.5, 0.4]
    again = [*entries, _entry(0.2, 0.2, 0.2, "again")]
    assert _best(again) == [0.2, 0.2, 0.2, 0.2]


def test_a_column_that_an_entry_has_in_part_has_no_score_there() -> None:
    """An entry of before the suite had TaskA has no average of this suite."""
    assert _best([_entry(None, 0.9, 0.9), _entry(0.3, 0.4, 0.4)]) == [0.3, 0.9, 0.9, 0.35]
    assert _best([]) == [None, None, None, None]
