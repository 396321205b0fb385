"""Models out of Python: ONNX files, and model repositories of a Triton server."""

from cmlflow.export.onnx_file import export_onnx

__all__ = ["export_onnx"]
