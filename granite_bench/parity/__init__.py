"""
Backend parity: what an exported model changes, against the same model in torch.

The scores are ordinary results, made by the runner and kept like any other; the vectors come from
the store that this filled. Speeds are of the two in turns, on one machine: the CPU.
"""

from granite_bench.parity.compare import compare_backends, exported_variants
from granite_bench.parity.figures import Candidate, Drift, Parity, Quality

__all__ = [
    "Candidate",
    "Drift",
    "Parity",
    "Quality",
    "compare_backends",
    "exported_variants",
]
