"""A task for a while: with some of its splits and subsets alone, and with their data in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.tasks import Evaluation


@contextlib.contextmanager
def narrowed(task: AbsTask, part: Sequence[Evaluation]) -> Iterator[None]:
    """The task with the splits and subsets of *part* alone."""
    subsets, splits = task.hf_subsets, list(task.eval_splits)
    task.hf_subsets = [subset for subset in subsets if subset in {subset for _, subset in part}]
    task.filter_eval_splits([split for split in splits if split in {split for split, _ in part}])
    try:
        yield
    finally:
        task.hf_subsets = subsets
        task.filter_eval_splits(splits)


@contextlib.contextmanager
def data_of(task: AbsTask, part: Sequence[Evaluation]) -> Iterator[None]:
    """The task with the data of *part* in memory, and without any afterwards."""
    try:
        with narrowed(task, part):
            task.load_data()
        if isinstance(task, AbsTaskRetrieval):
            task.convert_v1_dataset_format_to_v2(num_proc=None)
        yield
    finally:
        # Not unload_data: that also forgets that the data lie in a mirror.
        task.dataset, task.data_loaded = None, False
