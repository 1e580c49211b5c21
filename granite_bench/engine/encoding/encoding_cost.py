"""What encoding took, in numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class EncodingCost:
    """
    What encoding took, added up over calls.

    Attributes:
        n_texts: texts asked for.
        n_unique: different texts among them, per call.
        n_encoded: of these, encoded now; the others came from the store.
        n_truncated: of n_unique, longer than the model's maximum length.
        n_tokens_encoded: tokens of the texts encoded now, truncated, without padding.
        n_tokens_padded: the same with the padding of their batches.
        encode_seconds: model, and waiting for the tokenizer, for the texts encoded now; of several
            workers, the sum.
        store_seconds: reading and writing vectors.
    """

    n_texts: int = 0
    n_unique: int = 0
    n_encoded: int = 0
    n_truncated: int = 0
    n_tokens_encoded: int = 0
    n_tokens_padded: int = 0
    encode_seconds: float = 0.0
    store_seconds: float = 0.0

    def add(self, other: EncodingCost) -> None:
        """Count what another call took as well."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
