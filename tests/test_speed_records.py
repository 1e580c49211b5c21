"""Speed records: what is read of them, which one counts, and whose speed it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from results_tree import CPU, GPU
from speed_tree import LATENCY, write_speed

from granite_bench.errors import BadInput
from granite_bench.results.speed_columns import Conditions, protocol_labels, short_device
from granite_bench.results.speed_records import (
    Latency,
    SpeedRecord,
    Spread,
    latest,
    read_speed_records,
)

EARLY, LATE = "2026-11-21T08:00:00+00:00", "2026-11-22T08:00:00+00:00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def record(root: Path, model: str = "org/a", **of: Any) -> SpeedRecord:
    """The only record below a fresh root."""
    write_speed(root, model, **of)
    (found,) = read_speed_records(root)
    return found


def change(path: Path, keys: str, value: Any) -> None:
    """Put a value at a dotted path of a record."""
    content = json.loads(path.read_text())
    *outer, last = keys.split(".")
    inner = content
    for key in outer:
        inner = inner[key]
    inner[last] = value
    path.write_text(json.dumps(content))


# --- reading ----------------------------------------------------------------------------------


def test_a_record_is_read_as_it_was_written(root: Path) -> None:
    """Model, conditions, figures and settings."""
    found = record(root, chunks=1500.0, docs=100.0, hardware=GPU, dtype="bfloat16")
    assert (found.model, found.revision, found.untrained) == ("org/a", "rev-1", False)
    assert found.conditions == Conditions(
        "chunks-512", "chunks-512/2:ab12cd34ef56", "Test GPU", "bfloat16"
    )
    assert found.throughput == {
        "docs/s": Spread(100.0, 98.0, 102.0),
        "chunks/s": Spread(1500.0, 1470.0, 1530.0),
    }
    assert (found.latency, found.n_passes, found.warnings) == (None, 3, ())
    assert found.settings["batches"] == "up to 128 texts"
    assert found.date.isoformat() == EARLY
    assert found.content["summary"]["tokens_per_second"]["median"] == 600_000.0


def test_without_a_device_name_the_processor_and_its_cores_are_the_device(root: Path) -> None:
    """As in the columns of the runs."""
    assert record(root, hardware=CPU).conditions.device == "Test CPU, 4 cores"


def test_threads_are_part_of_a_processor_where_they_are_not_one_per_core(root: Path) -> None:
    """With one thread it is another machine; a GPU is the same."""
    assert record(root, threads=1).conditions.device == "Test CPU, 4 cores, 1 thread"
    assert record(root, hardware=GPU, threads=1).conditions.device == "Test GPU"


@pytest.mark.parametrize(
    ("of", "units"),
    [
        ({"corpus": "synthetic"}, ["docs/s", "chunks/s"]),
        ({"corpus": "file"}, ["docs/s", "chunks/s"]),
        ({"corpus": "task"}, ["docs/s"]),
        ({"corpus": "lengths", "docs": None}, ["texts/s"]),
    ],
)
def test_a_unit_says_what_was_counted(of: dict[str, Any], units: list[str], root: Path) -> None:
    """Documents and their chunks, whole documents, or texts that are no documents."""
    assert list(record(root, **of).throughput) == units


def test_queries_have_latencies_and_no_throughput(root: Path) -> None:
    """To encode, and to encode and search; a record of them has no summary."""
    found = record(root, protocol="queries", chunks=None, latency=LATENCY)
    assert found.throughput == {}
    assert found.latency == Latency(200, 4.0, 6.0, 14.0, 16.0, 10_000)


def test_a_latency_without_a_search_has_none(root: Path) -> None:
    """Encoding alone was measured."""
    alone = {**LATENCY, "encode_and_search_ms": None, "n_documents_searched": None}
    found = record(root, protocol="queries", chunks=None, latency=alone)
    assert found.latency == Latency(200, 4.0, 6.0, None, None, None)


def test_without_a_speed_folder_there_are_no_records(root: Path) -> None:
    """A tree of results alone; and no tree at all."""
    assert read_speed_records(root) == []
    root.mkdir()
    assert read_speed_records(root) == []


def test_the_folder_above_results_is_as_good(root: Path) -> None:
    """As for results."""
    write_speed(root, "org/a")
    assert [found.model for found in read_speed_records(root.parent)] == ["org/a"]


def test_records_are_sorted_by_path(root: Path) -> None:
    """Whatever the file system says first."""
    for model in ("org/b", "org/a"):
        for name in ("2.json", "1.json"):
            write_speed(root, model, name=name)
    found = [(each.model, each.path.name) for each in read_speed_records(root)]
    assert found == [
        ("org/a", "1.json"), ("org/a", "2.json"), ("org/b", "1.json"), ("org/b", "2.json"),
    ]  # fmt: skip


def test_a_file_that_is_being_written_is_no_record(root: Path) -> None:
    """Nor is another file beside it."""
    path = write_speed(root, "org/a")
    (path.parent / f".{path.name}.x1").write_text("{")
    (path.parent / "notes.txt").write_text("x")
    assert len(read_speed_records(root)) == 1


@pytest.mark.parametrize(
    ("keys", "value", "fault"),
    [
        ("summary.chunks_per_second.median", "fast", "summary.chunks_per_second.median: input "),
        ("summary.chunks_per_second.median", 0, "summary.chunks_per_second.median: input should"),
        ("summary.chunks_per_second.median", float("nan"), "summary.chunks_per_second.median: "),
        ("summary.chunks_per_second.most", float("inf"), "summary.chunks_per_second.most: "),
        ("summary.chunks_per_second.least", 5000.0, "must have least <= median <= most"),
        ("summary.chunks_per_second", None, "summary.chunks_per_second: "),
        ("summary", None, "must have a summary, or a latency"),
        ("model.untrained", "no", "model.untrained: "),
        ("model", {}, "model.name: is missing"),
        ("protocol.identity", "", "protocol.identity: "),
        ("settings.dtype", None, "settings.dtype: "),
        ("hardware.cpu", 7, "hardware.cpu: "),
        ("warnings", "noisy", "warnings: "),
        ("date", "yesterday", "date: "),
        ("date", "2026-11-21T08:00:00", "date: "),
        ("passes", None, "passes: "),
        ("latency", {"n_queries": 3}, "latency.encode_ms: is missing"),
    ],
)
def test_a_broken_value_is_named(keys: str, value: Any, fault: str, root: Path) -> None:
    """With its file and its key."""
    path = write_speed(root, "org/a")
    change(path, keys, value)
    with pytest.raises(BadInput) as raised:
        read_speed_records(root)
    assert f"{path}: " in str(raised.value)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{broken", "cannot be read as JSON"),
        ("[1]", "must be a JSON object"),
        ("{}", "is no speed record: it has no 'format'"),
        ('{"format": "1"}', "is no speed record: it has no 'format'"),
        ('{"format": true}', "is no speed record: it has no 'format'"),
        ('{"format": 3}', "is of format 3, written by a newer granite-bench"),
    ],
)
def test_a_file_that_is_no_record_is_named(text: str, fault: str, root: Path) -> None:
    """Not JSON, not ours, or of a newer release, whose other keys are not looked at."""
    path = write_speed(root, "org/a")
    path.write_text(text)
    with pytest.raises(BadInput) as raised:
        read_speed_records(root)
    (found,) = raised.value.faults
    assert found.where == str(path)
    assert fault in found.what


def test_every_broken_file_is_named_at_once(root: Path) -> None:
    """And every fault of each."""
    write_speed(root, "org/a").write_text("{")
    path = write_speed(root, "org/b")
    change(path, "settings.dtype", 1)
    change(path, "corpus.kind", 2)
    write_speed(root, "org/c")
    with pytest.raises(BadInput) as raised:
        read_speed_records(root)
    assert [fault.where.rpartition(": ")[2] for fault in raised.value.faults[1:]] == [
        "corpus.kind", "settings.dtype",
    ]  # fmt: skip
    assert len(raised.value.faults) == 3


def test_a_key_that_a_later_release_adds_is_no_fault(root: Path) -> None:
    """Within the same format."""
    change(write_speed(root, "org/a"), "summary.watts", 300)
    assert len(read_speed_records(root)) == 1


# --- which one counts -------------------------------------------------------------------------


def write_runs(root: Path, *runs: Mapping[str, Any], model: str = "org/a") -> None:
    """Records of one model, a file each."""
    for number, run in enumerate(runs):
        write_speed(root, model, name=f"{number}.json", **run)


def shown(root: Path) -> list[float]:
    """The medians that count, in chunks a second."""
    return [each.throughput["chunks/s"].median for each in latest(read_speed_records(root))]


def test_the_last_of_several_measurements_counts(root: Path) -> None:
    """By its date, not by its file's name."""
    write_runs(root, {"chunks": 200.0, "date": LATE}, {"chunks": 100.0, "date": EARLY})
    assert shown(root) == [200.0]


@pytest.mark.parametrize("warning", ["throttled: power cap", "shared: 2", "noisy: 30%"])
def test_a_spoilt_measurement_does_not_push_out_a_clean_one(warning: str, root: Path) -> None:
    """Though it is the later one."""
    write_runs(
        root,
        {"chunks": 100.0, "date": EARLY},
        {"chunks": 50.0, "date": LATE, "warnings": [warning]},
    )
    assert shown(root) == [100.0]


def test_of_spoilt_measurements_the_last_counts(root: Path) -> None:
    """There is no better one."""
    write_runs(
        root,
        {"chunks": 60.0, "date": LATE, "warnings": ["noisy: b"]},
        {"chunks": 50.0, "date": EARLY, "warnings": ["noisy: a"]},
    )
    assert shown(root) == [60.0]


def test_a_remark_spoils_nothing(root: Path) -> None:
    """What the model reads at most is no fault of the measurement."""
    write_runs(
        root,
        {"chunks": 100.0, "date": EARLY},
        {"chunks": 200.0, "date": LATE, "warnings": ["chunks of 256 tokens: it reads no more"]},
    )
    assert shown(root) == [200.0]


@pytest.mark.parametrize(
    "other",
    [{"identity": "chunks-512/3:cd34"}, {"hardware": GPU}, {"dtype": "bfloat16"}, {"threads": 1}],
    ids=["protocol", "device", "dtype", "threads"],
)
def test_other_conditions_are_another_figure(other: dict[str, Any], root: Path) -> None:
    """Each keeps its own."""
    write_runs(root, {"chunks": 100.0}, {"chunks": 200.0, **other})
    assert sorted(shown(root)) == [100.0, 200.0]


def test_another_model_is_another_figure(root: Path) -> None:
    """And so is an untrained one of the same name."""
    write_runs(root, {"chunks": 100.0}, {"chunks": 300.0, "untrained": True})
    write_runs(root, {"chunks": 200.0}, model="org/b")
    assert sorted(shown(root)) == [100.0, 200.0, 300.0]


def test_local_folders_of_one_name_keep_their_own_figures(root: Path) -> None:
    """Their content differs, as their revision says."""
    write_runs(
        root,
        {"chunks": 100.0, "revision": "aaaaaaaa", "date": EARLY},
        {"chunks": 200.0, "revision": "bbbbbbbb", "date": LATE},
        model="local/mine",
    )
    assert sorted(shown(root)) == [100.0, 200.0]


# --- whose speed it is ------------------------------------------------------------------------


def is_of(root: Path, row: Mapping[str, Any] | None = None, **of: Any) -> bool:
    """Whether a record is of a row of org/a, with changes to either."""
    row = {"model": "org/a", "revision": "rev-1", "settings": {}, "max_length": 512, **(row or {})}
    return record(root, **of).is_of(**row)


def test_a_speed_is_of_the_model_that_it_names(root: Path) -> None:
    """And of no other."""
    assert is_of(root)
    assert not record(root).is_of("org/b", "rev-1", {}, None)


def test_a_speed_of_random_weights_is_of_no_row(root: Path) -> None:
    """Their quality nobody has, whatever they are called."""
    assert not is_of(root, untrained=True)


def test_another_revision_of_a_published_model_has_its_speed(root: Path) -> None:
    """The shape is the same; the cell names the revision that was measured."""
    assert is_of(root, revision="rev-2")


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"embed_dim": 128, "output_dtypes": "int8"}, True),
        ({"max_length": 512}, True),
        ({"dtype": "float32"}, True),
        ({"dtype": "bfloat16"}, False),
        ({"backend": "onnx"}, False),
        ({"endpoint": "http://server"}, False),
    ],
)
def test_a_variant_has_the_speed_unless_it_is_computed_otherwise(
    settings: dict[str, Any], fits: bool, root: Path
) -> None:
    """Fewer dimensions take as long; the protocol says the length of its own texts."""
    assert is_of(root, {"settings": settings, "max_length": 8192}, dtype="float32") is fits


@pytest.mark.parametrize(
    ("own", "of_row", "fits"),
    [(512, 512, True), (512, 8192, False), (512, None, True), (None, 512, True)],
)
def test_documents_of_a_task_have_the_length_of_the_row(
    own: int | None, of_row: int | None, fits: bool, root: Path
) -> None:
    """Cut at 512 tokens they take less time than at 8,192."""
    row = {"max_length": of_row}
    assert is_of(root, row, corpus="task", max_length=own) is fits


@pytest.mark.parametrize(
    ("model", "revision", "fits"),
    [
        ("local/mine", "aaaaaaaabb", True),
        ("local/mine @aaaaaaa", "aaaaaaaabb", True),
        ("local/mine", "cccccccc", False),
        ("local/mine @ccccccc", "cccccccc", False),
        ("local/mine", "", True),
    ],
)
def test_a_local_folder_has_the_speed_of_its_own_content(
    model: str, revision: str, fits: bool, root: Path
) -> None:
    """Another folder of the same name may be another model; a row without results is any."""
    found = record(root, "local/mine", revision="aaaaaaaabb")
    assert found.is_of(model, revision, {}, None) is fits


# --- names ------------------------------------------------------------------------------------


def conditions(identity: str, **settings: Any) -> Conditions:
    """Of chunks-512 on one device."""
    named = tuple((name, str(value)) for name, value in settings.items())
    return Conditions("chunks-512", identity, "Test CPU, 4 cores", "float32", named)


def test_a_protocol_that_is_alone_has_its_name() -> None:
    """Also on several devices."""
    one = conditions("a", chunk_tokens=512)
    other = Conditions("chunks-512", "a", "Test GPU", "float32", one.settings)
    assert set(protocol_labels([one, other]).values()) == {"chunks-512"}


def test_protocols_of_one_name_are_told_apart_by_the_settings_that_differ() -> None:
    """How often it was repeated is not among them."""
    one = conditions("a", chunk_tokens=512, batch_size=128, repeats=3)
    other = conditions("b", chunk_tokens=256, batch_size=128, repeats=5)
    assert list(protocol_labels([one, other]).values()) == [
        "chunks-512 (chunk_tokens 512)",
        "chunks-512 (chunk_tokens 256)",
    ]


@pytest.mark.parametrize(
    ("label", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz, 8 cores", "Xeon E5-2686 v4, 8 cores"),
        ("AMD EPYC 7R13 Processor, 48 cores", "EPYC 7R13, 48 cores"),
        ("Apple M3, 8 cores", "Apple M3, 8 cores"),
        ("CPU", "CPU"),
    ],
)
def test_a_short_device_still_names_it(label: str, short: str) -> None:
    """Without trade marks, and never empty."""
    assert short_device(label) == short


def test_reading_speed_records_loads_nothing_heavy() -> None:
    """Neither torch nor mteb nor pandas."""
    heavy = {"torch", "transformers", "mteb", "pandas", "matplotlib", "numba"}
    name = "granite_bench.results.speed_records"
    code = f"import sys, {name}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
