"""The command ``cmlflow export``: a model as an ONNX file, or in a model repository of a Triton server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmlflow.cli.arguments import command, count
from cmlflow.cli.running import output_file, output_folder


def add_commands(commands: Any) -> None:
    """Add ``export`` to the command line."""
    p = command(commands, "export", _export, "write a model as an ONNX file (extra onnx), or for a Triton server")
    p.add_argument("model", help="packaged model or folder")
    p.add_argument("-o", "--output", type=Path, required=True, help="file to write: .onnx; with --triton a folder")
    p.add_argument("--triton", choices=("python", "onnxruntime"), help="write a model repository for this backend")
    p.add_argument("--name", help="of the model on the server (that of the model or folder)")
    p.add_argument("--instances", type=count, help="requests the server works on at a time (1)")
    p.add_argument("--readout", help="in place of the model's: density, condensation, clue")
    p.add_argument("--no-readout", action="store_true", help="embeddings alone")
    p.add_argument("--opset", type=int, help="version of the ONNX operators, 15 to 21 (15)")


def _export(options: argparse.Namespace) -> None:
    from cmlflow.export import export_onnx, export_triton
    from cmlflow.loading import load

    if options.readout and options.no_readout:
        raise ValueError("--readout and --no-readout exclude each other")
    for name in ("no_readout", "opset") if options.triton else ("name", "instances"):
        if getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} does not go with --triton" if options.triton else f"{option} needs --triton")
    model = load(options.model, **({"readout": options.readout} if options.readout else {}))
    if options.triton:
        name = options.name or Path(options.model).resolve().name
        written = export_triton(model, output_folder(options.output), options.triton, name, options.instances or 1)
    else:
        written = export_onnx(model, output_file(options.output), not options.no_readout, options.opset or 15)
    print(f"{options.model} written to {written}")
