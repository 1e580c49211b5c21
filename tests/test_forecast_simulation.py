"""The simulation of a run on a cluster, against cases worked by hand."""

from __future__ import annotations

import pytest

from granite_bench.forecast.simulation import (
    Cluster,
    ModelWork,
    Shards,
    Simulated,
    TaskWork,
    simulate,
)


def _run(
    *shards: Shards, workers: int = 1, store: float = float("inf"), load: float = 0
) -> Simulated:
    tasks = [TaskWork(str(number), [each]) for number, each in enumerate(shards)]
    return simulate([ModelWork("m", load, tasks)], Cluster(workers, store))


def test_one_worker_loads_then_encodes_shard_by_shard() -> None:
    """5 s to load, 3 shards of 2 s: 11 s, all of them busy."""
    done = _run(Shards(3, 2.0), load=5)
    assert done.seconds == 11
    assert done.busy_seconds == 11
    assert done.stages == {"load": 5, "encode": 6, "search": 0, "score": 0}
    assert done.bottleneck == "encoding: workers are busy 100% of the time"


def test_the_next_shard_is_prepared_while_one_is_encoded() -> None:
    """Prepared in 1 s each, encoded in 2: only the first is waited for, 1 + 3 x 2."""
    done = _run(Shards(3, 2.0, prepare_seconds=1))
    assert done.seconds == 7
    assert done.encoding["driver"] == 3


def test_a_worker_writes_before_it_takes_the_next_shard() -> None:
    """10 bytes at 10 a second: 3 x (2 + 1)."""
    done = _run(Shards(3, 2.0, n_bytes=10), store=10)
    assert done.seconds == 9
    assert done.encoding["store"] == 3
    assert done.busy_seconds == 6


def test_equal_shards_take_a_share_of_the_time_each() -> None:
    """8 shards of 3 s on 4 workers: 6 s, all busy."""
    done = _run(Shards(8, 3.0), workers=4)
    assert done.seconds == 6
    assert done.busy_seconds == 24
    assert done.held_seconds == 24


def test_the_largest_task_goes_first() -> None:
    """A shard of 10 s named behind four of 2 s: with two workers 10 s, not 14."""
    done = _run(Shards(4, 2.0), Shards(1, 10.0), workers=2)
    assert done.seconds == 10
    assert done.busy_seconds == 18


def test_a_giant_shard_keeps_the_others_waiting() -> None:
    """10 s beside three of 1 s on 4 workers: 13 s of 40."""
    done = _run(Shards(1, 10.0), Shards(3, 1.0), workers=4)
    assert done.seconds == 10
    assert done.bottleneck.startswith("uneven shards: workers encode 32% of the time")


def test_fewer_shards_than_workers_leave_some_idle() -> None:
    """3 shards, 8 workers."""
    done = _run(Shards(3, 5.0), workers=8)
    assert done.seconds == 5
    assert done.bottleneck == "too few shards: 5 of 8 workers have nothing to do"


def test_a_slow_driver_is_the_bottleneck() -> None:
    """A shard every 2 s, the last of 10 encoded for 1 s behind it: 21 s, whatever the workers."""
    done = _run(Shards(10, 1.0, prepare_seconds=2), workers=4)
    assert done.seconds == 21
    assert done.bottleneck.startswith("driver: it prepares texts for 95% of the time")


def test_a_slow_store_is_the_bottleneck() -> None:
    """The first shard is there after 1 s, then 10 writes of 3 s, one after another."""
    done = _run(Shards(10, 1.0, n_bytes=30), workers=2, store=10)
    assert done.seconds == 31
    assert done.bottleneck.startswith("store: it takes vectors for 97% of the time")


def test_no_more_than_two_shards_of_a_worker_are_under_way() -> None:
    """
    A shard of 10 s, then five of 0.1 s that take 2 s to prepare each: one of the five is prepared
    meanwhile, four behind it, the last encoded at 10 + 4 x 2 + 0.1; without a bound, at 10.5.
    """
    done = _run(Shards(1, 10.0), Shards(5, 0.1, prepare_seconds=2))
    assert done.seconds == pytest.approx(18.1)


def test_workers_search_a_share_each_and_the_driver_scores() -> None:
    """8 s of search on 4 workers, 2 s of merging and 3 of scoring: 2 + 5."""
    task = TaskWork("t", [], search_seconds=8, merge_seconds=2, score_seconds=3)
    done = simulate([ModelWork("m", 0, [task])], Cluster(4))
    assert done.seconds == 7
    assert done.busy_seconds == 8
    assert done.bottleneck == "driver: it merges and scores, and workers wait, for 71% of the time"


def test_vectors_are_read_while_they_are_searched() -> None:
    """100 bytes at 10 a second take longer than 2 s of search: 10 s."""
    task = TaskWork("t", [], search_seconds=8, read_bytes=100)
    done = simulate([ModelWork("m", 0, [task])], Cluster(4, store_bytes_per_second=10))
    assert done.seconds == 10
    assert done.bottleneck == "search: vectors are searched for 100% of the time"


def test_single_queries_have_one_worker_and_the_others_wait() -> None:
    """5 s alone: 5 s of the wall, 5 of 20 busy."""
    task = TaskWork("t", [], alone_seconds=5)
    done = simulate([ModelWork("m", 0, [task])], Cluster(4))
    assert done.seconds == 5
    assert done.busy_seconds == 5


def test_models_come_one_after_another() -> None:
    """1 + 2 s and 2 + 4 s."""
    models = [
        ModelWork("a", 1, [TaskWork("t", [Shards(1, 2.0)])]),
        ModelWork("b", 2, [TaskWork("t", [Shards(2, 2.0)])]),
    ]
    done = simulate(models, Cluster())
    assert done.seconds == 9
    assert done.models == {"a": 3, "b": 6}


def test_workers_start_once() -> None:
    """20 s before two models of 3 s each, which are without them."""
    model = [TaskWork("t", [Shards(1, 3.0)])]
    done = simulate(
        [ModelWork("a", 0, model), ModelWork("b", 0, model)], Cluster(2, start_seconds=20)
    )
    assert done.seconds == 26
    assert done.models == {"a": 3, "b": 3}


def test_no_work_takes_no_time() -> None:
    """And has no bottleneck."""
    done = simulate([], Cluster(3))
    assert done.seconds == 0
    assert done.bottleneck == "nothing: there is nothing to do"


def test_a_cluster_without_workers_is_refused() -> None:
    """And a store that takes nothing."""
    with pytest.raises(ValueError, match="has a worker"):
        simulate([], Cluster(0))
    with pytest.raises(ValueError, match="has a worker"):
        simulate([], Cluster(1, 0.0))
