"""What mteb knows of tasks: their type, and their data set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from granite_bench.mteb_registry import kept_registry

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
    kept = kept_registry("tasks", FORMAT_VERSION, _read_registry)
    return {name: TaskFacts(**facts) for name, facts in kept.items()}


def _read_registry() -> dict[str, Any]:
    from mteb.get_tasks import TASK_LIST

    facts = {
        task.metadata.name: TaskFacts(
            type=task.metadata.type,
            dataset=(task.metadata.dataset or {}).get("path", ""),
        )
        for task in TASK_LIST
    }
    return {name: asdict(each) for name, each in facts.items()}
