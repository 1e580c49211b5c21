"""
Models exported to ONNX and OpenVINO: their files, what runs them, and what makes them.

The layout is that of sentence-transformers: onnx/model*.onnx and openvino/openvino_model*.xml in
the model's folder; files for OpenVINO that either made were seen to run with the other.
sentence-transformers runs them through Optimum, which has no release for the transformers of
today (optimum-onnx 0.1 wants < 4.58, optimum-intel 2.2 < 5.6); here the runtimes are called
directly. Running an ONNX file also takes the package onnx, which knows the type of its weights.
"""

from granite_bench.exported.files import ExportedFile, exports_folder, find_all, find_exported
from granite_bench.exported.running import ExportedTransformer, exported_transformer, run_exported

__all__ = [
    "ExportedFile",
    "ExportedTransformer",
    "exported_transformer",
    "exports_folder",
    "find_all",
    "find_exported",
    "run_exported",
]
