"""Encoders over texts laid end to end, against the same models with padding."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from granite_bench.engine.backends import unpadded_attention
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.backends.tokens import Tokens, counted
from granite_bench.engine.backends.unpadded import UnpaddedSentenceTransformer, disagreement, pooled
from granite_bench.engine.backends.unpadded_attention import (
    PER_SEQUENCE,
    REGISTERED,
    VARLEN,
    per_sequence_attention,
    varlen_attention,
    varlen_refusal,
)
from granite_bench.engine.backends.unpadded_transformer import UnpaddedTransformer, _positions

NEEDS_VARLEN = "this torch has no variable-length attention"
PAD = 1
SHAPE: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pad_token_id": PAD,
    "initializer_range": 0.2,  # attention that is far from even, or a wrong mask would not show
}
MODERN: dict[str, Any] = {
    **SHAPE,
    "local_attention": 8,  # 4 to each side
    "bos_token_id": 2,
    "cls_token_id": 2,
    "eos_token_id": 3,
    "sep_token_id": 3,
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "BERT": lambda: BertConfig(**SHAPE, max_position_embeddings=256),
    "RoBERTa": lambda: RobertaConfig(**SHAPE, max_position_embeddings=256),
    "XLM-R": lambda: XLMRobertaConfig(**SHAPE, max_position_embeddings=256),
    "ModernBERT": lambda: ModernBertConfig(**MODERN),
}
LENGTHS = np.array([200, 90, 90, 3, 41, 2, 1, 1], dtype=np.int32)


def model_of(config: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A model of random weights; norms and biases too, which begin as ones and zeros."""
    torch.manual_seed(5)
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.to(dtype)


def ids_of(lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Random token ids, none of them padding."""
    return np.random.default_rng(3).integers(4, 100, int(lengths.sum()), dtype=np.int32)


def texts_of(ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> list[torch.Tensor]:
    """The ids of each text."""
    return list(torch.from_numpy(ids).long().split(lengths.tolist()))


@torch.inference_mode()
def padded_states(
    model: Any, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]
) -> torch.Tensor:
    """What transformers computes of one padded batch; the rows of its padding left out."""
    texts = texts_of(ids, lengths)
    batch = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=PAD)
    mask = torch.arange(batch.shape[1]) < torch.from_numpy(lengths)[:, None]
    states: torch.Tensor = model(input_ids=batch, attention_mask=mask.long()).last_hidden_state
    return states[mask]


def largest_difference(left: torch.Tensor, right: torch.Tensor) -> float:
    """Of any two numbers at the same place."""
    return (left.float() - right.float()).abs().max().item()


def least_cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    """Of any two rows."""
    return torch.cosine_similarity(left.double(), right.double()).min().item()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from a second one, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> Any:
    """A small one of each architecture."""
    return CONFIGS[request.param]()


def test_states_are_those_of_the_padded_model(config: Any) -> None:
    """In float32 up to rounding, with texts of 1 to 200 tokens beside each other."""
    model = model_of(config)
    expected = padded_states(model, ids_of(LENGTHS), LENGTHS)
    states = UnpaddedTransformer(model).token_states(ids_of(LENGTHS), LENGTHS)
    assert states.shape == (LENGTHS.sum(), 32)
    assert largest_difference(states, expected) <= 1e-5


def test_half_precision_states_are_near_those_of_the_padded_float32_model(config: Any) -> None:
    """bfloat16: cosine of at least 0.999 for every token."""
    expected = padded_states(model_of(config), ids_of(LENGTHS), LENGTHS)
    model = model_of(config, torch.bfloat16)
    states = UnpaddedTransformer(model).token_states(ids_of(LENGTHS), LENGTHS)
    assert states.dtype == torch.bfloat16
    assert least_cosine(states, expected) >= 0.999


def test_a_text_is_the_same_in_any_company(config: Any) -> None:
    """The others neither lend it their tokens nor move its positions."""
    unpadded = UnpaddedTransformer(model_of(config))
    ids = ids_of(LENGTHS)
    together = unpadded.token_states(ids, LENGTHS).split(LENGTHS.tolist())
    for text, states in zip(texts_of(ids, LENGTHS), together, strict=True):
        alone = unpadded.token_states(text, np.array([len(text)]))
        assert largest_difference(alone, states) <= 1e-5


@pytest.mark.parametrize("name", ["RoBERTa", "XLM-R"])
def test_a_padding_token_inside_a_text_moves_roberta_as_in_the_padded_model(name: str) -> None:
    """A text that spells out the padding token: it is attended to, but not counted."""
    model = model_of(CONFIGS[name]())
    lengths = np.array([5, 4], dtype=np.int32)
    ids = np.array([9, PAD, PAD, 8, 7, 6, 5, PAD, 9], dtype=np.int32)
    states = UnpaddedTransformer(model).token_states(ids, lengths)
    assert largest_difference(states, padded_states(model, ids, lengths)) <= 1e-5


def test_positions_restart_with_each_text() -> None:
    """Texts of 3, 1 and 2 tokens; RoBERTa's with padding id 1, worked by hand from its source."""
    bounds = torch.tensor([0, 3, 4, 6], dtype=torch.int32)
    ids = torch.tensor([9, PAD, 8, 7, PAD, 6], dtype=torch.int32)
    assert _positions(ids, bounds, None).tolist() == [0, 1, 2, 0, 0, 1]
    assert _positions(ids, bounds, PAD).tolist() == [2, 1, 3, 2, 1, 2]


def one_local_layer() -> Any:
    """ModernBERT of a single layer, in which tokens see 4 others to either side."""
    return ModernBertConfig(**{**MODERN, "num_hidden_layers": 1}, layer_types=["sliding_attention"])


@pytest.mark.parametrize("block", [512, 16])
def test_a_local_layer_sees_half_the_window_to_either_side(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """local_attention = 8: a change of token 20 reaches tokens 16 to 24 and no other, even when
    the 60 tokens are computed in blocks."""
    monkeypatch.setattr(unpadded_attention, "_BLOCK", block)
    unpadded = UnpaddedTransformer(model_of(one_local_layer()))
    lengths = np.array([60], dtype=np.int32)
    ids = ids_of(lengths)
    changed = ids.copy()
    changed[20] = 4 if ids[20] != 4 else 5
    difference = unpadded.token_states(ids, lengths) - unpadded.token_states(changed, lengths)
    reached = difference.abs().amax(dim=1) > 1e-6
    assert reached.nonzero().flatten().tolist() == list(range(16, 25))


@pytest.mark.parametrize("length", [5, 6, 17, 33, 200])
def test_local_layers_in_blocks_are_those_of_the_padded_model(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts just longer than the window and far longer, with blocks of 16 queries."""
    monkeypatch.setattr(unpadded_attention, "_BLOCK", 16)
    model = model_of(CONFIGS["ModernBERT"]())
    lengths = np.array([length, length, 2], dtype=np.int32)
    states = UnpaddedTransformer(model).token_states(ids_of(lengths), lengths)
    assert largest_difference(states, padded_states(model, ids_of(lengths), lengths)) <= 1e-5


@pytest.fixture(scope="module")
def _cpu_kernel() -> list[dict[str, Any]]:
    """torch's variable-length attention made to run on a CPU, by its definition."""
    varlen = pytest.importorskip("torch.nn.attention.varlen", reason=NEEDS_VARLEN)
    calls: list[dict[str, Any]] = []

    def kernel(  # the signature of the operator
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cu_seq_q: torch.Tensor,
        cu_seq_k: torch.Tensor,
        max_q: int,
        max_k: int,
        is_causal: bool = False,
        scale: float | None = None,
        window_size: list[int] | None = None,
        *_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        calls.append(dict(locals()))
        left, right = window_size or (-1, -1)
        states = torch.empty_like(query)
        for start, stop in zip(cu_seq_q.tolist(), cu_seq_q[1:].tolist(), strict=False):
            place = torch.arange(stop - start)
            ahead = place - place[:, None]
            seen = ((left < 0) | (-ahead <= left)) & ((right < 0) | (ahead <= right))
            text = [tensor[start:stop].transpose(0, 1) for tensor in (query, key, value)]
            found = scaled_dot_product_attention(*text, attn_mask=seen, scale=scale)
            states[start:stop] = found.transpose(0, 1)
        others = query.new_zeros(query.shape[1], len(query), dtype=torch.float32)
        return states, others, torch.zeros(2, dtype=torch.uint64)

    varlen._varlen_attn.register_kernel("cpu")(kernel)
    return calls


@pytest.fixture
def kernel_calls(_cpu_kernel: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the kernel was called with in this test."""
    _cpu_kernel.clear()
    return _cpu_kernel


def test_the_kernel_gives_the_states_of_the_padded_model(
    config: Any, kernel_calls: list[dict[str, Any]]
) -> None:
    """With attention within bounds and windows as the kernel defines them."""
    model = model_of(config)
    unpadded = UnpaddedTransformer(model, attention=VARLEN)
    states = unpadded.token_states(ids_of(LENGTHS), LENGTHS)
    assert len(kernel_calls) == 4  # layers
    expected = padded_states(model, ids_of(LENGTHS), LENGTHS)
    assert largest_difference(states, expected) <= 1e-5


def test_the_kernel_is_called_as_its_checks_demand(
    config: Any, kernel_calls: list[dict[str, Any]]
) -> None:
    """Source: the checks of mha_varlen_fwd in torch's flash_api.cpp."""
    model = model_of(config, torch.bfloat16)
    UnpaddedTransformer(model, attention=VARLEN).token_states(ids_of(LENGTHS), LENGTHS)
    for call in kernel_calls:
        for name in ("query", "key", "value"):
            assert call[name].shape == (LENGTHS.sum(), 4, 8)
            assert call[name].dtype == torch.bfloat16
            assert call[name].stride(-1) == 1
        for name in ("cu_seq_q", "cu_seq_k"):
            assert call[name].dtype == torch.int32
            assert call[name].is_contiguous()
            assert call[name].tolist() == [0, 200, 290, 380, 383, 424, 426, 427, 428]
        assert (call["max_q"], call["max_k"]) == (200, 200)
        assert call["scale"] == pytest.approx(8**-0.5)
        assert not call["is_causal"]


def test_the_kernel_gets_half_the_window_in_local_layers_only(
    kernel_calls: list[dict[str, Any]],
) -> None:
    """local_attention = 8; every third layer is global. transformers itself passes 4 + 1."""
    model = model_of(CONFIGS["ModernBERT"]())
    UnpaddedTransformer(model, attention=VARLEN).token_states(ids_of(LENGTHS), LENGTHS)
    windows = [tuple(call["window_size"]) for call in kernel_calls]
    assert windows == [(-1, -1), (4, 4), (4, 4), (-1, -1)]


def on_gpu(
    monkeypatch: pytest.MonkeyPatch, *, capability: tuple[int, int] = (9, 0), cuda: str = "13.0"
) -> None:
    """Have torch report such a GPU."""
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


def test_the_kernel_is_chosen_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an NVIDIA GPU from Ampere on, in half precision, with heads as it takes them."""
    gpu, bf16 = torch.device("cuda", 0), torch.bfloat16
    pytest.importorskip("torch.nn.attention.varlen", reason=NEEDS_VARLEN)
    assert "GPU" in (varlen_refusal(torch.device("cpu"), bf16, 64) or "")
    on_gpu(monkeypatch)
    assert varlen_refusal(gpu, bf16, 64) is None
    assert varlen_refusal(gpu, torch.float16, 32) is None
    assert "float32" in (varlen_refusal(gpu, torch.float32, 64) or "")
    assert "36" in (varlen_refusal(gpu, bf16, 36) or "")
    assert "264" in (varlen_refusal(gpu, bf16, 264) or "")
    on_gpu(monkeypatch, capability=(7, 5))
    assert "capability" in (varlen_refusal(gpu, bf16, 64) or "")


def test_a_torch_whose_kernel_has_no_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first signature had none, and no scale."""

    def first(q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int) -> None:
        pass

    varlen = pytest.importorskip("torch.nn.attention.varlen", reason=NEEDS_VARLEN)
    on_gpu(monkeypatch)
    monkeypatch.setattr(varlen, "varlen_attn", first)
    reason = varlen_refusal(torch.device("cuda", 0), torch.bfloat16, 64)
    assert reason is not None
    assert "window" in reason


def test_the_record_names_what_runs() -> None:
    """On a CPU, sequences one by one, unless something else was asked for."""
    unpadded = UnpaddedTransformer(model_of(CONFIGS["BERT"]()))
    assert unpadded.attention == "sdpa per sequence"
    assert not unpadded.has_kernel
    both = UnpaddedTransformer(model_of(CONFIGS["BERT"]()), attention=VARLEN, compile=True)
    assert both.attention == "varlen (torch), compiled"
    assert both.has_kernel


@pytest.mark.parametrize("function", [varlen_attention, per_sequence_attention])
@pytest.mark.parametrize(
    "wrong",
    [
        {"cu_seq_lens_q": None},
        {"max_length_q": None},
        {"attention_mask": torch.ones(1, 3)},
        {"dropout": 0.1},
        {"query": torch.ones(2, 4, 3, 8)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_attention_refuses_what_it_would_have_to_ignore(
    function: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    """Without bounds, for one, all texts would see each other."""
    pytest.importorskip("torch.nn.attention.varlen", reason=NEEDS_VARLEN)
    states = torch.ones(1, 4, 3, 8)
    right = {
        "query": states,
        "key": states,
        "value": states,
        "attention_mask": None,
        "cu_seq_lens_q": torch.tensor([0, 3], dtype=torch.int32),
        "max_length_q": 3,
    }
    with pytest.raises(ValueError, match="without padding"):
        function(SimpleNamespace(), **{**right, **wrong})


def test_bounds_that_leave_tokens_out_are_refused() -> None:
    """The states of the others would be whatever was in memory."""
    states = torch.ones(1, 4, 3, 8)
    bounds = torch.tensor([0, 2], dtype=torch.int32)
    with pytest.raises(ValueError, match="2 of 3"):
        per_sequence_attention(
            SimpleNamespace(), states, states, states, None, cu_seq_lens_q=bounds, max_length_q=2
        )


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("attention", [VARLEN, PER_SEQUENCE])
def test_a_padded_call_of_a_model_with_this_attention_is_refused(
    attention: Any, masked: bool, config: Any
) -> None:
    """transformers would give it no mask, and say nothing."""
    pytest.importorskip("torch.nn.attention.varlen", reason=NEEDS_VARLEN)
    model = model_of(config)
    model.config._attn_implementation = REGISTERED[attention]
    ids = torch.tensor([[5, 6, 7], [8, PAD, PAD]])
    with pytest.raises(ValueError, match="without padding"):
        model(input_ids=ids, attention_mask=(ids != PAD).long() if masked else None)


def test_the_padded_model_stays_as_it_is(config: Any) -> None:
    """Before, after, and after a call that raised; and the weights exist once."""
    model = model_of(config)
    attention = model.config._attn_implementation
    before = padded_states(model, ids_of(LENGTHS), LENGTHS)
    unpadded = UnpaddedTransformer(model)
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    assert {weight.data_ptr() for weight in unpadded._model.parameters()} == weights
    unpadded.token_states(ids_of(LENGTHS), LENGTHS)
    assert torch.equal(padded_states(model, ids_of(LENGTHS), LENGTHS), before)
    with pytest.raises(IndexError):
        unpadded.token_states(np.array([5, 100], dtype=np.int32), np.array([2]))  # no token 100
    assert model.config._attn_implementation == attention
    assert torch.equal(padded_states(model, ids_of(LENGTHS), LENGTHS), before)


def test_the_padded_model_may_run_in_the_middle_of_a_call() -> None:
    """A hook in a layer of the copy calls the model, as another thread could."""
    model = model_of(CONFIGS["BERT"]())
    before = padded_states(model, ids_of(LENGTHS), LENGTHS)
    unpadded = UnpaddedTransformer(model)
    during = []
    unpadded._model.encoder.layer[1].register_forward_hook(
        lambda *_: during.append(padded_states(model, ids_of(LENGTHS), LENGTHS))
    )
    unpadded.token_states(ids_of(LENGTHS), LENGTHS)
    assert torch.equal(during[0], before)


def test_a_model_in_training_has_no_dropout_here() -> None:
    """And stays in training."""
    model = model_of(CONFIGS["BERT"]())
    expected = padded_states(model, ids_of(LENGTHS), LENGTHS)
    states = UnpaddedTransformer(model.train()).token_states(ids_of(LENGTHS), LENGTHS)
    assert model.training
    assert largest_difference(states, expected) <= 1e-5


@pytest.mark.parametrize(
    ("name", "lengths", "message"),
    [
        ("BERT", [], "a token in each"),
        ("BERT", [4, 0], "a token in each"),
        ("BERT", [2, 1], "add up to 3"),
        ("BERT", [257], "more than 256"),
        ("RoBERTa", [255], "more than 254"),  # positions 0 and 1 are none of a token
    ],
)
def test_texts_that_do_not_fit_are_refused(name: str, lengths: list[int], message: str) -> None:
    """Before a GPU sees them: an index out of range there ends all use of it."""
    unpadded = UnpaddedTransformer(model_of(CONFIGS[name]()))
    ids = np.full(max(sum(lengths), 4), 5, dtype=np.int32)
    with pytest.raises(ValueError, match=message):
        unpadded.token_states(ids, np.array(lengths, dtype=np.int32))


def test_the_longest_text_of_roberta_fits() -> None:
    """254 of 256 positions, as its padded model has them."""
    model = model_of(CONFIGS["RoBERTa"]())
    lengths = np.array([254], dtype=np.int32)
    states = UnpaddedTransformer(model).token_states(ids_of(lengths), lengths)
    assert largest_difference(states, padded_states(model, ids_of(lengths), lengths)) <= 1e-5


def test_a_model_that_was_cast_since_is_refused() -> None:
    """Its weights follow, its buffers do not, and another attention may be due."""
    model = model_of(CONFIGS["BERT"]())
    unpadded = UnpaddedTransformer(model)
    model.to(torch.bfloat16)
    with pytest.raises(ValueError, match="moved or cast"):
        unpadded.token_states(ids_of(LENGTHS), LENGTHS)


def test_models_that_would_not_be_right_are_refused() -> None:
    """Each with its reason; a subclass may compute anything."""
    bert = model_of(CONFIGS["BERT"]())
    assert UnpaddedTransformer.supports(bert) is None
    own = type("BertModel", (type(bert),), {})(bert.config)
    assert UnpaddedTransformer.supports(own) is not None
    distil = AutoModel.from_config(DistilBertConfig(dim=32, n_layers=1, n_heads=2, vocab_size=9))
    assert "DistilBertModel" in (UnpaddedTransformer.supports(distil) or "")
    with pytest.raises(ValueError, match="DistilBertModel"):
        UnpaddedTransformer(distil)
    reasons = {"is_decoder": (True, "decoder"), "chunk_size_feed_forward": (7, "feed-forward")}
    for setting, (value, word) in reasons.items():
        changed = model_of(CONFIGS["BERT"]())
        setattr(changed.config, setting, value)
        assert word in (UnpaddedTransformer.supports(changed) or "")
    assert "float64" in (UnpaddedTransformer.supports(model_of(bert.config, torch.float64)) or "")
    hooked = model_of(CONFIGS["BERT"]())
    hooked.encoder.forward = hooked.encoder.forward  # as accelerate places a model
    assert "replaced" in (UnpaddedTransformer.supports(hooked) or "")
    bert.embeddings.to(torch.bfloat16)
    assert "several types" in (UnpaddedTransformer.supports(bert) or "")


def compiling_with(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    """Have torch.compile use another compiler: "eager" traces, and runs what it traced."""
    compile_module = partialmethod(torch.nn.Module.compile, backend=backend)
    monkeypatch.setattr(torch.nn.Module, "compile", compile_module)


@pytest.fixture
def dynamo() -> Iterator[Any]:
    """torch's tracer with nothing traced yet, and its settings put back."""
    pytest.importorskip("torch._dynamo")
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=8):
        yield torch._dynamo
    torch._dynamo.reset()


@pytest.mark.parametrize(("name", "n_graphs"), [("BERT", 1), ("ModernBERT", 3)])
def test_compiled_layers_share_a_graph_for_all_batches(
    name: str,
    n_graphs: int,
    dynamo: Any,
    kernel_calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ModernBERT: one for the first layer, which has no norm, one for local, one for global
    layers. None is broken by the kernel, nor compiled again for other lengths."""
    graphs = []

    def record(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiling_with(monkeypatch, record)
    model = model_of(CONFIGS[name]())
    unpadded = UnpaddedTransformer(model, attention=VARLEN, compile=True)
    for lengths in (LENGTHS, LENGTHS[3:], np.array([50], dtype=np.int32)):
        states = unpadded.token_states(ids_of(lengths), lengths)
        expected = padded_states(model, ids_of(lengths), lengths)
        assert largest_difference(states, expected) <= 1e-5
    assert len(graphs) == n_graphs
    assert kernel_calls
    assert "compiled" in unpadded.attention


def test_many_models_of_one_process_are_compiled(
    dynamo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch keeps 8 versions of a function by default (here 2), and all models share that of a
    layer; with one more, it would run uncompiled and only torch's log would say so."""
    compiled = []

    def record(graph: Any, _: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    compiling_with(monkeypatch, record)
    lengths = np.array([3], dtype=np.int32)
    with dynamo.config.patch(recompile_limit=2):
        for n_seen, hidden in enumerate((8, 16, 24, 32)):
            shape = {**SHAPE, "hidden_size": hidden, "num_hidden_layers": 1}
            unpadded = UnpaddedTransformer(model_of(BertConfig(**shape)), compile=True)
            n_before = len(compiled)
            unpadded.token_states(ids_of(lengths), lengths)
            assert len(compiled) > n_before, f"model {n_seen} was not compiled"


def test_layers_run_uncompiled_where_compiling_fails(
    dynamo: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning and the right states; and it is not tried again."""
    attempts = []

    def fail(*_: Any) -> Any:
        attempts.append(1)
        raise RuntimeError("no compiler here")

    compiling_with(monkeypatch, fail)
    model = model_of(CONFIGS["ModernBERT"]())
    unpadded = UnpaddedTransformer(model, compile=True)
    expected = padded_states(model, ids_of(LENGTHS), LENGTHS)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            states = unpadded.token_states(ids_of(LENGTHS), LENGTHS)
            assert largest_difference(states, expected) <= 1e-5
    assert len(attempts) == 1
    assert "no compiler here" in caplog.text
    assert unpadded.attention == "sdpa per sequence"


def test_too_little_memory_is_no_failure_to_compile(
    dynamo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller makes smaller batches of it."""

    def fail(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    unpadded = UnpaddedTransformer(model_of(CONFIGS["BERT"]()), compile=True)
    monkeypatch.setattr(
        "granite_bench.engine.backends.unpadded_transformer._with_compiled_layers", fail
    )
    with pytest.raises(torch.OutOfMemoryError):
        unpadded.token_states(ids_of(LENGTHS), LENGTHS)
    assert "compiled" in unpadded.attention


def test_what_the_compiler_makes_of_the_rotary_embedding_is_the_same(
    dynamo: Any, kernel_calls: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """torch.compile as it is, on one layer of ModernBERT."""
    model = model_of(one_local_layer())
    unpadded = UnpaddedTransformer(model, attention=VARLEN, compile=True)
    states = unpadded.token_states(ids_of(LENGTHS), LENGTHS)
    if "compiled" not in unpadded.attention:
        pytest.skip(f"torch.compile does not work here: {caplog.text}")
    assert largest_difference(states, padded_states(model, ids_of(LENGTHS), LENGTHS)) <= 1e-5


def test_pooling_takes_the_rows_of_each_text() -> None:
    """Texts of 2, 1 and 3 tokens, worked by hand."""
    states = torch.tensor([[1.0, 0], [3, 4], [5, 5], [0, 3], [0, 6], [6, 0]])
    lengths = np.array([2, 1, 3], dtype=np.int32)
    assert pooled(states, lengths, "cls").tolist() == [[1, 0], [5, 5], [0, 3]]
    assert pooled(states, lengths, "lasttoken").tolist() == [[3, 4], [5, 5], [6, 0]]
    assert pooled(states, lengths, "mean").tolist() == [[2, 2], [5, 5], [2, 3]]


def test_means_are_taken_in_float32() -> None:
    """In bfloat16, 256 + 1 is 256: the sum would stay there."""
    states = torch.ones(1000, 1, dtype=torch.bfloat16)
    states[0] = 256
    mean = pooled(states, np.array([1000], dtype=np.int32), "mean")
    assert mean.dtype == torch.float32
    assert mean.item() == pytest.approx((256 + 999) / 1000)


QUESTIONS = [
    "",
    "a",
    "Granite is a coarse-grained igneous rock, rich in quartz and in alkali feldspar.",
    "the quick brown fox jumps over the lazy dog, " * 60,
    "日本語 и кириллица, عربي",
]
PLAIN = Instruction(None, "")


def both_ways(
    wrapper: Any, rows: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The vectors of QUESTIONS with padding and without."""
    backend = SentenceTransformersBackend(wrapper)
    tokens = backend.tokenize(QUESTIONS, PLAIN)
    unpadded = UnpaddedSentenceTransformer(wrapper.model)
    return backend.encode(tokens, rows, PLAIN), unpadded.encode(tokens, rows)


def test_vectors_of_a_real_model_are_those_with_padding(minilm: Any) -> None:
    """all-MiniLM-L6-v2, texts of 2 to 256 tokens, in the order asked for."""
    assert UnpaddedSentenceTransformer.supports(minilm.model) is None
    padded, unpadded = both_ways(minilm, np.array([3, 0, 2, 4, 1]))
    assert unpadded.dtype == np.float32
    assert unpadded.shape == padded.shape
    assert (padded * unpadded).sum(axis=1).min() >= 1 - 1e-6  # its vectors have norm 1
    assert np.abs(padded - unpadded).max() <= 1e-6


def with_modules(minilm: Any, *more: Any, pooling: str = "mean", **settings: Any) -> Any:
    """all-MiniLM-L6-v2 with other modules behind its encoder, on the same weights."""
    kind = type(minilm.model[1])
    return SentenceTransformer(
        modules=[minilm.model[0], kind(384, pooling_mode=pooling, **settings), *more],
        device="cpu",
    )


def dense(minilm: Any, **settings: Any) -> Any:
    """sentence-transformers' Dense to 16 dimensions."""
    from sentence_transformers.base.modules.dense import Dense

    torch.manual_seed(0)
    return Dense(384, 16, **settings)


@pytest.mark.parametrize("pooling", ["cls", "mean", "lasttoken"])
def test_each_pooling_and_what_follows_are_the_models_own(minilm: Any, pooling: str) -> None:
    """A projection, then norm 1; cut to 8 dimensions as the model says."""
    model = with_modules(minilm, dense(minilm), minilm.model[2], pooling=pooling)
    model.truncate_dim = 8
    rows = np.arange(len(QUESTIONS))
    wrapper = copy.copy(minilm)
    wrapper.model = model
    padded, unpadded = both_ways(wrapper, rows)
    assert unpadded.shape == (5, 8)
    assert np.abs(padded - unpadded).max() <= 1e-5


def test_a_projection_in_half_precision_gets_half_precision(minilm: Any) -> None:
    """The pooled vectors are float32; its weights here are not."""
    model = with_modules(minilm, dense(minilm))
    model[2].to(torch.bfloat16)
    tokens = SentenceTransformersBackend(minilm).tokenize(QUESTIONS, PLAIN)
    vectors = UnpaddedSentenceTransformer(model).encode(tokens, np.arange(5))
    assert vectors.dtype == np.float32
    full = with_modules(minilm, dense(minilm))
    expected = UnpaddedSentenceTransformer(full).encode(tokens, np.arange(5))
    assert disagreement(expected, vectors, torch.bfloat16) is None


def test_sentence_models_that_would_not_be_right_are_refused(minilm: Any) -> None:
    """Each with its reason."""

    def reason(model: Any, prompt: str = "") -> str:
        return UnpaddedSentenceTransformer.supports(model, prompt) or ""

    encoder_alone = SentenceTransformer(modules=[minilm.model[0]], device="cpu")
    assert reason(encoder_alone) == "its modules are Transformer"
    assert "max" in reason(with_modules(minilm, pooling="max"))
    assert "Linear" in reason(with_modules(minilm, torch.nn.Linear(384, 2)))
    elsewhere = dense(minilm, module_input_name="token_embeddings")
    assert "Dense" in reason(with_modules(minilm, elsewhere))
    without = with_modules(minilm, include_prompt=False)
    assert reason(without) == ""
    assert "prompt" in reason(without, "query: ")
    with pytest.raises(ValueError, match="max"):
        UnpaddedSentenceTransformer(with_modules(minilm, pooling="max"))


def test_texts_without_ids_are_refused(minilm: Any) -> None:
    """They were only counted."""
    tokens: Tokens = counted(["a"], np.array([3], dtype=np.int32), None)
    with pytest.raises(ValueError, match="not tokenised"):
        UnpaddedSentenceTransformer(minilm.model).encode(tokens, np.array([0]))


def test_vectors_that_differ_by_rounding_agree() -> None:
    """And others do not: turned, longer, or not a number."""
    padded = np.array([[3.0, 4.0], [0.0, 2.0]], dtype=np.float32)
    assert disagreement(padded, padded * np.float32(1.00001), torch.float32) is None
    # A turn by 0.01 is a cosine of 1 - 5e-5.
    turned = padded + np.array([[-0.04, 0.03], [0, 0]], dtype=np.float32)
    assert "cosine" in (disagreement(padded, turned, torch.float32) or "")
    assert disagreement(padded, turned, torch.bfloat16) is None
    longer = padded * np.array([[1.0], [1.02]], dtype=np.float32)
    assert "2.00%" in (disagreement(padded, longer, torch.float16) or "")
    broken = padded.copy()
    broken[1] = np.nan
    assert disagreement(padded, broken, torch.float16) is not None
