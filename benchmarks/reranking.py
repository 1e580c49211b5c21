"""
A cross-encoder made here, over a first stage's top 20: what it gains, and how fast it is scored.

    python benchmarks/reranking.py --mirror FOLDER [--save DIR | --model DIR] [--repeats 2]

No weights of a reranker are needed: one is trained from all-MiniLM-L6-v2 on XQuAD en, which
FOLDER has as mteb/XQuADRetrieval. The documents are halved by chance. The queries of one half
train the model, each with its document against others of the first stage's top 20; some queries
of the other half, whose documents it never saw as an answer, are reranked.

    quality   nDCG@10 of the first stage, reranked, and with the candidates ideally ordered
    speed     pairs per second beside mteb's own path (mteb.evaluate of the CrossEncoder), in turns,
              on the first --timed of these queries; and the largest difference of their scores

--save keeps the trained model, --model takes it and trains nothing. --bfloat16 trains in half
precision, faster where the CPU computes in it; pairs are scored in float32 in any case.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import MINILM, _cpu, _keep_data, _model, _retriever

SUBSET, SPLIT = "en", "validation"
TOP_K = 20
QUERIES_PER_STEP = 8
NEGATIVES = 2
TRAINING_TOKENS = 192
LEARNING_RATE = 1e-4
SEED = 0

Ranking = Mapping[str, Mapping[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--timed", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRANITE_BENCH_CACHE"] = tempfile.mkdtemp()
    print(f"{_cpu()}, {os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} before\n")

    from granite_bench.tasks import find_task, restrict

    task = restrict(find_task("XQuADRetrieval", mirror=options.mirror), subsets=[SUBSET])
    _keep_data(task)
    predictions = Path(tempfile.mkdtemp())
    found = _first_stage(task, predictions)
    training, held_out = _halves(task)
    folder = options.model or options.save or Path(tempfile.mkdtemp())
    if options.model is None:
        started = time.perf_counter()
        _train(folder, list(_examples(task, training, found)), options.epochs, options.bfloat16)
        minutes = (time.perf_counter() - started) / 60
        print(
            f"trained on {len(training)} queries, {options.epochs} epochs, {minutes:.1f} minutes\n"
        )
    task.convert_to_reranking(predictions, top_k=TOP_K)
    wrapper = _cross_encoder(folder)
    _narrow(task, held_out[: options.queries])
    _quality(wrapper, task, found)
    _narrow(task, held_out[: options.timed])
    _speed(wrapper, task, options.repeats)
    print(f"\nload average {os.getloadavg()[0]:.1f} after")


def _first_stage(task: Any, predictions: Path) -> Ranking:
    """all-MiniLM-L6-v2's ranking of all queries, also where convert_to_reranking looks for it."""
    import mteb

    retriever = _retriever(_model())
    mteb.evaluate(
        retriever, task, cache=None, co2_tracker=False, show_progress_bar=False,
        prediction_folder=predictions,
    )  # fmt: skip
    run: Ranking = retriever.observations[-1].run
    return run


def _data(task: Any) -> dict[str, Any]:
    data: dict[str, Any] = task.dataset[SUBSET][SPLIT]
    return data


def _halves(task: Any) -> tuple[list[str], list[str]]:
    """The queries of one half of the documents, and those of the other; each in random order."""
    rng = random.Random(SEED)
    answers = {
        query: max(docs, key=docs.get) for query, docs in _data(task)["relevant_docs"].items()
    }
    documents = sorted(set(answers.values()))
    rng.shuffle(documents)
    half = set(documents[: len(documents) // 2])
    queries = sorted(answers)
    rng.shuffle(queries)
    return [q for q in queries if answers[q] in half], [
        q for q in queries if answers[q] not in half
    ]


def _narrow(task: Any, queries: Sequence[str]) -> None:
    data, kept = _data(task), set(queries)
    data["queries"] = data["queries"].filter(lambda row: row["id"] in kept)
    data["relevant_docs"] = {q: docs for q, docs in data["relevant_docs"].items() if q in kept}


def _examples(
    task: Any, queries: Sequence[str], found: Ranking
) -> Iterator[tuple[str, str, list[str]]]:
    """Each query with its document, and with the wrong ones of the first stage's top 20."""
    data = _data(task)
    documents = dict(zip(data["corpus"]["id"], data["corpus"]["text"], strict=True))
    texts = dict(zip(data["queries"]["id"], data["queries"]["text"], strict=True))
    for query in queries:
        relevant = data["relevant_docs"][query]
        candidates = list(found[query])[:TOP_K]
        wrong = [documents[doc] for doc in candidates if doc not in relevant]
        yield texts[query], documents[max(relevant, key=relevant.get)], wrong


def _train(
    folder: Path, examples: list[tuple[str, str, list[str]]], epochs: int, bfloat16: bool
) -> None:
    """A cross-encoder that puts the right one of 1 + NEGATIVES documents first."""
    import torch
    from tqdm import tqdm
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from granite_bench.models import find_model

    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    base = find_model(MINILM).folder
    tokenizer = AutoTokenizer.from_pretrained(base, model_max_length=512)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    # Vectors of words stay as they are: a few hundred queries name a few of 30,000.
    model.base_model.embeddings.requires_grad_(False)
    steps = epochs * -(-len(examples) // QUERIES_PER_STEP)
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], lr=LEARNING_RATE
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=steps, pct_start=0.1
    )
    model.train()
    for epoch in range(epochs):
        losses = []
        rng.shuffle(examples)
        starts = range(0, len(examples), QUERIES_PER_STEP)
        for start in tqdm(starts, desc=f"epoch {epoch + 1}", leave=False):
            batch = examples[start : start + QUERIES_PER_STEP]
            pairs = [
                (query, document)
                for query, right, wrong in batch
                for document in [right, *rng.sample(wrong, NEGATIVES)]
            ]
            features = tokenizer(
                *map(list, zip(*pairs, strict=True)),
                padding=True, truncation=True, max_length=TRAINING_TOKENS, return_tensors="pt",
            )  # fmt: skip
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                scores = model(**features).logits.float().reshape(len(batch), 1 + NEGATIVES)
            loss = torch.nn.functional.cross_entropy(scores, torch.zeros(len(batch)).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        last = statistics.mean(losses[-20:])
        print(f"epoch {epoch + 1}: loss {last:.3f} over the last 20 steps", flush=True)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _cross_encoder(folder: Path) -> Any:
    from mteb.models import CrossEncoderWrapper, ModelMeta

    wrapper = CrossEncoderWrapper(str(folder), device="cpu")
    wrapper.mteb_model_meta = ModelMeta.create_empty(
        overwrites={"name": "local/reranker", "revision": "1", "model_type": ["cross-encoder"]}
    )
    return wrapper


def _reranker(wrapper: Any) -> Any:
    from granite_bench.engine.form_loading import TOKEN_BUDGET_CPU
    from granite_bench.engine.reranker import reranker_for

    options = {"store_folder": None, "token_budget": TOKEN_BUDGET_CPU}
    return reranker_for(wrapper, identity={"model": "local/reranker"}, encoder_options=options)


def _evaluate(model: Any, task: Any, predictions: Path | None = None) -> float:
    import mteb

    results = mteb.evaluate(
        model, task, cache=None, co2_tracker=False, show_progress_bar=False,
        prediction_folder=predictions,
    )  # fmt: skip
    score: float = results.task_results[0].scores[SPLIT][0]["ndcg_at_10"]
    return score


def _quality(wrapper: Any, task: Any, found: Ranking) -> None:
    from granite_bench.engine.scoring import retrieval_scores
    from granite_bench.engine.search.run import Run

    data = _data(task)
    qrels = data["relevant_docs"]
    top = {query: dict(list(found[query].items())[:TOP_K]) for query in qrels}
    ideal = {q: {doc: float(qrels[q].get(doc, 0)) for doc in docs} for q, docs in top.items()}
    first, ceiling = (
        retrieval_scores(Run.from_dicts(run), qrels, [10]).ndcg["NDCG@10"] for run in (top, ideal)
    )
    reranker = _reranker(wrapper)
    reranker.measure_latency = True
    score = _evaluate(reranker, task)
    seen = reranker.observations[-1]
    cost, latency = seen.pairs, statistics.median(seen.query_seconds)
    print(
        f"{len(qrels)} queries, {cost.n_pairs:,} pairs of {cost.n_tokens / cost.n_scored:.0f} ",
        end="",
    )
    print(f"tokens, {cost.n_truncated} of them truncated\n")
    print("| | nDCG@10 |\n| :--- | ---: |")
    print(f"| first stage | {100 * first:.2f} |\n| reranked | {100 * score:.2f} |")
    print(f"| candidates ideally ordered | {100 * ceiling:.2f} |\n")
    print(f"{cost.n_scored / cost.score_seconds:.0f} pairs/s; padding factor ", end="")
    print(f"{cost.n_tokens_padded / cost.n_tokens:.2f}; one query of {TOP_K} pairs takes ", end="")
    print(f"{latency:.2f} s (median of {len(seen.query_seconds)})\n", flush=True)


def _speed(wrapper: Any, task: Any, repeats: int) -> None:
    import json

    seconds: dict[str, list[float]] = {"mteb": [], "ours": []}
    scores: dict[str, float] = {}
    rankings: dict[str, Any] = {}
    for turn in range(repeats + 1):
        for name in seconds:
            folder = Path(tempfile.mkdtemp())
            model = wrapper if name == "mteb" else _reranker(wrapper)
            started = time.perf_counter()
            scores[name] = _evaluate(model, task, folder)
            if turn:
                seconds[name].append(time.perf_counter() - started)
            file = folder / task.prediction_file_name
            rankings[name] = json.loads(file.read_text())[SUBSET][SPLIT]
    n_pairs = sum(map(len, rankings["ours"].values()))
    largest = max(
        abs(score - rankings["mteb"][query][doc])
        for query, ranking in rankings["ours"].items()
        for doc, score in ranking.items()
    )
    theirs, ours = (statistics.median(seconds[name]) for name in ("mteb", "ours"))
    print(f"{len(rankings['ours'])} queries, {n_pairs:,} pairs; medians of {repeats}\n")
    print("| way | seconds | pairs/s | nDCG@10 |\n| :--- | ---: | ---: | ---: |")
    for name, value in (("mteb", theirs), ("ours", ours)):
        print(f"| {name} | {value:.1f} | {n_pairs / value:.0f} | {100 * scores[name]:.3f} |")
    print(f"\n{theirs / ours:.2f} times as fast; largest difference of a score {largest:.1e}")


if __name__ == "__main__":
    main()
