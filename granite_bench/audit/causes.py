"""
Why printed values differ: the alternatives that fit, weighed by how easily they fit by chance.

An alternative fits when it reads exactly as printed. That is no proof: of twenty values spread
over ten points, one fits a value printed to one decimal in every fifth case. So each kind has a
limit to the chance that one of what was tried fits by accident, and one alternative that
explains several cells of a table passes where it would not for a single cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from granite_bench.audit import other_quantities, slips
from granite_bench.audit.cases import DIFFERS, Case, Cases
from granite_bench.audit.matching import Finder, Match, Scene
from granite_bench.audit.raw import RawResults

MAX_CAUSES = 3


@dataclass(frozen=True)
class Kind:
    """
    A kind of cause.

    Attributes:
        finder: yields the alternatives of this kind that fit.
        limit: the greatest chance of an accidental fit that is accepted.
        at_least: cells of a table that it has to explain.
        conclusive: leaves no room for other kinds.
    """

    finder: Finder
    limit: float = 0.05
    at_least: int = 1
    conclusive: bool = False


KINDS: Mapping[str, Kind] = {
    # From the most plausible down. A limit of 1 takes every fit: few alternatives are tried.
    "exchanged_in_row": Kind(slips.exchanged_in_row, conclusive=True),
    "exchanged_in_column": Kind(slips.exchanged_in_column, conclusive=True),
    "points_against_fractions": Kind(slips.points_against_fractions, conclusive=True),
    "another_suite": Kind(other_quantities.another_suite, limit=0.1),
    "part_only": Kind(other_quantities.part_only),
    "own_row": Kind(slips.own_row, limit=1),
    "gap_of_printed": Kind(slips.gap_of_printed, limit=1),
    "another_revision": Kind(other_quantities.another_revision, limit=1),
    "from_the_name": Kind(slips.from_the_name, limit=1),
    "copied": Kind(slips.copied),
    "related_task": Kind(other_quantities.related_task),
    "mislabelled": Kind(slips.mislabelled),
    "another_metric": Kind(other_quantities.another_metric, limit=0.02),
    "rounded_twice": Kind(slips.rounded_twice, limit=1),
    "mistyped": Kind(slips.mistyped, limit=1),
    "cut_off": Kind(slips.cut_off, limit=1, at_least=2),
    "another_model": Kind(other_quantities.another_model, at_least=2),
    "left_out": Kind(other_quantities.left_out, limit=0.02, at_least=2),
}
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


def find_causes(cases: Cases, raw: RawResults) -> dict[int, str]:
    """
    The likely causes of every cell that differs, by the case's id(); the likeliest first.

    At most three per cell; a cell that nothing explains is not there. A cell that is printed
    the same in another table has that table's cause when it has none of its own.
    """
    scene = Scene(cases, raw, raw.models())
    tables: dict[tuple[str, str], list[Case]] = {}
    for case in cases.all:
        if case.verdict == DIFFERS:
            tables.setdefault(case.cell.place, []).append(case)
    found: dict[int, str] = {}
    inherited: dict[int, str] = {}
    for differing in tables.values():
        for case, matches in _of_table(differing, cases, scene):
            if matches:
                found[id(case)] = "; ".join(matches[:MAX_CAUSES])
    for differing in tables.values():
        for case in differing:
            twin = None if id(case) in found else _explained_twin(case, cases, found)
            if twin is not None:
                inherited[id(case)] = f"as in {twin.cell.table}: {found[id(twin)]}"
    return found | inherited


def _of_table(
    differing: Sequence[Case], cases: Cases, scene: Scene
) -> list[tuple[Case, list[str]]]:
    """The causes that pass, after seeing what each explains in the whole table."""
    matches = {
        id(case): [match for kind in KINDS.values() for match in kind.finder(case, scene)]
        for case in differing
    }
    explained: dict[tuple[str, tuple[str, ...]], set[int]] = {}
    for key, found in matches.items():
        for match in found:
            explained.setdefault((match.kind, match.key), set()).add(key)
    _drop_refuted_cuts(explained, differing, cases)
    results = []
    for case in differing:
        kept: dict[str, tuple[Match, int]] = {}
        for match in matches[id(case)]:
            n_cells = len(explained.get((match.kind, match.key), ()))
            if _passes(match, n_cells, len(differing)):
                kept.setdefault(match.text, (match, n_cells))
        ranked = sorted(kept.values(), key=_plausibility)
        conclusive = [found for found in ranked if KINDS[found[0].kind].conclusive]
        ranked = conclusive or ranked
        results.append((case, [_text(match, n_cells) for match, n_cells in ranked]))
    return results


def _passes(match: Match, n_cells: int, n_differing: int) -> bool:
    kind = KINDS[match.kind]
    if n_cells < kind.at_least:
        return False
    chance = match.n_tried * match.share
    if n_cells > 1:
        # Some alternative of n fits these cells of all that differ, each with the same share.
        ways = math.comb(n_differing, n_cells)
        chance = min(chance, match.n_tried * ways * match.share**n_cells)
    return chance <= kind.limit


def _plausibility(found: tuple[Match, int]) -> tuple[float, float]:
    """What explains several cells moves up three kinds."""
    match, n_cells = found
    return _RANK[match.kind] - 3 * (n_cells > 1), match.n_tried * match.share


def _text(match: Match, n_cells: int) -> str:
    counted = match.key and not match.kind.startswith("exchanged") and n_cells > 1
    return f"{match.text} (as in {n_cells} cells of this table)" if counted else match.text


def _drop_refuted_cuts(
    explained: dict[tuple[str, tuple[str, ...]], set[int]],
    differing: Sequence[Case],
    cases: Cases,
) -> None:
    """A row was not cut off where another cell of it was rounded up."""
    for case in differing:
        key = ("cut_off", (case.cell.model,))
        if any(slips.rounded_up(other) for other in cases.row(case)):
            explained.pop(key, None)


def _explained_twin(case: Case, cases: Cases, found: Mapping[int, str]) -> Case | None:
    for other in cases.of_model(case.model):
        same = other.quantity == case.quantity and other.cell.printed == case.cell.printed
        if same and other is not case and id(other) in found:
            return other
    return None
