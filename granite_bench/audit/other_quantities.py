"""
What else a printed value might be: a part of the task, another metric, revision, suite or model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from granite_bench.audit.cases import Case
from granite_bench.audit.matching import Match, Option, Scene, matching, scaled, shown
from granite_bench.audit.quantities import (
    Fact,
    Mean,
    Quantity,
    TaskScore,
    leaves,
    with_variant,
    without,
)
from granite_bench.audit.raw import RawResults, score_of
from granite_bench.tables.selection import EXTERNAL

_METRICS = (
    "main_score", "ndcg_at_1", "ndcg_at_3", "ndcg_at_5", "ndcg_at_20", "ndcg_at_100", "map_at_10",
    "map_at_100", "mrr_at_5", "mrr_at_10", "recall_at_5", "recall_at_10", "recall_at_100",
    "accuracy", "f1", "cosine_ap", "max_ap", "cosine_spearman", "cosine_pearson",
)  # fmt: skip
_RAW_ROUNDING = 1e-5  # of scores in result files
_MAX_SUBSETS = 20  # of more, some subset nearly always fits


def part_only(case: Case, scene: Scene) -> Iterator[Match]:
    """One split or some subsets of a task, alone or within an average."""
    options: list[Option] = []
    for leaf in leaves(case.quantity):
        for key, other, text in _parts(leaf, case, scene):
            value = scaled(case, scene.raw.value(case.model, _with(case.quantity, leaf, other)))
            inside = f"{leaf.task}: " if isinstance(case.quantity, Mean) else ""
            options.append((key, value, f"{inside}{text} ({shown(case, value)})"))
    yield from matching("part_only", case, options)


def _with(quantity: Quantity, leaf: TaskScore, other: Quantity) -> Quantity:
    if isinstance(quantity, Mean):
        parts = tuple(_with(part, leaf, other) for part in quantity.parts)
        return replace(quantity, parts=parts)
    return other if quantity == leaf else quantity


def _parts(
    leaf: TaskScore, case: Case, scene: Scene
) -> Iterator[tuple[tuple[str, ...], TaskScore, str]]:
    sources = scene.raw.value(case.model, leaf).sources
    if not sources or sources[0].task != leaf.task:
        return
    splits = tuple(sources[0].scores)
    subsets = leaf.subsets or tuple(dict.fromkeys(s for e in sources[0].scores.values() for s in e))
    for split in splits:
        if (split,) != leaf.splits and len({*splits, *leaf.splits}) > 1:
            yield ("split", split), replace(leaf, splits=(split,)), f"the split {split} alone"
    if len(splits) > 1 and set(splits) != set(leaf.splits or splits):
        yield ("splits",), replace(leaf, splits=splits), f"the mean of {' and '.join(splits)}"
    if len(subsets) < 2:
        return
    pairs = {subset: re.fullmatch(r"(\w+)-(\w+)", subset) for subset in subsets}
    if all(pairs.values()):
        same = tuple(subset for subset, pair in pairs.items() if pair and pair[1] == pair[2])
        cross = tuple(subset for subset in subsets if subset not in same)
        for label, chosen in (("monolingual", same), ("cross-lingual", cross)):
            if chosen and len(chosen) < len(subsets):
                yield (label,), replace(leaf, subsets=chosen), f"the {label} pairs alone"
    if len(subsets) <= _MAX_SUBSETS and isinstance(case.quantity, TaskScore):
        for subset in subsets:
            one = replace(leaf, subsets=(subset,))
            yield ("subset", subset), one, f"the subset {subset} alone"


def another_metric(case: Case, scene: Scene) -> Iterator[Match]:
    """The same tasks by another metric or with another cut-off."""
    options: list[Option] = []
    for metric in _METRICS:
        other = _by_metric(case.quantity, metric)
        if other is not None and other != case.quantity:
            value = scaled(case, scene.raw.value(case.model, other))
            options.append((("metric", metric), value, f"{metric} ({shown(case, value)})"))
    yield from matching("another_metric", case, options)


def _by_metric(quantity: Quantity, metric: str) -> Quantity | None:
    if isinstance(quantity, TaskScore):
        return replace(quantity, metric=metric)
    if isinstance(quantity, Mean):
        parts = [_by_metric(part, metric) for part in quantity.parts]
        found = tuple(part for part in parts if part is not None)
        return replace(quantity, parts=found) if len(found) == len(parts) else None
    return None


def another_revision(case: Case, scene: Scene) -> Iterator[Match]:
    """Another revision's result, one that others reported, or a variant of the model."""
    found = leaves(case.quantity)
    options: list[Option] = []
    used = {source.revision for source in case.value.sources}
    revisions = {
        result.revision
        for leaf in found
        for result in scene.raw.results(case.model, leaf.task, leaf.variant)
    }
    for revision in sorted(revisions):
        if isinstance(case.quantity, TaskScore) and revision in used:
            continue
        values = [_of_revision(case.model, leaf, revision, scene.raw) for leaf in found]
        value = _mean_as(case.quantity, found, values)
        name = "reported by others (external)" if revision == EXTERNAL else revision[:12]
        text = f"another revision: {name} ({shown(case, value and value * case.scale)})"
        options.append((("revision", revision), value and value * case.scale, text))
    for variant in scene.raw.variants(case.model) if found else ():
        value = scaled(case, scene.raw.value(case.model, with_variant(case.quantity, variant)))
        named = ", ".join(f"{key}={setting}" for key, setting in variant)
        options.append((("variant", named), value, f"run with {named} ({shown(case, value)})"))
    options += _aggregates(case, scene)
    yield from matching("another_revision", case, options)


def _aggregates(case: Case, scene: Scene) -> Iterator[Option]:
    """A task of parts that has a result of its own, made of its parts instead."""
    for leaf in leaves(case.quantity):
        own = scene.raw.value(case.model, replace(leaf, parts=())).value if leaf.parts else None
        if own is None:
            continue
        parts = Mean("", tuple(replace(leaf, task=part, parts=()) for part in leaf.parts))
        value = scaled(case, scene.raw.value(case.model, _with(case.quantity, leaf, parts)))
        text = f"{leaf.task} as the mean of its {len(leaf.parts)} parts ({shown(case, value)})"
        for name, part in zip(leaf.parts, parts.parts, strict=True):
            fewer = scene.raw.value(case.model, without(parts, part)).value
            if fewer is not None and abs(fewer - own) < _RAW_ROUNDING:
                text += f"; its own result lacks {name}"
        yield ("parts", leaf.task), value, text


def _of_revision(model: str, leaf: TaskScore, revision: str, raw: RawResults) -> float | None:
    """The task's score by this revision, and the usual one where the revision has none."""
    for result in raw.results(model, leaf.task, leaf.variant):
        if result.revision == revision and (value := score_of(result, leaf).value) is not None:
            return value
    return raw.value(model, leaf).value


def _mean_as(
    quantity: Quantity, found: Sequence[TaskScore], values: Sequence[float | None]
) -> float | None:
    known = dict(zip(found, values, strict=True))

    def mean(part: Quantity) -> float | None:
        if isinstance(part, TaskScore):
            return known.get(part)
        inner = [mean(each) for each in part.parts] if isinstance(part, Mean) else []
        there = [value for value in inner if value is not None]
        return sum(there) / len(there) if there and len(there) == len(inner) else None

    return mean(quantity)


def another_suite(case: Case, scene: Scene) -> Iterator[Match]:
    """Another average of a similar name."""
    options: list[Option] = []
    for name in case.columns.family(case.cell.column):
        value = scaled(case, scene.raw.value(case.model, case.columns.resolve(name, "mean")))
        options.append((("suite", name), value, f"the {name} ({shown(case, value)})"))
    if isinstance(case.quantity, Fact) and case.quantity.name == "parameters":
        whole, active = (
            scene.raw.value(case.model, Fact(name)).value
            for name in ("parameters", "active_parameters")
        )
        if whole is not None and active is not None:
            options += [
                (("active",), active * case.scale, "the active parameters"),
                (("inner",), (whole - active) * case.scale, "the parameters in embeddings alone"),
            ]
    yield from matching("another_suite", case, options)


def related_task(case: Case, scene: Scene) -> Iterator[Match]:
    """A task of a similar name, itself or in its place in an average."""
    options: list[Option] = []
    found = leaves(case.quantity)
    there = {leaf.task for leaf in found}
    for leaf in found:
        for name in leaf.related:
            if name in there:
                continue  # it counts already
            other = TaskScore(name, leaf.metric, (), leaf.subsets, (), leaf.variant)
            value = scaled(case, scene.raw.value(case.model, _with(case.quantity, leaf, other)))
            text = f"{name} in place of {leaf.task} ({shown(case, value)})"
            options.append((("related", name), value, text))
    yield from matching("related_task", case, options)


def another_model(case: Case, scene: Scene) -> Iterator[Match]:
    """The same quantity of another model that has results."""
    options: list[Option] = []
    for model in scene.models:
        if model != case.model:
            value = scaled(case, scene.raw.value(model, case.quantity))
            options.append((("model", model), value, f"the value of {model}"))
    yield from matching("another_model", case, options)


def left_out(case: Case, scene: Scene) -> Iterator[Match]:
    """An average with one task missing."""
    if not isinstance(case.quantity, Mean):
        return
    options: list[Option] = []
    for part in case.quantity.parts:
        name = part.task if isinstance(part, TaskScore) else getattr(part, "name", "")
        value = scaled(case, scene.raw.value(case.model, without(case.quantity, part)))
        options.append((("without", name), value, f"without {name} ({shown(case, value)})"))
    yield from matching("left_out", case, options)
