"""Charged, neutral and noise parts of each hit from a network, made unbiased on a tuning sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEAST = 1e-6


def calibrated(origin: ArrayLike, numbers: Sequence[float]) -> Array:
    r"""Parts with :math:`p'_o \propto e^{a_o} p_o^b`.

    Parameters
    ----------
    origin : array_like of shape (n_hits, 3), float
        Charged, neutral and noise parts.
    numbers : sequence of float
        a of the three, and b.

    Returns
    -------
    ndarray of shape (n_hits, 3), float64
        Rows sum to 1.
    """
    score = np.array(numbers[:3]) + numbers[3] * np.log(np.maximum(np.asarray(origin, np.float64), LEAST))
    return _softmax(score)


def fit_origin(
    origin: Sequence[ArrayLike], parts: Sequence[ArrayLike], energy: Sequence[ArrayLike]
) -> tuple[float, ...]:
    """Numbers of `calibrated` with the smallest energy-weighted cross-entropy, after which sums are unbiased.

    Parameters
    ----------
    origin : sequence of array_like of shape (n_hits, 3)
        As the network has it, one for each event.
    parts : sequence of array_like of shape (n_hits, 3)
        True parts; hits whose parts are all 0 are ignored.
    energy : sequence of array_like of shape (n_hits,)

    Returns
    -------
    tuple of 4 floats
        The first is 0: only differences count.
    """
    from scipy.optimize import minimize

    p = np.log(np.maximum(np.concatenate([np.asarray(o, np.float64).reshape(-1, 3) for o in origin]), LEAST))
    t = np.concatenate([np.asarray(f, np.float64).reshape(-1, 3) for f in parts])
    w = np.concatenate([np.asarray(e, np.float64) for e in energy]) * t.sum(axis=1)
    norm = max(float(w.sum()), 1e-12)

    def objective(v: Array) -> tuple[float, Array]:
        q = _softmax(np.array([0.0, v[0], v[1]]) + v[2] * p)
        slope = w[:, None] * (q - t) / norm
        loss = -float((w[:, None] * t * np.log(np.maximum(q, 1e-300))).sum()) / norm
        return loss, np.array([slope[:, 1].sum(), slope[:, 2].sum(), (slope * p).sum()])

    found = minimize(objective, np.array([0.0, 0.0, 1.0]), jac=True, method="L-BFGS-B").x
    return (0.0, float(found[0]), float(found[1]), float(found[2]))


def _softmax(score: Array) -> Array:
    e = np.exp(score - score.max(axis=1, keepdims=True)) if len(score) else score
    out: Array = e / e.sum(axis=1, keepdims=True)
    return out
