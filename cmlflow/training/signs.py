"""Signs in the log of a training run that its validation loss chose the epoch badly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FEWEST = 10  # epochs below which a log says nothing
FALL = 0.02  # by which the training loss has fallen since the kept epoch
FACTOR = 2.0  # of validation and training loss


def signs(records: Sequence[dict[str, Any]], kept: int) -> list[str]:
    """Warnings about a log, in words; none for fewer than 10 epochs.

    Parameters
    ----------
    records : sequence of dict
        One per epoch, as in ``log.jsonl``.
    kept : int
        Epoch whose weights were kept, counted from 1.

    Returns
    -------
    list of str
        That the kept epoch lies in the first half, and the training loss fell by 2 % or more afterwards; that
        validation and training loss of the last quarter differ by a factor of 2 or more.
    """
    n = len(records)
    if n < FEWEST or not kept:
        return []
    found = []
    late = records[-max(n // 4, 1) :]
    training = float(np.median([r["loss"] for r in late]))
    at_kept = float(records[kept - 1]["loss"])
    if kept <= n // 2 and at_kept - training >= FALL * abs(at_kept):
        found.append(
            f"epoch {kept} of {n} was kept, but the training loss fell from {at_kept:.3g} to {training:.3g} after it: "
            "see whether the last epoch (select='last') reconstructs better"
        )
    validation = float(np.median([r.get("validation_loss", np.nan) for r in late]))
    if training > 0 and validation > 0 and not 1 / FACTOR < validation / training < FACTOR:
        found.append(
            f"the validation loss is {validation:.3g}, the training loss {training:.3g} at the end: the network "
            "memorises its events, or is another one without dropout (dropout=0), or the samples differ"
        )
    return found
