"""When a request is repeated, and after how long: pure functions over what a server answered."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_FAILURES = 8
"""Tries of one request; a server that asks for a pause (429) is asked again until patience ends."""

MOST_BEFORE_CONTACT = 3
"""Tries to reach a server that has not answered anything yet: a wrong port should not take long."""

MOST_OPTIONAL = 3
"""Tries of a question that need not be answered: some gateways say 500 to any unknown path."""

MOST_UNREADABLE = 3
"""Tries where the answer is a 200 that makes no sense: each may have to be paid for."""

MOST_TIMEOUTS = 2
"""Timeouts of a request with several inputs, before it is sent in halves."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0

# 424: text-embeddings-inference for an inference that failed; 409: a lock, with OpenAI.
_AGAIN = frozenset({408, 409, 424, 425, 429})
_NEVER = frozenset({501, 505})


def is_worth_repeating(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _AGAIN or (status >= 500 and status not in _NEVER)


def may_be_too_much(status: int) -> bool:
    """Whether a smaller request may be accepted; servers say it with any of these."""
    return status in (400, 413, 422)


def pause_seconds(n_failures: int, asked: float | None) -> float:
    """
    How long to wait before a request is repeated.

    Args:
        n_failures: so far, at least 1; the pause doubles with each.
        asked: what the server asked for, in seconds; then that, and a little more so that not
            all requests come back at once.
    """
    if asked is not None:
        return asked + random.uniform(0, FIRST_PAUSE_SECONDS)
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(n_failures - 1, 30))
    return longest * random.uniform(0.5, 1)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """
    Seconds that a server asks to wait: its Retry-After, a number or a date; None if it does not.

    Args:
        now: the time that a date is compared with; None is the clock's.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        # A date without a zone is UTC: RFC 9110, 5.6.7.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - (now or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else max(seconds, 0.0)
