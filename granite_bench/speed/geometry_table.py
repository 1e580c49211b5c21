"""
Names to geometries: a table of models, and config.json.

    granite-embedding-97m-multilingual-r2    a name of the table, with or without organisation
    path/to/config.json                      a transformers config, or a folder that has one
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.speed.geometry import Architecture, Geometry, geometry_of, shape_faults

# Hidden size, layers, heads, intermediate size.
_MINI = (384, 6, 12, 1536)
_SMALL = (384, 12, 12, 1536)
_BASE = (768, 12, 12, 3072)
_LARGE = (1024, 24, 16, 4096)
_MODERN_BASE = (768, 22, 12, 1152)

_BERT = Geometry(
    "", "bert", *_BASE, vocab_size=30_522, n_positions=512, max_length=512, n_token_types=2
)
_ROBERTA = Geometry(
    "", "roberta", *_BASE, vocab_size=50_265, n_positions=514, max_length=512, n_token_types=1
)
_XLM_R = replace(_ROBERTA, architecture="xlm-roberta", vocab_size=250_002)
_ENGLISH_R2 = Geometry(
    "",
    "modernbert",
    *_MODERN_BASE,
    vocab_size=50_368,
    n_positions=8192,
    max_length=8192,
    global_every=3,
    local_window=128,
    global_theta=80_000.0,
    local_theta=10_000.0,
)
# The global theta of the multilingual pair is not among the published figures; ModernBERT's own
# stands here. It changes no count and no cost.
_MULTILINGUAL_R2 = replace(
    _ENGLISH_R2, n_positions=32_768, max_length=32_768, global_theta=160_000.0
)


def _model(name: str, family: Geometry, shape: tuple[int, int, int, int], **other: Any) -> Geometry:
    hidden, layers, heads, intermediate = shape
    return replace(
        family,
        name=name,
        hidden_size=hidden,
        n_layers=layers,
        n_heads=heads,
        intermediate_size=intermediate,
        **other,
    )


_GRANITE = "ibm-granite/granite-embedding-"

# mteb's exact counts of parameters are met (tests/test_geometry.py). They show what cards leave
# out: vocabularies as padded, that checkpoints of BERT and RoBERTa keep a pooler, and that the
# two small R1 models have two token types where RoBERTa has one.
GEOMETRIES = (
    _model(f"{_GRANITE}small-english-r2", _ENGLISH_R2, _SMALL),
    _model(f"{_GRANITE}english-r2", _ENGLISH_R2, _MODERN_BASE),
    # Gated too, with SiLU where the others have GELU.
    _model(
        f"{_GRANITE}97m-multilingual-r2",
        _MULTILINGUAL_R2,
        _SMALL,
        vocab_size=180_000,
        activation="silu",
    ),
    _model(f"{_GRANITE}311m-multilingual-r2", _MULTILINGUAL_R2, _MODERN_BASE, vocab_size=262_152),
    _model(f"{_GRANITE}30m-english", _ROBERTA, _MINI, n_token_types=2),
    _model(f"{_GRANITE}125m-english", _ROBERTA, _BASE),
    _model(f"{_GRANITE}107m-multilingual", _XLM_R, _MINI, n_token_types=2),
    _model(f"{_GRANITE}278m-multilingual", _XLM_R, _BASE),
    _model("google-bert/bert-base-uncased", _BERT, _BASE),
    _model("intfloat/e5-small-v2", _BERT, _SMALL, pooling="mean"),
    _model("intfloat/e5-base-v2", _BERT, _BASE, pooling="mean"),
    _model("intfloat/e5-large-v2", _BERT, _LARGE, pooling="mean"),
    # A BERT with XLM-R's vocabulary and 35 rows more.
    _model("intfloat/multilingual-e5-small", _BERT, _SMALL, vocab_size=250_037, pooling="mean"),
    _model("intfloat/multilingual-e5-base", _XLM_R, _BASE, pooling="mean"),
    _model("intfloat/multilingual-e5-large", _XLM_R, _LARGE, pooling="mean"),
    _model("BAAI/bge-small-en-v1.5", _BERT, _SMALL),
    _model("BAAI/bge-base-en-v1.5", _BERT, _BASE),
    _model("BAAI/bge-large-en-v1.5", _BERT, _LARGE),
    _model("FacebookAI/xlm-roberta-base", _XLM_R, _BASE),
    # It has 512 positions, and sentence-transformers' files say 256.
    _model("sentence-transformers/all-MiniLM-L6-v2", _BERT, _MINI, max_length=256, pooling="mean"),
)

_SHORT = {geometry.name.split("/")[-1]: geometry for geometry in GEOMETRIES}
_KNOWN = {
    **_SHORT,
    **{geometry.name: geometry for geometry in GEOMETRIES},
    "bert-base": _SHORT["bert-base-uncased"],
}


def find_geometry(name: str) -> Geometry:
    """
    A geometry by its name, or from a config.json.

    Args:
        name: as in the docstring of this module. Where files of sentence-transformers lie beside
            a config.json, they say the maximum length, and whether the pooling is a mean; every
            other pooling becomes CLS, which costs no less.

    Raises:
        BadInput: no such name, with the nearest ones; or no geometry of that kind of model.
    """
    if name in _KNOWN:
        return _KNOWN[name]
    path = Path(name)
    if path.is_dir() or path.is_file():
        return _from_file(path / "config.json" if path.is_dir() else path)
    close = did_you_mean(name.split("/")[-1], _SHORT)
    known = f"known: {', '.join(_SHORT)}; or the path of a config.json"
    hint = f"{close}\n  {known}" if close else known
    raise BadInput(Fault("", f"unknown geometry '{name}'", hint))


def _from_file(file: Path) -> Geometry:
    from transformers import AutoConfig

    works = f"works with encoders of model_type {', '.join(get_args(Architecture))}"
    kind = _json(file).get("model_type")
    if kind not in get_args(Architecture):
        problem = f"no geometry is known of model_type '{kind}'" if kind else "has no model_type"
        raise BadInput(Fault(str(file), problem, works))
    try:
        config = AutoConfig.from_pretrained(str(file))
    except Exception as error:  # noqa: BLE001 (transformers checks values in several ways)
        raise BadInput(Fault(str(file), " ".join(str(error).split()))) from None
    geometry = geometry_of(config)
    if geometry is None:
        raise BadInput(Fault(str(file), fault, works) for fault in shape_faults(config))
    folder = file.resolve().parent
    lengths = [
        _json(found).get("max_seq_length") for found in folder.glob("sentence_bert_config.json")
    ]
    poolings = [_json(found) for found in folder.glob("*_Pooling/config.json")]
    is_mean = any(
        said.get("pooling_mode") == "mean" or said.get("pooling_mode_mean_tokens")
        for said in poolings
    )
    return replace(
        geometry,
        name=f"local/{folder.name}",
        max_length=min([geometry.longest, *(n for n in lengths if isinstance(n, int))]),
        pooling="mean" if is_mean else "cls",
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(Fault(str(file), f"cannot be read as JSON: {error}")) from None
    if not isinstance(said, dict):
        raise BadInput(Fault(str(file), "must be a JSON object"))
    return said
