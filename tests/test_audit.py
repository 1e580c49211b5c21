"""Verdicts, what tables say of themselves, and the forms of an audit; numbers worked by hand."""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from audit_desk import HEAD, A, B, Desk

from granite_bench.audit import audit, summarize
from granite_bench.commands.audit import audit_command
from granite_bench.errors import BadInput
from granite_bench.report.audit import as_csv, as_text, audit_page, finding
from granite_bench.tables.model_facts import ModelFacts


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty one."""
    return Desk(tmp_path)


# Verdicts


def test_a_cell_agrees_when_the_raw_value_rounds_to_it(desk: Desk) -> None:
    """0.50649 is 50.649 points, printed 50.6."""
    desk.raw(A, "One", 0.50649)
    desk.prints("One", "50.6")
    cell = desk.cell()
    assert (cell.verdict, cell.cause) == ("agrees", "")
    assert cell.reproduced == pytest.approx(50.649)
    assert cell.difference == pytest.approx(-0.049)


def test_a_cell_differs_when_it_does_not(desk: Desk) -> None:
    """0.5072 is 50.72, and no known slip prints it as 50.6."""
    desk.raw(A, "One", 0.5072)
    desk.prints("One", "50.6")
    cell = desk.cell()
    assert (cell.verdict, cell.cause) == ("differs", "")
    assert cell.difference == pytest.approx(-0.12)


def test_a_task_is_the_mean_over_splits_and_subsets(desk: Desk) -> None:
    """(40 + 50 + 60 + 90) / 4 = 60."""
    desk.raw(A, "One", {"dev": {"x": 0.4, "y": 0.5}, "test": {"x": 0.6, "y": 0.9}})
    desk.prints("One", "60.0")
    assert desk.cell().verdict == "agrees"


def test_the_unit_names_the_metric(desk: Desk) -> None:
    """nDCG@10 is 60 and Recall@5 is 70."""
    desk.raw(A, "One", {"test": {"default": {"ndcg_at_10": 0.6, "recall_at_5": 0.7}}})
    desk.prints("One", "70.0", unit="recall_at_5")
    assert desk.cell().verdict == "agrees"


def test_accuracy_at_1_is_precision_at_1(desk: Desk) -> None:
    """Older results have it under this name alone."""
    desk.raw(A, "One", {"test": {"default": {"precision_at_1": 0.43}}})
    desk.prints("One", "43.0", unit="accuracy_at_1")
    assert desk.cell().verdict == "agrees"


def test_an_average_is_the_mean_over_its_tasks(desk: Desk) -> None:
    """(30 + 40 + 60) / 3 = 43.333."""
    for task, score in (("One", 0.3), ("Two", 0.4), ("Three", 0.6)):
        desk.raw(A, task, score)
    desk.prints("Average", "43.33", unit="mean")
    cell = desk.cell()
    assert cell.verdict == "agrees"
    assert "3 tasks of revision rev-1" in cell.provenance


def test_an_average_over_a_hole_is_raw_incomplete_and_has_no_value(desk: Desk) -> None:
    """Task Three is missing, even though the mean of the two would fit."""
    desk.raw(A, "One", 0.3)
    desk.raw(A, "Two", 0.4)
    desk.prints("Average", "35.0", unit="mean")
    cell = desk.cell()
    assert (cell.verdict, cell.reproduced, cell.difference) == ("raw-incomplete", None, None)
    assert cell.cause == "2 of 3 evaluations are there; missing: Three"


@pytest.mark.parametrize("score", [math.nan, 1.7])
def test_a_score_that_cannot_be_right_counts_as_missing(desk: Desk, score: float) -> None:
    """NaN, and a fraction above one."""
    desk.raw(A, "One", {"test": {"x": 0.3, "y": score}})
    desk.prints("One", "30.0")
    assert desk.cell().verdict == "raw-incomplete"


@pytest.mark.parametrize(
    ("column", "unit", "reason"),
    [
        ("One", "docs_per_s", "a speed; speeds have no public raw results"),
        ("Unheard", "ndcg_at_10", "no results of Unheard"),
        ("One at 512 dimensions", "ndcg_at_10", "no results of One with embed_dim 512"),
    ],
)
def test_no_raw_says_why(desk: Desk, column: str, unit: str, reason: str) -> None:
    """A speed, a task without a result, a variant without a result."""
    desk.raw(A, "One", 0.5)
    desk.prints(column, "50.0", unit=unit)
    cell = desk.cell()
    assert (cell.verdict, cell.cause) == ("no-raw", reason)


def test_a_model_without_results_is_no_raw(desk: Desk) -> None:
    """Another model has the task."""
    desk.raw(A, "One", 0.5)
    desk.prints("One", "50.0", B)
    cell = desk.cell()
    assert (cell.verdict, cell.cause) == ("no-raw", "no results of this model")


def test_a_related_task_alone_is_said_with_its_value(desk: Desk) -> None:
    """The hard negatives of One are not One."""
    desk.raw(A, "OneHard", 0.5)
    desk.prints("One", "50.0")
    cell = desk.cell()
    assert (cell.verdict, cell.reproduced) == ("related-only", None)
    assert cell.cause == "only a related task has results: OneHard 50.00"


def test_a_variant_is_compared_with_its_own_results(desk: Desk) -> None:
    """512 dimensions score 45, the model itself 50."""
    desk.raw(A, "One", 0.5)
    desk.raw(A, "One", 0.45, settings={"embed_dim": 512})
    desk.prints("One at 512 dimensions", "45.0")
    assert desk.cell().verdict == "agrees"


def test_the_models_own_dimension_is_the_model_itself(desk: Desk) -> None:
    """768 of 768 dimensions need no variant."""
    desk.raw(A, "One", 0.5)
    desk.prints("One at 768 dimensions", "50.0")
    (cell,) = desk.cells({A: ModelFacts(dimension=768)})
    assert cell.verdict == "agrees"


def test_a_size_comes_from_the_metadata(desk: Desk) -> None:
    """97,441,152 parameters print as 97 million, not as 98."""
    for model, value in ((A, "97"), (B, "98")):
        desk.prints("params", value, model, unit="params_m")
    facts = {model: ModelFacts(n_parameters=97_441_152) for model in (A, B)}
    assert [cell.verdict for cell in desk.cells(facts)] == ["agrees", "differs"]


def test_a_size_that_nobody_knows_is_no_raw(desk: Desk) -> None:
    """The metadata have no parameters of this model."""
    desk.prints("params", "97", unit="params_m")
    cell = desk.cell()
    assert (cell.verdict, cell.cause) == ("no-raw", "mteb's metadata has no parameters of it")


def test_a_gain_is_reproduced_from_both_models(desk: Desk) -> None:
    """50.0 less 47.5."""
    desk.raw(A, "One", 0.5)
    desk.raw(B, "One", 0.475)
    desk.prints("One, gain over R1", "+2.5", unit="points")
    cell = desk.cell()
    assert cell.verdict == "agrees"
    assert cell.provenance.startswith("50.00 - 47.50; ")


# Which result counts


def test_the_most_complete_result_counts(desk: Desk) -> None:
    """The newer revision has one of two subsets."""
    desk.raw(A, "CodeSearchNetCCRetrieval", {"test": {"go": 0.9}}, revision="new", date=2.0)
    languages = ("python", "javascript", "go", "ruby", "java", "php")
    full = {"test": dict.fromkeys(languages, 0.5)}
    desk.raw(A, "CodeSearchNetCCRetrieval", full, revision="old", date=1.0)
    desk.prints("CodeSearchNetCCRetrieval", "50.0")
    cell = desk.cell()
    assert cell.verdict == "agrees"
    assert "revision old" in cell.provenance
    assert "the most complete of 2 results" in cell.provenance


def test_measured_counts_before_reported_by_others(desk: Desk) -> None:
    """The external result is newer."""
    desk.raw(A, "One", 0.5, revision="rev", date=1.0)
    desk.raw(A, "One", 0.6, revision="external", date=2.0)
    desk.prints("One", "50.0")
    cell = desk.cell()
    assert cell.verdict == "agrees"
    assert "measured, not reported by others, of 2 results" in cell.provenance


def test_the_newest_counts_among_equals(desk: Desk) -> None:
    """Two revisions with one result each."""
    desk.raw(A, "One", 0.5, revision="x", date=2.0)
    desk.raw(A, "One", 0.6, revision="y", date=1.0)
    desk.prints("One", "50.0")
    cell = desk.cell()
    assert cell.verdict == "agrees"
    assert "the newest of 2 results" in cell.provenance


# What tables say of themselves


def test_an_average_that_follows_from_its_row_names_the_cells_that_differ(desk: Desk) -> None:
    """(30 + 70 + 60) / 3 = 53.3, where Two is 40 and the average 43.3."""
    for task, score in (("One", 0.3), ("Two", 0.4), ("Three", 0.6)):
        desk.raw(A, task, score)
    desk.prints("Average", "53.3", unit="mean")
    for task, value in (("One", "30.0"), ("Two", "70.0"), ("Three", "60.0")):
        desk.prints(task, value)
    assert desk.causes()[0] == "the mean of the printed row (53.33), in which Two differs"


def test_the_cause_of_the_same_value_in_another_table_is_inherited(desk: Desk) -> None:
    """The second table prints the average alone."""
    for task, score in (("One", 0.3), ("Two", 0.4), ("Three", 0.6)):
        desk.raw(A, task, score)
    desk.prints("Average", "53.3", unit="mean")
    for task, value in (("One", "30.0"), ("Two", "70.0"), ("Three", "60.0")):
        desk.prints(task, value)
    desk.prints("Average", "53.3", unit="mean", table="T2")
    assert desk.causes()[-1].startswith("as in T1: the mean of the printed row (53.33)")


def test_an_average_that_its_own_row_refutes_is_named_without_raw_results(desk: Desk) -> None:
    """(30 + 40 + 60) / 3 = 43.333, printed 45.0; rounding explains 0.1 at most."""
    desk.prints("Average", "45.0", unit="mean")
    for task, value in (("One", "30.0"), ("Two", "40.0"), ("Three", "60.0")):
        desk.prints(task, value)
    cells = desk.cells()
    assert cells[0].cause == (
        "printed average is not the mean of its own printed row: 45.0 vs 43.333; "
        "no results of this model"
    )
    (wrong,) = summarize(cells).wrong_averages
    assert wrong.row_mean == pytest.approx(43.3333, abs=1e-3)


def test_a_wrong_average_that_is_another_average_of_its_row_says_so(desk: Desk) -> None:
    """35.0 is the mean of One and Two."""
    desk.prints("Average", "35.0", unit="mean")
    for task, value in (("One", "30.0"), ("Two", "40.0"), ("Three", "60.0")):
        desk.prints(task, value)
    assert desk.causes()[0].endswith("the Average of two of the same row is 35.00")


def test_rounding_of_the_row_is_no_wrong_average(desk: Desk) -> None:
    """Three parts of 0.04 too little and the average rounded up: 43.3 may be printed 43.4."""
    desk.prints("Average", "43.4", unit="mean")
    for task, value in (("One", "30.0"), ("Two", "40.0"), ("Three", "60.0")):
        desk.prints(task, value)
    assert summarize(desk.cells()).wrong_averages == []


def test_an_average_over_groups_counts_each_as_often_as_it_has_tasks(desk: Desk) -> None:
    """(2 * 35 + 60) / 3 = 43.33 and not (35 + 60) / 2."""
    desk.prints("Average", "47.5", unit="mean")
    desk.prints("Average of two", "35.0", unit="mean")
    desk.prints("Three", "60.0")
    (wrong,) = summarize(desk.cells()).wrong_averages
    assert wrong.row_mean == pytest.approx(43.3333, abs=1e-3)


def test_a_row_that_lacks_a_task_cannot_refute_its_average(desk: Desk) -> None:
    """Three is not printed."""
    desk.prints("Average", "90.0", unit="mean")
    desk.prints("One", "30.0")
    desk.prints("Two", "40.0")
    assert summarize(desk.cells()).wrong_averages == []


def test_one_quantity_printed_differently_in_two_places_is_a_contradiction(desk: Desk) -> None:
    """60.5 and 49.9; the third table's 60 is either 60.5 or near it."""
    desk.prints("One", "60.5", table="T1")
    desk.prints("One", "49.9", table="T2")
    desk.prints("One", "60", table="T3")
    (found,) = summarize(desk.cells()).contradictions
    assert {printed: [cell.table for cell in cells] for printed, cells in found.values.items()} == {
        "60.5": ["T1"],
        "49.9": ["T2"],
        "60": ["T3"],
    }


@pytest.mark.parametrize(("one", "other"), [("65.2", "65"), ("65.2", "65.20"), ("65.2", "65.2")])
def test_values_that_round_to_each_other_do_not_contradict(
    desk: Desk, one: str, other: str
) -> None:
    """65 stands for anything from 64.5 to 65.5."""
    desk.prints("One", one, table="T1")
    desk.prints("One", other, table="T2")
    assert summarize(desk.cells()).contradictions == []


def test_other_models_metrics_and_units_do_not_contradict(desk: Desk) -> None:
    """Four different quantities."""
    desk.prints("One", "50.0", table="T1")
    desk.prints("One", "60.0", B, table="T2")
    desk.prints("One", "70.0", unit="recall_at_10", table="T3")
    desk.prints("throughput", "80", unit="docs_per_s", table="T4")
    desk.prints("throughput", "90", unit="spans_per_s", table="T5")
    assert summarize(desk.cells()).contradictions == []


# The summary and its forms


@pytest.fixture
def small(desk: Desk) -> Desk:
    """One cell of each verdict, and a contradiction."""
    desk.raw(A, "One", 0.5)
    desk.raw(A, "Two", 0.4)
    desk.raw(A, "OneHard", 0.3)
    desk.raw(B, "OneHard", 0.3)
    desk.prints("One", "50.0")
    desk.prints("Two", "40.3")
    desk.prints("Average", "45.0", unit="mean")
    desk.prints("throughput", "12", unit="docs_per_s")
    desk.prints("One", "50.0", B)
    desk.prints("Two", "40.0", table="T2")
    return desk


def test_the_summary_counts_verdicts_overall_and_by_table(small: Desk) -> None:
    """Two agree, and one each of the others."""
    summary = summarize(small.cells())
    assert summary.counts == {
        "agrees": 2, "differs": 1, "no-raw": 1, "raw-incomplete": 1, "related-only": 1,
    }  # fmt: skip
    assert summary.tables["paper", "T2"]["agrees"] == 1
    assert sum(sum(counts.values()) for counts in summary.tables.values()) == 6
    assert [cell.printed for cell in summary.differing] == ["40.3"]


def test_the_csv_has_exactly_the_columns_and_one_row_per_cell(small: Desk) -> None:
    """The order is that of the published file."""
    rows = list(csv.reader(io.StringIO(as_csv(small.cells()))))
    assert (
        rows[0]
        == (
            "source table model column unit printed reproduced difference verdict cause provenance"
        ).split()
    )
    assert [row[8] for row in rows[1:]] == [
        "agrees", "differs", "raw-incomplete", "no-raw", "related-only", "agrees",
    ]  # fmt: skip
    assert rows[2][5:8] == ["40.3", "40.0", "0.3"]
    assert rows[3][6:8] == ["", ""]


def test_the_terminal_text_has_counts_contradictions_and_differing_cells(small: Desk) -> None:
    """Plain text, no colours."""
    text = as_text(summarize(small.cells()))
    assert finding(summarize(small.cells())) in " ".join(text.split())
    assert "raw-incomplete" in text
    assert "One quantity printed differently" in text
    assert re.search(r"T1 +│ org/a +│ Two +│ +40.3 │ +40.000 │ unknown", text)
    assert "\x1b" not in text


def test_the_finding_without_raw_results_compares_nothing(desk: Desk) -> None:
    """No division by what is not there."""
    desk.prints("One", "50.0")
    assert finding(summarize(desk.cells())) == "None of 1 printed cells has complete raw results."


def test_the_page_loads_nothing_and_escapes_what_it_prints(desk: Desk) -> None:
    """A name with a script in it stays text."""
    evil = "<script>alert(1)</script>"
    desk.raw(A, "One", 0.5)
    desk.prints("One", "40.0", table=evil)
    page = audit_page(summarize(desk.cells()))
    assert "default-src 'none'" in page
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=\"[^#]", page)


def test_the_same_audit_makes_the_same_page(small: Desk) -> None:
    """Byte for byte."""
    assert audit_page(summarize(small.cells())) == audit_page(summarize(small.cells()))


@pytest.mark.parametrize(
    ("form", "start"), [("terminal", "1 of the 2"), ("html", "<!doctype"), ("csv", "source,")]
)
def test_the_command_writes_each_form(desk: Desk, form: Any, start: str) -> None:
    """To the file that it is given, whose name it prints."""
    desk.raw(A, "One", 0.5)
    desk.raw(A, "Two", 0.5)
    desk.prints("One", "50.0")
    desk.prints("Two", "40.0")
    desk.cells()
    out = desk.folder / "out" / "audit"
    audit_command([desk.folder / "table.csv"], [desk.results], out, form)
    assert out.read_text(encoding="utf-8").startswith(start)


def test_the_command_prints_without_a_file(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV to a pipe is CSV alone."""
    desk.raw(A, "One", 0.5)
    desk.prints("One", "50.0")
    desk.cells()
    audit_command([desk.folder / "table.csv"], [desk.results], None, "csv")
    printed = capsys.readouterr().out
    assert printed.startswith("source,table,")
    assert len(printed.splitlines()) == 2


def test_broken_yaml_of_several_tables_is_named_at_once(desk: Desk) -> None:
    """Both files are read before anything is raised."""
    paths = []
    for name in ("x", "y"):
        paths.append(desk.folder / f"{name}.csv")
        paths[-1].write_text(",".join(HEAD) + f"\ns,{name},m,c,1,mean,\n", encoding="utf-8")
        (desk.folder / f"{name}.yaml").write_text("version: 9\n", encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        audit(paths, [desk.results])
    assert len(caught.value.faults) == 2


def test_an_audit_of_scores_imports_neither_torch_nor_mteb(desk: Desk) -> None:
    """Sizes alone ask mteb's registry."""
    desk.raw(A, "One", 0.5)
    desk.prints("One", "50.0")
    desk.cells()
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from granite_bench.commands.audit import audit_command\n"
        f"audit_command([Path({str(desk.folder / 'table.csv')!r})], "
        f"[Path({str(desk.results)!r})], None, 'csv')\n"
        "print(sorted({'torch', 'transformers', 'mteb', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
