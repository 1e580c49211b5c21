"""
Characters per token by script, for texts or models that are not on this machine.

Measured with the tokenizer of all-MiniLM-L6-v2, which is BERT's English one (30,522 words in lower
case), without special tokens, on the passages of XQuAD (240 of each language, one text in all
languages). An English vocabulary spells other scripts letter by letter.

What a multilingual vocabulary does was not measured here. It is taken to need as many tokens for a
passage in any language as the English tokenizer for the English one, so a script has as many more
or fewer characters per token as its passages have characters. Petrov et al. (2023, "Language Model
Tokenizers Introduce Unfairness Between Languages") find vocabularies that were trained on many
languages near such parity, and none quite there. Japanese and Korean, which XQuAD lacks, are from
the texts of ParallelFactsRetrieval in the same way, and code from PythonStdlibRetrieval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from granite_bench.printed import some

ENGLISH = 4.9
"""English passages, by the English tokenizer."""

_MULTILINGUAL = {
    "Latn": 4.9, "Grek": 5.5, "Cyrl": 5.3, "Arab": 4.2, "Deva": 4.7, "Thai": 4.6,
    "Hans": 1.6, "Hant": 1.6, "Hani": 1.6, "Jpan": 2.0, "Hang": 2.4, "Kore": 2.4,
    "Code": 3.2,
}  # fmt: skip

_ENGLISH_ONLY = {
    "Latn": 2.4, "Grek": 1.3, "Cyrl": 1.2, "Arab": 1.2, "Deva": 1.7,
    "Hans": 1.1, "Hant": 1.1, "Hani": 1.1, "Jpan": 1.1, "Hang": 0.7, "Kore": 0.7, "Code": 3.2,
}  # fmt: skip
"""Of Latin scripts Turkish, the lowest of five languages; German, Spanish and Romanian have 3.0 to
3.2. Thai is left out: the tokenizer gives up on it, a word a token."""

FEWEST_OF_AN_ALPHABET = {False: 4.2, True: 1.2}
"""For scripts that were not measured: as the alphabet with the most tokens."""


@dataclass(frozen=True)
class Basis:
    """
    How the tokens of some texts were counted.

    Attributes:
        characters_per_token: without special tokens.
        texts: what they are: "English", a script; empty where a tokenizer counted a sample.
        measured: whether that script was measured.
    """

    characters_per_token: float
    texts: str = ""
    measured: bool = True


def characters_per_token(languages: Sequence[str], *, english_only: bool) -> Basis:
    """
    The figure for texts in some languages.

    Args:
        languages: mteb's codes, such as eng-Latn; of several, the one with the most tokens counts.
        english_only: whether the model's vocabulary is an English one.
    """
    table = _ENGLISH_ONLY if english_only else _MULTILINGUAL
    bases = []
    for code in languages or ["eng-Latn"]:
        language, _, script = code.partition("-")
        if language == "eng":
            bases.append(Basis(ENGLISH, "English"))
        else:
            ratio = table.get(script, FEWEST_OF_AN_ALPHABET[english_only])
            bases.append(Basis(ratio, script, script in table))
    return min(bases, key=lambda basis: basis.characters_per_token)


def bases_text(bases: Iterable[Basis]) -> str:
    """What the tokens were counted by, in a sentence."""
    each = sorted(set(bases), key=lambda basis: basis.texts)
    figures = [f"{b.characters_per_token:.1f} {b.texts}" for b in each if b.texts and b.measured]
    others = [basis for basis in each if basis.texts and not basis.measured]
    said = []
    if any(not basis.texts for basis in each):
        said.append("counted with the model's tokenizer on a sample")
    if figures:
        said.append(f"characters a token: {', '.join(figures)}")
    if others:
        scripts = some([basis.texts for basis in others])
        said.append(f"{others[0].characters_per_token:.1f} for what was not measured ({scripts})")
    return "; ".join(said)
