"""Whatever a published table or a baseline's file holds, it is read, or refused with its place."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import TEXTS, damaged, fuzz, json_files, read_or_refused, run_main
from gate_tree import measured, write_measured
from hypothesis import given
from hypothesis import strategies as st
from results_tree import suite_of, write_result

from granite_bench.audit import audit
from granite_bench.audit.published import COLUMNS, read_published
from granite_bench.gate.baseline import FileBaseline, open_baseline
from granite_bench.gate.baseline_update import update

WHOLE = (
    ",".join(COLUMNS) + "\n"
    'Paper,Table 1,org/a,SciFact,50.0,ndcg_at_10,"a note, quoted"\n'
    "Paper,Table 1,org/a,parameters,30,params_m,\n"
    "Paper,Table 1,,docs,23000,docs,\n"
)

NUMBERS = [
    "50.0", "-2.2", "+9.4", "1455", "1e999", "1e5", "nan", "inf", "−0.5", "0x10", "1_000", "1,000",
    ".5", "5.", "", " 5", "٣", "½", "<1", "50.0*", "9" * 400, "0." + "1" * 400, "--5", "50%",
]  # fmt: skip


@st.composite
def _tables(draw: Callable[[Any], Any]) -> bytes:
    """Rows of almost the right columns, quoted and separated in whatever way."""
    heads = list(COLUMNS)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(heads)))
        heads[place:place] = draw(st.sampled_from([[], ["value"], ["values"], [""]]))
    cell = st.one_of(TEXTS, st.sampled_from(["org/a", "SciFact", "ndcg_at_10", "mean"]))
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        row = [draw(cell) for _ in range(draw(st.sampled_from([7, 7, 7, 6, 8, 0])))]
        row[4:5] = [draw(st.sampled_from(NUMBERS))]
        rows.append(row)
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=draw(st.sampled_from([",", ",", ",", ";", "\t"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
    )
    writer.writerows([heads, *rows])
    return out.getvalue().encode(errors="surrogatepass")


@fuzz(90)
@given(content=st.one_of(_tables(), damaged(WHOLE.encode()), st.binary(max_size=20)))
def test_a_published_table_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    """What is read has values that are finite, each with the digits that are printed."""
    path = tmp_path / "fuzzed.csv"
    path.write_bytes(content)
    for cell in read_or_refused(lambda: read_published([path]), path) or ():
        assert np.isfinite(cell.value)
        assert cell.agrees(cell.value)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_value_is_a_printed_number_or_refused_with_its_line(number: str, tmp_path: Path) -> None:
    """Never taken for another one."""
    path = tmp_path / "fuzzed.csv"
    path.write_text(
        f'{",".join(COLUMNS)}\nP,T,m,SciFact,"{number}",ndcg_at_10,\n', encoding="utf-8"
    )
    cells = read_or_refused(lambda: read_published([path]), path)
    assert (cells is not None) == (number in NUMBERS[:4] or number.startswith("0.1"))
    if cells is None:
        with pytest.raises(Exception, match=r"fuzzed\.csv:2: "):
            read_published([path])


@fuzz(5)
@given(content=st.one_of(_tables(), damaged(WHOLE.encode())))
def test_a_table_that_is_read_is_audited(content: bytes, tmp_path: Path) -> None:
    """Whatever its columns name, and whatever the numbers are."""
    (tmp_path / "results").mkdir(exist_ok=True)
    path = tmp_path / "fuzzed.csv"
    path.write_bytes(content)
    read_or_refused(lambda: audit([path], [tmp_path]), path)


_numbers = itertools.count()


@pytest.mark.parametrize("form", ["terminal", "html", "csv"])
@fuzz(4)
@given(content=st.one_of(_tables(), damaged(WHOLE.encode())))
def test_the_command_line_audits_a_table_or_says_what_is_wrong(
    form: str,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In every format."""
    folder = tmp_path / str(next(_numbers))
    write_result(folder / "tree/results", "org/a", "SciFact", {"test": {"default": 0.5}})
    monkeypatch.chdir(folder)
    (folder / "fuzzed.csv").write_bytes(content)
    command = ["audit", "fuzzed.csv", "--results", "tree", "--format", form, "--out", f"out.{form}"]
    assert run_main(command, capsys)[0] in (0, 1, 2)


# --- baselines --------------------------------------------------------------------------------

SUITE = suite_of("TaskA")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A baseline's file."""
    folder = tmp_path_factory.mktemp("baseline")
    write_measured(folder, "org/a", "TaskA", [0.5, 1.0, 0.25])
    baseline = open_baseline(folder / "baseline.json", SUITE, make=True)
    assert isinstance(baseline, FileBaseline)
    update(baseline, SUITE, [measured(folder, "org/a", SUITE)], {})
    return (folder / "baseline.json").read_bytes()


@fuzz(90)
@given(data=st.data())
def test_a_baselines_file_is_read_or_refused(
    data: st.DataObject, whole: bytes, tmp_path: Path
) -> None:
    """What is read can be written again."""
    path = tmp_path / "fuzzed.json"
    path.write_bytes(data.draw(st.one_of(json_files(json.loads(whole)), damaged(whole))))
    baseline = read_or_refused(lambda: open_baseline(path, SUITE), path)
    if baseline is not None:
        assert isinstance(baseline, FileBaseline)
        update(baseline, SUITE, [model.measured for model in baseline.models.values()], {})


@fuzz(6)
@given(data=st.data())
def test_the_command_line_refuses_a_broken_baseline(
    data: st.DataObject,
    whole: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, also in the files that a workflow reads; or the verdict, where it is whole."""
    folder = tmp_path / str(next(_numbers))
    write_measured(folder / "tree", "org/a", "TaskA", [0.5, 1.0, 0.25])
    monkeypatch.chdir(folder)
    (folder / "small.yaml").write_text(json.dumps(SUITE.model_dump(mode="json", by_alias=True)))
    (folder / "fuzzed.json").write_bytes(
        data.draw(st.one_of(json_files(json.loads(whole)), damaged(whole)))
    )
    command = ["check", "--suite", "small.yaml", "--baseline", "fuzzed.json", "--no-run"]
    command += ["--results", "tree", "--model", "org/a", "--json", "check.json"]
    code, _ = run_main([*command, "--junit", "junit.xml"], capsys)
    assert json.loads((folder / "check.json").read_bytes())["exit_code"] == code


def test_what_unpacks_to_more_than_any_baseline_is_not_unpacked(
    whole: bytes, tmp_path: Path
) -> None:
    """A gigabyte of zeros is a megabyte packed."""
    content = json.loads(whole)
    ((key, packed),) = content["queries"].items()
    assert len(packed) < 1000
    content["queries"][key] = base64.b64encode(zlib.compress(bytes(2**27), 9)).decode()
    path = tmp_path / "fuzzed.json"
    path.write_text(json.dumps(content))
    assert read_or_refused(lambda: open_baseline(path, SUITE), path) is None
