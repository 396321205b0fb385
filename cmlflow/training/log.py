"""Training logs: one JSON object per line, and TensorBoard where it is installed and asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Log:
    """Appends records to ``folder/log.jsonl``.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    kept : int
        Records that an interrupted run had written when its checkpoint was taken; later ones are cut off, so that
        a resumed run logs nothing twice.
    tensorboard : bool, default=False
        Also write scalars for TensorBoard into the folder (extra ``tensorboard``).
    """

    def __init__(self, folder: Path | None, kept: int = 0, tensorboard: bool = False) -> None:
        self.path = None if folder is None else folder / "log.jsonl"
        self._writer: Any = None
        if self.path is not None:
            old = self.path.read_text().splitlines(keepends=True)[:kept] if self.path.exists() else []
            self.path.write_text("".join(old))
        if tensorboard and folder is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as err:
                raise ImportError('TensorBoard is not installed: pip install "cmlflow[tensorboard]"') from err
            self._writer = SummaryWriter(str(folder))

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
