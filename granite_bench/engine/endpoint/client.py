"""
One JSON request to a server, repeated until it is answered or explained.

The client is httpx2's, which is safe to share between threads. The openai package repeats
requests too, but an answer cut short or with a vector missing counts as an answer to it, it has no
/rerank, and requests in flight do not share a pause that the server asked for. mteb's
OpenAIAPIEncodeWrapper sends one request at a time, repeats without a pause, and fails at a 429.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

import httpx2

from granite_bench.engine.endpoint.address import (
    KEY_VARIABLE,
    addresses,
    endpoint_faults,
    is_this_machine,
    key_for,
)
from granite_bench.engine.endpoint.answers import tokens_of
from granite_bench.engine.endpoint.errors import (
    EndpointError,
    NotThere,
    Refused,
    Unreadable,
    is_out_of_quota,
    message_of,
    quoted,
)
from granite_bench.engine.endpoint.retry import (
    MOST_BEFORE_CONTACT,
    MOST_FAILURES,
    MOST_OPTIONAL,
    MOST_TIMEOUTS,
    MOST_UNREADABLE,
    is_worth_repeating,
    may_be_too_much,
    pause_seconds,
    retry_after,
)
from granite_bench.errors import BadInput, first_line

logger = logging.getLogger(__name__)

CONCURRENCY = 8
CONNECT_SECONDS = 10.0

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Stopped(Exception):
    """Another request of the same batch failed for good."""


@dataclass(frozen=True)
class Usage:
    """
    What requests took, added up.

    Attributes:
        n_requests: sent, repeated ones included.
        n_repeated: of these, sent again after a failure.
        n_tokens: as the server counts them, and bills them where it bills.
        n_uncounted: answers that did not say how many tokens they took.
        pause_seconds: spent between failures and the next try, over all requests.
    """

    n_requests: int = 0
    n_repeated: int = 0
    n_tokens: int = 0
    n_uncounted: int = 0
    pause_seconds: float = 0.0

    def since(self, earlier: Usage) -> Usage:
        """What came after *earlier*."""
        return Usage(
            *(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True))
        )

    def price(self, per_million_tokens: float) -> float | None:
        """In the currency of *per_million_tokens*; None where some answer had no token count."""
        return None if self.n_uncounted else self.n_tokens * per_million_tokens / 1e6


class Endpoint:
    """
    A server, asked with many requests at a time.

    Args:
        url: the base of its API, with or without /v1.
        key_variable: the environment variable of the key; see address.key_for.
        concurrency: requests in flight at once; None is CONCURRENCY.
        timeout_seconds: without a byte of the answer.
        patience_seconds: pauses of one request, added up, after which it is given up.
        sleep, clock: wait so many seconds, and tell the time in seconds; for tests.

    Attributes:
        url: the base, as records have it.
        usage: what all requests so far took.

    Raises:
        BadInput: no such URL, or a variable that is not set.
    """

    def __init__(
        self,
        url: str,
        *,
        key_variable: str | None = None,
        concurrency: int | None = None,
        timeout_seconds: float = 120.0,
        patience_seconds: float = 600.0,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        faults = endpoint_faults(url, key_variable)
        if faults:
            raise BadInput(faults)
        self.url = url.rstrip("/")
        self.concurrency = concurrency or CONCURRENCY
        self.usage = Usage()
        self._key = key_for(url, key_variable)
        self._key_variable = key_variable or KEY_VARIABLE
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._stop = threading.Event()
        self._sleep = sleep or self._stop.wait  # ends early when another request failed
        self._clock = clock
        self._lock = threading.Lock()
        self._pause_until = 0.0
        self._was_reached = False
        self._found: dict[str, str] = {}
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx2.Timeout(timeout_seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=self.concurrency),
            trust_env=not is_this_machine(url),  # no proxy for a server on this machine
        )

    def post(
        self,
        route: str,
        body: Mapping[str, Any],
        read: Callable[[Any], Answer],
        *,
        divisible: bool = False,
    ) -> Answer:
        """
        Send a request until its answer can be read.

        Args:
            route: such as /embeddings, looked for with and without /v1.
            read: makes of the JSON what is returned; raises Unreadable. The tokens of an answer
                that it cannot use are counted too: they are paid for.
            divisible: whether the caller can send less at once; then Refused is also raised
                where the server is too slow for all of it.

        Raises:
            Refused, NotThere, EndpointError: as their names say.
        """

        def counted(answer: Any) -> Answer:
            n_tokens = tokens_of(answer)
            self._count(n_tokens=n_tokens or 0, n_uncounted=int(n_tokens is None))
            return read(answer)

        places = [self._found[route]] if route in self._found else addresses(self.url, route)
        missing: list[NotThere] = []
        for address in places:
            try:
                answer = self._ask("POST", address, body, counted, divisible=divisible)
            except NotThere as error:
                missing.append(error)
                continue
            self._found[route] = address
            return answer
        # Of two servers' words for "not found", the longer says which model is not there.
        raise max(missing, key=lambda error: len(str(error)))

    def get(self, address: str) -> Any | None:
        """
        The JSON at an address; None where the server, which is there, has none for us.

        Raises:
            EndpointError: the server cannot be reached.
        """
        try:
            return self._ask(
                "GET", address, None, lambda answer: answer, most_failures=MOST_OPTIONAL
            )
        except EndpointError as error:
            if not self._was_reached:
                raise
            if error.status is None or is_worth_repeating(error.status):
                reason = first_line(error)
                logger.warning("%s; what the server says there is left out", reason)
            return None

    def in_flight(self, ask: Callable[[Item], object], items: Iterable[Item]) -> None:
        """
        Call *ask* on every item in threads, as many at once as the endpoint's concurrency.

        After a failure no further request is sent; those on their way are waited for, because
        they are paid for.

        Raises:
            The first failure of *ask*.
        """
        failure: Exception | None = None

        def ask_unless_stopped(item: Item) -> None:
            try:
                ask(item)
            except Exception:
                self._stop.set()  # at once: this thread takes the next item
                raise

        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            for future in as_completed([pool.submit(ask_unless_stopped, item) for item in items]):
                try:
                    future.result()
                except _Stopped:
                    continue
                except Exception as error:  # noqa: BLE001 (raised below)
                    failure = failure or error
        except BaseException:
            self._stop.set()  # for good: the program ends
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        self._stop.clear()
        if failure is not None:
            raise failure

    def _count(self, **more: float) -> None:
        """Add to the usage; from any thread."""
        with self._lock:
            now = {name: getattr(self.usage, name) + value for name, value in more.items()}
            self.usage = Usage(**{**vars(self.usage), **now})

    def _ask(
        self,
        method: str,
        address: str,
        body: Mapping[str, Any] | None,
        read: Callable[[Any], Answer],
        *,
        divisible: bool = False,
        most_failures: int = MOST_FAILURES,
    ) -> Answer:
        tries = _Tries(f"{method} {address}", most_failures)
        while True:
            self._wait_for_turn()
            self._count(n_requests=1, n_repeated=1 if tries.n_sent else 0)
            tries.n_sent += 1
            asked: float | None = None
            tries.status = None
            try:
                response = self._client.request(method, address, json=body)
                self._was_reached = True
                tries.status = response.status_code
                if response.is_success:
                    return read(self._json(tries, response))
                trouble = self._trouble(response)
                if not is_worth_repeating(response.status_code) or is_out_of_quota(response):
                    raise self._refusal(tries, response, trouble)
                asked = retry_after(response.headers)
                # A server that sets the pace is asked again until patience ends.
                tries.n_failures += response.status_code != 429
                tries.n_busy += response.status_code == 429
            except httpx2.TimeoutException as error:
                trouble = f"no answer within {self._timeout_seconds:g} s"
                if isinstance(error, httpx2.ConnectTimeout):
                    trouble = f"no connection within {CONNECT_SECONDS:g} s"
                tries.n_timeouts += 1
                tries.n_failures += 1
            except httpx2.RequestError as error:
                trouble = self._quoted(f"the connection failed ({error or type(error).__name__})")
                tries.n_failures += 1
            except Unreadable as error:
                trouble = f"the answer cannot be used: {self._quoted(str(error))}"
                tries.n_unreadable += 1
                tries.n_failures += 1
            self._pause(tries, trouble, asked, divisible)

    def _pause(self, tries: _Tries, trouble: str, asked: float | None, divisible: bool) -> None:
        """Wait before the next try, or raise where there will be none."""
        if divisible and tries.n_timeouts >= MOST_TIMEOUTS:
            raise Refused(f"{tries.request}: {trouble}")
        most = tries.most_failures if self._was_reached else MOST_BEFORE_CONTACT
        if tries.n_failures >= most or tries.n_unreadable >= MOST_UNREADABLE:
            raise self._given_up(tries, trouble)
        pause = pause_seconds(tries.n_failures + tries.n_busy, asked)
        if tries.paused_seconds + pause > self._patience_seconds:
            wanted = f"; it asks to wait {asked:,.0f} s" if asked else ""
            raise self._given_up(tries, trouble + wanted)
        logger.info("%s: %s; again in %.1f s", tries.request, trouble, pause)
        if asked:
            with self._lock:
                self._pause_until = max(self._pause_until, self._clock() + asked)
        tries.paused_seconds += pause
        self._count(pause_seconds=pause)
        self._sleep(pause)

    def _wait_for_turn(self) -> None:
        """A pause that the server asked one request for holds for all."""
        while not self._stop.is_set():
            left = self._pause_until - self._clock()
            if left <= 0:
                return
            self._sleep(left)
        raise _Stopped

    def _json(self, tries: _Tries, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except (ValueError, RecursionError) as error:
            if "html" in response.headers.get("content-type", "") or response.text[:1] == "<":
                raise EndpointError(
                    f"{tries.request}: a web page came back, not JSON\n"
                    "  give the base of the API, such as https://api.openai.com/v1",
                    response.status_code,
                ) from None
            raise Unreadable(f"it is no JSON ({error})") from None

    def _trouble(self, response: httpx2.Response) -> str:
        said = self._quoted(message_of(response))
        status = f"{response.status_code} {response.reason_phrase}".strip()
        return f"{status}: {said}" if said else status

    def _refusal(self, tries: _Tries, response: httpx2.Response, trouble: str) -> EndpointError:
        """The error for a status that no repetition changes."""
        status = response.status_code
        if status in (404, 405):
            return NotThere(f"{tries.request}: {trouble}", status)
        if may_be_too_much(status):
            return Refused(f"{tries.request}: {trouble}", status)
        hint = "the server's word is final; ask whoever runs it"
        if status in (401, 403):
            hint = f"the key in the environment variable {self._key_variable} was sent"
            if self._key is None:
                hint = (
                    "no key was sent; name the environment variable that holds it: "
                    f"--api-key-env {self._key_variable}"
                )
        elif response.is_redirect:
            place = self._quoted(response.headers.get("location", ""))
            hint = f"it points to {place}; give the base of that address to --endpoint"
        elif status == 429:
            hint = "the account has no more to spend; what is encoded is kept"
        return EndpointError(f"{tries.request}: {trouble}\n  {hint}", status)

    def _given_up(self, tries: _Tries, trouble: str) -> EndpointError:
        times = "once" if tries.n_sent == 1 else f"{tries.n_sent} times"
        hint = "what is encoded is kept; the same command goes on from there"
        if not self._was_reached:
            hint = "is the server running, and is this its address?"
        elif tries.n_timeouts:
            hint += " (a slow server may want --concurrency 1)"
        return EndpointError(
            f"{tries.request}: {trouble}\n"
            f"  given up after asking {times} and pausing {tries.paused_seconds:,.0f} s; {hint}",
            tries.status,
        )

    def _quoted(self, text: str) -> str:
        return quoted(text, self._key)


@dataclass
class _Tries:
    """What became of one request so far; *status* is that of the last answer."""

    request: str
    most_failures: int
    status: int | None = None
    n_sent: int = 0
    n_failures: int = 0
    n_busy: int = 0
    n_timeouts: int = 0
    n_unreadable: int = 0
    paused_seconds: float = 0.0
