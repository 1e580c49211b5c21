"""One model over suites: what a model card says of it, the same in every format."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results
from queries_tree import write_queries
from results_tree import GPU, write_record, write_result
from speed_tree import write_speed

from granite_bench.__main__ import main
from granite_bench.errors import BadInput
from granite_bench.report.model_card import Breakdown, ModelCard, card_of, file_name
from granite_bench.report.model_card_formats import as_csv, as_latex, as_markdown
from granite_bench.report.model_card_page import card_page
from granite_bench.report.model_index import HUB_TYPES, model_index
from granite_bench.report.printed_table import HOLE, PrintedTable
from granite_bench.tables.task_facts import task_facts

EVIL = "<img src=x onerror=alert(1)>"
SUITE = """
version: 1
name: small
title: Small suite
description: For a test.
groups:
  - {by: kind, from: group}
tasks:
  - {name: SciFact, group: science}
  - {name: NFCorpus, group: science}
  - {name: Mine, group: other, metric: ndcg_at_1}
"""
LANGUAGES = """
version: 1
name: languages
title: By language
description: For a test.
average: groups
groups:
  - {by: language, from: subset}
tasks:
  - {name: T, subsets: [de, en]}
"""


def write(root: Path, model: str, *scores: float, **of: object) -> list[Path]:
    """A result of SciFact, NFCorpus and Mine each, as far as there are scores."""
    tasks = ("SciFact", "NFCorpus", "Mine")
    metrics = ("ndcg_at_10", "ndcg_at_10", "ndcg_at_1")
    return [
        write_result(root, model, task, {"test": {"default": {metric: score}}}, **of)  # type: ignore[arg-type]
        for task, metric, score in zip(tasks, metrics, scores, strict=False)
    ]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """org/mine is second of three by average, and best on SciFact; org/hole lacks a task."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SUITE)
    Path("languages.yaml").write_text(LANGUAGES)
    root = tmp_path / "results"
    for path in write(root, "org/mine", 0.75, 0.25, 0.5):
        write_record(path, hardware=GPU)
    write(root, "org/mine", 0.625, 0.125, 0.375, settings={"embed_dim": 64})
    write(root, "org/mine", 0.75, 0.2, 0.5, settings={"embed_dim": 128})
    write(root, "org/best", 0.5, 0.5, 1.0)
    write(root, "org/low", 0.125, 0.125, 0.125)
    write(root, "org/hole", 0.25, 0.625)
    return root


def card(root: Path, model: str = "org/mine", **of: str) -> ModelCard:
    """Of the small suite."""
    return card_of(model, ["small.yaml"], [root], **of)


def breakdown(found: ModelCard, by: str) -> Breakdown:
    """One of the first suite's."""
    return next(each for each in found.suites[0].breakdowns if each.by == by)


def texts(page: PrintedTable) -> list[dict[str, str]]:
    """A dictionary of head -> text for every row; of two heads that are the same, the last."""
    return [dict(zip(page.heads, (cell.text for cell in row), strict=True)) for row in page.rows]


# --- what is said -----------------------------------------------------------------------------


def test_the_finding_is_average_rank_and_difference(root: Path) -> None:
    """0.5 over three tasks, behind 0.6667; its own variants are no rivals, nor is a hole."""
    found = card(root, against="org/low")
    assert found.findings == [
        "Small suite: 50.00 over 3 tasks, rank 2 of 3 models, +37.50 points against org/low."
    ]


def test_an_incomplete_model_has_no_average_and_no_rank(root: Path) -> None:
    """Its complete tasks have scores all the same."""
    found = card(root, "org/hole")
    assert found.findings == [
        "Small suite: 2 of 3 tasks are complete, so org/hole has no average and no rank."
    ]
    scores = {row["Task"]: row["Score"] for row in texts(breakdown(found, "task").table)}
    assert scores == {"Average": "(2/3)", "SciFact": "25.00", "NFCorpus": "62.50", "Mine": HOLE}


def test_each_score_stands_beside_the_best_of_the_others(root: Path) -> None:
    """Of each task by itself: an incomplete model counts where it is complete."""
    lines = {line.name: line for line in breakdown(card(root), "task").lines}
    assert {name: (line.score, line.best_other, line.other) for name, line in lines.items()} == {
        "Average": (0.5, pytest.approx(2 / 3), "org/best"),
        "SciFact": (0.75, 0.5, "org/best"),
        "NFCorpus": (0.25, 0.625, "org/hole"),
        "Mine": (0.5, 1.0, "org/best"),
    }


def test_a_variant_is_compared_with_variants_like_it(root: Path) -> None:
    """At 64 dimensions, another model stands with its 64 dimensions; one without, as it is."""
    write(root, "org/best", 0.5, 0.5, 0.9, settings={"embed_dim": 64})
    found = card(root, "org/mine (embed_dim=64)")
    lines = {line.name: line for line in breakdown(found, "task").lines}
    assert (lines["Mine"].score, lines["Mine"].best_other) == (0.375, 0.9)
    assert lines["Mine"].other == "org/best (embed_dim=64)"
    assert "rank 2 of 3 models" in found.findings[0]


def test_groups_are_means_with_their_own_best(root: Path) -> None:
    """Science is the mean of two; the average stands with the tasks, which it is over."""
    lines = breakdown(card(root), "kind").lines
    assert [(line.name, line.score, line.best_other) for line in lines] == [
        ("science", 0.5, 0.5),
        ("other", 0.5, 1.0),
    ]


def test_the_average_stands_with_the_groups_that_it_is_over(root: Path) -> None:
    """A mean of means, above the languages."""
    for model, values in (("org/a", (0.5, 1.0)), ("org/b", (0.25, 0.25))):
        by_language = {language: [v] * 4 for language, v in zip(("de", "en"), values, strict=True)}
        write_queries(root, model, "T", by_language)
    found = card_of("org/a", ["languages.yaml"], [root])
    rows = texts(breakdown(found, "language").table)
    assert [(row["Language"], row["Score"], row["Queries"]) for row in rows] == [
        ("Average", "75.00", "8"),
        ("de", "50.00", "4"),
        ("en", "100.00", "4"),
    ]
    assert [line.name for line in breakdown(found, "task").lines] == ["T"]


def test_queries_are_counted_only_where_records_say(root: Path) -> None:
    """Two of each task of org/mine; without any record there is no column."""
    rows = texts(breakdown(card(root), "task").table)
    assert [row["Queries"] for row in rows] == ["6", "2", "2", "2"]
    assert "Queries" not in breakdown(card(root, "org/best"), "task").table.heads


def test_speeds_name_protocol_and_device(root: Path) -> None:
    """Of runs of the suite, and of granite-bench speed, once for all suites."""
    of_runs = card(root).speeds
    assert of_runs is not None
    assert list(of_runs.heads) == ["Figure", "Value", "Unit", "Protocol", "Device"]
    write_speed(root, "org/mine", chunks=1500.0)
    speeds = card(root).speeds
    assert speeds is not None
    rows = {row["Figure"]: row for row in texts(speeds)}
    assert rows["docs/s"]["Device"] == "Test CPU, 4 cores"
    assert rows["chunks/s"]["Value"] == "1,500"
    assert rows["chunks/s"]["Protocol"] == "chunks-512/2:ab12cd34ef56"
    assert rows["query p50"]["Protocol"] == "suite-run/1, Small suite"
    assert rows["query p50"]["Device"] == "Test GPU"
    assert card(root, "org/best").speeds is None


def test_its_dimensions_are_a_curve(root: Path) -> None:
    """Of its own variants alone."""
    write(root, "org/best", 0.5, 0.5, 0.9, settings={"embed_dim": 64})
    (curve,) = card(root).suites[0].curves
    assert {row["Model"] for row in texts(curve)} == {"org/mine"}
    assert [row["Dimension"] for row in texts(curve)] == ["128", "64"]
    assert card(root, "org/low").suites[0].curves == []


def test_provenance_has_revision_and_commands(root: Path) -> None:
    """What is the same for all is said once; a command for each task."""
    page = card(root).suites[0].provenance
    assert "Revision: rev-1" in page.notes
    assert texts(page)[0]["Reproduce with"] == (
        "granite-bench run small.yaml --task SciFact --model org/mine"
    )


# --- formats ----------------------------------------------------------------------------------


def test_every_format_has_the_same_scores(root: Path) -> None:
    """Markdown, LaTeX and HTML as printed, CSV unrounded."""
    found = card(root, against="org/best")
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(row["by"], row["name"], row["score"]) for row in rows[:2]] == [
        ("task", "Average", "0.5"),
        ("task", "SciFact", "0.75"),
    ]
    assert (rows[1]["against"], rows[1]["difference"]) == ("org/best", "0.25")
    assert "| SciFact | nDCG@10 | 75.00 | 2 | 50.00 | +25.00 |" in as_markdown(found)
    assert "SciFact & nDCG@10 & 75.00 & 2 & 50.00 & +25.00 &" in as_latex(found)
    assert ">75.00</a>" in card_page(found)


def test_the_metadata_are_what_the_hub_reads(root: Path) -> None:
    """By its own reader: a result for each task, the data set's id, fractions."""
    name, results = model_index_to_eval_results(
        yaml.safe_load(model_index(card(root)))["model-index"]
    )
    assert name == "org/mine"
    assert [(each.dataset_type, each.metric_type, each.metric_value) for each in results] == [
        ("mteb/scifact", "ndcg_at_10", 0.75),
        ("mteb/nfcorpus", "ndcg_at_10", 0.25),
        ("Mine", "ndcg_at_1", 0.5),
    ]
    assert {(each.task_type, each.task_name) for each in results} == {
        ("text-retrieval", "Retrieval")
    }
    assert [each.source_name for each in results] == ["MTEB", "MTEB", None]
    assert {(each.dataset_split, each.dataset_revision) for each in results} == {("test", "data-1")}


def test_tasks_have_the_hubs_names_of_their_types() -> None:
    """As mteb writes them into model cards."""
    import mteb

    tasks = ("BUCC.v2", "Banking77Classification", "ArXivHierarchicalClusteringP2P",
             "SprintDuplicateQuestions", "AskUbuntuDupQuestions", "SciFact", "STS12",
             "SummEvalSummarization.v2")  # fmt: skip
    for name in tasks:
        metadata = mteb.get_task(name).metadata
        facts = task_facts(name)
        assert facts is not None
        assert HUB_TYPES[facts.type] == metadata._hf_task_type()[0]
        assert facts.dataset == metadata.dataset["path"]
    assert task_facts("no such task") is None


def test_a_hostile_name_is_text(root: Path) -> None:
    """In the page, in Markdown, and in YAML."""
    write(root, f"org/{EVIL}", 0.5, 0.5, 0.5)
    found = card(root, f"org/{EVIL}")
    assert EVIL not in card_page(found)
    assert EVIL not in as_markdown(found)
    assert yaml.safe_load(model_index(found))["model-index"][0]["name"] == f"org/{EVIL}"


def test_the_same_results_make_the_same_page(root: Path) -> None:
    """Byte for byte."""
    assert card_page(card(root)) == card_page(card(root))


def test_links_of_two_suites_lead_to_ids_of_the_page(root: Path) -> None:
    """No id is there twice, and no link leads nowhere."""
    for dim in (None, 64, 128):
        settings = None if dim is None else {"embed_dim": dim}
        by_language = {"de": [0.5] * 4, "en": [1.0] * 4}
        write_queries(root, "org/mine", "T", by_language, settings=settings)
    page = card_page(card_of("org/mine", ["small.yaml", "languages.yaml"], [root]))
    assert page.count('class="curve"') == 2
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert len(links) > 4
    assert links <= set(ids)


def test_pages_of_different_models_are_different_files(root: Path) -> None:
    """Whatever their names have that a file's must not."""
    names = ["org/a", "org/a (embed_dim=64)", "org/a <embed_dim=64>", "org/../a", "a" * 200]
    for name in names:
        write(root, name, 0.5, 0.5, 0.5)
    files = [file_name(card(root, name)) for name in names]
    assert files[0] == "card-org__a.html"
    assert len(set(files)) == len(names)
    assert all(re.fullmatch(r"card-[\w.=+-]{1,130}\.html", each) for each in files)


# --- the command ------------------------------------------------------------------------------


def report(*words: str) -> int:
    """The exit code of granite-bench report."""
    return main(["report", *words])


def test_report_writes_the_page_and_the_index(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into reports/."""
    assert report("small.yaml", "--card", "org/mine") == 0
    assert capsys.readouterr().out == "report: reports/card-org__mine.html\n"
    assert "50.00 over 3 tasks" in Path("reports/card-org__mine.html").read_text()
    assert 'href="card-org__mine.html"' in Path("reports/index.html").read_text()


@pytest.mark.parametrize(
    ("form", "begins"),
    [("md", "# org/mine: evaluation\n"), ("yaml", "model-index:\n- name: org/mine\n"),
     ("csv", "model,suite,"), ("latex", "% Small suite: 50.00")],
)  # fmt: skip
def test_other_formats_are_printed(
    form: str, begins: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or written, where a file is named; neither makes an index."""
    assert report("small.yaml", "--card", "org/mine", "--format", form) == 0
    said = capsys.readouterr().out
    assert said.startswith(begins)
    assert report("small.yaml", "--card", "org/mine", "--format", form, "--out", "card.txt") == 0
    assert Path("card.txt").read_text() == said
    assert not Path("reports").exists()


def test_an_unknown_model_is_named_for_every_suite(root: Path) -> None:
    """With what is close to it, where something is."""
    with pytest.raises(BadInput) as error:
        card_of("org/mien", ["small.yaml", "languages.yaml"], [root])
    first, second = error.value.faults
    assert first.where == "org/mien"
    assert "did you mean 'org/mine'" in first.hint
    assert "languages" in second.what


def test_two_models_compared_are_a_page(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As granite-bench compare --format html writes it, where it writes it."""
    assert report("small.yaml", "--compare", "org/mine", "--compare", "org/best") == 0
    assert capsys.readouterr().out == "report: reports/compare-small.html\n"
    page = Path("reports/compare-small.html").read_bytes()
    assert (
        main(["compare", "org/mine", "org/best", "--suite", "small.yaml", "--format", "html"]) == 0
    )
    assert Path("reports/compare-small.html").read_bytes() == page


def test_an_incomplete_comparison_is_written_and_says_so(root: Path) -> None:
    """Exit code 3, as compare."""
    assert report("small.yaml", "--compare", "org/mine", "--compare", "org/hole") == 3
    assert Path("reports/compare-small.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a suite"),
        (["small.yaml", "--card", "org/mine", "--by", "kind"], "--card goes without --by"),
        (["small.yaml", "--card", "a", "--compare", "b"], "--card goes without --compare"),
        (["small.yaml", "--compare", "org/mine"], "twice at least"),
        (["small.yaml", "--against", "org/mine"], "--against and --format are of --card"),
        (["small.yaml", "--format", "md"], "--against and --format are of --card"),
        (["small.yaml", "languages.yaml", "--out", "a.html"], "name one suite for --out"),
        (["overview", "--card", "org/mine"], "those of the overview overview are: "),
        (["small.yaml", "--index"], "--index goes without small.yaml"),
        (["--index", ".", "--facts"], "--index goes without --facts"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    words: list[str], said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing is written."""
    assert report(*words) == 2
    assert said in capsys.readouterr().err
    assert not Path("reports").exists()


def test_several_suites_are_a_page_each(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a card."""
    assert report("small.yaml", "languages.yaml") == 0
    assert capsys.readouterr().out.splitlines() == [
        "report: reports/small.html",
        "report: reports/languages.html",
    ]
