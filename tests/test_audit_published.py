"""The audit of the developers' published figures; causes checked by hand against raw results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from granite_bench.audit import AuditedCell, audit, summarize

SHARED = Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "published").is_dir(),
    reason="the published figures are not in the developers' folder shared/",
)


@pytest.fixture(scope="module")
def published() -> Sequence[AuditedCell]:
    """The audit of every published figure against the public results."""
    return audit(sorted((SHARED / "published").glob("*.csv")), [SHARED / "mteb-results"])


def of(cells: Sequence[AuditedCell], table: str, model: str, column: str) -> AuditedCell:
    """One of them."""
    (cell,) = [
        c for c in cells if (c.table, c.model.split("/")[-1], c.column) == (table, model, column)
    ]
    return cell


@needs_shared
def test_the_counts_of_the_published_figures(published: Sequence[AuditedCell]) -> None:
    """A change of any is a change of a rule, of the results or of mteb's metadata."""
    summary = summarize(published)
    assert summary.counts == {
        "agrees": 1125, "differs": 216, "no-raw": 792, "raw-incomplete": 113, "related-only": 34,
    }  # fmt: skip
    assert len(summary.wrong_averages) == 2


@needs_shared
@pytest.mark.parametrize(
    ("table", "model", "column", "cause"),
    [
        (
            "R1 Table 2", "granite-embedding-278m-multilingual", "SciFact",
            "exchanged with SCIDOCS in this row (65.9 there)",
        ),
        (
            "R2 Table 10", "bge-base-en-v1.5", "TRECCOVID",
            "exchanged with Touche2020Retrieval.v3 in this row (78.0 there)",
        ),
        (
            "What's New cross-lingual", "granite-embedding-97m-multilingual-r2", "MLQARetrieval",
            "the split test alone (49.89)",
        ),
        (
            "README Multilingual evaluation", "multilingual-e5-small",
            "MTEB(Code, v1) average (12)", "the CoIR average (10) (51.27)",
        ),
        (
            "summary running text", "granite-embedding-english-r2",
            "MTEB(eng, v2) Retrieval average (10)",
            "'average of the 6 benchmarks' of R2 Table 2 under another name",
        ),
        (
            "README_r1 Sparse", "granite-embedding-30m-english",
            "BEIR average without CQADupstackRetrieval and MSMARCO (13)",
            "exchanged with the row of ibm-granite/granite-embedding-30m-sparse (50.8 there; "
            "R1 Table 2 prints 50.6 for it)",
        ),
        (
            "blog running text", "granite-embedding-97m-multilingual-r2",
            "MTEB(Code, v1) average (12), gain over R1",
            "the difference of the printed 60.4 and 40.7",
        ),
    ],
)  # fmt: skip
def test_the_cause_of_a_published_figure_that_differs(
    published: Sequence[AuditedCell], table: str, model: str, column: str, cause: str
) -> None:
    """Checked by hand against the raw results."""
    cell = of(published, table, model, column)
    assert (cell.verdict, cell.cause) == ("differs", cause)


@needs_shared
def test_a_published_average_that_its_own_row_refutes(published: Sequence[AuditedCell]) -> None:
    """The ten printed CoIR scores of gte-modernbert-base have the mean 71.11, not 71.5."""
    cell = of(published, "R2 Table 11", "gte-modernbert-base", "CoIR average (10)")
    assert cell.row_mean == pytest.approx(71.11)


@needs_shared
def test_two_published_sources_that_contradict(published: Sequence[AuditedCell]) -> None:
    """The post prints 60.5 for MLQA, the repository 49.9."""
    found = [
        {printed: [cell.table for cell in cells] for printed, cells in each.values.items()}
        for each in summarize(published).contradictions
        if each.cells[0].column == "MLQARetrieval"
        and each.cells[0].model == "ibm-granite/granite-embedding-97m-multilingual-r2"
    ]
    assert found == [{"60.5": ["blog cross-lingual table"], "49.9": ["What's New cross-lingual"]}]
