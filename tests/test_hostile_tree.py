"""
A results tree that somebody else made to do harm: it is read without waiting or filling the
memory, shown without being obeyed, and nothing is written outside of where results go.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import EVIL, TEXTS, fuzz, read_or_refused, run_main
from gate_tree import write_measured
from hypothesis import given
from hypothesis import strategies as st
from results_tree import suite_of, table_of, write_record, write_result
from speed_tree import speed_content, write_speed

from granite_bench.comparison.measured import measured_of
from granite_bench.errors import BadInput, StorageError, plain
from granite_bench.exported import exports_folder
from granite_bench.files.json_file import LARGEST
from granite_bench.files.local import as_one_name, cache_folder, read_at_most, write_atomically
from granite_bench.files.parquet_file import read_rows
from granite_bench.offline.mirror import files_under, is_repo_name, read_manifest, stays_inside
from granite_bench.rankings.trec import qrels_file_name, run_file_name
from granite_bench.report.layout import lay_out
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_latex, as_markdown
from granite_bench.results.speed_records import read_speed_records
from granite_bench.results.store import ResultStore, read_ranking
from granite_bench.results.tree import ranking_path, read_results, record_path
from granite_bench.speed.record import save

HALF = {"test": {"default": 0.5}}
SECONDS = 30


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """A test that waits at a pipe fails instead of never ending."""

    def give_up(number: int, frame: Any) -> None:
        pytest.fail(f"nothing happened for {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A results folder with one good model."""
    folder = tmp_path / "tree/results"
    write_measured(folder, "org/good", "TaskA", [0.5, 1.0])
    return folder


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    """Eight gigabytes that take no room."""
    path.touch()
    os.truncate(path, 8 * 2**30)


NO_FILES: dict[str, Callable[[Path], None]] = {
    "named pipe": _pipe,
    "link to a device that never ends": lambda path: path.symlink_to("/dev/zero"),
    "link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "link to nothing": lambda path: path.symlink_to(path.parent / "nothing"),
    "link to itself": lambda path: path.symlink_to(path),
    "folder": lambda path: path.mkdir(),
}


# --- what is no file --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["TaskA.json", "Other.json", "model_meta.json"])
def test_what_is_no_file_is_no_result(kind: str, name: str, root: Path) -> None:
    """As a tree of git-annex has links to what was not fetched; the rest is read."""
    folder = root / "org__evil/rev-1"
    folder.mkdir(parents=True)
    NO_FILES[kind](folder / name)
    for tasks in (None, ["TaskA"]):
        assert [result.model for result in read_results(root, tasks)] == ["org/good"]
    assert [row.model for row in table_of(root, "TaskA").rows] == ["org/good"]


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_record_that_is_no_file_is_none(kind: str, root: Path) -> None:
    """The result stands without it."""
    record = record_path(root / "org__good/rev-1/TaskA.json")
    record.unlink()
    NO_FILES[kind](record)
    (result,) = read_results(root)
    assert result.record == {}


@pytest.mark.parametrize("kind", NO_FILES)
def test_rows_that_are_no_file_are_refused_or_none(kind: str, root: Path) -> None:
    """Of queries and of a ranking."""
    (result,) = read_results(root)
    for path in (result.queries_path, ranking_path(result.path)):
        path.unlink(missing_ok=True)
        NO_FILES[kind](path)

    def measured() -> Any:
        return measured_of("org/good", "rev-1", {}, {"TaskA": result}, suite_of("TaskA"))

    found = read_or_refused(measured, result.queries_path)
    assert found is None or all(each.queries is None for each in found.evaluations.values())
    with pytest.raises(BadInput, match=r"TaskA\.ranking\.parquet: is no Parquet file"):
        read_ranking(ranking_path(result.path))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array(["same"]).take(pa.array([0] * 3_000_000)), "3,000,000 values of a column"),
        (pa.array([" " * 1_000_000 + str(number) for number in range(80)]), "to 80.0 MB"),
        (pa.array([[1.0] * 3_000_000]), "3,000,000 values of a column"),
    ],
    ids=["equal values", "blank texts", "a list of equal values"],
)
def test_a_small_file_that_would_fill_the_memory_is_refused(
    values: pa.Array, said: str, tmp_path: Path
) -> None:
    """Before its columns are read."""
    path = tmp_path / "TaskA.parquet"
    pq.write_table(pa.table({"query_id": values}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(BadInput, match=said):
        read_rows(path, "remove it")


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_no_speed_record(kind: str, root: Path) -> None:
    """The others are read."""
    path = write_speed(root, "org/good")
    NO_FILES[kind](path.with_name("evil.json"))
    assert [record.path for record in read_speed_records(root)] == [path]


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_not_in_a_mirror(kind: str, tmp_path: Path) -> None:
    """Nor is it waited for."""
    (tmp_path / "good").write_text("x")
    NO_FILES[kind](tmp_path / "manifest.json")
    assert [name for name in files_under(tmp_path) if name != "manifest.json"] == ["good"]
    if kind not in ("link to nothing", "link to itself"):
        with pytest.raises(BadInput, match=r"manifest\.json"):
            read_manifest(tmp_path)


# --- links and sizes --------------------------------------------------------------------------


def test_links_that_lead_in_circles_end(root: Path) -> None:
    """To the folder itself, the one above, and back and forth."""
    (root / "loop").symlink_to(root)
    (root / "org__good/up").symlink_to(root.parent)
    (root / "org__good/rev-1/experiments").symlink_to(root / "org__good")
    (root / "one").symlink_to(root / "other")
    (root / "other").symlink_to(root / "one")
    assert {result.task for result in read_results(root)} == {"TaskA"}
    assert files_under(root)


def test_a_link_is_read_as_what_it_points_to(root: Path, tmp_path: Path) -> None:
    """The hub's cache is made of links; what is outside is only ever read."""
    outside = write_result(tmp_path / "outside", "org/linked", "TaskA", HALF)
    (root / "org__linked").symlink_to(outside.parents[1])
    before = _state(tmp_path / "outside")
    assert {result.model for result in read_results(root)} == {"org/good", "org/linked"}
    assert _state(tmp_path / "outside") == before


@pytest.mark.parametrize("name", ["TaskA.json", "model_meta.json", "records/TaskA.json"])
def test_a_huge_file_is_refused_and_not_read(name: str, root: Path) -> None:
    """Eight gigabytes, of which the process takes none."""
    path = root / "org__good/rev-1" / name
    path.unlink()
    _sparse(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match=rf"{name}: cannot be read: has more than 67\.1 MB"):
        assert [result.record for result in read_results(root)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # kB


def test_a_huge_speed_record_and_a_huge_manifest_are_refused(root: Path) -> None:
    """Likewise."""
    path = write_speed(root, "org/good")
    path.unlink()
    _sparse(path)
    _sparse(root / "manifest.json")
    with pytest.raises(BadInput, match=r"ab12cd\.json: cannot be read: has more than"):
        read_speed_records(root)
    with pytest.raises(BadInput, match=r"manifest\.json: cannot be read: has more than"):
        read_manifest(root)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    """Two and a half megabytes are the most that a public result has."""
    path = tmp_path / "TaskA.json"
    path.write_bytes(b" " * 1000)
    assert len(read_at_most(path, 1000)) == 1000
    with pytest.raises(OSError, match="has more than 999 B"):
        read_at_most(path, 999)
    assert LARGEST > 25 * 2_577_600


def test_a_file_that_may_not_be_read_is_named(root: Path) -> None:
    """And a folder that may not be looked into holds no results."""
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    path = root / "org__good/rev-1/TaskA.json"
    path.chmod(0)
    with pytest.raises(BadInput, match="Permission denied"):
        read_results(root)
    path.parent.chmod(0)
    assert read_results(root) == []
    path.parent.chmod(0o700)


@pytest.fixture
def deep_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Folders whose whole path no call takes; pytest could not remove them either."""
    name, depth = "d" * 200, 30
    monkeypatch.chdir(root / "org__good")
    for _ in range(depth):
        os.mkdir(name)  # noqa: PTH102 (its whole path would be refused)
        os.chdir(name)
    monkeypatch.chdir(root)
    yield
    os.chdir(root / "org__good")
    for _ in range(depth):
        os.chdir(name)
    for _ in range(depth):
        os.chdir("..")
        os.rmdir(name)  # noqa: PTH106 (as above)
    os.chdir(root)


@pytest.mark.usefixtures("deep_folders")
def test_folders_deeper_than_a_path_can_name_are_not_gone_into(root: Path) -> None:
    """A tree has four levels; a mirror is refused."""
    assert len(read_results(root)) == 1
    with pytest.raises(BadInput, match="cannot be read: File name too long"):
        files_under(root)


# --- names ------------------------------------------------------------------------------------

NAMES = {
    "escape": "org__\x1b[2J\x1b]0;evil\x07",
    "line break": "org__a\n::error::evil",
    "markup": f"org__{EVIL.replace('/', '_')}",
    "backslash": "org__..\\..\\evil",
    "no UTF-8": b"org__caf\xe9".decode(errors="surrogateescape"),
    "long": "x" * 255,
    "dots": "...",
    "option": "--help",
    "template": "org__{{ 7 * 7 }}{% raw %}",
    "right to left": "org__\u202eevil",
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("where", ["model", "revision", "variant"])
def test_names_of_folders_are_shown_and_not_obeyed(kind: str, where: str, root: Path) -> None:
    """As the name of a model without metadata, in every format."""
    name = NAMES[kind]
    folder = {
        "model": root / name / "rev-1",
        "revision": root / "org__evil" / name,
        "variant": root / "org__evil/rev-1/experiments" / name,
    }[where]
    folder.mkdir(parents=True)
    path = write_result(root, "org/evil", "TaskA", HALF, meta=False)
    path.rename(folder / path.name)
    write_record(folder / path.name)
    table = table_of(root, "TaskA")
    page = suite_page(table).encode().decode()
    assert len(table.rows) == 2
    assert page.count("<script") == 1  # the page's own
    assert ("{{ 7 * 7 }}" in page) == (kind == "template")
    for write in (as_markdown, as_latex, as_csv):
        text = write(lay_out(table)).encode().decode()
        assert all(ord(character) > 31 or character == "\n" for character in text)
        assert "\x7f" not in text


HOSTILE = ("../../evil", "/etc/evil", "..", "a/../../evil", "..\\evil", EVIL, "x" * 300, "\x1b[2J")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_verb_writes_outside_of_where_it_is_told(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A model, a task and a protocol of such a name, in JSON, where no file system forbids it."""
    path = write_measured(root, "org/evil", "TaskA", [0.5, 0.75])
    meta = path.with_name("model_meta.json")
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "name": name}))
    speed = write_speed(root, "org/evil")
    content = speed_content(name, protocol=name or "x")
    speed.write_text(json.dumps(content))
    other = write_result(root, "org/good", "Other", HALF)
    other.write_text(json.dumps({**json.loads(other.read_text()), "task_name": name}))
    work = tmp_path / "deep/er/work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path / "cache"))
    (work / "small.yaml").write_text(
        json.dumps(suite_of("TaskA").model_dump(mode="json", by_alias=True))
    )
    before = _state(tmp_path)
    tree = ["--results", str(root.parent)]
    for command in (
        ["table", "small.yaml", "--speed"],
        ["report", "small.yaml"],
        ["report", "small.yaml", "--card", name],
        ["compare", "org/good", name, "--suite", "small.yaml", "--format", "html"],
        ["check", "--suite", "small.yaml", "--baseline", str(root), "--no-run", "--model", name],
    ):
        assert run_main([*command, *tree], capsys)[0] in (0, 1, 2, 3)
    made = {each for each in _state(tmp_path) if each not in before}
    assert made
    inside = (work, tmp_path / "cache")
    assert all(any(Path(each).is_relative_to(place) for place in inside) for each in made)


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and time of change."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            stat = os.lstat(f"{parent}/{name}")
            found[f"{parent}/{name}"] = (stat.st_size, stat.st_mtime_ns)
    return found


def _stays(folder: Path, path: Path) -> bool:
    """Whether a path that was made from names is inside of a folder, whatever links there are."""
    return os.path.normpath(path).startswith(f"{folder}{os.sep}") and ".." not in path.parts


@dataclass
class _Named:
    """What a store asks of mteb's metadata of a model."""

    name: str
    revision: str | None
    experiment_name: str | None
    experiment_kwargs: dict[str, Any]

    def model_name_as_path(self) -> str:
        """As mteb makes it."""
        return self.name.replace("/", "__").replace(" ", "_")


@fuzz(60)
@given(name=TEXTS, revision=TEXTS, variant=st.one_of(st.none(), TEXTS), task=TEXTS)
def test_the_place_of_a_result_is_in_the_results_folder(
    name: str, revision: str, variant: str | None, task: str
) -> None:
    """At the depth where the reading side looks; or it is refused."""
    store = ResultStore(Path("/nowhere/results"))
    meta: Any = _Named(name, revision, variant, {})
    try:
        path = store.path(meta, task)
    except BadInput:
        return
    assert _stays(store.root, path)
    depth = len(path.relative_to(store.root).parts)
    assert depth == (5 if variant else 3)


@fuzz(60)
@given(names=st.lists(TEXTS, min_size=3, max_size=3))
def test_names_of_files_stay_in_their_folder(names: list[str]) -> None:
    """Of runs, judgements, exports, repositories, and whatever else a name is made into."""
    folder = Path("/nowhere")
    for made in (as_one_name(names[0]), run_file_name(*names), qrels_file_name(*names)):
        assert (folder / made).name == made
        assert _stays(folder, folder / made)
    assert _stays(cache_folder() / "exports", exports_folder(names[0], names[1]))
    if is_repo_name(names[0]) and stays_inside(names[1]):
        assert _stays(folder / names[0], folder / names[0] / names[1])


@fuzz(25)
@given(model=TEXTS, protocol=TEXTS)
def test_a_speed_record_is_saved_below_the_speed_folder(
    model: str, protocol: str, tmp_path: Path
) -> None:
    """Where the reading side looks for it; or the file system refuses the name."""
    try:
        path = save(speed_content(model, protocol=protocol), tmp_path)
    except (StorageError, UnicodeEncodeError):
        strange = [text for text in (model, protocol) if text != plain(text)]
        assert strange or max(len(model), len(protocol)) > 60
        return
    assert _stays(tmp_path / "results/speed", path)
    assert len(path.relative_to(tmp_path / "results/speed").parts) == 3
    path.unlink()


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_a_storage_error(name: str, tmp_path: Path) -> None:
    """Nothing is left behind."""
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path / name, b"")
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_of_the_file_system_is_written(tmp_path: Path) -> None:
    """Though the temporary file beside it has a longer one."""
    path = tmp_path / ("ü" * 127)
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"
