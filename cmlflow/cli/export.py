"""The command ``cmlflow export``: a model as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command


def add_commands(commands: Any) -> None:
    """Add ``export`` to the command line."""
    p = command(commands, "export", _export, "write a model for programs without Python: an ONNX file (extra onnx)")
    p.add_argument("model", help="packaged model or folder")
    p.add_argument("-o", "--output", type=Path, required=True, help="file to write: .onnx")
    p.add_argument("--readout", help="in place of the model's: density, condensation, clue")
    p.add_argument("--no-readout", action="store_true", help="embeddings alone")
    p.add_argument("--opset", type=int, default=15, help="version of the ONNX operators, 15 to 21 (%(default)s)")


def _export(options: argparse.Namespace) -> None:
    from cmlflow.export import export_onnx
    from cmlflow.loading import load

    if options.readout and options.no_readout:
        raise ValueError("--readout and --no-readout exclude each other")
    model = load(options.model, **({"readout": options.readout} if options.readout else {}))
    export_onnx(model, options.output, readout=not options.no_readout, opset=options.opset)
    print(f"{options.model} written to {options.output}")
