"""
Exporting a model: torch to ONNX, ONNX to OpenVINO, and 8-bit weights.

What was written is run on a few texts beside the model before it is put in its place.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import shutil
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
from granite_bench.errors import StorageError, TaskError, first_line
from granite_bench.exported.cosines import row_cosines
from granite_bench.exported.files import ExportedFile
from granite_bench.exported.running import (
    PACKAGES,
    output_of,
    require_packages,
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
    require_packages(backend, _packages(backend, quantize))
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
                shutil.copymode(made, part)  # onnx lets nobody else read weights
                part.replace(target.parent / part.name)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            f"{target}: cannot be written: {reason}\n  choose another folder with --out"
        ) from error
    return Export(ExportedFile(backend, found.name, target), least)


def _packages(backend: BackendName, quantize: bool) -> list[str]:
    """What writes a file, and what runs it to check it."""
    quantises = ["nncf"] if backend == "openvino" and quantize else []
    return list(dict.fromkeys([*PACKAGES[backend], "onnx", *quantises]))


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
                plain, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
                use_external_data_format=len(ExportedFile("onnx", plain.name, plain).parts) > 1,
            )  # fmt: skip
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
                module, inputs, str(target), input_names=names, output_names=[output],
                dynamic_axes=axes, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
            _gather_weights(target)
        except OSError:
            raise
        except Exception as error:
            raise TaskError(
                f"torch cannot write this model as ONNX: {first_line(error)[:300]}\n"
                "  its architecture cannot be exported this way; run it with --backend torch"
            ) from error


def _gather_weights(target: Path) -> None:
    """Put the weights in one file, where torch gave each its own: above 2 GB in all."""
    import onnx

    beside = [path for path in target.parent.iterdir() if path != target]
    if not beside:
        return
    model = onnx.load(target)
    for path in beside:
        path.unlink()
    onnx.save(model, target, save_as_external_data=True, location=f"{target.name}_data")


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
    return float(row_cosines(_vectors(model), _vectors(exported)).min())


def _vectors(model: Any) -> npt.NDArray[np.float32]:
    vectors = [
        model.encode(list(texts), show_progress_bar=False)
        for texts in (_TEXTS, _TEXTS[:1], _TEXTS[2:4])
    ]
    return np.concatenate(vectors)


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
