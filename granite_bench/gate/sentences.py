"""What a gate says of a verdict: what changed, by how much, how sure that is, what is allowed."""

from __future__ import annotations

from collections.abc import Sequence

from granite_bench.comparison.differences import Difference
from granite_bench.comparison.measured import ROUNDING
from granite_bench.gate.baseline import Best
from granite_bench.gate.policy import Allowance, Rule, SpeedRule
from granite_bench.printed import interval_text, metric_name, p_text, score_text, some
from granite_bench.results.speed_comparison import Ratio

AVERAGE = "average"
SAME = 1.5 * ROUNDING
"""Scores as close as this are equal: rounded, equal means are one unit of it apart at most."""
MOST_NAMED = 3
"""Missing parts that a sentence names."""


def rule_text(rule: Rule) -> str:
    """What a rule allows, short enough for a table."""
    said = f"−{_allowance(rule.max_drop)}"
    if rule.significant:
        said += ", more if not significant"
    if rule.max_drop_since_best is not None:
        said += f"; −{_allowance(rule.max_drop_since_best)} since best"
    return said


def speed_rule_text(rule: SpeedRule) -> str:
    """The same of a rule for speed."""
    lower = ", less if not clear" if rule.significant else ""
    return f"× {rule.min_ratio:g} under {rule.protocol}{lower}"


def change_text(found: Difference) -> str:
    """What became of a score, and how sure that is."""
    subject = _subject(found.column, found.metric)
    if abs(found.change) <= SAME:
        return f"{subject} is {score_text(found.other)}, as in the baseline"
    verb = "rose" if found.change > 0 else "fell"
    size = f"{100 * abs(found.change):.2f} points"
    scores = f"from {score_text(found.one)} to {score_text(found.other)}"
    return f"{subject} {verb} by {size}, {scores}{_certainty(found)}"


def drop_text(found: Difference, rule: Rule, *, larger: bool, noise: bool, blind: bool) -> str:
    """
    What the policy says of it; empty where nothing fell.

    Args:
        larger: whether it fell by more than the policy allows.
        noise: whether that is not beyond noise.
        blind: whether no drop could have been, on these queries.
    """
    if found.change >= -SAME:
        return ""
    allowed = f"{100 * rule.max_drop.of(found.one):.2f}"
    if not larger:
        return f", within the {allowed} that the policy allows"
    if noise:
        return f", more than the {allowed} that the policy allows, but not beyond noise"
    said = f", and the policy allows {allowed}"
    if rule.significant and found.p_holm is None:
        said += (
            "; without scores per query on both sides nobody can tell it from noise, so it counts"
        )
    elif blind:
        queries = "1 query" if found.n_queries == 1 else f"{found.n_queries:,} queries"
        said += f"; {queries} could never show a drop as significant, so it counts"
    return said


def since_best_text(found: Difference, rule: Rule, best: Best) -> str:
    """That a score is too far below the best one of the baseline's history."""
    if rule.max_drop_since_best is None:
        return ""
    allowed = 100 * rule.max_drop_since_best.of(best.score)
    size = 100 * (best.score - found.other)
    when = f"{best.entry.date[:10]}, revision {best.entry.revision[:12]}"
    return (
        f"; it is {size:.2f} points below its best, {score_text(best.score)} ({when}), and the "
        f"policy allows {allowed:.2f} since then"
    )


def queries_text(found: Difference) -> str:
    """On how many queries the candidate is level, better and worse."""
    if found.tally is None or not (found.tally.wins or found.tally.losses):
        return ""
    of = found.tally
    level = f"{of.ties:,} of {of.n:,} queries are level"
    return f"; {level}, {of.wins:,} better, {of.losses:,} worse"


def new_text(column: str, metric: str, score: float) -> str:
    """A score of a model that the baseline does not have yet."""
    subject = _subject(column, metric)
    return f"{subject} is {score_text(score)}; the baseline does not have the model yet"


def missing_text(column: str, metric: str, whose: str, missing: Sequence[str], n: int) -> str:
    """That a score cannot be judged, since one side of it is not there."""
    subject = _subject(column, metric)
    if len(missing) == n:
        return f"{subject} cannot be judged: {whose} does not have it"
    named = some(missing, MOST_NAMED)
    return f"{subject} cannot be judged: {whose} lacks {named} ({len(missing)} of {n})"


def speed_text(ratio: Ratio, unit: str, rule: SpeedRule) -> str:
    """How fast the candidate is, to the baseline's model."""
    interval = ""
    if ratio.low is not None and ratio.high is not None:
        interval = f", {ratio.confidence:.0%} interval {ratio.low:.2f} to {ratio.high:.2f}"
    turns = f"{ratio.n_pairs} turns under {rule.protocol}{interval}"
    return f"the speed is {ratio.value:.2f} times the baseline's ({unit} per second, {turns})"


def _subject(column: str, metric: str) -> str:
    if column == AVERAGE:
        return f"the average {metric_name(metric)}".rstrip()
    return f"{metric_name(metric)} of {column}"


def _allowance(allowed: Allowance) -> str:
    return f"{100 * allowed.amount:g} %" if allowed.relative else f"{100 * allowed.amount:.2f}"


def _certainty(found: Difference) -> str:
    said = []
    if found.interval is not None:
        said.append(f"{found.interval.confidence:.0%} interval {interval_text(found.interval)}")
    if found.p_holm is not None:
        corrected = " after Holm's correction" if found.p_holm != found.p else ""
        said.append(f"p {p_text(found.p_holm)}{corrected}")
    return f" ({', '.join(said)})" if said else ""
