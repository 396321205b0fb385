"""A model as one ONNX file."""

from __future__ import annotations

from pathlib import Path

from cmlflow.export.source import Model, source_of
from cmlflow.io.files import atomically

OPSETS = range(15, 22)


def export_onnx(model: Model, path: str | Path, readout: bool = True, opset: int = 15) -> Path:
    """Write a model as one ONNX file with standard operators alone: neighbour search, network and readout.

    Parameters
    ----------
    model : MetricClusterer, ParticleFlow, str or path
        Heads supcon, margin, prototype, oc and slopes; with or without tracks. A packaged name or a folder will do. Of
        a `ParticleFlow`, its clusterer is exported.
    path : str or path
        File to write.
    readout : bool, default=True
        Whether the model's readout, with its thresholds, is part of it: density, condensation or clue.
    opset : int, default=15
        Version of the operators, 15 to 21. Version 15 runs from onnxruntime 1.10 on.

    Returns
    -------
    Path
        That of the file.

    Raises
    ------
    ImportError
        Without the package onnx: extra ``onnx``.
    ValueError
        A model or readout that cannot be exported (head ``"axes"``, `refine`, Ward, HDBSCAN), or another opset.

    Notes
    -----
    Inputs: ``points`` (N, F) float32, the columns of `cmlflow.sampling.event_points`, and ``ptr`` (B + 1,) int64.
    Outputs: ``embedding`` (N, D) float32, or ``beta`` (N,) and ``coordinates`` (N, D); ``origin`` (N, 3) of models with
    tracks: charged, neutral and noise part; ``labels`` (N,) int64 as from `MetricClusterer.predict`. A point of a track
    has the label of its own cluster; a track belongs to the cluster of most of its points.

    Examples
    --------
    >>> import cmlflow
    >>> path = cmlflow.export_onnx("compact-em-supcon", "model.onnx")  # doctest: +SKIP
    """
    if opset not in OPSETS:
        raise ValueError(f"opset is {opset!r}, expected {OPSETS[0]} to {OPSETS[-1]}")
    source = source_of(model, readout)
    from cmlflow.export.model import build  # needs onnx

    built = build(source, opset)
    path = Path(path)
    with atomically(path) as temporary:
        temporary.write_bytes(built.SerializeToString(deterministic=True))
    return path
