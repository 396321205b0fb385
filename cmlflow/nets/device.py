"""The torch device of a name."""

from __future__ import annotations

import os

import torch


def usable_device(name: str | torch.device) -> torch.device:
    """The torch device of a name; of several processes started by torchrun, ``"cuda"`` is each one's own GPU.

    Raises
    ------
    ValueError
        Unknown device, or one that this build of torch cannot use.
    """
    try:
        device = own_device(torch.device(name))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as err:  # torch reports a build without CUDA as AssertionError
        raise ValueError(f"device is {str(name)!r}, which this torch cannot use: {str(err).splitlines()[0]}") from err
    return device


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process's local rank, where no GPU is named and torchrun started several processes."""
    if str(device) != "cuda" or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _after_fork() -> None:
    """OpenMP's threads do not survive a fork, and the child would wait for them: it works with one thread."""
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)
