"""Verdicts on speed: measured in turns with the baseline's model, here and now, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_bench.comparison.measured import Measured
from granite_bench.gate.policy import SpeedRule
from granite_bench.gate.sentences import speed_rule_text, speed_text
from granite_bench.gate.verdicts import Status, Verdict
from granite_bench.offline.mirror import NO_REVISION, mirror_folder
from granite_bench.results.speed_comparison import Ratio
from granite_bench.tables.variant_settings import name_without

if TYPE_CHECKING:
    from granite_bench.models import ModelSource

SPEED = "speed"
"""The column of speeds."""


def speed_to(
    candidate: ModelSource | None,
    against: Measured,
    argument: str | None,
    rule: SpeedRule,
    options: Mapping[str, Any],
    say: Callable[[str], None],
) -> tuple[Ratio, str] | str:
    """
    A candidate's speed to that of the baseline's model.

    Args:
        candidate: None where nothing may be run.
        argument: an id or a folder that the baseline's model is loaded from; None is its name.
        options: of the run: device, padding, compile, mirror, trusted.

    Returns:
        As speed_ratio.speed_ratio.

    Raises:
        BadInput: there is no such protocol.
    """
    if candidate is None:
        return "nothing is run with --no-run; leave it out"
    from granite_bench.devices import best_device
    from granite_bench.gate.speed_ratio import SharedOptions, Side, speed_ratio
    from granite_bench.speed.protocol import find_protocol

    argument = argument or name_without(against.model, against.settings, against.settings)
    if argument.startswith("local/") and not Path(argument).is_dir():
        return f"the baseline's {argument} is a folder; name it with --speed-against"
    shared = SharedOptions(
        find_protocol(rule.protocol),
        options.get("device") or best_device(),
        options.get("padding"),
        bool(options.get("compile")),
        mirror_folder(options.get("mirror")),
        tuple(options.get("trusted") or ()),
    )
    revision = None if against.revision == NO_REVISION else against.revision
    return speed_ratio(
        Side(candidate.name, candidate.argument, candidate.revision, candidate.settings),
        Side(against.model, argument, revision, against.settings),
        shared,
        say,
    )


def speed_verdict(
    candidate: str,
    baseline: str,
    found: tuple[Ratio, str] | str,
    rule: SpeedRule,
    command: str,
) -> Verdict:
    """
    Judge a speed.

    Args:
        found: its ratio to the baseline's and the unit, from measurements in turns; or why there
            is none.
    """
    allowed = speed_rule_text(rule)
    if isinstance(found, str):
        sentence = f"the speed cannot be judged: {found}"
        return Verdict(
            candidate, baseline, SPEED, "", Status.INCOMPLETE, allowed, sentence, command
        )
    ratio, unit = found
    lower = ratio.value < rule.min_ratio
    clear = not rule.significant or ratio.high is None or ratio.high < rule.min_ratio
    said = f", and the policy asks for {rule.min_ratio:g}" if lower else ""
    if lower and not clear:
        said = f", less than the {rule.min_ratio:g} that the policy asks for, but not clearly"
    return Verdict(
        candidate,
        baseline,
        SPEED,
        f"{unit}/s",
        Status.FAILED if lower and clear else Status.PASSED,
        allowed,
        speed_text(ratio, unit, rule) + said,
        command,
        ratio=ratio,
        improved=ratio.low is not None and ratio.low > 1,
    )
