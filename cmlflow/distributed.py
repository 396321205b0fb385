"""Clustering many files: here, in several processes, on a Dask cluster, or as a part of a job array.

One task per file. Its output appears whole or not at all, and says what it was made from; a second run skips what is
done. A worker that is killed loses nothing: its file is tried again.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmlflow import __version__
from cmlflow.io.files import PathLike, one_line
from cmlflow.io.provenance import read_provenance
from cmlflow.model_paths import model_digest

RETRIES = 2  # of a file whose worker died
OUTPUTS = {".parquet": ".parquet", ".pq": ".parquet", ".root": ".root"}


@dataclass(frozen=True)
class Job:
    """How every file is clustered.

    Attributes
    ----------
    model : str
        Packaged name or folder.
    digest : str
        Of the model, see `cmlflow.model_paths.model_digest`.
    readout : str, optional
        In place of the model's.
    device : str
    read : dict
        Options of `cmlflow.read`.
    keep_branches : bool
        From ROOT to ROOT, copy the branches that events do not hold.
    """

    model: str
    digest: str
    readout: str | None = None
    device: str = "cpu"
    read: dict[str, Any] = field(default_factory=dict)
    keep_branches: bool = True

    def provenance(self, source: Path) -> dict[str, Any]:
        """What the output of a file must say to count as done."""
        there = source.stat()
        return {
            "cmlflow": __version__,
            "model": f"{Path(self.model).name} {self.digest}",
            "readout": self.readout,
            "read": {name: str(value) for name, value in sorted(self.read.items())},
            "keep_branches": self.keep_branches,
            "source": source.name,
            "size": there.st_size,
            "modified": there.st_mtime_ns,
        }


@dataclass
class Summary:
    """What became of the files.

    Attributes
    ----------
    done : list of Path
        Outputs that were written.
    skipped : list of Path
        Outputs of an earlier run with the same model, readout and source.
    failed : dict of str to str
        Source and what is wrong with it.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        files = "file" if len(self.done) == 1 else "files"
        return f"{len(self.done)} {files} clustered, {len(self.skipped)} done before, {len(self.failed)} failed"


def cluster(
    files: PathLike | Iterable[PathLike],
    out: PathLike,
    model: str | Path = "compact-em-supcon",
    client: Any = None,
    *,
    readout: str | None = None,
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    suffix: str | None = None,
    device: str = "cpu",
    keep_branches: bool = True,
    stop_at_failure: bool = False,
    progress: Callable[[str], None] | None = None,
    **read: Any,
) -> Summary:
    """Cluster many files into a folder, one output for each.

    Parameters
    ----------
    files : path-like, or iterable of path-like
        Also patterns such as ``"runs/*.root"`` and URLs, as in `cmlflow.read`.
    out : path-like
        Folder; made where there is none.
    model : str or path
        Packaged model or folder; where `client` or `workers` run elsewhere, one that they can see too.
    client : distributed.Client, optional
        Of any Dask cluster (extra ``dask``); one task per file.
    readout : str, optional
        In place of the model's.
    workers : int, default=1
        Processes on this machine, one thread each.
    shard : (int, int), default=(1, 1)
        (I, N): this is part I of N of a job array, which takes every N-th file.
    suffix : {".parquet", ".root"}, optional
        Of the outputs; by default that of the source.
    device : str, default="cpu"
    keep_branches : bool, default=True
        From ROOT to ROOT, copy branches that events do not hold, entry by entry.
    stop_at_failure : bool, default=False
        Start no further file after one that can't be clustered.
    progress : callable, optional
        Takes a line of text for each file.
    **read
        Options of `cmlflow.read`: `format`, `columns`, `tree`.

    Returns
    -------
    Summary

    Raises
    ------
    FileNotFoundError
        No file that fits; no such model.
    ValueError
        Two files of the same name, which would have one output; a shard that there is not.
    """
    from cmlflow.io.locations import located

    number, count = shard
    if not 1 <= number <= count:
        raise ValueError(f"shard is {number}/{count}, expected I/N with I in 1..N")
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected 1 or more")
    if suffix is not None and suffix not in OUTPUTS:
        raise ValueError(f"suffix is {suffix!r}, expected one of {', '.join(OUTPUTS)}")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(_pairs(located(files), folder, suffix))[number - 1 :: count]
    job = Job(str(model), model_digest(model), readout, device, read, keep_branches)
    summary = Summary()
    todo = []
    for source, target in pairs:
        if is_done(source, target, job):
            summary.skipped.append(target)
        else:
            todo.append((source, target))
    tell = progress or (lambda text: None)
    results = (
        _on_dask(client, todo, job)
        if client is not None
        else _in_processes(todo, job, workers)
        if workers > 1 and len(todo) > 1
        else ((source, target, _attempt(source, target, job)) for source, target in todo)
    )
    for source, target, error in results:
        if error is None:
            summary.done.append(target)
            tell(f"{source} clustered, written to {target}")
            continue
        summary.failed[str(source)] = error
        tell(f"{source} failed: {error}")
        if stop_at_failure:
            break
    return summary


def is_done(source: Path, target: Path, job: Job) -> bool:
    """Whether an output is there, whole, and from the same model, readout and source."""
    if not target.exists():
        return False
    found, wanted = read_provenance(target), job.provenance(source)
    return found is not None and all(found.get(name) == wanted[name] for name in wanted)


def cluster_file(source: Path, target: Path, job: Job) -> None:
    """Cluster one file; the output appears whole or not at all. Nothing is done where it is there already."""
    from cmlflow.io import read, write
    from cmlflow.io.files import remove_stale_parts

    if is_done(source, target, job):
        return
    remove_stale_parts(target)
    provenance = job.provenance(source) | {"written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    model = _model(job.model, job.digest, job.readout, job.device)
    events = read(source, **job.read)
    options: dict[str, Any] = {"provenance": provenance}
    to_root = target.suffix == ".root"
    if to_root and job.keep_branches and source.suffix == ".root":
        from cmlflow.io.branches import kept_branches

        options["kept"] = kept_branches(source)
    if hasattr(model, "associator"):
        if not to_root:
            write(events, target, candidates=model.predict_iter(events), **options)
            return
        labels, momenta = _twice(model.predict_iter(events))
        write(events, target, labels=(c.labels for c in labels), four_momenta=momenta, **options)
        return
    if to_root:
        labels, energies = _twice(model.iter(events))
        options["energies"] = (p.energies(e) for e, p in zip(events, energies, strict=True))
        write(events, target, labels=(p.labels for p in labels), **options)
    else:
        write(events, target, labels=(p.labels for p in model.iter(events)), **options)


def _twice(found: Iterable[Any]) -> tuple[Iterator[Any], Iterator[Any]]:
    """Two iterators that are read in step."""
    from itertools import tee

    a, b = tee(found)
    return a, b


_MODELS: dict[tuple[Any, ...], Any] = {}  # of this process


def _model(name: str, digest: str, readout: str | None, device: str) -> Any:
    key = (name, digest, readout, device)
    if key not in _MODELS:
        from cmlflow.loading import load

        found = model_digest(name)
        if found != digest:
            raise ValueError(f"model {name} is another one here: digest {found}, expected {digest}")
        changes: dict[str, Any] = {"device": device} | ({} if readout is None else {"readout": readout})
        _MODELS[key] = load(name, **changes)
    return _MODELS[key]


def _pairs(sources: Sequence[Path], folder: Path, suffix: str | None) -> Iterator[tuple[Path, Path]]:
    seen: dict[str, Path] = {}
    for source in sources:
        ending = OUTPUTS[suffix] if suffix else OUTPUTS.get(source.suffix.lower(), ".parquet")
        target = folder / f"{source.stem}{ending}"
        if target.name in seen:
            raise ValueError(f"{source} and {seen[target.name]} would both be written to {target}: rename one")
        if target.resolve() == source.resolve():
            raise ValueError(f"{source} would be overwritten: choose another folder than {folder}")
        seen[target.name] = source
        yield source, target


def _attempt(source: Path, target: Path, job: Job) -> str | None:
    """Cluster one file; None, or what is wrong in one line. Trouble with a file is no trouble of the others."""
    try:
        cluster_file(source, target, job)
    except (ValueError, TypeError, OSError, RuntimeError, ArithmeticError, MemoryError) as err:
        return one_line(err) or type(err).__name__
    return None


def _one_thread() -> None:
    """What a worker process begins with: one thread, and memory that is given back."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)


Results = Iterator[tuple[Path, Path, str | None]]


def _in_processes(todo: Sequence[tuple[Path, Path]], job: Job, workers: int) -> Results:
    """In processes of this machine; where one dies, what it was at is tried again in new ones."""
    waiting = dict.fromkeys(todo, 0)
    while waiting:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(workers, len(waiting)), mp_context=context, initializer=_one_thread)
        try:
            futures = {pool.submit(_attempt, *pair, job): pair for pair in waiting}
            for future in as_completed(futures):
                pair = futures[future]
                error = future.result()
                waiting.pop(pair)
                yield *pair, error
        except BrokenProcessPool:
            for pair in list(waiting):
                waiting[pair] += 1
                if waiting[pair] > RETRIES:
                    waiting.pop(pair)
                    yield *pair, f"its process was killed {RETRIES + 1} times"
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _on_dask(client: Any, todo: Sequence[tuple[Path, Path]], job: Job) -> Results:
    """One task per file; a worker that dies has its task run again elsewhere."""
    import distributed

    completed: Any = distributed.as_completed

    futures = {
        client.submit(_dask_attempt, source, target, job, pure=False, retries=RETRIES): (source, target)
        for source, target in todo
    }
    try:
        for future in completed(futures):
            if future.status == "finished":
                yield *futures[future], future.result()
            else:
                err = future.exception()
                yield *futures[future], (one_line(err) if err else future.status) or type(err).__name__
    finally:
        client.cancel(list(futures))


def _dask_attempt(source: Path, target: Path, job: Job) -> str | None:
    """As `_attempt`, with one thread; trouble of the operating system is tried again by Dask."""
    import torch

    torch.set_num_threads(1)
    try:
        cluster_file(source, target, job)
    except (ValueError, TypeError) as err:
        return one_line(err) or type(err).__name__
    return None
