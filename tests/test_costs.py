"""What a model costs: parameters, storage, speed, memory, money, under one set of conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from results_tree import CPU, GPU, evaluation, table_of, write_record, write_result
from speed_tree import LATENCY, turns_content, write_speed

from granite_bench.comparison.costs import Cost, Costs, costs_of
from granite_bench.errors import BadInput
from granite_bench.tables.model_facts import ModelFacts

SERVER = {**CPU, "device": "remote", "device_name": "server http://host/v1"}
TURNS = {"org_b": (0.5, 0.4, 0.6)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write(
    root: Path,
    model: str,
    *entries: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    hardware: Mapping[str, Any] = CPU,
    **run: Any,
) -> None:
    """
    A result, and the record of its run where there are entries or other changes to it.

    Args:
        run: changes to the run; *settings_of_run* are those of its settings.
    """
    path = write_result(root, model, "TaskA", {"test": {"default": 0.5}}, settings=settings)
    if not entries and not run:
        return
    write_record(path, entries or [evaluation()], hardware=hardware)
    record = path.parent / "records" / path.name
    content = json.loads(record.read_text())
    content["runs"][0]["settings"].update(run.pop("settings_of_run", {}))
    content["runs"][0].update(run)
    record.write_text(json.dumps(content))


def costs(root: Path, *, dimension: int | None = 384, **options: Any) -> Costs:
    """Of all models below *root*, in the order of their names."""
    rows = sorted(table_of(root, "TaskA").rows, key=lambda row: row.model)
    for row in rows:
        row.facts = ModelFacts(22_000_000, 10_000_000, dimension, 512)
    return costs_of(rows, **options)


def by_model(found: Costs) -> dict[str, Cost]:
    """Costs by the row's name."""
    return {each.model: each for each in found.rows}


# --- what it is -------------------------------------------------------------------------------


def test_storage_is_dimension_times_bytes_per_value(root: Path) -> None:
    """384 values of 4 bytes, and 128 of 1 byte, a million times."""
    write(root, "org/a")
    write(root, "org/a", settings={"embed_dim": 128, "output_dtypes": "int8"})
    own, small = costs(root).rows
    assert (own.dimension, own.precision, own.bytes_per_million_docs) == (384, "float32", 1.536e9)
    assert (small.dimension, small.precision) == (128, "int8")
    assert small.bytes_per_million_docs == 128e6
    assert (own.n_parameters, own.n_active_parameters, own.max_length) == (
        22_000_000,
        10_000_000,
        512,
    )


def test_a_sparse_model_stores_the_dimensions_that_are_not_zero(root: Path) -> None:
    """100 documents of 30 and 300 of 50 are 45 on average; an index and a value are 8 bytes."""

    def entry(n_docs: int, active: float) -> dict[str, Any]:
        sparsity = {"dim": 30522, "query_active_dims": 9.0, "doc_active_dims": active, "flops": 1.0}
        return evaluation(n_docs=n_docs, sparsity=sparsity)

    of_run = {"backend": "sentence-transformers (sparse)"}
    write(root, "org/s", entry(100, 30.0), entry(300, 50.0), settings_of_run=of_run)
    found = costs(root, dimension=30522)
    assert found.rows[0].bytes_per_million_docs == 45 * 8 * 1e6
    assert any("org/s: 8 bytes for each dimension that is not 0" in note for note in found.notes)


def test_a_sparse_model_without_counts_has_no_storage(root: Path) -> None:
    """The dimension of its space times four would be a thousand times too much."""
    write(root, "org/s", settings_of_run={"backend": "sentence-transformers (sparse)"})
    assert costs(root, dimension=30522).rows[0].bytes_per_million_docs is None


def test_what_keeps_no_single_embedding_has_no_storage(root: Path) -> None:
    """A model that searches by itself may keep a vector for every token, or words."""
    write(root, "org/late", settings_of_run={"engine": "mteb's own search"})
    write(root, "org/reranker", settings={"first_stage": "org/late", "top_k": 20})
    assert [each.bytes_per_million_docs for each in costs(root).rows] == [None, None]


# --- under which conditions -------------------------------------------------------------------


def test_a_row_without_the_common_conditions_has_no_figure(root: Path) -> None:
    """Two were measured on the CPU and one on a GPU, whose 9,000 stand beside nothing."""
    for model, docs, hardware in (("a", 10.0, CPU), ("b", 20.0, CPU), ("c", 9000.0, GPU)):
        write(root, f"org/{model}")
        write_speed(root, f"org/{model}", docs=docs, hardware=hardware)
    found = costs(root)
    assert [each.docs_per_s for each in found.rows] == [10.0, 20.0, None]
    assert found.throughput_under == "chunks-512 on Test CPU, 4 cores in float32"
    assert found.protocol == "chunks-512"


def test_the_conditions_that_most_rows_have_count(root: Path) -> None:
    """One of two has a speed record, both have runs: 100 documents in 2 and in 4 seconds."""
    docs = {"n_unique": 100, "n_encoded": 100, "n_truncated": 0, "encode_seconds": 4.0}
    write(root, "org/a", evaluation())
    write(root, "org/b", evaluation(docs=docs))
    write_speed(root, "org/a", docs=1000.0)
    found = costs(root)
    assert [each.docs_per_s for each in found.rows] == [50.0, 25.0]
    assert found.throughput_under == "suite-run/1 on Test CPU, 4 cores"


def test_of_equals_a_speed_record_counts_before_a_run(root: Path) -> None:
    """It measured speed alone; a run measured it in passing."""
    write(root, "org/a", evaluation())
    write_speed(root, "org/a", docs=1000.0)
    assert costs(root).rows[0].docs_per_s == 1000.0
    assert costs(root, protocol="suite-run/1").rows[0].docs_per_s == 50.0


def test_chunks_and_texts_are_no_documents(root: Path) -> None:
    """Texts of a fixed length count only where they are asked for, and never as documents."""
    write(root, "org/a")
    write_speed(root, "org/a", docs=10.0, chunks=150.0)
    write_speed(root, "org/a", protocol="fixed-512", corpus="lengths", docs=None, chunks=700.0)
    (own,) = costs(root).rows
    assert own.throughput == {"docs/s": 10.0, "chunks/s": 150.0}
    (fixed,) = costs(root, protocol="fixed-512", price_per_device_hour=2.0).rows
    assert fixed.throughput == {"texts/s": 700.0}
    assert (fixed.docs_per_s, fixed.cost_per_million_docs) == (None, None)


def test_documents_count_before_texts_that_more_rows_have(root: Path) -> None:
    """Two were measured at a fixed length, one of them in documents."""
    for model in ("a", "b"):
        write(root, f"org/{model}")
        of = {"protocol": "fixed-512", "corpus": "lengths", "docs": None}
        write_speed(root, f"org/{model}", **of)
    assert costs(root).protocol == "fixed-512"
    write_speed(root, "org/a", docs=10.0)
    found = costs(root)
    assert found.protocol == "chunks-512"
    assert [each.docs_per_s for each in found.rows] == [10.0, None]


def test_latency_has_conditions_of_its_own(root: Path) -> None:
    """A queries record ends at the embedding, a run at the ranking: the label says which."""
    write(root, "org/a", evaluation())
    assert costs(root).latency_under.endswith("from a query's text to its ranking")
    write_speed(root, "org/a", protocol="queries", chunks=None, latency=LATENCY)
    found = costs(root)
    assert (found.rows[0].query_p50_ms, found.rows[0].query_p95_ms) == (4.0, 6.0)
    assert found.latency_under == (
        "queries on Test CPU, 4 cores in float32, from a query's text to its embedding"
    )
    assert found.throughput_under == "suite-run/1 on Test CPU, 4 cores"


def test_protocols_that_share_a_name_are_told_apart(root: Path) -> None:
    """Another identity is another column: two of three count, and the third has a hole."""
    for model, identity in (("a", "x/2:aa"), ("b", "x/2:aa"), ("c", "x/2:bb")):
        write(root, f"org/{model}")
        write_speed(root, f"org/{model}", docs=5.0, identity=identity)
    assert [each.docs_per_s for each in costs(root).rows] == [5.0, 5.0, None]


def test_an_unknown_protocol_names_those_there_are(root: Path) -> None:
    """The user may have meant another."""
    write(root, "org/a")
    write_speed(root, "org/a")
    with pytest.raises(BadInput, match=r"(?s)--protocol.*'chunk-512'.*did you mean 'chunks-512'"):
        costs(root, protocol="chunk-512")


# --- memory -----------------------------------------------------------------------------------


def peaks(path: Path, **summary: int | None) -> None:
    """Put memory into a speed record."""
    content = json.loads(path.read_text())
    content["summary"].update(summary)
    path.write_text(json.dumps(content))


def test_memory_is_the_devices_else_the_processs(root: Path) -> None:
    """A GPU's own memory counts where it was read."""
    for model, on_device in (("a", None), ("b", 7)):
        write(root, f"org/{model}")
        path = write_speed(root, f"org/{model}")
        peaks(path, memory_bytes_peak=on_device, resident_bytes_peak=5)
    assert [each.memory_bytes for each in costs(root).rows] == [5, 7]


def test_models_that_took_turns_have_no_memory(root: Path) -> None:
    """All were in memory at once, and the record leaves it open."""
    write(root, "org/a")
    comparison = turns_content(0, "org/a", **TURNS)
    path = write_speed(root, "org/a", comparison=comparison)
    peaks(path, memory_bytes_peak=None, resident_bytes_peak=None)
    assert costs(root).rows[0].memory_bytes is None


# --- money ------------------------------------------------------------------------------------


def test_cost_is_the_devices_time_for_a_million_documents(root: Path) -> None:
    """At 3.60 an hour and 100 documents a second: 10,000 seconds at a tenth of a cent."""
    write(root, "org/a")
    write_speed(root, "org/a", docs=100.0)
    found = costs(root, price_per_device_hour=3.6)
    assert found.rows[0].cost_per_million_docs == pytest.approx(10.0)
    assert any("3.6 per device-hour" in note and "chunks-512" in note for note in found.notes)
    assert costs(root).rows[0].cost_per_million_docs is None


def served(root: Path) -> None:
    """100 documents of 300 tokens in all, 10 queries of 100, sent again: 0.50 for everything."""
    docs = {"n_unique": 100, "n_encoded": 100, "n_truncated": 0, "encode_seconds": 2.0}
    queries = {"n_unique": 10, "n_encoded": 10, "n_truncated": 0, "encode_seconds": 1.0}
    entry = evaluation(
        docs={**docs, "n_tokens_encoded": 300},
        queries={**queries, "n_tokens_encoded": 100},
        query_seconds=[0.1] * 10,
    )
    write(root, "endpoint/s", entry, hardware=SERVER, usage={"cost": 0.5, "n_tokens": 555})


def test_a_servers_bill_is_shared_between_documents_and_queries(root: Path) -> None:
    """300 of 300 + 2 * 100: 0.30 for 100 documents, 3,000 for a million."""
    served(root)
    found = costs(root)
    assert found.rows[0].cost_per_million_docs == pytest.approx(3000.0)
    assert any("its bill for the suite's documents" in note for note in found.notes)


def test_no_device_price_is_put_on_a_server(root: Path) -> None:
    """Nobody knows its hours; without a price of tokens there is no cost."""
    write(root, "endpoint/s", evaluation(), hardware=SERVER)
    assert costs(root, price_per_device_hour=3.6).rows[0].cost_per_million_docs is None


def test_a_bill_stands_beside_device_costs_of_the_same_documents_alone(root: Path) -> None:
    """The suite's documents and those of a protocol are others: the bill is left out, and named."""
    served(root)
    write(root, "org/a", evaluation())
    beside = by_model(costs(root, price_per_device_hour=3.6))
    assert beside["endpoint/s"].cost_per_million_docs == pytest.approx(3000.0)
    write_speed(root, "org/a", docs=100.0)
    found = costs(root, price_per_device_hour=3.6, protocol="chunks-512")
    assert by_model(found)["endpoint/s"].cost_per_million_docs is None
    assert by_model(found)["org/a"].cost_per_million_docs == pytest.approx(10.0)
    assert any(note.startswith("No cost of endpoint/s") for note in found.notes)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_is_above_zero(price: float) -> None:
    """A free device would make every model cost the same."""
    with pytest.raises(BadInput, match="above 0"):
        costs_of([], price_per_device_hour=price)


# --- variants of a loaded model ---------------------------------------------------------------


FROM_STORE = {"n_unique": 100, "n_encoded": 0, "n_truncated": 25, "encode_seconds": 0.0}


def test_a_variant_whose_vectors_came_from_the_store_has_its_models_speed(root: Path) -> None:
    """100 documents in 2 seconds by the model, none by its variants; the note says whose it is."""
    write(root, "org/a", evaluation())
    for settings in ({"embed_dim": 128}, {"embed_dim": 128, "output_dtypes": "int8"}):
        write(root, "org/a", evaluation(docs=FROM_STORE), settings=settings)
    found = costs(root)
    assert [each.docs_per_s for each in found.rows] == [50.0] * 3
    notes = [note for note in found.notes if "came from the store" in note]
    assert notes[0] == (
        "Documents per second of org/a (embed_dim=128) are those of org/a, the same loaded model: "
        "its own vectors came from the store."
    )
    assert len(notes) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"embed_dim": 128, "max_length": 64}},
        {"settings": {"embed_dim": 128}, "hardware": GPU},
        {"model": "org/b", "settings": {"embed_dim": 128}},
    ],
    ids=["length", "device", "model"],
)
def test_no_speed_is_taken_from_what_was_loaded_otherwise(
    root: Path, change: dict[str, Any]
) -> None:
    """Another length, another device, another model: none of them is the same encoding."""
    write(root, "org/a", evaluation())
    write(root, change.pop("model", "org/a"), evaluation(docs=FROM_STORE), **change)
    assert [each.docs_per_s for each in costs(root).rows] == [50.0, None]


def test_a_variant_that_was_encoded_has_its_own_speed(root: Path) -> None:
    """25 documents per second, whatever the model's own run took; nothing is noted."""
    own = {"n_unique": 100, "n_encoded": 100, "n_truncated": 0, "encode_seconds": 4.0}
    write(root, "org/a", evaluation())
    write(root, "org/a", evaluation(docs=own), settings={"embed_dim": 128})
    found = costs(root)
    assert [each.docs_per_s for each in found.rows] == [50.0, 25.0]
    assert not found.notes


# --- turns ------------------------------------------------------------------------------------


def test_two_that_took_turns_have_a_ratio(root: Path) -> None:
    """org/a is half as fast as org/b; of org/c, which was measured alone, nothing is known."""
    for model in ("a", "b", "c"):
        write(root, f"org/{model}")
    one = turns_content(0, "org/a", org_b=(0.5, 0.4, 0.6))
    other = turns_content(1, "org/b", org_a=(2.0, 1.8, 2.2))
    write_speed(root, "org/a", comparison=one)
    write_speed(root, "org/b", comparison=other)
    write_speed(root, "org/c")
    a, b, c = costs(root).rows
    ratio = b.ratio_to(a)
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 1.8, 2.2)
    inverse = a.ratio_to(b)
    assert inverse is not None
    assert inverse.value == 0.5
    assert c.ratio_to(a) is None
    assert a.ratio_to(a) is None


def test_measurements_of_two_sessions_have_no_ratio(root: Path) -> None:
    """Other sessions, other weather: the places in their turns say nothing of each other."""
    for model, position, other in (("a", 0, "org_x"), ("b", 1, "org_y")):
        write(root, f"org/{model}")
        content = turns_content(position, f"org/{model}", **{other: (2.0, 1.8, 2.2)})
        content["id"] = f"session-{model}"
        write_speed(root, f"org/{model}", comparison=content)
    a, b = costs(root).rows
    assert a.ratio_to(b) is None


def test_two_dtypes_that_took_turns_have_a_ratio(root: Path) -> None:
    """They never share a column, and a ratio needs none."""
    write(root, "org/a")
    write(root, "org/a", settings={"dtype": "bfloat16"})
    for position, (dtype, value) in enumerate({"float32": 0.5, "bfloat16": 2.0}.items()):
        content = turns_content(position, dtype, other=(value, value, value))
        write_speed(root, "org/a", dtype=dtype, comparison=content, name=f"{dtype}.json")
    own, half = costs(root).rows
    ratio = half.ratio_to(own)
    assert ratio is not None
    assert ratio.value == 2.0


def test_of_several_ratios_that_of_the_columns_counts(root: Path) -> None:
    """Twice as fast in chunks, three times at a fixed length; without a column, neither."""
    for model in ("a", "b"):
        write(root, f"org/{model}", evaluation())
    for value, of in (
        (2.0, {"docs": 10.0}),
        (3.0, {"protocol": "fixed-512", "corpus": "lengths", "docs": None}),
    ):
        one = turns_content(0, "org/a", org_b=(1 / value, 0.1, 1.0))
        other = turns_content(1, "org/b", org_a=(value, 1.0, 9.0))
        write_speed(root, "org/a", comparison=one, **of)
        write_speed(root, "org/b", comparison=other, **of)
    a, b = costs(root).rows
    ratio = b.ratio_to(a)
    assert ratio is not None
    assert ratio.value == 2.0
    a, b = costs(root, protocol="suite-run/1").rows
    assert b.ratio_to(a) is None
