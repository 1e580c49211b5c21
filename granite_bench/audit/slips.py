"""
How a right value may have been printed wrong: exchanged, copied, mistyped, rounded otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from granite_bench.audit.cases import AGREES, DIFFERS, Case, Cases
from granite_bench.audit.matching import Match, Option, Scene, is_score, matching, shown
from granite_bench.audit.published import n_decimals
from granite_bench.audit.quantities import Fact, Gap
from granite_bench.audit.rows import row_mean
from granite_bench.printed import some


def exchanged_in_row(case: Case, scene: Scene) -> Iterator[Match]:
    """Two cells of one row, each with the value of the other."""
    yield from _exchanged(case, scene.cases.row(case), "columns", lambda other: other.cell.column)


def exchanged_in_column(case: Case, scene: Scene) -> Iterator[Match]:
    """Two models in one column, each with the value of the other."""
    column = scene.cases.column(case)
    yield from _exchanged(case, column, "models", lambda other: other.cell.model)
    position = column.index(case)
    for other in column[max(position - 1, 0) : position + 2]:
        # Without a raw result of the neighbour, another table has to say that this is its value.
        if other.value.value is None and case.reproduced is not None:
            witness = _printed_elsewhere(other, case.cell.printed, scene.cases)
            if witness is not None and other.cell.agrees(case.reproduced) and other is not case:
                text = (
                    f"exchanged with the row of {other.cell.model} ({other.cell.printed} there; "
                    f"{witness.cell.table} prints {witness.cell.printed} for it)"
                )
                yield Match("exchanged_in_column", ("models", other.cell.model), text)


def _exchanged(
    case: Case, others: Sequence[Case], what: str, name: Callable[[Case], str]
) -> Iterator[Match]:
    tried = [
        other
        for other in others
        if other is not case and other.verdict == DIFFERS and other.scale == case.scale
    ]
    for other in tried:
        if reads_as(other, case.reproduced) and reads_as(case, other.reproduced):
            pair = sorted((name(case), name(other)))
            where = "in this row" if what == "columns" else "in this column"
            text = f"exchanged with {name(other)} {where} ({other.cell.printed} there)"
            kind = "exchanged_in_row" if what == "columns" else "exchanged_in_column"
            yield Match(kind, (what, *pair), text)


def _printed_elsewhere(other: Case, printed: str, cases: Cases) -> Case | None:
    """Another table's cell of the same model that prints this value for the like of its column."""
    like = {other.cell.column, *other.columns.family(other.cell.column)}
    for found in cases.of_model(other.model):
        elsewhere = found.cell.place != other.cell.place
        if elsewhere and found.cell.column in like and found.cell.printed == printed:
            return found
    return None


def points_against_fractions(case: Case, _: Scene) -> Iterator[Match]:
    """0.653 where 65.3 is meant, or the other way round."""
    if not is_score(case) or case.reproduced is None:
        return
    for factor, text in ((100, "a fraction, not points"), (0.01, "100 times too large")):
        off = abs(case.cell.value * factor - case.reproduced)
        if off <= case.cell.half_unit * factor + 1e-9 and case.cell.value:
            yield Match("points_against_fractions", (str(factor),), text)


def copied(case: Case, scene: Scene) -> Iterator[Match]:
    """The value of another row of this column, or of the next column of this row."""
    if case.off < 10 * case.cell.half_unit or not is_score(case):
        return  # neighbours are often nearer than this
    column = scene.cases.column(case)
    near = _neighbours(case, column)
    far = [other for other in column if other is not case and other not in near]
    for others in (near, far):
        yield from matching("copied", case, [_row_option(other) for other in others])
    beside: list[Option] = [
        (("column", name), other.cell.value, f"the value of {name}, beside it")
        for other in _neighbours(case, scene.cases.row(case))
        if other.verdict == AGREES and other.scale == case.scale and (name := other.cell.column)
    ]
    yield from matching("copied", case, beside)


def _row_option(other: Case) -> Option:
    model = other.cell.model
    return ("row", model), other.cell.value, f"the value of the row of {model}"


def _neighbours(case: Case, line: Sequence[Case]) -> list[Case]:
    position = next(i for i, other in enumerate(line) if other is case)
    return [other for other in line[max(position - 1, 0) : position + 2] if other is not case]


def mislabelled(case: Case, scene: Scene) -> Iterator[Match]:
    """Another average of the same model, in the source that this one tells of."""
    if case.cell.unit != "mean" or case.off < 10 * case.cell.half_unit:
        return
    options: list[Option] = []
    for other in scene.cases.of_model(case.model):
        told = other.cell.source in case.cell.source and other.cell.source != case.cell.source
        if told and other.cell.unit == "mean" and other.quantity != case.quantity:
            text = f"'{other.cell.column}' of {other.cell.table} under another name"
            options.append((("column", other.cell.column), other.cell.value, text))
    distinct = {key: (key, value, text) for key, value, text in reversed(options)}
    yield from matching("mislabelled", case, distinct.values())


def own_row(case: Case, scene: Scene) -> Iterator[Match]:
    """An average that is right for its row, where cells of the row differ."""
    row = row_mean(case, scene.cases)
    if row is None or not case.cell.agrees(row.mean):
        return
    off = [part.cell.column for part in row.parts if part.verdict == DIFFERS]
    text = f"the mean of the printed row ({shown(case, row.mean)})"
    if off:
        text += f", in which {some(off, 3)} differ{'' if len(off) > 1 else 's'}"
    else:
        text += ": of rounded scores"
    yield Match("own_row", (), text)


def gap_of_printed(case: Case, scene: Scene) -> Iterator[Match]:
    """A difference that was made of printed, rounded values."""
    if not isinstance(case.quantity, Gap):
        return
    gap = case.quantity
    ours = [c for c in scene.cases.of_model(case.model) if c.quantity == gap.quantity]
    theirs = [
        c for c in scene.cases.of_model(gap.other_model or case.model) if c.quantity == gap.other
    ]
    for one in ours:
        for other in theirs:
            if case.cell.agrees(one.cell.value - other.cell.value):
                text = f"the difference of the printed {one.cell.printed} and {other.cell.printed}"
                yield Match("gap_of_printed", (), text)
                return


def rounded_twice(case: Case, _: Scene) -> Iterator[Match]:
    """32.449 -> 32.45 -> 32.5."""
    if case.reproduced is None or isinstance(case.quantity, Fact):
        return
    once = _roundings(case.cell.printed, case.reproduced)
    if once:
        digits = n_decimals(case.cell.printed)
        raw = f"{case.reproduced:.{n_decimals(once) + 1}f}"
        twice = _half_up(once, digits)
        yield Match("rounded_twice", (), f"rounded twice: {raw} -> {once} -> {twice}")


def reads_as(case: Case, value: float | None) -> bool:
    """Whether *value* reads as the cell is printed, also when it was rounded twice."""
    if value is None:
        return False
    return case.cell.agrees(value) or bool(_roundings(case.cell.printed, value))


def _roundings(printed: str, value: float) -> str:
    """The step between, if rounding *value* in two steps gives what is printed; else nothing."""
    digits = n_decimals(printed)
    for more in (1, 2):
        once = _half_up(str(value), digits + more)
        if Decimal(_half_up(once, digits)) == Decimal(printed):
            return once
    return ""


def _half_up(number: str, digits: int) -> str:
    return str(Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def cut_off(case: Case, _: Scene) -> Iterator[Match]:
    """Digits cut off in place of rounding; one cell alone says little (see causes.py)."""
    if case.reproduced is None or not is_score(case):
        return
    half = case.cell.half_unit
    if half < case.reproduced - case.cell.value < 2 * half:
        yield Match("cut_off", (case.cell.model,), "cut off, not rounded")


def rounded_up(case: Case) -> bool:
    """Whether a cell that agrees is above its raw value, which cutting off cannot do."""
    if case.verdict != AGREES or case.reproduced is None:
        return False
    return is_score(case) and case.cell.value > case.reproduced


def mistyped(case: Case, scene: Scene) -> Iterator[Match]:
    """
    One digit that is not the last differs, or two neighbouring ones are exchanged.

    Where much of the row differs, the row is of another run, and such a fit is an accident.
    """
    if case.reproduced is None:
        return
    known = [other for other in scene.cases.row(case) if other.reproduced is not None]
    n_differing = sum(other.verdict == DIFFERS for other in known)
    printed = case.cell.printed.lstrip("+")
    right = _half_up(str(case.reproduced), n_decimals(printed))
    same_length = len(right) == len(printed) and len(printed.replace(".", "")) > 2
    if not same_length or 4 * n_differing > len(known):
        return
    off = [i for i, (a, b) in enumerate(zip(printed, right, strict=True)) if a != b]
    swapped = len(off) == 2 and [printed[i] for i in off] == [right[i] for i in reversed(off)]
    if (len(off) == 1 and off[0] < len(printed) - 1) or swapped:
        yield Match("mistyped", (), f"a slip of the digits of {right}")


def from_the_name(case: Case, _: Scene) -> Iterator[Match]:
    """A size as the model's name has it, not as its weights count."""
    size = rf"(?<![\d.]){re.escape(case.cell.printed)}m(?![a-z])"
    if isinstance(case.quantity, Fact) and re.search(size, case.model.lower()):
        yield Match("from_the_name", (), f"the size in the model's name, {case.cell.printed}M")
