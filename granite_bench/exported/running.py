"""
A sentence-transformers model whose transformer is an exported file.

sentence-transformers loads everything as always (tokenizer, prompts, pooling, further layers);
then its transformer gives way to a session of onnxruntime or OpenVINO that takes the same inputs
and gives the same outputs. Both run on the CPU, in the precision that the file was written in.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer

from granite_bench.devices import BackendName
from granite_bench.errors import BadInput, Fault, first_line
from granite_bench.exported.files import ExportedFile

Arrays = Mapping[str, npt.NDArray[Any]]
Session = Callable[[Arrays], dict[str, npt.NDArray[np.float32]]]

PACKAGES: dict[BackendName, Sequence[str]] = {
    "onnx": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
}
"""What runs the files of a backend; onnx tells the type of their weights."""

_OUTPUTS = {"token_embeddings": "last_hidden_state"}
"""What Optimum calls an output of sentence-transformers models -> transformers' word for it."""


class ExportedTransformer(torch.nn.Module):
    """
    An exported file in the place of a transformers model.

    Args:
        file: what to run.
        config: of the transformers model that it replaces.

    Attributes:
        weights_dtype: the type that most of its weights have: float32, float16, int8.

    Raises:
        BadInput: the package is not installed, or it does not take the file.
    """

    def __init__(self, file: ExportedFile, config: Any) -> None:
        super().__init__()
        require_packages(file.backend, PACKAGES[file.backend])
        self.file = file
        self.config = config
        self.device = torch.device("cpu")
        opened = {"onnx": _open_onnx, "openvino": _open_openvino}[file.backend]
        self._run, self.input_names, self.output_names, self.weights_dtype = opened(file)

    def forward(self, **inputs: Any) -> dict[str, torch.Tensor]:
        """
        Run the file on what the transformers model would get.

        Args:
            inputs: input_ids and attention_mask, int64 (n_texts, n_tokens), and more that the
                file may not read. What it reads beyond them (token types) is zero.

        Returns:
            Its outputs by transformers' names, float32.

        Raises:
            MemoryError: the runtime got no memory for this batch.
        """
        zeros = torch.zeros_like(inputs["input_ids"])
        arrays = {name: inputs.get(name, zeros).numpy() for name in self.input_names}
        try:
            made = self._run(arrays)
        except Exception as error:
            if "alloc" in str(error).lower() or "out of memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        return {_OUTPUTS.get(name, name): torch.from_numpy(array) for name, array in made.items()}


def require_packages(backend: BackendName, names: Iterable[str]) -> None:
    """
    Raises:
        BadInput: one of the packages *names* of *backend* is not installed.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        problem = f"needs {' and '.join(missing)}, not installed"
        hint = f"pip install 'granite-bench[{backend}]'"
        raise BadInput(Fault(f"--backend {backend}", problem, hint))


def run_exported(model: Any, file: ExportedFile) -> None:
    """
    Let *file* compute what the transformer of *model* did, whose weights are given up.

    Args:
        model: a loaded SentenceTransformer on the CPU.

    Raises:
        BadInput: the model is of another kind or on another device, the file gives other outputs
            than its transformer, or it cannot be run.
    """
    transformer = transformer_of(model, file.backend)
    exported = ExportedTransformer(file, transformer.model.config)
    wanted = output_of(transformer)
    if wanted not in [_OUTPUTS.get(name, name) for name in exported.output_names]:
        problem = f"gives {', '.join(exported.output_names)}; this model needs {wanted}"
        raise BadInput(Fault(str(file.path), problem, "export it for feature extraction"))
    # Every input is handed on; the file's own names choose.
    transformer.model_forward_params = None
    transformer.model = cast("Any", exported)


def exported_transformer(model: Any) -> ExportedTransformer | None:
    """The exported file that a sentence-transformers model runs; None where torch computes."""
    inner = getattr(model, "transformers_model", None)
    return inner if isinstance(inner, ExportedTransformer) else None


def transformer_of(model: Any, backend: BackendName) -> Transformer:
    """
    The transformer of a model that can be exported, or run from an exported file.

    Raises:
        BadInput: it is not a dense model of one transformer that reads text, on the CPU.
    """
    where = f"--backend {backend}"
    # The exact class: sparse and multi-vector models are subclasses, or no relatives at all.
    if type(model) is not SentenceTransformer or not isinstance(model[0], Transformer):
        problem = "is for dense sentence-transformers models whose first step is a transformer"
        raise BadInput(Fault(where, problem, "leave it out for this model"))
    transformer: Transformer = model[0]
    if _text(transformer)["method"] != "forward":
        raise BadInput(Fault(where, "is for models of text alone", "leave it out for this model"))
    if model.device.type != "cpu":
        problem = f"runs on the CPU, and the model is on {model.device}"
        raise BadInput(Fault(where, problem, "--device cpu"))
    return transformer


def output_of(transformer: Transformer) -> str:
    """The output of the transformers model that goes on to pooling."""
    name = _text(transformer)["method_output_name"]
    return name if isinstance(name, str) else str(name[0])


def _text(transformer: Transformer) -> Mapping[str, Any]:
    """How sentence-transformers gives texts to the model."""
    return dict(transformer.modality_config or {})["text"]


_Opened = tuple[Session, list[str], list[str], str]
"""What runs a file, the names of its inputs and outputs, and the type of its weights."""


def _open_onnx(file: ExportedFile) -> _Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # The arena keeps the memory of the largest batch; without it batches take as long.
    options.enable_cpu_mem_arena = False
    with _faults_of(file):
        session = onnxruntime.InferenceSession(
            str(file.path), options, providers=["CPUExecutionProvider"]
        )
    outputs = [output.name for output in session.get_outputs()]

    def run(arrays: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        return dict(zip(outputs, session.run(outputs, dict(arrays)), strict=True))

    return run, [each.name for each in session.get_inputs()], outputs, _onnx_dtype(file)


def _open_openvino(file: ExportedFile) -> _Opened:
    import openvino

    # As written: on CPUs with bfloat16 OpenVINO would else compute in that.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    with _faults_of(file):
        model = openvino.Core().read_model(file.path)
        compiled = openvino.compile_model(model, "CPU", settings)
    outputs = [output.any_name for output in compiled.outputs]

    def run(arrays: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        return dict(zip(outputs, compiled(dict(arrays)).values(), strict=True))

    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    sizes = [
        (node.get_output_element_type(0).to_dtype().name, node.get_output_shape(0))
        for node in constants
    ]
    return run, [each.any_name for each in compiled.inputs], outputs, _dtype_of_most(sizes)


def _onnx_dtype(file: ExportedFile) -> str:
    import onnx

    graph = onnx.load(file.path, load_external_data=False).graph
    _refuse_strange_weights(file, graph)
    to_numpy = onnx.helper.tensor_dtype_to_np_dtype
    return _dtype_of_most((to_numpy(each.data_type).name, each.dims) for each in graph.initializer)


def _refuse_strange_weights(file: ExportedFile, graph: Any) -> None:
    """Weights in files that are no part of *file* could change, and its hash would not."""
    known = {part.name for part in file.parts}
    locations = {
        PurePosixPath(entry.value).as_posix()
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    strange = sorted(locations - known)
    if strange:
        n_more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        problem = f"has weights in {strange[0]}{n_more}, which is no part of it"
        hint = f"export the model again, or save them all in {file.path.name}_data"
        raise BadInput(Fault(str(file.path), problem, hint))


def _dtype_of_most(tensors: Iterable[tuple[str, Sequence[int]]]) -> str:
    """The type that most values of these tensors (type, shape) have."""
    n_of: Counter[str] = Counter()
    for dtype, shape in tensors:
        # A sign is the quantiser's choice for each tensor, and changes no size.
        n_of[dtype.replace("uint", "int")] += math.prod(shape)
    return max(n_of, key=lambda dtype: n_of[dtype], default="float32")


@contextlib.contextmanager
def _faults_of(file: ExportedFile) -> Iterator[None]:
    """What a runtime says of a file that it does not take, as a fault of that file."""
    try:
        yield
    except Exception as error:
        problem = f"{PACKAGES[file.backend][0]} does not take it: {first_line(error)[:300]}"
        raise BadInput(Fault(str(file.path), problem, "export the model again")) from error
