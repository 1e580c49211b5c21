"""Two scores under a rule: whether what was lost fails, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from granite_bench.comparison.differences import Difference, can_be_significant
from granite_bench.gate.baseline import Best
from granite_bench.gate.policy import Rule
from granite_bench.gate.sentences import (
    SAME,
    change_text,
    drop_text,
    queries_text,
    since_best_text,
)


@dataclass(frozen=True)
class Ruling:
    """
    How one column came out.

    Attributes:
        failed: whether more was lost than the rule allows.
        improved: whether the candidate is better, and significantly so where that can be tested.
        sentence: what changed, how sure that is, and what the rule says of it.
    """

    failed: bool
    improved: bool
    sentence: str


def rule_on(
    found: Difference, rule: Rule, best: Best | None, beside: Iterable[Difference], alpha: float
) -> Ruling:
    """
    Hold a difference against a rule.

    Args:
        found: the candidate less the baseline.
        best: the best score of the baseline's history; None where it has none.
        beside: the columns that the correction of the test is over; *found* may be among them.
        alpha: the level of the test, in (0, 1).
    """
    significant = found.p_holm is not None and found.p_holm < alpha
    larger = -found.change > rule.max_drop.of(found.one) + SAME
    unclear = larger and rule.significant and found.p_holm is not None and not significant
    # Where no drop on these queries could be significant, the test cannot clear this one.
    blind = unclear and not can_be_significant(found, beside, alpha)
    noise = unclear and not blind
    drifted = (
        best is not None
        and rule.max_drop_since_best is not None
        and best.score - found.other > rule.max_drop_since_best.of(best.score) + SAME
    )
    sentence = change_text(found)
    sentence += drop_text(found, rule, larger=larger, noise=noise, blind=blind)
    # Where the best is the baseline's own score, what fell from it is said already.
    said = larger and not noise and best is not None and best.score <= found.one + SAME
    if best is not None and drifted and not said:
        sentence += since_best_text(found, rule, best)
    return Ruling(
        failed=(larger and not noise) or drifted,
        improved=found.change > SAME and (found.p_holm is None or significant),
        sentence=sentence + queries_text(found),
    )
