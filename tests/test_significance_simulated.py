"""
Whether the figures of significance hold of simulated systems, whose true difference is known.

Scores are nDCG@10 of queries with one relevant document, which a system ranks first with a chance
of 1/4, else second with 1/4, and so on; below 10 it scores 0. Six in ten queries are answered
alike by both systems. A better system puts the document first for a share of the queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from granite_bench.stats.bootstrap import stratified_bootstrap_interval
from granite_bench.stats.significance import detectable_difference, randomisation_p

N_TRIALS = 3_000
N_PERMUTATIONS = 399
"""Of a trial: with the world seen they are 400, of which 20 are 5% and not about 5%."""

_GAINS = 1 / np.log2(1 + np.arange(1, 11))
_MEAN = float(_GAINS @ (0.25 * 0.75 ** np.arange(10)))


def _of_spread(n: int, spread: float) -> np.ndarray:
    """*n* differences (an even number) of mean 0 and just this standard deviation."""
    return np.resize([1.0, -1.0], n) * spread * np.sqrt((n - 1) / n)


def _ndcg(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    ranks = rng.geometric(0.25, shape)
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)


def _trials(
    sizes: Sequence[int], better: float = 0.0, n_trials: int = N_TRIALS, seed: int = 1
) -> list[list[np.ndarray]]:
    """Of each trial the strata of differences; the true one is better * (1 - _MEAN)."""
    rng = np.random.default_rng(seed)
    strata = []
    for n in sizes:
        shape = (n_trials, n)
        one = _ndcg(rng, shape)
        other = np.where(rng.random(shape) < 0.6, one, _ndcg(rng, shape))
        strata.append(np.where(rng.random(shape) < better, 1.0, other) - one)
    return [list(trial) for trial in zip(*strata, strict=True)]


def _rejected(trials: Sequence[Sequence[np.ndarray]], shift: float = 0.0) -> float:
    """The share of trials, each moved by *shift*, that the test rejects at 5%."""
    p_values = [
        randomisation_p(
            [stratum + shift for stratum in trial], n_permutations=N_PERMUTATIONS, seed=number
        )
        for number, trial in enumerate(trials)
    ]
    return float(np.mean(np.array(p_values) <= 0.05))


def _excluding_zero(trials: Sequence[Sequence[np.ndarray]]) -> float:
    """The share of trials whose bootstrap interval does not hold zero."""
    intervals = [
        stratified_bootstrap_interval(trial, n_resamples=400, seed=number)
        for number, trial in enumerate(trials)
    ]
    return float(np.mean([interval.excludes_zero for interval in intervals]))


@pytest.mark.parametrize("sizes", [(50,), (100,), (20, 60, 100)])
def test_equal_systems_are_told_apart_in_one_trial_of_twenty(sizes: Sequence[int]) -> None:
    """A 5% test of exchangeable systems; four standard errors of 3,000 trials are 1.6 points."""
    assert 0.034 <= _rejected(_trials(sizes)) <= 0.066


def test_a_counted_test_of_few_differences_rejects_more_seldom() -> None:
    """Of 10 queries 3 or 4 differ, and 2 in 2^4 worlds are more than 5%: it errs on that side."""
    assert _rejected(_trials((10,))) < 0.03


def test_the_bootstrap_interval_excludes_zero_too_often_of_few_queries() -> None:
    """
    Of equal systems, zero is outside of its 95% interval more often than in 5%.

    Of 20 queries 6 to 12% of trials, of 100 queries 4 to 7.5%: for few queries the p value, not
    the interval, says what is significant.
    """
    assert 0.06 <= _excluding_zero(_trials((20,))) <= 0.12
    assert 0.04 <= _excluding_zero(_trials((100,))) <= 0.075


@pytest.mark.parametrize(("sizes", "better"), [((100,), 0.15), ((20, 60, 200), 0.1)])
def test_a_better_system_is_as_far_off_as_what_is_detected_that_often(
    sizes: Sequence[int], better: float
) -> None:
    """
    The difference that is detectable with the power seen is the true one.

    The spread is that of a long sample. Four points of power are 5 or 6% of the difference here.
    """
    spread = _trials((100_000,), better, n_trials=1, seed=2)[0][0].std()
    share = _rejected(_trials(sizes, better))
    assert 0.3 < share < 0.7
    found = detectable_difference([_of_spread(n, spread) for n in sizes], power=share)
    assert found == pytest.approx(better * (1 - _MEAN), rel=0.06)


@pytest.mark.parametrize("sizes", [(100,), (20, 60, 100)])
def test_the_detectable_difference_is_found_in_four_trials_of_five(sizes: Sequence[int]) -> None:
    """Systems that are equal but for a difference of this size between each pair of scores."""
    spread = _trials((100_000,), n_trials=1, seed=2)[0][0].std()
    shift = detectable_difference([_of_spread(n, spread) for n in sizes])
    assert _rejected(_trials(sizes, n_trials=2_000), shift) == pytest.approx(0.8, abs=0.04)
