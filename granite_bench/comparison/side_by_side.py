"""
Several models over one suite: each against the first of them, and what each costs.

Reads tables alone: no mteb, no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from granite_bench.comparison.candidates import Candidate
from granite_bench.comparison.changed_queries import ChangedQuery, changed_queries
from granite_bench.comparison.costs import Costs, costs_of
from granite_bench.comparison.differences import Comparison, compare_scores
from granite_bench.comparison.likeness import ALL_KINDS, Unlike
from granite_bench.comparison.measured import measured_rows
from granite_bench.comparison.qualification import reasons_against
from granite_bench.comparison.requirements import Requirement, read_requirements
from granite_bench.errors import BadInput, Fault
from granite_bench.results.tree import Result
from granite_bench.stats.pareto import Better, beaten_by
from granite_bench.suite.suite import Suite
from granite_bench.tables.run_command import reproduce
from granite_bench.tables.variant_settings import MAX_LENGTH

FIGURES: Mapping[str, tuple[str, Better]] = {
    "average": ("score", "more"),
    "docs_per_s": ("docs/s", "more"),
    "bytes_per_million_docs": ("storage", "less"),
    "n_parameters": ("parameters", "less"),
}
"""What a model may be better by, in the order of a table: name -> words, and which is better."""


@dataclass(frozen=True)
class ReferencePair:
    """
    A model against the reference.

    Attributes:
        candidate: the model.
        comparison: the model less the reference.
        changed: the queries that changed most; gains, then losses.
    """

    candidate: Candidate
    comparison: Comparison
    changed: Sequence[ChangedQuery]


@dataclass(frozen=True)
class Standing:
    """
    A model among all, by every figure that all of them have.

    Attributes:
        name: the candidate's.
        values: figure (a key of FIGURES) -> value; those that count, and that one model lacks.
        beaten_by: a model that is as good by all figures that count and better by one; None on
            the front, or for a model that lacks a figure.
        on_front: whether nobody beats it; None for a model without an average.
    """

    name: str
    values: Mapping[str, float | None]
    beaten_by: str | None
    on_front: bool | None


@dataclass(frozen=True)
class SideBySide:
    """
    A comparison of several models.

    Attributes:
        suite: what was measured.
        source: the suite's name or file, as it was asked for.
        reference: the first model named.
        pairs: every other, in the order in which they were named.
        costs: of the reference and of each of *pairs*, in that order.
        counted: the figures that *standings* are by: those that all models have.
        standings: in the order of *costs*.
        requirements: what a model must have to be compared.
        excluded: candidate that does not qualify -> why not, a sentence for each reason; the
            reference may be among them, and stays in everything else.
    """

    suite: Suite
    source: str
    reference: Candidate
    pairs: Sequence[ReferencePair]
    costs: Costs
    counted: Sequence[str]
    standings: Sequence[Standing]
    requirements: Sequence[Requirement]
    excluded: Mapping[str, Sequence[str]]

    @property
    def candidates(self) -> list[Candidate]:
        """The reference, and what is compared with it."""
        return [self.reference, *(pair.candidate for pair in self.pairs)]

    @property
    def complete(self) -> bool:
        """Whether nothing of the suite is missing of any of them."""
        return all(candidate.row.complete for candidate in self.candidates)


def put_side_by_side(
    candidates: Sequence[Candidate],
    *,
    allowed: Collection[str] = (),
    n_changed: int = 0,
    price_per_device_hour: float | None = None,
    protocol: str | None = None,
    require: Sequence[str] = (),
) -> SideBySide:
    """
    Compare every candidate with the first.

    Args:
        candidates: two or more, of tables of one suite.
        allowed: kinds of differences (likeness.KINDS, or "all") that do not stop a comparison.
        n_changed: of the queries that changed most, for each pair.
        price_per_device_hour, protocol: as of costs_of.
        require: expressions (see requirements); what does not meet them is not compared.

    Raises:
        BadInput: results are not like for like in ways that are not allowed (all of them named),
            rows per query are broken, expressions cannot be read, or no model was measured under
            *protocol*.
    """
    reference, table = candidates[0], candidates[0].table
    rows = [each.row for each in candidates]
    requirements = read_requirements(require, table.suite, rows)
    costs = costs_of(rows, price_per_device_hour=price_per_device_hour, protocol=protocol)
    excluded = _excluded(candidates, costs, requirements)
    shown = [each for each in candidates if each is reference or each.name not in excluded]
    costs = replace(
        costs,
        rows=[cost for each, cost in zip(candidates, costs.rows, strict=True) if each in shown],
    )
    measured = measured_rows((each.row for each in shown), table.suite)
    comparisons = [compare_scores(measured[0], other, table.suite) for other in measured[1:]]
    _refuse_unlike(shown, comparisons, allowed)
    pairs = [
        ReferencePair(
            each,
            comparison,
            changed_queries(
                comparison.one,
                comparison.other,
                reference.row.results,
                each.row.results,
                n_changed,
            ),
        )
        for each, comparison in zip(shown[1:], comparisons, strict=True)
    ]
    counted, standings = _standings(shown, costs)
    return SideBySide(
        table.suite,
        table.source,
        reference,
        pairs,
        costs,
        counted,
        standings,
        requirements,
        excluded,
    )


def _excluded(
    candidates: Sequence[Candidate], costs: Costs, requirements: Sequence[Requirement]
) -> dict[str, Sequence[str]]:
    """Name of each candidate that does not qualify -> why."""
    found = {
        each.name: reasons_against(
            requirements, each.row, cost, table=each.table, protocol=costs.protocol
        )
        for each, cost in zip(candidates, costs.rows, strict=True)
    }
    return {name: reasons for name, reasons in found.items() if reasons}


# --- quality and costs together ---------------------------------------------------------------


def _standings(candidates: Sequence[Candidate], costs: Costs) -> tuple[list[str], list[Standing]]:
    """The figures that count, and where each model stands by them."""
    values = [
        {
            # By what is printed, as ranks are: what looks equal is equal.
            "average": None if each.row.average is None else round(each.row.average, 4),
            **{name: getattr(cost, name) for name in FIGURES if name != "average"},
        }
        for each, cost in zip(candidates, costs.rows, strict=True)
    ]
    complete = [place for place, each in enumerate(values) if each["average"] is not None]
    counted = [
        name for name in FIGURES if complete and all(values[p][name] is not None for p in complete)
    ]
    better = [FIGURES[name][1] for name in counted]
    points = [[float(values[place][name] or 0) for name in counted] for place in complete]
    beaten = dict(zip(complete, beaten_by(points, better), strict=True)) if counted else {}
    standings = []
    for place, each in enumerate(candidates):
        by = beaten.get(place)
        standings.append(
            Standing(
                each.name,
                values[place],
                None if by is None else candidates[complete[by]].name,
                by is None if place in beaten else None,
            )
        )
    return counted, standings


# --- what is not like for like ----------------------------------------------------------------


def _refuse_unlike(
    shown: Sequence[Candidate], comparisons: Sequence[Comparison], allowed: Collection[str]
) -> None:
    """Raises BadInput for what is not like for like, and not allowed."""
    faults = [
        _unlike_fault(_Unlikes(shown[0], each, comparison), found)
        for each, comparison in zip(shown[1:], comparisons, strict=True)
        for found in comparison.unlike
        if not {found.kind, ALL_KINDS} & set(allowed)
    ]
    if faults:
        raise BadInput(faults)


def _unlike_fault(pair: _Unlikes, found: Unlike) -> Fault:
    what = f"not like for like: {found}"
    allow = f"--allow {found.kind} compares them all the same, and says so"
    hint = f"to make them alike, {pair.mend(found)}\n  {allow}"
    return Fault(f"{pair.candidate.name} and {pair.reference.name}", what, hint)


@dataclass(frozen=True)
class _Unlikes:
    """Two models whose results are not like for like, and how they would be."""

    reference: Candidate
    candidate: Candidate
    comparison: Comparison

    def mend(self, found: Unlike) -> str:
        """What to do, with the command."""
        evaluation = next(e for e in self.comparison.one.evaluations if e.label == found.labels[0])
        one, other = (
            side.evaluations[evaluation].provenance
            for side in (self.comparison.one, self.comparison.other)
        )
        if found.kind == "max_length":
            lengths = one.max_length or 0, other.max_length or 0
            longer = self.reference if lengths[0] > lengths[1] else self.candidate
            return f"run: {_run(longer, evaluation.task, {MAX_LENGTH: min(lengths)})}"
        if found.kind == "prompts" and one.prompts is not None:
            prompts = {f"prompt_{role}": text or "" for role, text in one.prompts.items()}
            return f"run: {_run(self.candidate, evaluation.task, prompts)}"
        older = min(
            (self.candidate, self.reference), key=lambda each: _result(each, evaluation.task).date
        )
        path = _result(older, evaluation.task).path
        return f"move {path} away and run: {_run(older, evaluation.task, {})}"


def _run(candidate: Candidate, task: str, settings: Mapping[str, Any]) -> str:
    """The command that makes a result of a candidate again, with these settings."""
    result = _result(candidate, task)
    made = replace(result, settings={**result.settings, **settings})
    return reproduce(candidate.table, candidate.row, made)


def _result(candidate: Candidate, task: str) -> Result:
    """Of a task; of an aggregate that has parts alone, the first of them."""
    results = candidate.row.results
    return results.get(task) or next(iter(results.values()))
