"""
What a model must have to be considered: the expressions of --require.

    max_params=100M   docs_per_s>=2000   nDCG@10[de]>=0.55   average>60%

QUANTITY[COLUMN] OP VALUE, where OP is one of >=, <=, >, <, =; max_X=V is X<=V, and min_X=V is X>=V.
A column is a task, a group of any grouping of the suite, or a subset; only a score has one.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from granite_bench.comparison.costs import Cost
from granite_bench.errors import BadInput, Fault, did_you_mean, near_or_all
from granite_bench.suite.suite import Grouping, Suite
from granite_bench.tables.scores import evaluations_of
from granite_bench.tables.table import Row

OPTION = "--require"
AVERAGE = "average"


@dataclass(frozen=True)
class Quantity:
    """
    What a requirement may be about, besides scores.

    Attributes:
        kind: what its values are; a measured one is never exactly anything.
        of: the figure of a model; None where it is unknown.
    """

    kind: Literal["count", "bytes", "milliseconds", "rate", "money"]
    of: Callable[[Cost], float | None]

    @property
    def is_measured(self) -> bool:
        """Whether it is a measurement, which differs from time to time."""
        return self.kind in ("milliseconds", "rate", "money")


QUANTITIES: Mapping[str, Quantity] = {
    "params": Quantity("count", lambda cost: cost.n_parameters),
    "active_params": Quantity("count", lambda cost: cost.n_active_parameters),
    "dim": Quantity("count", lambda cost: cost.dimension),
    "max_length": Quantity("count", lambda cost: cost.max_length),
    "bytes_per_million_docs": Quantity("bytes", lambda cost: cost.bytes_per_million_docs),
    "docs_per_s": Quantity("rate", lambda cost: cost.docs_per_s),
    "query_p50_ms": Quantity("milliseconds", lambda cost: cost.query_p50_ms),
    "query_p95_ms": Quantity("milliseconds", lambda cost: cost.query_p95_ms),
    "memory_bytes": Quantity("bytes", lambda cost: cost.memory_bytes),
    "cost_per_million_docs": Quantity("money", lambda cost: cost.cost_per_million_docs),
}

ALIASES: Mapping[str, str] = {
    "parameters": "params",
    "active_parameters": "active_params",
    "dims": "dim",
    "dimension": "dim",
    "storage": "bytes_per_million_docs",
    "docs/s": "docs_per_s",
    "query_p50": "query_p50_ms",
    "query_p95": "query_p95_ms",
    "memory": "memory_bytes",
    "cost": "cost_per_million_docs",
}
"""What may be typed for a quantity."""

_METRIC_ALIASES = {"spearman": "cosine_spearman", "pearson": "cosine_pearson"}
"""As pages and papers print them."""

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_ALLOWING_EQUAL = (">=", "<=", "=")

_BOUNDS = {"max_": "<=", "min_": ">="}


@dataclass(frozen=True)
class Requirement:
    """
    One expression.

    Attributes:
        text: as it was typed.
        name: what it is about, as it was typed, without a bound such as max_.
        quantity: a key of QUANTITIES, *average*, or a metric by mteb's name.
        column: of a score; empty for the suite's average.
        op: a key of _OPERATORS.
        value: in the unit of the quantity; of a score a fraction.
    """

    text: str
    name: str
    quantity: str
    column: str
    op: str
    value: float

    @property
    def is_score(self) -> bool:
        """Whether it is about a score, and not about a cost."""
        return self.quantity not in QUANTITIES

    def holds(self, found: float) -> bool:
        """Whether a figure meets it; what differs by rounding alone is equal."""
        if math.isclose(found, self.value, rel_tol=1e-9):
            return self.op in _ALLOWING_EQUAL
        return _OPERATORS[self.op](found, self.value)


def read_requirements(texts: Iterable[str], suite: Suite, rows: Iterable[Row]) -> list[Requirement]:
    """
    The requirements of --require, in their order.

    Args:
        texts: an expression each, or several with commas or spaces between them.
        suite: whose columns a score may name.
        rows: whose results tell which metrics there are.

    Raises:
        BadInput: what cannot be read, or asks for what there is not; all of it named.
    """
    metrics = _metrics(suite, rows)
    found: list[Requirement] = []
    faults: list[Fault] = []
    for text in texts:
        expressions, rests = _split(text)
        if not expressions and not rests:
            rests = [text]
        faults += [Fault(OPTION, f"'{rest}' is no requirement", _GRAMMAR) for rest in rests]
        for expression in expressions:
            try:
                found.append(_read(expression, suite, metrics))
            except BadInput as error:
                faults += error.faults
    if faults:
        raise BadInput(dict.fromkeys(faults))
    return found


# --- reading ----------------------------------------------------------------------------------

_EXPRESSION = re.compile(
    r"(?P<name>[^\[\]<>=,;\s]+)\s*(?:\[(?P<column>[^\[\]]*)\])?\s*"
    r"(?P<op>>=|<=|>|<|=)\s*(?P<value>[^\[\]<>=,;\s]+)"
)
_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?P<unit>%|[a-z]+)?", re.I)

_GRAMMAR = (
    "write QUANTITY>=VALUE, such as docs_per_s>=2000, max_params=100M or 'nDCG@10[de]>=0.55'; "
    "several with commas between them, and numbers without"
)

_COUNTS = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_BYTES = {
    "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
    "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40,
}  # fmt: skip
"""A B alone is bytes to some and billions to others, so it is neither."""

_UNITS: Mapping[str, Mapping[str, float]] = {
    "count": _COUNTS,
    "rate": _COUNTS,
    "money": _COUNTS,
    "bytes": _BYTES,
    "milliseconds": {"ms": 1},
    "score": {"%": 0.01},
}


def _split(text: str) -> tuple[list[re.Match[str]], list[str]]:
    """The expressions in a text, and what is left between them."""
    expressions, rests, end = [], [], 0
    for match in _EXPRESSION.finditer(text):
        expressions.append(match)
        rests.append(text[end : match.start()])
        end = match.end()
    rests.append(text[end:])
    return expressions, [rest for each in rests if (rest := each.strip(" \t\n,;"))]


def _read(found: re.Match[str], suite: Suite, metrics: Mapping[str, str]) -> Requirement:
    text, op = found.group(0), found["op"]
    name, bound = _without_bound(found["name"])
    if bound and op != "=":
        limit = "most" if bound == "<=" else "least"
        hint = f"write {found['name']}={found['value']}, or {name}{bound}{found['value']}"
        raise BadInput(Fault(OPTION, f"{text}: {found['name']} is a {limit} already", hint))
    quantity = _quantity(name, text, metrics)
    is_score = quantity not in QUANTITIES
    kind = "score" if is_score else QUANTITIES[quantity].kind
    if op == "=" and not bound and (is_score or QUANTITIES[quantity].is_measured):
        hint = f"write {name}>={found['value']} or {name}<={found['value']}"
        raise BadInput(Fault(OPTION, f"{text}: no two {_KINDS[kind]} are exactly equal", hint))
    column = _column(found["column"], name, quantity, text, suite)
    value = _value(found["value"], kind, text)
    return Requirement(text, name, quantity, column, bound or op, value)


_KINDS = {"score": "scores", "rate": "speeds", "milliseconds": "times", "money": "costs"}


def _known(name: str) -> str | None:
    """The quantity that is called so; None for anything else, such as a metric."""
    lower = name.lower()
    lower = ALIASES.get(lower, lower)
    return lower if lower in QUANTITIES else None


def _without_bound(name: str) -> tuple[str, str]:
    """A name without max_ or min_, and the comparison that it means; max_length is a name."""
    if _known(name) is None:
        for prefix, op in _BOUNDS.items():
            if name.lower().startswith(prefix):
                return name[len(prefix) :], op
    return name, ""


def _quantity(name: str, text: str, metrics: Mapping[str, str]) -> str:
    known = _known(name)
    if known is not None:
        return known
    if name.lower() == AVERAGE:
        return AVERAGE
    metric = _as_mteb(name)
    metric = _METRIC_ALIASES.get(metric, metric)
    if metric in metrics:
        return metrics[metric]
    choices = [*QUANTITIES, *ALIASES, AVERAGE, *metrics]
    hint = did_you_mean(name, choices) or did_you_mean(metric, metrics)
    hint = hint or f"there are: {', '.join([*QUANTITIES, AVERAGE])}, and metrics such as nDCG@10"
    raise BadInput(Fault(OPTION, f"{text}: unknown quantity '{name}'", hint))


def _as_mteb(name: str) -> str:
    """A metric as mteb writes it: nDCG@10 is ndcg_at_10, V-measure is v_measure."""
    return re.sub(r"[ -]", "_", name.lower().replace("@", "_at_"))


def _metrics(suite: Suite, rows: Iterable[Row]) -> dict[str, str]:
    """Lower case -> the name of every metric that results have, those of the suite first."""
    names = dict.fromkeys(task.metric for task in suite.tasks)
    for row in rows:
        for result in row.results.values():
            for subsets in result.scores.values():
                for scores in subsets.values():
                    names.update(dict.fromkeys(scores))
    return {name.lower(): name for name in names}


def _column(column: str | None, name: str, quantity: str, text: str, suite: Suite) -> str:
    """The column as the suite has it; empty for the average, and for what has no columns."""
    if quantity in QUANTITIES or quantity == AVERAGE:
        if column is None:
            return ""
        hint = f"write {name} alone"
        if quantity == AVERAGE:
            hint = f"write {name} alone, or a metric of the column: {suite.metric}[{column}]"
        raise BadInput(Fault(OPTION, f"{text}: {name} has no columns", hint))
    if column is None:
        others = sorted({task.metric for task in suite.tasks} - {quantity})
        if others:
            what = f"{text}: without a column, it is the average of suite {suite.name}"
            what += f", which measures by {', '.join(others)}"
            hint = f"name a column, such as {name}[{suite.tasks[0].name}], or write {AVERAGE}"
            raise BadInput(Fault(OPTION, what, hint))
        return ""
    known = _columns(suite)
    wanted = column.strip()
    same = [each for each in known if each.lower() == wanted.lower()]
    if wanted in known or len(same) == 1:
        return wanted if wanted in known else same[0]
    hint = near_or_all(wanted, known)
    what = f"{text}: suite {suite.name} has no task, group or subset '{wanted}'"
    raise BadInput(Fault(OPTION, what, hint))


def _value(text: str, kind: str, whole: str) -> float:
    units = _UNITS[kind]
    found = _NUMBER.fullmatch(text)
    if found is None:
        hint = "write a number, such as 2000, 1.5 or 100M"
        raise BadInput(Fault(OPTION, f"{whole}: '{text}' is no number", hint))
    number, unit = float(found["number"]), (found["unit"] or "").lower()
    if unit and unit not in units:
        hint = f"units of it: {', '.join(_UNIT_NAMES[kind])}; or none"
        raise BadInput(Fault(OPTION, f"{whole}: no unit '{found['unit']}'", hint))
    value = number * units.get(unit, 1)
    if kind == "score" and not -1 <= value <= 1:
        hint = "scores are fractions here, from 0 to 1"
        if not unit and 1 < value <= 100:
            hint = f"scores are fractions here: write {number / 100:g}, or {text}%"
        raise BadInput(Fault(OPTION, f"{whole}: no score is {text}", hint))
    if kind != "score" and value < 0:
        raise BadInput(Fault(OPTION, f"{whole}: it is never below 0", "write a positive number"))
    return value


_UNIT_NAMES = {
    "count": ("K", "M", "G", "B", "T"),
    "rate": ("K", "M", "G", "B", "T"),
    "money": ("K", "M", "G", "B", "T"),
    "bytes": ("KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "K", "M", "G", "T"),
    "milliseconds": ("ms",),
    "score": ("%",),
}


# --- columns ----------------------------------------------------------------------------------

_SUBSET = Grouping.model_validate({"by": "subset", "from": "subset"})


def groupings(suite: Suite) -> tuple[Grouping, ...]:
    """The suite's, and by subset."""
    return (*suite.groups, _SUBSET)


def _columns(suite: Suite) -> list[str]:
    """Every task, group and subset."""
    names = [task.name for task in suite.tasks]
    for grouping in groupings(suite):
        for task in suite.tasks:
            if grouping.source == "group":
                names += [task.group] if task.group is not None else []
            else:
                names += [getattr(each, grouping.source) for each in evaluations_of(task, "")]
    return list(dict.fromkeys(names))
