"""ONNX graphs written as arithmetic: operators on values add nodes to the graph, or to the loop that is being built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

try:
    from onnx import ModelProto, helper, numpy_helper
except ModuleNotFoundError as err:
    raise ImportError('writing ONNX files needs the package onnx: pip install "cmlflow[onnx]"') from err

from cmlflow.export.values import BOOL, INT, Dimension, Operand, Value

N_LOOP = 2  # the number of the step and the condition come before the state


@dataclass
class _Scope:
    nodes: list[Any] = field(default_factory=list)


class Graph:
    """Nodes in the order they are made; constants are kept once.

    Parameters
    ----------
    opset : int
        Version of the operators, 15 or later.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._scopes = [_Scope()]
        self._constants: dict[tuple[str, tuple[int, ...], bytes], tuple[str, Any]] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def input(self, name: str, dtype: np.dtype[Any], shape: Sequence[int | str]) -> Value:
        self._inputs.append(_info(name, dtype, shape))
        return Value(self, name, dtype)

    def output(self, name: str, value: Value, shape: Sequence[int | str] | None = None) -> None:
        self._add("Identity", [value.name], [name])
        self._outputs.append(_info(name, value.dtype, shape))

    def constant(self, value: Any, dtype: np.dtype[Any]) -> Value:
        array = np.array(value, dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._constants[key] = (name, numpy_helper.from_array(array, name))
        return Value(self, self._constants[key][0], dtype)

    def vector(self, *entries: Dimension) -> Value:
        """A vector of integers, of which some may be scalar values."""
        if all(isinstance(entry, int) for entry in entries):
            return self.constant(entries, INT)
        parts = [e.reshape(1) if isinstance(e, Value) else self.constant([e], INT) for e in entries]
        return parts[0] if len(parts) == 1 else self.concat(parts, 0)

    def op(self, kind: str, *inputs: Operand, dtype: np.dtype[Any] | None = None, **attributes: Any) -> Value:
        """One node with one result, of the type of its first value unless told otherwise.

        Numbers and arrays become constants of that type.
        """
        first = next(v for v in inputs if isinstance(v, Value))
        (out,) = self.ops(kind, *inputs, dtypes=(dtype or first.dtype,), **attributes)
        return out

    def ops(self, kind: str, *inputs: Operand, dtypes: Sequence[np.dtype[Any]], **attributes: Any) -> list[Value]:
        """One node with a result for each of the types."""
        first = next(v for v in inputs if isinstance(v, Value))
        names = [(v if isinstance(v, Value) else self.constant(v, first.dtype)).name for v in inputs]
        results = [self._new(dtype) for dtype in dtypes]
        self._add(kind, names, [v.name for v in results], **attributes)
        return results

    def cast(self, value: Value, dtype: np.dtype[Any]) -> Value:
        return self.op("Cast", value, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(dtype))

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        return self.op("Concat", *values, axis=axis)

    def where(self, condition: Value, a: Operand, b: Operand) -> Value:
        kind = next(v.dtype for v in (a, b) if isinstance(v, Value))
        a, b = (v if isinstance(v, Value) else self.constant(v, kind) for v in (a, b))
        return self.op("Where", condition, a, b, dtype=kind)

    def larger(self, a: Value, b: Operand) -> Value:
        return self.op("Max", a, b)

    def smaller(self, a: Value, b: Operand) -> Value:
        return self.op("Min", a, b)

    def arange(self, stop: Value) -> Value:
        return self.op("Range", self.constant(0, INT), stop, self.constant(1, INT))

    def full(self, value: float, dtype: np.dtype[Any], *shape: Dimension) -> Value:
        tensor = numpy_helper.from_array(np.array([value], dtype))
        return self.op("ConstantOfShape", self.vector(*shape), dtype=dtype, value=tensor)

    def nonzero(self, mask: Value) -> Value:
        """Positions of true entries of a vector."""
        return self.op("NonZero", mask, dtype=INT).squeeze(0)

    def loop(self, trips: Value, body: Callable[..., Step], *state: Value) -> list[Value]:
        """``body(i, *state)`` for i = 0, 1, ... below `trips`.

        Returns
        -------
        list of Value
            The last state, then the scans of all steps, stacked along a new first axis.
        """
        with self._scope() as scope:
            inner = [self._new(INT), self._new(BOOL), *(self._new(v.dtype) for v in state)]
            step = body(inner[0], *inner[2:])
            results = [step.go_on or inner[1], *step.state, *step.scans]
            graph = self._subgraph(scope, inner, results)
        dtypes = [v.dtype for v in results[1:]]
        return self.ops("Loop", trips, self.constant(True, BOOL), *state, dtypes=dtypes, body=graph)

    def branch(
        self, condition: Value, then: Callable[[], Sequence[Value]], otherwise: Callable[[], Sequence[Value]]
    ) -> list[Value]:
        """The values of one function or the other, of the same types."""
        graphs = []
        for function in (then, otherwise):
            with self._scope() as scope:
                results = list(function())
                graphs.append(self._subgraph(scope, [], results))
        dtypes = [v.dtype for v in results]
        return self.ops("If", condition, dtypes=dtypes, then_branch=graphs[0], else_branch=graphs[1])

    def model(self, name: str, producer: dict[str, Any]) -> ModelProto:
        """The finished model.

        Parameters
        ----------
        name : str
            Of the graph.
        producer : dict
            Further arguments of `onnx.helper.make_model`.
        """
        tensors = [tensor for _, tensor in self._constants.values()]
        graph = helper.make_graph(self._scopes[0].nodes, name, self._inputs, self._outputs, tensors)
        opsets = [helper.make_opsetid("", self.opset)]
        version = helper.find_min_ir_version_for(opsets)
        return helper.make_model(graph, opset_imports=opsets, ir_version=version, **producer)

    def _new(self, dtype: np.dtype[Any]) -> Value:
        self._count += 1
        return Value(self, f"v{self._count}", dtype)

    def _add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self._scopes[-1].nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    @contextmanager
    def _scope(self) -> Iterator[_Scope]:
        self._scopes.append(_Scope())
        yield self._scopes[-1]
        self._scopes.pop()

    def _subgraph(self, scope: _Scope, inputs: Sequence[Value], results: Sequence[Value]) -> Any:
        outputs = [self.op("Identity", v) for v in results]
        self._count += 1
        given = [_info(v.name, v.dtype, [] if i < N_LOOP else None) for i, v in enumerate(inputs)]
        made = [_info(v.name, v.dtype, None) for v in outputs]
        return helper.make_graph(scope.nodes, f"g{self._count}", given, made)


@dataclass(frozen=True)
class Step:
    """What the body of a loop gives: the next state, rows to be stacked, and whether to go on (by default, yes)."""

    state: Sequence[Value] = ()
    scans: Sequence[Value] = ()
    go_on: Value | None = None


def _info(name: str, dtype: np.dtype[Any], shape: Sequence[int | str] | None) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
