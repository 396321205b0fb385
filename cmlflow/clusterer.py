"""`MetricClusterer`: fit, predict, transform, tune, save and load, over embedders, readouts and refiners."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin

from cmlflow.checks import chosen, directions, pairs, precision, slopes, summary, warn
from cmlflow.embedders import Embedder
from cmlflow.event import Event, as_events
from cmlflow.methods import METHODS, build_embedder, build_refiner
from cmlflow.model_folder import SavedModel, as_saved, from_saved, read_model, write_model
from cmlflow.model_paths import find_model
from cmlflow.nets.network import NetworkConfig
from cmlflow.prediction import (
    Embedding,
    best_distance,
    make_readout,
)
from cmlflow.prediction.mixin import PredictMixin
from cmlflow.prediction.readout import AUTO
from cmlflow.readouts import build_readout
from cmlflow.refiners import Refiner
from cmlflow.sampling import Inputs
from cmlflow.training import TrainingConfig


class MetricClusterer(PredictMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Clusters the hits of events, or hits and tracks together, with a learned metric.

    Parameters
    ----------
    head : {"supcon", "margin", "prototype", "oc", "slopes", "axes"} or Embedder, default="supcon"
        What embeds the hits, see `cmlflow.methods.METHODS`: a graph network trained with supervised contrastive loss,
        margin loss, prototype loss on slopes with learned offsets, or object condensation; ``"slopes"``, x/z and y/z
        without a network; ``"axes"``, those and a beta learned from what lies around the line to the origin, see
        `cmlflow.embedders.AxisEmbedder`. A parameter that the head does not use must be left out.
    readout : str or readout, default="auto"
        How embeddings become clusters. ``"auto"``: `tune` tries all that suit the head, and keeps the best; until
        then it is the first of them, density for ``"supcon"``. Or a name of `cmlflow.readouts.READOUTS` (with
        thresholds from `tune`, where it was called for that readout), or an object, for example
        ``Density(radius=0.3)`` or a scikit-learn clusterer.
    loss : Loss, optional
        Replaces the head's own, for example ``SupCon(temperature=0.05)``, or a loss of pytorch-metric-learning.
    refine : int or Refiner, default=0
        Number of refinement passes that reassign hits between clusters, by what is fitted after the embedder: a shower
        profile, or with ``head="axes"`` stages that share hits among showers. Or the refiner itself, for example
        ``Stages(3, min_share=0.4)``. Thresholds are tuned without it. Not with `tracks`.
    features : sequence of str, optional
        What a network sees of each hit: of ``"position"``, ``"energy"``, ``"layer"`` and the names of the events'
        features. By default these three, and all features that the first training event has. Features are scaled by
        the training sample and saved with the model; events without one of them are refused.
    dim : int, optional
        Dimension of the embedding of networks; 16 by default.
    max_epochs, batch_size, learning_rate : optional
        Replace those of `training`, which by default are 100 epochs, 16 events per step and 3e-4.
    network : NetworkConfig, optional
        Neighbours, scaling of the input, dropout.
    training : TrainingConfig, optional
        Schedule, precision, which epoch is kept and more.
    tracks : bool, default=False
        Tracks are points too, see `cmlflow.sampling.event_points`. In training a track is a point of its particle;
        readouts cluster hits and tracks together.
    random_state : int, default=0
        Seed of initial weights, event order and dropout. Heads start from the same backbone.
    device : str, default="cpu"
        Of fit, and after `load` of predict.
    verbose : bool, default=False
        Show progress.

    Attributes
    ----------
    embedder_ : Embedder
    refiner_ : Refiner or None
    history_ : History or None
        Record of the last `fit`.
    thresholds_ : dict of str to dict
        Tuned parameters of each readout.
    trained_on_ : dict
        ``sample``, the name of a simulated one; ``detector`` of the training events; and ``features`` with their
        numbers of columns, where others than position, energy and layer are seen. Saved with the model.
    seen_ : dict
        What was typical of the training events, see `cmlflow.checks.summary`.

    Examples
    --------
    >>> import cmlflow
    >>> events = cmlflow.simulate("compact-em", n_events=4, seed=1)
    >>> model = cmlflow.MetricClusterer(max_epochs=1).fit(events)
    >>> labels = model.predict(events)
    """

    def __init__(
        self,
        head: str | Embedder = "supcon",
        readout: Any = "auto",
        *,
        loss: Any = None,
        refine: int | Refiner = 0,
        features: Sequence[str] | None = None,
        dim: int | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        network: NetworkConfig | None = None,
        training: TrainingConfig | None = None,
        tracks: bool = False,
        random_state: int = 0,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        self.head = head
        self.readout = readout
        self.loss = loss
        self.refine = refine
        self.features = features
        self.dim = dim
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.network = network
        self.training = training
        self.tracks = tracks
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(
        self,
        events: Sequence[Event] | Iterable[Event],
        y: None = None,
        *,
        validation: Sequence[Event] | None = None,
        folder: str | Path | None = None,
        tensorboard: bool = False,
    ) -> MetricClusterer:
        """Train on events with truth.

        Parameters
        ----------
        events : sequence of Event
        y : ignored
        validation : sequence of Event, optional
            Decides which epoch is kept; see `TrainingConfig`.
        folder : path, optional
            For checkpoint and log; an interrupted run continues from there, to the same weights.
        tensorboard : bool, default=False

        Returns
        -------
        MetricClusterer
            Itself.

        Raises
        ------
        ValueError
            No event with a labelled hit; unknown names in the parameters, or parameters that the head does not use.
        """
        sample = as_events(events)
        inputs = Inputs.of(self.features, sample) if self.features is not None or self._sees_features() else None
        embedder, refiner = self._build_embedder(inputs), copy.deepcopy(build_refiner(self.refine, self.head))
        build_readout(self.readout_)  # fail on an unknown readout before training
        if refiner is not None and embedder.takes_tracks:
            raise ValueError(f"refine is {self.refine}, expected 0 with tracks=True: such models reassign no hits")
        held_out = None if validation is None else as_events(validation)
        self.seen_: dict[str, Any] = summary(sample)
        seen = chosen(sample)
        head = self.head if isinstance(self.head, str) else None
        warn([*precision(seen), *directions(seen), *pairs(seen), *slopes(seen, head)])
        history = embedder.fit(
            sample,
            held_out,
            folder=folder,
            score=None if held_out is None else partial(self._distance, embedder.on_sphere, held_out),
            progress=self.verbose,
            tensorboard=tensorboard,
        )
        if refiner is not None:
            some = [sample[i] for i in range(min(refiner.most_events, len(sample)))]
            embeddings = list(embedder.embed(some))
            refiner.fit(some, embeddings, embedder, seed=self.random_state, progress=self.verbose)
        self.embedder_, self.refiner_, self.history_ = embedder, refiner, history
        self.thresholds_: dict[str, dict[str, Any]] = {}
        self.trained_on_: dict[str, Any] = {
            "sample": getattr(getattr(sample, "sample", None), "name", None),
            "detector": sample[0].detector if len(sample) else None,
        }
        if inputs is not None and inputs != Inputs():
            self.trained_on_["features"] = {name: dict(inputs.widths).get(name) for name in inputs.names}
        return self

    def fit_predict(self, events: Sequence[Event], y: None = None) -> list[np.ndarray]:
        """Train on events and cluster the same ones."""
        return self.fit(events).predict(events)

    def save(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``weights.safetensors`` into a folder, each whole or not at all.

        A loss object is not needed any more; only its description is kept. A readout object becomes its name and
        thresholds.

        Raises
        ------
        ValueError
            A head, readout or refiner that is not one of cmlflow's own.
        """
        self._check_fitted()
        weights = {
            "embedder": self.embedder_.state(),
            "refiner": {} if self.refiner_ is None else self.refiner_.state(),
        }
        given = self.get_params(deep=False) | {"features": list(self.trained_on_.get("features", ())) or None}
        parameters, thresholds = as_saved(given, self.thresholds_)
        trained_on = (
            self.trained_on_
            | ({"seen": self.seen_} if self.seen_ else {})
            | ({} if self.loss is None else {"loss": repr(self.loss)})
        )
        write_model(folder, SavedModel(parameters, thresholds, weights, trained_on))

    @classmethod
    def load(cls, name: str | Path, **changes: Any) -> MetricClusterer:
        """A packaged model by its name, or a saved one by its folder.

        Parameters
        ----------
        name : str or path
        **changes
            Parameters in place of the saved ones, for example ``readout="ward"``.

        Raises
        ------
        FileNotFoundError
            No such folder or packaged model; lists the packaged ones.
        ValueError
            A folder of another version, or with files that do not fit together.
        """
        folder = find_model(name)
        saved = read_model(folder)
        model: MetricClusterer = cls(**from_saved(saved.parameters, folder)).set_params(**changes)
        seen: dict[str, int | None] = saved.trained_on.get("features", {})
        inputs = Inputs(tuple(seen), tuple((n, w) for n, w in seen.items() if w is not None)) if seen else None
        embedder, refiner = model._build_embedder(inputs), None
        try:
            embedder.load_state(saved.weights["embedder"])
            if saved.weights["refiner"]:
                refiner = copy.deepcopy(build_refiner(model.refine or 1, model.head))
                refiner.load_state(saved.weights["refiner"])  # type: ignore[union-attr]
        except RuntimeError as err:
            raise ValueError(f"{folder}: the weights do not fit the configuration ({err})") from err
        model.embedder_, model.refiner_, model.history_ = embedder, refiner, None
        model.thresholds_, model.trained_on_ = saved.thresholds, dict(saved.trained_on)
        model.seen_ = model.trained_on_.pop("seen", {})
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "embedder_")

    @property
    def network_(self) -> Any:
        """The torch module of the embedder, for models with a graph network."""
        self._check_fitted()
        return self.embedder_.network  # type: ignore[attr-defined]

    @property
    def readouts_(self) -> tuple[str, ...]:
        """Names of the readouts that suit the head, the default one first."""
        return (
            METHODS[self.head].readouts if isinstance(self.head, str) and self.head in METHODS else ("density", "clue")
        )

    @property
    def readout_(self) -> Any:
        """The readout in use: that of `readout`, and the default one of the head as long as that is ``"auto"``."""
        return self.readouts_[0] if isinstance(self.readout, str) and self.readout == AUTO else self.readout

    def _sees_features(self) -> bool:
        """Whether the head is one that sees features of the events' own."""
        return isinstance(self.head, str) and self.head in METHODS and METHODS[self.head].head is not None

    def _build_embedder(self, inputs: Inputs | None = None) -> Embedder:
        if self.features is not None and not self._sees_features():
            raise ValueError(f"features is {self.features!r}, but head={self.head!r} does not use them: leave it out")
        names = ("loss", "dim", "max_epochs", "batch_size", "learning_rate", "network", "training", "tracks")
        parameters = {name: getattr(self, name) for name in names}
        parameters["inputs"] = None if inputs == Inputs() else inputs
        return build_embedder(self.head, parameters, random_state=self.random_state, device=self.device)

    def _refiner(self) -> Refiner | None:
        """The refiner as it was fitted, with its present settings."""
        wanted = build_refiner(self.refine, self.head)
        if wanted is None:
            return None
        if self.refiner_ is None or type(wanted) is not type(self.refiner_):
            raise ValueError(f"refine is {self.refine}, but the model was fitted with refine={self.refiner_ or 0}")
        fitted = copy.copy(wanted)
        fitted.load_state(self.refiner_.state())
        return fitted

    def _distance(self, on_sphere: bool, validation: Sequence[Event], embeddings: Iterator[Embedding]) -> float:
        """How near perfect reconstruction the readout comes with thresholds that suit these embeddings."""
        readout, found = make_readout(self.readout_, on_sphere, {}, self.typical_hits_), list(embeddings)
        points = [z.readout_points(readout) for z in found]
        return best_distance(readout, points, validation, weights=[z.points.weight for z in found])
