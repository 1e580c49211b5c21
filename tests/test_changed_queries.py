"""The queries that changed most, and what stands behind their ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from beir_folder import write_folder
from queries_tree import Values, write_queries
from results_tree import suite_of

from granite_bench.comparison.changed_queries import ChangedQuery, changed_queries, wanted_texts
from granite_bench.comparison.measured import Measured, measured_of
from granite_bench.comparison.task_texts import Wanted, read_texts
from granite_bench.results.tree import Result, read_results
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import Evaluation


def written(
    root: Path, model: str, values: Values, suite: Suite, **options: object
) -> tuple[Measured, Mapping[str, Result]]:
    """A model with one task, as it is read back."""
    write_queries(root, model, "T", values, **options)  # type: ignore[arg-type]
    results = {r.task: r for r in read_results(root) if r.model == model}
    return measured_of(model, "rev-1", {}, results, suite), results


def changed(
    tmp_path: Path, one: Values, other: Values, n: int, suite: Suite | None = None
) -> list[ChangedQuery]:
    """What changed most from one model to another."""
    suite = suite or suite_of("T")
    top = {"q0": ["x", "y", "z"]}
    first, of_first = written(tmp_path / "results", "org/a", one, suite)
    second, of_second = written(tmp_path / "results", "org/b", other, suite, top=top)
    return changed_queries(first, second, of_first, of_second, n)


def test_half_are_gains_and_half_are_losses(tmp_path: Path) -> None:
    """Of three gains and three losses the two largest each; gains first."""
    found = changed(
        tmp_path, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5], [0.9, 0.3, 0.5, 0.1, 0.8, 0.5, 0.5], 4
    )
    assert [(each.query, round(each.change, 2)) for each in found] == [
        ("q0", 0.9),
        ("q2", 0.5),
        ("q3", -0.9),
        ("q5", -0.5),
    ]


@pytest.mark.parametrize(
    ("n", "queries"), [(0, []), (1, ["q0"]), (4, ["q0", "q1", "q2", "q3"]), (9, None)]
)
def test_losses_fill_up_where_gains_are_few(
    tmp_path: Path, n: int, queries: list[str] | None
) -> None:
    """One gain and five losses; ties are never among them."""
    found = changed(tmp_path, [0.0] + [1.0] * 5 + [0.5], [1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5], n)
    expected = queries if queries is not None else [f"q{number}" for number in range(6)]
    assert [each.query for each in found] == expected


def test_gains_fill_up_where_losses_are_few(tmp_path: Path) -> None:
    """Five gains and no loss."""
    assert len(changed(tmp_path, [0.0] * 5, [1.0] * 5, 4)) == 4


def test_languages_take_turns_where_changes_are_equal(tmp_path: Path) -> None:
    """Two of each, not four of the first."""
    suite = suite_of({"name": "T", "subsets": ["de", "en"]})
    zeros, ones = {"de": [0.0] * 9, "en": [0.0] * 9}, {"de": [1.0] * 9, "en": [1.0] * 9}
    found = changed(tmp_path, zeros, ones, 4, suite)
    assert [each.evaluation.subset for each in found] == ["de", "en", "de", "en"]


def test_both_models_best_documents_stand_beside_a_query(tmp_path: Path) -> None:
    """In their order, with the models' own scores."""
    [found] = changed(tmp_path, [0.0, 0.5], [1.0, 0.5], 4)
    assert [hit.doc for hit in found.hits_of_one] == ["d0", "d1", "d2"]
    assert [hit.doc for hit in found.hits_of_other] == ["x", "y", "z"]
    assert found.hits_of_other[1].score == pytest.approx(0.9)


def test_the_documents_are_those_of_the_querys_own_language(tmp_path: Path) -> None:
    """Two subsets have a query of the same id."""
    suite = suite_of({"name": "T", "subsets": ["de", "en"]})
    zeros = {"de": [0.0, 0.5], "en": [0.5, 0.5]}
    found = changed(tmp_path, zeros, {**zeros, "de": [1.0, 0.5]}, 4, suite)
    assert [(each.evaluation.subset, each.query) for each in found] == [("de", "q0")]
    assert len(found[0].hits_of_other) == 3


def test_the_ids_of_several_pairs_are_wanted_once(tmp_path: Path) -> None:
    """Of an evaluation, every query and document that any pair shows."""
    suite = suite_of("T")
    one, of_one = written(tmp_path / "results", "org/a", [0.0, 0.0], suite)
    pairs = []
    for model, values in (("org/b", [1.0, 0.0]), ("org/c", [0.0, 1.0])):
        other, of_other = written(tmp_path / "results", model, values, suite)
        pairs.append((one, changed_queries(one, other, of_one, of_other, 2)))
    [wanted] = wanted_texts(pairs)
    assert wanted.queries == {"q0", "q1"}
    assert wanted.docs == {"d0", "d1", "d2"}
    assert wanted.dataset_revision == "data-1"


# The texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BEIR-layout folder of three documents."""
    docs = {
        "d0": {"title": "Granite", "text": "of quartz"},
        "d1": "Pumice floats",
        "d2": "Slate splits",
    }
    qrels = {"q0": {"d1": 1, "d2": 0}}
    return write_folder(tmp_path / "rocks", docs, {"q0": "what floats"}, qrels)


def wanted(task: str, revision: str = "") -> Wanted:
    """A query and two documents."""
    evaluation = Evaluation(task, "test", "default", "ndcg_at_10")
    return Wanted(evaluation, revision, frozenset({"q0"}), frozenset({"d0", "d1"}))


def test_texts_of_a_folder_are_beside_the_suite_file(folder: Path) -> None:
    """Title and text of documents, the query's, and what is judged relevant; nothing else."""
    suite = suite_of({"name": "rocks", "path": "rocks"})
    one = wanted("rocks")
    found, notes = read_texts(suite, [one], source=str(folder.parent / "suite.yaml"))
    assert notes == []
    texts = found[one.evaluation]
    assert texts.queries == {"q0": "what floats"}
    assert texts.docs == {"d0": "Granite of quartz", "d1": "Pumice floats"}
    assert texts.relevant == {"q0": frozenset({"d1"})}


def test_texts_of_other_data_are_not_shown(folder: Path) -> None:
    """The same ids might be of other documents."""
    suite = suite_of({"name": "rocks", "path": str(folder)})
    found, notes = read_texts(suite, [wanted("rocks", "another")])
    assert found == {}
    assert notes == ["No texts of rocks: the data here are of another revision than the results."]


def test_texts_that_would_have_to_be_downloaded_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note says how to have them; the hub is not asked."""
    monkeypatch.setattr("granite_bench.tasks.HF_HUB_CACHE", "nowhere")
    found, notes = read_texts(suite_of("SciFact"), [wanted("SciFact")])
    assert found == {}
    assert notes == ["No texts of SciFact: its data are not on this machine (see --mirror)."]


def test_a_failure_without_words_is_named_by_its_kind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers of data sets raise whatever they meet, some of it with no message."""

    def broken(*_: object, **__: object) -> None:
        raise EOFError

    monkeypatch.setattr("granite_bench.tasks.suite_task", broken)
    suite = suite_of({"name": "rocks", "path": str(folder)})
    assert read_texts(suite, [wanted("rocks")]) == ({}, ["No texts of rocks: EOFError."])


def test_texts_of_a_built_in_task_are_made(tmp_path: Path) -> None:
    """One of two languages, the other one is not read."""
    name = "ParallelFactsRetrieval"
    suite = suite_of({"name": name, "subsets": ["en-de", "de-en"]})
    evaluation = Evaluation(name, "test", "en-de", "ndcg_at_10")
    one = Wanted(evaluation, "", frozenset({"fact-14"}), frozenset({"fact-14"}))
    found, notes = read_texts(suite, [one])
    assert notes == []
    [text] = found[evaluation].docs.values()
    assert "penguin" in text.lower() or "pinguin" in text.lower()
