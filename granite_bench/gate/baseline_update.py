"""Writing a baseline's file: only where nothing stands against it, or somebody says why."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace

from granite_bench import __version__
from granite_bench.comparison.measured import Measured
from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import write_atomically
from granite_bench.gate.baseline import FileBaseline
from granite_bench.gate.baseline_file import HistoryEntry, StoredModel, as_text, values_of
from granite_bench.gate.judgement import Command, Judgement
from granite_bench.gate.sentences import MOST_NAMED
from granite_bench.gate.suite_scores import average_score
from granite_bench.gate.verdicts import Check, Status, Verdict
from granite_bench.printed import some
from granite_bench.provenance import code_revision
from granite_bench.suite.suite import Suite


def with_update(
    check: Check,
    judged: Judgement,
    baseline: FileBaseline,
    suite: Suite,
    candidates: Sequence[Measured],
    accepted: str | None,
    command: Command,
) -> Check:
    """
    Update the baseline, if the check passed or what did not is accepted.

    Nothing that is incomplete is ever written, whatever the policy judges. What is accepted is
    kept with the models that it is of alone: of the others, the best stays what it was.

    Args:
        judged: what the check's verdicts on scores are from.
        accepted: why a drop is; None where nobody says.
        command: runs what a candidate lacks.

    Returns:
        The check with what became of the update; what was accepted passes, and what is missing
        of a candidate is incomplete, whether or not the policy judges it.

    Raises:
        BadInput, StorageError: as update.
    """
    in_the_way = []
    lacking = [each for each in candidates if each.missing]
    if lacking or judged.candidate_incomplete or _other_holes(check, judged):
        if not judged.candidate_incomplete:
            unjudged = [_not_whole(each, command) for each in lacking]
            check = replace(check, verdicts=[*check.verdicts, *unjudged])
        in_the_way.append("something is incomplete")
    elif accepted is None:
        what = {
            "the gate failed": check.of_status(Status.FAILED),
            "the baseline itself is incomplete": judged.baseline_incomplete,
            "not all is like for like": judged.unlike,
        }
        in_the_way = [f"{why} (--accept REASON writes it)" for why, so in what.items() if so]
    if in_the_way:
        note = f"{baseline.path} was not updated: {', '.join(in_the_way)}"
        return replace(check, notes=[*check.notes, note])
    stood = {each.candidate for each in judged.verdicts if each.status is not Status.PASSED}
    reasons = dict.fromkeys(sorted({*stood, *judged.unlike}), accepted) if accepted else {}
    changed = update(baseline, suite, candidates, reasons)
    note = f"updated: {', '.join(changed)}" if changed else "is as before: nothing changed"
    note = f"{baseline.path} {note}"
    check = replace(check, notes=[*check.notes, note], baseline_written=bool(changed))
    if accepted is None:
        return check
    verdicts = [
        each
        if each.status is Status.PASSED
        else replace(each, status=Status.PASSED, sentence=f"{each.sentence}; accepted: {accepted}")
        for each in check.verdicts
    ]
    return replace(check, verdicts=verdicts, baseline_incomplete=False)


def update(
    baseline: FileBaseline,
    suite: Suite,
    candidates: Sequence[Measured],
    accepted: Mapping[str, str],
) -> list[str]:
    """
    Write what was measured to the file, and what changed to its history.

    Args:
        candidates: complete; other models of the file stay as they are.
        accepted: model -> why what stands against it is accepted.

    Returns:
        The models that changed; where there are none, the file is not touched.

    Raises:
        BadInput: somebody else changed the file since it was read.
        StorageError: it cannot be written.
    """
    now = baseline.path.read_bytes() if baseline.path.exists() else None
    if now != baseline.content:
        problem = "was changed by somebody else while this check ran; nothing was written"
        raise BadInput(Fault(str(baseline.path), problem, "run the same command again"))
    models = dict(baseline.models)
    changed = []
    for candidate in candidates:
        before = models.get(candidate.model)
        history = before.history if before is not None else ()
        same = before is not None and _same(before.measured, candidate)
        reason = accepted.get(candidate.model)
        # A reason is an entry even where no score changed: from it on, the best is another one.
        if same and (reason is None or history[-1].accepted == reason):
            continue
        entry = _entry(candidate, suite, reason)
        models[candidate.model] = StoredModel(candidate, (*history, entry))
        changed.append(candidate.model)
    if changed:
        write_atomically(baseline.path, as_text(suite, models).encode())
    return changed


def _not_whole(candidate: Measured, command: Command) -> Verdict:
    """Of one whose holes no rule is for."""
    name = candidate.model
    return Verdict(
        candidate=name,
        baseline=name,
        column="update",
        metric="",
        status=Status.INCOMPLETE,
        rule="a baseline is of the whole suite",
        sentence=f"{name} lacks {some(candidate.missing, MOST_NAMED)}",
        command=command(name, "", missing=True),
    )


def _other_holes(check: Check, judged: Judgement) -> bool:
    """Whether a model of the baseline was left out, or a speed could not be measured."""
    of_scores = sum(each.status is Status.INCOMPLETE for each in judged.verdicts)
    return len(check.of_status(Status.INCOMPLETE)) > of_scores


def _entry(candidate: Measured, suite: Suite, accepted: str | None) -> HistoryEntry:
    scores: dict[str, dict[str, float]] = {}
    versions = set()
    for evaluation, found in sorted(
        candidate.evaluations.items(), key=lambda each: (each[0].label, each[0].metric)
    ):
        scores.setdefault(evaluation.label, {})[evaluation.metric] = found.value
        versions.add(found.provenance.mteb_version)
    commit = code_revision()
    return HistoryEntry(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        revision=candidate.revision,
        granite_bench=f"{__version__} ({commit})" if commit else __version__,
        mteb=", ".join(sorted(each for each in versions if each)) or None,
        accepted=accepted,
        average=average_score(suite, values_of(candidate)),
        scores=scores,
    )


def _same(one: Measured, other: Measured) -> bool:
    """Whether nothing that the file holds of two would differ."""
    if one.revision != other.revision or one.evaluations.keys() != other.evaluations.keys():
        return False
    for evaluation, found in one.evaluations.items():
        also = other.evaluations[evaluation]
        if (found.value, found.provenance) != (also.value, also.provenance):
            return False
        if (found.queries is None) != (also.queries is None):
            return False
        if found.queries is not None and also.queries is not None:
            same_ids = list(found.queries.ids) == list(also.queries.ids)
            if not same_ids or found.queries.values.tolist() != also.queries.values.tolist():
                return False
    return True
