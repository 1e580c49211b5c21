"""What rerankers make of a first stage: figures worked by hand from rows per query."""

from __future__ import annotations

from pathlib import Path

import pytest
from reranking_tree import Query, write_reranked
from results_tree import suite_of, write_result

from granite_bench.errors import BadInput
from granite_bench.results.tree import record_path
from granite_bench.stats.bootstrap import ConfidenceInterval
from granite_bench.suite.suite import Suite
from granite_bench.tables.reranking import Block, blocks_of
from granite_bench.tables.table import Options, make_table

TWO: list[Query] = [(0.25, 0.75, 1.0, 1.0), (0.5, 0.5, 0.75, 0.5)]
"""First stage 0.375, reranked 0.625, ceiling 0.875, recall 0.75: half of what was possible."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty results folder."""
    return tmp_path / "results"


def blocks(suite: Suite, root: Path, **options: object) -> list[Block]:
    """The blocks of the suite's table."""
    return blocks_of(make_table(suite, [root], Options(**options)))  # type: ignore[arg-type]


def test_the_columns_read_are_those_that_a_run_writes() -> None:
    """Another name on one side would be a table without any gains."""
    from granite_bench.results.store import RERANKED_QUERY_SCHEMA
    from granite_bench.tables.reranking import _COLUMNS

    assert {"split", "subset", *_COLUMNS} <= set(RERANKED_QUERY_SCHEMA.names)


def test_the_figures_of_a_task_are_means_over_its_queries(root: Path) -> None:
    """Two queries by hand, with the interval of their two differences."""
    write_reranked(root, "org/r", "org/m", "A", TWO)
    (block,) = blocks(suite_of("A"), root)
    assert (block.first_stage, block.top_k, block.query_tokens) == ("org/m", 20, 64)
    (reranked,) = block.rerankers
    assert reranked.name == "org/r"
    figures = reranked.columns["A"]
    assert figures is not None
    assert (figures.first_stage, figures.reranked) == (0.375, 0.625)
    assert (figures.ceiling, figures.recall, figures.n_queries) == (0.875, 0.75, 2)
    assert figures.share_of_ceiling == 0.5
    # Of two queries, samples have means 0, 1/4 and 1/2 with chances 1/4, 1/2 and 1/4.
    assert figures.gain == ConfidenceInterval(0.25, 0.0, 0.5, 0.95, 2)
    assert reranked.average == figures


def test_scores_are_rounded_as_mteb_rounds_them(root: Path) -> None:
    """A third is 0.33333 in mteb's result, and in the block too."""
    rows: list[Query] = [(1.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0)]
    path = write_reranked(root, "org/r", "org/m", "A", rows)
    ((figures,),) = [
        [each.average for each in block.rerankers] for block in blocks(suite_of("A"), root)
    ]
    assert figures is not None
    assert '"ndcg_at_10": 0.33333' in path.read_text()
    assert figures.reranked == figures.first_stage == 0.33333


def test_an_average_is_over_tasks_however_many_queries_they_have(root: Path) -> None:
    """A: gains 0.5 and 0; B: four gains of 0.1. The mean of the two tasks' means is 0.175."""
    write_reranked(root, "org/r", "org/m", "A", TWO)
    write_reranked(root, "org/r", "org/m", "B", [(0.2, 0.3, 1.0, 1.0)] * 4)
    (block,) = blocks(suite_of("A", "B"), root)
    average = block.rerankers[0].average
    assert average is not None
    assert average.gain is not None
    assert average.gain.mean == pytest.approx((0.25 + 0.1) / 2)
    assert average.n_queries == 6
    assert average.reranked == pytest.approx((0.625 + 0.3) / 2)
    # B does not vary, so that the ends are half of A's.
    assert average.gain.low == pytest.approx(0.05, abs=1e-9)
    assert average.gain.high == pytest.approx(0.3, abs=1e-9)


def test_parts_subsets_and_groups_count_as_in_the_table(root: Path) -> None:
    """An aggregate's parts are one task, subsets are one task; then the mean of the groups."""
    suite = suite_of(
        {"name": "P", "parts": ["P1", "P2"], "group": "one"},
        {"name": "A", "group": "one"},
        {"name": "M", "subsets": ["en", "de"], "splits": ["dev"], "group": "two"},
        groups=[{"by": "kind", "from": "group"}],
        average="groups",
    )

    def gain(value: float) -> list[Query]:
        return [(0.0, value, 1.0, 1.0)] * 2

    write_reranked(root, "org/r", "org/m", "P1", gain(0.1))
    write_reranked(root, "org/r", "org/m", "P2", gain(0.3))
    write_result(  # mteb's own aggregate beside its parts: it has no queries of its own
        root,
        "org/r",
        "P",
        {"test": {"default": 0.2}},
        settings={"first_stage": "org/m", "top_k": 20, "query_tokens": 64},
    )
    write_reranked(root, "org/r", "org/m", "A", gain(0.6))
    write_reranked(root, "org/r", "org/m", "M", {"en": gain(0.2), "de": gain(0.8)}, split="dev")
    (block,) = blocks(suite, root, by="kind")
    (reranked,) = block.rerankers
    found = {name: each.reranked for name, each in reranked.columns.items() if each}
    assert found == pytest.approx({"one": 0.4, "two": 0.5})
    assert reranked.average is not None
    assert reranked.average.reranked == pytest.approx(0.45) == reranked.row.average


def test_an_incomplete_reranker_has_no_average_and_says_what_is_missing(root: Path) -> None:
    """Its complete task is there; nothing is averaged over holes."""
    write_reranked(root, "org/r", "org/m", "A", TWO)
    (block,) = blocks(suite_of("A", {"name": "B", "subsets": ["en"]}), root)
    (reranked,) = block.rerankers
    assert reranked.average is None
    assert reranked.columns["A"] is not None
    assert reranked.columns["B"] is None
    assert reranked.missing == ["B[en] test"]


def test_a_result_without_rows_per_query_has_no_gain(root: Path) -> None:
    """Another program's reranked result has a score alone."""
    path = write_reranked(root, "org/r", "org/m", "A", TWO)
    record_path(path).with_suffix(".parquet").unlink()
    (block,) = blocks(suite_of("A"), root)
    assert block.rerankers[0].row.average == 0.625
    assert block.rerankers[0].average is None
    assert block.rerankers[0].missing == ["A test"]


def test_one_query_has_a_gain_without_an_interval(root: Path) -> None:
    """From one query nothing is known of the next."""
    write_reranked(root, "org/r", "org/m", "A", TWO[:1])
    (block,) = blocks(suite_of("A"), root)
    figures = block.rerankers[0].average
    assert figures is not None
    assert figures.reranked == 0.75
    assert figures.gain is None


def test_each_first_stage_has_a_block_in_the_suites_order(root: Path) -> None:
    """Those of the suite, with their own rows, then others; another top_k is another block."""
    suite = suite_of("A", first_stages=["org/z", "org/a"], rerankers=["org/r"], top_k=20)
    write_result(root, "org/z", "A", {"test": {"default": 0.4}})
    write_reranked(root, "org/r", "org/a", "A", TWO)
    write_reranked(root, "org/r", "org/b", "A", TWO)
    write_reranked(root, "org/r", "org/a", "A", TWO, top_k=100)
    found = blocks(suite, root)
    assert [(block.first_stage, block.top_k, len(block.rerankers)) for block in found] == [
        ("org/z", 20, 0),
        ("org/a", 20, 1),
        ("org/a", 100, 1),
        ("org/b", 20, 1),
    ]
    assert found[0].row is not None
    assert found[0].row.average == 0.4
    assert found[1].row is None


def test_the_best_reranker_comes_first_and_incomplete_ones_last(root: Path) -> None:
    """As the rows of the table stand."""
    for name, score in (("org/fair", 0.4), ("org/good", 0.6)):
        for task in ("A", "B"):
            write_reranked(root, name, "org/m", task, [(0.3, score, 1.0, 1.0)] * 2)
    write_reranked(root, "org/almost", "org/m", "A", [(0.3, 0.9, 1.0, 1.0)] * 2)
    (block,) = blocks(suite_of("A", "B"), root)
    assert [each.name for each in block.rerankers] == ["org/good", "org/fair", "org/almost"]


def test_different_candidates_behind_one_first_stage_are_named(root: Path) -> None:
    """The first stage was run again between two rerankers: their gains are of different things."""
    for name, candidates in (("org/r1", "one"), ("org/r2", "two")):
        write_reranked(root, name, "org/m", "A", TWO, candidates=candidates)
        write_reranked(root, name, "org/m", "B", TWO)
    (block,) = blocks(suite_of("A", "B"), root)
    assert block.differing == ["A test"]


def test_speeds_are_of_the_pairs_that_were_scored(root: Path) -> None:
    """40 pairs in 2 seconds here, 20 of 40 in 2 there, the rest from the store: 15 a second."""
    write_reranked(root, "org/r", "org/m", "A", TWO)
    write_reranked(root, "org/r", "org/m", "B", TWO, pairs={"n_scored": 20})
    (block,) = blocks(suite_of("A", "B"), root)
    average = block.rerankers[0].average
    assert average is not None
    (speed,) = average.speeds
    assert speed.pairs_per_second == 15.0
    assert speed.query_p50_ms == pytest.approx(200.0)
    assert speed.docs_per_second is None


def test_broken_rows_per_query_are_named(root: Path) -> None:
    """All of them at once, with what to do."""
    paths = [write_reranked(root, "org/r", "org/m", task, TWO) for task in ("A", "B")]
    for path in paths:
        record_path(path).with_suffix(".parquet").write_bytes(b"broken")
    with pytest.raises(BadInput, match="is no Parquet file") as refused:
        blocks(suite_of("A", "B"), root)
    assert len(refused.value.faults) == 2


def test_a_table_without_rerankers_has_no_blocks(root: Path) -> None:
    """Embedding models alone, in a suite that names no first stages."""
    write_result(root, "org/m", "A", {"test": {"default": 0.5}})
    assert blocks(suite_of("A"), root) == []
