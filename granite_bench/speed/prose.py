"""
English-like technical prose that is a hash of its key: what synthetic corpora are written in.

The same bytes on every machine, with every Python: all draws are bytes of SHAKE-256 (FIPS 202),
read as little-endian 16-bit numbers, and looked up in a table of 65,536 words. `random` and numpy
promise less: their distributions may change with a release.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import shake_256
from itertools import accumulate

VOCABULARY = tuple(
    """
    the of to and a in is for that with on be as are this by it or from an not can when which if at
    has used each must all one then may will was have other more after data time only new system
    between its but use first even than value number also set file work into no before two any
    using where there should been they such these does were we how what out up so most both same
    some long server request process user memory code error model test type version state table
    result network message service key field function called case return order size name list
    change default line point start end write read run part high low level rate control access
    client cache thread queue index block page record query search text document word token length
    input output source target node cluster device driver kernel disk storage volume backup image
    container package library module class object method interface address port host packet
    protocol connection session channel stream buffer signal event timer clock interrupt task job
    schedule priority limit threshold latency throughput bandwidth capacity load balance failure
    recovery retry timeout transaction commit rollback lock deadlock replica partition shard
    journal snapshot checkpoint schema column row constraint trigger view cursor join filter sort
    merge hash tree graph edge path vertex matrix vector weight layer gradient training inference
    embedding classifier regression sample variance deviation average median probability
    distribution estimate measurement accuracy precision recall benchmark profile trace log metric
    alert dashboard report audit policy permission role identity certificate signature encryption
    password secret vault firewall router switch gateway proxy balancer compiler parser lexer
    grammar syntax statement expression variable parameter argument pointer reference allocation
    garbage collector heap stack register instruction pipeline branch prediction virtual machine
    hypervisor instance region zone deployment release upgrade migration patch configuration
    environment template script command shell terminal console editor debugger exception warning
    assertion specification requirement design architecture component dependency integration
    validation verification maintenance documentation manual procedure customer engineer operator
    administrator team manager vendor support ticket incident outage workaround resolution
    temperature pressure voltage current frequency sensor valve pump motor bearing gear shaft cable
    connector circuit resistor capacitor transistor amplifier antenna battery charger inverter
    material steel copper aluminium polymer surface coating corrosion fatigue stress strain density
    available required supported installed enabled disabled optional external internal local remote
    global static dynamic parallel sequential asynchronous incremental distributed persistent
    temporary invalid missing duplicate corrupted expired pending active idle primary secondary
    however therefore because although during within without against through usually normally
    automatically manually immediately periodically explicitly consistently simultaneously
    """.split()
)
"""Words in the order of their frequency: Zipf's law gives the rest."""

_N_SLOTS = 1 << 16
_OF_256_SPECIAL = 37
"""So many of 256 slots hold a number, an identifier, a version, a path or a hexadecimal value:
technical text has 3.4 characters per BERT token, the plain words alone 4.6."""
_OF_256_COMMA = 12

_BLOCK_WORDS = 512
_ENDINGS = (". ",) * 12 + (".\n\n",) * 2 + (": ", "? ")
_SHORTEST_SENTENCE, _LONGEST_SENTENCE = 5, 28


def prose(key: str) -> Iterator[str]:
    """
    Text without end, in blocks of about 3,000 characters that begin and end with a sentence.

    Args:
        key: another key is another text.
    """
    table, number = word_table(), 0
    while True:
        numbers = draws(f"{key}:{number}", _BLOCK_WORDS)
        parts, start = [], 0
        while start < _BLOCK_WORDS - 1:
            n_words, ending = _sentence(numbers[start])
            words = [table[each] for each in numbers[start + 1 : start + 1 + n_words]]
            words[0] = words[0][:1].upper() + words[0][1:]
            words[-1] = words[-1].rstrip(",") + ending
            parts.append(" ".join(words))
            start += 1 + n_words
        yield "".join(parts)
        number += 1


def words(key: str, n_words: int, vocabulary: Sequence[str]) -> list[str]:
    """*n_words* of a vocabulary of 1 to 65,536 words, each as likely as the others."""
    return [vocabulary[each * len(vocabulary) >> 16] for each in draws(key, n_words)]


def draws(key: str, n_draws: int) -> tuple[int, ...]:
    """*n_draws* numbers from 0 to 65,535 that are a hash of the key."""
    return struct.unpack(f"<{n_draws}H", shake_256(key.encode()).digest(2 * n_draws))


@cache
def word_table() -> tuple[str, ...]:
    """65,536 words without spaces, as often in there as in the prose."""
    n_special = _N_SLOTS * _OF_256_SPECIAL >> 8
    n_plain = _N_SLOTS - n_special
    # Zipf-Mandelbrot in whole numbers: sums of floats differ between releases of Python.
    shares = list(accumulate(10**9 // (rank + 3) for rank in range(len(VOCABULARY))))
    ends = [n_plain * share // shares[-1] for share in shares]
    table: list[str] = []
    for word, end in zip(VOCABULARY, ends, strict=True):
        n_slots = end - len(table)
        n_commas = n_slots * _OF_256_COMMA >> 8
        table += [f"{word},"] * n_commas + [word] * (n_slots - n_commas)
    return tuple(table + [_special(number) for number in range(n_special)])


def _sentence(draw: int) -> tuple[int, str]:
    """How many words a sentence has, and how it ends."""
    which, number = divmod(draw, len(_ENDINGS))
    span = _LONGEST_SENTENCE - _SHORTEST_SENTENCE + 1
    return _SHORTEST_SENTENCE + which % span, _ENDINGS[number]


def _special(number: int) -> str:
    """One of the words that are no words."""
    draw = draws(f"special:{number}", 4)
    a, b, c, d = draw
    one, other = words(f"names:{number}", 2, VOCABULARY)
    forms = (
        f"{a % 1000}",
        f"{a % 100}.{b % 1000}",
        f"{a % 1000},{b % 1000:03d}",
        f"{a % 100}%",
        f"{one}_{other}",
        f"{one}_{other}_{a % 100}",
        f"{one}{other.capitalize()}({c % 256})",
        f"v{a % 20}.{b % 40}.{c % 30}",
        f"--{one}-{other}={a % 4096}",
        f"/usr/lib/{one}/{other}{a % 100}.json",
        f"src/{one}/{other}.py:{a % 2000}",
        f"0x{a:04x}{b:04x}",
        f"{a:04x}{b:04x}{c:04x}",
        f"{a % 256}.{b % 256}.{c % 256}.{d % 256}",
    )
    return forms[number % len(forms)]
