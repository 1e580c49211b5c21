"""Reading a results tree: whose result it is, what is broken, and what is not even opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from results_tree import count_reads, write_old_result, write_record, write_result

from granite_bench.errors import BadInput
from granite_bench.results.result_files import RECORD_VERSION, read_record
from granite_bench.results.tree import Result, read_results, results_root

HALF = {"test": {"default": 0.5}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def only(root: Path) -> Result:
    """The one result that is there."""
    (result,) = read_results(root)
    return result


def test_a_result_says_whose_it_is_and_what_it_scored(root: Path) -> None:
    """Splits and subsets become mappings; the rest is as mteb wrote it."""
    scores = {"dev": {"en": 0.25}, "test": {"en": 0.5, "de": 0.75}}
    path = write_result(root, "org/model", "TaskA", scores, revision="abc", date=1780040849.5)
    result = only(root)
    assert (result.model, result.revision, result.task) == ("org/model", "abc", "TaskA")
    assert (result.dataset_revision, result.mteb_version) == ("data-1", "2.26.24")
    assert result.date == 1780040849.5
    assert result.path == path
    assert {s: {n: e["ndcg_at_10"] for n, e in by.items()} for s, by in result.scores.items()} == (
        scores
    )


def test_what_mteb_writes_is_read_with_mtebs_own_names(tmp_path: Path) -> None:
    """A variant saved by mteb.ResultCache itself; its model_meta.json holds the settings."""
    from mteb.cache import ResultCache
    from mteb.models import ModelMeta
    from mteb.results import TaskResult

    meta = ModelMeta.create_empty(
        {"name": "org/model", "revision": "abc", "experiment_kwargs": {"max_length": 512}}
    )
    entry = {"main_score": 0.5, "ndcg_at_10": 0.5, "hf_subset": "default", "languages": []}
    task = TaskResult(
        dataset_revision="data-1",
        task_name="TaskA",
        mteb_version="2.26.24",
        scores={"test": [entry]},
        evaluation_time=1.0,
    )
    ResultCache(tmp_path).save_to_cache(task, meta)
    result = only(tmp_path)
    assert (result.model, result.revision) == (meta.model_name_with_experiment, "abc")
    assert result.scores["test"]["default"]["ndcg_at_10"] == 0.5


def test_without_model_meta_the_folders_name_the_model(root: Path) -> None:
    """Results of older releases of mteb come without it."""
    write_result(root, "org/model", "TaskA", HALF, revision="abc", meta=False)
    assert (only(root).model, only(root).revision) == ("org/model", "abc")


def test_a_variant_without_model_meta_has_its_folder_behind_its_name(root: Path) -> None:
    """Its settings are known from the folder alone."""
    write_result(root, "org/model", "TaskA", HALF, settings={"max_length": 512}, meta=False)
    assert (only(root).model, only(root).revision) == ("org/model (max_length_512)", "rev-1")


def test_a_variant_has_its_settings_behind_its_name(root: Path) -> None:
    """In alphabetical order, whatever the order in the file."""
    settings = {"max_length": 512, "dtype": "bfloat16"}
    write_result(root, "org/model", "TaskA", HALF, settings=settings)
    assert only(root).model == "org/model (dtype=bfloat16, max_length=512)"


def test_two_revisions_are_two_results(root: Path) -> None:
    """Which of them a table takes, the table decides."""
    write_result(root, "org/model", "TaskA", HALF, revision="b")
    write_result(root, "org/model", "TaskA", HALF, revision="a")
    assert [result.revision for result in read_results(root)] == ["a", "b"]


def test_a_result_without_a_date_is_older_than_any_other(root: Path) -> None:
    """Older releases of mteb write none, or null."""
    write_result(root, "org/model", "TaskA", HALF)
    assert only(root).date == 0.0


@pytest.mark.parametrize("named", [".", "results"])
def test_the_results_folder_or_the_one_above_it_may_be_named(named: str, tmp_path: Path) -> None:
    """mteb.ResultCache(X) reads X/results."""
    write_result(tmp_path / "results", "org/model", "TaskA", HALF)
    assert results_root(tmp_path / named) == tmp_path / "results"
    assert only(tmp_path / named).task == "TaskA"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the folder that was looked for, which is the one below."""
    with pytest.raises(BadInput) as caught:
        read_results(tmp_path / "nowhere")
    assert caught.value.faults[0].where == str(tmp_path / "nowhere" / "results")


def test_records_settings_and_metadata_are_no_results(root: Path) -> None:
    """They lie beside the results, and end in .json too."""
    path = write_result(root, "org/model", "TaskA", HALF)
    write_record(path)
    (path.parent / "run_settings.jsonl").write_text("{}\n")
    assert [result.task for result in read_results(root)] == ["TaskA"]


BROKEN = {
    "cut off": ('{"task_name": "TaskA", "scores": {"te', "cannot be read as JSON"),
    "not text": ("\x00\x01", "cannot be read as JSON"),
    "empty": ("", "cannot be read as JSON"),
    "array": ("[1, 2]", "must be a JSON object"),
    "no scores": ('{"task_name": "TaskA"}', "is no mteb result"),
    "scores are a list": ('{"task_name": "TaskA", "scores": [1]}', "is no mteb result"),
    "no subset": ('{"task_name": "TaskA", "scores": {"test": [{}]}}', "is no mteb result"),
    # mteb before 1.11: splits at the top, no 'scores'.
    "old": ('{"mteb_version": "1.2.0", "test": {"ndcg_at_10": 0.5}}', "is no mteb result"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_result_is_named_with_what_is_wrong(kind: str, root: Path) -> None:
    """And nothing of the tree is returned, or a table would show a hole for it."""
    text, what = BROKEN[kind]
    path = write_result(root, "org/model", "TaskA", HALF)
    write_result(root, "org/model", "TaskB", HALF)
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_results(root)
    (fault,) = caught.value.faults
    assert fault.where == str(path)
    assert what in fault.what


def test_all_broken_files_are_named_at_once(root: Path) -> None:
    """So that a person mends them in one go; the metadata of a model counts too."""
    paths = [
        write_result(root, "org/model", f"Task{number}", HALF) for number in range(len(BROKEN))
    ]
    for path, (text, _) in zip(paths, BROKEN.values(), strict=True):
        path.write_text(text)
    other = write_result(root, "org/other", "TaskA", HALF)
    meta = other.parent / "model_meta.json"
    meta.write_text("[]")
    with pytest.raises(BadInput) as caught:
        read_results(root)
    assert [fault.where for fault in caught.value.faults] == [str(path) for path in (meta, *paths)]


def test_only_files_of_the_named_tasks_are_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a thousand results costs what its suite needs; broken others do no harm."""
    wanted = write_result(root, "org/model", "TaskA", HALF)
    variant = write_result(root, "org/model", "TaskA", HALF, settings={"dtype": "bfloat16"})
    write_result(root, "org/model", "TaskB", HALF).write_text("{broken")
    opened = count_reads(monkeypatch)
    assert len(read_results(root, ["TaskA", "TaskC"])) == 2
    metas = [path.parent / "model_meta.json" for path in (wanted, variant)]
    assert sorted(opened) == sorted([wanted, variant, *metas])


def test_a_record_is_opened_only_when_it_is_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then once."""
    record = write_record(write_result(root, "org/model", "TaskA", HALF))
    opened = count_reads(monkeypatch)
    result = only(root)
    assert record not in opened
    assert result.record["task"] == result.record["task"] == "TaskA"
    assert opened.count(record) == 1


def test_a_result_of_another_program_has_an_empty_record(root: Path) -> None:
    """mteb's own runs leave none."""
    write_result(root, "org/model", "TaskA", HALF)
    assert only(root).record == {}


def test_records_and_per_query_rows_lie_beside_the_result(root: Path) -> None:
    """Under one name, so that removing a task by hand is a matter of one pattern."""
    path = write_result(root, "org/model", "TaskA", HALF)
    assert only(root).queries_path == path.parent / "records" / "TaskA.parquet"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (json.dumps({"version": RECORD_VERSION + 1}), "newer than this release reads"),
        (json.dumps({"version": "1"}), "has no format version"),
        (json.dumps({"task": "TaskA"}), "has no format version"),
        ("[]", "must be a JSON object"),
        ('{"version": 1', "cannot be read as JSON"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(text: str, what: str, root: Path) -> None:
    """A record of a newer release is left as it is."""
    record = write_record(write_result(root, "org/model", "TaskA", HALF))
    record.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_record(record)
    assert caught.value.faults[0].where == str(record)
    assert what in caught.value.faults[0].what
    assert record.read_text() == text


# --- what older releases of mteb wrote --------------------------------------------------------


OLD = {
    # task, its main score, and splits as mteb 1.0 to 1.10 wrote them
    "one subset": ("SciFact", {"test": {"ndcg_at_10": 0.5, "map_at_10": 0.25}}),
    "languages": (
        "MassiveIntentClassification",
        {"test": {"en": {"accuracy": 0.5}, "de": {"accuracy": 0.75, "f1": 0.5}}},
    ),
    "splits": ("MSMARCO", {"dev": {"ndcg_at_10": 0.5}, "test": {"ndcg_at_10": 0.75}}),
    "nested": (
        "TwitterSemEval2015",
        {"test": {"cos_sim": {"ap": 0.5, "f1": 0.25}, "max": {"ap": 0.75, "f1": 0.5}}},
    ),
}


@pytest.mark.parametrize("kind", OLD)
def test_the_oldest_form_is_converted_as_mteb_converts_it(kind: str, root: Path) -> None:
    """Splits at the top, no "scores": every number against TaskResult.from_disk."""
    from mteb.results import TaskResult

    task, splits = OLD[kind]
    path = write_old_result(root, "org/model", task, splits)
    result, theirs = only(root), TaskResult.from_disk(path)
    assert (result.task, result.mteb_version) == (theirs.task_name, theirs.mteb_version)
    assert result.dataset_revision == theirs.dataset_revision
    assert result.scores == {
        split: {
            entry["hf_subset"]: {
                name: value for name, value in entry.items() if isinstance(value, float)
            }
            for entry in entries
        }
        for split, entries in theirs.scores.items()
    }
    assert any(entries for entries in result.scores.values())


def test_an_old_result_has_mtebs_new_names_of_its_scores(root: Path) -> None:
    """cos_sim became cosine, so that one name serves results of all ages."""
    write_old_result(root, "org/model", *OLD["nested"])
    scores = only(root).scores["test"]["default"]
    assert (scores["cosine_ap"], scores["max_ap"]) == (0.5, 0.75)


def test_an_old_result_has_no_date(root: Path) -> None:
    """mteb's converter would give it the time of the reading, and make it the newest."""
    write_old_result(root, "org/model", *OLD["one subset"])
    assert only(root).date == 0.0


def test_an_old_result_of_an_unknown_task_is_named(root: Path) -> None:
    """mteb cannot convert what its registry does not have."""
    path = write_old_result(root, "org/model", "NoSuchTask", {"test": {"ndcg_at_10": 0.5}})
    with pytest.raises(BadInput) as caught:
        read_results(root)
    (fault,) = caught.value.faults
    assert fault.where == str(path)
    assert "mteb cannot convert this old result: KeyError" in fault.what


def test_nested_scores_of_pair_classification_are_flat_as_mteb_makes_them(root: Path) -> None:
    """mteb 1.11 to 1.12.47: {"max": {"ap": ...}} is max_ap."""
    from mteb.results import TaskResult

    scores = {"test": {"default": {"max": {"ap": 0.75}, "cos_sim": {"ap": 0.5}}}}
    path = write_result(root, "org/model", "TwitterSemEval2015", scores)
    content = json.loads(path.read_text())
    content["scores"]["test"][0]["main_score"] = 0.75
    path.write_text(json.dumps({**content, "mteb_version": "1.12.0"}))
    (theirs,) = TaskResult.from_disk(path).scores["test"]
    ours = only(root).scores["test"]["default"]
    assert ours == {name: value for name, value in theirs.items() if isinstance(value, float)}
    assert (ours["max_ap"], ours["cos_sim_ap"]) == (0.75, 0.5)


def test_results_that_others_reported_are_of_the_revision_external(root: Path) -> None:
    """The folder's name, whatever revision the metadata in it names."""
    path = write_result(root, "org/model", "TaskA", HALF, revision="external")
    meta = path.parent / "model_meta.json"
    meta.write_text(json.dumps({"name": "org/model", "revision": "abc"}))
    assert (only(root).model, only(root).revision) == ("org/model", "external")


def test_a_shorter_dimension_is_a_variant_that_says_so(root: Path) -> None:
    """As mteb names it."""
    write_result(root, "org/model", "TaskA", HALF, settings={"embed_dim": 512})
    result = only(root)
    assert (result.model, result.settings) == ("org/model (embed_dim=512)", {"embed_dim": 512})


def test_nan_is_none_and_infinity_too(root: Path) -> None:
    """JSON has no other word for it; the metric is there, and has no value."""
    scores = {"test": {"default": {"ndcg_at_10": float("nan"), "map_at_10": float("inf")}}}
    write_result(root, "org/model", "TaskA", scores)
    assert only(root).scores["test"]["default"] == {"ndcg_at_10": None, "map_at_10": None}


def test_of_a_thousand_files_the_two_of_the_task_are_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the metadata of the two folders that have them; the table needs no more."""
    from results_tree import suite_of

    from granite_bench.tables.table import make_table

    for model in range(10):
        for task in range(100):
            write_result(root, f"org/m{model}", f"Other{task}", HALF)
    wanted = [write_result(root, f"org/m{model}", "TaskA", HALF) for model in (3, 7)]
    opened = count_reads(monkeypatch)
    table = make_table(suite_of("TaskA"), [root])
    assert [row.model for row in table.rows] == ["org/m3", "org/m7"]
    assert sorted(opened) == sorted(
        [*wanted, *(path.parent / "model_meta.json" for path in wanted)]
    )
