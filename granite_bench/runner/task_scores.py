"""mteb's scores of a task, part by part, of a model in its form."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mteb
import numpy as np
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.results import TaskResult

from granite_bench.engine.forms import Form
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.scoring import scored_over_arrays
from granite_bench.planning.plan import Job
from granite_bench.rankings.first_stage import require_candidates, reranking_of
from granite_bench.rankings.ranking import Candidates
from granite_bench.results.store import ResultStore
from granite_bench.tasks import Evaluation
from granite_bench.tasks.loaded import narrowed


@dataclass(frozen=True)
class Draws:
    """
    What a task draws samples with, as clustering does; mteb's tasks have one for all their life.

    Every model and variant has its own, from the task's seed: it then draws what it would draw
    alone, whatever was evaluated before it.
    """

    rng_state: random.Random
    np_rng: np.random.Generator

    @classmethod
    def of(cls, task: AbsTask) -> Draws:
        """As a new task has them (mteb's AbsTask)."""
        return cls(random.Random(task.seed), np.random.default_rng(task.seed))


def batches(task: AbsTask, missing: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """
    What is evaluated in one call of mteb.

    A retrieval subset at a time, so that only one run is in memory; other types (bitext mining
    looks at all subsets together) a split at a time.
    """
    if isinstance(task, AbsTaskRetrieval):
        return [[evaluation] for evaluation in missing]
    splits = dict.fromkeys(split for split, _ in missing)
    return [[(s, subset) for s, subset in missing if s == split] for split in splits]


def candidates_for(
    job: Job, part: Sequence[Evaluation], store: ResultStore
) -> dict[Evaluation, Candidates]:
    """What a reranker reorders; nothing where the model searches, or the task has its own."""
    reranking = job.source.reranking
    if reranking is None:
        return {}
    return require_candidates(store, reranking, job.task_name, part)


def evaluate(
    form: Form,
    job: Job,
    part: Sequence[Evaluation],
    candidates: Mapping[Evaluation, Candidates],
    draws: Draws,
) -> TaskResult:
    """
    mteb's own scores of one part of a task, whose data are loaded.

    Args:
        form: the model, in the variant that *job* asks for.
        part: of the splits and subsets of the job's task.
        candidates: from candidates_for.
        draws: of this job, part after part.

    Raises:
        TaskError: a reranker and a task with nothing to rerank; and whatever model and task raise.
    """
    task = job.task
    task.rng_state, task.np_rng = draws.rng_state, draws.np_rng
    model: Any = form
    if isinstance(form, ObservedSearch) and not isinstance(task, AbsTaskRetrieval):
        model = form.model
    reranked: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if job.source.meta.is_cross_encoder:
        reranked = reranking_of(task, job.source.reranking, candidates)
    with narrowed(task, part), reranked, scored_over_arrays():
        results = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return results.task_results[0]
