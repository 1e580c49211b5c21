"""
A printed column -> the quantity it names: one task's score, a mean of several, a model's size.

Quantities are values: two columns that name the same thing are equal, which is how a printed
average finds the cells it is made of, and a cell its twins in other tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

Variant: TypeAlias = tuple[tuple[str, str], ...]
"""Settings that make a variant of a model, such as (("embed_dim", "512"),)."""


@dataclass(frozen=True)
class TaskScore:
    """
    One task's score, as mteb makes it: the mean of a metric over splits and subsets.

    Attributes:
        splits, subsets: what counts; empty takes what the result file has.
        parts: tasks whose mean stands in where the task has no result of its own.
        related: tasks that are near but not the same, such as one of hard negatives.
    """

    task: str
    metric: str
    splits: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    variant: Variant = ()
    related: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Mean:
    """The plain mean of its parts; *name* is what messages call it."""

    name: str = field(compare=False)
    parts: tuple[Quantity, ...]


@dataclass(frozen=True)
class Gap:
    """
    The value of *quantity* less that of *other*, in points.

    Attributes:
        other_model: whose value is taken away; empty for the same model.
    """

    quantity: Quantity
    other: Quantity
    other_model: str = ""


@dataclass(frozen=True)
class Fact:
    """What mteb's metadata says of a model: parameters, embedding size, maximum length."""

    name: str


@dataclass(frozen=True)
class NoRaw:
    """Something that has no public raw result; *reason* says why."""

    column: str
    reason: str = field(compare=False)


Quantity: TypeAlias = TaskScore | Mean | Gap | Fact | NoRaw


def leaves(quantity: Quantity) -> tuple[TaskScore, ...]:
    """The tasks of a task or of a mean; empty when anything else is in it."""
    if isinstance(quantity, TaskScore):
        return (quantity,)
    if not isinstance(quantity, Mean):
        return ()
    found = [leaves(part) for part in quantity.parts]
    return tuple(leaf for part in found for leaf in part) if all(found) else ()


def with_variant(quantity: Quantity, variant: Variant) -> Quantity:
    """The same of a variant of the model."""
    if isinstance(quantity, TaskScore):
        return replace(quantity, variant=variant)
    if isinstance(quantity, Mean):
        return replace(quantity, parts=tuple(with_variant(p, variant) for p in quantity.parts))
    return quantity


def mean_of(name: str, parts: Sequence[Quantity]) -> Quantity:
    """The mean of *parts*; of a single one, that one."""
    return parts[0] if len(parts) == 1 else Mean(name, tuple(parts))


def without(mean: Mean, part: Quantity) -> Mean:
    """The mean of the other parts."""
    return replace(mean, parts=tuple(other for other in mean.parts if other != part))


def parts_of(quantity: Quantity) -> tuple[Quantity, ...]:
    """
    What a mean is made of: its parts, or the subsets of a task that has several.

    A task's subsets have the same splits each, so that the mean over them is the task's score.
    """
    if isinstance(quantity, Mean):
        return quantity.parts
    if isinstance(quantity, TaskScore) and len(quantity.subsets) > 1:
        return tuple(replace(quantity, subsets=(subset,)) for subset in quantity.subsets)
    return ()
