"""
The texts that the evaluation of jobs will ask for, encoded before it.

What these texts are is not said again here: the evaluation itself asks for them, of an encoder
that writes down what it is asked. A retrieval task ends at its queries or pairs, which come last;
one of another type goes through to its end, over vectors that mean nothing.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoded, EncodedAhead, Encoder, Request
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.encoding.share import Share
from granite_bench.engine.form_loading import EngineOptions, free_memory, load_form
from granite_bench.engine.forms import Form
from granite_bench.engine.reranker import Reranker
from granite_bench.engine.vectors.vectors import ResidentVectors
from granite_bench.errors import TaskError, cause_of
from granite_bench.planning.plan import Job, Plan, all_parts, by_task
from granite_bench.rankings.first_stage import find_candidates
from granite_bench.results.store import ResultStore
from granite_bench.runner.task_scores import Draws, batches, candidates_for, evaluate
from granite_bench.tasks import Evaluation, sizes
from granite_bench.tasks.loaded import data_of

Say = Callable[[str], None]

PLACEHOLDER_DIM = 16

SHOWN_CHARACTERS = 60
"""Of a text in a message."""


@dataclass
class Filled:
    """
    What became of the vectors of one loaded model and its variants.

    Attributes:
        model: its name, of a variant that is alone with what makes it one.
        cost: of the texts encoded now.
        seconds: of reading, dividing and encoding, and of loading the model.
        share: how the work was divided; None where it was not.
        failures: what was not encoded, and why; the run goes for it again.
    """

    model: str
    cost: EncodingCost = field(default_factory=EncodingCost)
    seconds: float = 0.0
    share: Share | None = None
    failures: list[str] = field(default_factory=list)


def fill_store(
    plan: Plan,
    store: ResultStore,
    options: EngineOptions,
    *,
    number: int = 1,
    n_shares: int = 1,
    say: Say = lambda line: None,
) -> list[Filled]:
    """
    Encode what the runs of a plan will ask for, or one of several shares of it.

    Of one share, only texts of missing results are encoded. Several are cut from all parts of all
    jobs, stored or not, as another process may see other results; a model of which nothing is
    missing is left out.

    Args:
        options: *vectors* is where they go.
        number, n_shares: as for Share; each model is divided anew.
        say: told one line per event.

    Returns:
        One Filled per loaded model, in the plan's order. Never raises for a model that fails.
    """
    filled = []
    for jobs in plan.by_loaded_model:
        if all(job.done for job in jobs):
            say(f"{jobs[0].source.meta.name}: every result is there")
        elif n_shares == 1:
            waiting = [job for job in jobs if not job.done]
            filled.append(_filled(waiting, store, options, None, say))
        else:
            whole = [_whole(job) for job in jobs]
            filled.append(_filled(whole, store, options, Share(number, n_shares), say))
        free_memory()
    return filled


def _filled(
    jobs: Sequence[Job], store: ResultStore, options: EngineOptions, share: Share | None, say: Say
) -> Filled:
    """All jobs of one loaded model."""
    source = jobs[0].source
    alone = len(Plan(jobs).sources) == 1
    filled = Filled((source.name if alone else source.meta.name) or "", share=share)
    started = time.perf_counter()
    say(f"loading {filled.model}")
    try:
        form = load_form(source, options)
        requests = requests_of(form, jobs, store, say, filled.failures)
        if isinstance(form, DenseRetriever | Reranker):
            ahead = form.encoder.encode_ahead(requests, share=share)
            filled.cost = ahead.cost
            if ahead.n_not_finite:
                raise _not_finite(ahead)
        else:
            list(requests)  # it says that there are none
    except Exception as error:  # noqa: BLE001 (whatever it is, other models go on)
        filled.failures.append(f"{filled.model}: {cause_of(error, f'encoding {filled.model}')}")
        say(f"FAILED {filled.failures[-1]}")
    filled.seconds = time.perf_counter() - started
    return filled


def _not_finite(ahead: EncodedAhead) -> TaskError:
    text = ahead.first_not_finite
    first = f"{text[:SHOWN_CHARACTERS]!r}{'...' * (len(text) > SHOWN_CHARACTERS)}"
    return TaskError(
        f"{ahead.n_not_finite} embeddings contain NaN or infinity (first: of the text {first})\n"
        "  nothing of their shards was saved, and a run names the documents and queries; try "
        "--dtype float32"
    )


def requests_of(
    form: Form,
    jobs: Sequence[Job],
    store: ResultStore,
    say: Say = lambda line: None,
    failures: list[str] | None = None,
) -> Iterator[Request]:
    """
    The texts that the missing parts of jobs will have encoded, the largest task first.

    The data of a task are loaded when its first request is asked for, and go behind its last.

    Args:
        form: what evaluates; it is not changed. One that our engine does not drive has none.
        jobs: of the model in *form* and its variants.
        store: where the rankings of first stages are.
        say: told what is left to the run, and why.
        failures: where is added what could not be loaded or asked; the other tasks go on.
    """
    if not isinstance(form, DenseRetriever | Reranker):
        say(f"{form.mteb_model_meta.name} computes by itself: nothing to encode ahead of its run")
        return
    said: set[str] = set()

    def say_once(line: str) -> None:  # of each job, not of each of its parts
        if line not in said:
            said.add(line)
            say(line)

    for of_task in _largest_first(jobs):
        try:
            yield from _of_task(form, of_task, store, say_once)
        except Exception as error:  # noqa: BLE001 (whatever it is, other tasks go on)
            first = of_task[0]
            failure = f"{first}: {cause_of(error, f'encoding {first}')}"
            say(f"FAILED {failure}")
            if failures is not None:
                failures.append(failure)


def _of_task(
    form: DenseRetriever | Reranker, jobs: Sequence[Job], store: ResultStore, say: Say
) -> Iterator[Request]:
    """What variants of a model ask for in one task."""
    task = jobs[0].task
    missing = [each for each in all_parts(task) if any(each in job.missing for job in jobs)]
    draws = {id(job): Draws.of(task) for job in jobs}
    with data_of(task, missing):
        for part in batches(task, missing):
            asked: set[tuple[Evaluation, Hashable]] = set()
            for job in jobs:
                reads = _reads(job)
                own = [e for e in part if e in job.missing and (e, reads) not in asked]
                asked |= {(each, reads) for each in own}
                if own:
                    yield from _asked(form, job, own, store, draws[id(job)], say)


def _reads(job: Job) -> Hashable:
    """
    What of a job decides the texts of a part: in retrieval the candidates that it reranks; tasks
    of other types may draw theirs, and what they draw depends on the parts before.
    """
    if isinstance(job.task, AbsTaskRetrieval):
        return job.source.name if job.source.reranking is not None else ""
    return tuple(job.missing)


def _asked(
    form: DenseRetriever | Reranker,
    job: Job,
    part: Sequence[Evaluation],
    store: ResultStore,
    draws: Draws,
    say: Say,
) -> list[Request]:
    """What one evaluation asks for."""
    reranking = job.source.reranking
    if reranking is not None and any(
        find_candidates(store, reranking, job.task_name, each) is None for each in part
    ):
        first = reranking.first_stage.name
        say(f"{job}: left to the run; {first} has no ranking of it so far")
        return []
    recorder = _Recorder(form.encoder)
    asking: Any
    if isinstance(form, Reranker):
        asking = copy.copy(form)
        asking.encoder, asking.observations = recorder, []
    else:
        # Dense also where the model is sparse: only what is asked for matters.
        prompts = job.source.loading.prompts
        asking = DenseRetriever(form.model, encoder=cast("Encoder", recorder), prompts=prompts)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scores of vectors that mean nothing
            evaluate(asking, job, part, candidates_for(job, part, store), draws)
    except _EverythingAskedError:
        return recorder.requests
    except Exception as error:
        if not recorder.meaningless:
            raise
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        say(f"{job}: what it reads later is left to the run ({why})")
    # mteb goes through the columns of some tasks in the order of a set, another in each process.
    return sorted(
        recorder.requests,
        key=lambda each: (each.instruction.role or "", each.instruction.prompt, list(each.texts)),
    )


class _EverythingAskedError(Exception):
    """Ends an evaluation that has asked for its last texts."""


class _Recorder:
    """
    In the place of an Encoder: encodes nothing, and keeps what it was asked for.

    Attributes:
        requests: in the order of the calls.
        meaningless: whether it gave vectors that mean nothing.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.backend = encoder.backend
        self.requests: list[Request] = []
        self.meaningless = False

    def encode(
        self,
        texts: Iterable[Sequence[str]],
        instruction: Instruction,
        cost: EncodingCost,
        *,
        label: str,
    ) -> Encoded:
        """No vectors of documents, any vectors of texts; behind queries and pairs comes nothing."""
        self.requests.append(Request(texts, instruction))
        if label in ("queries", "pairs"):
            raise _EverythingAskedError
        n_texts = 0
        if label == "texts":
            self.meaningless = True
            n_texts = sum(map(len, texts))
        vectors = np.random.default_rng(0).standard_normal((n_texts, PLACEHOLDER_DIM), np.float32)
        return Encoded(ResidentVectors(vectors), np.arange(n_texts))


def _largest_first(jobs: Sequence[Job]) -> list[list[Job]]:
    """
    The jobs of each task together; tasks by their documents, those of unknown size last.

    The end of the work should be small: a cluster waits for it with most of its workers idle.
    """
    return sorted(by_task(jobs).values(), key=lambda group: -max(job.n_docs or 0 for job in group))


def _whole(job: Job) -> Job:
    """The job with all its parts, whatever results are there: the same in every process."""
    parts = all_parts(job.task)
    if job.missing == parts:
        return job
    known = sizes(job.task)
    n_docs = sum(known[each][0] for each in parts) if known.keys() >= set(parts) else None
    return replace(job, missing=parts, n_docs=n_docs)
