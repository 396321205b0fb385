"""Networks that turn the points of events into features.

Every backbone is a torch module ``backbone(x, ptr) -> (N, out_features)`` over the concatenated points of several
events, ``ptr`` of shape (B + 1,) marking where each event starts.
"""

from cmlflow.nets.backbones.edgeconv import DynamicEdgeConv, EdgeConvBackbone
from cmlflow.nets.backbones.scaling import SCALINGS, InputScaling

__all__ = ["SCALINGS", "DynamicEdgeConv", "EdgeConvBackbone", "InputScaling"]
