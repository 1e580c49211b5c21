"""What is wrong with the options of a run taken together, before a model is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from granite_bench.engine.endpoint.address import endpoint_faults
from granite_bench.errors import Fault
from granite_bench.models import Loading
from granite_bench.planning.run_spec import RunSpec
from granite_bench.rankings.ranking import MOST_RANKED


def loading_faults(loading: Loading, api_key_variable: str | None) -> list[Fault]:
    """Of how models are loaded and asked: what does not go together, and broken endpoints."""
    faults = []
    if loading.dtype is not None and loading.backend != "torch":
        hint = "leave it out; granite-bench export writes other types"
        faults.append(Fault("--dtype", "is of weights, and an exported file has its own", hint))
    if loading.backend_file is not None and loading.backend == "torch":
        hint = "say whose file it is: --backend onnx or --backend openvino"
        faults.append(Fault("--backend-file", "is for an exported model", hint))
    if loading.endpoint is not None:
        faults += endpoint_faults(loading.endpoint, api_key_variable)
        of_weights = {"--dtype": loading.dtype, "--backend-file": loading.backend_file}
        of_weights["--backend"] = None if loading.backend == "torch" else loading.backend
        faults += [
            Fault(option, "is the server's choice, and --endpoint is given", "leave it out")
            for option, value in of_weights.items()
            if value is not None
        ]
    for trusted in loading.trusted:
        name, _, revision = trusted.rpartition("@")
        if not name or not revision:
            problem = f"'{trusted}' names no revision, and code may change with each"
            hint = "give name@revision; a run without it prints the one to give"
            faults.append(Fault("--trust-remote-code", problem, hint))
    return faults


def unheeded_faults(
    spec: RunSpec,
    loading: Loading,
    max_length: int | Sequence[int] | None,
    dims: Sequence[int] | str,
    precisions: Sequence[str],
) -> list[Fault]:
    """Options that nothing of what is asked for would heed."""
    if spec.models or not spec.rerankers:
        return []
    given: dict[str, Any] = {"--dims": dims, "--precision": precisions}
    hint = "they are for models that are given with --model; leave them out"
    if not spec.first_stages:
        given |= {
            "--max-length": max_length,
            "--backend": loading.backend if loading.backend != "torch" else None,
            "--prompt-query": loading.prompt_query,
            "--prompt-doc": loading.prompt_document,
        }
        hint = "they are for embedding models; leave them out"
    named = [option for option, value in given.items() if value not in (None, (), [])]
    return [Fault(option, "changes nothing of a reranker", hint) for option in named]


def depth_faults(top_k: int, ranking_depth: int) -> list[Fault]:
    """Of documents per query that are reranked or kept: more than mteb ranks."""
    depths = {"--top-k": top_k, "--keep-ranking": ranking_depth}
    problem = f"mteb ranks {MOST_RANKED:,} documents per query"
    hint = f"give {MOST_RANKED} or fewer"
    return [Fault(name, problem, hint) for name, depth in depths.items() if depth > MOST_RANKED]
