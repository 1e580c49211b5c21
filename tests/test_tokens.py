"""Token ids made a shard at a time, against those that transformers makes of the same texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from granite_bench.engine.backends import tokens as tokens_module
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import inputs_of_texts
from granite_bench.engine.backends.tokens import FastTokenizer, Tokens, counted, estimated

LINES = [
    "The quick brown fox jumps over the lazy dog and then lies down in the shade of a tree.",
    "Granite is a coarse-grained igneous rock, rich in quartz and in alkali feldspar.",
    "def f(x):\n    return {'a': [x ** 2, None]}  # 0x1F\n",
    "Donaudampfschifffahrtsgesellschaftskapitän, Überseequartier, Straße",
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏",
    "0123456789 31415926535 27182818284 ---------------- ================ aaaaaaaaaaaaaaaa",
] * 3

TEMPLATES = {
    "around": ("[CLS] $A [SEP]", ["[CLS]", "[SEP]"]),
    "at the end": ("$A [SEP]", ["[SEP]"]),
    "none": (None, []),
}


def wrapped(tokenizer: Tokenizer, template: str, **options: Any) -> PreTrainedTokenizerFast:
    """transformers' tokenizer around a Rust one, with special tokens as TEMPLATES says."""
    pattern, specials = TEMPLATES[template]
    if pattern:
        tokenizer.post_processor = TemplateProcessing(
            single=pattern, special_tokens=[(s, tokenizer.token_to_id(s)) for s in specials]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", **options
    )


PLAIN = Instruction(None, "")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def byte_level_bpe() -> Tokenizer:
    """As of GPT-2, trained here."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    """As of XLM-RoBERTa: spaces collapse to one, and stand as ▁ before a word."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": byte_level_bpe,
    "Unigram": unigram,
}


@pytest.fixture(scope="module", params=["WordPiece", *FAMILIES])
def family(request: pytest.FixtureRequest, minilm: Any) -> Callable[..., PreTrainedTokenizerFast]:
    """Makes tokenizers of one kind: the real model's, or one that was trained on LINES."""

    def make(template: str = "around", **options: Any) -> PreTrainedTokenizerFast:
        if request.param == "WordPiece":
            rust = Tokenizer.from_str(minilm.model.tokenizer.backend_tokenizer.to_str())
            rust.no_truncation()
            rust.no_padding()
            if TEMPLATES[template][0] is None:
                rust.post_processor = TemplateProcessing(single="$A", special_tokens=[])
        else:
            rust = Tokenizer.from_str(trained[request.param])
        return wrapped(rust, template, **options)

    trained = {name: make_one().to_str() for name, make_one in FAMILIES.items()}
    return make


RNG = np.random.default_rng(11)


def random_text(alphabet: str, n_characters: int) -> str:
    """Characters of an alphabet, evenly."""
    return "".join(RNG.choice(list(alphabet), size=n_characters))


SHORT_TEXTS = [
    "",
    " ",
    "a",
    "granite rock",
    "  two words\t",
    "日本語 и кириллица, عربي",
    "café cafe\u0301 ﬁne Å A\u030a",
    "👩\u200d👩\u200d👧 🇩🇪 👍🏽",
    "nul\x00 bell\x07 escape\x1b[0m del\x7f nbsp\xa0 zwsp\u200b bom\ufeff",
    "[CLS] text that [SEP] names special [PAD] tokens [UNK]",
    "one\r\ntwo\n\n\nthree\u2028four",
]

LONG_TEXTS = [
    "the quick brown fox jumps over the lazy dog, " * 900,
    "Donaudampfschifffahrtsgesellschaftskapitän" * 500,
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏" * 800,
    "👩\u200d👩\u200d👧 🇩🇪 👍🏽 " * 1500,
    "e\u0301\u0323 o\u0308\u0304 " * 2500,
    "\x00\x07text\x1b " * 2500,
    " " * 20_000 + "end",
    "start" + " " * 20_000,
    ("word" + " " * 40) * 700,
    "\t \n" * 5_000,
    random_text("abcdefghijklmnopqrstuvwxyz ", 20_000),
    random_text("0123456789abcdef", 20_000),
    random_text("ab \n-=0é天", 20_000),
    " ".join(random_text("abcdefghijklmnopqrstuvwxyz0123456789", 98) for _ in range(200)),
    " ".join(random_text("abcdefghijklmnopqrstuvwxyz0123456789", 250) for _ in range(80)),
    "word " * 20 + random_text("abcdefghijklmnopqrstuvwxyz0123456789", 20_000),
    "granite " * 3000,
]


RUNS = ["-" * 10_007, "a" * 10_001, "=" * 20_000 + "text " * 500, "\n" * 10_001, "ab" * 5_001]


def by_transformers(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int | None
) -> list[list[int]]:
    """What the tokenizer's own call makes of the texts."""
    found = tokenizer(
        list(texts), truncation=max_length is not None, max_length=max_length, padding=False
    )
    ids: list[list[int]] = found["input_ids"]
    return ids


def ids_of(tokens: Tokens) -> list[list[int]]:
    """The ids text by text."""
    assert tokens.ids is not None
    return [
        tokens.ids[start:end].tolist()
        for start, end in zip(tokens.starts[:-1], tokens.starts[1:], strict=True)
    ]


def assert_equal_ids(ours: list[list[int]], theirs: list[list[int]], texts: Sequence[str]) -> None:
    """Text by text, the text in the message."""
    assert len(ours) == len(theirs)
    for our, their, text in zip(ours, theirs, texts, strict=True):
        assert our == their, text[:60]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("max_length", [4, 5, 16, 64, 256, None])
def test_ids_are_those_of_transformers(
    family: Callable[..., PreTrainedTokenizerFast], template: str, max_length: int | None
) -> None:
    """With its truncation; special tokens around the text, behind it, or none."""
    tokenizer = family(template)
    texts = SHORT_TEXTS + (LONG_TEXTS if max_length is None else [])
    tokens = FastTokenizer(tokenizer, max_length).tokenize(texts, "")
    assert_equal_ids(ids_of(tokens), by_transformers(tokenizer, texts, max_length), texts)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("max_length", [4, 7, 16, 31, 64, 128, 256, 512])
def test_ids_of_texts_that_are_cut_are_those_of_the_whole_texts(
    family: Callable[..., PreTrainedTokenizerFast], template: str, max_length: int
) -> None:
    """20,000 characters with spaces, without, of many scripts, of one character alone."""
    tokenizer = family(template)
    fast = FastTokenizer(tokenizer, max_length)
    tokens = fast.tokenize(LONG_TEXTS, "")
    assert_equal_ids(ids_of(tokens), by_transformers(tokenizer, LONG_TEXTS, max_length), LONG_TEXTS)


@pytest.mark.parametrize("max_length", [4, 16, 128, 512])
def test_a_run_of_one_character_is_cut_without_a_trace(
    family: Callable[..., PreTrainedTokenizerFast], max_length: int
) -> None:
    """
    Unigram has many tilings of a run that are equally likely, and which it takes depends on how
    long the run is: a piece of 16 dashes and one of 7 may stand in either order.
    """
    tokenizer = family()
    tokens = FastTokenizer(tokenizer, max_length).tokenize(RUNS, "")
    assert_equal_ids(ids_of(tokens), by_transformers(tokenizer, RUNS, max_length), RUNS)


@pytest.mark.parametrize("max_length", [16, 128, 512])
def test_a_run_that_has_many_equal_tilings_is_cut_without_a_trace(max_length: int) -> None:
    """Pieces of 1, 2, 4 and 16 dashes: the rest of n / 16 stands before or behind the sixteens."""
    pieces = [(name, 0.0) for name in SPECIAL]
    pieces += [("▁", -2.0), ("-", -4.0), ("--", -4.5), ("-" * 4, -5.0), ("-" * 16, -6.0)]
    rust = Tokenizer(models.Unigram(pieces, unk_id=1))
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = wrapped(rust, "around")
    texts = ["-" * n for n in (10_000, 10_001, 10_003, 10_007)]
    tokens = FastTokenizer(tokenizer, max_length).tokenize(texts, "")
    assert_equal_ids(ids_of(tokens), by_transformers(tokenizer, texts, max_length), texts)


@pytest.mark.parametrize(
    ("max_length", "before"), [(16, "granite rock is " * 2), (64, "granite " * 51)]
)
def test_a_word_that_is_unknown_for_its_length_is_so_when_a_cut_goes_through_it(
    minilm: Any, max_length: int, before: str
) -> None:
    """
    WordPiece has one [UNK] for a word of more than 100 characters, and up to 100 pieces for what
    a cut leaves of it: more than the margin.
    """
    tokenizer = minilm.model.tokenizer
    word = "".join("zqxjkvwq"[n % 8] for n in range(5_000))
    cut = max_length * tokens_module.CUT_CHARACTERS_PER_TOKEN
    before = before.ljust(cut - 99)
    tokens = FastTokenizer(tokenizer, max_length).tokenize([before + word], "")
    [expected] = by_transformers(tokenizer, [before + word], max_length)
    assert tokenizer.unk_token_id in expected
    assert ids_of(tokens) == [expected]


@pytest.mark.parametrize("max_length", [4, 64, 256])
def test_the_prompt_is_read_before_the_text(
    family: Callable[..., PreTrainedTokenizerFast], max_length: int
) -> None:
    """As one text, for short and long texts; tokens.texts stay without it."""
    tokenizer = family()
    texts = ["", "granite", " rock", LONG_TEXTS[0]]
    tokens = FastTokenizer(tokenizer, max_length).tokenize(texts, "query: find")
    expected = by_transformers(tokenizer, ["query: find" + text for text in texts], max_length)
    assert ids_of(tokens) == expected
    assert tokens.texts == texts


def test_a_prompt_that_is_longer_than_the_model_reads_is_truncated(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """All texts are the same then, as with transformers."""
    tokenizer, prompt = family(), "a prompt of a good many words " * 50
    tokens = FastTokenizer(tokenizer, 16).tokenize(["one", "two"], prompt)
    assert ids_of(tokens) == by_transformers(tokenizer, [prompt + "one", prompt + "two"], 16)


def test_counts_are_before_and_lengths_after_truncation(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """Of texts that are not cut by characters, the tokens of the whole text."""
    tokenizer = family()
    tokens = FastTokenizer(tokenizer, 8).tokenize(SHORT_TEXTS, "")
    expected = [len(ids) for ids in by_transformers(tokenizer, SHORT_TEXTS, None)]
    assert tokens.counts.tolist() == expected
    assert tokens.lengths.tolist() == [min(count, 8) for count in expected]
    assert max(expected) > 8
    assert (tokens.counts.dtype, tokens.lengths.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("max_length", [4, 64, 512])
def test_counts_of_cut_texts_are_above_the_maximum(
    family: Callable[..., PreTrainedTokenizerFast], max_length: int
) -> None:
    """So that they count as truncated; texts that are read whole have their exact count."""
    tokenizer = family()
    tokens = FastTokenizer(tokenizer, max_length).tokenize(LONG_TEXTS, "")
    whole = np.array([len(ids) for ids in by_transformers(tokenizer, LONG_TEXTS, None)])
    assert ((tokens.counts > max_length) == (whole > max_length)).all()
    assert (tokens.counts[whole <= max_length] == whole[whole <= max_length]).all()
    assert (whole > max_length).any()


class Spy:
    """A Rust tokenizer that writes down how many characters it is given."""

    def __init__(self, rust: Tokenizer) -> None:
        self.rust = rust
        self.n_characters: list[list[int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rust, name)

    def encode_batch_fast(self, texts: list[str]) -> Any:
        """Write down and encode."""
        self.n_characters.append(list(map(len, texts)))
        return self.rust.encode_batch_fast(texts)


def spied(tokenizer: PreTrainedTokenizerFast, max_length: int | None) -> tuple[FastTokenizer, Spy]:
    """A FastTokenizer whose probes are over, and what it is asked from here on."""
    fast = FastTokenizer(tokenizer, max_length)
    fast.tokenize(["a " * 5 * 8 * (max_length or 1)], "")
    spy = Spy(fast._rust)
    fast._rust = spy
    return fast, spy


def test_overlong_texts_are_not_tokenised_to_their_end(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """A book of 400,000 characters of which the model reads 64 tokens: less than 5,000."""
    fast, spy = spied(family(), 64)
    fast.tokenize([LONG_TEXTS[0] * 10, "short"], "")
    assert sum(map(sum, spy.n_characters)) < 5_000


@pytest.mark.parametrize(
    "text",
    [("granite" + " " * 90) * 2_000, "internationally " * 9_000, ("a" * 120 + "\n") * 900],
    ids=["runs of spaces", "long words", "words too long to be known"],
)
def test_the_cut_moves_out_until_enough_tokens_are_before_it(minilm: Any, text: str) -> None:
    """
    In 64 x 8 characters are 8, 34 or 7 tokens of WordPiece, and 128 are asked for; each step
    goes farther, for the texts alone that need it, and the last does not read them to the end.
    """
    tokenizer = minilm.model.tokenizer
    fast, spy = spied(tokenizer, 64)
    other = "a fox " * 500
    tokens = fast.tokenize([text, other], "")
    assert ids_of(tokens) == by_transformers(tokenizer, [text, other], 64)
    assert len(spy.n_characters[0]) == 2
    assert [len(call) for call in spy.n_characters[1:]] == [1] * (len(spy.n_characters) - 1)
    read = [call[0] for call in spy.n_characters]
    assert len(read) > 1
    assert read == sorted(set(read))
    assert len(tokenizer.tokenize(text[: read[-2]])) + 2 < 128
    assert tokens.counts[0] >= 128
    assert read[-1] < len(text)


def test_texts_are_not_cut_without_a_maximum_length(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """Every token is read."""
    tokenizer = family()
    tokens = FastTokenizer(tokenizer, None).tokenize(LONG_TEXTS[:3], "")
    assert ids_of(tokens) == by_transformers(tokenizer, LONG_TEXTS[:3], None)
    assert tokens.lengths is tokens.counts


def test_no_texts_have_no_tokens(family: Callable[..., PreTrainedTokenizerFast]) -> None:
    """Empty arrays of the right types."""
    tokens = FastTokenizer(family(), 16).tokenize([], "query: ")
    assert tokens.ids is not None
    assert (len(tokens.counts), len(tokens.lengths), len(tokens.ids)) == (0, 0, 0)
    assert tokens.starts.tolist() == [0]


def test_the_models_own_truncation_is_in_force_again_afterwards(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """transformers sets it on each call, whatever a call of ours left behind."""
    tokenizer = family()
    texts = SHORT_TEXTS + LONG_TEXTS[:2]
    before = tokenizer(texts, truncation=True, max_length=16, padding=True)["input_ids"]
    FastTokenizer(tokenizer, 4).tokenize(texts, "")
    assert tokenizer(texts, truncation=True, max_length=16, padding=True)["input_ids"] == before


# Tokenizers for which ids may not be made this way.


def test_another_thread_that_uses_the_models_own_tokenizer_changes_no_ids(minilm: Any) -> None:
    """transformers pads and truncates on it meanwhile; ours is a copy."""
    tokenizer = minilm.model.tokenizer
    texts = [f"{'grey harbour ' * n} {n}" for n in range(40)]
    fast = FastTokenizer(tokenizer, 256)
    alone = fast.tokenize(texts, "")
    # What transformers leaves behind in the tokenizer between two of its own calls.
    tokenizer(texts, padding=True, truncation=True, max_length=8)
    encode_batch, other = fast._encode, tokenizer.backend_tokenizer

    def interrupted(batch: list[str]) -> list[list[int]]:
        other.enable_truncation(8)
        other.enable_padding()
        return encode_batch(batch)

    fast._encode = interrupted  # type: ignore[method-assign]
    meanwhile = fast.tokenize(texts, "")
    assert np.array_equal(alone.counts, meanwhile.counts)
    assert alone.ids is not None
    assert np.array_equal(alone.ids, meanwhile.ids)
    assert fast._rust is not other


def looking_ahead() -> Tokenizer:
    """Marks a text at its beginning by how it ends."""
    tokenizer = byte_level_bpe()
    tokenizer.normalizer = normalizers.Replace(Regex(r"\A\w(?=(?m:.*)[.] ?\z)"), "#")
    return tokenizer


def test_texts_are_never_cut_where_the_end_changes_the_beginning() -> None:
    """Probes find out; all ids are those of whole texts."""
    tokenizer = wrapped(looking_ahead(), "around")
    texts = ["word " * 2_000, "word " * 2_000 + "end."]
    first = {ids[1] for ids in by_transformers(tokenizer, texts, 16)}
    assert len(first) == 2
    fast = FastTokenizer(tokenizer, 16)
    assert ids_of(fast.tokenize(texts, "")) == by_transformers(tokenizer, texts, 16)
    spy = Spy(fast._rust)
    fast._rust = spy
    fast.tokenize(texts, "")
    assert spy.n_characters == [[len(text) for text in texts]]


class Preprocessing:
    """As much of a sentence-transformers model as makes inputs: its Transformer module's call."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length

    def preprocess(
        self, texts: list[str], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Prompt and text, truncated and padded."""
        encoded = self.tokenizer(
            [f"{prompt or ''}{text}" for text in texts],
            truncation="longest_first",
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        return dict(encoded)


PROMPTS = ["", "query: "]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("template", ["around", "at the end"])
@pytest.mark.parametrize("max_length", [8, 64])
def test_tokenizers_of_all_families_are_fast(
    family: Callable[..., PreTrainedTokenizerFast], template: str, max_length: int, prompt: str
) -> None:
    """The probes agree: so that the tests below can fail."""
    model = Preprocessing(family(template), max_length)
    assert inputs_of_texts(model, max_length, Instruction(None, prompt)) is not None


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_tokenizer_that_truncates_on_the_left_falls_back(
    family: Callable[..., PreTrainedTokenizerFast], prompt: str
) -> None:
    """Our ids would be the beginning of a text."""
    model = Preprocessing(family(truncation_side="left"), 64)
    assert inputs_of_texts(model, 64, Instruction(None, prompt)) is None


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_tokenizer_that_pads_on_the_left_is_fast(
    family: Callable[..., PreTrainedTokenizerFast], prompt: str
) -> None:
    """As decoders want it; the probes, of several lengths, stand at the right side."""
    model = Preprocessing(family(padding_side="left"), 64)
    assert inputs_of_texts(model, 64, Instruction(None, prompt)) is not None


def test_a_tokenizer_with_special_tokens_inside_falls_back(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """There is no telling which of the ids would survive truncation."""
    tokenizer = family()
    rust = tokenizer.backend_tokenizer
    rust.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP] $A [SEP]",
        special_tokens=[(name, rust.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    with pytest.raises(ValueError, match="special tokens stand between"):
        FastTokenizer(tokenizer, 64)
    assert inputs_of_texts(Preprocessing(tokenizer, 64), 64, PLAIN) is None


def test_a_tokenizer_without_rust_falls_back(minilm: Any) -> None:
    """Slow tokenizers of transformers are functions in Python."""

    class Slow(Preprocessing):
        """Its tokenizer has no backend_tokenizer."""

        def preprocess(self, texts: list[str], **kwargs: Any) -> dict[str, Any]:
            return {"input_ids": torch.zeros((len(texts), 3)), "attention_mask": torch.ones(1)}

    model = Slow(minilm.model.tokenizer, 64)
    assert inputs_of_texts(model, 64, PLAIN) is None
    model.tokenizer = list
    assert inputs_of_texts(model, 64, PLAIN) is None


def test_an_input_that_is_not_zero_falls_back(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """Token types of a second segment, or positions: a batch of ours would have zeros there."""

    class Typed(Preprocessing):
        """With token types of 1 where it has been told so."""

        value = 0

        def preprocess(self, texts: list[str], **kwargs: Any) -> dict[str, Any]:
            inputs = super().preprocess(texts, **kwargs)
            inputs["token_type_ids"] = torch.full_like(inputs["input_ids"], self.value)
            return inputs

    model = Typed(family(), 64)
    assert inputs_of_texts(model, 64, PLAIN) is not None
    model.value = 1
    assert inputs_of_texts(model, 64, PLAIN) is None


def test_a_model_that_changes_texts_falls_back(
    family: Callable[..., PreTrainedTokenizerFast],
) -> None:
    """As a chat template does, before the tokenizer sees them."""

    class Changing(Preprocessing):
        """Changes texts before the tokenizer sees them."""

        def preprocess(self, texts: list[str], **kwargs: Any) -> dict[str, Any]:
            return super().preprocess([f"{text}." for text in texts], **kwargs)

    assert inputs_of_texts(Changing(family(), 64), 64, PLAIN) is None


# Tokens by hand.


def some_tokens() -> Tokens:
    """Three texts of 3, 0 and 2 tokens."""
    lengths = np.array([3, 0, 2], dtype=np.int32)
    starts = np.array([0, 3, 3, 5], dtype=np.int64)
    ids = np.array([11, 12, 13, 21, 22], dtype=np.int32)
    return Tokens(["a", "", "b"], np.array([9, 0, 2], dtype=np.int32), lengths, ids, starts)


@pytest.mark.parametrize(
    ("rows", "ids", "mask"),
    [
        ([0, 2], [[11, 12, 13], [21, 22, 7]], [[1, 1, 1], [1, 1, 0]]),
        ([2, 0], [[21, 22, 7], [11, 12, 13]], [[1, 1, 0], [1, 1, 1]]),
        ([2], [[21, 22]], [[1, 1]]),
        ([1, 2], [[7, 7], [21, 22]], [[0, 0], [1, 1]]),
        ([1], [[7]], [[0]]),
        ([0, 0], [[11, 12, 13]] * 2, [[1, 1, 1]] * 2),
    ],
    ids=["in order", "in another order", "one", "an empty one", "only an empty one", "one twice"],
)
def test_batches_are_padded_right_to_their_longest_text(
    rows: list[int], ids: list[list[int]], mask: list[list[int]]
) -> None:
    """With 7 here, and the mask 0 where it stands; int64, as torch wants indices."""
    padded, attention = some_tokens().padded(np.array(rows), 7)
    assert (padded.tolist(), attention.tolist()) == (ids, mask)
    assert (padded.dtype, attention.dtype) == (np.int64, np.int64)


def test_texts_that_are_only_counted_cannot_be_padded() -> None:
    """Their model tokenises by itself."""
    tokens = counted(["a"], np.array([1], dtype=np.int32), None)
    with pytest.raises(ValueError, match="not tokenised"):
        tokens.padded([0], 0)


def test_counted_texts_are_read_up_to_the_maximum() -> None:
    """Counts stay as they are."""
    tokens = counted(["a", "b"], np.array([3, 9], dtype=np.int32), 5)
    assert (tokens.counts.tolist(), tokens.lengths.tolist()) == ([3, 9], [3, 5])
    assert tokens.ids is None


def test_tokens_are_estimated_from_characters_where_nothing_else_is_known() -> None:
    """Prompt and text, 4 characters a token, and one more: 0 -> 1, 2 + 6 -> 3, 2 + 38 -> 11."""
    tokens = estimated(["", "granit", "g" * 38], "", None)
    assert tokens.counts.tolist() == [1, 2, 10]
    tokens = estimated(["granit", "g" * 38], "q:", 5)
    assert (tokens.counts.tolist(), tokens.lengths.tolist()) == ([3, 11], [3, 5])
