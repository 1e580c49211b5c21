"""Suites and panels: the shipped files agree with mteb, and a faulty file names all its faults."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from granite_bench.errors import BadInput, Fault
from granite_bench.suite.panel import load_panel
from granite_bench.suite.shipped import panel_names, suite_names
from granite_bench.suite.suite import Suite, load_suite

BUILT_IN_TASKS = {
    "PythonStdlibRetrieval",
    "PasskeyByLengthRetrieval",
    "ParallelFactsRetrieval",
}

# Tasks per suite, as the published tables count them.
TASK_COUNTS = {
    "multilingual-retrieval": 18,
    "code": 12,
    "coir": 10,
    "english-retrieval": 10,
    "beir": 15,
    "longembed": 6,
    "rar-b": 17,
    "miracl": 1,
    "mldr": 1,
    "cross-lingual": 2,
    "mintaka": 1,
    "by-language": 23,
    "mteb-english": 41,
    "nano": 13,
}

# Scores that are averaged into one task: subsets times splits.
PARTS_OF_TASKS = [
    ("cross-lingual", "BelebeleRetrieval", 376),
    ("cross-lingual", "MLQARetrieval", 98),
    ("miracl", "MIRACLRetrieval", 18),
    ("mldr", "MultiLongDocRetrieval", 13),
    ("mintaka", "MintakaRetrieval", 8),
    ("longembed", "LEMBNeedleRetrieval", 8),
    ("longembed", "LEMBPasskeyRetrieval", 8),
    ("by-language", "FQuADRetrieval", 1),
    ("by-language", "XPQARetrieval", 1),
]

# The n of the "average (n)" columns in tables 10 to 16 of the R1 paper.
TASKS_PER_LANGUAGE = {
    "German": 4,
    "Spanish": 2,
    "French": 5,
    "Japanese": 2,
    "Arabic": 1,
    "Korean": 1,
    "Chinese": 8,
}

TASKS_PER_TYPE = {
    "Classification": 8,
    "Clustering": 8,
    "PairClassification": 3,
    "Reranking": 2,
    "Retrieval": 10,
    "STS": 9,
    "Summarization": 1,
}

# Suites that take only the retrieval tasks of their benchmark.
RETRIEVAL_SELECTIONS = {"multilingual-retrieval", "english-retrieval"}

# The R1 paper's captions say nDCG@10 for every task; mteb's main scores of these are
# mrr_at_5, ndcg_at_5 and recall_at_100.
METRICS_OTHER_THAN_MAIN_SCORE = {
    ("by-language", "GermanQuAD-Retrieval"): "ndcg_at_10",
    ("by-language", "GermanGovServiceRetrieval"): "ndcg_at_10",
    ("by-language", "BSARDRetrieval"): "ndcg_at_10",
}

PANEL_SIZES = {"multilingual-r2": 15, "english-r2": 12, "rerankers": 5, "sparse": 2}

# mteb 2.26 has no metadata of these; they are known by their name on the hub alone.
MODELS_UNKNOWN_TO_MTEB = {
    "rerankers": {
        "BAAI/bge-reranker-base",
        "BAAI/bge-reranker-large",
        "Alibaba-NLP/gte-reranker-modernbert-base",
        "ibm-granite/granite-embedding-reranker-english-r2",
    },
    "sparse": {
        "ibm-granite/granite-embedding-30m-sparse",
        "naver/splade-v3-distilbert",
    },
}


@pytest.fixture(scope="module")
def registry() -> SimpleNamespace:
    """What mteb knows; imported here so that collecting the tests stays quick."""
    import mteb

    tasks = mteb.get_tasks(exclude_superseded=False)
    return SimpleNamespace(
        tasks={task.metadata.name: task for task in tasks},
        models={meta.name for meta in mteb.get_model_metas()},
        benchmark=mteb.get_benchmark,
    )


@pytest.fixture(scope="module")
def suites() -> dict[str, Suite]:
    """Every shipped suite by its name."""
    return {name: load_suite(name) for name in suite_names()}


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suite_loads_with_only_known_tasks(name: str, registry: SimpleNamespace) -> None:
    """A task name that mteb dropped or renamed is noticed, and the file is called by its name."""
    suite = load_suite(name, known_tasks=registry.tasks.keys() | BUILT_IN_TASKS)

    assert suite.name == name


@pytest.mark.parametrize(("name", "count"), TASK_COUNTS.items())
def test_suite_has_as_many_tasks_as_the_published_table(name: str, count: int) -> None:
    """A mean over 14 of 15 tasks would not compare with a published mean over 15."""
    assert len(load_suite(name).tasks) == count


@pytest.mark.parametrize(("name", "task_name", "count"), PARTS_OF_TASKS)
def test_task_averages_as_many_scores_as_published(name: str, task_name: str, count: int) -> None:
    """Subsets times splits is the number of scores that the published figure averages."""
    [task] = [task for task in load_suite(name).tasks if task.name == task_name]

    assert len(task.subsets) * len(task.splits) == count


def test_by_language_has_the_published_number_of_tasks_per_language() -> None:
    """Each language of by-language is the mean over the tasks that its table lists."""
    suite = load_suite("by-language")

    assert Counter(task.group for task in suite.tasks) == TASKS_PER_LANGUAGE
    assert suite.average == "groups"


def test_beir_groups_the_fourteen_tasks_other_than_msmarco() -> None:
    """BEIR is also published as the mean without MSMARCO, on which many models were trained."""
    groups = {task.name: task.group for task in load_suite("beir").tasks}

    assert groups.pop("MSMARCO") == "MSMARCO"
    assert list(groups.values()) == ["without MSMARCO"] * 14


def test_cqadupstack_is_the_mean_of_the_parts_that_mteb_aggregates(
    suites: dict[str, Suite], registry: SimpleNamespace
) -> None:
    """CQADupstack counts once, so its parts must be all of the forums in mteb's aggregate."""
    [task] = [task for task in suites["beir"].tasks if task.parts]
    forums = [part.metadata.name for part in registry.tasks["CQADupstackRetrieval"].tasks]

    assert task.name == "CQADupstackRetrieval"
    assert set(task.parts) == set(forums)


def test_mteb_english_groups_are_the_task_types_of_mteb(
    suites: dict[str, Suite], registry: SimpleNamespace
) -> None:
    """The mean of a type is published, so each task must stand under its type in mteb."""
    groups = {task.name: task.group for task in suites["mteb-english"].tasks}

    assert groups == {name: registry.tasks[name].metadata.type for name in groups}
    assert Counter(groups.values()) == TASKS_PER_TYPE


def test_suite_with_a_benchmark_has_its_tasks_subsets_and_splits(
    suites: dict[str, Suite], registry: SimpleNamespace
) -> None:
    """What mteb's benchmark averages is what our suite averages; drift in mteb shows here."""
    ours, theirs = {}, {}
    for name, suite in suites.items():
        if suite.benchmark is None:
            continue
        ours[name] = {task.name: (set(task.subsets), set(task.splits)) for task in suite.tasks}
        theirs[name] = {
            task.metadata.name: (set(task.hf_subsets), set(task.eval_splits))
            for task in registry.benchmark(suite.benchmark).tasks
            if name not in RETRIEVAL_SELECTIONS or task.metadata.type == "Retrieval"
        }

    assert ours == theirs


def test_subsets_and_splits_exist_in_mteb(
    suites: dict[str, Suite], registry: SimpleNamespace
) -> None:
    """A task outside any benchmark still names only subsets and splits that mteb can load."""
    unknown = [
        (name, task.name, label)
        for name, suite in suites.items()
        for task in suite.tasks
        if (known := registry.tasks.get(task.name))
        for label in {*task.subsets} - {*known.hf_subsets} | {*task.splits} - {*known.eval_splits}
    ]

    assert unknown == []


def test_metric_is_the_main_score_of_mteb_except_where_a_table_says_otherwise(
    suites: dict[str, Suite], registry: SimpleNamespace
) -> None:
    """Any other metric than mteb's main score is a decision, listed above with its reason."""
    other = {
        (name, task.name): task.metric
        for name, suite in suites.items()
        for task in suite.tasks
        if task.name in registry.tasks
        and task.metric != registry.tasks[task.name].metadata.main_score
    }

    assert other == METRICS_OTHER_THAN_MAIN_SCORE


@pytest.mark.parametrize(("place", "metric"), METRICS_OTHER_THAN_MAIN_SCORE.items())
def test_metric_other_than_the_main_score_is_one_that_mteb_computes(
    place: tuple[str, str], metric: str, registry: SimpleNamespace
) -> None:
    """The rank metrics have scores at mteb's own cut-offs only; another k would find none."""
    [cut_off] = re.findall(r"^(?:ndcg|map|mrr|recall|precision|hit_rate)_at_(\d+)$", metric)

    assert int(cut_off) in registry.tasks[place[1]].k_values


def test_panel_of_every_suite_is_shipped(suites: dict[str, Suite]) -> None:
    """A suite's panel is a name that load_panel reads."""
    assert {suite.panel for suite in suites.values() if suite.panel} <= set(panel_names())


@pytest.mark.parametrize("name", panel_names())
def test_models_of_panel_are_known_to_mteb(name: str, registry: SimpleNamespace) -> None:
    """Model names are mteb's to the letter; the ones it lacks are listed above, and no others."""
    panel = load_panel(name)

    assert panel.name == name
    assert set(panel.models) - registry.models == MODELS_UNKNOWN_TO_MTEB.get(name, set())


@pytest.mark.parametrize(("name", "count"), PANEL_SIZES.items())
def test_panel_has_as_many_models_as_the_published_table(name: str, count: int) -> None:
    """No model of a panel is lost or stands there twice."""
    assert len(set(load_panel(name).models)) == len(load_panel(name).models) == count


FAULTY = """\
version: 2
name: mine
title: Mine
title: Mine again
description: A file with six faults.
average: median
colour: red
tasks:
  - SciFacts
  - NQ
  - name: NQ
    splits: [dev]
"""


def write_suite(folder: Path, text: str) -> str:
    """Write a suite file of a test and return its path."""
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def faults_of(name: str, **options: object) -> list[Fault]:
    """The faults with which a suite is refused."""
    with pytest.raises(BadInput) as refused:
        load_suite(name, **options)  # type: ignore[arg-type]
    return list(refused.value.faults)


def test_all_faults_of_a_file_are_named_at_once_with_their_places(tmp_path: Path) -> None:
    """A user mends a file in one round, not one round per fault."""
    path = write_suite(tmp_path, FAULTY)

    faults = faults_of(path, known_tasks=["SciFact", "NQ"])

    assert {fault.where.removeprefix(path): fault.what for fault in faults} == {
        ":4": "key 'title' stands here twice",
        ": version": "format 2 is not known to this release, which reads 1; "
        "update granite-bench (found 2)",
        ": average": "input should be 'tasks' or 'groups' (found 'median')",
        ": colour": "unknown key",
        ": tasks[2]": "task 'NQ' is listed twice",
        ": tasks[0]": "unknown task 'SciFacts'",
    }


def test_unknown_task_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    """A misspelt task comes with what was probably meant."""
    path = write_suite(tmp_path, FAULTY)

    hints = {fault.what: fault.hint for fault in faults_of(path, known_tasks=["SciFact", "NQ"])}

    assert hints["unknown task 'SciFacts'"].startswith("did you mean 'SciFact'?")


def test_unknown_key_of_a_task_is_answered_with_the_nearest_key(tmp_path: Path) -> None:
    """The suggestion comes from the keys of a task, not from those of the suite."""
    path = write_suite(tmp_path, valid("tasks: [{name: NQ, split: [dev]}]"))

    expected = Fault(f"{path}: tasks[0].split", "unknown key", "did you mean 'splits'?")
    assert expected in faults_of(path)


def test_file_that_is_not_yaml_names_the_line(tmp_path: Path) -> None:
    """The unclosed bracket of line 2 is found where the next key begins, in line 3."""
    path = write_suite(tmp_path, "version: 1\ntasks: [NQ\ntitle: Mine\n")

    [fault] = faults_of(path)

    assert fault.where == f"{path}:3"
    assert fault.what.startswith("not valid YAML")


def test_unknown_suite_is_answered_with_the_nearest_name() -> None:
    """A misspelt suite comes with what was probably meant."""
    [fault] = faults_of("longembedd")

    assert fault.what == "unknown suite 'longembedd'"
    assert "did you mean 'longembed'?" in fault.hint


def test_unknown_panel_is_answered_with_the_nearest_name() -> None:
    """A misspelt panel comes with what was probably meant."""
    with pytest.raises(BadInput, match="did you mean 'english-r2'"):
        load_panel("english-r1")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A path is never looked up among the shipped names."""
    path = str(tmp_path / "beir.yaml")

    assert faults_of(path) == [Fault(path, "no such suite file")]


def valid(tasks: str, *, metric: str = "ndcg_at_10") -> str:
    """A suite file without faults, but for what *tasks* brings in."""
    return f"version: 1\nname: mine\ntitle: Mine\ndescription: Mine.\nmetric: {metric}\n{tasks}\n"


def test_bare_task_name_takes_the_metric_of_the_suite(tmp_path: Path) -> None:
    """The reading side needs a metric for every task, spelled out or not."""
    path = write_suite(tmp_path, valid("tasks: [NQ, {name: SciFact}]", metric="recall_at_5"))

    assert [task.metric for task in load_suite(path).tasks] == ["recall_at_5", "recall_at_5"]


def test_metric_of_a_task_wins_over_that_of_the_suite(tmp_path: Path) -> None:
    """LongEmbed needs nDCG@1 for two tasks and nDCG@10 for four."""
    path = write_suite(tmp_path, valid("tasks: [NQ, {name: SciFact, metric: ndcg_at_1}]"))

    assert [task.metric for task in load_suite(path).tasks] == ["ndcg_at_10", "ndcg_at_1"]


def test_bare_task_name_means_subset_default_and_split_test(tmp_path: Path) -> None:
    """Most tasks of mteb have just these, so a suite need not write them."""
    path = write_suite(tmp_path, valid("tasks: [NQ]"))

    [task] = load_suite(path).tasks

    assert (task.subsets, task.splits) == (("default",), ("test",))


def test_unquoted_no_among_subsets_is_refused(tmp_path: Path) -> None:
    """YAML reads a bare no as false; Norwegian must not get lost without a word."""
    path = write_suite(tmp_path, valid("tasks: [{name: NQ, subsets: [sv, no]}]"))

    assert f"{path}: tasks[0].subsets[1]" in [fault.where for fault in faults_of(path)]


def test_unknown_part_of_a_task_is_named_with_its_place(tmp_path: Path) -> None:
    """The parts of an aggregate are tasks of mteb too."""
    path = write_suite(tmp_path, valid("tasks: [{name: NQ, parts: [NQ, Nope]}]"))

    [fault] = faults_of(path, known_tasks=["NQ"])

    assert (fault.where, fault.what) == (f"{path}: tasks[0].parts[1]", "unknown task 'Nope'")


def test_task_from_a_folder_need_not_be_known(tmp_path: Path) -> None:
    """A user's own corpus has a name that no registry holds."""
    path = write_suite(tmp_path, valid("tasks: [{name: Our docs, path: corpus}]"))

    assert load_suite(path, known_tasks=["NQ"]).tasks[0].path == "corpus"


def test_task_names_are_unchecked_without_known_tasks(tmp_path: Path) -> None:
    """The reading side does not import mteb, so it cannot know the names."""
    path = write_suite(tmp_path, valid("tasks: [AnyTask]"))

    assert load_suite(path).tasks[0].name == "AnyTask"


@pytest.mark.parametrize(
    "line",
    ["[a, b]: c", "description: 2020-99-99", "description: \x07", "<<: 3"],
    ids=["key that is a list", "impossible date", "control character", "merge of a number"],
)
def test_yaml_that_breaks_the_parser_is_bad_input(tmp_path: Path, line: str) -> None:
    """Whatever PyYAML raises, the user sees the file's name and no traceback."""
    path = write_suite(tmp_path, f"version: 1\n{line}\n")

    assert all(fault.where.startswith(path) for fault in faults_of(path))


def test_task_listed_twice_is_found_beside_other_faults(tmp_path: Path) -> None:
    """One broken task does not hide that another stands there twice."""
    path = write_suite(tmp_path, valid("tasks: [NQ, NQ, {name: ArguAna, split: [dev]}]"))

    assert {fault.where.removeprefix(f"{path}: ") for fault in faults_of(path)} == {
        "tasks[1]",
        "tasks[2].split",
    }


def test_dims_and_precisions_of_a_suite_are_read(tmp_path: Path) -> None:
    """A user's own suite may ask for a curve."""
    path = write_suite(
        tmp_path, valid("tasks: [NQ]\ndims: [768, 256]\nprecisions: [float32, int8]")
    )

    suite = load_suite(path)

    assert (suite.dims, suite.precisions) == ((768, 256), ("float32", "int8"))


def test_a_metric_may_have_any_name_of_mtebs(tmp_path: Path) -> None:
    """Such as that of retrieval by instructions."""
    path = write_suite(tmp_path, valid("tasks: [Core17InstructionRetrieval]", metric="p-MRR"))

    assert [task.metric for task in load_suite(path).tasks] == ["p-MRR"]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("dims: 256", "dims"),
        ("dims: [256.0]", "dims[0]"),
        ("dims: [-1]", "dims[0]"),
        ("dims: [256, 256]", "dims"),
        ("precisions: [float64]", "precisions[0]"),
        ("panel: english-r1", "panel"),
        ("max_length: '512'", "max_length"),
        ("max_length: true", "max_length"),
    ],
)
def test_a_faulty_setting_of_a_suite_is_named_with_its_place(
    line: str, place: str, tmp_path: Path
) -> None:
    """Before anything is encoded at it."""
    path = write_suite(tmp_path, valid(f"tasks: [NQ]\n{line}"))

    assert [fault.where for fault in faults_of(path)] == [f"{path}: {place}"]


def test_average_over_groups_needs_groups(tmp_path: Path) -> None:
    """A rule that nothing could follow is refused when the file is read."""
    path = write_suite(tmp_path, valid("average: groups\ntasks: [NQ]"))

    assert [fault.what for fault in faults_of(path)] == [
        "average is over groups, but there are no groups"
    ]


@pytest.mark.parametrize(
    "changed",
    [
        "tasks: [../../evil]",
        "tasks: [{name: NQ, metric: nDCG@10}]",
        "tasks: [{name: mine, path: data, language: german}]",
    ],
    ids=["name that is a path", "metric of the page", "language in words"],
)
def test_values_that_could_only_do_harm_are_refused(tmp_path: Path, changed: str) -> None:
    """Results are files named after tasks; mteb knows ndcg_at_10 and deu-Latn."""
    path = write_suite(tmp_path, valid(changed))

    assert [fault.where.removeprefix(f"{path}: ")[:8] for fault in faults_of(path)] == ["tasks[0]"]
