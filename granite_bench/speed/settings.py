"""How a model runs while it is measured, and several such ways in one measurement."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from granite_bench.errors import BadInput, Fault

LEAST_LENGTH = 3
"""Tokens: a word between two special ones."""


@dataclass(frozen=True)
class Settings:
    """
    How a model runs; None leaves a choice to the model, for batches to the protocol.

    Attributes:
        device: torch's name.
        dtype: of the weights, torch's name.
        max_length: tokens per text.
        padding, compile: as for SentenceTransformersBackend.
        batch_size: texts per batch.
        token_budget: padded tokens per batch.
    """

    device: str
    dtype: str | None = None
    max_length: int | None = None
    padding: bool | None = None
    compile: bool = False
    batch_size: int | None = None
    token_budget: int | None = None

    @property
    def as_loaded(self) -> Settings:
        """What two settings share when one loaded model serves both: all but the batches."""
        return replace(self, batch_size=None, token_budget=None)

    @property
    def pads(self) -> bool:
        """Whether texts are padded for certain: only models without padding are compiled."""
        return self.padding or (self.padding is None and not self.device.startswith("cuda"))


def vary(
    device: str,
    *,
    dtypes: Sequence[str | None] = (None,),
    max_lengths: Sequence[int | None] = (None,),
    paddings: Sequence[bool | None] = (None,),
    compiles: Sequence[bool] = (False,),
    batch_sizes: Sequence[int | None] = (None,),
    token_budgets: Sequence[int | None] = (None,),
) -> list[Settings]:
    """
    Every combination of these, each once, the last named varying fastest.

    A model that pads is not compiled, so padding with and without compiling is one of them.

    Raises:
        BadInput: a length without room for a word, or models compiled that all pad.
    """
    choices = dtypes, max_lengths, paddings, compiles, batch_sizes, token_budgets
    combined = [Settings(device, *values) for values in itertools.product(*choices)]
    found = [replace(each, compile=each.compile and not each.pads) for each in combined]
    faults = [
        Fault(
            "--max-length", f"{length} tokens leave no room for a word", f"{LEAST_LENGTH} or more"
        )
        for length in max_lengths
        if length is not None and length < LEAST_LENGTH
    ]
    if any(compiles) and not any(each.compile for each in found):
        faults.append(Fault("--compile", "compiles models without padding only", "--no-padding"))
    if faults:
        raise BadInput(faults)
    return list(dict.fromkeys(found))


def labels(name: str, every: Sequence[Settings]) -> list[str]:
    """A model under each of the settings, told apart by those that differ."""
    varied = [
        field.name for field in fields(Settings) if len({getattr(s, field.name) for s in every}) > 1
    ]
    own = [", ".join(_said(each, field) for field in varied) for each in every]
    return [f"{name} ({said})" if said else name for said in own]


def _said(settings: Settings, field: str) -> str:
    value = getattr(settings, field)
    if field == "padding":
        return "padding" if value else "no padding"
    if field == "compile":
        return "compiled" if value else "not compiled"
    return f"{field.replace('_', ' ')} {value}"
