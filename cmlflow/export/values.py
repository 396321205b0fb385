"""Values of an ONNX graph: arithmetic on them adds nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from cmlflow.export.graph import Graph

INT, FLOAT, DOUBLE, BOOL = (np.dtype(t) for t in (np.int64, np.float32, np.float64, np.bool_))
AXES_AS_INPUT = 18  # the opset from which ReduceMax, ReduceMin and ReduceMean take their axes as an input

Operand: TypeAlias = "Value | float | np.ndarray[Any, Any]"
Dimension: TypeAlias = "Value | int"


@dataclass(frozen=True, eq=False)
class Value:
    """The result of a node, an input, or a constant.

    Attributes
    ----------
    graph : Graph
    name : str
    dtype : numpy.dtype
    """

    graph: Graph
    name: str
    dtype: np.dtype[Any]

    def __add__(self, other: Operand) -> Value:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return self.graph.op("Div", self, other)

    def __floordiv__(self, other: Operand) -> Value:
        return self.graph.op("Div", self, other)  # of integers that are not negative

    def __matmul__(self, other: Operand) -> Value:
        return self.graph.op("MatMul", self, other)

    def __neg__(self) -> Value:
        return self.graph.op("Neg", self)

    def __lt__(self, other: Value | float) -> Value:
        return self.graph.op("Less", self, other, dtype=BOOL)

    def __le__(self, other: Value | float) -> Value:
        return self.graph.op("LessOrEqual", self, other, dtype=BOOL)

    def __gt__(self, other: Value | float) -> Value:
        return self.graph.op("Greater", self, other, dtype=BOOL)

    def __ge__(self, other: Value | float) -> Value:
        return self.graph.op("GreaterOrEqual", self, other, dtype=BOOL)

    def __and__(self, other: Operand) -> Value:
        return self.graph.op("And", self, other)

    def __or__(self, other: Operand) -> Value:
        return self.graph.op("Or", self, other)

    def __invert__(self) -> Value:
        return self.graph.op("Not", self)

    def equal(self, other: Operand) -> Value:
        return self.graph.op("Equal", self, other, dtype=BOOL)

    def cast(self, dtype: np.dtype[Any]) -> Value:
        return self if dtype == self.dtype else self.graph.cast(self, dtype)

    def map(self, kind: str) -> Value:
        """An operator of one input: Abs, Elu, Exp, Log, Sigmoid, Softplus, Sqrt."""
        return self.graph.op(kind, self)

    def size(self, axis: int = 0) -> Value:
        """Length of an axis, a scalar."""
        return self.graph.op("Shape", self, dtype=INT).take(self.graph.constant(axis, INT))

    def take(self, index: Value, axis: int = 0) -> Value:
        return self.graph.op("Gather", self, index, axis=axis)

    def take_along(self, index: Value, axis: int) -> Value:
        return self.graph.op("GatherElements", self, index, axis=axis)

    def columns(self, start: int, stop: int) -> Value:
        """Columns from `start` to before `stop` of a matrix."""
        return self.slice(start, stop, 1)

    def slice(self, start: Dimension, stop: Dimension, axis: int = 0) -> Value:
        ends = (self.graph.vector(start), self.graph.vector(stop), self.graph.vector(axis))
        return self.graph.op("Slice", self, *ends)

    def reshape(self, *shape: Dimension) -> Value:
        return self.graph.op("Reshape", self, self.graph.vector(*shape))

    def expand(self, axis: int) -> Value:
        """With a new axis of length 1."""
        return self.graph.op("Unsqueeze", self, self.graph.vector(axis))

    def squeeze(self, axis: int) -> Value:
        return self.graph.op("Squeeze", self, self.graph.vector(axis))

    def transposed(self) -> Value:
        return self.graph.op("Transpose", self)

    def sum(self, axis: int, keep: bool = False) -> Value:
        return self.graph.op("ReduceSum", self, self.graph.vector(axis), keepdims=int(keep))

    def max(self, axis: int, keep: bool = False) -> Value:
        return self._reduce("ReduceMax", axis, keep)

    def min(self, axis: int, keep: bool = False) -> Value:
        return self._reduce("ReduceMin", axis, keep)

    def mean(self, axis: int, keep: bool = False) -> Value:
        return self._reduce("ReduceMean", axis, keep)

    def _reduce(self, kind: str, axis: int, keep: bool) -> Value:
        if self.graph.opset >= AXES_AS_INPUT:
            return self.graph.op(kind, self, self.graph.vector(axis), keepdims=int(keep))
        return self.graph.op(kind, self, axes=[axis], keepdims=int(keep))

    def smallest(self, k: Dimension, axis: int = 0, ordered: bool = True, largest: bool = False) -> tuple[Value, Value]:
        """The k smallest entries along an axis, and where they are; equal ones by rising place."""
        how = {"axis": axis, "largest": int(largest), "sorted": int(ordered)}
        value, place = self.graph.ops("TopK", self, self.graph.vector(k), dtypes=(self.dtype, INT), **how)
        return value, place
