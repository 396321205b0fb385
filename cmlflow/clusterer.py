"""`MetricClusterer`: fit, predict, transform, tune, save and load, over networks, losses and readouts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn
from tqdm import tqdm

from cmlflow.event import Event, as_events
from cmlflow.losses import LOSSES
from cmlflow.metrics import reconstruction_metrics
from cmlflow.model_folder import find_model, read_model, write_model
from cmlflow.network import Network, Slopes, build_network
from cmlflow.readouts import Condensation, build_readout
from cmlflow.reassignment import ShowerProfile, fit_profile, reassign
from cmlflow.sampling import collate
from cmlflow.training import History, TrainingConfig, train
from cmlflow.tuning import Tuning, distance, tune_readout

SAMPLE_FOR_SCALING = 200  # events from which the "standard" scaling is taken
SAMPLE_FOR_PROFILE = 120  # events on which the reassignment of hits is trained
PROFILE = "profile."  # what the names of its weights begin with in a saved model


class MetricClusterer(BaseEstimator):  # type: ignore[misc]
    """Clusters the hits of events with a learned metric.

    Parameters
    ----------
    head : {"supcon", "margin", "prototype", "oc", "slopes"}, default="supcon"
        What the network is trained with: supervised contrastive loss, margin loss, prototype loss on slopes with
        learned offsets, or object condensation. ``"slopes"`` stands for no network, the slopes x/z and y/z alone.
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
    dropout : float, default=0.01
    max_epochs, batch_size, learning_rate, schedule, warmup_steps, gradient_clip :
    patience, hits_per_batch, precision, augment :
        See `TrainingConfig`.
    select : {"loss", "physics"}, default="loss"
        How the best epoch is found: smallest validation loss, or smallest distance from perfect efficiency, purity
        and ratio of the readout (with its default thresholds) on the validation sample.
    reassign : int, default=0
        How many times each hit is given anew to one of the clusters the readout found, with a shower profile that
        `fit` learns after the network: see `cmlflow.reassignment`. Thresholds are tuned without it.
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
        dropout: float = 0.01,
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
        select: str = "loss",
        reassign: int = 0,
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
        self.select = select
        self.reassign = reassign
        self.random_state = random_state
        self.device = device
        self.verbose = verbose
        self.thresholds_: dict[str, dict[str, Any]] = {}
        self.profile_: ShowerProfile | None = None

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
            No event with a labelled hit; unknown names in the parameters.
        """
        if self.select not in ("loss", "physics"):
            raise ValueError(f"select is {self.select!r}, expected 'loss' or 'physics'")
        sample = as_events(events)
        held_out = None if validation is None else as_events(validation)
        if self.select == "physics" and not held_out:
            raise ValueError("select='physics' needs a validation sample")
        build_readout(self.readout)  # a wrong name is better known before training than after
        network = self._new_network()
        self.network_, self.profile_ = network, None
        self.thresholds_ = {}
        self.history_: History | None = None
        if isinstance(network, Network):
            _fit_scaling(network, sample)
            self.history_ = train(
                network,
                self._make_loss(),
                sample,
                held_out,
                self._training_config(),
                folder=folder,
                score=self._physics_score(held_out) if self.select == "physics" and held_out else None,
                device=self.device,
                progress=self.verbose,
                tensorboard=tensorboard,
            )
        if self.reassign:
            some = [sample[i] for i in range(min(SAMPLE_FOR_PROFILE, len(sample)))]
            self.profile_ = fit_profile(some, self.transform(some), seed=self.random_state)
        return self

    def transform(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Embeddings of the hits.

        Returns
        -------
        list of ndarray of shape (n_hits, D), float32
            Unit vectors for ``"supcon"``, raw coordinates for ``"oc"`` and ``"margin"``.
        """
        return [self._embedding(out) for out in self._outputs(self._progress(events))]

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[np.ndarray]:
        """Cluster of every hit.

        Returns
        -------
        list of ndarray of shape (n_hits,), int64
            0..C-1 in each event, -1 for noise. An event without hits gives an empty array.
        """
        return list(self.predict_iter(self._progress(events)))

    def predict_iter(self, events: Iterable[Event]) -> Iterator[np.ndarray]:
        """As `predict`, one event at a time: for files larger than memory."""
        self._check_fitted()
        readout = self._make_readout()
        for event in events:
            yield self._read(readout, next(iter(self._outputs([event]))), event)

    def predict_all(
        self, events: Sequence[Event], readouts: Sequence[str]
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
        sample = as_events(events)
        outputs = list(self._outputs(self._progress(sample)))
        labels = {}
        for name in readouts:
            readout = self._make_readout(name)
            labels[name] = [self._read(readout, out, e) for out, e in zip(outputs, sample, strict=True)]
        return [self._embedding(out) for out in outputs], labels

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
        outputs = list(self._outputs(self._progress(sample)))
        results = {}
        for which in [self.readout] if readouts is None else readouts:
            readout = self._make_readout(which)
            points = [self._points(out, readout) for out in outputs]
            result = tune_readout(readout, points, sample, preset=preset, grid=grid)
            if isinstance(which, str):
                self.thresholds_[which] = result.best
                results[which] = result
            else:
                which.set_params(**result.best)
                results[type(which).__name__.lower()] = result
        return results

    def save(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``weights.safetensors`` into a folder, each whole or not at all."""
        self._check_fitted()
        if self.loss is not None or not isinstance(self.readout, str):
            raise ValueError("a model with a loss or readout object can't be saved: pass names, and tune the readout")
        weights = self.network_.state_dict()
        if self.profile_ is not None:
            weights |= {PROFILE + name: value for name, value in self.profile_.state_dict().items()}
        write_model(folder, self.get_params(), self.thresholds_, weights)

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
        parameters, thresholds, weights = read_model(folder)
        known = set(cls._get_param_names())
        if unknown := set(parameters) - known:
            raise ValueError(f"{folder}: config.json has unknown parameters {sorted(unknown)}")
        model: MetricClusterer = cls(**parameters).set_params(**changes)
        network = model._new_network()
        own = {name: weights.pop(name) for name in list(weights) if name.startswith(PROFILE)}
        profile = ShowerProfile() if own else None
        try:
            network.load_state_dict(weights)
            if profile is not None:
                profile.load_state_dict({name.removeprefix(PROFILE): value for name, value in own.items()})
        except RuntimeError as err:
            raise ValueError(f"{folder}: the weights do not fit the configuration ({err})") from err
        model.network_, model.profile_, model.thresholds_, model.history_ = network, profile, thresholds, None
        return model

    def _training_config(self) -> TrainingConfig:
        names = ["max_epochs", "batch_size", "learning_rate", "schedule", "warmup_steps", "gradient_clip", "patience"]
        names += ["hits_per_batch", "precision", "augment"]
        return TrainingConfig(seed=self.random_state, **{name: getattr(self, name) for name in names})

    def _new_network(self) -> Network | Slopes:
        if self.head == "slopes":
            return Slopes()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            return build_network(self.head, self.dim, self.k, self.scaling, self.dropout)

    def _make_loss(self) -> Any:
        return LOSSES[self.head]() if self.loss is None else self.loss

    def _make_readout(self, which: Any = None) -> Any:
        """The readout object; for a name, with its tuned thresholds where there are some.

        What follows an "@" in the name tells apart thresholds of one readout: ``"clue"`` and ``"clue@dense"``.
        Only the supcon embedding lives on the sphere: for the other heads, readouts take lengths as they are.
        """
        which = self.readout if which is None else which
        readout = build_readout(which.partition("@")[0] if isinstance(which, str) else which)
        if isinstance(which, str):
            if self.head != "supcon" and "normalize" in readout.get_params():
                readout.set_params(normalize=False)
            readout.set_params(**self.thresholds_.get(which, {}))
        return readout

    def _physics_score(self, validation: Sequence[Event]) -> Any:
        def score(network: nn.Module) -> float:
            m = reconstruction_metrics(validation, self.predict(validation))
            return distance(m["efficiency"], m["purity"], m["ratio"])

        return score

    def _embedding(self, output: dict[str, np.ndarray]) -> np.ndarray:
        if "coordinates" in output:
            return output["coordinates"]
        z = output["embedding"]
        return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12) if self.head == "supcon" else z

    def _points(self, output: dict[str, np.ndarray], readout: Any) -> np.ndarray:
        """What a readout works on: embeddings as in `transform`, for OC inference with beta as the first column."""
        points = self._embedding(output)
        if not isinstance(readout, Condensation):
            return points
        if "beta" not in output:
            raise ValueError(f"the readout 'condensation' needs beta, which the head {self.head!r} does not give")
        return np.concatenate([output["beta"][:, None], points], 1)

    def _read(self, readout: Any, output: dict[str, np.ndarray], event: Event) -> np.ndarray:
        if event.n_hits == 0:
            return np.empty(0, np.int64)
        points = self._points(output, readout)
        if getattr(readout, "uses_energy", False):
            labels = np.asarray(readout.fit_predict(points, sample_weight=event.energy), np.int64)
        else:
            labels = np.asarray(readout.fit_predict(points), np.int64)
        if self.profile_ is not None:
            for _ in range(self.reassign):
                labels = reassign(self.profile_, event, self._embedding(output), labels)
        return labels

    def _outputs(self, events: Iterable[Event]) -> Iterator[dict[str, np.ndarray]]:
        """The network's outputs, event by event, as arrays."""
        self._check_fitted()
        self.network_.to(self.device).eval()
        for event in events:
            batch = collate([event]).to(self.device)
            with torch.inference_mode():
                out = self.network_(batch.x, batch.ptr)
            yield {name: value.float().cpu().numpy() for name, value in out.items()}

    def _progress(self, events: Sequence[Event] | Iterable[Event]) -> Iterable[Event]:
        return tqdm(as_events(events), unit="event", disable=not self.verbose, dynamic_ncols=True)  # type: ignore[no-any-return]

    def _check_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise RuntimeError("the model has no weights yet: call fit, or MetricClusterer.load")


def _fit_scaling(network: Network, events: Sequence[Event]) -> None:
    chosen = np.unique(np.linspace(0, len(events) - 1, min(SAMPLE_FOR_SCALING, len(events))).astype(int))
    sample = [events[int(i)] for i in chosen]
    if not any((e.particle_id >= 0).any() for e in sample):
        raise ValueError("none of the training events has a hit with a known particle (particle_id >= 0)")
    network.backbone.scaling.fit(collate(sample).x)  # type: ignore[operator, union-attr]
