"""The document template holds against mteb's own function."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset
from mteb._create_dataloaders import _retrieval_texts
from mteb.types import PromptType

from granite_bench.engine.backends import texts as texts_module
from granite_bench.engine.backends.texts import DocumentTexts, document_ids, query_texts

DOCUMENTS = {
    "with titles": {"title": ["Granite", "Basalt"], "text": ["A rock.", "Another rock."]},
    "with some empty titles": {"title": ["Granite", ""], "text": ["A rock.", "Another."]},
    "with empty titles alone": {"title": ["", ""], "text": ["A rock.", "Another."]},
    "without titles": {"text": ["A rock.", " Another rock.\n"]},
    "with whitespace around": {
        "title": ["  Granite ", "\n", " ", "\t", ""],
        "text": [" A rock.\n", "text ", "  text", "", "  inner  space  kept  "],
    },
    "with titles and empty texts": {"title": ["Granite", "Basalt"], "text": ["", " "]},
}

QUERIES: dict[str, dict[str, list[Any]]] = {
    "plain": {"text": ["What is granite?", " spaces stay "]},
    "with instructions": {"text": ["a", "b"], "instruction": ["Find a.", "Find b."]},
    "with an empty instruction": {"text": ["a", "b"], "instruction": ["", "Find b."]},
    "with an instruction missing": {"text": ["a", "b"], "instruction": [None, "Find b."]},
}

STRINGS = [["How old is it?", "Which?", "The quarry."], ["One turn."]]
TURNS = [
    [
        {"role": "user", "content": "How old is it?"},
        {"role": "assistant", "content": "Which?"},
        {"role": "user", "content": "The quarry."},
    ],
    [{"role": "user", "content": "One turn."}],
]
CONVERSATIONS: dict[str, dict[str, list[Any]]] = {
    "of strings": {"text": STRINGS},
    "of strings with instructions": {"text": STRINGS, "instruction": ["Find a.", "Find b."]},
    "of turns": {"text": TURNS},
    "of turns with instructions": {"text": TURNS, "instruction": ["Find a.", "Find b."]},
    "of turns with an instruction missing": {"text": TURNS, "instruction": [None, "Find b."]},
}


def dataset(columns: dict[str, Any]) -> Dataset:
    """The columns with an id in front, as mteb's loaders give them."""
    return Dataset.from_dict({"id": [str(row) for row in range(len(columns["text"]))], **columns})


def joined(corpus: Dataset) -> list[str]:
    """All blocks behind each other."""
    return [text for block in DocumentTexts(corpus) for text in block]


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents_read_as_mteb_reads_them(case: str) -> None:
    """Equality with mteb._create_dataloaders._retrieval_texts (mteb 2.26)."""
    corpus = dataset(DOCUMENTS[case])
    assert joined(corpus) == list(_retrieval_texts(corpus, PromptType.document))


def test_a_title_and_a_text_are_joined_by_one_space() -> None:
    """The template itself, worked by hand."""
    corpus = dataset({"title": [" Granite", "", "Basalt"], "text": ["A rock. ", " Another.", ""]})
    assert joined(corpus) == ["Granite A rock.", "Another.", "Basalt"]


def test_a_missing_title_is_an_empty_one() -> None:
    """mteb 2.26 fails here (len of None); a corpus with gaps in its titles must not."""
    corpus = dataset({"title": [None, "Basalt"], "text": [" A rock.", "Another."]})
    assert joined(corpus) == ["A rock.", "Basalt Another."]


@pytest.mark.parametrize("case", QUERIES)
def test_queries_read_as_mteb_reads_them(case: str) -> None:
    """Equality with mteb._create_dataloaders._retrieval_texts (mteb 2.26)."""
    queries = dataset(QUERIES[case])
    assert query_texts(queries) == list(_retrieval_texts(queries, PromptType.query))


@pytest.mark.filterwarnings("ignore:Conversations are a list of strings")
@pytest.mark.parametrize("case", CONVERSATIONS)
def test_conversations_read_as_mteb_reads_them(case: str) -> None:
    """Equality with mteb._create_dataloaders._retrieval_texts (mteb 2.26)."""
    queries = dataset(CONVERSATIONS[case])
    assert query_texts(queries) == list(_retrieval_texts(queries, PromptType.query))


def test_an_instruction_follows_a_query_and_precedes_a_conversation() -> None:
    """mteb's two rules, worked by hand."""
    plain = dataset({"text": ["a"], "instruction": ["Find."]})
    talk = dataset({"text": [TURNS[0][:2]], "instruction": ["Find."]})
    assert query_texts(plain) == ["a Find."]
    assert query_texts(talk) == ["Find. user: How old is it?; assistant: Which?"]


def test_no_queries_and_no_documents_are_no_texts() -> None:
    """An empty split is fine."""
    empty = dataset({"text": []})
    assert query_texts(empty) == []
    assert joined(empty) == []


def test_documents_come_in_blocks_and_may_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five documents, two a block; rows chosen out of order (an indices mapping) stay so."""
    monkeypatch.setattr(texts_module, "TEXTS_PER_BLOCK", 2)
    texts = DocumentTexts(dataset({"text": ["a", "b", "c", "d", "e"]}).select([4, 3, 2, 1, 0]))
    assert list(texts) == [["e", "d"], ["c", "b"], ["a"]]
    assert list(texts) == [["e", "d"], ["c", "b"], ["a"]]


def test_ids_are_those_of_the_corpus_in_its_order() -> None:
    """Also where rows were chosen."""
    assert document_ids(dataset({"text": ["a", "b", "c"]}).select([2, 0])).to_pylist() == ["2", "0"]
