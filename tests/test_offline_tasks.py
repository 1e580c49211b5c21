"""The built-in tasks: the same data everywhere, and what they claim; tasks found by name."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from granite_bench.errors import BadInput
from granite_bench.tasks import BUILT_IN, find_task, restrict, sizes
from granite_bench.tasks.parallel_facts import LANGUAGES, SUBSETS, ParallelFactsRetrieval
from granite_bench.tasks.passkey import (
    LENGTHS,
    N_DOCS,
    WORDS_PER_TOKEN,
    PasskeyByLengthRetrieval,
)
from granite_bench.tasks.python_stdlib import (
    MAX_DOC_CHARS,
    MIN_DOC_CHARS,
    MIN_QUERY_WORDS,
    PythonStdlibRetrieval,
)

SHARED = Path(__file__).parents[2] / "shared"

# Unicode's name of a letter starts with its script.
SCRIPTS = {
    "en": "LATIN",
    "de": "LATIN",
    "es": "LATIN",
    "ru": "CYRILLIC",
    "el": "GREEK",
    "ar": "ARABIC",
    "hi": "DEVANAGARI",
    "zh": "CJK",
    "ja": "HIRAGANA|KATAKANA|CJK",
    "ko": "HANGUL",
}

# mteb warns about each of its beta tasks when its names are listed.
pytestmark = pytest.mark.filterwarnings("ignore:The task '.*' is currently in beta:UserWarning")


def _hashes() -> dict[str, list[str]]:
    """Revision, and hash of all data in their order, of every built-in task."""
    hashes = {}
    for name, make in BUILT_IN.items():
        task: Any = make()
        digest = hashlib.sha256()
        for subset in task.hf_subsets:
            for split in task.eval_splits:
                made = task.make_split(subset, split)
                digest.update(json.dumps([subset, split, *made]).encode())
        hashes[name] = [task.metadata.revision, digest.hexdigest()]
    return hashes


@pytest.fixture(scope="module")
def stdlib() -> Any:
    """Documents, queries and judgements of PythonStdlibRetrieval."""
    return PythonStdlibRetrieval().make_split("default", "test")


@pytest.fixture(scope="module", params=LENGTHS)
def passkeys(request: pytest.FixtureRequest) -> tuple[int, Any]:
    """A length, and the documents, queries and judgements of its split."""
    made = PasskeyByLengthRetrieval().make_split("default", f"test_{request.param}")
    return request.param, made


# Every built-in task


def test_data_are_the_same_in_every_process() -> None:
    """Order included: this process and another one, whose hashes of strings differ."""
    other = subprocess.run(
        [sys.executable, __file__],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
    )
    assert json.loads(other.stdout) == _hashes()


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_task_is_found_by_its_name(name: str) -> None:
    """The name in the table is the name of the task."""
    assert find_task(name).metadata.name == name


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_query_has_a_relevant_document_that_is_there(name: str) -> None:
    """In every subset and split."""
    task: Any = find_task(name)
    for subset in task.hf_subsets:
        for split in task.eval_splits:
            docs, queries, qrels = task.make_split(subset, split)
            assert set(qrels) == set(queries)
            assert all(judged and set(judged) <= set(docs) for judged in qrels.values())


def test_loaded_data_are_what_mteb_reads() -> None:
    """Ids and texts as columns, judgements as whole numbers, one entry per subset and split."""
    task = restrict(ParallelFactsRetrieval(), subsets=["ru-en"])
    task.load_data()
    assert task.dataset is not None
    data = task.dataset["ru-en"]["test"]
    assert list(task.dataset) == ["ru-en"]
    assert data["corpus"].column_names == ["id", "text"]
    assert data["relevant_docs"]["fact-01-ru"] == {"fact-01": 1}


def test_sizes_are_counted_without_leaving_the_data_in_memory() -> None:
    """Planning a run over many tasks must not hold them all."""
    task = restrict(PasskeyByLengthRetrieval(), splits=["test_256"])
    assert sizes(task) == {("test_256", "default"): (N_DOCS, N_DOCS)}
    assert not task.dataset


# PythonStdlibRetrieval


def test_stdlib_has_more_than_a_thousand_functions(stdlib: Any) -> None:
    """Of the running interpreter; 2,595 documents with CPython 3.11."""
    docs, queries, _ = stdlib
    assert len(docs) > 1000
    assert len(queries) > 1000


def test_stdlib_documents_do_not_contain_their_query(stdlib: Any) -> None:
    """Compared word by word, so that line breaks and indentation hide nothing."""
    docs, queries, qrels = stdlib

    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.lower()))

    given_away = [
        query
        for query, judged in qrels.items()
        if any(words(queries[query]) in words(docs[doc]) for doc in judged)
    ]
    assert given_away == []


def test_stdlib_documents_start_with_the_function(stdlib: Any) -> None:
    """Not with its decorators, nor with what is left of a docstring."""
    docs, _, _ = stdlib
    assert [doc for doc in docs.values() if not doc.startswith(("def ", "async def "))] == []


def test_stdlib_documents_and_queries_have_the_stated_lengths(stdlib: Any) -> None:
    """Stubs and long functions are left out, and so are sentences of a word or two."""
    docs, queries, _ = stdlib
    assert all(MIN_DOC_CHARS <= len(doc) <= MAX_DOC_CHARS for doc in docs.values())
    assert all(len(query.split()) >= MIN_QUERY_WORDS for query in queries.values())


def test_stdlib_documents_and_queries_are_unique(stdlib: Any) -> None:
    """The same code in two modules is one document, the same sentence one query."""
    docs, queries, _ = stdlib
    assert len(set(docs.values())) == len(docs)
    assert len(set(queries.values())) == len(queries)


def test_stdlib_query_that_two_functions_share_has_both(stdlib: Any) -> None:
    """At least one such sentence is there, and no query lacks a document."""
    _, _, qrels = stdlib
    assert max(len(judged) for judged in qrels.values()) > 1


def test_stdlib_revision_is_the_python_version() -> None:
    """Scores of two Python versions are of two revisions of the task."""
    version = ".".join(map(str, sys.version_info[:3]))
    assert PythonStdlibRetrieval().metadata.revision == f"cpython-{version}"


# PasskeyByLengthRetrieval


def test_passkey_documents_have_the_length_of_their_split(passkeys: tuple[int, Any]) -> None:
    """Within one per cent of 0.75 words per token."""
    length, (docs, _, _) = passkeys
    wanted = length * WORDS_PER_TOKEN
    assert all(abs(len(text.split()) - wanted) <= wanted / 100 for text in docs.values())


def test_passkey_documents_of_a_split_have_equal_length(passkeys: tuple[int, Any]) -> None:
    """Length must not tell them apart."""
    _, (docs, _, _) = passkeys
    assert len({len(text.split()) for text in docs.values()}) == 1


def test_passkeys_are_all_distinct(passkeys: tuple[int, Any]) -> None:
    """As many keys and owners as documents."""
    _, (docs, queries, _) = passkeys
    keys = [re.findall(r"is (\d{5})\. Remember it\.", text) for text in docs.values()]
    assert all(len(found) == 1 for found in keys)
    assert len({found[0] for found in keys}) == N_DOCS
    assert len(set(queries.values())) == N_DOCS


def test_passkeys_lie_at_even_depths(passkeys: tuple[int, Any]) -> None:
    """Document n of 50 has its key at n/49 of its words, within a sentence or two."""
    length, (docs, _, _) = passkeys
    for number, text in enumerate(docs.values()):
        words = text.split()
        key = next(n for n, word in enumerate(words) if re.fullmatch(r"\d{5}\.", word))
        # The longest filler sentence has 14 words, the key's own has 10.
        assert abs(key - number / (N_DOCS - 1) * len(words)) <= 14 + 10 + length * 0.01


def test_passkey_query_names_the_owner_of_its_document_alone(passkeys: tuple[int, Any]) -> None:
    """The owner stands in the relevant document and in no other."""
    _, (docs, queries, qrels) = passkeys
    for query, text in queries.items():
        owner = text.removeprefix("What is the pass key of ").removesuffix("?")
        assert [doc for doc, content in docs.items() if owner in content] == list(qrels[query])


def test_passkey_has_a_split_per_length() -> None:
    """Fifty documents and fifty queries each."""
    assert sizes(PasskeyByLengthRetrieval()) == {
        (f"test_{length}", "default"): (50, 50) for length in (256, 512, 1024, 2048, 4096, 8192)
    }


# ParallelFactsRetrieval


def test_parallel_facts_have_every_language_and_every_pair_with_english() -> None:
    """Ten languages, nine pairs, two directions: 28 subsets."""
    others = sorted(set(LANGUAGES) - {"en"})
    pairs = [pair for code in others for pair in (f"{code}-en", f"en-{code}")]
    assert sorted(SUBSETS) == sorted([*LANGUAGES, *pairs])
    assert len(SUBSETS) == 28


def test_parallel_facts_have_59_documents_and_questions_in_every_subset() -> None:
    """No language lacks a fact."""
    counted = sizes(ParallelFactsRetrieval())
    assert counted == {("test", subset): (59, 59) for subset in SUBSETS}


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_parallel_facts_are_written_in_the_script_of_their_language(language: str) -> None:
    """At least 80 % of the letters of every text; names and units may be in Latin."""
    docs, queries, _ = ParallelFactsRetrieval().make_split(language, "test")
    for text in (*docs.values(), *queries.values()):
        letters = [unicodedata.name(letter) for letter in text if letter.isalpha()]
        own = [name for name in letters if re.match(SCRIPTS[language], name)]
        assert len(own) >= 0.8 * len(letters), text


def test_japanese_facts_are_not_chinese() -> None:
    """Kana in every Japanese text, none in a Chinese one."""
    kana = re.compile("[\u3040-\u30ff]")
    task = ParallelFactsRetrieval()
    for language, wanted in (("ja", True), ("zh", False)):
        docs, queries, _ = task.make_split(language, "test")
        assert {bool(kana.search(t)) for t in (*docs.values(), *queries.values())} == {wanted}


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_parallel_facts_are_unique_within_a_language(language: str) -> None:
    """No question and no passage stands there twice."""
    docs, queries, _ = ParallelFactsRetrieval().make_split(language, "test")
    assert len(set(queries.values())) == len(queries)
    assert len(set(docs.values())) == len(docs)


def test_cross_lingual_subset_asks_in_its_first_language_for_passages_of_its_last() -> None:
    """ "ru-en" has the questions of "ru" and the passages of "en"."""
    task = ParallelFactsRetrieval()
    docs, queries, _ = task.make_split("ru-en", "test")
    assert list(queries.values()) == list(task.make_split("ru", "test")[1].values())
    assert docs == task.make_split("en", "test")[0]


def test_bm25_stems_within_a_language_only() -> None:
    """mteb's language codes: one for a language, two for a pair."""
    languages: Mapping[str, list[str]] = ParallelFactsRetrieval().metadata.eval_langs  # type: ignore[assignment]
    assert languages["de"] == ["deu-Latn"]
    assert languages["en-de"] == ["eng-Latn", "deu-Latn"]


# Finding and restricting


def test_task_of_mteb_is_found_by_name() -> None:
    """The registry's own."""
    assert find_task("SciFact").metadata.dataset["path"] == "mteb/scifact"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("SciFacts", "SciFact"),
        ("paralelfactsretrieval", "ParallelFactsRetrieval"),
        ("PasskeyByLength", "PasskeyByLengthRetrieval"),
    ],
)
def test_unknown_name_is_answered_with_a_suggestion(typed: str, meant: str) -> None:
    """Built-in names and mteb's; the next step is named too."""
    with pytest.raises(BadInput) as raised:
        find_task(typed)
    assert f"unknown task '{typed}'" in str(raised.value)
    assert f"'{meant}'" in str(raised.value)
    assert "granite-bench tasks --search" in str(raised.value)


def test_path_that_is_not_there_is_no_unknown_name() -> None:
    """A slash makes it a folder."""
    with pytest.raises(BadInput, match="no such folder"):
        find_task("nowhere/at-all")


def test_restrict_keeps_the_order_of_the_task() -> None:
    """Whatever the order of the question."""
    task = restrict(ParallelFactsRetrieval(), subsets=["ru-en", "en", "de"])
    assert task.hf_subsets == ["en", "de", "ru-en"]
    task = restrict(PasskeyByLengthRetrieval(), splits=["test_512", "test_256"])
    assert list(task.eval_splits) == ["test_256", "test_512"]


def test_restrict_leaves_other_instances_alone() -> None:
    """The class is shared, its instances are not."""
    restrict(PasskeyByLengthRetrieval(), splits=["test_256"])
    assert len(PasskeyByLengthRetrieval().eval_splits) == len(LENGTHS)


def test_restrict_names_every_unknown_subset_and_split() -> None:
    """With the nearest ones, and all at once."""
    with pytest.raises(BadInput) as raised:
        restrict(PasskeyByLengthRetrieval(), subsets=["english"], splits=["test_25", "test_256"])
    assert [fault.what for fault in raised.value.faults] == [
        "unknown subset 'english'",
        "unknown split 'test_25'",
    ]
    assert "there are: default" in str(raised.value)
    assert "did you mean 'test_256'" in str(raised.value)


@pytest.mark.skipif(
    not (SHARED / "data" / "mteb" / "XQuADRetrieval").is_dir(),
    reason="the folder of public data is not beside this checkout",
)
def test_task_in_a_mirror_is_loaded_from_it() -> None:
    """240 passages and 1,190 questions per language; nothing is downloaded."""
    task = restrict(find_task("XQuADRetrieval", mirror=SHARED / "data"), subsets=["de"])
    task.load_data()
    assert task.dataset is not None
    data = task.dataset["de"]["validation"]
    assert (len(data["corpus"]), len(data["queries"])) == (240, 1190)


if __name__ == "__main__":  # the other process of the first test
    print(json.dumps(_hashes()))
