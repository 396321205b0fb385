"""The command ``cmlflow``."""

from cmlflow.cli.main import main

__all__ = ["main"]
