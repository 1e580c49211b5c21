"""A model as it reads texts: its maximum length, its tokenizer where that is on this machine."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.errors import BadInput
from granite_bench.forecast.estimate import Estimate
from granite_bench.forecast.languages import Basis, characters_per_token
from granite_bench.models import ModelSource
from granite_bench.models.folder import own_max_length
from granite_bench.speed.geometry import Geometry
from granite_bench.speed.geometry_table import find_geometry

SPECIAL_TOKENS = 2
"""Around every text. Prompts are not counted; they are a few tokens of a query."""

SAMPLED_CHARACTERS = 4_000
"""Of a text that is tokenised for its characters per token."""


class Reader:
    """What is known of a model without loading it; files of it are read where they are."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source

    @cached_property
    def geometry(self) -> Geometry | None:
        """The model's shape, from the table or from its config.json; None where neither says."""
        names = [str(self.source.files)] if self.source.files is not None else []
        for name in [*names, self.source.meta.name or ""]:
            try:
                return find_geometry(name)
            except BadInput:
                continue
        return None

    @cached_property
    def max_length(self) -> int | None:
        """Tokens of a text that the model reads; None where nobody says."""
        if self.source.max_length is not None:
            return self.source.max_length
        lengths = [own_max_length(self.source.files)]
        if self.geometry is not None:
            lengths.append(self.geometry.max_length)
        known = [each for each in lengths if each is not None]
        if known:
            return min(known)
        own = self.source.meta.max_tokens
        return None if own is None or math.isinf(own) else int(own)

    @cached_property
    def dtype(self) -> tuple[str, str]:
        """What the weights are loaded as, and who says so."""
        if self.source.loading.dtype is not None:
            return self.source.loading.dtype, "--dtype"
        arguments: dict[str, Any] = self.source.meta.loader_kwargs or {}
        own = arguments.get("model_kwargs", {})
        named = own.get("dtype", own.get("torch_dtype"))
        if named is None:
            config = self._config
            named, who = config.get("dtype", config.get("torch_dtype")), "its config.json"
        else:
            who = "mteb's metadata"
        name = str(named).removeprefix("torch.")
        if name in ("float32", "bfloat16", "float16"):
            return name, who
        here = self.source.files is not None
        return "float32", f"assumed: {'its config names none' if here else 'no files are here'}"

    def characters_per_token(self, sample: Sequence[str], languages: Sequence[str]) -> Basis:
        """
        How many characters make a token, special ones left out, and how that is known.

        Args:
            sample: texts, if there are any here.
            languages: mteb's codes of what the texts are in.
        """
        if sample and self._tokenizer is not None:
            cut = [text[:SAMPLED_CHARACTERS] for text in sample]
            encoded = self._tokenizer.encode_batch(cut, add_special_tokens=False)
            n_tokens = sum(len(each.ids) for each in encoded)
            ratio = sum(map(len, cut)) / max(1, n_tokens)
            return Basis(max(ratio, 0.1))
        english = [str(each) for each in self.source.meta.languages or ()] == ["eng-Latn"]
        return characters_per_token(languages, english_only=english)

    def read_tokens(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Tokens that the model reads of texts with so many each."""
        whole = np.ceil(counts) + SPECIAL_TOKENS
        return whole if self.max_length is None else np.minimum(whole, self.max_length)

    def mean_tokens(self, mean: float, longest: float) -> Estimate:
        """
        Tokens that the model reads of a text, of texts of which the mean and the longest is known.

        Where some are cut, all being as long as the mean gives the most that they can come to;
        lengths that fall off exponentially from zero stand for the least.
        """
        mean, longest = mean + SPECIAL_TOKENS, longest + SPECIAL_TOKENS
        if self.max_length is None or longest <= self.max_length:
            return Estimate.exactly(mean)
        most = min(mean, self.max_length)
        least = min(most, mean * -math.expm1(-self.max_length / mean))
        return Estimate(least, (least + most) / 2, most)

    @cached_property
    def _tokenizer(self) -> Any:
        """The model's fast tokenizer; None where its file is not here, or is no such file."""
        if self.source.files is None:
            return None
        from tokenizers import Tokenizer

        try:
            found = Tokenizer.from_file(str(self.source.files / "tokenizer.json"))
        except Exception:  # noqa: BLE001 (the library has no class of its own for it)
            return None
        found.no_truncation()
        found.no_padding()
        return found

    @property
    def _config(self) -> dict[str, Any]:
        """The model's config.json; empty where it is not here."""
        if self.source.files is None:
            return {}
        try:
            said = json.loads((self.source.files / "config.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}
