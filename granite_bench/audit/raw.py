"""
Raw results -> the value of a quantity for a model, and where it comes from.

A score is mteb's: the mean of a metric over splits and subsets, and nothing is averaged over a
hole. Of several results of one task the most complete counts, then measured before reported by
others (*external*), then the revision with most results, then the newest: the rule of tables.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from granite_bench.audit.quantities import Fact, Gap, Mean, Quantity, TaskScore, Variant
from granite_bench.results.tree import Result
from granite_bench.tables.model_facts import ModelFacts, facts_of
from granite_bench.tables.scores import Evaluation, metric_names
from granite_bench.tables.selection import EXTERNAL

_SAME_METRIC = {
    "accuracy_at_1": ("accuracy_at_1", "hit_rate_at_1", "precision_at_1"),
    "hit_rate_at_1": ("hit_rate_at_1", "accuracy_at_1", "precision_at_1"),
}


@dataclass(frozen=True)
class Value:
    """
    What the raw results say of one quantity.

    Attributes:
        value: a fraction for scores, a count for facts; None unless all of it is there.
        n_there, n_expected: evaluations (split and subset).
        missing: what is not there.
        sources: the results that it comes from.
        provenance: the same in words.
    """

    value: float | None
    n_there: int
    n_expected: int
    missing: tuple[str, ...] = ()
    sources: tuple[Result, ...] = ()
    provenance: str = ""


NOTHING = Value(None, 0, 1)

FACTS = {
    "parameters": "n_parameters",
    "active_parameters": "n_active_parameters",
    "embedding_size": "dimension",
    "max_tokens": "max_length",
}
"""What a column of sizes names -> the attribute of ModelFacts."""

_REASONS = (
    "the most complete",
    "measured, not reported by others,",
    "of the revision with most results,",
    "the newest",
    "the first",
)

FactsOf = Callable[[str, Mapping[str, Any]], ModelFacts]
"""A model's id and its model_meta.json -> what is known of it."""


class RawResults:
    """
    Results of any number of models, by model, variant and task.

    Args:
        results: in any order; the same file may be there twice.
        facts: what is known of a model; mteb's metadata.
    """

    def __init__(self, results: Iterable[Result], facts: FactsOf = facts_of) -> None:
        self._found: dict[tuple[str, Variant], dict[str, list[Result]]] = {}
        self._sizes: dict[tuple[str, Variant], Counter[str]] = {}
        self._facts = facts
        self._values: dict[tuple[str, Quantity], Value] = {}
        paths = set()
        for result in results:
            if result.path not in paths:
                paths.add(result.path)
                key = _key(result)
                self._found.setdefault(key, {}).setdefault(result.task, []).append(result)
                self._sizes.setdefault(key, Counter())[result.revision] += 1

    def has(self, model: str) -> bool:
        """Whether there is any result of the model itself."""
        return (model, ()) in self._found

    def models(self) -> list[str]:
        """Every model that has results, sorted."""
        return sorted({model for model, _ in self._found})

    def variants(self, model: str) -> list[Variant]:
        """The variants of a model that have results."""
        return [variant for name, variant in self._found if name == model and variant]

    def results(self, model: str, task: str, variant: Variant = ()) -> Sequence[Result]:
        """Every result of a model and task: of all its revisions."""
        return self._found.get((model, variant), {}).get(task, ())

    def value(self, model: str, quantity: Quantity) -> Value:
        """The value of a quantity for a model."""
        key = (model, quantity)
        if key not in self._values:
            self._values[key] = self._value(model, quantity)
        return self._values[key]

    def _value(self, model: str, quantity: Quantity) -> Value:
        if isinstance(quantity, TaskScore):
            return self._task(model, quantity)
        if isinstance(quantity, Mean):
            return self._mean([self.value(model, part) for part in quantity.parts])
        if isinstance(quantity, Fact):
            return self._fact(model, quantity.name)
        if isinstance(quantity, Gap):
            return self._gap(model, quantity)
        return NOTHING

    def _gap(self, model: str, gap: Gap) -> Value:
        ours, theirs = (
            self.value(model, gap.quantity),
            self.value(gap.other_model or model, gap.other),
        )
        both = self._mean([ours, theirs])
        if ours.value is None or theirs.value is None:
            return both
        text = f"{ours.value * 100:.2f} - {theirs.value * 100:.2f}; {both.provenance}"
        return Value(
            ours.value - theirs.value, both.n_there, both.n_expected, (), both.sources, text
        )

    def _mean(self, parts: Sequence[Value]) -> Value:
        values = [part.value for part in parts if part.value is not None]
        sources = tuple({s.path: s for part in parts for s in part.sources}.values())
        return Value(
            statistics.fmean(values) if len(values) == len(parts) and parts else None,
            sum(part.n_there for part in parts),
            sum(part.n_expected for part in parts),
            tuple(name for part in parts for name in part.missing),
            sources,
            describe(sources),
        )

    def _task(self, model: str, wanted: TaskScore) -> Value:
        candidates = self.results(model, wanted.task, wanted.variant)
        if candidates:
            return self._chosen(model, wanted, candidates)
        if wanted.parts:
            parts = [replace(wanted, task=part, parts=(), related=()) for part in wanted.parts]
            return self._mean([self.value(model, part) for part in parts])
        return Value(None, 0, len(wanted.splits) * len(wanted.subsets) or 1, (wanted.task,))

    def _chosen(self, model: str, wanted: TaskScore, candidates: Sequence[Result]) -> Value:
        def merit(pair: tuple[Value, Result]) -> tuple[float, ...]:
            value, result = pair
            size = self._sizes[model, wanted.variant][result.revision]
            return value.n_there, float(result.revision != EXTERNAL), size, result.date

        ranked = sorted(
            ((score_of(result, wanted), result) for result in candidates), key=merit, reverse=True
        )
        value, result = ranked[0]
        text = describe([result])
        if len(ranked) > 1:
            pairs = zip(merit(ranked[0]), merit(ranked[1]), strict=True)
            decisive = next((place for place, (a, b) in enumerate(pairs) if a != b), -1)
            text += f" ({_REASONS[decisive]} of {len(ranked)} results)"
        return Value(value.value, value.n_there, value.n_expected, value.missing, (result,), text)

    def _fact(self, model: str, name: str) -> Value:
        tasks = self._found.get((model, ()), {}).values()
        metas = {result.revision: result.meta for results in tasks for result in results}
        by_size = sorted(metas, key=lambda revision: -self._sizes[model, ()][revision])
        facts = self._facts(model, metas[by_size[0]] if by_size else {})
        number = getattr(facts, FACTS[name])
        if number is None:
            return NOTHING
        return Value(float(number), 1, 1, provenance=f"mteb's metadata: {number:,}")


def _key(result: Result) -> tuple[str, Variant]:
    base, _, behind = result.model.partition(" (")
    if not behind:
        return base, ()
    settings = tuple(sorted((key, str(value)) for key, value in result.settings.items()))
    return base, settings or (("variant", behind.rstrip(")")),)


def score_of(result: Result, wanted: TaskScore) -> Value:
    """A task's score in one result file."""
    splits = wanted.splits or tuple(result.scores)
    subsets = wanted.subsets or tuple(
        dict.fromkeys(subset for split in result.scores.values() for subset in split)
    )
    values, missing = [], []
    for split in splits:
        for subset in subsets:
            entry = result.scores.get(split, {}).get(subset, {})
            number = metric_of(entry, wanted.metric)
            if number is None:
                missing.append(Evaluation(wanted.task, split, subset, wanted.metric).label)
            else:
                values.append(number)
    whole = values and not missing
    return Value(
        statistics.fmean(values) if whole else None,
        len(values),
        len(splits) * len(subsets),
        tuple(missing),
        (result,),
    )


def metric_of(entry: Mapping[str, Any], metric: str) -> float | None:
    """A metric of one split and subset, also by the names that older versions of mteb gave it."""
    for name in _SAME_METRIC.get(metric, metric_names(metric)):
        value = entry.get(name)
        # A correlation may be negative; NaN compares as false and counts as missing.
        if isinstance(value, int | float) and -1 <= value <= 1:
            return float(value)
    return None


def describe(results: Iterable[Result]) -> str:
    """Where a value comes from: tasks by revision, and mteb's versions."""
    by_revision: dict[str, list[Result]] = {}
    for result in results:
        by_revision.setdefault(result.revision, []).append(result)
    texts = []
    for revision, found in sorted(by_revision.items(), key=lambda item: -len(item[1])):
        tasks = f"{len(found)} tasks" if len(found) > 2 else ", ".join(r.task for r in found)
        versions = Counter(result.mteb_version or "?" for result in found)
        mteb = ", ".join(version for version, _ in versions.most_common(3))
        texts.append(f"{tasks} of revision {revision[:12]}, mteb {mteb}")
    return "; ".join(texts)
