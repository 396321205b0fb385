"""Checks and conversions of labels and inputs that all losses share."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

ArrayLike = Tensor | np.ndarray
Array = TypeVar("Array", Tensor, np.ndarray)


def points_and_labels(z: ArrayLike, particle_id: ArrayLike, name: str) -> tuple[Tensor, Tensor]:
    """Both as tensors on one device, z at least float32; shapes checked.

    Raises
    ------
    ValueError
        `z` is not (N, D), or the labels are not N integers of -1 or above.
    """
    points, labels = tensor(z), tensor(particle_id)
    if points.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(points.shape)}, expected (n_hits, D)")
    if labels.shape != points.shape[:1]:
        raise ValueError(f"particle_id has shape {tuple(labels.shape)}, expected ({len(points)},) as {name} has rows")
    if labels.is_floating_point() and len(labels):
        raise ValueError(f"particle_id has type {labels.dtype}, expected integers")
    if len(labels) and int(labels.min()) < -1:
        raise ValueError(f"particle_id holds {int(labels.min())}, expected -1 (unknown) or above")
    if points.dtype in (torch.float16, torch.bfloat16) or not points.is_floating_point():
        points = points.float()
    return points, labels.to(points.device, torch.int64)


def tensor(value: ArrayLike) -> Tensor:
    """As a tensor; arrays are copied, because those from files may be read-only."""
    if isinstance(value, np.ndarray):
        value = np.array(value.astype(np.int64) if value.dtype.kind == "u" else value)
    return torch.as_tensor(value)


def as_given(value: Tensor, like: Array) -> Array:
    """A result as a tensor or an array, whichever `like` is."""
    return value.detach().numpy() if isinstance(like, np.ndarray) else value


def compact(labels: Tensor) -> tuple[Tensor, int]:
    """Labels renumbered 0..K-1 without gaps, -1 kept; and K."""
    known = labels >= 0
    values, dense = torch.unique(labels[known], return_inverse=True)
    out = torch.full_like(labels, -1)
    out[known] = dense
    return out, len(values)
