"""
Geometries: what a text encoder's cost depends on, as a row of numbers.

Random weights of the same shape cost the same, so a row stands for a model whose weights are not
at hand (see geometry_table for the rows). What a forward pass costs in floating-point operations
follows from the same numbers, for untrained and for real models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Architecture = Literal["modernbert", "bert", "roberta", "xlm-roberta"]
"""transformers' model_type."""

Pooling = Literal["cls", "mean"]

START_ID, PAD_ID, END_ID = 0, 1, 2
"""RoBERTa's, for every untrained model: random weights do not mind which, but RoBERTa counts
positions from the padding's id, so the rows of its position table fit this one."""

N_SPECIAL = 3
"""The ids below this are special; words have the others."""


@dataclass(frozen=True)
class Geometry:
    """
    The shape of a text encoder.

    Attributes:
        name: mteb's name of the model, or local/ and the folder that a config.json lay in.
        architecture: transformers' model_type. BERT and both RoBERTas have absolute positions,
            biases and a pooler; ModernBERT has rotary positions, a gated MLP and none of these.
        hidden_size, n_layers, n_heads, vocab_size: as their names say.
        intermediate_size: width of the MLP; a gated one computes twice as much going in.
        n_positions: rows of the position table; for ModernBERT, which has none, the length that
            it was made for.
        max_length: tokens per text that the model reads, special ones included.
        activation: transformers' name.
        pooling: of the last layer; the L2 norm follows.
        n_token_types: rows of the token type table; 0 where there is none.
        global_every: layers 0, global_every, 2 * global_every... attend to the whole text.
        local_window: a token of the other layers attends to itself and to this many around it,
            half of them on either side; None where all layers are global.
        global_theta, local_theta: bases of the rotary embedding; None without one.
    """

    name: str
    architecture: Architecture
    hidden_size: int
    n_layers: int
    n_heads: int
    intermediate_size: int
    vocab_size: int
    n_positions: int
    max_length: int
    activation: str = "gelu"
    pooling: Pooling = "cls"
    n_token_types: int = 0
    global_every: int = 1
    local_window: int | None = None
    global_theta: float | None = None
    local_theta: float | None = None

    @property
    def is_gated(self) -> bool:
        """Whether the MLP is a gated linear unit: two projections in, one out."""
        return self.architecture == "modernbert"

    @property
    def longest(self) -> int:
        """The tokens for which there are positions; max_length may be less."""
        return _longest(self.architecture, self.n_positions)

    @property
    def n_global_layers(self) -> int:
        """Layers that attend to the whole text."""
        return -(-self.n_layers // self.global_every)


def _longest(architecture: str, n_positions: int) -> int:
    """RoBERTa's first position is the one behind the padding's id: 512 tokens of 514."""
    return n_positions - (PAD_ID + 1 if "roberta" in architecture else 0)


def geometry_of(config: PretrainedConfig) -> Geometry | None:
    """
    The geometry of a loaded model, from its transformers config.

    Its name is the config's, its maximum length all that it has positions for, its pooling CLS:
    a config does not know better. None where shape_faults finds any.
    """
    return None if shape_faults(config) else _read(config)


def shape_faults(config: PretrainedConfig) -> list[str]:
    """What a Geometry cannot say of a model with this config; empty where it says all."""
    kind = config.model_type
    if kind not in get_args(Architecture):
        return [f"no geometry is known of model_type '{kind}'"]
    switches: tuple[str, ...] = ("is_decoder", "add_cross_attention")
    if kind == "modernbert":
        switches = ("attention_bias", "mlp_bias", "norm_bias")
    faults = [f"{name} is true" for name in switches if getattr(config, name)]
    least = {
        "hidden_size": 1,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 1,
        "vocab_size": N_SPECIAL + 1,
        "max_position_embeddings": N_SPECIAL + PAD_ID + 1,
    }
    faults += [
        f"{name} is {getattr(config, name)}, must be at least {low}"
        for name, low in least.items()
        if getattr(config, name) < low
    ]
    if not faults and config.hidden_size % config.num_attention_heads:
        heads = config.num_attention_heads
        faults.append(f"hidden_size {config.hidden_size} does not divide into {heads} heads")
    if kind == "modernbert" and _global_every(config.layer_types) is None:
        faults.append("layer_types are not: every n-th global, from the first on, the others local")
    return faults


def _global_every(layer_types: Sequence[str]) -> int | None:
    """n if layers 0, n, 2n... are global and the others local, else None."""
    for n in range(1, len(layer_types) + 1):
        fitting = (
            "sliding_attention" if layer % n else "full_attention"
            for layer in range(len(layer_types))
        )
        if list(fitting) == list(layer_types):
            return n
    return None


def _read(config: Any) -> Geometry:
    architecture = cast(Architecture, config.model_type)
    sizes: dict[str, Any] = {
        "name": config.name_or_path or "",
        "architecture": architecture,
        "hidden_size": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.vocab_size,
        "n_positions": config.max_position_embeddings,
        "max_length": _longest(architecture, config.max_position_embeddings),
    }
    if architecture != "modernbert":
        return Geometry(**sizes, activation=config.hidden_act, n_token_types=config.type_vocab_size)
    return Geometry(
        **sizes,
        activation=config.hidden_activation,
        global_every=_global_every(config.layer_types) or 1,
        local_window=config.local_attention,
        global_theta=config.rope_parameters["full_attention"]["rope_theta"],
        local_theta=config.rope_parameters["sliding_attention"]["rope_theta"],
    )


def transformers_config(geometry: Geometry) -> PretrainedConfig:
    """
    The config from which transformers builds a model of this shape, for random weights.

    The special ids are those of this module. Weights are drawn with a variance that keeps the
    size of activations from layer to layer, so that a vector depends on every layer and word.
    """
    from transformers import AutoConfig

    arguments: dict[str, Any] = {
        "vocab_size": geometry.vocab_size,
        "hidden_size": geometry.hidden_size,
        "num_hidden_layers": geometry.n_layers,
        "num_attention_heads": geometry.n_heads,
        "intermediate_size": geometry.intermediate_size,
        "max_position_embeddings": geometry.n_positions,
        "initializer_range": geometry.hidden_size**-0.5,
        "pad_token_id": PAD_ID,
        "bos_token_id": START_ID,
        "eos_token_id": END_ID,
    }
    if geometry.architecture == "modernbert":
        arguments |= {
            "hidden_activation": geometry.activation,
            "global_attn_every_n_layers": geometry.global_every,
            "local_attention": geometry.local_window,
            "global_rope_theta": geometry.global_theta,
            "local_rope_theta": geometry.local_theta,
            "cls_token_id": START_ID,
            "sep_token_id": END_ID,
            # Weights beyond so many standard deviations are drawn again until none is left; at
            # the usual 2 that takes five times as long, half a minute for the 311M on a CPU.
            "initializer_cutoff_factor": 8.0,
        }
    else:
        arguments |= {
            "hidden_act": geometry.activation,
            "type_vocab_size": geometry.n_token_types,
        }
    config: PretrainedConfig = AutoConfig.for_model(geometry.architecture, **arguments)
    return config


def flops(geometry: Geometry, lengths: npt.ArrayLike) -> int:
    """
    Floating-point operations of one forward pass, 2 for a multiplication with its addition.

    Counted are the matrix products that a text's vector depends on: the linear layers, and the
    attention's scores and weighted values, in ModernBERT's local layers only between tokens
    within the window. Not counted: embeddings, the pooler (no vector depends on it), and what is
    no matrix product: norms, softmax, activations, rotary embedding.

    Args:
        lengths: integers >= 0, tokens of each text as the model reads it. What a batch computes
            on padding counts only where the lengths include it.

    Returns:
        The sum over the texts, exact.
    """
    n = np.asarray(lengths, dtype=np.int64)
    n_tokens, n_pairs = int(n.sum()), int((n * n).sum())
    n_local_pairs = 0
    if geometry.local_window is not None:
        # A token sees itself and those at distance 1 to half on either side; n - d pairs of
        # tokens are d apart, and each sees the other.
        half = np.minimum(geometry.local_window // 2, np.maximum(n - 1, 0))
        n_local_pairs = int((n + 2 * n * half - half * (half + 1)).sum())
    hidden, n_global = geometry.hidden_size, geometry.n_global_layers
    n_matrices = 3 if geometry.is_gated else 2
    per_token = 4 * hidden * hidden + n_matrices * hidden * geometry.intermediate_size
    attended = n_global * n_pairs + (geometry.n_layers - n_global) * n_local_pairs
    return 2 * (geometry.n_layers * n_tokens * per_token + 2 * hidden * attended)
