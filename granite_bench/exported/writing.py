"""
Exporting a model: torch to ONNX, ONNX to OpenVINO, and 8-bit weights.

What was written is run on a few texts beside the model before it is put in its place.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.devices import BackendName
from granite_bench.errors import BadInput, Fault, StorageError, TaskError
from granite_bench.exported.files import ExportedFile
from granite_bench.exported.running import (
    output_of,
    require_runtime,
    run_exported,
    transformer_of,
)

FILE_NAMES: dict[tuple[BackendName, bool], str] = {
    ("onnx", False): "onnx/model.onnx",
    ("onnx", True): "onnx/model_qint8.onnx",
    ("openvino", False): "openvino/openvino_model.xml",
    ("openvino", True): "openvino/openvino_model_qint8.xml",
}
"""(backend, whether weights are int8) -> the name in the model's folder."""

LEAST_COSINE = 0.999
"""Between the vectors of a model and of its export in float32; a right one has 0.99999."""

OPSET = 18

_TEXTS = (
    "a",
    "How long may a carry-on bag be?",
    "The quick brown fox jumps over the lazy dog. " * 8,
    "日本語 и кириллица, عربي",
    "Passenger revenue per available seat mile rose 3.4 percent to 12.05 cents.",
)


@dataclass(frozen=True)
class Export:
    """
    What was written.

    Attributes:
        least_cosine: of its vectors of a few texts to those of the model.
    """

    file: ExportedFile
    least_cosine: float


def export(model: Any, backend: BackendName, folder: Path, *, quantize: bool = False) -> Export:
    """
    Export a model.

    With *quantize* the weights are int8, one scale per output channel; onnxruntime also rounds the
    activations, to 8 bits as it goes, and weights to 7 bits, since 8 overflow on CPUs without
    VNNI. No texts are needed to calibrate either.

    Args:
        model: a loaded dense SentenceTransformer on the CPU; it is not changed.
        backend: onnx or openvino.
        folder: the model's own or its exports_folder; an earlier export in it is replaced.
        quantize: int8 weights.

    Raises:
        BadInput: a package is missing, or the model is of another kind.
        TaskError: the model cannot be traced, or its export gives other vectors.
        StorageError: *folder* cannot be written.
    """
    transformer = transformer_of(model, backend)
    _require_packages(backend, quantize)
    target = folder / FILE_NAMES[backend, quantize]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
            made = Path(scratch) / target.name
            _write(transformer, backend, made, quantize=quantize)
            found = ExportedFile(backend, target.relative_to(folder).as_posix(), made)
            least = _least_cosine(model, found)
            if not quantize and least < LEAST_COSINE:
                raise TaskError(
                    f"the export to {backend} gives other vectors: a cosine of {least:.4f} to the "
                    "model's own\n  nothing was written"
                )
            # The weights first: a reader that finds the file finds all of it.
            for part in reversed(found.parts):
                part.replace(target.parent / part.name)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            f"{target}: cannot be written: {reason}\n  choose another folder with --out"
        ) from error
    return Export(ExportedFile(backend, found.name, target), least)


def _require_packages(backend: BackendName, quantize: bool) -> None:
    require_runtime(backend)
    needed = ["onnx", *(["nncf"] if backend == "openvino" and quantize else [])]
    missing = [name for name in needed if not _is_installed(name)]
    if missing:
        problem = f"exporting needs {' and '.join(missing)}, not installed"
        hint = f"pip install 'granite-bench[{backend}]'"
        raise BadInput(Fault(f"--backend {backend}", problem, hint))


def _is_installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _write(transformer: Any, backend: BackendName, target: Path, *, quantize: bool) -> None:
    """The file at *target*, and its weights beside it."""
    if backend == "onnx" and not quantize:
        _trace(transformer, target)
        return
    plain = target.with_name("plain.onnx")
    _trace(transformer, plain)
    with _quiet():
        if backend == "onnx":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(
                plain, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
            )
        else:
            import openvino

            converted = openvino.convert_model(plain)
            if quantize:
                import nncf

                mode = nncf.CompressWeightsMode.INT8_SYM
                converted = nncf.compress_weights(converted, mode=mode)
            openvino.save_model(converted, target, compress_to_fp16=False)
    for part in ExportedFile("onnx", plain.name, plain).parts:
        part.unlink()


def _trace(transformer: Any, target: Path) -> None:
    """torch's model as ONNX, for any number of texts and tokens."""
    features = transformer.preprocess(list(_TEXTS))
    names = [name for name, value in features.items() if isinstance(value, torch.Tensor)]
    output = output_of(transformer)
    module = _Positional(transformer.model, names, output).eval()
    axes = {name: {0: "batch", 1: "sequence"} for name in [*names, output]}
    inputs = tuple(features[name] for name in names)
    with _quiet():
        try:
            # The exporter of torch.export takes none of ModernBERT, XLM-RoBERTa, Qwen2 and
            # DistilBERT as transformers 5 writes them; the tracing one takes all of them.
            torch.onnx.export(
                module, inputs, target, input_names=names, output_names=[output],
                dynamic_axes=axes, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        except OSError:
            raise
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise TaskError(
                f"torch cannot write this model as ONNX: {first[:300]}\n  its architecture "
                "cannot be exported this way; run it with --backend torch"
            ) from error


class _Positional(torch.nn.Module):
    """A transformers model whose inputs come by position, and which gives one output."""

    def __init__(self, model: torch.nn.Module, names: Sequence[str], output: str) -> None:
        super().__init__()
        self._model, self._names, self._output = model, names, output

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        named = dict(zip(self._names, inputs, strict=True))
        made: torch.Tensor = self._model(**named, return_dict=True)[self._output]
        return made


def _least_cosine(model: Any, file: ExportedFile) -> float:
    """The least cosine between vectors of the model and of the file, over texts of all lengths."""
    exported = copy.copy(model)
    exported._modules = dict(model._modules)
    first = next(iter(exported._modules))
    exported._modules[first] = copy.copy(model[0])
    exported._modules[first]._modules = dict(model[0]._modules)
    run_exported(exported, file)
    return float(min(_cosines(_vectors(model), _vectors(exported))))


def _vectors(model: Any) -> npt.NDArray[np.float32]:
    vectors = [
        model.encode(list(texts), show_progress_bar=False)
        for texts in (_TEXTS, _TEXTS[:1], _TEXTS[2:4])
    ]
    return np.concatenate(vectors)


def _cosines(
    ones: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    norms = np.linalg.norm(ones, axis=1) * np.linalg.norm(others, axis=1)
    cosines: npt.NDArray[np.float32] = (ones * others).sum(axis=1) / norms
    return cosines


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn about every constant they trace and draw tables; the check tells more."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
