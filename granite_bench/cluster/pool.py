"""
Calls to workers: each goes to one with room, and to another one when that fails.

A worker that dies is replaced as soon as Ray has room; what it was doing is done again. A worker
that fails several times in a row while another one works gets nothing more to do, and is named. A
call that fails on several workers is not tried on all the others, and blames none of them.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from granite_bench.cluster.member import Member, other_vectors, other_versions, said_by
from granite_bench.cluster.session import Seat
from granite_bench.cluster.worker import Facts, Failed, LoadForm, ShardDone, Worker
from granite_bench.errors import TaskError
from granite_bench.files.local import Place

logger = logging.getLogger(__name__)

CALLS_PER_WORKER = 3
"""Under way at once: one for the model, one for the tokenizer, one that is there after these."""

FAILURES_IN_A_ROW = 3
"""After so many a worker gets calls only where no other one is; it is excluded when one works."""

ATTEMPTS = 3
"""A call that failed so often is given up: it may be what kills the workers."""

WAIT_SECONDS = 600.0
"""With no room for any worker for so long, nobody will come; to load a model may take longer."""

LOOK_SECONDS = 1.0


@dataclass(eq=False)
class Call:
    """
    One call of a method of some worker.

    Attributes:
        method, arguments: of Worker.
        of: what the caller knows it by.
        only: the number of the one worker that can do it; None: any.
    """

    method: str
    arguments: tuple[Any, ...]
    of: Any = None
    only: int | None = None
    failed_on: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Gone:
    """The only worker that could do it is no more; its vectors went with it."""


class Pool:
    """
    The workers of a run.

    Args:
        seats: room for workers.
        say: told one line when a worker is lost or excluded.
        ray: the module; tests have one without processes.

    Attributes:
        store: where all workers keep vectors; None: each keeps its own.
    """

    def __init__(
        self, seats: list[Seat], say: Callable[[str], None] = lambda line: None, ray: Any = None
    ) -> None:
        if ray is None:
            import ray
        self._ray = ray
        self._say = say
        self._members = [Member(seat) for seat in seats]
        self._keepers = itertools.count()
        self._load: tuple[LoadForm, Place | None, str | None] | None = None
        self._load_error: Exception | None = None
        self._first: Facts | None = None
        self.store: Place | None = None

    @property
    def n_ready(self) -> int:
        """Workers that take calls."""
        return sum(member.ready for member in self._members)

    @property
    def in_words(self) -> str:
        """How many workers take calls, and how fast they are together, for a progress bar."""
        ready = [member for member in self._members if member.ready]
        rates = [m.n_texts / m.busy_seconds for m in ready if m.busy_seconds]
        lost = len(self._members) - len(ready)
        return (
            f"{len(ready)} workers"
            + (f", {lost} not there" if lost else "")
            + (f", {sum(rates):,.0f} texts/s" if rates else "")
        )

    def load(self, load: LoadForm, store: Place | None, marker: str | None = None) -> Facts:
        """
        Load a model on every worker; returns when the first has it.

        Args:
            load, store, marker: as for Worker.load.

        Raises:
            BadInput, TaskError, StorageError: no worker could load it; what one of them said.
        """
        self._load, self.store = (load, store, marker), store
        self._load_error, self._first = None, None
        for member in self._members:
            member.begin()
            if not member.why_excluded:
                # One that still loads another model might be done with that last.
                self._start(member, anew=member.actor is None or member.loading is not None)
        self.wait()
        return next(member.facts for member in self._members if member.facts is not None)

    def run(self, calls: Iterable[Call]) -> Iterator[tuple[Call, int, Any]]:
        """
        Make calls, a few per worker at a time, in the order of *calls* as far as there is room.

        Args:
            calls: read as workers have room.

        Yields:
            (call, keeper, answer) as they come: what the method returned, or Gone, and what *only*
            must be for calls to the same worker.

        Raises:
            TaskError: a call failed on several workers, or no worker is left.
            GraniteBenchError: a call's error that every worker would meet.
        """
        left, again = iter(calls), deque[Call]()
        under_way: dict[Any, tuple[Member, Call, int]] = {}
        try:
            while True:
                gone = self._hand_out(left, again, under_way)
                yield from ((call, -1, Gone()) for call in gone)
                if not under_way and not again:
                    call = next(left, None)  # with no worker there, none was read
                    if call is None:
                        return
                    again.append(call)
                    continue
                for reference in self._look(under_way):
                    if reference not in under_way:
                        continue
                    member, call, keeper = under_way.pop(reference)
                    if member.keeper == keeper:
                        member.n_under_way -= 1
                    try:
                        answer = self._ray.get(reference)
                    except Exception as error:  # noqa: BLE001 (whatever happens over there)
                        self._failed(member, keeper, call, error)
                        again.append(call)
                        continue
                    self._worked(member, keeper)
                    if isinstance(answer, Failed):
                        raise answer.error
                    if isinstance(answer, ShardDone):
                        member.count(answer)
                    yield call, keeper, answer
        finally:
            for reference, (member, _, keeper) in under_way.items():
                if member.keeper == keeper:
                    member.n_under_way -= 1
                with contextlib.suppress(Exception):  # one that is under way ends by itself
                    self._ray.cancel(reference)

    def wait(self, n_workers: int = 1) -> None:
        """
        Until so many workers take calls.

        Raises:
            BadInput, TaskError, StorageError: as load, where there will not be so many.
        """
        since = time.monotonic()
        while self.n_ready < n_workers:
            loading = {m.loading: m for m in self._members if m.loading is not None}
            if not loading:
                raise self._nobody()
            if time.monotonic() - since > WAIT_SECONDS:
                placed, _ = self._ray.wait([m.placed for m in loading.values()], timeout=0)
                if not placed:
                    raise self._nobody()
            ready, _ = self._ray.wait(list(loading), num_returns=1, timeout=LOOK_SECONDS)
            for reference in ready:
                self._loaded(loading[reference])

    def ask(self, method: str, *arguments: Any) -> Any:
        """
        What a method of the model's backend gives, on any worker; also while calls are made.

        Raises:
            TaskError: no worker could say.
            GraniteBenchError: what the method raised.
        """
        call = Call("ask", (method, *arguments))
        while True:
            self.wait()
            member = min(self._able(call), key=lambda m: m.n_under_way)
            keeper = member.keeper
            try:
                answer = self._ray.get(member.actor.ask.remote(*call.arguments))
            except Exception as error:  # noqa: BLE001 (whatever happens over there)
                self._failed(member, keeper, call, error)
                continue
            if isinstance(answer, Failed):
                raise answer.error
            return answer

    def described(self) -> list[dict[str, Any]]:
        """For the record: what each worker did since the model was loaded."""
        return [member.described() for member in self._members]

    def close(self) -> None:
        """End all workers; what they kept on their own disks goes."""
        closing = [member.actor.close.remote() for member in self._members if member.actor]
        with contextlib.suppress(Exception):  # of workers that are dead already
            self._ray.wait(closing, num_returns=len(closing), timeout=5)
        for member in self._members:
            self._kill(member)

    def _start(self, member: Member, *, anew: bool) -> None:
        """Let a worker load the model, in a new process or in the one that it has."""
        if anew:
            self._kill(member)  # one that Ray only lost sight of keeps the room
            member.keeper = next(self._keepers)
            member.n_under_way = 0
            new = self._ray.remote(Worker).options(
                max_concurrency=CALLS_PER_WORKER + 1, max_restarts=0, **member.seat.options
            )
            member.actor = new.remote(member.seat.device, member.seat.threads)
            member.placed = member.actor.ping.remote()
        if self._load is not None:
            member.facts = None
            member.loading = member.actor.load.remote(*self._load)

    def _hand_out(
        self,
        left: Iterator[Call],
        again: deque[Call],
        under_way: dict[Any, tuple[Member, Call, int]],
    ) -> list[Call]:
        """Give calls to workers with room; the calls that nobody can do any more."""
        gone: list[Call] = []
        later: list[Call] = []
        while any(member.n_under_way < CALLS_PER_WORKER for member in self._trusted()):
            call = again.popleft() if again else next(left, None)
            if call is None:
                break
            # Looked up now: reading a call may have asked workers, and found one dead.
            able = self._able(call)
            free = [member for member in able if member.n_under_way < CALLS_PER_WORKER]
            if not able and call.only is not None:
                gone.append(call)
            elif not free:
                later.append(call)
            else:
                member = min(free, key=lambda m: m.n_under_way)
                reference = getattr(member.actor, call.method).remote(*call.arguments)
                member.n_under_way += 1
                under_way[reference] = member, call, member.keeper
        again.extendleft(reversed(later))
        return gone

    def _trusted(self) -> list[Member]:
        """The workers that take calls; those that failed in a row only where there is no other."""
        ready = [member for member in self._members if member.ready]
        return [member for member in ready if member.n_failures < FAILURES_IN_A_ROW] or ready

    def _able(self, call: Call) -> list[Member]:
        """Who may be given a call, with room or not; where it failed, only if there is no other."""
        if call.only is not None:
            return [m for m in self._members if m.ready and m.keeper == call.only]
        trusted = self._trusted()
        return [m for m in trusted if m.seat.name not in call.failed_on] or trusted

    def _look(self, under_way: dict[Any, Any]) -> list[Any]:
        """What is done of calls and of loading; waits a moment, or for a worker where none is."""
        self.wait()
        loading = {m.loading: m for m in self._members if m.loading is not None}
        waiting = [*under_way, *loading]
        if not waiting:
            return []
        ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=LOOK_SECONDS)
        for reference in ready:
            if reference in loading:
                self._loaded(loading[reference])
        return list(ready)

    def _loaded(self, member: Member) -> None:
        """Take the answer of a worker's load call."""
        reference, member.loading = member.loading, None
        try:
            answer = self._ray.get(reference)
        except Exception as error:  # noqa: BLE001 (whatever happens over there)
            self._failed(member, member.keeper, None, error)
            return
        if isinstance(answer, Failed):
            self._load_error = answer.error if self._first is None else None
            self._idle(member, said_by(answer.error))
            return
        differing = other_versions(answer.packages)
        if differing:
            self._exclude(member, f"it has other versions than the driver: {differing}")
            return
        self._first, self._load_error = self._first or answer, None
        other = other_vectors(answer, self._first)
        if other:
            self._idle(member, f"its vectors would be others: {other}")
            return
        member.facts = answer

    def _idle(self, member: Member, why: str) -> None:
        member.why_idle = why
        self._say(f"{member.seat.name} could not load the model: {why}")

    def _failed(self, member: Member, keeper: int, call: Call | None, error: Exception) -> None:
        """Note a failure; raises when the call has failed too often."""
        said = said_by(error)
        logger.warning("%s: %s", member.seat.name, said, exc_info=error)
        if call is not None:
            call.failed_on.append(member.seat.name)
        if member.keeper == keeper and not member.why_excluded:
            member.n_failures, member.last_failure = member.n_failures + 1, said
            known = self._ray.exceptions
            # Ray ends a worker that takes too much memory, and says so in another way.
            died = isinstance(error, known.RayActorError | known.OutOfMemoryError)
            others = any(other.ready for other in self._members if other is not member)
            if member.n_failures >= FAILURES_IN_A_ROW and (call is None or (died and others)):
                self._exclude_failing(member)
            elif died:
                member.n_deaths += 1
                self._say(f"{member.seat.name} died and is started again: {said}")
                self._start(member, anew=True)
            elif call is None:
                self._start(member, anew=False)
        if call is not None and len(call.failed_on) >= ATTEMPTS:
            for each in self._members:
                each.n_failures = 0
            workers = ", ".join(sorted(set(call.failed_on)))
            raise TaskError(
                f"the same work failed {ATTEMPTS} times, on {workers}: {said}\n"
                "  what was stored is kept; see the log, then run the same command again"
            )

    def _worked(self, member: Member, keeper: int) -> None:
        """Note an answer: others that fail all the time do so for reasons of their own."""
        if member.keeper == keeper:
            member.n_failures = 0
        for other in self._members:
            if other.n_failures >= FAILURES_IN_A_ROW and not other.why_excluded:
                self._exclude_failing(other)

    def _exclude_failing(self, member: Member) -> None:
        why = f"{member.n_failures} failures in a row, the last: {member.last_failure}"
        self._exclude(member, why)

    def _exclude(self, member: Member, why: str) -> None:
        member.why_excluded, member.loading, member.facts = why, None, None
        self._say(f"{member.seat.name} is excluded: {why}")
        self._kill(member)
        member.actor, member.keeper, member.n_under_way = None, -1, 0

    def _kill(self, member: Member) -> None:
        if member.actor is not None:
            with contextlib.suppress(Exception):  # one that is dead already
                self._ray.kill(member.actor)

    def _nobody(self) -> Exception:
        if self._load_error is not None:
            return self._load_error
        whys = [
            f"{m.seat.name}: {m.why_excluded or m.why_idle or 'no room for it'}"
            for m in self._members
        ]
        return TaskError(
            "no worker is left: " + "; ".join(whys) + "\n  what was stored is kept; "
            "run the same command again when the nodes are well"
        )
