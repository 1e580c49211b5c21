"""What a server says of itself: which model it serves, and what it accepts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from granite_bench.engine.endpoint.address import addresses, root_of
from granite_bench.engine.endpoint.client import Endpoint

logger = logging.getLogger(__name__)

# Of what servers tell, this decides what a text's vector is; the rest changes while they run.
_OF_INFO = ("model_id", "model_sha", "model_dtype", "max_input_length", "auto_truncate")
_OF_LISTED = ("root", "max_model_len")
# llama.cpp's, of the file that it loaded.
_OF_META = ("n_vocab", "n_ctx_train", "n_embd", "n_params", "size")
AS_SERVED = "as served"
"""The dtype of a server that does not say in what it computes."""


@dataclass(frozen=True)
class ServerFacts:
    """
    What is known of a server; much of it may be missing.

    Attributes:
        model: the name by which the server is asked for the model.
        models: the names that it lists; empty where it lists none.
        served: what it says of the model, for records and for the address of vectors.
        most_inputs: texts that it takes in one request; None where it does not say.
        is_tei: whether it is text-embeddings-inference, whose /rerank has a form of its own.
        extra: what is sent with every request beside the inputs.
    """

    model: str
    models: Sequence[str]
    served: Mapping[str, Any]
    most_inputs: int | None
    is_tei: bool
    extra: Mapping[str, Any]

    @property
    def dtype(self) -> str:
        """What the server says that it computes in, else AS_SERVED."""
        said = self.served.get("model_dtype")
        return said if isinstance(said, str) else AS_SERVED


def facts_of(endpoint: Endpoint, name: str) -> ServerFacts:
    """
    Ask a server what it serves; what it does not say is left out.

    Args:
        name: of the model, as it is called here. Where a server lists only its last part
            (text-embedding-3-small for openai/text-embedding-3-small), it is asked for that.
            One that lists a single model by another name is taken to serve that one.

    Raises:
        EndpointError: the server cannot be reached.
    """
    info = endpoint.get(f"{root_of(endpoint.url)}/info")
    info = info if isinstance(info, dict) and "max_client_batch_size" in info else {}
    listed = _listed(endpoint)
    last = name.split("/")[-1]
    model = last if name not in listed and last in listed else name
    entry = listed.get(model) or _only(listed)
    served = _told(info, _OF_INFO) | _told(entry, _OF_LISTED)
    if entry.get("id", model) != model:
        # Called by any name, it may answer with another model after the next start.
        served["id"] = entry["id"]
    meta = entry.get("meta")
    of_meta = _told(meta, _OF_META) if isinstance(meta, dict) else {}
    if of_meta:
        served["meta"] = of_meta
    # vLLM refuses texts that are too long unless told to cut them; -1: at the model's length.
    extra = {"truncate_prompt_tokens": -1} if entry.get("owned_by") == "vllm" else {}
    most_inputs = info.get("max_client_batch_size")
    _warn_of_another_model(name, model, served, list(listed))
    return ServerFacts(
        model,
        list(listed),
        served,
        most_inputs if isinstance(most_inputs, int) and most_inputs > 0 else None,
        bool(info),
        extra,
    )


def _told(said: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: said[name] for name in names if said.get(name) is not None}


def _only(listed: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(iter(listed.values())) if len(listed) == 1 else {}


def _warn_of_another_model(
    name: str, model: str, served: Mapping[str, Any], models: Sequence[str]
) -> None:
    """Many servers answer whatever name they are called by."""
    says = served.get("model_id") or served.get("root")
    if says and str(says).split("/")[-1] != name.split("/")[-1]:
        logger.warning("asked for %s, the server says that it serves %s", name, says)
    elif models and model not in models:
        logger.warning("asked for %s, the server lists %s", name, ", ".join(models[:10]))


def _listed(endpoint: Endpoint) -> dict[str, Mapping[str, Any]]:
    """The models that the server lists, by name."""
    for address in addresses(endpoint.url, "/models"):
        answer = endpoint.get(address)
        entries = answer.get("data") if isinstance(answer, dict) else None
        if isinstance(entries, list):
            return {
                entry["id"]: entry
                for entry in entries
                if isinstance(entry, dict) and isinstance(entry.get("id"), str)
            }
    return {}
