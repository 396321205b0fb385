"""One ONNX model for any number of events: a loop over `ptr` around the search, the network and the readout of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import ModelProto, checker, helper

import cmlflow
from cmlflow.export.graph import Graph, Step
from cmlflow.export.network import ENERGY, KIND, outputs, unknown, widths
from cmlflow.export.readouts import hits_first, labels
from cmlflow.export.search import inverse, put, sorted_rows
from cmlflow.export.source import Source
from cmlflow.export.values import FLOAT, INT, Value
from cmlflow.sampling.inputs import FEATURES
from cmlflow.sampling.points import TRACK

LAYER = FEATURES.index("layer")
ABOUT = """Clusters of detector hits. Inputs: points (n_points, F) float32, the columns and units of which are in the
metadata; ptr (n_events + 1) int64, event b owns points ptr[b] to ptr[b + 1] - 1. Outputs have one row per point, in the
order of the points: labels are 0, 1, ... in each event, -1 is noise."""


def build(source: Source, opset: int) -> ModelProto:
    """The ONNX model of a model taken apart."""
    columns = widths(source.network)
    width = columns["coordinates" if "coordinates" in columns else "embedding"]
    assert width is not None
    shapes = {name: (FLOAT, n) for name, n in columns.items()}
    if source.readout is not None:
        shapes["labels"] = (INT, None)
    g = Graph(opset)
    points = g.input("points", FLOAT, ["n_points", len(source.features)])
    ptr = g.input("ptr", INT, ["n_bounds"])
    found = each_event(points, ptr, lambda x: one_event(source, x, width), shapes)
    for name, (_, n) in shapes.items():
        g.output(name, found[name], ["n_points"] if n is None else ["n_points", n])
    about = {"producer_name": "cmlflow", "producer_version": cmlflow.__version__, "doc_string": ABOUT}
    model = g.model("cmlflow", about)
    helper.set_model_props(model, source.about)
    checker.check_model(model, full_check=True)
    return model


def each_event(
    points: Value,
    ptr: Value,
    function: Callable[[Value], Mapping[str, Value]],
    shapes: Mapping[str, tuple[np.dtype[np.generic], int | None]],
) -> dict[str, Value]:
    """The results of a function of one event's points, one event after the other; an event without points has none.

    Parameters
    ----------
    points : Value of shape (N, F)
    ptr : Value of shape (B + 1,), int64
    function : callable
        Of at least one point, to results with one row per point.
    shapes : mapping
        Type and number of columns of each result; None for a vector.
    """
    g = points.graph

    def nothing(name: str) -> Value:
        dtype, columns = shapes[name]
        return g.full(0, dtype, 0) if columns is None else g.full(0, dtype, 0, columns)

    def some(start: Value, stop: Value) -> list[Value]:
        found = function(points.slice(start, stop))
        return [found[name] for name in shapes]

    def event(i: Value, *so_far: Value) -> Step:
        start, stop = ptr.take(i), ptr.take(i + 1)
        new = g.branch(start < stop, lambda: some(start, stop), lambda: [nothing(name) for name in shapes])
        return Step([g.concat(pair, 0) for pair in zip(so_far, new, strict=True)])

    found = g.loop(ptr.size() - 1, event, *(nothing(name) for name in shapes))
    return dict(zip(shapes, found, strict=True))


def one_event(source: Source, x: Value, width: int) -> dict[str, Value]:
    """Embedding and labels of the points of one event, of which there is at least one.

    Inside, points are put in an order of their own, so that results do not depend on the order they come in.
    """
    known = x.graph.where(unknown(x), x.graph.constant(np.inf, FLOAT), x)  # nan comes last
    order = sorted_rows(known, len(source.features))
    x = x.take(order)
    found = outputs(source.network, x)
    z = found["coordinates" if "coordinates" in found else "embedding"]
    if source.on_sphere:
        norm = (z * z).sum(1, keep=True).map("Sqrt")
        z = found["embedding"] = z / x.graph.larger(norm, 1e-12)
    if source.readout is not None:
        label = labels(source.readout, z, width, found.get("beta"), point_weight(x, source.tracks))
        if source.tracks:
            label = hits_first(label, column(x, KIND).equal(float(TRACK)))
        found["labels"] = label
    back = inverse(order)
    return {name: value.take(back) for name, value in found.items()}


def point_weight(x: Value, tracks: bool) -> Value:
    """Energy of a hit; momentum of a track divided by the number of its points, as `Points.weight`.

    The points of a track are those with its momentum. Of several tracks with one momentum, each is taken to have the
    same number of points.
    """
    energy = column(x, ENERGY)
    if not tracks:
        return energy
    g = x.graph
    rows = g.nonzero(column(x, KIND).equal(float(TRACK)))
    none = g.constant([-1.0], FLOAT)  # one more row: some operators do not like empty ones
    momentum, layer = (g.concat([column(x, c).take(rows), none], 0) for c in (ENERGY, LAYER))
    same = momentum.expand(1).equal(momentum.expand(0))
    twins = (same & layer.expand(1).equal(layer.expand(0))).cast(FLOAT).sum(1)
    n_tracks = (same.cast(FLOAT) * twins.expand(0)).max(1)
    n_points = (same.cast(FLOAT).sum(1) / n_tracks).slice(0, -1)
    return put(energy, rows, energy.take(rows) / n_points)


def column(x: Value, index: int) -> Value:
    """One column of a matrix as a vector."""
    return x.take(x.graph.constant(index, INT), axis=1)
