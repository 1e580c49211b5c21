"""Shapes of models: parameters as mteb counts them, operations by hand and as torch counts them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_geometries import SMALL, n_parameters, smaller

from granite_bench.errors import BadInput
from granite_bench.speed.geometry import Geometry, flops, geometry_of, transformers_config
from granite_bench.speed.geometry_table import GEOMETRIES, find_geometry

TINY = {name: smaller(geometry) for name, geometry in SMALL.items()}
BERT, MODERNBERT = TINY["bert"], TINY["modernbert"]

# mteb's number for these is a model card's, rounded to millions (bge-small: to 0.1 million).
# Behind it another model of mteb's whose exact count is the same shape's.
ROUNDED = {
    "intfloat/e5-small-v2": (6, "sentence-transformers/all-MiniLM-L12-v2"),
    "intfloat/e5-base-v2": (6, "Snowflake/snowflake-arctic-embed-m"),
    "intfloat/e5-large-v2": (6, "Snowflake/snowflake-arctic-embed-l"),
    "intfloat/multilingual-e5-small": (
        6,
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    ),
    "intfloat/multilingual-e5-base": (6, "FacebookAI/xlm-roberta-base"),
    "intfloat/multilingual-e5-large": (6, "FacebookAI/xlm-roberta-large"),
    "BAAI/bge-small-en-v1.5": (5, "sentence-transformers/all-MiniLM-L12-v2"),
    "BAAI/bge-base-en-v1.5": (6, "Snowflake/snowflake-arctic-embed-m"),
    "BAAI/bge-large-en-v1.5": (6, "Snowflake/snowflake-arctic-embed-l"),
}
# Not in mteb; snowflake-arctic-embed-m is a fine-tuned bert-base-uncased.
STANDS_FOR = {"google-bert/bert-base-uncased": "Snowflake/snowflake-arctic-embed-m"}


@pytest.fixture(scope="module")
def registry() -> Any:
    """mteb's metadata of all models."""
    from mteb.models.model_implementations import MODEL_REGISTRY

    return MODEL_REGISTRY


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry.name)
def test_a_geometry_has_exactly_the_parameters_that_mteb_counts(
    geometry: Geometry, registry: Any
) -> None:
    """Embeddings and pooler included; where mteb rounds, those of a model of the same shape."""
    counted_as = STANDS_FOR.get(geometry.name, geometry.name)
    if counted_as in ROUNDED:
        digits, same_shape = ROUNDED[counted_as]
        assert round(n_parameters(geometry), -digits) == registry[counted_as].n_parameters
        counted_as = same_shape
    assert n_parameters(geometry) == registry[counted_as].n_parameters


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry.name)
def test_embeddings_dimension_and_length_are_those_of_mteb(
    geometry: Geometry, registry: Any
) -> None:
    """None of the vocabularies is rounded in mteb's metadata."""
    meta = registry[STANDS_FOR.get(geometry.name, geometry.name)]
    assert geometry.vocab_size * geometry.hidden_size == meta.n_embedding_parameters
    assert geometry.hidden_size == np.max(meta.embed_dim)
    # The cards and configs of the multilingual R2 pair say 32,768; mteb evaluated them at 8192.
    # 514 is the position table of XLM-R, of which 512 are tokens; e5-large-v2 is no RoBERTa at all.
    lengths = {8192: {8192, 32_768}, 514: {512}}
    assert geometry.max_length in lengths.get(meta.max_tokens, {meta.max_tokens})


def test_published_counts_of_the_multilingual_pair_are_met() -> None:
    """The figures of PROTOCOLS.md, whatever becomes of mteb's metadata."""
    assert n_parameters(find_geometry("granite-embedding-97m-multilingual-r2")) == 97_441_152
    assert n_parameters(find_geometry("granite-embedding-311m-multilingual-r2")) == 311_664_384


def test_the_table_agrees_with_a_real_models_own_files(minilm: Any) -> None:
    """all-MiniLM-L6-v2 as installed: every number of its config, maximum length and pooling."""
    from granite_bench.models import find_model

    folder = find_model("quickstart/all-MiniLM-L6-v2").folder
    geometry = find_geometry(str(folder))
    listed = find_geometry("all-MiniLM-L6-v2")
    assert replace(geometry, name=listed.name) == listed
    inner = minilm.model.transformers_model
    assert n_parameters(listed) == sum(each.numel() for each in inner.parameters())
    loaded = geometry_of(inner.config)
    assert loaded is not None
    assert replace(loaded, name="", max_length=256, pooling="mean") == replace(listed, name="")


# Operations.


def test_operations_of_bert_by_hand() -> None:
    """
    Per token 4 matrices of 4 x 4 and 2 of 4 x 8: 128 multiplications with addition. Three tokens
    384, their 9 pairs twice 4 more each: 72. One token 128 + 8. Together 592, each 2 operations.
    """
    assert flops(BERT, [3, 1]) == 2 * (384 + 72 + 128 + 8)


def test_operations_of_modernbert_by_hand() -> None:
    """
    Per token and layer 4 matrices of 4 x 4 and, gated, 3 of 4 x 8: 160. Four tokens, three
    layers: 1920. The first and third layer are global, 16 pairs each; in the second each token
    sees itself and its neighbours: 2 + 3 + 3 + 2. Twice 4 for each of the 42 pairs: 336.
    """
    assert flops(MODERNBERT, [4]) == 2 * (1920 + 336)


@pytest.mark.parametrize("architecture", TINY)
def test_operations_are_those_that_torch_counts(architecture: str) -> None:
    """Without the pooler; torch counts attention as matrix products only, so it runs eager."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModel

    # Torch counts masked pairs too, so the window holds the whole text.
    geometry = replace(TINY[architecture], n_layers=3, hidden_size=8, vocab_size=20)
    if geometry.local_window is not None:
        geometry = replace(geometry, local_window=20)
    config = transformers_config(geometry)
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    ids = torch.full((2, 11), 5)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    pooler = 0 if architecture == "modernbert" else 2 * 2 * 8 * 8  # two texts, one 8 x 8 matrix
    assert flops(geometry, [11, 11]) == counter.get_total_flops() - pooler


@pytest.mark.parametrize("length", [1, 3, 4, 5, 17])
def test_a_local_layer_costs_the_pairs_that_its_mask_lets_through(length: int) -> None:
    """As transformers makes the mask: with a window of 8, four tokens on either side."""
    import torch
    from transformers import AutoModel

    geometry = replace(MODERNBERT, local_window=8)
    config = transformers_config(geometry)
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    masks = []
    model.layers[1].register_forward_pre_hook(
        lambda layer, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    ids = torch.full((1, length), 5)
    with torch.inference_mode():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    n_pairs = length**2 if masks[0] is None else int((masks[0] == 0).sum())
    linear = 3 * 160 * length
    assert flops(geometry, [length]) == 2 * (linear + 2 * 4 * (2 * length**2 + n_pairs))


def test_operations_of_many_long_texts_do_not_overflow() -> None:
    """A hundred thousand texts of 65,536 tokens, in int32: 2^32 pairs each."""
    n = 2**16
    one = 2 * (128 * n + 2 * 4 * n * n)
    assert flops(BERT, np.full(100_000, n, dtype=np.int32)) == 100_000 * one


def test_no_tokens_cost_nothing() -> None:
    """An empty list, and a text of no tokens."""
    assert flops(MODERNBERT, []) == 0
    assert flops(MODERNBERT, [0]) == 0


@pytest.mark.parametrize(
    ("name", "chunks_per_second"),
    [("311m-multilingual-r2", 6_500), ("97m-multilingual-r2", 25_000)],
)
def test_rooflines_are_those_worked_out_elsewhere(name: str, chunks_per_second: int) -> None:
    """At 790 TFLOP/s and 512 tokens a chunk: the round figures that the speed work aims by."""
    geometry = find_geometry(f"granite-embedding-{name}")
    assert 790e12 / flops(geometry, [512]) == pytest.approx(chunks_per_second, rel=0.02)


# Names and files.


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry.name)
def test_a_geometry_is_found_with_and_without_its_organisation(geometry: Geometry) -> None:
    """Nobody writes ibm-granite/ by hand."""
    assert find_geometry(geometry.name) is geometry
    assert find_geometry(geometry.name.split("/")[-1]) is geometry


def test_an_unknown_name_is_answered_with_near_ones_and_all() -> None:
    """The organisation is no part of what is compared."""
    with pytest.raises(BadInput) as caught:
        find_geometry("ibm-granite/granite-embedding-97m-multilingual")
    message = str(caught.value)
    assert "unknown geometry 'ibm-granite/granite-embedding-97m-multilingual'" in message
    assert "did you mean 'granite-embedding-97m-multilingual-r2'" in message
    assert "all-MiniLM-L6-v2; or the path of a config.json" in message


def write_config(folder: Path, said: Any) -> Path:
    """A config.json."""
    folder.mkdir(exist_ok=True)
    file = folder / "config.json"
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    return file


@pytest.mark.parametrize("geometry", [*TINY.values(), *GEOMETRIES], ids=lambda g: g.name)
def test_a_geometry_survives_its_config_file(geometry: Geometry, tmp_path: Path) -> None:
    """Written by transformers, read again as a file and as a folder."""
    transformers_config(geometry).save_pretrained(tmp_path / "model")
    expected = replace(geometry, name="local/model", max_length=geometry.longest, pooling="cls")
    assert find_geometry(str(tmp_path / "model")) == expected
    assert find_geometry(str(tmp_path / "model" / "config.json")) == expected


def test_a_config_in_the_older_words_is_read(tmp_path: Path) -> None:
    """As ModernBERT's checkpoints on the hub have it: an interval and two thetas."""
    said = {
        "model_type": "modernbert",
        "num_hidden_layers": 4,
        "global_attn_every_n_layers": 2,
        "global_rope_theta": 80000.0,
        "local_rope_theta": 20000.0,
    }
    geometry = find_geometry(str(write_config(tmp_path, said)))
    assert (geometry.global_every, geometry.n_global_layers, geometry.local_window) == (2, 2, 128)
    assert (geometry.global_theta, geometry.local_theta) == (80_000.0, 20_000.0)


def test_a_roberta_reads_two_tokens_fewer_than_it_has_positions(tmp_path: Path) -> None:
    """Its positions begin behind the padding's, which is 1; a longer maximum is cut to that."""
    said = {"model_type": "roberta", "max_position_embeddings": 514}
    file = write_config(tmp_path, said)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 514}')
    assert find_geometry(str(file)).max_length == 512


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "lasttoken"}, "cls"),
    ],
)
def test_pooling_and_length_are_what_sentence_transformers_files_say(
    tmp_path: Path, said: dict[str, Any], pooling: str
) -> None:
    """In its newer and older words."""
    file = write_config(tmp_path, {"model_type": "bert"})
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(said))
    geometry = find_geometry(str(file))
    assert (geometry.pooling, geometry.max_length) == (pooling, 128)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"model_type": "llama"}, "no geometry is known of model_type 'llama'"),
        ({"hidden_size": 4}, "has no model_type"),
        ("[1]", "must be a JSON object"),
        ("{", "cannot be read as JSON"),
        ({"model_type": "bert", "is_decoder": True}, "is_decoder is true"),
        ({"model_type": "modernbert", "mlp_bias": True}, "mlp_bias is true"),
        ({"model_type": "bert", "num_hidden_layers": 0}, "num_hidden_layers is 0, must be"),
        ({"model_type": "bert", "hidden_size": 100}, "does not divide into 12 heads"),
        ({"model_type": "bert", "hidden_size": "wide"}, "hidden_size"),
        (
            {
                "model_type": "modernbert",
                "num_hidden_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "layer_types are not",
        ),
    ],
)
def test_a_config_that_no_geometry_describes_is_refused(
    tmp_path: Path, said: Any, problem: str
) -> None:
    """With the file's name."""
    file = write_config(tmp_path, said)
    with pytest.raises(BadInput) as caught:
        find_geometry(str(file))
    assert problem in str(caught.value)
    assert str(file) in str(caught.value)


def test_all_faults_of_a_config_are_named_with_what_would_work(tmp_path: Path) -> None:
    """Two of them, and the four architectures."""
    said = {"model_type": "bert", "is_decoder": True, "vocab_size": 3}
    with pytest.raises(BadInput) as caught:
        find_geometry(str(write_config(tmp_path, said)))
    assert [fault.what for fault in caught.value.faults] == [
        "is_decoder is true",
        "vocab_size is 3, must be at least 4",
    ]
    assert "modernbert, bert, roberta, xlm-roberta" in caught.value.faults[0].hint


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    """As a file that cannot be read."""
    with pytest.raises(BadInput, match=r"config\.json: cannot be read"):
        find_geometry(str(tmp_path))


def test_a_loaded_model_of_another_kind_has_no_geometry() -> None:
    """Its achieved operations are then not known."""
    from transformers import AutoConfig

    assert geometry_of(AutoConfig.for_model("mpnet")) is None


def test_names_and_operations_need_no_torch() -> None:
    """The list of geometries, a wrong name, and operations, without the seconds of an import."""
    code = (
        "import sys; from granite_bench.speed import geometry, geometry_table as table;"
        "geometry.flops(table.find_geometry('bert-base'), [512]);"
        "print(sorted({'torch', 'transformers', 'mteb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
