"""
Whether two models' results are like for like: the same data, scored alike, read alike.

What a model is may differ, its own maximum length and its own prompts with it. What somebody chose
for one of the two (a maximum length, a prompt), or what differs between two results of one model,
makes the difference of their scores mean something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from granite_bench.comparison.measured import Measured, Provenance
from granite_bench.printed import some
from granite_bench.tables.scores import Evaluation
from granite_bench.tables.variant_settings import MAX_LENGTH, name_without

MOST_NAMED = 3
"""Evaluations that are named of those that differ alike."""


@dataclass(frozen=True)
class Unlike:
    """
    One way in which two results are not like for like.

    Attributes:
        kind: a key of KINDS.
        what: both sides, in words.
        labels: of the evaluations.
    """

    kind: str
    what: str
    labels: tuple[str, ...]

    def __str__(self) -> str:
        return f"{some(self.labels, MOST_NAMED)}: {self.what}"


def unlike(one: Measured, other: Measured, evaluations: Iterable[Evaluation]) -> list[Unlike]:
    """
    All ways in which the results of two models differ, where both have them.

    Args:
        evaluations: those that are compared.
    """
    found: dict[tuple[str, str], list[str]] = {}
    choices = _Choices(one, other)
    for evaluation in evaluations:
        first, second = one.evaluations.get(evaluation), other.evaluations.get(evaluation)
        if first is None or second is None:
            continue
        said = {
            kind: rule(first.provenance, second.provenance, choices)
            for kind, rule in _RULES.items()
        }
        if first.queries is not None and second.queries is not None:
            said["queries"] = _queries(first.queries.ids, second.queries.ids)
        for kind, what in said.items():
            if what:
                found.setdefault((kind, what), []).append(evaluation.label)
    return [
        Unlike(kind, what, tuple(dict.fromkeys(labels))) for (kind, what), labels in found.items()
    ]


class _Choices:
    """What tells whether a difference is of the models, or of what somebody chose."""

    def __init__(self, one: Measured, other: Measured) -> None:
        self._settings = (one.settings, other.settings)
        names = [name_without(each.model, each.settings, each.settings) for each in (one, other)]
        self.same_model = names[0] == names[1]

    def chosen(self, *names: str) -> bool:
        """Whether one of the two was given any of these settings."""
        return any(name in settings for settings in self._settings for name in names)


def _dataset(one: Provenance, other: Provenance, _: _Choices) -> str:
    if one.data_sha256 and other.data_sha256:
        if one.data_sha256 == other.data_sha256:
            return ""
        if one.dataset_revision == other.dataset_revision:
            hashes = f"{one.data_sha256[:12]} and {other.data_sha256[:12]}"
            return f"texts or judgements differ (SHA-256 {hashes})"
    revisions = one.dataset_revision, other.dataset_revision
    if not all(revisions) or revisions[0] == revisions[1]:
        return ""
    return f"data set revision {revisions[0][:12]} and {revisions[1][:12]}"


def _mteb(one: Provenance, other: Provenance, _: _Choices) -> str:
    versions = one.mteb_version, other.mteb_version
    if not all(versions) or len({str(each).split(".")[0] for each in versions}) == 1:
        return ""
    return f"mteb {versions[0]} and {versions[1]}: a major release may score a task otherwise"


def _max_length(one: Provenance, other: Provenance, choices: _Choices) -> str:
    if one.max_length is None or other.max_length is None or one.max_length == other.max_length:
        return ""
    shorter = min(one, other, key=lambda made: made.max_length or 0)
    of_choice = choices.same_model or choices.chosen(MAX_LENGTH)
    if shorter.n_truncated == 0 or not of_choice:
        return ""
    what = f"texts cut to {one.max_length:,} and {other.max_length:,} tokens"
    n_cut = shorter.n_truncated
    return what if n_cut is None else f"{what}, which cut {n_cut:,} of them in one of the two"


def _prompts(one: Provenance, other: Provenance, choices: _Choices) -> str:
    if one.prompts is None or other.prompts is None:
        return ""
    if not (choices.same_model or choices.chosen("prompt_query", "prompt_document")):
        return ""
    differing = [
        f"{role} {_quoted(one.prompts, role)} and {_quoted(other.prompts, role)}"
        for role in sorted({*one.prompts, *other.prompts})
        if (one.prompts.get(role) or "") != (other.prompts.get(role) or "")
    ]
    return f"prompts differ: {'; '.join(differing)}" if differing else ""


def _quoted(prompts: Mapping[str, str | None], role: str) -> str:
    return repr(prompts.get(role) or "")


def _candidates(one: Provenance, other: Provenance, _: _Choices) -> str:
    hashes = one.candidates_sha256, other.candidates_sha256
    if not all(hashes) or hashes[0] == hashes[1]:
        return ""
    return "rerankers got different candidates"


def _queries(one: Iterable[str], other: Iterable[str]) -> str:
    first, second = set(one), set(other)
    if first == second:
        return ""
    n_first, n_second = len(first - second), len(second - first)
    both = f"of {len(first | second):,} queries"
    return f"{both}, {n_first:,} are only in the first and {n_second:,} only in the second"


_RULES: Mapping[str, Callable[[Provenance, Provenance, _Choices], str]] = {
    "dataset": _dataset,
    "mteb": _mteb,
    "max_length": _max_length,
    "prompts": _prompts,
    "candidates": _candidates,
}

KINDS: Mapping[str, str] = {
    "dataset": "another revision or content of the data set",
    "mteb": "another major release of mteb",
    "max_length": "texts cut to another maximum length, by choice",
    "prompts": "other prompts, by choice",
    "candidates": "rerankers behind other candidates",
    "queries": "queries that only one of the two has",
}
"""Kinds of differences -> what they are."""

ALL_KINDS = "all"
"""What allows every kind of difference."""
