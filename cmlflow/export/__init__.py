"""Models out of Python: ONNX files, and model repositories of a Triton server."""

from cmlflow.export.onnx_file import export_onnx
from cmlflow.export.triton import export_triton

__all__ = ["export_onnx", "export_triton"]
