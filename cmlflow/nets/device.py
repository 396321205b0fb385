"""The torch device of a name."""

from __future__ import annotations

import torch


def usable_device(name: str | torch.device) -> torch.device:
    """The torch device of a name.

    Raises
    ------
    ValueError
        Unknown device, or one that this build of torch cannot use.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as err:  # torch reports a build without CUDA as AssertionError
        raise ValueError(f"device is {str(name)!r}, which this torch cannot use: {str(err).splitlines()[0]}") from err
    return device
