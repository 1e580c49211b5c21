"""The options of a run, which several commands have, and the run that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.help import together, under
from granite_bench.commands.options import (
    Names,
    Numbers,
    Words,
    mirror_option,
    out_option,
    tasks_option,
    trust_option,
    vectors_option,
)
from granite_bench.devices import BACKENDS, DTYPES, PRECISIONS

if TYPE_CHECKING:
    from granite_bench.runner.preparation import PreparedRun

_WHAT = under(
    "What to run",
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="MODEL",
        help="An id or a folder; may be repeated.",
    ),
    click.option(
        "--panel", metavar="PANEL", help="Run the models of this panel (see granite-bench panels)."
    ),
    tasks_option,
)

_HOW = under(
    "How models read and search",
    click.option(
        "--max-length",
        type=Numbers("tokens"),
        help="Cut texts to this many tokens; several, such as 512,2048, are a sweep.  "
        "[default: the suite's, or the model's own maximum]",
    ),
    click.option(
        "--dims",
        type=Numbers("dimensions", words=("listed",)),
        help="Search also with the first so many dimensions, such as 512,256,128, from one "
        "encoding; 'listed' are those that mteb's metadata lists.  [default: the suite's]",
    ),
    click.option(
        "--precision",
        "precisions",
        type=Names("precision", PRECISIONS),
        help="Search also with vectors of these: float32, float16, int8, binary.  "
        "[default: the suite's]",
    ),
    click.option(
        "--prompt-query",
        metavar="PROMPT",
        help="Put this before every query instead of the model's own prompt; '' puts none.",
    ),
    click.option(
        "--prompt-doc",
        "prompt_document",
        metavar="PROMPT",
        help="Put this before every document instead of the model's own prompt; '' puts none.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        help="Load the weights as this type.  [default: as mteb loads them]",
    ),
    click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        help="What computes; onnx and openvino want the extra of that name.  [default: torch]",
    ),
    click.option(
        "--backend-file",
        metavar="FILE",
        help="The exported model's file in its folder, such as onnx/model_qint8.onnx.  "
        "[default: onnx/model.onnx, openvino/openvino_model.xml]",
    ),
    trust_option,
)

_RERANKING = under(
    "Reranking",
    click.option(
        "--first-stage",
        "first_stages",
        multiple=True,
        metavar="MODEL|RUN",
        help="Rerank the best documents of this model, or of this run in TREC's format (a file, or "
        "a folder of export-run); may be repeated.",
    ),
    click.option(
        "--reranker",
        "rerankers",
        multiple=True,
        metavar="MODEL",
        help="A cross-encoder, by id or folder; may be repeated.",
    ),
    click.option(
        "--top-k",
        type=click.IntRange(min=1),
        help="Documents per query to rerank.  [default: the suite's, or 20]",
    ),
    click.option(
        "--query-tokens",
        type=click.IntRange(min=1),
        help="Cut queries to so many of the reranker's tokens.  [default: the suite's, or all]",
    ),
)

_SERVER = under(
    "A server instead of this machine",
    click.option(
        "--endpoint",
        metavar="URL",
        help="Let this OpenAI-compatible server compute the models and rerankers, such as "
        "https://api.openai.com/v1. Vectors are cut to --dims here; long texts are cut there.",
    ),
    click.option(
        "--api-key-env",
        "api_key_variable",
        metavar="NAME",
        help="The environment variable that holds the server's key.  [default: OPENAI_API_KEY]",
    ),
    click.option(
        "--concurrency", type=click.IntRange(min=1), help="Requests at a time.  [default: 8]"
    ),
)

_PRICE = under(
    "A server instead of this machine",
    click.option(
        "--price-per-million-tokens",
        type=click.FloatRange(min=0),
        help="What the server charges, in dollars; the cost is put into the record.",
    ),
)

_DEVICE = under(
    "Device and batches",
    click.option(
        "--device", metavar="DEVICE", help="cpu, cuda:0, mps.  [default: the best there is]"
    ),
    click.option(
        "--token-budget",
        type=click.IntRange(min=1),
        help="Padded tokens per batch.  [default: 2,048 on a CPU, 131,072 on a GPU]",
    ),
    click.option(
        "--padding/--no-padding",
        default=None,
        help="Pad the texts of a batch, or read them end to end where the model allows it.  "
        "[default: no padding on a GPU in half precision]",
    ),
    click.option(
        "--compile",
        is_flag=True,
        help="torch.compile the layers of a model that runs without padding: its first batches "
        "take long.",
    ),
)

_WORKERS = under(
    "Several devices, through Ray",
    click.option(
        "--devices",
        type=Words(),
        help="Encode on several devices of this machine, such as cuda:0,cuda:1; needs the extra "
        "granite-bench[ray].",
    ),
    click.option(
        "--ray",
        metavar="ADDRESS",
        help="Encode and search on a Ray cluster: auto (the one that this machine is part of), or "
        "host:port; needs the extra granite-bench[ray].",
    ),
    click.option(
        "--gpus-per-worker",
        type=click.FloatRange(min=0),
        help="GPUs of the cluster for each worker, such as 0.5; 0 uses processors.  [default: 1]",
    ),
)

_FOLDERS = under("Folders", out_option, vectors_option, mirror_option)

_NO_VECTORS = under(
    "Folders",
    click.option("--no-vectors", is_flag=True, help="Keep no vectors: nothing to resume from."),
)


encode_options = together(_WHAT, _HOW, _RERANKING, _SERVER, _DEVICE, _FOLDERS)
"""What to encode, how, and where vectors go."""

run_options = together(
    _WHAT, _HOW, _RERANKING, _SERVER, _PRICE, _DEVICE, _WORKERS, _FOLDERS, _NO_VECTORS
)
"""What to run, how, and where results go."""

subset_option = under(
    "What to run",
    click.option(
        "--subset",
        "subsets",
        multiple=True,
        metavar="SUBSET",
        help="A subset as mteb names it, such as en; may be repeated.  [default: the suite's]",
    ),
)
"""Not for a gate, to which what is left out of a suite is missing."""


def prepare_run(
    suite: str | None,
    *,
    vectors: str | None,
    no_vectors: bool = False,
    **options: Any,
) -> PreparedRun:
    """
    The run that these options ask for, checked and planned.

    Args:
        suite: a suite's name or file; None runs the tasks on their own.
        options: those above, None where one was not given, and others of preparation.prepare.

    Raises:
        BadInput: all that is wrong with them.
    """
    from granite_bench.runner.preparation import prepare

    # What was not given keeps the default of prepare.
    given = {name: value for name, value in options.items() if value is not None}
    return prepare(suite, vectors=None if no_vectors else vectors or True, **given)
