"""The networks as ONNX: scaling, DynamicEdgeConv backbone, sums over the event, heads. One event at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from cmlflow.export.search import Tile, build_tree, each_tile, nearest
from cmlflow.export.values import BOOL, FLOAT, Value
from cmlflow.nets.backbones import EdgeConvBackbone
from cmlflow.nets.backbones.edgeconv import DynamicEdgeConv
from cmlflow.nets.backbones.scaling import DISTANCE_UNIT, REFERENCE_Z, SMALLEST_Z, InputScaling
from cmlflow.nets.backbones.sums import EventSums
from cmlflow.nets.heads import CondensationHead, EmbeddingHead, OffsetHead
from cmlflow.nets.heads.offset import SLOPE_UNIT
from cmlflow.nets.network import Network
from cmlflow.sampling.inputs import TRACK_FEATURES
from cmlflow.sampling.points import TRACK

ENERGY, KIND, DISTANCE, MOMENTUM = (TRACK_FEATURES.index(n) for n in ("energy", "kind", "distance", "momentum"))


def outputs(network: Network | None, x: Value) -> dict[str, Value]:
    """What a network gives for the points of one event, as its `forward` does.

    Parameters
    ----------
    network : Network or None
        None for slopes, as `SlopesEmbedder` computes them.
    x : Value of shape (n, F), float32
        In the order in which neighbours at equal distances are taken.

    Raises
    ------
    ValueError
        A network with other parts than cmlflow's.
    """
    if network is None:
        return {"embedding": slopes(x) / SLOPE_UNIT}
    if not isinstance(network.backbone, EdgeConvBackbone):
        raise ValueError(f"backbone is {type(network.backbone).__name__}, expected EdgeConvBackbone")
    h = backbone(network.backbone, x)
    found = head(network.head, h, x)
    if network.origin is not None:
        found["origin"] = x.graph.op("Softmax", sequence(network.origin.score, h), axis=1)
    return found


def widths(network: Network | None) -> dict[str, int | None]:
    """Columns of what `outputs` gives; None for a vector."""
    if network is None:
        return {"embedding": 2}
    origin: dict[str, int | None] = {} if network.origin is None else {"origin": 3}
    module = network.head
    if isinstance(module, CondensationHead):
        return {"beta": None, "coordinates": module.coordinates.out_features, **origin}
    layer: Any = module.offset if isinstance(module, OffsetHead) else module.embedding
    return {"embedding": layer.out_features, **origin}


def backbone(module: EdgeConvBackbone, x: Value) -> Value:
    """Features of every point, shape (n, out_features)."""
    h = sequence(module.encoder, scaled(module.scaling, x))
    for layer in module.layers:
        assert isinstance(layer, DynamicEdgeConv)
        h = edge_convolution(layer, h).map("Elu")
    if module.sums is not None:
        h = x.graph.concat([h, event_sums(module.sums, h, x)], 1)
    return sequence(module.trunk, h)


def edge_convolution(layer: DynamicEdgeConv, h: Value) -> Value:
    """max over neighbours j of W elu(u_i + v_j), as `DynamicEdgeConv` computes it."""
    centre, difference = np.split(array(layer.first.weight), 2, axis=1)
    u = product(h, centre - difference, array(layer.first.bias))
    v = h @ np.ascontiguousarray(difference.T)
    second = np.ascontiguousarray(array(layer.second.weight).T)
    tree = build_tree(h, layer.first.in_features // 2)

    def best(tile: Tile) -> Value:
        index, _ = nearest(tree, tile, layer.k, h)
        edge = (v.take(index) + u.take(tile.rows).expand(1)).map("Elu")
        return (edge @ second).max(1)

    return each_tile(tree, best, layer.second.out_features) + array(layer.second.bias)


def event_sums(module: EventSums, h: Value, x: Value) -> Value:
    """Sums over hits and over tracks, the same at every point, shape (n, out_features)."""
    width = module.out_features // 2
    phi = dense(module.phi, h).map("Softplus")
    is_track = x.columns(KIND, KIND + 1).equal(float(TRACK)).cast(FLOAT)
    both = x.graph.concat([phi.columns(0, width) * (1.0 - is_track), phi.columns(width, 2 * width) * is_track], 1)
    sums = (both * x.columns(ENERGY, ENERGY + 1)).sum(0, keep=True)
    return x.graph.op("Expand", (sums + 1.0).map("Log"), x.graph.vector(x.size(), 1))


def head(module: nn.Module, h: Value, x: Value) -> dict[str, Value]:
    """What a head gives.

    Raises
    ------
    ValueError
        A head that is not one of cmlflow's.
    """
    if isinstance(module, EmbeddingHead):
        return {"embedding": dense(module.embedding, h)}
    if isinstance(module, CondensationHead):
        weight = np.concatenate([array(module.beta.weight), array(module.coordinates.weight)])
        bias = np.concatenate([array(module.beta.bias), array(module.coordinates.bias)])
        both = product(h, weight, bias)
        beta = both.columns(0, 1).map("Sigmoid").squeeze(1)
        return {"beta": beta, "coordinates": both.columns(1, len(weight))}
    if isinstance(module, OffsetHead):
        shift = dense(module.offset, h)
        place = slopes(x) / module.scale
        parts = [shift.columns(0, 2) + place, shift.columns(2, module.offset.out_features)]
        return {"embedding": x.graph.concat(parts, 1)}
    raise ValueError(f"head is {type(module).__name__}, expected EmbeddingHead, CondensationHead or OffsetHead")


def scaled(scaling: InputScaling, x: Value) -> Value:
    """The inputs of the encoder, as `InputScaling` makes them."""
    g, base, width = x.graph, scaling.n_base, len(scaling.offset)
    if scaling.name != "raw":
        unit = float(scaling.unit)
        place = [x.columns(0, 3)]
        if scaling.name == "projective":
            place = [slopes(x) * REFERENCE_Z, x.columns(2, 3)]
        columns = [*place, logarithm(x, ENERGY, unit), x.columns(ENERGY + 1, DISTANCE if scaling.tracks else width)]
        if scaling.tracks:
            columns += [logarithm(x, DISTANCE, DISTANCE_UNIT), logarithm(x, MOMENTUM, unit)]
            columns += [x.columns(base, width)] if width > base else []
        x = (g.concat(columns, 1) - array(scaling.offset)) / array(scaling.scale)
    if width > base:
        own = x.columns(base, width)
        x = g.concat([x.columns(0, base), g.where(unknown(own), g.constant(0.0, FLOAT), own)], 1)
    if scaling.hidden:
        seen = np.ones(width)
        seen[scaling.hidden] = 0.0
        x = x * seen
    return x


def unknown(x: Value) -> Value:
    """Where values are nan."""
    return x.graph.op("IsNaN", x, dtype=BOOL)


def logarithm(x: Value, column: int, unit: float) -> Value:
    """log(1 + x / unit) of one column."""
    return (x.columns(column, column + 1) / unit + 1.0).map("Log")


def slopes(x: Value) -> Value:
    """x/z and y/z of every point, as `cmlflow.nets.backbones.scaling.slopes`."""
    g, z = x.graph, x.columns(2, 3)
    sign = g.where(z < 0.0, g.constant(-SMALLEST_Z, FLOAT), SMALLEST_Z)
    return x.columns(0, 2) / g.where(z.map("Abs") < SMALLEST_Z, sign, z)


def sequence(layers: Any, h: Value) -> Value:
    """Linear layers, ELU and dropout, which does nothing here."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            h = dense(layer, h)
        elif isinstance(layer, nn.ELU):
            h = h.map("Elu")
        elif not isinstance(layer, nn.Dropout):
            raise ValueError(f"layer is {type(layer).__name__}, expected Linear, ELU or Dropout")
    return h


def dense(layer: nn.Linear, h: Value) -> Value:
    return product(h, array(layer.weight), array(layer.bias))


def product(h: Value, weight: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]) -> Value:
    """Rows times the transpose of a weight (out, in), plus a bias."""
    return h.graph.op("Gemm", h, weight, bias, transB=1)


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    out: np.ndarray[Any, Any] = tensor.detach().cpu().numpy()
    return out
