"""Training logs: one JSON object per line, and TensorBoard on request."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Log:
    """Appends records to ``folder/log.jsonl``.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    records : sequence of dict
        What the checkpoint of an interrupted run knows: the file starts with exactly these, so that a resumed run
        logs nothing twice and misses nothing.
    tensorboard : bool, default=False
        Also write scalars for TensorBoard into the folder (extra ``tensorboard``).

    Raises
    ------
    ImportError
        TensorBoard asked for, but not installed.
    """

    def __init__(self, folder: Path | None, records: Sequence[dict[str, Any]] = (), tensorboard: bool = False) -> None:
        self.path = None if folder is None else folder / "log.jsonl"
        self._writer: Any = None
        if self.path is not None:
            temporary = self.path.with_name("log.jsonl.tmp")
            temporary.write_text("".join(json.dumps(record) + "\n" for record in records))
            os.replace(temporary, self.path)
        if tensorboard and folder is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as err:
                raise ImportError('TensorBoard is not installed: pip install "cmlflow[tensorboard]"') from err
            self._writer = SummaryWriter(str(folder), purge_step=len(records) + 1)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; numbers go to TensorBoard under their names."""
        if self.path is not None:
            with open(self.path, "a") as file:
                file.write(json.dumps(record) + "\n")
        if self._writer is not None:
            for name, value in record.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, record["epoch"])
            self._writer.flush()

    def close(self) -> None:
        """Close the TensorBoard writer, if there is one."""
        if self._writer is not None:
            self._writer.close()
