"""
What mteb knows of tasks: their type, and their data set.

Importing mteb takes seconds, so its registry is read once per version of mteb and kept in the
cache, as that of models is (see model_facts).
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version

from granite_bench.errors import StorageError
from granite_bench.files import cache_folder, write_atomically

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TaskFacts:
    """
    One task.

    Attributes:
        type: mteb's, such as Retrieval.
        dataset: its id on the hub; empty for an aggregate, whose parts have one each.
    """

    type: str
    dataset: str


def task_facts(task: str) -> TaskFacts | None:
    """What is known of a task; None for one that mteb does not have, such as a user's own."""
    return _registry().get(task)


@cache
def _registry() -> dict[str, TaskFacts]:
    path = cache_folder() / f"tasks-{FORMAT_VERSION}-mteb-{version('mteb')}.json"
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = {name: asdict(facts) for name, facts in _read_registry().items()}
        try:
            write_atomically(path, json.dumps(kept).encode())
        except StorageError as error:
            logger.warning("%s", error)
    return {name: TaskFacts(**facts) for name, facts in kept.items()}


def _read_registry() -> dict[str, TaskFacts]:
    from mteb.get_tasks import TASK_LIST

    return {
        task.metadata.name: TaskFacts(
            type=task.metadata.type,
            dataset=(task.metadata.dataset or {}).get("path", ""),
        )
        for task in TASK_LIST
    }
