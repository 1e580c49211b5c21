"""
What the folder of a sentence-transformers model says of itself, before it is loaded.

Files that are missing, or that nobody can read, say nothing; loading the model tells what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def kind_of(folder: Path) -> str:
    """SentenceTransformer, SparseEncoder or CrossEncoder, in sentence-transformers' words."""
    own = _json_object(folder / "config_sentence_transformers.json").get("model_type")
    if own is not None:
        return str(own)
    # Models saved before version 5 do not say it.
    if not (folder / "modules.json").is_file():
        architectures = _json_object(folder / "config.json").get("architectures")
        first = architectures[0] if isinstance(architectures, list) and architectures else ""
        if str(first).endswith("ForSequenceClassification"):
            return "CrossEncoder"
    return "SentenceTransformer"


def own_dims(folder: Path | None) -> list[int]:
    """The dimension that its last Dense, or else its pooling, gives; empty where none says it."""
    dims = []
    for file in sorted(folder.glob("*_*/config.json")) if folder is not None else []:
        config = _json_object(file)
        dim = config.get("out_features") or config.get("word_embedding_dimension")
        if type(dim) is int:
            dims.append(dim)
    return dims[-1:]


def own_max_length(folder: Path | None) -> int | None:
    """Tokens that it reads of a text at most, which mteb's metadata may not say."""
    if folder is None:
        return None
    length = _json_object(folder / "sentence_bert_config.json").get("max_seq_length")
    return length if type(length) is int else None


def _json_object(file: Path) -> Mapping[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
