"""Exported models: their files, what they compute, and how they are written."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from exported_models import small_model
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from sentence_transformers import SentenceTransformer

from granite_bench.__main__ import main
from granite_bench.devices import BackendName
from granite_bench.engine.backends.backend import Instruction, is_out_of_memory
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.errors import BadInput, StorageError, TaskError
from granite_bench.exported import (
    ExportedFile,
    ExportedTransformer,
    exports_folder,
    find_all,
    find_exported,
    run_exported,
)
from granite_bench.exported import writing as exporting
from granite_bench.exported.writing import FILE_NAMES, export
from granite_bench.models import find_model

PLAIN = Instruction(None, "")
TEXTS = ["a", "", "grey harbours freeze in January " * 20, "日本語 и кириллица", "two words"]
KINDS = [("onnx", False), ("onnx", True), ("openvino", False), ("openvino", True)]
PACKAGES = {"onnx": ("onnxruntime", "onnx"), "openvino": ("openvino", "onnx", "nncf")}


def needs(backend: str) -> None:
    """Skip where the extra of *backend* is not installed."""
    for package in PACKAGES[backend]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs pip install 'granite-bench[{backend}]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, minilm: Any) -> Path:
    """A small model's folder, without exports."""
    path = tmp_path_factory.mktemp("models") / "small"
    small_model(path, copy.deepcopy(minilm.model.tokenizer))
    return path


@pytest.fixture
def model(folder: Path) -> SentenceTransformer:
    """That model in torch."""
    return SentenceTransformer(str(folder), device="cpu").eval()


@pytest.fixture(scope="module")
def exports(folder: Path) -> dict[tuple[str, bool], ExportedFile]:
    """(backend, whether int8) -> its export, for the backends that are installed."""
    out = folder.parent / "exports"
    loaded = SentenceTransformer(str(folder), device="cpu").eval()
    return {
        (backend, quantize): export(loaded, cast(BackendName, backend), out, quantize=quantize).file
        for backend, quantize in KINDS
        if all(importlib.util.find_spec(package) for package in PACKAGES[backend])
    }


def vectors(model: SentenceTransformer, texts: list[str]) -> npt.NDArray[np.float32]:
    """Of texts in one batch, as the engine encodes them."""
    backend = SentenceTransformersBackend(SentenceTransformerEncoderWrapper(model))
    tokens = backend.tokenize(texts, PLAIN)
    return backend.encode(tokens, np.arange(len(texts)), PLAIN)


def least_cosine(ones: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> float:
    """Of any two rows."""
    left, right = torch.from_numpy(ones).double(), torch.from_numpy(others).double()
    return torch.cosine_similarity(left, right).min().item()


def empty_file(path: Path) -> Path:
    """A file at *path*, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


# Which file is meant


def test_the_file_without_quantisation_is_taken_when_none_is_named(tmp_path: Path) -> None:
    """As sentence-transformers chooses."""
    empty_file(tmp_path / "onnx" / "model.onnx")
    empty_file(tmp_path / "onnx" / "a_qint8.onnx")
    assert find_exported("m", [tmp_path], "onnx").name == "onnx/model.onnx"


def test_a_file_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    """Only names below the model's folder are files of it."""
    empty_file(tmp_path / "onnx" / "model_qint8.onnx")
    for name in (None, "onnx/model_O3.onnx", "../other.onnx"):
        with pytest.raises(BadInput, match=r"model m: has no file .*\n.*: onnx/model_qint8.onnx;"):
            find_exported("m", [tmp_path], "onnx", name)


def test_a_model_without_files_is_told_how_to_make_one(tmp_path: Path) -> None:
    """Nothing is exported by the way."""
    hint = "granite-bench export org/m --backend openvino"
    with pytest.raises(BadInput, match=f"has no file exported to openvino\n.*{hint}"):
        find_exported("org/m", [tmp_path], "openvino")


def test_the_models_own_folder_goes_before_our_cache(tmp_path: Path) -> None:
    """Files of one name count once."""
    own = empty_file(tmp_path / "own" / "onnx" / "model.onnx")
    cached = exports_folder("org/m", "1")
    empty_file(cached / "onnx" / "model.onnx")
    empty_file(cached / "onnx" / "model_qint8.onnx")
    found = find_all([tmp_path / "own", cached], "onnx")
    assert [each.path for each in found] == [own, cached / "onnx" / "model_qint8.onnx"]


@pytest.mark.parametrize(
    ("file", "weights"),
    [
        ("openvino_model.xml", "openvino_model.bin"),
        ("model.onnx", "model.onnx_data"),
        ("model.onnx", "model.onnx.data"),
        ("model.onnx", "model.onnx_data_1"),
    ],
)
def test_weights_beside_a_file_count_to_its_size_and_hash(
    tmp_path: Path, file: str, weights: str
) -> None:
    """Other weights are another model, though the file be the same."""
    (tmp_path / file).write_bytes(b"graph")
    alone = ExportedFile("onnx", file, tmp_path / file)
    assert alone.n_bytes == 5
    hashes = {alone.sha256}
    for content in (b"1", b"22"):
        (tmp_path / weights).write_bytes(content)
        both = ExportedFile("onnx", file, tmp_path / file)
        assert both.n_bytes == 5 + len(content)
        hashes.add(both.sha256)
    assert len(hashes) == 3


def test_a_file_is_read_again_only_once_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of gigabytes are hashed once, though plans, records and reports ask for them."""
    read: list[str] = []
    digest = hashlib.file_digest

    def digest_and_note(file: Any, algorithm: str) -> Any:
        read.append(Path(file.name).name)
        return digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", digest_and_note)
    path, weights = tmp_path / "openvino_model.xml", tmp_path / "openvino_model.bin"
    path.write_bytes(b"graph")
    weights.write_bytes(b"1")
    first = {ExportedFile("openvino", path.name, path).sha256 for _ in range(3)}
    assert (len(first), read) == (1, [path.name, weights.name])
    weights.write_bytes(b"2")
    os.utime(weights, ns=(0, 1))  # clocks of file systems tick every few milliseconds
    assert ExportedFile("openvino", path.name, path).sha256 not in first
    assert read == [path.name, weights.name, weights.name]


def test_an_export_that_is_being_written_is_no_file_yet(tmp_path: Path) -> None:
    """It lies in a hidden folder beside its place."""
    empty_file(tmp_path / "onnx" / ".export-x" / "model.onnx")
    assert not find_all([tmp_path], "onnx")


def test_a_model_with_exports_in_its_folder_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    """Its revision and content are those of before; another file makes another model."""
    copied = shutil.copytree(folder, tmp_path / "small")
    before = find_model(str(copied))
    for name in (*FILE_NAMES.values(), "openvino/openvino_model.bin", "model.onnx"):
        empty_file(copied / name)
    after = find_model(str(copied))
    assert after.meta.revision == before.meta.revision
    assert after.content_sha256 == before.content_sha256
    empty_file(copied / "onnx" / "code.py")
    assert find_model(str(copied)).meta.revision != before.meta.revision


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_missing_runtime_is_named_with_its_extra(
    model: SentenceTransformer,
    tmp_path: Path,
    backend: BackendName,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To run a file and to write one."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    says = rf"--backend {backend}: needs .* not installed\n.*'granite-bench\[{backend}\]'"
    with pytest.raises(BadInput, match=says):
        run_exported(model, ExportedFile(backend, "x", tmp_path / "x"))
    with pytest.raises(BadInput, match=says):
        export(model, backend, tmp_path)


# What runs


@pytest.mark.parametrize(("backend", "quantize"), KINDS)
def test_vectors_of_an_export_are_those_of_torch(
    model: SentenceTransformer,
    exports: dict[tuple[str, bool], ExportedFile],
    backend: str,
    quantize: bool,
) -> None:
    """Of batches of any shape; 8 bits move them a little."""
    needs(backend)
    batches = [TEXTS, TEXTS[2:3], TEXTS[:2], TEXTS * 3]
    expected = [vectors(model, texts) for texts in batches]
    run_exported(model, exports[backend, quantize])
    found = [vectors(model, texts) for texts in batches]
    cosines = [least_cosine(one, other) for one, other in zip(expected, found, strict=True)]
    assert min(cosines) > (0.9 if quantize else 0.999999)
    assert quantize == (max(cosines) < 0.99999)


@pytest.mark.parametrize(("backend", "quantize"), KINDS)
def test_what_ran_is_part_of_the_record_and_of_the_address(
    model: SentenceTransformer,
    exports: dict[tuple[str, bool], ExportedFile],
    backend: str,
    quantize: bool,
) -> None:
    """The file by its content; the type is that of its weights, not of the torch model's."""
    needs(backend)
    file = exports[backend, quantize]
    run_exported(model, file)
    driver = SentenceTransformersBackend(SentenceTransformerEncoderWrapper(model))
    assert driver.name == (
        f"sentence-transformers, {backend} file {FILE_NAMES[file.backend, quantize]}, "
        f"sha256 {file.sha256[:16]}"
    )
    assert driver.dtype == ("int8" if quantize else "float32")
    assert (driver.device, driver.attention, driver.max_length) == ("cpu", None, 100)
    assert driver.knows_tokens(PLAIN)


def test_the_four_files_have_different_addresses(
    exports: dict[tuple[str, bool], ExportedFile],
) -> None:
    """A vector of one is never taken for one of another."""
    needs("onnx")
    assert len({file.sha256 for file in exports.values()}) == len(exports)


def test_an_exported_model_is_padded_whatever_is_asked(
    model: SentenceTransformer, exports: dict[tuple[str, bool], ExportedFile]
) -> None:
    """The layers that the unpadded path drives are not there."""
    needs("onnx")
    run_exported(model, exports["onnx", False])
    wrapper = SentenceTransformerEncoderWrapper(model)
    assert SentenceTransformersBackend(wrapper, padding=False).pads


def test_a_runtime_without_memory_is_out_of_memory(
    model: SentenceTransformer,
    exports: dict[tuple[str, bool], ExportedFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the engine makes smaller batches, as it does for torch."""
    needs("onnx")
    run_exported(model, exports["onnx", False])

    def fail(arrays: Any) -> Any:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 123")

    monkeypatch.setattr(model.transformers_model, "_run", fail)
    with pytest.raises(MemoryError) as raised:
        vectors(model, TEXTS)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_broken_file_is_a_fault_of_that_file(
    model: SentenceTransformer, tmp_path: Path, backend: BackendName
) -> None:
    """Not a traceback of the runtime."""
    needs(backend)
    path = tmp_path / Path(FILE_NAMES[backend, False]).name
    path.write_bytes(b"no graph")
    with pytest.raises(BadInput, match=f"{path.name}: .* does not take it: "):
        run_exported(model, ExportedFile(backend, path.name, path))


def test_a_file_with_another_output_is_refused(
    model: SentenceTransformer, exports: dict[tuple[str, bool], ExportedFile], tmp_path: Path
) -> None:
    """A classifier's logits are no token embeddings."""
    needs("onnx")
    import onnx

    graph = onnx.load(exports["onnx", False].path)
    last = graph.graph.output[0].name
    for node in graph.graph.node:
        node.output[:] = ["logits" if name == last else name for name in node.output]
    graph.graph.output[0].name = "logits"
    onnx.save(graph, tmp_path / "model.onnx")
    file = ExportedFile("onnx", "model.onnx", tmp_path / "model.onnx")
    with pytest.raises(BadInput, match=r"gives logits; this model needs last_hidden_state"):
        run_exported(model, file)


def test_weights_in_files_that_are_no_part_of_it_are_refused(
    model: SentenceTransformer, exports: dict[tuple[str, bool], ExportedFile], tmp_path: Path
) -> None:
    """They could change, and the address of the vectors would not."""
    needs("onnx")
    import onnx

    loaded, path = onnx.load(exports["onnx", False].path), tmp_path / "model.onnx"
    onnx.save(loaded, path, save_as_external_data=True, location="weights.pb", size_threshold=0)
    with pytest.raises(BadInput, match=r"weights in weights.pb, .*\n.* all in model.onnx_data"):
        run_exported(model, ExportedFile("onnx", path.name, path))


def test_what_is_no_dense_transformer_is_refused(tmp_path: Path) -> None:
    """Sparse models, wrappers of mteb, static embeddings."""
    file = ExportedFile("onnx", "x", tmp_path / "x")
    with pytest.raises(BadInput, match="is for dense sentence-transformers models"):
        run_exported(object(), file)


# Writing


@pytest.mark.parametrize("architecture", ["XLM-R", "ModernBERT"])
def test_architectures_of_the_granite_models_can_be_exported(
    tmp_path: Path, minilm: Any, architecture: str
) -> None:
    """Positions that begin behind the padding, and local attention."""
    needs("onnx")
    model = small_model(tmp_path / "m", copy.deepcopy(minilm.model.tokenizer), architecture)
    made = export(model, "onnx", tmp_path)
    expected = vectors(model, TEXTS)
    run_exported(model, made.file)
    assert least_cosine(expected, vectors(model, TEXTS)) > 0.999999


def test_the_model_is_unchanged_by_its_export(model: SentenceTransformer, tmp_path: Path) -> None:
    """It is still torch's."""
    needs("onnx")
    before = vectors(model, TEXTS)
    export(model, "onnx", tmp_path)
    assert np.array_equal(vectors(model, TEXTS), before)
    assert not isinstance(model.transformers_model, ExportedTransformer)


def test_nothing_but_the_export_is_left_in_its_folder(
    exports: dict[tuple[str, bool], ExportedFile],
) -> None:
    """What it was made from is gone."""
    needs("onnx")
    names = {path.name for path in exports["onnx", False].path.parent.iterdir()}
    assert names == {"model.onnx", "model_qint8.onnx"}


def test_an_export_that_gives_other_vectors_is_not_written(
    model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is run beside the model before it is put in its place."""
    needs("onnx")
    trace = exporting._trace

    def trace_another(transformer: Any, target: Path) -> None:
        other = copy.deepcopy(transformer)
        with torch.no_grad():
            for parameter in other.model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        trace(other, target)

    monkeypatch.setattr(exporting, "_trace", trace_another)
    with pytest.raises(TaskError, match=r"gives other vectors: a cosine of .*\n  nothing was"):
        export(model, "onnx", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("quantize", [False, True])
def test_weights_above_two_gigabytes_lie_in_one_file_beside_it(
    model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantize: bool
) -> None:
    """torch then gives each weight a file; here, whatever their size."""
    needs("onnx")
    import onnx

    write = torch.onnx.export

    def write_apart(module: Any, inputs: Any, target: str, **options: Any) -> None:
        assert isinstance(target, str)  # above 2 GB torch takes no Path
        write(module, inputs, target, **options)
        onnx.save(
            onnx.load(target), target, save_as_external_data=True, all_tensors_to_one_file=False,
            size_threshold=0, convert_attribute=False,
        )  # fmt: skip

    monkeypatch.setattr(torch.onnx, "export", write_apart)
    made = export(model, "onnx", tmp_path, quantize=quantize)
    name, weights = ("model_qint8.onnx", ".data") if quantize else ("model.onnx", "_data")
    there = {path.name: path.stat().st_mode for path in (tmp_path / "onnx").iterdir()}
    assert set(there) == {name, f"{name}{weights}"} == {part.name for part in made.file.parts}
    assert len(set(there.values())) == 1
    expected = vectors(model, TEXTS)
    run_exported(model, made.file)
    assert least_cosine(expected, vectors(model, TEXTS)) > (0.9 if quantize else 0.999999)


OWN_CODE = """
from transformers import BertConfig, BertModel


class OwnConfig(BertConfig):
    model_type = "own_bert"


class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_a_model_with_code_of_its_own_is_exported_where_that_is_allowed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names an option, and the command has it."""
    needs("onnx")
    own = shutil.copytree(folder, tmp_path / "own")
    (own / "own.py").write_text(OWN_CODE)
    config = json.loads((own / "config.json").read_text())
    code = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (own / "config.json").write_text(
        json.dumps({**config, "model_type": "own_bert", "auto_map": code})
    )
    command = ["export", str(own), "--backend", "onnx", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    allow = ["--trust-remote-code", f"local/own@{find_model(str(own)).meta.revision}"]
    assert " ".join(allow) in capsys.readouterr().err
    assert main([*command, *allow]) == 0
    assert (tmp_path / "out" / "onnx" / "model.onnx").is_file()


def test_a_folder_that_cannot_be_written_is_named(
    model: SentenceTransformer, tmp_path: Path
) -> None:
    """With another way."""
    needs("onnx")
    empty_file(tmp_path / "onnx")
    with pytest.raises(StorageError, match=r"model.onnx: cannot be written: .*\n.*--out"):
        export(model, "onnx", tmp_path)


def test_a_file_travels_without_its_maker(
    model: SentenceTransformer, exports: dict[tuple[str, bool], ExportedFile], tmp_path: Path
) -> None:
    """Copied with its weights, it is the same file."""
    needs("openvino")
    file = exports["openvino", True]
    copied = [Path(shutil.copy(part, tmp_path)) for part in file.parts]
    moved = ExportedFile("openvino", copied[0].name, copied[0])
    assert moved.sha256 == file.sha256
    run_exported(model, moved)
    assert np.isfinite(vectors(model, TEXTS)).all()
