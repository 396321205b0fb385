"""Files of events: one function to read any of the formats, one to write; units are converted here and nowhere else."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from cmlflow.event import Event, EventStore, IntArray
from cmlflow.io.candidates import StoredCandidates
from cmlflow.io.columns import Columns
from cmlflow.io.files import FormatError, PathLike, opened
from cmlflow.io.locations import JoinedEvents, Paths, joined, located

__all__ = [
    "FORMATS",
    "Columns",
    "Format",
    "FormatError",
    "StoredCandidates",
    "known_format",
    "read",
    "read_candidates",
    "read_labels",
    "write",
]


@dataclass(frozen=True)
class Format:
    """A kind of file: its modules, and what it can hold beside hits.

    Attributes
    ----------
    reader, writer, labels, candidates : str, optional
        ``module:name`` of the sequence of events, of the function that writes them, and of those that read the labels
        and the candidates that were written beside them.
    holds : frozenset of str
        Of ``"deposits"`` (shares of several particles in a hit), ``"particles"``, ``"tracks"``, ``"features"``,
        ``"labels"`` and ``"candidates"``, what a file of this kind can hold.
    suffixes : tuple of str
        File suffixes of this format. ROOT files are recognised by their trees.
    """

    reader: str
    holds: frozenset[str]
    writer: str | None = None
    labels: str | None = None
    candidates: str | None = None
    suffixes: tuple[str, ...] = ()


_TRUTH = frozenset({"deposits", "particles"})

FORMATS: dict[str, Format] = {
    "parquet": Format(
        "cmlflow.io.parquet:ParquetEvents",
        _TRUTH | {"tracks", "features", "labels", "candidates"},
        writer="cmlflow.io.parquet_writer:write_parquet",
        labels="cmlflow.io.parquet:read_parquet_labels",
        candidates="cmlflow.io.parquet:read_parquet_candidates",
        suffixes=(".parquet", ".pq"),
    ),
    "hgcaltb": Format(
        "cmlflow.io.hgcaltb:HgcaltbEvents",
        frozenset({"particles", "features", "labels"}),
        writer="cmlflow.io.hgcaltb_writer:write_hgcaltb",
        labels="cmlflow.io.hgcaltb:read_hgcaltb_labels",
    ),
    "mltree": Format(
        "cmlflow.io.mltree:MltreeEvents",
        _TRUTH | {"tracks", "labels"},
        writer="cmlflow.io.mltree_writer:write_mltree",
        labels="cmlflow.io.mltree:read_mltree_labels",
    ),
    "edm4hep": Format("cmlflow.io.edm4hep:Edm4hepEvents", _TRUTH | {"features"}),
    "table": Format("cmlflow.io.tables:TableEvents", _TRUTH | {"tracks", "features"}),
}
_BEGINNINGS = {b"PAR1": "parquet", b"root": "root"}


def read(
    path: Paths,
    format: str | None = None,
    *,
    tree: str | None = None,
    columns: Columns | PathLike | None = None,
    **options: Any,
) -> EventStore:
    """Events of one or several files, read on access.

    Parameters
    ----------
    path : path-like, or iterable of path-like
        Also patterns such as ``"runs/*.parquet"`` (sorted by name), and URLs of any protocol of fsspec, whose files are
        copied to a temporary folder.
    format : {"parquet", "hgcaltb", "mltree", "edm4hep", "table"}, optional
        By default detected from the name of the file and the trees in it; ``"table"`` if `columns` are given.
    tree : str, optional
        With `columns`: tree, RNTuple or group of the file, if it has several.
    columns : Columns or path-like, optional
        Meaning of the columns of a table of your own, or a TOML file with it: `cmlflow inspect` proposes one.
    **options
        Go to the reader: `cache` for all; `variant`, `threshold`, `primary_order`, `detector`, `step_size` for
        `cmlflow.io.hgcaltb.HgcaltbEvents`; `geometry`, `negative`, `shared_truth`, `detector`, `step_size` for
        `cmlflow.io.mltree.MltreeEvents`; `collections`, `encoding`, `detector`, `step_size` for
        `cmlflow.io.edm4hep.Edm4hepEvents`; `step_size` for `cmlflow.io.tables.TableEvents`.

    Returns
    -------
    EventStore
        Lazy: opening a file reads only its directory, whatever its size.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        The file is damaged or of another kind; the message names the file, the event and the field.
    ValueError
        The format is unknown.

    Examples
    --------
    >>> events = read("showers.parquet")  # doctest: +SKIP
    >>> events[0].position.shape  # doctest: +SKIP
    (1987, 3)
    >>> columns = Columns(position=("x", "y", "z"), length="mm", energy="e", event="event", particle="truth")
    >>> events = read("mine.csv", columns=columns)  # doctest: +SKIP
    """
    if format is None and columns is not None:
        format = "table"
    if (format == "table") != (columns is not None) or (tree is not None and columns is None):
        if columns is not None:
            raise ValueError(f"columns are given, but format is {format!r}, which has its own; expected format 'table'")
        raise ValueError("columns= is missing: it says what the columns of a tree or table of one's own mean")
    if columns is not None:
        options |= {"columns": columns, "tree": tree}
    files = located(path)
    parts = [opened(file, _loaded(_format(format or _told_from(file)).reader), **options) for file in files]
    return EventStore(parts[0] if len(parts) == 1 else JoinedEvents(parts))


def write(
    events: Iterable[Event],
    path: PathLike,
    format: str | None = None,
    *,
    labels: Iterable[ArrayLike] | None = None,
    candidates: Iterable[Any] | None = None,
    **options: Any,
) -> None:
    """Write events to a file, which appears only when it is complete.

    Parameters
    ----------
    events : iterable of Event
        Consumed one by one, so files may be larger than memory.
    path : path-like
    format : {"parquet", "hgcaltb", "mltree"}, optional
        By default detected from the name: ``.parquet`` keeps everything, ``.root`` is the merged variant of HGCALTBout.
    labels : iterable of array_like of shape (n_hits,), int, optional
        Cluster labels of each event to keep beside the hits, 0..C-1, -1 noise; `read_labels` returns them.
    candidates : iterable, optional
        In place of labels, particle-flow candidates of each event (`cmlflow.association.Candidates`), Parquet only;
        `read_candidates` returns them, `read_labels` the candidate with the largest share of each hit.
    **options
        Go to the writer: `beam`, `gev_per_unit`, `fractions` for `cmlflow.io.mltree_writer.write_mltree`.

    Raises
    ------
    OSError
        Names the file, for example on a full disk. No partial file is left.
    ValueError
        The format is unknown or cannot be written, or labels do not fit the events.
    TypeError
        Something is not an `Event`.
    """
    told = _by_suffix(Path(path))
    name = format or ("hgcaltb" if told == "root" else told)
    if name is None:
        raise FormatError(f"{path}: the name tells no format; give format= one of {', '.join(_writable())}")
    kind = _format(name)
    if kind.writer is None:
        raise ValueError(f"format {name!r} is read only; these can be written: {', '.join(_writable())}")
    if candidates is not None:
        if "candidates" not in kind.holds:
            able = ", ".join(n for n, k in FORMATS.items() if "candidates" in k.holds)
            raise ValueError(
                f"candidates are kept in files of format {able}, not in format {name!r}: give their labels"
            )
        options["candidates"] = candidates
    if "features" not in kind.holds and not isinstance(events, Event):
        events = _without_features(events, name)
    _loaded(kind.writer)(events, path, labels, **options)


def read_labels(path: Paths, format: str | None = None) -> list[IntArray]:
    """Cluster labels that `write` kept beside the hits.

    Parameters
    ----------
    path : path-like, or iterable of path-like
        As for `read`.
    format : {"parquet", "hgcaltb", "mltree"}, optional

    Returns
    -------
    list of ndarray of shape (n_hits,), int64
        One array per event, clusters 0..C-1, -1 noise.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        The file holds no labels.
    """

    def labels_of(file: Path) -> list[IntArray]:
        name = format or _told_from(file)
        reader = _format(name).labels
        if reader is None:
            raise FormatError(f"{file}: format {name!r} holds no cluster labels")
        labels: list[IntArray] = opened(file, _loaded(reader))
        return labels

    return joined(path, labels_of)


def read_candidates(path: Paths, format: str | None = None) -> list[StoredCandidates]:
    """Particle-flow candidates that `write` kept beside the events.

    Parameters
    ----------
    path : path-like, or iterable of path-like
        As for `read`.
    format : {"parquet"}, optional

    Returns
    -------
    list of StoredCandidates
        One for each event; `cmlflow.association.Candidates` takes their arrays.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        The file holds no candidates.
    """

    def candidates_of(file: Path) -> list[StoredCandidates]:
        name = format or _told_from(file)
        reader = _format(name).candidates
        if reader is None:
            raise FormatError(f"{file}: format {name!r} holds no candidates")
        found: list[StoredCandidates] = opened(file, _loaded(reader))
        return found

    return joined(path, candidates_of)


def known_format(path: PathLike) -> str | None:
    """Format with which `read` reads a file without `columns`; None if it cannot."""
    (file,) = located(path)
    try:
        name = _told_from(file)
        if name == "parquet":
            _loaded("cmlflow.io.parquet:ParquetEvents")(file)
        return name
    except FormatError:
        return None


def _without_features(events: Iterable[Event], name: str) -> Iterator[Event]:
    told = False
    for event in events:
        if not told and getattr(event, "features", None):
            told = True
            warnings.warn(f"format {name!r} does not keep the features {', '.join(event.features)}", stacklevel=4)
        yield event


def _writable() -> list[str]:
    return [name for name, kind in FORMATS.items() if kind.writer is not None]


def _loaded(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ValueError(f"format {name!r} is not known, expected one of {', '.join(FORMATS)}")
    return FORMATS[name]


def _by_suffix(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix == ".root":
        return "root"
    return next((name for name, kind in FORMATS.items() if suffix in kind.suffixes), None)


def _told_from(file: Path) -> str:
    with open(file, "rb") as stream:
        beginning = stream.read(4)
    kind = _by_suffix(file) or _BEGINNINGS.get(beginning)
    if kind in FORMATS:
        return kind
    if kind is None:
        raise FormatError(
            f"{file}: neither its name nor its content tells a format: {', '.join(FORMATS)}; a table of your own "
            "is read with columns=cmlflow.Columns(...), which `cmlflow inspect` proposes"
        )
    from cmlflow.io.root import guarded, open_root

    with open_root(file) as root:
        trees = guarded(file, "its directory", lambda: {key.split(";")[0] for key in root.keys(recursive=False)})
    if "HGCALTBout" in trees:
        return "hgcaltb"
    if "events" in trees and trees & {"podio_metadata", "metadata"}:
        return "edm4hep"
    if "EventTree" in trees:
        return "mltree"
    raise FormatError(
        f"{file} has the trees {', '.join(sorted(trees)) or '(none)'}; expected HGCALTBout (hgcaltb), EventTree "
        f"(mltree) or events with podio's metadata (edm4hep), or columns=cmlflow.Columns(...) for a tree of your own, "
        "which `cmlflow inspect` proposes"
    )
