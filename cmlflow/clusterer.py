"""`MetricClusterer`: fit, predict, transform, tune, save and load, over networks, losses and readouts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from torch import nn
from tqdm import tqdm

from cmlflow.association import EmbeddedEvent
from cmlflow.embedders.axes import AxisFinder, fit_axis_finder
from cmlflow.event import Event, as_events
from cmlflow.losses import LOSSES
from cmlflow.model_folder import all_weights, find_model, read_model, set_weights, write_model
from cmlflow.nets.network import Network, Slopes, build_network, fit_scaling
from cmlflow.prediction.labelling import Clusters, Output, find_labels, make_readout, network_outputs
from cmlflow.prediction.tuning import Tuning, best_distance, tune_readout
from cmlflow.readouts import READOUTS, Condensation, build_readout
from cmlflow.refiners.profile import ShowerProfile, fit_profile, reassign
from cmlflow.refiners.stages import HitAssigner, fit_hit_assigner
from cmlflow.training import History, TrainingConfig, train

SAMPLE_FOR_PROFILE = 120  # events on which the reassignment of hits is trained
SAMPLE_FOR_AXES = 500  # the same for axes of showers and the assignment of hits to them
AXES_THRESHOLD, AXES_RADIUS = 0.5, 0.57  # of OC inference, on whose showers that is trained: axes 2 cm apart


class MetricClusterer(BaseEstimator):  # type: ignore[misc]
    """Clusters the hits of events, or hits and tracks together, with a learned metric.

    Parameters
    ----------
    head : {"supcon", "margin", "prototype", "oc", "slopes", "axes"}, default="supcon"
        What the network is trained with: supervised contrastive loss, margin loss, prototype loss on slopes with
        learned offsets, or object condensation. ``"slopes"`` stands for no network, the slopes x/z and y/z alone;
        ``"axes"`` for those and a beta learned from what lies around the line to the origin, see `AxisFinder`, from
        the first 500 events: no graph network either, and parameters of one and of its training have no effect.
    readout : str or readout, default="density"
        How embeddings become clusters: a name of `cmlflow.readouts.READOUTS` (with thresholds from `tune`, where it
        was called for that readout) or an object, for example ``Density(radius=0.3)`` or a scikit-learn clusterer.
    loss : Loss, optional
        In place of the head's own, with its parameters: ``SupCon(temperature=0.05)``.
    dim : int, default=16
        Dimension of the embedding.
    k : int, default=24
        Neighbours in the network, the hit itself included.
    scaling : {"standard", "hgcal", "projective", "raw"}, default="standard"
        Of the input features. ``"standard"`` is taken from the training sample; ``"raw"`` is the paper's.
    dropout : float, optional
        0.01 by default, and 0 with ``head="oc"``, which dropout ruins: see `build_network`.
    max_epochs, batch_size, learning_rate, schedule, warmup_steps, gradient_clip :
    patience, hits_per_batch, precision, augment, balance :
        See `TrainingConfig`.
    select : {"loss", "physics", "last"}, default="loss"
        Which epoch is kept: the one of smallest validation loss; the one whose readout, with thresholds that suit it,
        comes nearest to perfect efficiency, purity and ratio on the validation sample (``"physics"``); or the last.
    tracks : bool, default=False
        Whether the tracks of an event are points too: `cmlflow.sampling.event_points` says what the network is told of
        them. In training a track is a point of its particle; readouts cluster hits and tracks together.
    reassign : int, default=0
        How many times each hit is given anew to one of the clusters the readout found, with a shower profile that
        `fit` learns after the network: see `cmlflow.refiners.profile`; with ``head="axes"``, by so many stages of
        `cmlflow.refiners.stages`. Thresholds are tuned without it. Not with `tracks`.
    min_share : float, default=0
        With ``head="axes"`` and `reassign`: hits that no shower has this share of, by what was learned, become noise.
    random_state : int, default=0
        Of initial weights, event order and dropout. Heads start from the same backbone.
    device : str, default="cpu"
    verbose : bool, default=False
        Show progress.

    Attributes
    ----------
    network_ : torch module
    profile_ : torch module or None
        What reassigns hits.
    history_ : History or None
        Of the last `fit`.
    thresholds_ : dict of str to dict
        Tuned parameters of each readout.
    trained_on_ : dict of str to str or None
        ``sample``, the name of a simulated one, and ``detector`` of the training events; kept with a saved model.

    Examples
    --------
    >>> import cmlflow
    >>> events = cmlflow.simulate("compact-em", n_events=4, seed=1)
    >>> model = cmlflow.MetricClusterer(max_epochs=1).fit(events)
    >>> labels = model.predict(events)
    """

    def __init__(
        self,
        head: str = "supcon",
        readout: Any = "density",
        *,
        loss: Any = None,
        dim: int = 16,
        k: int = 24,
        scaling: str = "standard",
        dropout: float | None = None,
        max_epochs: int = 100,
        batch_size: int = 16,
        learning_rate: float = 3e-4,
        schedule: str = "step",
        warmup_steps: int = 0,
        gradient_clip: float | None = None,
        patience: int | None = None,
        hits_per_batch: int = 30_000,
        precision: str = "float32",
        augment: bool = False,
        balance: float = 0.0,
        select: str = "loss",
        tracks: bool = False,
        reassign: int = 0,
        min_share: float = 0.0,
        random_state: int = 0,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        self.head = head
        self.readout = readout
        self.loss = loss
        self.dim = dim
        self.k = k
        self.scaling = scaling
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.gradient_clip = gradient_clip
        self.patience = patience
        self.hits_per_batch = hits_per_batch
        self.precision = precision
        self.augment = augment
        self.balance = balance
        self.select = select
        self.tracks = tracks
        self.reassign = reassign
        self.min_share = min_share
        self.random_state = random_state
        self.device = device
        self.verbose = verbose
        self.thresholds_: dict[str, dict[str, Any]] = {}
        self.trained_on_: dict[str, str | None] = {}
        self.profile_: ShowerProfile | HitAssigner | None = None

    def fit(
        self,
        events: Sequence[Event] | Iterable[Event],
        y: None = None,
        *,
        validation: Sequence[Event] | None = None,
        folder: str | Path | None = None,
        tensorboard: bool = False,
    ) -> MetricClusterer:
        """Train the network.

        Parameters
        ----------
        events : sequence of Event
            With truth.
        y : ignored
        validation : sequence of Event, optional
            Decides which epoch is kept; see `select`.
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
            No event with a labelled hit; unknown names in the parameters; `reassign` or ``head="axes"`` with `tracks`.
        """
        self._check_reassign()
        config = self._training_config()
        sample = as_events(events)
        held_out = None if validation is None else as_events(validation)
        if self.select == "physics" and not held_out:
            raise ValueError("select='physics' needs a validation sample")
        build_readout(self.readout)  # a wrong name is better known before training than after
        network = self._new_network()
        self.network_, self.profile_ = network, None
        self.thresholds_ = {}
        self.trained_on_ = {
            "sample": getattr(getattr(sample, "sample", None), "name", None),
            "detector": sample[0].detector if len(sample) else None,
        }
        self.history_: History | None = None
        if isinstance(network, Network):
            fit_scaling(network, sample, self.tracks)
            self.history_ = train(
                network,
                self._make_loss(),
                sample,
                held_out,
                config,
                folder=folder,
                score=self._physics_score(held_out) if self.select == "physics" and held_out else None,
                tracks=self.tracks,
                device=self.device,
                progress=self.verbose,
                tensorboard=tensorboard,
            )
        if isinstance(network, AxisFinder):
            self._fit_axes(network, [sample[i] for i in range(min(SAMPLE_FOR_AXES, len(sample)))])
        elif self.reassign:
            some = [sample[i] for i in range(min(SAMPLE_FOR_PROFILE, len(sample)))]
            self.profile_ = fit_profile(some, self.transform(some), seed=self.random_state)
        return self

    def transform(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Embeddings of the hits.

        Returns
        -------
        list of ndarray of shape (n_hits, D), float32
            Unit vectors for ``"supcon"``, raw coordinates for the other heads.
        """
        return [out.hits for out in self._outputs(events)]

    def transform_tracks(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Embeddings of the tracks, of a model with `tracks`.

        Returns
        -------
        list of ndarray of shape (n_tracks, D), float32
            Mean over the points of each track; for ``"supcon"`` made a unit vector again.
        """
        self._check_tracks()
        return [out.tracks for out in self._outputs(events)]

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Cluster of every hit.

        Returns
        -------
        list of ndarray of shape (n_hits,), int64
            0..C-1 in each event, -1 for noise. An event without hits gives an empty array.
        """
        return [found.labels for found in self.clusters(self._progress(events))]

    def predict_shares(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """The part of every hit that each cluster has.

        With ``head="axes"`` and `reassign`, hits are shared among showers that overlap, also those that `min_share`
        left to noise; otherwise a hit is whole in its cluster.

        Returns
        -------
        list of ndarray of shape (C, n_hits), float32
            Row c is that of cluster c of `predict`. The parts of a hit sum to 1, or to less where a shower that is
            the most likely one of no hit has some of it.
        """
        return [found.shares for found in self.clusters(self._progress(events))]

    def predict_energies(
        self, events: Sequence[Event] | Iterable[Event], layer_weights: ArrayLike | None = None
    ) -> list[np.ndarray]:
        """Energy of every cluster: its part of the hits, as from `predict_shares`, times the layer weights.

        Parameters
        ----------
        events : sequence of Event
        layer_weights : array_like of shape (n_layers,), optional
            As in `cmlflow.metrics.hit_weights`.

        Returns
        -------
        list of ndarray of shape (C,), float64
            Entry c is that of cluster c of `predict`, in the unit of the layer weights: GeV for known detectors, that
            of the hit energies where there are no weights.

        Raises
        ------
        ValueError
            Hits in a layer without a weight.

        Examples
        --------
        >>> import cmlflow
        >>> events = cmlflow.simulate("compact-had-test", n_events=2, seed=1)
        >>> model = cmlflow.MetricClusterer.load("compact-had-best")
        >>> scores = cmlflow.evaluate(events, model.predict(events), energies=model.predict_energies(events))
        """
        sample = as_events(events)
        found = zip(sample, self.clusters(self._progress(sample)), strict=True)
        return [clusters.energies(event, layer_weights) for event, clusters in found]

    def clusters(self, events: Iterable[Event]) -> Iterator[Clusters]:
        """Labels, labels of tracks and shares together, one event at a time: for files larger than memory."""
        return (found for _, (found,) in self._found(events, [self.readout]))

    def predict_tracks(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Cluster of every track, of a model with `tracks`.

        Returns
        -------
        list of ndarray of shape (n_tracks,), int64
            In the numbering of `predict`, clusters without hits following those with hits. The cluster of most of the
            track's points, of equally many that of the one nearest the front of the calorimeter; -1 where all are
            noise.
        """
        return [e.track_labels for e in self.embedded(events)]

    def embedded(self, events: Sequence[Event] | Iterable[Event]) -> list[EmbeddedEvent]:
        """Embeddings and clusters of hits and tracks, of a model with `tracks`; the network runs once."""
        self._check_tracks()
        return [
            EmbeddedEvent(out.hits, out.tracks, found.labels, found.track_labels, out.origin)
            for out, (found,) in self._found(self._progress(events), [self.readout])
        ]

    def predict_all(
        self, events: Sequence[Event] | Iterable[Event], readouts: Sequence[str]
    ) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
        """Embeddings as from `transform`, and the labels of several readouts on them; the network runs once.

        Parameters
        ----------
        events : sequence of Event
        readouts : sequence of str
            Each with its tuned thresholds, where there are some.

        Returns
        -------
        embeddings : list of ndarray of shape (n_hits, D), float32
        labels : dict of str to list of ndarray of shape (n_hits,), int64
        """
        embeddings: list[np.ndarray] = []
        labels: dict[str, list[np.ndarray]] = {name: [] for name in readouts}
        for z, found in self.predict_each(self._progress(events), readouts):
            embeddings.append(z)
            for name, clusters in found.items():
                labels[name].append(clusters.labels)
        return embeddings, labels

    def predict_each(
        self, events: Iterable[Event], readouts: Sequence[str]
    ) -> Iterator[tuple[np.ndarray, dict[str, Clusters]]]:
        """As `predict_all`, one event at a time, and with the shares of hits.

        Yields
        ------
        embedding : ndarray of shape (n_hits, D), float32
        found : dict of str to Clusters
            By readout.
        """
        for out, found in self._found(events, readouts):
            yield out.hits, dict(zip(readouts, found, strict=True))

    def fit_predict(self, events: Sequence[Event], y: None = None) -> list[np.ndarray]:
        """Train on events and cluster the same ones."""
        return self.fit(events).predict(events)

    def tune(
        self,
        events: Sequence[Event] | Iterable[Event],
        *,
        readouts: Sequence[str] | None = None,
        preset: str = "paper",
        grid: dict[str, Sequence[Any]] | None = None,
    ) -> dict[str, Tuning]:
        """Take the readout thresholds from an auxiliary sample; the embeddings are computed once.

        With `tracks`, hits and tracks are clustered together, but only the clusters of hits are scored.

        Parameters
        ----------
        events : sequence of Event
            With truth, not used for training, validation or tests.
        readouts : sequence of str, optional
            The readouts to tune; the current one by default.
        preset : {"paper", "ticl"}
        grid : dict, optional
            Values to try, in place of the readout's own.

        Returns
        -------
        dict of str to Tuning
            The thresholds are also kept in `thresholds_`, and saved with the model.
        """
        sample = list(as_events(events))
        outputs = list(self._outputs(sample))
        weights = [out.points.weight for out in outputs]
        results = {}
        for which in [self.readout] if readouts is None else readouts:
            readout = self._make_readout(which)
            points = [out.readout_points(readout) for out in outputs]
            result = tune_readout(readout, points, sample, preset=preset, grid=grid, weights=weights)
            if isinstance(which, str):
                self.thresholds_[which] = result.best
                results[which] = result
            else:
                which.set_params(**result.best)
                results[type(which).__name__.lower()] = result
        return results

    def save(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``weights.safetensors`` into a folder, each whole or not at all.

        A loss object is not needed any more; only what it was is noted. A readout object becomes its name and
        thresholds.

        Raises
        ------
        ValueError
            For a readout that is not one of `cmlflow.readouts`.
        """
        self._check_fitted()
        parameters, thresholds, trained_on = self.get_params(deep=False), self.thresholds_, self.trained_on_
        if self.loss is not None:
            trained_on = trained_on | {"loss": repr(self.loss)}
        if not isinstance(self.readout, str):
            name = next((n for n, kind in READOUTS.items() if type(self.readout) is kind), None)
            if name is None:
                raise ValueError(f"readout {self.readout!r} can't be saved, expected one of {', '.join(READOUTS)}")
            parameters["readout"], thresholds = name, thresholds | {name: self.readout.get_params()}
        parameters |= {"loss": None, "verbose": False}
        write_model(folder, parameters, thresholds, all_weights(self.network_, self.profile_), trained_on)

    @classmethod
    def load(cls, name: str | Path, **changes: Any) -> MetricClusterer:
        """A packaged model by its name, or a saved one by its folder.

        Parameters
        ----------
        name : str or path
        **changes
            Parameters to set in place of the saved ones, for example ``readout="ward"``.

        Raises
        ------
        FileNotFoundError
            No such folder or packaged model; lists the packaged ones.
        ValueError
            A folder of another version, or with files that do not fit together.
        """
        folder = find_model(name)
        parameters, thresholds, weights, trained_on = read_model(folder)
        known = set(cls._get_param_names())
        if unknown := set(parameters) - known:
            raise ValueError(f"{folder}: config.json has unknown parameters {sorted(unknown)}")
        model: MetricClusterer = cls(**parameters).set_params(**changes)
        network = model._new_network()
        profile = set_weights(network, weights, folder)
        model.network_, model.profile_, model.thresholds_, model.history_ = network, profile, thresholds, None
        model.trained_on_ = trained_on
        return model

    def _training_config(self) -> TrainingConfig:
        names = ["max_epochs", "batch_size", "learning_rate", "schedule", "warmup_steps", "gradient_clip", "patience"]
        names += ["hits_per_batch", "precision", "augment", "select", "balance"]
        return TrainingConfig(seed=self.random_state, **{name: getattr(self, name) for name in names})

    def _fit_axes(self, finder: AxisFinder, events: Sequence[Event]) -> None:
        seed, progress = self.random_state, self.verbose
        fit_axis_finder(finder, events, seed=seed, progress=progress)
        if self.reassign:
            outputs = list(self._outputs(events))
            readout = Condensation(AXES_THRESHOLD, AXES_RADIUS)
            labels = [find_labels(readout, out)[0] for out in outputs]
            betas = [out.values["beta"] for out in outputs]
            self.profile_ = fit_hit_assigner(events, finder, betas, labels, self.reassign, seed=seed, progress=progress)

    def _new_network(self) -> Network | Slopes | AxisFinder:
        if self.head == "slopes":
            return Slopes()
        if self.head == "axes" and self.tracks:
            raise ValueError("tracks is True, expected False with head='axes', which knows hits alone")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            if self.head == "axes":
                return AxisFinder()
            return build_network(self.head, self.dim, self.k, self.scaling, self.dropout, self.tracks)

    def _make_loss(self) -> Any:
        return LOSSES[self.head]() if self.loss is None else self.loss

    def _make_readout(self, which: Any = None) -> Any:
        return make_readout(self.readout if which is None else which, self.head, self.thresholds_)

    def _physics_score(self, validation: Sequence[Event]) -> Any:
        def score(network: nn.Module) -> float:
            outputs, readout = list(self._outputs(validation)), self._make_readout()
            points = [out.readout_points(readout) for out in outputs]
            return best_distance(readout, points, validation, weights=[out.points.weight for out in outputs])

        return score

    def _found(self, events: Iterable[Event], readouts: Sequence[Any]) -> Iterator[tuple[Output, list[Clusters]]]:
        """What the network says and what each of the readouts makes of it, event by event."""
        self._check_fitted()
        self._check_reassign()
        objects = [self._make_readout(which) for which in readouts]
        for event in self._same_detector(events):
            (out,) = network_outputs(self.network_, [event], self.head, self.tracks, self.device)
            yield out, [self._second_look(out, event, *find_labels(readout, out)) for readout in objects]

    def _second_look(self, out: Output, event: Event, labels: np.ndarray, track_labels: np.ndarray) -> Clusters:
        """The clusters of a readout, with their hits given anew `reassign` times."""
        profile, network, parts = self.profile_, self.network_, None
        if self.reassign and isinstance(profile, HitAssigner) and isinstance(network, AxisFinder):
            if self.reassign > len(profile):
                raise ValueError(f"reassign is {self.reassign}, but {len(profile)} stages were trained")
            how = (self.reassign, self.min_share)
            labels, parts = profile.assign(event, network, out.values["beta"], labels, *how)
        elif isinstance(profile, ShowerProfile):
            for _ in range(self.reassign):
                labels = reassign(profile, event, out.embedding, labels)
        elif self.reassign:
            raise ValueError(f"reassign is {self.reassign}, but was 0 when the model was trained")
        return Clusters(labels, track_labels, parts)

    def _outputs(self, events: Sequence[Event] | Iterable[Event]) -> Iterator[Output]:
        """What the network says, event by event."""
        self._check_fitted()
        known = self._same_detector(self._progress(events))
        return network_outputs(self.network_, known, self.head, self.tracks, self.device)

    def _same_detector(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events; warns once where they are not of the detector, or its family, that the model was trained on."""
        own, told = self.trained_on_.get("detector"), False
        for event in events:
            if own and event.detector and not told and own.split("-")[0] != event.detector.split("-")[0]:
                told = True
                warnings.warn(f"events of {event.detector!r}, but the model was trained on {own!r}", stacklevel=1)
            yield event

    def _progress(self, events: Sequence[Event] | Iterable[Event]) -> Iterable[Event]:
        return tqdm(as_events(events), unit="event", disable=not self.verbose, dynamic_ncols=True)  # type: ignore[no-any-return]

    def _check_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise RuntimeError("the model has no weights yet: call fit, or MetricClusterer.load")

    def _check_tracks(self) -> None:
        if not self.tracks:
            raise ValueError("tracks is False: this model knows hits alone; train one with tracks=True")

    def _check_reassign(self) -> None:
        if self.reassign < 0:
            raise ValueError(f"reassign is {self.reassign}, expected 0 or more")
        if not 0 <= self.min_share < 1 or (self.min_share and self.head != "axes"):
            raise ValueError(f"min_share is {self.min_share}, expected 0 to below 1, and 0 for heads other than 'axes'")
        if self.tracks and self.reassign:
            raise ValueError(f"reassign is {self.reassign}, expected 0 with tracks=True: hits are not given anew there")
