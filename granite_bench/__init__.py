"""
granite-bench: evaluate and compare text embedding models, with numbers that can be audited.

    import granite_bench
    granite_bench.run("quickstart", models=["quickstart/all-MiniLM-L6-v2"], say=print)
    granite_bench.load_results("results")
"""

from granite_bench.api import load_results, run
from granite_bench.errors import BadInput, GraniteBenchError, StorageError, TaskError

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "GraniteBenchError",
    "StorageError",
    "TaskError",
    "load_results",
    "run",
]
