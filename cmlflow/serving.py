"""Models on a Triton server, called over gRPC as if they were here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from cmlflow.event import INPUTS, Event, FloatArray, IntArray, as_events
from cmlflow.sampling import Inputs, Points, event_points
from cmlflow.sampling.batches import groups


class RemoteClusterer:
    """A model that `cmlflow.export.export_triton` made, on a server.

    Parameters
    ----------
    url : str
        Host and gRPC port of the server: ``"127.0.0.1:8001"``.
    name : str
        Of the model.
    timeout : float, default=60 [s]
        For the answer to one request.
    hits_per_request : int, default=20_000
        Events are sent together up to so many points; 1 sends each on its own.

    Attributes
    ----------
    about : dict of str to str
        What the server says of the model: head, features, readout, thresholds, hash of the weights.

    Raises
    ------
    ConnectionError
        No server answers.
    ImportError
        Without the package tritonclient: extra ``serve``.
    ValueError
        The server has no such model; lists those it has.

    Examples
    --------
    >>> import cmlflow.serving
    >>> model = cmlflow.serving.RemoteClusterer("127.0.0.1:8001", "compact-em-supcon")  # doctest: +SKIP
    >>> labels = model.predict(events)  # doctest: +SKIP
    """

    def __init__(self, url: str, name: str, timeout: float = 60.0, hits_per_request: int = 20_000) -> None:
        try:
            import tritonclient.grpc as triton
        except ImportError as err:
            raise ImportError('a Triton server needs its client: pip install "cmlflow[serve]"') from err
        self.url, self.name, self.timeout, self.hits_per_request = url, name, timeout, hits_per_request
        self._triton: Any = triton
        self._client: Any = triton.InferenceServerClient(url)
        config = self._ask(lambda: self._client.get_model_config(name, client_timeout=timeout).config)
        self.about = {key: value.string_value for key, value in config.parameters.items()}
        self._tracks = bool(json.loads(self.about.get("tracks", "false")))
        inputs: dict[str, Any] = json.loads(self.about.get("inputs", "null")) or {"names": INPUTS, "widths": {}}
        self._inputs = Inputs(tuple(inputs["names"]), tuple(inputs["widths"].items()))
        names = [output.name for output in config.output]
        self._embedding = "coordinates" if "coordinates" in names else "embedding"

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[IntArray]:
        """Cluster of every hit, as `MetricClusterer.predict`.

        Returns
        -------
        list of ndarray of shape (n_hits,), int64

        Raises
        ------
        ValueError
            What the server says is wrong.
        ConnectionError
            It does not answer, or not in time.
        """
        return [labels[: points.n_hits] for points, labels in self._answers(events, "labels")]

    def transform(self, events: Sequence[Event] | Iterable[Event]) -> list[FloatArray]:
        """Embeddings of the hits, as `MetricClusterer.transform`.

        Returns
        -------
        list of ndarray of shape (n_hits, D), float32
        """
        return [z[: points.n_hits] for points, z in self._answers(events, self._embedding)]

    def infer(self, points: FloatArray, ptr: IntArray, outputs: Sequence[str] = ("labels",)) -> list[Any]:
        """One request with arrays, see `export_onnx`.

        Parameters
        ----------
        points : ndarray of shape (N, F), float32
        ptr : ndarray of shape (B + 1,), int64
        outputs : sequence of str
            Names of those wanted.

        Returns
        -------
        list of ndarray
        """
        given = (("points", np.asarray(points, np.float32), "FP32"), ("ptr", np.asarray(ptr, np.int64), "INT64"))
        inputs = []
        for name, array, kind in given:
            inputs.append(self._triton.InferInput(name, array.shape, kind))
            inputs[-1].set_data_from_numpy(np.ascontiguousarray(array))
        wanted = [self._triton.InferRequestedOutput(name) for name in outputs]
        answer = self._ask(lambda: self._client.infer(self.name, inputs, outputs=wanted, client_timeout=self.timeout))
        return [answer.as_numpy(name) for name in outputs]

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self, events: Iterable[Event], output: str) -> Iterator[tuple[Points, Any]]:
        points = (event_points(event, self._tracks, inputs=self._inputs) for event in as_events(events))
        for some in groups(points, len, self.hits_per_request):
            ptr = np.cumsum([0, *map(len, some)])
            (found,) = self.infer(np.concatenate([p.x for p in some]), ptr, [output])
            yield from zip(some, np.split(found, ptr[1:-1]), strict=True)

    def _ask(self, call: Any) -> Any:
        """What a call gives; errors of the client as Python's."""
        try:
            return call()
        except self._triton.InferenceServerException as err:
            status, message = str(err.status()), str(err.message())
            if any(word in status for word in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")):
                raise ConnectionError(f"{self.url}: the Triton server does not answer ({message})") from None
            if "unknown model" in message:
                names = ", ".join(m.name for m in self._client.get_model_repository_index().models) or "none"
                raise ValueError(f"{self.url}: no model {self.name!r} on the server, there are: {names}") from None
            raise ValueError(f"{self.url}: {message}") from None
