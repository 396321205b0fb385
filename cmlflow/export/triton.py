"""Model repositories of NVIDIA's Triton inference server."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from cmlflow.clusterer import MetricClusterer
from cmlflow.export.backend import MODEL
from cmlflow.export.onnx_file import export_onnx
from cmlflow.export.points import predict_points
from cmlflow.export.source import Model, description, inputs_of, loaded, source_of
from cmlflow.prediction import make_readout

BACKENDS = ("python", "onnxruntime")
CODE = '''"""Written by cmlflow export: the server imports this file."""

from cmlflow.export.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def export_triton(
    model: Model, repository: str | Path, backend: str = "python", name: str | None = None, instances: int = 1
) -> Path:
    """Write a model into a model repository of a Triton server.

    Parameters
    ----------
    model : MetricClusterer, ParticleFlow, str or path
        A packaged name or a folder will do. Of a `ParticleFlow`, its clusterer is served.
    repository : str or path
        Folder for any number of models; made where it is absent.
    backend : {"python", "onnxruntime"}, default="python"
        ``"python"`` runs cmlflow in the server, with every head, readout and refiner. ``"onnxruntime"`` runs the file
        of `export_onnx`, without Python.
    name : str, optional
        Of the model on the server; by default that of the packaged model or of the folder.
    instances : int, default=1
        How many requests are worked on at a time, each on one core.

    Returns
    -------
    Path
        Folder of the new version: 1, or one more than the latest there.

    Raises
    ------
    ValueError
        Unknown backend, a model that the backend cannot run, a name that is not one of a folder, `instances` below 1.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if instances < 1:
        raise ValueError(f"instances is {instances}, expected 1 or more")
    if name is None:
        if not isinstance(model, str | Path):
            raise ValueError("name is None, expected the name of the model on the server")
        name = Path(model).resolve().name if Path(model).is_dir() else str(model)
    if not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"name is {name!r}, expected letters, digits and . _ + - alone")
    clusterer = loaded(model)
    folder = Path(repository) / name
    present = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    version = folder / str(1 + max(present, default=0))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{version.name}.{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        if backend == "python":
            clusterer.save(temporary / MODEL)
            (temporary / "model.py").write_text(CODE)
            readout = make_readout(
                clusterer.readout_, clusterer.embedder_.on_sphere, clusterer.thresholds_, clusterer.typical_hits_
            )
            outputs: dict[str, int | None] = {"embedding": _dimension(clusterer)}
            about = description(clusterer, readout)
        else:
            export_onnx(clusterer, temporary / "model.onnx")
            from cmlflow.export.network import widths  # needs onnx

            source = source_of(clusterer)
            about, outputs = source.about, widths(source.network)
        text = configuration(name, backend, outputs | {"labels": None}, about, instances)
        (temporary / "config.pbtxt").write_text(text)
        temporary.rename(version)
        (version / "config.pbtxt").replace(folder / "config.pbtxt")
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # it has other versions
            folder.rmdir()
        raise
    return version


def configuration(
    name: str, backend: str, outputs: Mapping[str, int | None], about: Mapping[str, str], instances: int
) -> str:
    """The text of ``config.pbtxt``.

    Parameters
    ----------
    name : str
        Of the model.
    backend : {"python", "onnxruntime"}
    outputs : mapping of str to int or None
        Columns of every output; None for a vector. Labels are integers, all others float32.
    about : mapping of str to str
        Becomes the parameters.
    instances : int
    """
    width = len(json.loads(about["features"]))
    inputs = [_tensor("points", "TYPE_FP32", [-1, width]), _tensor("ptr", "TYPE_INT64", [-1])]
    made = [
        _tensor(output, "TYPE_INT64" if output == "labels" else "TYPE_FP32", [-1] if n is None else [-1, n])
        for output, n in outputs.items()
    ]
    entries = dict(about)
    if backend == "onnxruntime":
        entries |= {"intra_op_thread_count": "1", "inter_op_thread_count": "1"}
    parameters = [
        f"parameters: {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}"
        for key, value in entries.items()
    ]
    lines = [
        f"name: {json.dumps(name)}",
        f"backend: {json.dumps(backend)}",
        "max_batch_size: 0",
        f"input [ {', '.join(inputs)} ]",
        f"output [ {', '.join(made)} ]",
        f"instance_group [ {{ kind: KIND_CPU count: {instances} }} ]",
        *parameters,
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, kind: str, dims: list[int]) -> str:
    return f"{{ name: {json.dumps(name)} data_type: {kind} dims: {dims} }}"


def _dimension(clusterer: MetricClusterer) -> int:
    """Columns of the embedding, of one hit."""
    x = np.zeros((1, len(inputs_of(clusterer).columns(clusterer.embedder_.takes_tracks))), np.float32)
    x[0, 2:5] = 1.0  # z, energy, layer
    embedding, _ = predict_points(clusterer, x, np.array([0, 1]))
    return int(embedding.shape[1])
