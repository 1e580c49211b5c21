"""
Ray without processes: actors live here, and calls are done in the order that a test chooses.

What is sent goes through cloudpickle, as with Ray: what does not pickle fails, and arrays arrive
read-only. Nothing happens in the background: a call is done when somebody waits for it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import cloudpickle

WORK = ("encode", "compute")


class RayActorError(Exception):
    """The process of an actor is gone."""


class OutOfMemoryError(Exception):
    """The process of an actor took too much memory, and was ended."""


class TaskCancelledError(Exception):
    """The call was cancelled before it began."""


class RayTaskError(Exception):
    """A method raised *cause*."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"ray::Worker.method() (pid=1)\n{type(cause).__name__}: {cause}")
        self.cause = cause


class Death(BaseException):
    """Raised by whatever runs in an actor: its process ends there and then."""


def sent(value: Any) -> Any:
    """What arrives in another process: a copy, its arrays read-only."""
    buffers: list[pickle.PickleBuffer] = []
    data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in buffers])


@dataclass(eq=False)
class Reference:
    """
    A call of an actor.

    Attributes:
        done: whether there is an answer, or an error.
    """

    actor: Actor
    method: str
    arguments: Any
    done: bool = False
    answer: Any = None
    error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """An error instead of an answer."""
        self.done, self.error = True, error


@dataclass(eq=False)
class Actor:
    """
    A process: an object of a class, once there is room for it.

    Attributes:
        number: of all actors, from 0 on.
        options: as given to options().
        n_done: method -> calls that were begun.
        dead: why it is no more.
    """

    number: int
    make: Callable[[], Any]
    options: dict[str, Any]
    object: Any = None
    n_done: dict[str, int] = field(default_factory=dict)
    calls: list[Reference] = field(default_factory=list)
    dead: Exception | None = None

    def die(self, error: Exception | None = None) -> None:
        """As when its process is killed: what it had not answered fails."""
        self.dead = error or RayActorError("The actor died unexpectedly before finishing this task")
        for call in self.calls:
            if not call.done:
                call.fail(self.dead)


class Handle:
    """What the driver has of an actor."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)

        def remote(*arguments: Any) -> Reference:
            call = Reference(self.actor, method, sent(arguments))
            self.actor.calls.append(call)
            if self.actor.dead is not None:
                call.fail(self.actor.dead)
            return call

        return SimpleNamespace(remote=remote)


def fair(calls: list[Reference]) -> list[Reference]:
    """One call: a load before others, then the first one of the actor that has done least."""
    return [min(calls, key=lambda c: (c.method != "load", sum(c.actor.n_done.values())))]


Fault = Callable[[Actor, str], Any]
"""Called before a method of an actor: "dies before", "dies after", an exception to raise, None."""


class FakeRay:
    """
    As the module.

    Args:
        choose: of the calls that can be done and that somebody waits for, those that are done
            next, one after the other.

    Attributes:
        actors: all there ever were.
        fault: what goes wrong; see Fault.
        full: seats (the option "seat") where there is no room for a new actor.
        cancelled: calls that the driver cancelled.
        most_at_once: calls of WORK that were open on one actor.
    """

    exceptions = SimpleNamespace(RayActorError=RayActorError, OutOfMemoryError=OutOfMemoryError)

    def __init__(self, choose: Callable[[list[Reference]], Iterable[Reference]] = fair) -> None:
        self.choose = choose
        self.actors: list[Actor] = []
        self.fault: Fault = lambda actor, method: None
        self.full: set[str] = set()
        self.cancelled: list[Reference] = []
        self.most_at_once = 0

    def remote(self, class_: type) -> Any:
        """ray.remote(class).options(...).remote(...)."""

        def options(**options: Any) -> Any:
            def remote(*arguments: Any) -> Handle:
                arrived = sent(arguments)
                actor = Actor(len(self.actors), lambda: class_(*arrived), options)
                self.actors.append(actor)
                return Handle(actor)

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(options=options)

    def wait(
        self, references: list[Reference], *, num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Reference], list[Reference]]:
        """Those that are done; where none is and there is time, some are done now."""
        if not references or len(set(references)) < len(references):
            raise ValueError("ray.wait wants different references, and at least one")
        if not 0 < num_returns <= len(references):
            raise ValueError(f"{num_returns} of {len(references)} references")
        for each in references:
            n_open = sum(c.method in WORK and not c.done for c in each.actor.calls)
            self.most_at_once = max(self.most_at_once, n_open)
            if each.method == "ping" and self._has_room(each.actor):  # its process is there
                self._do(each)
        while sum(each.done for each in references) < num_returns and timeout != 0:
            able = [each for each in references if not each.done and self._has_room(each.actor)]
            if not able:
                break
            for each in list(self.choose(able)):
                self._do(each)
        ready = [each for each in references if each.done]
        return ready, [each for each in references if not each.done]

    def get(self, reference: Reference) -> Any:
        """The answer, as it arrives; raises what Ray would raise."""
        self._do(reference)
        if reference.error is not None:
            raise reference.error
        assert reference.done, "this call would be waited for without end"
        return sent(reference.answer)

    def kill(self, handle: Handle) -> None:
        """End an actor."""
        handle.actor.die()

    def cancel(self, reference: Reference) -> None:
        """A call that has not begun is not done."""
        self.cancelled.append(reference)
        if not reference.done:
            reference.fail(TaskCancelledError())

    def alive(self, seat: str) -> Actor:
        """The actor that has a seat."""
        [actor] = [a for a in self.actors if a.options.get("seat") == seat and a.dead is None]
        return actor

    def _has_room(self, actor: Actor) -> bool:
        return actor.object is not None or actor.options.get("seat") not in self.full

    def _do(self, call: Reference) -> None:
        actor = call.actor
        if call.done or not self._has_room(actor):
            return
        try:
            if actor.object is None:
                actor.object = actor.make()
            fault = None if call.method == "ping" else self.fault(actor, call.method)
            actor.n_done[call.method] = actor.n_done.get(call.method, 0) + 1
            if fault == "dies before":
                raise Death
            if isinstance(fault, OutOfMemoryError):
                actor.die(fault)
                return
            if isinstance(fault, Exception):
                raise fault
            answer = sent(getattr(actor.object, call.method)(*call.arguments))
            if fault == "dies after":
                raise Death
            call.done, call.answer = True, answer
        except Death:
            actor.die()
        except Exception as error:  # noqa: BLE001 (whatever a method raises is sent back)
            call.fail(RayTaskError(error))
