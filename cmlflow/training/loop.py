"""The training loop: hit-budget batches, Adam, best checkpoint, early stopping, exact resume."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cmlflow.losses import Loss
from cmlflow.nets.device import usable_device
from cmlflow.nets.dropout import seed_dropout
from cmlflow.sampling.batches import groups, pack
from cmlflow.training.checkpoint import load_checkpoint, save_checkpoint
from cmlflow.training.config import TrainingConfig
from cmlflow.training.lock import locked
from cmlflow.training.log import Log
from cmlflow.training.optimizers import build_optimizer
from cmlflow.training.parallel import Workers, own_device
from cmlflow.training.signs import signs
from cmlflow.training.tasks import ClusteringTask, Task

CHECKPOINT = "checkpoint.pt"


@dataclass
class History:
    """The result of a training run.

    Attributes
    ----------
    records : list of dict
        One per epoch, as in ``log.jsonl``.
    best_epoch : int
        Epoch whose weights were kept, counted from 1; 0 before the first.
    best_score : float
        Its validation loss or score.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = float("inf")


def train(
    network: nn.Module,
    task: Task | Loss,
    items: Sequence[Any],
    validation: Sequence[Any] | None = None,
    config: TrainingConfig | None = None,
    *,
    folder: str | Path | None = None,
    score: Callable[[nn.Module], float] | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    tensorboard: bool = False,
) -> History:
    """Train a network in place; it ends with the weights of the best epoch.

    Parameters
    ----------
    network : torch module
        ``network(x, ptr) -> dict of tensors``, or whatever the task calls it with.
    task : Task or Loss
        Makes batches of items and gives the loss of each; the mean over the items of a step is minimised. A bare loss
        stands for ``ClusteringTask(loss)``: items are events of hits.
    items : sequence
        Training sample, for example of `Event`. If it has a method ``set_epoch``, that is called before each epoch, so
        that simulated samples can be fresh every time.
    validation : sequence, optional
        Decides which epoch is the best, by its mean loss. Without it, and without `score`, the last epoch is kept; so
        it is with ``select="last"`` in `config`.
    config : TrainingConfig, optional
    folder : path, optional
        Where ``checkpoint.pt`` and ``log.jsonl`` go. A run that finds a checkpoint of the same configuration there
        continues it, and ends with the same bits as a run without interruption.
    score : callable, optional
        ``score(network) -> float``, smaller is better: selects the best epoch in place of the validation loss.
    device : str or torch.device, default="cpu"
    progress : bool, default=False
        Show a progress bar.
    tensorboard : bool, default=False

    Returns
    -------
    History

    Warns
    -----
    UserWarning
        The log of 10 epochs or more shows signs of a bad epoch, see `cmlflow.training.signs`: an early epoch was
        kept, or validation and training loss differ by a factor.

    Raises
    ------
    ValueError
        Nothing to train on; a checkpoint of another configuration, task, network, training or validation sample in
        `folder`.
    RuntimeError
        Another training runs in `folder`.
    FloatingPointError
        A loss that is not finite; names epoch, step and item.
    """
    config = config or TrainingConfig()
    device = usable_device(own_device(device))
    if not len(items):
        raise ValueError("there is no event to train on")
    own = cast(Task, task) if hasattr(task, "collate") else ClusteringTask(task, balance=config.balance)
    run = _Run(network.to(device), own, items, validation, config, score, device)
    first = run.workers.rank == 0
    path = None if folder is None else Path(folder)
    with ExitStack() as held:
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
            if first:
                held.enter_context(locked(path))
            if (path / CHECKPOINT).exists():
                run.restore(load_checkpoint(path / CHECKPOINT), path / CHECKPOINT)
        _advance(run, path, device, progress=progress, tensorboard=tensorboard)
    network.load_state_dict(run.best)
    if first:
        for sign in signs(run.history.records, run.history.best_epoch):
            warnings.warn(sign, stacklevel=2)
    return run.history


def _advance(run: _Run, path: Path | None, device: torch.device, *, progress: bool, tensorboard: bool) -> None:
    """The steps that remain, with a checkpoint now and then."""
    first, config = run.workers.rank == 0, run.config
    log = Log(path if first else None, run.history.records, tensorboard)
    bar = tqdm(
        total=config.max_epochs * run.steps_per_epoch,
        initial=run.step,
        unit="step",
        disable=not (progress and first),
        dynamic_ncols=True,
    )
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            while not run.finished():
                run.advance(bar)
                at_end = run.step % run.steps_per_epoch == 0
                if at_end:
                    log.write(run.end_epoch())
                if path is not None and first and (at_end or run.step % config.checkpoint_steps == 0):
                    save_checkpoint(run.state(), path / CHECKPOINT)
    finally:
        seed_dropout(run.network, (), ())
        bar.close()
        log.close()
        run.workers.close()


class _Run:
    """The state of a run between two steps, and how to take the next one."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        items: Sequence[Any],
        validation: Sequence[Any] | None,
        config: TrainingConfig,
        score: Callable[[nn.Module], float] | None,
        device: torch.device,
    ) -> None:
        self.network, self.task, self.items, self.validation = network, task, items, validation
        self.config, self.score, self.device = config, score, device
        self.own = getattr(task, "module", None) or nn.Module()
        self.own.to(device)
        self.trained = [*network.parameters(), *self.own.parameters()]
        self.optimizer = build_optimizer(self.trained, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.workers = Workers(device)
        self.steps_per_epoch = -(-len(items) // config.batch_size)
        self.step = 0
        self.sums: dict[str, float] = {}
        self.seconds = 0.0
        self.history = History()
        self.best = _copy(network.state_dict())
        self._epoch_order: tuple[int, np.ndarray] | None = None
        if hasattr(items, "set_epoch"):
            items.set_epoch(0)
        self.data = {"sample": fingerprint(task, items), "validation": fingerprint(task, validation)}

    def finished(self) -> bool:
        records, config = self.history.records, self.config
        if len(records) >= config.max_epochs:
            return True
        waited = len(records) - self.history.best_epoch
        return config.patience is not None and bool(records) and waited >= config.patience

    def advance(self, bar: Any) -> None:
        """One optimiser step."""
        started = time.perf_counter()
        epoch, in_epoch = divmod(self.step, self.steps_per_epoch)
        chosen = self._order(epoch)[in_epoch * self.config.batch_size :][: self.config.batch_size]
        torch.manual_seed(_seed(self.config.seed, self.step, self.workers.rank))
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step, self.steps_per_epoch)
        mine = [int(i) for i in chosen[self.workers.rank :: self.workers.size]]
        items = [self._item(i, epoch) for i in mine]
        terms = self._accumulate(items, [_seed(self.config.seed, 2, epoch, i) for i in mine], len(chosen))
        self.workers.add_gradients(self.trained)
        if self.config.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.trained, self.config.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * len(chosen) / len(self.items)
        self.step += 1
        self.seconds += time.perf_counter() - started
        bar.set_postfix_str(f"loss {sum(terms.values()):.4f}", refresh=False)
        bar.update()

    def end_epoch(self) -> dict[str, Any]:
        """Validate, keep the weights if they are the best, and return the record of the epoch."""
        number = self.step // self.steps_per_epoch
        record: dict[str, Any] = {"epoch": number, "step": self.step, "loss": sum(self.sums.values())}
        record |= {f"loss_{name}": value for name, value in self.sums.items()} if len(self.sums) > 1 else {}
        record["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        value = -float(number)  # without anything to compare, later is better
        if self.validation is not None and len(self.validation):
            record["validation_loss"] = value = self._validation_loss()
        if self.score is not None:
            self.network.eval()
            record["score"] = value = float(self.score(self.network))
        if self.config.select == "last":
            value = -float(number)
        record["seconds"] = round(self.seconds, 2)
        self.history.records.append(record)
        value = float("inf") if np.isnan(value) else value
        if value < self.history.best_score or not self.history.best_epoch:  # a first score may be inf
            self.history.best_epoch, self.history.best_score = number, value
            self.best = _copy(self.network.state_dict())
        self.sums, self.seconds = {}, 0.0
        return record

    def state(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "loss": repr(self.task),
            "events": len(self.items),
            "data": self.data,
            "scored": self.score is not None,
            "architecture": repr(self.network),
            "network": self.network.state_dict(),
            "task": self.own.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
            "history": dataclasses.asdict(self.history),
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        own = self.state()
        for name in ("loss", "data", "scored", "architecture", "task"):  # not in older checkpoints
            state.setdefault(name, own[name])
        usual = ("balance", "select", "ramp_epochs", "hold_epochs", "optimizer", "weight_decay", "momentum")
        state["config"] = {name: getattr(TrainingConfig(), name) for name in usual} | state.get("config", {})
        if missing := own.keys() - state.keys():
            raise ValueError(f"{path}: not the checkpoint of a training run ({', '.join(sorted(missing))} missing)")
        names = ("loss", "events", "scored")
        wanted, found = (s["config"] | {name: s[name] for name in names} | s["data"] for s in (own, state))
        changed = [f"{k} was {found.get(k)}, is {wanted[k]}" for k in wanted if found.get(k) != wanted[k]]
        if changed:
            raise ValueError(f"{path}: belongs to another run ({'; '.join(changed)}); use another folder or delete it")
        try:
            self.network.load_state_dict(state["network"])
            self.own.load_state_dict(state["task"])
            if state["architecture"] != own["architecture"]:
                raise RuntimeError(_first_difference(state["architecture"], own["architecture"]))
        except RuntimeError as err:
            raise ValueError(f"{path}: belongs to another network ({err})") from err
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best, self.step, self.sums = state["best"], state["step"], state["sums"]
        self.seconds, self.history = state["seconds"], History(**state["history"])

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch_order is None or self._epoch_order[0] != epoch:
            if hasattr(self.items, "set_epoch"):
                self.items.set_epoch(epoch)
            rng = np.random.default_rng([self.config.seed, 0, epoch])
            self._epoch_order = epoch, rng.permutation(len(self.items))
        return self._epoch_order[1]

    def _item(self, i: int, epoch: int) -> Any:
        item = self.items[i]
        if self.config.augment:
            item = self.task.augment(item, np.random.default_rng([self.config.seed, 1, epoch, i]))
        return item

    def _accumulate(self, items: Sequence[Any], seeds: Sequence[int], n_items: int) -> dict[str, float]:
        """Mean terms over `n_items`, of which these are a part, added over the processes; and their gradients.

        The noise of dropout comes from the seeds of the items, so that it does not depend on the processes.
        """
        terms: dict[str, Tensor] = {}
        sizes = [self.task.size(item) for item in items]
        for chosen in pack(sizes, self.config.hits_per_batch):
            seed_dropout(self.network, [sizes[i] for i in chosen], [seeds[i] for i in chosen])
            part = self._losses([items[i] for i in chosen])
            total = torch.stack(list(part.values())).sum() / n_items
            self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            for name, value in part.items():
                terms[name] = terms.get(name, 0.0) + value.detach().double()
        summed = self.workers.add_terms({name: float(value) for name, value in terms.items()})
        return {name: value / n_items for name, value in summed.items()}

    def _losses(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Sums of the loss terms over the items of one pass through the network."""
        batch = self.task.collate(items).to(self.device)
        low = self.config.precision != "float32"
        kind = getattr(torch, self.config.precision)
        with torch.autocast(self.device.type, dtype=kind) if low else nullcontext():
            outputs = self.task.outputs(self.network, batch)
        sums: dict[str, Tensor] = {}
        for item, terms in zip(items, self.task.losses(outputs, batch), strict=True):
            for name, value in terms.items():
                if not bool(torch.isfinite(value)):
                    epoch = self.step // self.steps_per_epoch + 1
                    raise FloatingPointError(
                        f"loss {name} is {value.item()} in epoch {epoch}, step {self.step}, for "
                        f"{self.task.title(item)}; a smaller learning_rate or gradient_clip=1 usually helps"
                    )
                sums[name] = sums.get(name, 0.0) + value
        return sums

    @torch.no_grad()
    def _validation_loss(self) -> float:
        assert self.validation is not None
        self.network.eval()
        workers, n = self.workers, len(self.validation)
        mine = (self.validation[i] for i in range(workers.rank, n, workers.size))
        total = 0.0
        for group in groups(mine, self.task.size, self.config.hits_per_batch):
            total += sum(float(v) for v in self._losses(group).values())
        return float(workers.add(torch.tensor(total, dtype=torch.float64, device=self.device))) / n


LOOKED_AT, LOOKED_AT_FRESH = 4096, 8
"""Items of a sample that its fingerprint sees, spread over it: of those that are kept, and of those that are made anew
for each epoch, which takes long."""


def fingerprint(task: Task, items: Sequence[Any] | None) -> str:
    """Tells samples apart, by all that the network and the loss see of their items."""
    if items is None or not len(items):
        return "none"
    most = LOOKED_AT_FRESH if hasattr(items, "set_epoch") else LOOKED_AT
    digest = hashlib.sha256(str(len(items)).encode())
    for i in np.unique(np.linspace(0, len(items) - 1, min(len(items), most)).astype(np.int64)):
        digest.update(task.digest(items[int(i)]))
    return digest.hexdigest()[:12]


def _first_difference(old: str, new: str) -> str:
    pairs = zip_longest(old.splitlines(), new.splitlines(), fillvalue="nothing")
    return next(f"{a.strip()} was there, now {b.strip()}" for a, b in pairs if a != b)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
