"""Filling an offline mirror, against a hub on loopback and with the real clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from loopback_hub import LoopbackHub

from granite_bench.__main__ import main
from granite_bench.errors import BadInput, StorageError
from granite_bench.offline.fetch import _part_name, fetch
from granite_bench.offline.fetch_plan import (
    COLUMNS,
    PlannedFile,
    PlannedRepo,
    describe,
    duplicate_weights,
    plan_fetch,
)
from granite_bench.offline.mirror import content_hash, locate, read_manifest, verify
from granite_bench.suite.overview import load_overview
from granite_bench.suite.suite import load_suite

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask
    from mteb.models.model_meta import ModelMeta

DATA, MODEL = "org/small-retrieval", "org/small-model"
COMMIT, LATER = "1" * 40, "2" * 40
CORPUS = {"en": {"d1": "granite is a rock", "d2": "the sea"}, "de": {"d1": "Granit", "d2": "See"}}
QUERIES = {"en": {"q1": "what is granite?"}, "de": {"q1": "Was ist Granit?"}}
QRELS = {"q1": {"d1": 1}}
WEIGHTS = bytes(range(256)) * 256  # 65,536 bytes


def loopback_task(path: str, revision: str) -> AbsTask:
    """An mteb retrieval task in two languages; mteb's own loader reads it."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class SmallRetrieval(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="SmallRetrieval",
            description="Two documents.",
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            dataset={"path": path, "revision": revision},
            eval_splits=["test"],
            eval_langs={"en": ["eng-Latn"], "de": ["deu-Latn"]},
            main_score="ndcg_at_10",
            bibtex_citation="",
        )

    return SmallRetrieval()


def loopback_model(revision: str | None = COMMIT, name: str = MODEL) -> ModelMeta:
    """What mteb knows of a model, as far as a fetch asks."""
    from mteb.models.model_meta import ModelMeta

    return ModelMeta.create_empty({"name": name, "revision": revision})


def write_dataset(folder: Path) -> None:
    """A data set in the layout of mteb's RetrievalDatasetLoader: three configs per language."""
    configs = []
    for language in ("en", "de"):
        texts = [("corpus", CORPUS[language]), ("queries", QUERIES[language])]
        tables = {
            name: pa.table({"_id": list(rows), "text": list(rows.values())}) for name, rows in texts
        }
        tables["qrels"] = pa.table({"query-id": ["q1"], "corpus-id": ["d1"], "score": [1]})
        for name, table in tables.items():
            path = f"{language}-{name}/test-00000-of-00001.parquet"
            (folder / path).parent.mkdir(parents=True)
            pq.write_table(table, folder / path)
            configs.append(
                f"- config_name: {language}-{name}\n"
                f"  data_files:\n  - split: test\n    path: {language}-{name}/test-*\n"
            )
    (folder / "README.md").write_text("---\nconfigs:\n" + "".join(configs) + "---\nsmall\n")


def write_model(folder: Path) -> None:
    """Files of a model, with its weights in three formats and a layer in one."""
    for path, content in {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": WEIGHTS,
        "onnx/model.onnx": WEIGHTS,
        "2_Dense/pytorch_model.bin": b"dense",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub with a small data set and a small model, both at COMMIT."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # The client writes whole blocks only, of 10 MB; and it waits a second after a cut-off.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    write_dataset(tmp_path / "hub/data")
    write_model(tmp_path / "hub/model")
    with LoopbackHub() as hub:
        hub.add("dataset", DATA, tmp_path / "hub/data", COMMIT)
        hub.add("model", MODEL, tmp_path / "hub/model", COMMIT)
        yield hub


def fetch_model(hub: LoopbackHub, to: Path, **options: Any) -> None:
    """Plan and fetch the small model."""
    fetch(plan_fetch([], [loopback_model()], to, endpoint=hub.endpoint), to, **options)


def add_later(hub: LoopbackHub, tmp_path: Path) -> ModelMeta:
    """The small model at LATER: other weights of the same size, a file more and a file less."""
    folder = tmp_path / "hub/later"
    shutil.copytree(tmp_path / "hub/model", folder)
    (folder / "config.json").rename(folder / "a.json")
    (folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
    hub.add("model", MODEL, folder, LATER)
    return loopback_model(LATER)


def in_a_new_process(code: str, *arguments: str, **variables: str) -> Any:
    """Run *code* with no hub settings but *variables*; returns the JSON on its last line."""
    tests = Path(__file__).parent
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
    }
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]),
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FETCH = """
import json, sys
from pathlib import Path
from granite_bench.offline.fetch import fetch
from granite_bench.offline.fetch_plan import plan_fetch
from test_fetch import loopback_model, loopback_task
to = Path(sys.argv[3])
task = loopback_task(sys.argv[1], sys.argv[2])
fetch(plan_fetch([task], [loopback_model()], to), to)
print(json.dumps("done"))
"""

LOAD = """
import json, sys
from test_fetch import loopback_task
task = loopback_task(sys.argv[1], sys.argv[2])
task.load_data()
loaded = {}
for language, splits in task.dataset.items():
    test = splits["test"]
    loaded[language] = {
        "corpus": {row["id"]: row["text"] for row in test["corpus"]},
        "queries": {row["id"]: row["text"] for row in test["queries"]},
        "qrels": test["relevant_docs"],
    }
print(json.dumps(loaded))
"""

LOADED = {
    language: {"corpus": CORPUS[language], "queries": QUERIES[language], "qrels": QRELS}
    for language in ("en", "de")
}


def test_mteb_loads_a_task_from_the_mirror_without_a_hub(tmp_path: Path, hub: LoopbackHub) -> None:
    """The whole way: HF_ENDPOINT, fetch, no hub any more, mteb's own loader on the folder."""
    mirror = tmp_path / "mirror"
    home = str(tmp_path / "home")
    in_a_new_process(FETCH, DATA, COMMIT, str(mirror), HF_ENDPOINT=hub.endpoint, HF_HOME=home)
    assert verify(mirror) == []
    folder = locate(mirror, DATA, COMMIT)
    assert folder is not None
    n_requests = hub.n_requests
    offline = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "1"}
    elsewhere = str(tmp_path / "another-home")
    loaded = in_a_new_process(LOAD, str(folder), COMMIT, HF_HOME=elsewhere, **offline)
    assert loaded == LOADED
    assert hub.n_requests == n_requests


def test_mteb_loads_over_the_ordinary_client_and_then_offline_from_its_cache(
    tmp_path: Path,
) -> None:
    """What a machine without a mirror does; the hub of the second load is shut down."""
    write_dataset(tmp_path / "hub")
    home = str(tmp_path / "home")
    with LoopbackHub() as hub:
        hub.add("dataset", DATA, tmp_path / "hub", COMMIT)
        first = in_a_new_process(LOAD, DATA, COMMIT, HF_ENDPOINT=hub.endpoint, HF_HOME=home)
        unknown = hub.unknown
    again = in_a_new_process(
        LOAD, DATA, COMMIT, HF_ENDPOINT=hub.endpoint, HF_HOME=home, HF_HUB_OFFLINE="1"
    )
    assert first == LOADED
    assert again == LOADED
    assert unknown == []


def test_sizes_are_shown_before_anything_is_downloaded(tmp_path: Path, hub: LoopbackHub) -> None:
    """A plan asks for sizes alone: 65,536 + 5 + 2 bytes of the model's 196,615."""
    mirror = tmp_path / "mirror"
    plan = plan_fetch([], [loopback_model()], mirror, endpoint=hub.endpoint)
    assert len(COLUMNS) == 7
    assert describe(plan) == [
        (MODEL, "model", "1111111", "3", "65.5 kB", "65.5 kB", "to fetch"),
        ("total", "", "", "3", "65.5 kB", "65.5 kB", ""),
    ]
    assert (plan.n_bytes, plan.bytes_to_come) == (65_543, 65_543)
    assert hub.sent == []
    assert not mirror.exists()


def test_a_data_set_is_fetched_whole_and_once_for_two_tasks(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """Every file of the snapshot, byte for byte."""
    mirror = tmp_path / "mirror"
    task = loopback_task(DATA, COMMIT)
    fetch(plan_fetch([task, task], [], mirror, endpoint=hub.endpoint), mirror)
    assert content_hash(mirror / DATA) == content_hash(tmp_path / "hub/data")
    assert set(Counter(sent.path for sent in hub.sent).values()) == {1}


def test_a_cut_off_fetch_goes_on_at_the_byte_where_it_broke(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """The same call again: 20,000 bytes hold four whole blocks of 4,096, and those are kept."""
    mirror = tmp_path / "mirror"
    hub.cut_off(MODEL, "model.safetensors", 20_000, then_status=503)
    with pytest.raises(StorageError, match=r"stopped after 16.4 kB of 65.5 kB.*\n  run the same"):
        fetch_model(hub, mirror)
    with pytest.raises(BadInput, match="a fetch was cut off"):
        locate(mirror, MODEL, COMMIT)
    fetch_model(hub, mirror)
    assert hub.first_bytes(MODEL, "model.safetensors") == [0, 16_384, 16_384]
    assert hub.first_bytes(MODEL, "config.json") == [0]
    assert verify(mirror) == []
    assert locate(mirror, MODEL, COMMIT) == mirror / MODEL
    assert (mirror / MODEL / "model.safetensors").read_bytes() == WEIGHTS


def test_a_break_in_the_line_is_mended_within_the_call(tmp_path: Path, hub: LoopbackHub) -> None:
    """When the hub answers again, nobody has to do anything."""
    hub.cut_off(MODEL, "model.safetensors", 20_000)
    fetch_model(hub, tmp_path)
    assert hub.first_bytes(MODEL, "model.safetensors") == [0, 16_384]
    assert verify(tmp_path) == []


def test_an_interrupted_fetch_keeps_finished_files(tmp_path: Path, hub: LoopbackHub) -> None:
    """Ctrl-C in the last file, and then the same command."""

    def interrupt(repo: str, path: str, n_bytes: int) -> None:
        if path == "model.safetensors" and n_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model(hub, tmp_path, progress=interrupt)
    fetch_model(hub, tmp_path)
    assert hub.first_bytes(MODEL, "2_Dense/pytorch_model.bin") == [0]
    assert hub.first_bytes(MODEL, "config.json") == [0]
    assert verify(tmp_path) == []
    assert not (tmp_path / ".parts").exists()


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_a_spoilt_download_never_reaches_the_mirror(
    path: str, tmp_path: Path, hub: LoopbackHub
) -> None:
    """Large files are checked by sha256, small ones by git's blob id."""
    hub.spoil(MODEL, path)
    with pytest.raises(StorageError, match=f"{path}: what came is not what the hub announced"):
        fetch_model(hub, tmp_path)
    assert not (tmp_path / MODEL / path).exists()
    fetch_model(hub, tmp_path)
    assert verify(tmp_path) == []


def test_a_flipped_bit_in_the_mirror_is_fetched_again_and_nothing_else(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """What verify finds, the same fetch mends."""
    fetch_model(hub, tmp_path)
    (tmp_path / MODEL / "model.safetensors").write_bytes(b"\x01" + WEIGHTS[1:])
    (tmp_path / MODEL / "config.json").unlink()
    assert len(verify(tmp_path)) == 2
    hub.sent.clear()
    fetch_model(hub, tmp_path)
    assert [sent.path for sent in hub.sent] == ["config.json", "model.safetensors"]
    assert verify(tmp_path) == []


def test_a_complete_mirror_needs_no_hub(tmp_path: Path, hub: LoopbackHub) -> None:
    """A pinned commit cannot change, so nobody is asked again."""
    fetch_model(hub, tmp_path)
    n_requests = hub.n_requests
    plan = plan_fetch([], [loopback_model()], tmp_path, endpoint=hub.endpoint)
    assert describe(plan)[0][-2:] == ("0 B", "there")
    fetch(plan, tmp_path)
    assert hub.n_requests == n_requests


def test_progress_adds_up_to_the_size_of_the_plan(tmp_path: Path, hub: LoopbackHub) -> None:
    """With a cut-off in between, and again when all is there."""
    hub.cut_off(MODEL, "model.safetensors", 20_000)
    plan = plan_fetch([], [loopback_model()], tmp_path, endpoint=hub.endpoint)
    seen: list[int] = []

    def count(repo: str, path: str, n_bytes: int) -> None:
        seen.append(n_bytes)

    for _ in range(2):
        seen.clear()
        fetch(plan, tmp_path, count)
        assert sum(seen) == plan.n_bytes == 65_543


def test_a_new_revision_leaves_no_file_of_the_old_one(tmp_path: Path, hub: LoopbackHub) -> None:
    """A stray parquet file, say, would be loaded with the others."""
    fetch_model(hub, tmp_path)
    later = add_later(hub, tmp_path)
    plan = plan_fetch([], [later], tmp_path, endpoint=hub.endpoint)
    assert describe(plan)[0][-1] == "1 of 3 files there, replaces 1111111"
    fetch(plan, tmp_path)
    assert verify(tmp_path) == []
    assert not (tmp_path / MODEL / "config.json").exists()
    assert (tmp_path / MODEL / "model.safetensors").read_bytes() == WEIGHTS[::-1]
    with pytest.raises(BadInput, match=f"has revision {LATER}, but {COMMIT} is needed"):
        locate(tmp_path, MODEL, COMMIT)


def test_two_cut_offs_between_revisions_leave_no_stray_file(
    tmp_path: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stops before the old files are removed, the second when new ones are there."""
    fetch_model(hub, tmp_path)
    later = add_later(hub, tmp_path)

    def interrupt(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    plan = plan_fetch([], [later], tmp_path, endpoint=hub.endpoint)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(plan, tmp_path)
    hub.cut_off(MODEL, "model.safetensors", 10, then_status=503)
    with pytest.raises(StorageError):
        fetch(plan_fetch([], [later], tmp_path, endpoint=hub.endpoint), tmp_path)
    assert not (tmp_path / MODEL / "config.json").exists()
    assert (tmp_path / MODEL / "a.json").exists()
    fetch_model(hub, tmp_path)
    assert verify(tmp_path) == []
    assert not (tmp_path / MODEL / "a.json").exists()


def test_no_revision_is_pinned_to_the_commit_of_today(tmp_path: Path, hub: LoopbackHub) -> None:
    """mteb knows no revision of some models; the mirror says which one it has."""
    fetch(plan_fetch([], [loopback_model(None)], tmp_path, endpoint=hub.endpoint), tmp_path)
    entry = read_manifest(tmp_path).repos[MODEL]
    assert (entry.asked, entry.revision) == (None, COMMIT)
    assert locate(tmp_path, MODEL, loopback_model(None).revision) == tmp_path / MODEL


def test_the_same_weights_in_other_formats_are_left_out_and_named(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """The layer in 2_Dense has one format only, and stays."""
    plan = plan_fetch([], [loopback_model()], tmp_path, endpoint=hub.endpoint)
    fetch(plan, tmp_path)
    assert plan.remarks() == [
        f"{MODEL}: left out the same weights in other formats: onnx/model.onnx, pytorch_model.bin"
    ]
    assert set(read_manifest(tmp_path).repos[MODEL].files) == {
        "config.json",
        "model.safetensors",
        "2_Dense/pytorch_model.bin",
    }


@pytest.mark.parametrize(
    ("paths", "left_out"),
    [
        (["pytorch_model.bin", "tf_model.h5", "onnx/model.onnx"], []),
        (["model.safetensors", "tf_model.h5", "flax_model.msgpack"], [1, 2]),
        (["model-1-of-2.safetensors", "pytorch_model-1-of-2.bin"], [1]),
        (["model.safetensors", "pytorch_model.bin.index.json", "a.gguf", "q/b.gguf"], [1, 2, 3]),
        (["model.safetensors", "onnx/config.json", "openvino/model.xml"], [1, 2]),
        (["2_Dense/model.safetensors", "pytorch_model.bin", "onnx/model.onnx"], []),
        (["2_Dense/model.safetensors", "2_Dense/pytorch_model.bin"], [1]),
    ],
)
def test_weights_are_duplicates_only_beside_safetensors(
    paths: list[str], left_out: list[int]
) -> None:
    """A model without *.safetensors keeps all its formats."""
    assert duplicate_weights(paths) == sorted(paths[position] for position in left_out)


def test_code_of_another_repository_is_announced(tmp_path: Path, hub: LoopbackHub) -> None:
    """Otherwise the model fails to load on the machine without internet."""
    config = {"auto_map": {"AutoModel": "other/code--modeling.Model", "AutoConfig": "conf.Conf"}}
    hub.add("model", MODEL, tmp_path / "hub/model", COMMIT, config=config)
    plan = plan_fetch([], [loopback_model()], tmp_path, endpoint=hub.endpoint)
    assert f"{MODEL}: runs code of other/code, which" in plan.remarks()[-1]


def test_an_aggregate_stands_for_its_parts_and_all_missing_repositories_are_named(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """CQADupstack is twelve data sets, and none of them is on this hub."""
    import mteb

    task = mteb.get_task("CQADupstackRetrieval")
    with pytest.raises(BadInput) as caught:
        plan_fetch([task], [loopback_model(name="org/nowhere")], tmp_path, endpoint=hub.endpoint)
    names = [fault.where for fault in caught.value.faults]
    assert len(names) == 13
    assert {"mteb/cqadupstack-gis", "org/nowhere"} <= set(names)
    assert "the hub has no such dataset" in caught.value.faults[0].what
    assert "the hub has no such model" in caught.value.faults[-1].what


def test_the_second_repository_of_germanquad_is_fetched_too(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """mteb loads its judgements from <path>-qrels, which its metadata does not say."""
    import mteb

    path = mteb.get_task("GermanQuAD-Retrieval").metadata.dataset["path"]
    with pytest.raises(BadInput) as caught:
        plan_fetch([mteb.get_task("GermanQuAD-Retrieval")], [], tmp_path, endpoint=hub.endpoint)
    assert [fault.where for fault in caught.value.faults] == [path, f"{path}-qrels"]


def test_a_task_on_a_folder_needs_nothing(tmp_path: Path, hub: LoopbackHub) -> None:
    """Its data is the user's own."""
    plan = plan_fetch([loopback_task(str(tmp_path), "1")], [], tmp_path, endpoint=hub.endpoint)
    assert plan.repos == ()
    assert hub.n_requests == 0


def test_a_gated_repository_says_so_before_any_download(tmp_path: Path, hub: LoopbackHub) -> None:
    """Its description is public, its files are not."""
    hub.add("model", MODEL, tmp_path / "hub/model", COMMIT, gated=True)
    with pytest.raises(BadInput, match=rf"{MODEL}: is gated.*\n.*HF_TOKEN"):
        plan_fetch([], [loopback_model()], tmp_path, endpoint=hub.endpoint)


def test_a_repository_that_becomes_gated_after_the_plan_is_bad_input(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    """Trying again would not help."""
    plan = plan_fetch([], [loopback_model()], tmp_path, endpoint=hub.endpoint)
    hub.add("model", MODEL, tmp_path / "hub/model", COMMIT, gated=True)
    with pytest.raises(BadInput, match=r"2_Dense/pytorch_model\.bin: is gated"):
        fetch(plan, tmp_path)


def test_an_unknown_revision_is_named(tmp_path: Path, hub: LoopbackHub) -> None:
    """A revision that the owner has removed."""
    with pytest.raises(BadInput, match=f"{MODEL}: the hub's model has no revision '{LATER}'"):
        plan_fetch([], [loopback_model(LATER)], tmp_path, endpoint=hub.endpoint)


@pytest.mark.parametrize("cause", ["offline", "down"])
def test_without_a_hub_all_repositories_are_named_in_one_fault(
    cause: str, tmp_path: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a person can carry them over by hand."""
    endpoint = hub.endpoint
    if cause == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    else:
        with LoopbackHub() as other:
            endpoint = other.endpoint
    task = loopback_task(DATA, COMMIT)
    with pytest.raises(BadInput) as caught:
        plan_fetch([task], [loopback_model()], tmp_path, endpoint=endpoint)
    assert len(caught.value.faults) == 1
    assert "the hub cannot be reached" in caught.value.faults[0].what
    assert f"{DATA}, {MODEL}" in caught.value.faults[0].hint
    assert hub.n_requests == 0


def test_two_revisions_of_one_repository_are_refused(tmp_path: Path, hub: LoopbackHub) -> None:
    """DIR/org/name has room for one."""
    models = [loopback_model(COMMIT), loopback_model(LATER)]
    with pytest.raises(BadInput, match=f"model at {COMMIT} and as model at {LATER}"):
        plan_fetch([], models, tmp_path, endpoint=hub.endpoint)


def test_too_little_room_is_said_before_anything_is_downloaded(
    tmp_path: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """65,543 bytes are needed, one less is free."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**6, 0, 65_542))
    with pytest.raises(BadInput, match=r"needs 65.5 kB more, and 65.5 kB are free"):
        fetch_model(hub, tmp_path / "mirror")
    assert hub.sent == []
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**6, 0, 65_543))
    fetch_model(hub, tmp_path / "mirror")
    assert verify(tmp_path / "mirror") == []


# The command


def test_verify_goes_with_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It looks at the whole mirror, whatever is named."""
    assert main(["fetch", "nano", "--to", str(tmp_path), "--verify"]) == 2
    assert "--verify looks at all of the mirror" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The task '.*' is currently in beta:UserWarning")
def test_all_unknown_names_are_said_at_once(
    tmp_path: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of tasks and models; and of what lies on this machine that it needs no fetch."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    names = [
        "--task",
        "SciFacts",
        "--task",
        "NFCorpsu",
        "--model",
        "nonesuch",
        "--model",
        str(model),
    ]
    assert main(["fetch", "--to", str(tmp_path / "mirror"), *names]) == 2
    said = capsys.readouterr().err
    assert "unknown task 'SciFacts'" in said
    assert "unknown task 'NFCorpsu'" in said
    assert "unknown model 'nonesuch'" in said
    assert f"model {model}: is on this machine already" in said


@pytest.mark.filterwarnings("ignore:The task '.*' is currently in beta:UserWarning")
def test_a_reranker_and_an_overview_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run behind a first stage has no internet either; an overview stands for its suites."""
    planned = []

    def plan(tasks: Any, models: Any, to: Path) -> Any:
        planned.append(([task.metadata.name for task in tasks], [model.name for model in models]))
        raise BadInput([])

    monkeypatch.setattr("granite_bench.offline.fetch_plan.plan_fetch", plan)
    reranker = "cross-encoder/ms-marco-MiniLM-L12-v2"
    assert main(["fetch", "matryoshka", "--to", str(tmp_path), "--model", reranker]) == 2
    [(tasks, models)] = planned
    suites = [load_suite(column.suite) for column in load_overview("matryoshka").suites]
    assert set(tasks) == {task.name for suite in suites for task in suite.tasks}
    assert len(tasks) == len(set(tasks))
    assert models == [reranker]


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "A" * 40, "0" * 39])
def test_what_the_hub_calls_a_hash_is_no_path(name: str) -> None:
    """A part is kept under the hash of its content, which the hub says."""
    repo = PlannedRepo("org/name", "dataset", COMMIT, COMMIT, ())
    kept = _part_name(repo, PlannedFile("a.txt", 1, name, None, there=False))
    assert re.fullmatch(r"[0-9a-f]{64}", kept)
    assert _part_name(repo, PlannedFile("a.txt", 1, "0" * 64, None, there=False)) == "0" * 64
