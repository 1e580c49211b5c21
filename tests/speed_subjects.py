"""
Models and texts that are measured in moments, for tests of the measuring side of speed.

    tiny_model(tmp_path)     what --model takes: a BERT of random weights, two layers of 32
    few_chunks()             chunks-512 over a few documents
    workload(tiny_subject(tiny_model(tmp_path)), few_chunks())
"""

from __future__ import annotations

import json
from pathlib import Path

from granite_bench.speed.protocol import Protocol, find_protocol
from granite_bench.speed.settings import Settings
from granite_bench.speed.subject import Subject, load_subject
from granite_bench.speed.workload import Workload, documents_of, workload_for

CPU = Settings("cpu")


def tiny_model(folder: Path) -> str:
    """untrained:FOLDER with a BERT of two layers of 32, which reads 128 tokens."""
    own = folder / "tiny"
    own.mkdir()
    config = {
        "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 500,
        "max_position_embeddings": 128, "architectures": ["BertModel"],
    }  # fmt: skip
    (own / "config.json").write_text(json.dumps(config))
    return f"untrained:{own}"


def tiny_subject(model: str) -> Subject:
    """What tiny_model returned, loaded on the CPU."""
    return load_subject(model, CPU, label="tiny")


def few_chunks(n_documents: int = 3) -> Protocol:
    """chunks-512 over few documents."""
    return find_protocol("chunks-512").changed(n_documents=n_documents, warm_up_seconds=0)


def workload(subject: Subject, protocol: Protocol) -> Workload:
    """The workload of a protocol for a model on the CPU."""
    return workload_for(subject, protocol, documents_of(protocol, "cpu"))
