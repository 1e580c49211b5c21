"""A small model in a folder, and its exports, for the tests of backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, BertConfig, ModernBertConfig, PretrainedConfig, XLMRobertaConfig

SHAPE: dict[str, Any] = {
    "vocab_size": 30_522,  # of the tokenizer
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pad_token_id": 0,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,  # attention that is far from even, or a wrong mask would not show
}
CONFIGS: dict[str, PretrainedConfig] = {
    "BERT": BertConfig(**SHAPE),
    "XLM-R": XLMRobertaConfig(**SHAPE),
    "ModernBERT": ModernBertConfig(**SHAPE, local_attention=8, cls_token_id=101, sep_token_id=102),
}


def small_model(folder: Path, tokenizer: Any, architecture: str = "BERT") -> SentenceTransformer:
    """A model of random weights with mean pooling, saved to *folder*, loaded from it."""
    torch.manual_seed(7)
    model = AutoModel.from_config(CONFIGS[architecture])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases begin as ones and zeros
                parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.model_max_length = 100
    tokenizer.save_pretrained(folder)
    loaded = SentenceTransformer(str(folder), device="cpu")
    loaded.save_pretrained(str(folder))
    return loaded.eval()
