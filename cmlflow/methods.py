"""The one table of methods: by the name of a head, what embeds, what is minimised, what refines, what reads out.

A new method is a row here, with its head in `cmlflow.nets.heads` and its loss in `cmlflow.losses`, or with an embedder
of its own.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from cmlflow.embedders import AxisEmbedder, Embedder, NetworkEmbedder, SlopesEmbedder
from cmlflow.losses import Condensation, Margin, Prototype, SupCon
from cmlflow.nets.heads import CondensationHead, EmbeddingHead, OffsetHead
from cmlflow.nets.network import Network, NetworkConfig, edge_network
from cmlflow.refiners import Profile, Refiner, Stages


@dataclass(frozen=True)
class Method:
    """How events are embedded and clustered.

    Attributes
    ----------
    title : str
        Its name in tables and figures.
    readouts : tuple of str
        Readouts that suit the embedding; the first one is the default.
    head : type, optional
        Head of the network; None for methods without a graph network.
    loss : type, optional
        Its default loss.
    dim : int
        Dimension of its embeddings by default; of methods without a network, always.
    dropout : float
        Of the network, by default.
    on_sphere : bool
        Whether its embeddings are made unit vectors.
    embedder : type
    refiner : type
        What reassigns hits where that is asked for by a number of passes.
    """

    title: str
    readouts: tuple[str, ...]
    head: type[nn.Module] | None = None
    loss: type | None = None
    dim: int = 16
    dropout: float = 0.01
    on_sphere: bool = False
    embedder: type = NetworkEmbedder
    refiner: type = Profile


METHODS: dict[str, Method] = {
    "supcon": Method("SupCon", ("density", "clue", "ward", "hdbscan"), EmbeddingHead, SupCon, on_sphere=True),
    "margin": Method("Margin", ("clue", "density", "hdbscan"), EmbeddingHead, Margin),
    "prototype": Method("Prototype", ("clue", "density", "hdbscan"), OffsetHead, Prototype),
    "oc": Method(
        "OC", ("condensation", "density", "clue", "ward", "hdbscan"), CondensationHead, Condensation, dropout=0.0
    ),
    "slopes": Method("Slopes", ("clue", "density", "hdbscan"), dim=2, embedder=SlopesEmbedder),
    "axes": Method(
        "Axes", ("condensation", "clue", "density", "hdbscan"), dim=2, embedder=AxisEmbedder, refiner=Stages
    ),
}


def method(name: Any) -> Method:
    """The method of a name.

    Raises
    ------
    ValueError
        Lists the names.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"head is {name!r}, expected one of {sorted(METHODS)}")
    return METHODS[name]


def build_embedder(head: str | Embedder, parameters: Mapping[str, Any], **always: Any) -> Embedder:
    """An embedder that is not trained yet.

    Parameters
    ----------
    head : str or Embedder
        A name of `METHODS`; or an embedder, which is copied.
    parameters : mapping of str
        Of the embedder; None and False stand for its default.
    **always
        Further parameters, which every embedder takes.

    Raises
    ------
    ValueError
        Unknown name, or a parameter that this head does not use.
    """
    given = {name: value for name, value in parameters.items() if value is not None and value is not False}
    if isinstance(head, str):
        row = method(head)
        known = set(inspect.signature(row.embedder.__init__).parameters)  # type: ignore[misc]
    else:
        known = set()
    for name, value in given.items():
        if name not in known:
            which = f"head={head!r}" if isinstance(head, str) else f"the embedder {type(head).__name__}"
            raise ValueError(f"{name} is {value!r}, but {which} does not use it: leave it out")
    if not isinstance(head, str):
        return copy.deepcopy(head)
    if row.head is not None:
        loss = row.loss() if row.loss else None
        given = {"head": row.head, "loss": loss, "dim": row.dim, "on_sphere": row.on_sphere} | given
        given["dropout"] = row.dropout
    return cast(Embedder, row.embedder(**given, **always))


def build_refiner(refine: int | Refiner | None, head: str | Embedder) -> Refiner | None:
    """What reassigns hits, or None.

    Parameters
    ----------
    refine : int, Refiner or None
        Number of passes of the refiner that goes with the head; or a refiner.
    head : str or Embedder

    Raises
    ------
    ValueError
        A negative number of passes; a refiner that does not suit the head.
    """
    if refine is None or (isinstance(refine, int) and refine == 0):
        return None
    if not isinstance(refine, int):
        if isinstance(head, str) and isinstance(refine, Stages) and method(head).refiner is not Stages:
            raise ValueError(f"refine is {refine!r}, but stages need the axes of showers: expected head='axes'")
        return refine
    if refine < 0:
        raise ValueError(f"refine is {refine}, expected 0 or more passes, or a refiner")
    refiner = method(head).refiner if isinstance(head, str) else Profile
    return cast(Refiner, refiner(passes=int(refine)))


def build_network(
    head: str = "supcon",
    dim: int = 16,
    k: int = 24,
    scaling: str = "raw",
    dropout: float | None = None,
    tracks: bool = False,
    in_features: int | None = None,
) -> Network:
    """The paper's network: 48,560 parameters with the embedding head of 16 dimensions, 48,593 with the OC head.

    Parameters
    ----------
    head : {"supcon", "margin", "prototype", "oc"}
        What the network is to be trained with; decides the outputs, ``{"embedding"}`` or ``{"beta", "coordinates"}``.
    dim : int, default=16
        Dimension of the embedding or of the clustering coordinates.
    k : int, default=24
        Neighbours in the DynamicEdgeConv layers, the hit itself included.
    scaling : {"raw", "hgcal", "projective", "standard"}
        Name of the `InputScaling`; ``"standard"`` is fitted to the training sample.
    dropout : float, optional
        0.01 by default, and 0 for ``"oc"``: see the notes.
    tracks : bool, default=False
        Points are hits and tracks, see `edge_network`.
    in_features : int, optional
        Columns of the points, with features of the events' own after the 5, or 8 with tracks.

    Returns
    -------
    Network
        ``net(x, ptr=None)`` with x of shape (N, 5), x, y, z [cm], energy, layer, or (N, 8), or (N, in_features).

    Raises
    ------
    ValueError
        Unknown head or scaling, a `dim` or `k` below 1.

    Notes
    -----
    Object condensation asks each particle for one hit with beta = 1 among hundreds that are much alike. With dropout
    in training, its noise singles one out, a different one every time; at inference nothing does, and no beta is large.
    On showers of hundreds of hits, a dropout of 0.01 takes the validation loss to several times the training loss.

    References
    ----------
    arXiv:2603.23356, section II.1.
    """
    heads: dict[str, type[nn.Module]] = {name: row.head for name, row in METHODS.items() if row.head is not None}
    if head not in heads:
        raise ValueError(f"head is {head!r}, expected one of {sorted(heads)}")
    config = NetworkConfig(k, scaling, dropout)
    return edge_network(heads[head], dim, config, tracks, METHODS[head].dropout, in_features)
