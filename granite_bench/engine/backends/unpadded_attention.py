"""
Attention over texts laid end to end: each token sees its own text, or a window of it.

Two functions compute the same and are registered with transformers under names of ours: torch's
variable-length kernel (an NVIDIA GPU, float16 or bfloat16), and scaled_dot_product_attention for
each run of texts of equal length (anywhere). transformers gives an attention function without a
mask function no mask, silently, so both have one, and both refuse to run without the bounds of the
texts.
"""

from __future__ import annotations

import inspect
from itertools import groupby
from typing import Any, Literal

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

Attention = Literal["varlen (torch)", "sdpa per sequence"]

VARLEN: Attention = "varlen (torch)"
PER_SEQUENCE: Attention = "sdpa per sequence"
"""The two, as a record names them."""

REGISTERED: dict[Attention, str] = {
    VARLEN: "granite_bench_varlen",
    PER_SEQUENCE: "granite_bench_per_sequence",
}
"""What transformers calls them: values of config._attn_implementation."""

HALF_PRECISION = (torch.float16, torch.bfloat16)

_BLOCK = 512
"""Queries per call in windowed layers: memory and work then grow with length times window."""


def varlen_refusal(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Why torch's variable-length attention cannot run here; None if it can."""
    if device.type != "cuda" or torch.version.cuda is None:
        return "it needs an NVIDIA GPU"
    # The conditions of the kernel itself: mha_varlen_fwd in torch's flash_api.cpp.
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "it needs a GPU of compute capability 8.0 or above"
    if dtype not in HALF_PRECISION:
        return f"it computes in float16 or bfloat16, not in {dtype}"
    if head_dim % 8 or head_dim > 256:
        return f"it takes heads of 8, 16, ... 256 dimensions, not of {head_dim}"
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return f"torch {torch.__version__} has none"
    if not {"scale", "window_size"} <= inspect.signature(varlen_attn).parameters.keys():
        return f"that of torch {torch.__version__} has no window"
    return None


def varlen_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """
    Attention by torch's kernel, as transformers calls it.

    Args:
        module: the attention module; its config has the window.
        query, key, value: (1, n_heads, n_tokens, head_dim).
        attention_mask: None; what others pass is refused, as is dropout.
        sliding_window: not None in layers whose attention is local.
        cu_seq_lens_q: int32 (n_texts + 1,), text i is tokens cu_seq_lens_q[i] to [i + 1].
        max_length_q: tokens of the longest text.

    Returns:
        (1, n_tokens, n_heads, head_dim), and no weights.

    Raises:
        ValueError: the bounds are missing, or something is passed that would be ignored.
    """
    from torch.nn.attention.varlen import varlen_attn  # slow to import, and newer than torch 2.6

    bounds, longest = _checked(query, attention_mask, dropout, cu_seq_lens_q, max_length_q)
    window = _window(module, sliding_window)
    states: Any = varlen_attn(
        # Views: in memory, tokens come before heads already.
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        bounds,
        bounds,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, -1) if window is None else (window, window),
    )
    return states[None], None


def per_sequence_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """
    What varlen_attention computes, in any dtype and on any device: one call of
    scaled_dot_product_attention for each run of texts of equal length. It reads the bounds on the
    host, so a GPU is waited for in every layer.
    """
    bounds, _ = _checked(query, attention_mask, dropout, cu_seq_lens_q, max_length_q)
    window = _window(module, sliding_window)
    _, n_heads, n_tokens, head_dim = query.shape
    states = query.new_empty(n_tokens, n_heads, head_dim)
    start = 0
    for length, run in groupby(bounds.diff().tolist()):
        stop = start + length * len(list(run))
        in_run = [
            tensor[0, :, start:stop].view(n_heads, -1, length, head_dim).transpose(0, 1)
            for tensor in (query, key, value)
        ]
        of_run = _local(in_run[0], in_run[1], in_run[2], window, scaling)
        states[start:stop] = of_run.transpose(1, 2).flatten(0, 1)
        start = stop
    if start != n_tokens:
        raise ValueError(f"the texts end at token {start} of {n_tokens}")
    return states[None], None


def _local(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    window: int | None,
    scaling: float | None,
) -> torch.Tensor:
    """
    Attention within each text, where a token sees *window* others to either side, None for all;
    (n_texts, n_heads, length, head_dim) each.
    """
    length = query.shape[2]
    if window is None or length <= window + 1:
        return scaled_dot_product_attention(query, key, value, scale=scaling)
    places = torch.arange(length, device=query.device)
    blocks = []
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        low, high = max(start - window, 0), min(stop + window, length)
        is_near = (places[start:stop, None] - places[low:high]).abs() <= window
        of_block = scaled_dot_product_attention(
            query[:, :, start:stop],
            key[:, :, low:high],
            value[:, :, low:high],
            attn_mask=is_near,
            scale=scaling,
        )
        blocks.append(of_block)
    return torch.cat(blocks, dim=2)


def _checked(
    query: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float,
    bounds: torch.Tensor | None,
    max_length: int | None,
) -> tuple[torch.Tensor, int]:
    """The bounds of the texts and the longest of them, if nothing else is asked for."""
    if bounds is None or max_length is None:
        raise ValueError("attention without padding needs cu_seq_lens_q and max_length_q")
    if attention_mask is not None or dropout or query.shape[0] != 1:
        raise ValueError("attention without padding takes one row, no mask and no dropout")
    return bounds, max_length


def _window(module: Any, sliding_window: int | None) -> int | None:
    """
    Tokens that a layer sees to either side; None for all.

    ModernBERT's local_attention counts both sides. The sliding_window that transformers passes is
    half of that plus one, as flash attention's own wrapper expects it, and not the kernel.
    """
    return None if sliding_window is None else int(module.config.local_attention) // 2


def no_mask(*, attention_mask: torch.Tensor | None = None, **_: Any) -> None:
    """transformers' mask function for both: the bounds of the texts take the place of a mask."""
    if attention_mask is not None:
        raise ValueError("attention without padding takes the bounds of texts, not a mask")


AttentionInterface.register(REGISTERED[VARLEN], varlen_attention)
# Not compiled: it loops over lengths, so every batch would be compiled anew.
_uncompiled = torch.compiler.disable(per_sequence_attention)  # type: ignore[no-untyped-call]
AttentionInterface.register(REGISTERED[PER_SEQUENCE], _uncompiled)
for _name in REGISTERED.values():
    AttentionMaskInterface.register(_name, no_mask)
