"""Data-parallel training over processes started by torchrun; one process without it."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


def is_first() -> bool:
    """Whether this process writes the results: the only one, or the first of those started by torchrun."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device(name: str | torch.device) -> torch.device:
    """The device of this process: of several GPUs on a machine, the one of its LOCAL_RANK, as torchrun sets it.

    Raises
    ------
    ValueError
        A name that torch does not know.
    """
    try:
        device = torch.device(name)
    except RuntimeError as err:
        raise ValueError(f"device is {str(name)!r}, which torch does not know") from err
    local = os.environ.get("LOCAL_RANK")
    index: int | None = device.index
    if device.type == "cuda" and index is None and local is not None:
        return torch.device("cuda", int(local))
    return device


class Workers:
    """This process among those of the run.

    Each takes every `size`-th event of a step; gradients and sums are added over all, so the run computes what one
    process would. Backend: nccl on GPUs, gloo otherwise.

    Attributes
    ----------
    rank, size : int
        0 and 1 without torchrun.
    """

    def __init__(self, device: torch.device) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self._opened = False
        if self.size > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            self._opened = True

    def close(self) -> None:
        """Leave the process group, if this object opened it."""
        if self._opened:
            distributed.destroy_process_group()

    def add(self, tensor: Tensor) -> Tensor:
        """Sum of `tensor` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def add_terms(self, terms: dict[str, float]) -> dict[str, float]:
        """Sum named numbers over all processes; one that has no event in a step names none."""
        if self.size == 1:
            return terms
        parts: list[dict[str, float]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(parts, terms)
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: sum(part.get(name, 0.0) for part in parts) for name in names}

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of all processes, in one message."""
        if self.size == 1:
            return
        all_of_them = list(parameters)
        flat = torch.cat([torch.zeros_like(p).view(-1) if p.grad is None else p.grad.view(-1) for p in all_of_them])
        distributed.all_reduce(flat)
        for p, g in zip(all_of_them, torch.split(flat, [p.numel() for p in all_of_them]), strict=True):
            p.grad = g.view_as(p).clone()
