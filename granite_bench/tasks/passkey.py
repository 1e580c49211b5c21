"""
Passkey retrieval by length: a key hidden in filler text, asked for by its owner's name.

The idea is LongEmbed's (Zhu et al., 2024, arXiv:2404.12096): every document of a split has the
same length and the same kind of filler, so only the hidden sentence tells them apart, and a
model that does not read that far cannot find it. The generator and the words are our own.
"""

from __future__ import annotations

import random

from mteb.abstasks.task_metadata import TaskMetadata

from granite_bench.tasks.offline import OfflineRetrievalTask, Qrels, Texts

LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
"""Tokens per document, counted as WORDS_PER_TOKEN words each, whatever the model's tokenizer."""

WORDS_PER_TOKEN = 0.75
N_DOCS = 50
"""Per length; each document is asked for once."""

_GIVEN_NAMES = (
    "Amara Bjarne Chiara Dmitri Esther Farid Greta Hiroshi Ingrid Jamal Katarina Leopold Mireille "
    "Nikhil Oksana Pedro Quentin Rosalind Sanjay Theodora Umberto Valeria Wilhelm Ximena Yusuf"
).split()
_FAMILY_NAMES = (
    "Abernathy Bellweather Castellan Drummond Eastwick Fairbanks Goldsworthy Hollander Ivanhoe "
    "Jessop Kingsley Lockhart Merriweather Northcott Oldfield Pemberton Quillfeather Ravenscroft "
    "Silverstone Thornbury"
).split()
_FILLER = (
    "The morning fog lifted slowly from the fields beside the canal.",
    "A delivery van stopped at the corner and waited for the lights to change.",
    "Somebody had left a blue umbrella leaning against the railings.",
    "The bakery opened early and the smell of bread reached the square.",
    "Two gardeners talked about the late frost and the price of seed.",
    "A train passed over the bridge, and the windows of the café trembled.",
    "Children chalked a long row of numbers on the pavement.",
    "The clock on the town hall was a few minutes slow, as it always was.",
    "In the library an old radiator ticked while readers turned their pages.",
    "The ferry crossed the river twice before the rain began.",
    "A cyclist mended a tyre under the chestnut trees.",
    "Fresh paint dried on the doors along the harbour.",
    "The postman carried a parcel that was larger than his bag.",
    "Clouds gathered over the hills and then drifted out to sea.",
    "A radio in the workshop played the same song again and again.",
    "Nobody noticed the cat that slept on the warm bonnet of a car.",
)


def _documents(length: int) -> tuple[list[str], list[str]]:
    """The owners and the documents of one length; the depths of the keys are spread evenly."""
    # Seeded with a string, random.Random gives the same numbers on every platform and version.
    chance = random.Random(f"passkey-{length}")
    owners = chance.sample(
        [f"{given} {family}" for given in _GIVEN_NAMES for family in _FAMILY_NAMES], N_DOCS
    )
    n_words = int(length * WORDS_PER_TOKEN)
    documents = []
    for number, owner in enumerate(owners):
        key = f"The pass key of {owner} is {chance.randint(10_000, 99_999)}. Remember it."
        words_left = n_words - len(key.split())
        sentences: list[str] = []
        while words_left > 0:
            sentence = chance.choice(_FILLER)
            words = sentence.split()[:words_left]
            sentences.append(" ".join(words))
            words_left -= len(words)
        depth = number / (N_DOCS - 1)
        sentences.insert(round(depth * len(sentences)), key)
        documents.append(" ".join(sentences))
    return owners, documents


class PasskeyByLengthRetrieval(OfflineRetrievalTask):
    """Find the one text that states a person's pass key; a split per text length."""

    metadata = TaskMetadata(
        name="PasskeyByLengthRetrieval",
        description=(
            "A pass key is hidden at an even spread of depths in filler texts of 256 to 8192 "
            "tokens; accuracy@1, a split per length."
        ),
        dataset={"path": "granite-bench/passkey-by-length", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=[f"test_{length}" for length in LENGTHS],
        eval_langs=["eng-Latn"],
        # With one relevant document, nDCG@1 is accuracy@1; mteb's LEMBPasskeyRetrieval says so too.
        main_score="ndcg_at_1",
        date=("2026-11-21", "2026-11-21"),
        domains=["Written"],
        license="apache-2.0",
        sample_creation="created",
    )

    def make_split(self, subset: str, split: str) -> tuple[Texts, Texts, Qrels]:
        """N_DOCS documents of the length that *split* names, and a question for each."""
        owners, documents = _documents(int(split.removeprefix("test_")))
        docs = {f"doc-{number:02}": text for number, text in enumerate(documents)}
        queries = {
            f"query-{number:02}": f"What is the pass key of {owner}?"
            for number, owner in enumerate(owners)
        }
        qrels = {f"query-{number:02}": {f"doc-{number:02}": 1} for number in range(N_DOCS)}
        return docs, queries, qrels
