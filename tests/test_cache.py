"""granite-bench cache: what the store of vectors holds, whether it is whole, and what may go."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from granite_bench.__main__ import main
from granite_bench.engine.vectors.shard import shard_bytes, shard_name
from granite_bench.engine.vectors.vector_cache import check_shards, read_cache
from granite_bench.engine.vectors.vector_prune import parse_age, parse_size, plan_prune
from granite_bench.engine.vectors.vector_store import VectorStore, text_keys
from granite_bench.engine.vectors.vectors import StoredVectors
from granite_bench.errors import BadInput, StorageError

SETTINGS: dict[str, Any] = {
    "model": "org/small",
    "revision": "0123456789abcdef",
    "dtype": "float32",
    "truncated_to": 512,
    "prompt": "query: ",
    "role": "query",
    "document_template": "{title} {text}",
}

DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the vectors of a test are."""
    return tmp_path / "vectors"


def keep(folder: Path, n_texts: int = 3, *, days: float = 0.0, **settings: Any) -> VectorStore:
    """A configuration with one shard, last used so many days ago."""
    store = VectorStore(folder, {**SETTINGS, **settings})
    keys = text_keys([str(number) for number in range(n_texts)])
    store.put(keys, np.ones((n_texts, 4), np.float32), np.ones(n_texts, np.int32))
    make_old(store.folder, days)
    return store


def make_old(folder: Path, days: float) -> None:
    """As if nothing in it had been touched for so long."""
    then = time.time() - days * DAY
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))


def shard_of(store: VectorStore) -> Path:
    """Its only shard."""
    [shard] = store.folder.glob("*.safetensors")
    return shard


def break_shard(store: VectorStore) -> Path:
    """Change the last byte of its only shard."""
    shard = shard_of(store)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    return shard


def size_of(store: VectorStore) -> int:
    """Bytes of its files."""
    return sum(path.stat().st_size for path in store.folder.iterdir())


def cache(*arguments: str, folder: Path) -> int:
    """The verb's exit code."""
    return main(["cache", *arguments, "--vectors", str(folder)])


def models_in(folder: Path) -> list[str]:
    """What is still kept."""
    return sorted(one.model for one in read_cache(folder))


# list


def test_list_has_a_row_per_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What tells them apart, texts, size, the time of the last use, and the total."""
    store = keep(folder, 1234)
    os.utime(shard_of(store), (0, 0))
    os.utime(store.folder / "configuration.json", (0, 0))
    keep(folder, model="org/large", role=None, prompt="", truncated_to=None)
    assert cache("list", folder=folder) == 0
    head, large, small, total = capsys.readouterr().out.splitlines()
    assert head.split() == (
        "model revision role dtype truncated to prompt texts size last used".split()
    )
    assert large.split()[:7] == ["org/large", "01234567", "-", "float32", "-", '""', "3"]
    assert small.split('"')[0].split() == ["org/small", "01234567", "query", "float32", "512"]
    assert '"query: "' in small
    assert " 1,234 " in small
    assert small.endswith(time.strftime("%Y-%m-%d %H:%M", time.localtime(0)))
    assert total.startswith(f"{folder}: 2 configurations, ")


def test_list_shows_what_else_tells_configurations_of_a_model_apart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loader differs here; the document template is the same and takes no room."""
    keep(folder, loaded="aaaa")
    keep(folder, loaded="bbbb")
    keep(folder, model="org/large", document_template="another model's")
    assert cache("list", folder=folder) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].split()[7:9] == ["loaded", "texts"]
    assert "aaaa" in said
    assert "bbbb" in said
    assert "document template" not in said


def test_list_as_json_has_every_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes in bytes, the time in UTC."""
    store = keep(folder)
    for path in store.folder.iterdir():
        os.utime(path, (86400, 86400))
    assert cache("list", "--format", "json", folder=folder) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert one == {
        "folder": str(store.folder),
        "state": "current",
        "configuration": {"format": 2, **SETTINGS},
        "n_texts": 3,
        "n_shards": 1,
        "n_bytes": size_of(store),
        "last_used": "1970-01-02T00:00:00Z",
    }


def unreadable(folder: Path, name: str = "f" * 32, content: bytes | None = b"{") -> Path:
    """A configuration whose description is broken or lost, with a shard."""
    lost = folder / name
    lost.mkdir(parents=True)
    if content is not None:
        (lost / "configuration.json").write_bytes(content)
    (lost / f"{'0' * 32}.safetensors").write_bytes(b"vectors")
    return lost


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"{", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[]", "unreadable"),
        (b"{}", "unreadable"),
        (None, "unreadable"),
        (b'{"format": 1, "model": "org/small"}', "older format"),
        (b'{"format": 3, "model": "org/small"}', "newer format"),
    ],
)
def test_list_says_what_this_version_cannot_read(
    folder: Path, content: bytes | None, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the folder, so that a person can look."""
    lost = unreadable(folder, content=content)
    assert cache("list", folder=folder) == 0
    assert f"{state}: {lost.name}" in capsys.readouterr().out


def test_list_of_the_usual_folder_needs_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was ever run here."""
    assert main(["cache", "list"]) == 0
    assert "0 configurations, 0 B" in capsys.readouterr().out


def test_list_starts_without_torch_and_mteb(folder: Path) -> None:
    """It reads a few headers."""
    keep(folder)
    code = (
        "import sys; from granite_bench.__main__ import main; code = main(sys.argv[1:]);"
        "print({'torch', 'mteb', 'transformers', 'datasets', 'pandas', 'huggingface_hub'}"
        " & set(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "cache", "list", "--vectors", str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"


# verify


def test_verify_of_whole_shards_is_fine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and how many there were."""
    keep(folder)
    keep(folder, model="org/large")
    assert cache("verify", folder=folder) == 0
    assert capsys.readouterr().out == f"{folder}: 2 shards, 0 broken\n"


def test_verify_names_broken_shards_and_exits_with_3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Path and reason, of every configuration; nothing is removed."""
    keep(folder)
    flipped = break_shard(keep(folder, model="org/flipped"))
    cut = shard_of(keep(folder, model="org/cut"))
    cut.write_bytes(cut.read_bytes()[:-1])
    assert cache("verify", folder=folder) == 3
    said = capsys.readouterr().out
    assert f"{flipped}: its checksum is wrong\n" in said
    assert f"{cut}: it is cut short\n" in said
    assert said.endswith(f"{folder}: 3 shards, 2 broken\n")
    assert flipped.exists()
    assert cut.exists()


def test_verify_finds_a_shard_of_another_dimension(folder: Path) -> None:
    """As the store does when it opens the folder."""
    store = keep(folder)
    keys = text_keys(["x"])
    odd = store.folder / shard_name(keys)
    odd.write_bytes(shard_bytes(keys, np.ones((1, 5), np.float32), np.ones(1, np.int32)))
    checked = {shard.path: shard.reason for shard in check_shards(read_cache(folder))}
    assert checked.pop(odd) == "it has vectors of dimension 5, its folder 4"
    assert list(checked.values()) == [""]


def test_verify_with_repair_removes_broken_shards_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0: what is left is whole, as a second look says."""
    whole, store = keep(folder), keep(folder, model="org/large")
    broken = break_shard(store)
    assert cache("verify", "--repair", folder=folder) == 0
    assert "removed 1 broken shard" in capsys.readouterr().out
    assert not broken.exists()
    assert shard_of(whole).exists()
    assert cache("verify", folder=folder) == 0


def test_verify_with_repair_exits_with_3_when_a_shard_stays(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may only be read."""
    broken = break_shard(keep(folder))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert cache("verify", "--repair", folder=folder) == 3
    out, err = capsys.readouterr()
    assert "removed 0 broken shards" in out
    assert f"{broken}: cannot be removed: Read-only file system" in err


def test_verify_says_what_it_did_not_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shards of an older format are neither whole nor broken to this version."""
    old = unreadable(folder, content=b'{"format": 1}')
    assert cache("verify", folder=folder) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}: 0 shards, 0 broken\n"
    assert f"{old}: not read: older format" in err


# prune


def test_prune_removes_what_was_not_used_for_so_long(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What went, and how much room that made."""
    keep(folder, model="org/new", days=29)
    old = keep(folder, model="org/old", days=31)
    n_bytes = size_of(old)
    assert cache("prune", "--older-than", "30d", folder=folder) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1].startswith("org/old  01234567  query  float32")
    assert said.endswith(f"{folder}: removed 1 configuration: {n_bytes} B\n")
    assert models_in(folder) == ["org/new"]
    assert not old.folder.exists()


def test_a_run_that_finds_vectors_keeps_them_from_being_pruned(folder: Path) -> None:
    """Written 90 days ago, found today."""
    keep(folder, days=90)
    VectorStore(folder, SETTINGS).find(text_keys(["1"]))
    assert cache("prune", "--older-than", "30d", folder=folder) == 0
    assert models_in(folder) == ["org/small"]


def test_prune_removes_the_models_that_are_named(folder: Path) -> None:
    """All their configurations, and no other's."""
    for model in ("org/a", "org/b", "org/c"):
        keep(folder, model=model, role="query")
        keep(folder, model=model, role="document")
    assert cache("prune", "--model", "org/a", "--model", "org/c", folder=folder) == 0
    assert models_in(folder) == ["org/b", "org/b"]


def test_prune_options_narrow_each_other(folder: Path) -> None:
    """Model and age: only what is both."""
    keep(folder, model="org/a", days=40)
    keep(folder, model="org/a", days=1, role="document")
    keep(folder, model="org/b", days=40)
    assert cache("prune", "--model", "org/a", "--older-than", "5w", folder=folder) == 0
    assert [one.configuration["role"] for one in read_cache(folder)] == ["document", "query"]
    assert models_in(folder) == ["org/a", "org/b"]


def test_prune_to_a_size_removes_the_least_recently_used_first(folder: Path) -> None:
    """Three of equal size, room for two and a half."""
    for name, days in (("a", 2), ("b", 9), ("c", 5)):
        n_bytes = size_of(keep(folder, model=f"org/{name}", days=days))
    assert cache("prune", "--max-size", f"{int(n_bytes * 2.5)}B", folder=folder) == 0
    assert models_in(folder) == ["org/a", "org/c"]


def test_prune_to_the_size_that_there_is_removes_nothing(folder: Path) -> None:
    """To the byte; one byte less costs a configuration."""
    n_bytes = sum(size_of(keep(folder, model=model)) for model in ("org/a", "org/b"))
    assert plan_prune(read_cache(folder), max_bytes=n_bytes).chosen == []
    assert len(plan_prune(read_cache(folder), max_bytes=n_bytes - 1).chosen) == 1
    assert len(plan_prune(read_cache(folder), max_bytes=0).chosen) == 2


def test_prune_to_a_size_counts_what_the_other_options_choose(folder: Path) -> None:
    """Of org/a one stays; org/b is older, and was not chosen."""
    keep(folder, model="org/b", days=50)
    for role, days in (("query", 3), ("document", 2)):
        n_bytes = size_of(keep(folder, model="org/a", role=role, days=days))
    arguments = ("--model", "org/a", "--max-size", f"{n_bytes + 50}B")
    assert cache("prune", *arguments, folder=folder) == 0
    assert [(one.model, one.configuration["role"]) for one in read_cache(folder)] == [
        ("org/a", "document"),
        ("org/b", "query"),
    ]


def test_prune_all_removes_all_but_what_is_not_ours(folder: Path) -> None:
    """Folders of other names and files that the store does not write stay where they are."""
    store = keep(folder)
    strange = store.folder / "notes.txt"
    strange.write_text("mine")
    (folder / "mine").mkdir()
    (folder / "mine" / "a.safetensors").write_bytes(b"weights")
    others = folder / ("e" * 32)
    others.mkdir()
    (others / "index").write_bytes(b"of another program")
    assert cache("prune", "--all", folder=folder) == 0
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "a.safetensors",
        "index",
        "notes.txt",
    ]


@pytest.mark.parametrize("content", [b"{", None, b'{"format": 1, "model": "org/small"}'])
def test_prune_removes_what_is_of_no_use_whatever_it_is_asked_for(
    folder: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Older formats and lost descriptions; what was not chosen stays."""
    keep(folder)
    lost = unreadable(folder, content=content)
    assert cache("prune", "--older-than", "30d", folder=folder) == 0
    assert lost.name in capsys.readouterr().out
    assert not lost.exists()
    assert models_in(folder) == ["org/small"]


def test_prune_keeps_a_newer_format_unless_it_is_chosen(folder: Path) -> None:
    """Another version of this program uses it."""
    unreadable(folder, content=b'{"format": 3, "model": "org/next"}')
    keep(folder)
    assert cache("prune", "--model", "org/small", folder=folder) == 0
    assert models_in(folder) == ["org/next"]
    assert cache("prune", "--all", folder=folder) == 0
    assert models_in(folder) == []


def test_prune_removes_temporary_files_of_killed_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those older than an hour, of configurations that stay."""
    store = keep(folder)
    names = [f".{'0' * 32}.safetensors.old", f".{'0' * 32}.safetensors.young"]
    for name in names:
        (store.folder / name).write_bytes(b"half")
    os.utime(store.folder / names[0], (0, 0))
    assert cache("prune", "--older-than", "30d", folder=folder) == 0
    said = capsys.readouterr().out
    assert said == f"{folder}: removed 0 configurations and 1 temporary file of killed runs: 4 B\n"
    assert [(store.folder / name).exists() for name in names] == [False, True]


def test_an_empty_configuration_is_removed_when_it_is_old(folder: Path) -> None:
    """A young one may be a run's that is about to write its first shard."""
    for name in ("a" * 32, "b" * 32):
        (folder / name).mkdir(parents=True)
    os.utime(folder / ("a" * 32), (0, 0))
    assert cache("prune", "--all", folder=folder) == 0
    assert [path.name for path in folder.iterdir()] == ["b" * 32]


def test_a_dry_run_removes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], files_below: Callable[[], list[str]]
) -> None:
    """And says what would go."""
    store = keep(folder)
    lost = unreadable(folder)
    before = files_below()
    n_bytes = size_of(store) + sum(path.stat().st_size for path in lost.iterdir())
    assert cache("prune", "--all", "--dry-run", folder=folder) == 0
    said = capsys.readouterr().out
    assert f"would remove 2 configurations: {n_bytes} B" in said
    assert "org/small" in said
    assert files_below() == before


def test_prune_says_what_it_could_not_remove(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file with the reason, and exit code 3."""
    shard = shard_of(keep(folder))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert cache("prune", "--all", folder=folder) == 3
    out, err = capsys.readouterr()
    assert f"{shard}: cannot be removed: Permission denied" in err
    assert out.endswith(": 0 B\n")


def test_a_run_goes_on_after_its_vectors_were_pruned(folder: Path) -> None:
    """What it held says to run again; what it asks and writes from now on is whole."""
    store = keep(folder)
    found = store.find(text_keys(["0", "1"]))
    vectors = StoredVectors(store.paths, found.shards, found.rows, 4)
    assert cache("prune", "--all", folder=folder) == 0
    with pytest.raises(StorageError, match="was removed while it was in use"):
        vectors.gather(np.array([0]))
    assert (store.find(text_keys(["0"])).shards == -1).all()
    store.put(text_keys(["0"]), np.ones((1, 4), np.float32), np.ones(1, np.int32))
    [one] = read_cache(folder)
    assert (one.model, one.n_texts) == ("org/small", 1)


# Bad input: 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["prune"], "give --older-than, --model, --max-size or --all", id="nothing"),
        pytest.param(["prune", "--dry-run"], "give --older-than, --model", id="dry run alone"),
        pytest.param(
            ["prune", "--model", "org/smal"],
            "no vectors of 'org/smal' are kept\n  did you mean 'org/small'?",
            id="model",
        ),
        pytest.param(["prune", "--model", "xyz"], "there are: org/small", id="no such model"),
        pytest.param(
            ["prune", "--older-than", "30"],
            "--older-than: '30' is no age\n  a whole number of hours, days or weeks: 12h",
            id="age",
        ),
        pytest.param(
            ["prune", "--max-size", "20"],
            "--max-size: '20' is no size\n  a number and a unit",
            id="size",
        ),
        pytest.param(["lst"], "did you mean 'list'?", id="verb"),
        pytest.param(["prune", "--older", "1d"], "--older-than", id="option"),
    ],
)
def test_bad_input_exits_with_2_and_removes_nothing(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, and what would be right; no traceback."""
    keep(folder)
    assert cache(*arguments, folder=folder) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert models_in(folder) == ["org/small"]


@pytest.mark.parametrize("verb", [["list"], ["verify"], ["prune", "--all"]])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("nowhere", "No such file or directory"), ("file", "Not a directory")],
)
def test_a_folder_that_is_none_exits_with_2(
    tmp_path: Path, verb: list[str], name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each verb; the folder is not made."""
    (tmp_path / "file").write_bytes(b"")
    assert cache(*verb, folder=tmp_path / name) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path / name}: is no folder of vectors: {reason}\n  ")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12h", 43200), ("30d", 2592000), ("2w", 1209600), ("1W", 604800), (" 0d ", 0)],
)
def test_ages_are_hours_days_and_weeks(text: str, seconds: int) -> None:
    """In seconds; 24 hours a day."""
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["30", "d", "", "30 days", "1m", "-1d", "1.5d", "1e3d", "3٣d x"])
def test_other_ages_are_refused(text: str) -> None:
    """m could be minutes or months."""
    with pytest.raises(BadInput, match="12h, 30d, 8w"):
        parse_age(text)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("0B", 0),
        ("500B", 500),
        ("1kB", 1000),
        ("500MB", 500 * 10**6),
        ("1.5 GB", 1_500_000_000),
        ("20gb", 20 * 10**9),
        ("2TB", 2 * 10**12),
        ("20GiB", 21_474_836_480),
    ],
)
def test_sizes_are_decimal_or_binary_bytes(text: str, n_bytes: int) -> None:
    """GB is a thousand million, GiB is 1024 to the third."""
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize("text", ["20", "GB", "", "-1GB", "1,5GB", "20G", "1e3B", "infGB", "5ib"])
def test_other_sizes_are_refused(text: str) -> None:
    """A unit is needed: nobody means 20 bytes."""
    with pytest.raises(BadInput, match="500MB"):
        parse_size(text)
