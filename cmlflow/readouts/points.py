"""Input and output of all readouts: checks, double precision, and labels as arrays or tensors like the input."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = TypeVar("Array", NDArray[Any], Tensor)
AnyArray: TypeAlias = NDArray[Any] | Tensor
Labels: TypeAlias = NDArray[np.int64]


def points(x: AnyArray, name: str = "z", normalize: bool = False) -> Tensor:
    """The points of one event in double precision, checked.

    Parameters
    ----------
    x : ndarray or Tensor of shape (N, D)
    name : str
        Name of the argument, for errors.
    normalize : bool
        Scale every row to length 1 (rows of zeros stay).

    Returns
    -------
    Tensor of shape (N, D), float64, on the device of `x`, without gradient

    Raises
    ------
    ValueError
        Not two axes, or a row that is not finite (the first such hit is named).
    """
    values = _double(x, name)
    if values.ndim != 2:
        raise ValueError(f"{name}: got shape {tuple(values.shape)}, needs (n_hits, n_dimensions)")
    _check_finite(values, name)
    if normalize:
        norm = torch.linalg.vector_norm(values, dim=1, keepdim=True)
        values = values / torch.where(norm > 0, norm, 1.0)
    return values.contiguous()


def weights(x: AnyArray | None, n_hits: int, device: torch.device, name: str = "energy") -> Tensor:
    """One finite, non-negative number per hit in double precision; ones where `x` is None.

    Raises
    ------
    ValueError
        Wrong length, or a value that is negative or not finite (the first such hit is named).
    """
    if x is None:
        return torch.ones(n_hits, dtype=torch.float64, device=device)
    values = per_hit(x, n_hits, name).to(device)
    negative = torch.nonzero(values < 0)
    if len(negative):
        hit = int(negative[0])
        raise ValueError(f"{name}: hit {hit} has {float(values[hit])}, needs a value of at least 0")
    return values


def per_hit(x: AnyArray, n_hits: int, name: str) -> Tensor:
    """One finite number per hit in double precision.

    Raises
    ------
    ValueError
        Wrong length, or a value that is not finite (the first such hit is named).
    """
    values = _double(x, name)
    if values.shape != (n_hits,):
        raise ValueError(f"{name}: got shape {tuple(values.shape)}, needs ({n_hits},), one value per hit")
    _check_finite(values, name)
    return values


def same_kind(labels: Labels, x: Array) -> Array:
    """`labels` as the kind of array `x` is, on its device."""
    if isinstance(x, Tensor):
        return torch.from_numpy(labels).to(x.device)
    return labels


def canonical_order(x: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows of `x`, shape (N, D), by rising coordinates, first axis first: the same for all orders of hits."""
    if x.shape[1] == 0:
        return np.arange(len(x))
    order: NDArray[np.intp] = np.lexsort(x.T[::-1])
    return order


def at_least(name: str, value: float, low: float, strict: bool = False) -> None:
    """Refuse a setting below `low` (or at it, where `strict`)."""
    if not (value > low if strict else value >= low):
        raise ValueError(f"{name}: got {value}, needs a value {'above' if strict else 'of at least'} {low}")


def _double(x: AnyArray, name: str) -> Tensor:
    if isinstance(x, Tensor):
        return x.detach().to(torch.float64)
    values = np.asarray(x)
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: got values of type {values.dtype}, needs real numbers") from error
    return torch.from_numpy(np.array(values, np.float64, order="C"))


def _check_finite(values: Tensor, name: str) -> None:
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        hit = int(bad[0, 0])
        row = values[hit].tolist()
        raise ValueError(f"{name}: hit {hit} has {row}, needs finite numbers (no NaN or inf)")
