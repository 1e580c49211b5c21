"""granite-bench export: a model as a file for ONNX Runtime or OpenVINO."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from granite_bench.commands.help import Command
from granite_bench.commands.options import mirror_option, trust_option
from granite_bench.devices import BACKENDS


@click.command(
    cls=Command,
    examples=(
        "granite-bench export quickstart/all-MiniLM-L6-v2 --backend onnx",
        "granite-bench export path/to/model --backend openvino --quantize int8 --out path/to/model",
    ),
)
@click.argument("model")
@click.option(
    "--backend",
    type=click.Choice([each for each in BACKENDS if each != "torch"]),
    required=True,
    help="What is to run it; needs the extra of its name.",
)
@click.option(
    "--quantize", type=click.Choice(["int8"]), help="Weights of 8 bits.  [default: float32]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The model's own folder, so that the file travels with it.  [default: our cache, where "
    "run and parity find it]",
)
@mirror_option
@trust_option
def export(
    model: str,
    backend: Any,
    quantize: str | None,
    out: Path | None,
    mirror: Path | None,
    trusted: tuple[str, ...],
) -> None:
    """
    Write a model as a file for ONNX Runtime or OpenVINO.

    MODEL is an id or a folder. run --backend and parity take the file.
    """
    from granite_bench.exported import exports_folder
    from granite_bench.exported.writing import export as write
    from granite_bench.files.local import size_text
    from granite_bench.models import Loading, find_model
    from granite_bench.offline.mirror import mirror_folder

    source = find_model(model, mirror=mirror_folder(mirror), loading=Loading(trusted=trusted))
    folder = out or exports_folder(source.meta.name or model, source.meta.revision)
    loaded = source.load("cpu")
    made = write(getattr(loaded, "model", None), backend, folder, quantize=quantize is not None)
    click.echo(f"wrote {made.file.path} ({size_text(made.file.n_bytes)})")
    click.echo(
        f"least cosine of its vectors to the model's, on a few texts: {made.least_cosine:.5f}"
    )
    again = shlex.join(["granite-bench", "parity", model, "--backend-file", made.file.name])
    click.echo(f"next: {again} --task TASK")
