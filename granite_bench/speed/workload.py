"""From a protocol to the texts that a model encodes under it, and the prompt before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.texts import DocumentTexts
from granite_bench.errors import BadInput, Fault, TaskError
from granite_bench.speed.chunks import chunks_of_each, fixed_length_texts, tokens_around
from granite_bench.speed.corpus import (
    SyntheticDocuments,
    corpus_sha256,
    query_texts,
    read_documents,
)
from granite_bench.speed.protocol import Protocol
from granite_bench.speed.subject import Subject
from granite_bench.tasks import find_task

LEAST_CHUNK_TOKENS = 16

ANY_RETRIEVAL = TaskMetadata(
    name="SpeedRetrieval",
    description="Texts of no task, encoded for retrieval",
    dataset={"path": "granite-bench/speed", "revision": "1"},
    type="Retrieval",
    category="t2t",
    modalities=["text"],
    eval_splits=["test"],
    eval_langs=["eng-Latn"],
    main_score="ndcg_at_10",
    prompt=AbsTaskRetrieval.abstask_prompt,
)
"""A task that no model knows: its prompts are those that a model has for retrieval in general."""


@dataclass(frozen=True)
class Corpus:
    """
    What the texts were made of.

    Attributes:
        kind: *lengths* are texts of one length, made for a tokenizer.
        seed: of what is synthetic, else None.
        sha256: see corpus.corpus_sha256.
        n_documents, n_characters: before they were cut; n_chunks: after it, copies left out.
    """

    kind: Literal["synthetic", "file", "task", "lengths"]
    name: str
    seed: int | None
    sha256: str
    n_documents: int
    n_characters: int
    n_chunks: int


@dataclass(frozen=True)
class Workload:
    """
    What one model encodes in a pass.

    Attributes:
        protocol: with the settings that are in force for this model.
        instruction: with the prompt that a run would put before each text.
        texts: each once, without the prompt; for kind *queries*, the queries.
        n_documents: that they were cut from; None where texts are no documents.
        remarks: what a reader of the figures must know.
    """

    protocol: Protocol
    instruction: Instruction
    corpus: Corpus
    texts: Sequence[str]
    n_documents: int | None
    remarks: Sequence[str] = ()


def documents_of(protocol: Protocol, device: str, mirror: Path | None = None) -> Sequence[str]:
    """
    The documents of a protocol; none for kinds that make texts for each tokenizer.

    Raises:
        BadInput: there is no such task, or it has no documents; a file with faults.
    """
    if protocol.kind in ("fixed", "queries"):
        return ()
    if protocol.path is not None:
        return read_documents(protocol.path)[: protocol.n_documents(device)]
    if protocol.task is not None:
        return _documents_of_task(protocol.task, mirror)[: protocol.n_documents(device)]
    # As a list: they are cut, hashed and measured, and made anew each time otherwise.
    return list(SyntheticDocuments(protocol.n_documents(device) or 0, protocol.seed))


def workload_for(
    subject: Subject, protocol: Protocol, documents: Sequence[str], mirror: Path | None = None
) -> Workload:
    """
    The texts of *protocol* for one model.

    Chunks are cut in the model's own tokens, and in no more of them than it reads: shorter ones
    are another protocol, as its identity says.

    Args:
        documents: from documents_of.
        mirror: as for documents_of; the prompts are those for the protocol's task.

    Raises:
        BadInput: texts of a length that the model would truncate.
    """
    protocol = protocol.with_batches(subject.settings.batch_size, subject.settings.token_budget)
    task = ANY_RETRIEVAL
    if protocol.task is not None:
        task = find_task(protocol.task, mirror=mirror).metadata
    role = PromptType.query if protocol.kind == "queries" else PromptType.document
    instruction = subject.backend.instruction(task, role)
    if protocol.kind == "queries":
        texts = query_texts(protocol.n_queries or 0, protocol.seed)
        return _whole(protocol, instruction, "synthetic", texts, None)
    if protocol.kind == "fixed":
        return _fixed(subject, protocol, instruction)
    protocol = protocol.of_corpus("" if protocol.is_synthetic else corpus_sha256(documents))
    if protocol.kind == "documents":
        return _whole(protocol, instruction, _kind(protocol), documents, len(set(documents)))
    return _chunks(subject, protocol, instruction, documents)


def _chunks(
    subject: Subject, protocol: Protocol, instruction: Instruction, documents: Sequence[str]
) -> Workload:
    _require_tokenizer(subject)
    wanted, overlap = protocol.chunk_tokens or 0, protocol.overlap_tokens or 0
    most = min(wanted, subject.backend.max_length or wanted)
    # With an overlap of half a chunk, more than half must be the document's own.
    n_around = tokens_around(subject.tokenizer, instruction.prompt)
    least = max(LEAST_CHUNK_TOKENS, 2 * n_around + 2)
    remarks = []
    if most < least:
        problem = f"{most} tokens are too few for chunks with {n_around} around them"
        raise BadInput(Fault("--max-length", problem, f"{least} or more"))
    if most < wanted:
        protocol = protocol.changed(chunk_tokens=most, overlap_tokens=min(overlap, most // 2))
        remarks.append(f"chunks of {most} tokens: the model reads no more")
    different = list(dict.fromkeys(documents))  # copies are not encoded
    remarks += _copies_left_out(len(documents) - len(different))
    cut = chunks_of_each(
        different, subject.tokenizer, protocol.chunk_tokens or 0, protocol.overlap_tokens or 0,
        prompt=instruction.prompt,
    )  # fmt: skip
    each = [of_document for of_document in cut if of_document]
    chunks = [chunk for of_document in each for chunk in of_document]
    n_documents: int | None = len(each)
    if subject.is_untrained:
        # Its tokens are words: fewer for a document than any tokenizer makes of it.
        n_documents = None
        remarks.append("documents are not counted: the tokens of an untrained model are words")
    found = _whole(protocol, instruction, _kind(protocol), documents, n_documents, chunks)
    return replace(found, remarks=(*remarks, *found.remarks))


def _fixed(subject: Subject, protocol: Protocol, instruction: Instruction) -> Workload:
    _require_tokenizer(subject)
    n_tokens, most = protocol.text_tokens or 0, subject.backend.max_length
    if most is not None and most < n_tokens:
        problem = f"reads {most:,} tokens, and {protocol.name} has texts of {n_tokens:,}"
        raise BadInput(Fault(f"model {subject.name}", problem, "choose a shorter protocol"))
    n_texts = protocol.n_documents(subject.settings.device) or 0
    n_around = tokens_around(subject.tokenizer, instruction.prompt)
    if n_tokens <= n_around:
        problem = f"has {n_around} tokens around a text, and {protocol.name} has {n_tokens:,}"
        raise BadInput(Fault(f"model {subject.name}", problem, "choose a longer protocol"))
    texts = fixed_length_texts(
        n_texts, n_tokens, subject.tokenizer, protocol.seed, prompt=instruction.prompt
    )
    return _whole(protocol, instruction, "lengths", texts, None)


def _whole(
    protocol: Protocol,
    instruction: Instruction,
    kind: Literal["synthetic", "file", "task", "lengths"],
    documents: Sequence[str],
    n_documents: int | None,
    texts: Sequence[str] | None = None,
) -> Workload:
    """The workload of these texts, which are the documents themselves when None."""
    every = documents if texts is None else texts
    # The engine encodes a text once, so copies would count as encoded when they were not.
    once = list(dict.fromkeys(every))
    n_copies = len(every) - len(once)
    if not once:
        raise BadInput(Fault("--protocol", f"{protocol.name} has no text to encode"))
    corpus = Corpus(
        kind=kind,
        name=protocol.name,
        seed=protocol.seed if protocol.is_synthetic else None,
        sha256=protocol.corpus_sha256 or corpus_sha256(documents),
        n_documents=len(documents),
        n_characters=sum(map(len, documents)),
        n_chunks=len(once),
    )
    return Workload(protocol, instruction, corpus, once, n_documents, _copies_left_out(n_copies))


def _copies_left_out(n_copies: int) -> list[str]:
    return [f"copies of texts left out: {n_copies:,}"] if n_copies else []


def _require_tokenizer(subject: Subject) -> None:
    if not subject.is_untrained and not hasattr(subject.tokenizer, "backend_tokenizer"):
        problem = "has no fast tokenizer to cut texts with"
        hint = "suite:TASK and queries take texts as they are"
        raise BadInput(Fault(f"model {subject.name}", problem, hint))


def _kind(protocol: Protocol) -> Literal["synthetic", "file", "task"]:
    if protocol.path is not None:
        return "file"
    return "synthetic" if protocol.task is None else "task"


def _documents_of_task(name: str, mirror: Path | None) -> list[str]:
    """The documents of every subset in the first split that is evaluated, in their order."""
    task = find_task(name, mirror=mirror)
    try:
        task.load_data()
    except Exception as error:
        raise TaskError(f"{name}: its data could not be loaded: {error}") from error
    split = task.metadata.eval_splits[0]
    found: list[str] = []
    for subset in task.hf_subsets:
        data = getattr(task, "dataset", {}).get(subset, {}).get(split, {})
        if "corpus" not in data:
            problem = f"task {name} has no documents"
            raise BadInput(Fault("--protocol", problem, "it takes a retrieval task"))
        found += [text for block in DocumentTexts(data["corpus"]) for text in block]
    return found
