"""Models with random weights, of each architecture, two layers of 32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from mteb.types import PromptType
from tiny_geometries import SMALL, n_parameters

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.errors import BadInput
from granite_bench.speed.geometry import END_ID, N_SPECIAL, PAD_ID, START_ID, Geometry
from granite_bench.speed.untrained import UntrainedBackend

PLAIN = Instruction(None, "")

BERT, MODERNBERT = SMALL["bert"], SMALL["modernbert"]
GEOMETRIES = {
    **SMALL,
    "bert, mean": replace(BERT, pooling="mean"),
    "modernbert, mean, silu": replace(MODERNBERT, pooling="mean", activation="silu"),
}
ALL = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)

# Of 40 words: wider than the local window. Of 100: more than there are positions.
TEXTS = ["one", "one two three", "", " ".join(f"word{i}" for i in range(40)), "b " * 100, "one two"]


def vectors(backend: UntrainedBackend, texts: list[str] = TEXTS) -> npt.NDArray[np.float32]:
    """All texts in one batch."""
    return backend.encode(backend.tokenize(texts, PLAIN), np.arange(len(texts)), PLAIN)


@ALL
def test_padding_does_not_change_vectors(geometry: Geometry) -> None:
    """Each text alone, where nothing is padded, and all in one batch."""
    backend = UntrainedBackend(geometry)
    alone = np.concatenate([vectors(backend, [text]) for text in TEXTS])
    np.testing.assert_allclose(vectors(backend), alone, atol=1e-5)


@ALL
def test_vectors_without_padding_are_those_with_it(geometry: Geometry) -> None:
    """Also of texts that are truncated, or longer than the local window."""
    unpadded = UntrainedBackend(geometry, padding=False)
    assert not unpadded.pads
    np.testing.assert_allclose(vectors(unpadded), vectors(UntrainedBackend(geometry)), atol=1e-5)
    assert unpadded.attention == "sdpa per sequence"


@ALL
def test_vectors_are_float32_of_norm_1_and_differ(geometry: Geometry) -> None:
    """One row per text, as wide as the model; even one word more is seen."""
    found = vectors(UntrainedBackend(geometry))
    assert (found.shape, found.dtype) == ((6, 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    cosines = found @ found.T - np.eye(6)
    assert cosines.max() < 0.999


def test_a_vector_depends_on_the_last_of_40_words() -> None:
    """The CLS token sees it in the global layer only; in the local one it is far away."""
    backend = UntrainedBackend(MODERNBERT)
    first, second = vectors(backend, [TEXTS[3], f"{TEXTS[3]}x"])
    assert np.abs(first - second).max() > 1e-3


@ALL
def test_pooling_is_what_the_geometry_says(geometry: Geometry) -> None:
    """The first token's last hidden state, or the mean over all tokens, divided by its norm."""
    backend = UntrainedBackend(geometry)
    tokens = backend.tokenize(["one two three"], PLAIN)
    assert tokens.ids is not None
    with torch.inference_mode():
        hidden = backend.model(input_ids=torch.from_numpy(tokens.ids)[None].long())[0][0].numpy()
    pooled = hidden.mean(axis=0) if geometry.pooling == "mean" else hidden[0]
    expected = pooled / np.linalg.norm(pooled)
    np.testing.assert_allclose(vectors(backend, ["one two three"])[0], expected, atol=1e-5)


@ALL
def test_the_same_seed_has_the_same_vectors(geometry: Geometry) -> None:
    """And another seed has others."""
    first, again, other = (vectors(UntrainedBackend(geometry, seed=seed)) for seed in (7, 7, 8))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 0.01


def test_making_a_model_leaves_torchs_random_state_alone() -> None:
    """Whatever else draws numbers draws the same as without it."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    UntrainedBackend(BERT, seed=5)
    assert torch.equal(torch.rand(3), expected)


@ALL
def test_bfloat16_weights_are_the_float32_ones_rounded(geometry: Geometry) -> None:
    """So vectors are finite and nearly the same; buffers (frequencies, positions) stay exact."""
    exact = UntrainedBackend(geometry)
    rounded = UntrainedBackend(geometry, dtype="bfloat16")
    assert (exact.dtype, rounded.dtype) == ("float32", "bfloat16")
    weights = dict(exact.model.named_parameters())
    for name, weight in rounded.model.named_parameters():
        assert torch.equal(weight, weights[name].bfloat16())
    buffers = dict(exact.model.named_buffers())
    for name, buffer in rounded.model.named_buffers():
        assert torch.equal(buffer, buffers[name])
    found = vectors(rounded)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found * vectors(exact)).sum(axis=1).min() > 0.999


@ALL
def test_no_weight_is_missing(geometry: Geometry) -> None:
    """All finite, none a constant but biases and norms, as many as the geometry has."""
    backend = UntrainedBackend(geometry)
    for name, weight in backend.model.named_parameters():
        assert torch.isfinite(weight).all(), name
        if weight.ndim == 2 and len(weight) > 1:
            assert weight.std() > 0.01, name
    assert backend.n_parameters == n_parameters(geometry)
    assert not backend.model.training


def test_a_word_is_a_token_between_two_special_ones() -> None:
    """Equal words have equal ids; white space of any kind and amount parts them."""
    tokens = UntrainedBackend(BERT).tokenize(["a b\n\n a", "", "\tb"], PLAIN)
    assert tokens.ids is not None
    assert tokens.lengths.tolist() == tokens.counts.tolist() == [5, 2, 3]
    assert tokens.starts.tolist() == [0, 5, 7, 10]
    first, second, third = np.split(tokens.ids, tokens.starts[1:-1])
    assert first[[0, -1]].tolist() == second.tolist() == [START_ID, END_ID]
    assert first[1] == first[3] != first[2] == third[1]
    assert (tokens.ids.dtype, tokens.counts.dtype, tokens.starts.dtype) == (
        np.int32,
        np.int32,
        np.int64,
    )


def test_a_words_id_is_the_same_in_every_process() -> None:
    """
    Unlike Python's own hash: the CRC-32 of "123456789" is 0xCBF43926 (the check value in every
    description of it), modulo the 197 ids of words, behind the special ones.
    """
    tokens = UntrainedBackend(BERT).tokenize(["123456789"], PLAIN)
    assert tokens.ids is not None
    assert tokens.ids[1] == 0xCBF43926 % 197 + N_SPECIAL


def test_ids_of_words_are_in_the_vocabulary_and_not_special() -> None:
    """Of five thousand words and all scripts; nearly every id is somebody's."""
    backend = UntrainedBackend(replace(BERT, n_positions=6000, max_length=6000))
    words = [f"w{i}" for i in range(5000)] + ["日本語", "кириллица", "\ud800", "🙂"]
    ids = backend.tokenize([" ".join(words)], PLAIN).ids
    assert ids is not None
    assert ids[1:-1].min() == N_SPECIAL
    assert ids[1:-1].max() == 199
    assert len(np.unique(ids)) > 190
    assert PAD_ID not in ids


def test_a_text_is_cut_to_the_maximum_length() -> None:
    """Counted as it was; its end goes and the special token behind it stays."""
    backend = UntrainedBackend(BERT, max_length=4)
    tokens = backend.tokenize(["a b c d", "a b", "a"], PLAIN)
    assert tokens.ids is not None
    assert backend.max_length == 4
    assert (tokens.counts.tolist(), tokens.lengths.tolist()) == ([6, 4, 3], [4, 4, 3])
    assert tokens.ids[:4].tolist() == tokens.ids[4:8].tolist()
    assert tokens.ids[3] == END_ID
    found = vectors(backend, ["a b c d", "a b"])
    assert found[0].tobytes() == found[1].tobytes()


def test_a_prompt_stands_before_the_text() -> None:
    """As other backends put it, though this one asks for none by itself."""
    backend = UntrainedBackend(BERT)
    with_prompt = backend.tokenize(["a"], Instruction("query", "query: ")).ids
    written_out = backend.tokenize(["query: a"], PLAIN).ids
    assert with_prompt is not None
    assert written_out is not None
    assert with_prompt.tolist() == written_out.tolist()
    any_task: Any = None
    assert backend.instruction(any_task, PromptType.query) == PLAIN
    assert backend.knows_tokens(PLAIN)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_the_longest_text_has_positions(architecture: str) -> None:
    """The geometry's own maximum, to the last row of the position table."""
    geometry = GEOMETRIES[architecture]
    backend = UntrainedBackend(geometry)
    assert backend.max_length == geometry.longest == (64 if architecture == "bert" else 62)
    assert np.isfinite(vectors(backend, ["a " * 100])).all()


def test_a_model_may_read_more_than_it_does_by_itself() -> None:
    """all-MiniLM-L6-v2 reads 256 tokens and has positions for 512."""
    backend = UntrainedBackend(replace(BERT, max_length=20), max_length=40)
    assert backend.tokenize(["a " * 100], PLAIN).lengths.tolist() == [40]


def test_all_faults_of_the_arguments_are_named() -> None:
    """A type that is none, and more tokens than RoBERTa has positions for."""
    with pytest.raises(BadInput) as caught:
        UntrainedBackend(GEOMETRIES["roberta"], dtype="bf16", max_length=63)
    assert str(caught.value).splitlines() == [
        "--dtype: unknown type 'bf16'",
        "  known: float32, bfloat16, float16",
        "--max-length: 63 tokens, where tiny reads 3 to 62",
    ]


def test_two_tokens_leave_no_room_for_a_word() -> None:
    """They are the special ones."""
    with pytest.raises(BadInput, match="2 tokens, where tiny reads 3 to 64"):
        UntrainedBackend(BERT, max_length=2)


def test_the_engine_drives_it_like_any_backend() -> None:
    """Through the Encoder, in batches of like length: the vectors of one batch."""
    backend = UntrainedBackend(MODERNBERT)
    encoder = Encoder(backend, {"model": "m", "revision": "1"}, store_folder=None, token_budget=64)
    cost = EncodingCost()
    encoded = encoder.encode([TEXTS], PLAIN, cost, label="texts").array()
    np.testing.assert_allclose(encoded, vectors(backend), atol=1e-5)
    # Words and two special tokens each; the text of 100 words is cut to 64 tokens.
    assert cost.n_tokens_encoded == 3 + 5 + 2 + 42 + 64 + 4
    backend.release_memory()
    assert (backend.name, backend.device, backend.attention) == ("untrained", "cpu", "sdpa")
    assert backend.similarity_name == "cosine"
