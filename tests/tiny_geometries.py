"""
Shapes of tiny models, one of each architecture, and the parameters of a shape.

    SMALL["modernbert"]      two layers of 32: what is run
    smaller(SMALL["bert"])   one layer of 4: what is worked out by hand
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from granite_bench.speed.geometry import Geometry, transformers_config

_BERT = Geometry(
    "tiny",
    "bert",
    hidden_size=32,
    n_layers=2,
    n_heads=4,
    intermediate_size=48,
    vocab_size=200,
    n_positions=64,
    max_length=64,
    n_token_types=2,
)

SMALL = {
    "bert": _BERT,
    "roberta": replace(_BERT, architecture="roberta", max_length=62, n_token_types=1),
    "xlm-roberta": replace(_BERT, architecture="xlm-roberta", max_length=62, n_token_types=1),
    "modernbert": replace(
        _BERT,
        architecture="modernbert",
        n_token_types=0,
        global_every=2,
        local_window=8,
        global_theta=80_000.0,
        local_theta=10_000.0,
    ),
}


def smaller(geometry: Geometry) -> Geometry:
    """The same with one layer of 4 (ModernBERT: three, the second local and 2 tokens wide)."""
    is_modern = geometry.architecture == "modernbert"
    n_positions = 32
    return replace(
        geometry,
        hidden_size=4,
        n_layers=3 if is_modern else 1,
        n_heads=2,
        intermediate_size=8,
        vocab_size=50,
        n_positions=n_positions,
        max_length=n_positions - (geometry.n_positions - geometry.max_length),
        local_window=2 if is_modern else None,
    )


def n_parameters(geometry: Geometry) -> int:
    """
    The parameters of transformers' bare model of this shape, embeddings and pooler included.

    Counted on a model without memory, so a large one costs no more than a small one.
    """
    import torch
    from transformers import AutoModel

    build: Any = AutoModel.from_config  # has no type annotations
    with torch.device("meta"):
        model = build(transformers_config(geometry))
    return sum(parameter.numel() for parameter in model.parameters())
