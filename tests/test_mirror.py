"""The reading side of the offline mirror."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from granite_bench.errors import BadInput
from granite_bench.offline.mirror import (
    MIRROR_VARIABLE,
    Manifest,
    MirrorFile,
    MirrorRepo,
    content_hash,
    locate,
    mirror_folder,
    model_hash,
    read_manifest,
    verify,
)

COMMIT = "1" * 40
OTHER = "2" * 40
FILES = {"README.md": b"read me", "en/corpus.parquet": b"corpus", "en/queries.parquet": b"queries"}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror with the data set org/data at COMMIT, asked for as v1.0, and its manifest."""
    folder = tmp_path / "mirror"
    for path, content in FILES.items():
        (folder / "org/data" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "org/data" / path).write_bytes(content)
    record(folder)
    return folder


def record(
    folder: Path, *, complete: bool = True, kind: Literal["dataset", "model"] = "dataset"
) -> None:
    """Write the manifest of the fixture *mirror*."""
    files = {
        path: MirrorFile(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for path, content in FILES.items()
    }
    repo = MirrorRepo(kind=kind, revision=COMMIT, asked="v1.0", complete=complete, files=files)
    Manifest().with_repo("org/data", repo).write(folder)


def test_the_reading_side_imports_neither_torch_nor_mteb_nor_a_hub_client() -> None:
    """A table with data identities must start in a moment."""
    code = (
        "import sys, granite_bench.offline.mirror\n"
        "heavy = {'torch', 'transformers', 'mteb', 'huggingface_hub', 'datasets'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.strip() == "[]"


def test_the_option_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands on the command line is meant now."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "b"))
    assert mirror_folder(tmp_path / "a") == tmp_path / "a"
    assert mirror_folder(None) == tmp_path / "b"


@pytest.mark.parametrize("value", [None, ""])
def test_no_option_and_no_variable_is_no_mirror(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable is how a shell unsets one."""
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(MIRROR_VARIABLE, value)
    assert mirror_folder(None) is None


@pytest.mark.parametrize("by_option", [True, False])
def test_a_mirror_that_does_not_exist_is_refused_and_says_who_named_it(
    by_option: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error must not turn into a download from the hub."""
    missing = tmp_path / "missing"
    monkeypatch.setenv(MIRROR_VARIABLE, str(missing))
    with pytest.raises(BadInput) as caught:
        mirror_folder(missing if by_option else None)
    assert caught.value.faults[0].where == ("--mirror" if by_option else MIRROR_VARIABLE)
    assert str(missing) in caught.value.faults[0].what


def test_a_folder_without_a_manifest_entry_is_taken_as_it_is(mirror: Path) -> None:
    """The user filled it by hand, whatever the revision."""
    (mirror / "org/by-hand").mkdir()
    assert locate(mirror, "org/by-hand", COMMIT) == mirror / "org/by-hand"


def test_what_is_not_in_the_mirror_is_nowhere(mirror: Path) -> None:
    """None sends the caller to the hub."""
    assert locate(mirror, "org/missing", COMMIT) is None
    assert locate(None, "org/data", COMMIT) is None


@pytest.mark.parametrize("revision", [COMMIT, "v1.0", None])
def test_the_commit_its_tag_and_no_revision_are_all_accepted(
    revision: str | None, mirror: Path
) -> None:
    """The manifest keeps the name that was asked for beside the commit."""
    assert locate(mirror, "org/data", revision) == mirror / "org/data"


def test_another_revision_is_refused_with_both_and_the_command(mirror: Path) -> None:
    """A score on another revision is another score."""
    with pytest.raises(BadInput) as caught:
        locate(mirror, "org/data", OTHER)
    text = str(caught.value)
    assert COMMIT in text
    assert OTHER in text
    assert f"granite-bench fetch SUITE --to {mirror}" in text


def test_half_a_repository_is_refused(mirror: Path) -> None:
    """A corpus without its last part would give a wrong score without a word."""
    record(mirror, complete=False)
    with pytest.raises(BadInput, match="a fetch was cut off"):
        locate(mirror, "org/data", COMMIT)


@pytest.mark.parametrize("repo", ["../x", "org/../../x", "..", "org/..", ".", "", "/x", "a/b/c"])
def test_a_name_never_leads_out_of_the_mirror(repo: str, mirror: Path) -> None:
    """What is no repository's name is never looked up."""
    (mirror.parent / "x").mkdir()
    (mirror / "a/b/c").mkdir(parents=True)
    absolute = str(mirror.parent / "x") if repo == "/x" else repo
    assert locate(mirror, absolute, None) is None


def test_an_organisation_is_not_taken_for_a_repository_of_the_same_name(mirror: Path) -> None:
    """Old models have bare names, and stand beside the organisations' folders."""
    assert locate(mirror, "org", None) is None
    (mirror / "bert-base").mkdir()
    (mirror / "bert-base/config.json").write_text("{}")
    assert locate(mirror, "bert-base", None) == mirror / "bert-base"


def test_a_manifest_reads_back_as_it_was_written(mirror: Path) -> None:
    """Writing loses nothing."""
    repo = read_manifest(mirror).repos["org/data"]
    assert (repo.kind, repo.revision, repo.asked, repo.complete) == (
        "dataset",
        COMMIT,
        "v1.0",
        True,
    )
    assert repo.files["README.md"].size == 7
    assert read_manifest(mirror / "org") == Manifest()


def test_a_newer_manifest_asks_for_a_newer_release(mirror: Path) -> None:
    """Its other keys are not complained about: nobody here can know them."""
    (mirror / "manifest.json").write_text('{"version": 2, "anything": 1}')
    with pytest.raises(BadInput, match=r"format 2 is newer .* reads 1\n  update granite-bench"):
        read_manifest(mirror)


def test_a_manifest_that_is_not_json_says_where_and_what_to_do(mirror: Path) -> None:
    """Half a file, say."""
    (mirror / "manifest.json").write_text('{"version": 1, "repos": {')
    with pytest.raises(BadInput, match=r"json: cannot be read as JSON: .*\n  move it away"):
        locate(mirror, "org/data", COMMIT)


@pytest.mark.parametrize("name", ["../outside", "org/../outside", "/etc", "a/b/c", ""])
def test_a_manifest_cannot_name_a_folder_outside_of_the_mirror(mirror: Path, name: str) -> None:
    """Its names are joined to the mirror's folder."""
    path = mirror / "manifest.json"
    raw = json.loads(path.read_text())
    raw["repos"][name] = raw["repos"]["org/data"]
    path.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match=r"repos: no names of repositories: \["):
        verify(mirror)


def test_a_manifest_that_is_nested_without_end_is_not_read(mirror: Path) -> None:
    """Python's parser gives up on it."""
    (mirror / "manifest.json").write_text('{"a":' * 100_000)
    with pytest.raises(BadInput, match="cannot be read as JSON"):
        read_manifest(mirror)


def test_a_file_is_no_mirror(tmp_path: Path) -> None:
    """Nor an empty one."""
    (tmp_path / "mirror").write_text("")
    with pytest.raises(BadInput, match="is a file, and a mirror is a folder"):
        read_manifest(tmp_path / "mirror")


def test_all_faults_of_a_manifest_are_named_at_once(mirror: Path) -> None:
    """An unknown key, a missing one, and a path that leads out."""
    raw = json.loads((mirror / "manifest.json").read_text())
    raw["colour"] = "blue"
    del raw["repos"]["org/data"]["kind"]
    raw["repos"]["org/data"]["files"] = {"../../secret": {"size": 1, "sha256": ""}}
    (mirror / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(BadInput) as caught:
        read_manifest(mirror)
    places = {fault.where.split(": ")[-1] for fault in caught.value.faults}
    assert places == {"colour", "repos.org/data.kind", "repos.org/data.files"}


def test_the_content_hash_is_over_path_size_and_sha256(tmp_path: Path) -> None:
    """Worked out here from its definition, once."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.txt").write_bytes(b"two")
    (tmp_path / "a.txt").write_bytes(b"one!")
    rows = [
        ["a.txt", 4, hashlib.sha256(b"one!").hexdigest()],
        ["b/c.txt", 3, hashlib.sha256(b"two").hexdigest()],
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert content_hash(tmp_path) == hashlib.sha256(text.encode()).hexdigest()


def test_the_content_hash_knows_neither_the_folder_nor_hidden_folders(mirror: Path) -> None:
    """A copy elsewhere, or a checkout with .git, is the same data."""
    before = content_hash(mirror / "org/data")
    copy = mirror / "elsewhere"
    shutil.copytree(mirror / "org/data", copy)
    for hidden in (".git", ".cache/huggingface"):
        (copy / hidden).mkdir(parents=True)
        (copy / hidden / "lock").write_text("x")
    assert content_hash(copy) == before


def test_the_content_hash_sees_a_bit_a_name_and_a_linked_folder(mirror: Path) -> None:
    """Each of these changes what a task loads."""
    data = mirror / "org/data"
    seen = {content_hash(data)}
    (data / "README.md").write_bytes(b"read mf")
    seen.add(content_hash(data))
    (data / "README.md").rename(data / "README.txt")
    seen.add(content_hash(data))
    (mirror / "more").mkdir()
    (mirror / "more/de.parquet").write_bytes(b"de")
    (data / "de").symlink_to(mirror / "more")
    seen.add(content_hash(data))
    assert len(seen) == 4


def test_a_link_that_leads_back_up_ends(mirror: Path) -> None:
    """And adds nothing."""
    before = content_hash(mirror / "org/data")
    (mirror / "org/data/en/up").symlink_to(mirror / "org/data")
    assert content_hash(mirror / "org/data") == before


def test_nothing_has_no_content_hash(tmp_path: Path) -> None:
    """Two folders that are missing are not the same data."""
    with pytest.raises(BadInput, match="holds no file"):
        content_hash(tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        content_hash(tmp_path / "missing")


EXPORTS = (
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model_qint8.onnx.data",
    "openvino/openvino_model.xml",
    "openvino/openvino_model.bin",
    "model.onnx",
)


def test_the_hash_of_a_model_is_that_of_its_folder_without_exports(tmp_path: Path) -> None:
    """Data are hashed whole, and so is what is no export by its place or its name."""
    model = tmp_path / "model"
    (model / "onnx").mkdir(parents=True)
    (model / "openvino").mkdir()
    (model / "config.json").write_text("{}")
    before = content_hash(model)
    assert model_hash(model) == before
    for path in EXPORTS:
        (model / path).write_text("exported")
    assert model_hash(model) == before != content_hash(model)
    seen = {before}
    for path in ("onnx/code.py", "pytorch_model.bin", "2_Dense/model.onnx"):
        (model / path).parent.mkdir(exist_ok=True)
        (model / path).write_text("own")
        seen.add(model_hash(model))
    assert len(seen) == 4


def test_exports_beside_a_mirrored_model_are_no_faults(mirror: Path) -> None:
    """export --out may put them there; in a data set they are strange."""
    (mirror / "org/data/onnx").mkdir()
    (mirror / "org/data/onnx/model.onnx").write_text("exported")
    assert ["not in the manifest" in fault.what for fault in verify(mirror)] == [True]
    record(mirror, kind="model")
    assert verify(mirror) == []


def test_an_untouched_mirror_has_no_faults(mirror: Path) -> None:
    """Hidden folders of other tools do not count."""
    (mirror / "org/data/.cache").mkdir()
    (mirror / "org/data/.cache/lock").write_text("x")
    assert verify(mirror) == []


def test_a_flipped_bit_a_missing_file_and_a_strange_one_are_found_in_one_go(mirror: Path) -> None:
    """All of it at once, by path."""
    data = mirror / "org/data"
    flipped = bytes([FILES["README.md"][0] ^ 1]) + FILES["README.md"][1:]
    (data / "README.md").write_bytes(flipped)
    (data / "en/corpus.parquet").unlink()
    (data / "en/queries.parquet").write_bytes(b"short")
    (data / "en/more.parquet").write_bytes(b"more")
    found = {fault.where: fault.what for fault in verify(mirror)}
    assert set(found) == {
        str(data / name)
        for name in ("README.md", "en/corpus.parquet", "en/queries.parquet", "en/more.parquet")
    }
    assert "has another content" in found[str(data / "README.md")]
    assert found[str(data / "en/corpus.parquet")] == "is missing"
    assert found[str(data / "en/queries.parquet")] == "has 5 bytes, the manifest says 7"
    assert "not in the manifest" in found[str(data / "en/more.parquet")]


def test_a_folder_that_is_gone_and_a_cut_off_fetch_are_faults(mirror: Path) -> None:
    """Verify says so instead of failing."""
    shutil.rmtree(mirror / "org/data")
    assert {fault.what for fault in verify(mirror)} == {"is missing"}
    record(mirror, complete=False)
    assert [fault.what for fault in verify(mirror)] == ["not complete: a fetch was cut off"]


def test_a_mirror_without_a_manifest_is_not_called_right(tmp_path: Path) -> None:
    """Nothing was compared."""
    assert [fault.what for fault in verify(tmp_path)] == ["lists nothing to verify"]
