"""Readouts: from one event's embedding to clusters.

Every readout is a scikit-learn clusterer on one event's array, and a plain function of the same name in lower case
that takes numpy arrays or torch tensors and returns labels of the kind it got. Any other scikit-learn clusterer fits
the same place.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.readouts.agglomerative import Ward, ward, ward_linkage
from cmlflow.readouts.base import EventReadout, cluster, sweep
from cmlflow.readouts.clue import Clue, clue, clue_links
from cmlflow.readouts.condensation import Condensation, condensation
from cmlflow.readouts.density import Density, density, density_scores
from cmlflow.readouts.hdbscan import Hdbscan, hdbscan

__all__ = [
    "READOUTS",
    "Clue",
    "Condensation",
    "Density",
    "EventReadout",
    "Hdbscan",
    "Readout",
    "Ward",
    "build_readout",
    "clue",
    "clue_links",
    "cluster",
    "condensation",
    "density",
    "density_scores",
    "hdbscan",
    "sweep",
    "ward",
    "ward_linkage",
]


@runtime_checkable
class Readout(Protocol):
    """Clusters the points of one event; -1 marks noise.

    Readouts with a true attribute `uses_energy` also take ``sample_weight``, the hit energies, of shape (n_hits,).
    """

    def fit_predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Labels of shape (n_hits,) from `X` of shape (n_hits, D); object condensation: (n_hits, 1 + D), beta first."""
        ...


READOUTS: dict[str, type[EventReadout]] = {
    "ward": Ward,
    "condensation": Condensation,
    "density": Density,
    "clue": Clue,
    "hdbscan": Hdbscan,
}


def build_readout(readout: str | Readout, **parameters: Any) -> Any:
    """The readout of a name, or the given scikit-learn clusterer itself.

    Parameters
    ----------
    readout : str or clusterer
        A key of `READOUTS`, or an instance with `fit_predict`.
    **parameters
        Set on the readout; a given instance is copied first.

    Raises
    ------
    ValueError
        No such name, no such parameter, or an object that is not a clusterer.

    Examples
    --------
    >>> build_readout("ward", height=5.0)
    Ward(height=5.0)
    """
    from sklearn.base import clone

    if isinstance(readout, str):
        if readout not in READOUTS:
            raise ValueError(f"readout: got {readout!r}, needs one of {', '.join(READOUTS)}, or a clusterer")
        return READOUTS[readout]().set_params(**parameters)
    if isinstance(readout, type) or not isinstance(readout, Readout):
        raise ValueError(f"readout: got {readout!r}, needs one of {', '.join(READOUTS)}, or an object with fit_predict")
    return clone(readout).set_params(**parameters) if parameters else readout
