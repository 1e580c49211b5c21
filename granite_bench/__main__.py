"""python -m granite_bench, and the command granite-bench: errors become exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from granite_bench.cli import cli
from granite_bench.console import log_path, log_to_file
from granite_bench.errors import (
    ExitCode,
    GraniteBenchError,
    plain,
    plain_lines,
    without_passwords,
)
from granite_bench.files.local import write_atomically

_OF_THE_MACHINE = {errno.EACCES, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG}
"""What is wrong with a path that a person named, or may not see, wherever it is looked at."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (see errors.ExitCode)."""
    # Bars of libraries say nothing that ours do not; ours show on a terminal alone.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without an en dash shows "?"
    log_to_file()
    try:
        cli.main(arguments, prog_name="granite-bench", standalone_mode=False)
        return ExitCode.FINE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else ExitCode.FINE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what is finished is stored, the same command goes on", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return ExitCode.BAD_INPUT
    except GraniteBenchError as error:
        click.echo(f"error: {plain_lines(str(error))}", err=True)
        return error.exit_code
    except OSError as error:
        if error.filename is None or error.errno not in _OF_THE_MACHINE:
            return _our_bug()
        click.echo(f"error: {plain(str(error.filename))}: {error.strerror}", err=True)
        return ExitCode.BAD_INPUT
    except Exception:  # noqa: BLE001 (whatever is left is a bug, and says so)
        return _our_bug()


def _our_bug() -> int:
    path = log_path()
    text = without_passwords(traceback.format_exc())
    try:
        write_atomically(path, text.encode(errors="backslashreplace"))
        where = f"the details are in {path}"
    except GraniteBenchError:
        where = text
    click.echo(
        f"error: a bug of granite-bench: {text.strip().splitlines()[-1]}\n  {where}", err=True
    )
    return ExitCode.BUG


if __name__ == "__main__":
    sys.exit(main())
