"""What a Triton server runs for a cmlflow model: ``model.py`` of its repository imports this class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cmlflow.export.points import predict_points
from cmlflow.export.source import loaded

MODEL = "model"
"""Folder of the saved model in that of its version."""


class TritonPythonModel:
    """A model of Triton's Python backend; the server calls these methods.

    Tensors go both ways by DLPack: with numpy 2, ``as_numpy`` of older servers returns wrong numbers.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model."""
        import torch

        torch.set_num_threads(1)  # a server works on several requests with several instances
        self.model = loaded(Path(args["model_repository"]) / args["model_version"] / MODEL)
        outputs = json.loads(args["model_config"])["output"]
        self.dimension = next(int(o["dims"][1]) for o in outputs if o["name"] == "embedding")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; what is wrong with one is an error of that one alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        import triton_python_backend_utils as triton

        tensors = [triton.get_input_tensor_by_name(request, name) for name in ("points", "ptr")]
        try:
            points, ptr = (np.array(np.from_dlpack(tensor)) for tensor in tensors)
            embedding, labels = predict_points(self.model, points, ptr)
        except ValueError as err:
            return triton.InferenceResponse(error=triton.TritonError(str(err)))
        if not len(labels):  # an empty array has no DLPack there
            embedding = np.zeros((0, self.dimension), np.float32)
            return triton.InferenceResponse([triton.Tensor("embedding", embedding), triton.Tensor("labels", labels)])
        found = {"embedding": embedding, "labels": labels}
        arrays = {name: np.array(array, order="C") for name, array in found.items()}
        return triton.InferenceResponse([triton.Tensor.from_dlpack(name, array) for name, array in arrays.items()])
