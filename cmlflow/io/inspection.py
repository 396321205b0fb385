"""Contents of a file, and a guess of the columns that an event needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cmlflow.io.columns import Columns
from cmlflow.io.files import FormatError, PathLike
from cmlflow.io.locations import located
from cmlflow.io.nesting import Column, as_column
from cmlflow.io.root import open_root
from cmlflow.io.sources import Source, open_source, root_trees, source_kind

ROWS = 20
"""Rows of a table from which ranges of values are taken."""

_LENGTH = r"(?:[_.]?(?P<length>um|mm|cm|m))?"
_ENERGY = r"(?:[_.]?(?P<unit>[eE][vV]|[kKmMgG]e[vV]|kev|mev|gev))?"
_PATTERNS = {
    "energy": rf"(rec_?|raw_?|cell_?|dep_?)?(energy|e_?dep|edep|e|amplitude|charge|signal|adc|npe){_ENERGY}",
    "layer": r"(layer|layer_?id|layer_?number|plane|ilayer)",
    "event": r"(event|event_?(id|no|nr|number|index)?|evt(_?(id|no))?|entry|eventNumber)",
    "particle": r"(truth|particle_?(id|idx|index)?|truth_?(id|index|particle)|shower_?id|mc_?(id|label|index)|track_?id"
    r"|label|pid|sim_?(id|index)|cluster_?truth)",
    "share": r"(particle_?)?(share|frac|fraction|weight)s?",
    "deposit": r"(particle_?|truth_?)(e_?dep|edep|energy|deposit)s?",
    "time": r"(time|t|toa|tc_?time|hit_?time)(_?ns)?",
    "pdg_id": r"(pdg|pdg_?(id|code)|particle_?pdg)s?",
}
_HIT = r"(?:(?:hits?|cells?|rec_?hits?|calo_?hits?|calo|clusters?_cell|points?|sim_?hits?)[_./])?"
_PART = r"(?:(?:part|particles?|mc|mc_?particles?|truth|truth_?part|gen|gen_?part|primary|primaries)[_./]?)"
_PARTICLE = {
    "particle_number": rf"{_PART}(id|number|index|track_?id|barcode)",
    "particle_energy": rf"{_PART}(e|energy|energies){_ENERGY}",
    "pdg_id": rf"{_PART}(pdg_?(id)?s?|pid)",
    "particle_direction": rf"{_PART}(p|d|dir_?|direction_?|momentum_?)(?P<axis>[xyz])",
}


def tables_of(path: PathLike) -> list[Source]:
    """All tables of a file.

    Raises
    ------
    FileNotFoundError, FormatError
        As `cmlflow.read`.
    """
    (file,) = located(path)
    if source_kind(file) != "root":
        return [open_source(file, None)]
    trees = root_trees(open_root(file))
    if not trees:
        raise FormatError(f"{file} has no trees")
    return [open_source(file, tree) for tree in trees]


def proposed(source: Source) -> Columns | None:
    """Columns guessed by their names; None if no positions or energies are found.

    Raises nothing: a proposal is meant to be checked.
    """
    names = list(source.columns)
    axes: dict[str, dict[str, str]] = {}
    units: dict[str, str] = {}
    for name in names:
        match = re.fullmatch(rf"(?P<before>.*?)(?P<axis>[xyzXYZ]){_LENGTH}", name)
        if match and not re.fullmatch(r".*[A-Za-wA-W]", match["before"]):
            axes.setdefault(match["before"], {}).setdefault(match["axis"].lower(), name)
            units[match["before"]] = match["length"] or ""
    best = max(axes, key=lambda before: (len(axes[before]), -_rank(before), -len(before)), default=None)
    if best is None or not {"x", "y"} <= axes[best].keys():
        return None
    found: dict[str, Any] = {"position": tuple(axes[best][axis] for axis in sorted(axes[best]))}
    energies: str | None = None
    for field, pattern in _PATTERNS.items():
        fitting = [n for n in names if re.fullmatch(_HIT + pattern, n, re.IGNORECASE) and n not in found["position"]]
        fitting.sort(key=lambda n: not n.startswith(best) if best else "." in n or "_" in n)
        if fitting:
            found[field] = fitting[0]
            if field == "energy":
                match = re.fullmatch(_HIT + pattern, fitting[0], re.IGNORECASE)
                energies = match["unit"] if match else None
    if "energy" not in found:
        return None
    return _consistent(source, found, units[best], energies)


def _rank(before: str) -> int:
    """0 for names that suggest hits, 2 for particles, tracks and vertices."""
    if re.search(r"hit|cell|calo", before, re.IGNORECASE):
        return 0
    return 2 if re.search(r"mom|dir|vtx|vertex|track|trk|part|mc|gen|true", before, re.IGNORECASE) else 1


def _consistent(source: Source, found: dict[str, Any], length: str, energies: str | None) -> Columns:
    depth = _depth(source, found["energy"])
    time = found.pop("time", None)
    given: dict[str, Any] = {"position": found["position"], "energy": found["energy"], "length": length or "cm"}
    if energies:
        right = {unit.lower(): unit for unit in ("eV", "keV", "MeV", "GeV")}
        given["energy_unit"] = right[energies.lower()]
    for field, deep in (("layer", (depth,)), ("event", (0,)), ("particle", (depth, depth + 1))):
        name = found.get(field)
        if name is not None and _depth(source, name) in deep:
            given[field] = name
    nested = "particle" in given and _depth(source, given["particle"]) == depth + 1
    if nested:
        shares = {f: found[f] for f in ("deposit", "share") if f in found and _depth(source, found[f]) == depth + 1}
        given |= dict([next(iter(shares.items()))]) if shares else {}
        if not shares:
            del given["particle"]
    if "particle" in given and depth == 0 and "pdg_id" in found:
        if _depth(source, found["pdg_id"]) == _depth(source, given["particle"]):
            given["pdg_id"] = found["pdg_id"]
    elif "particle" in given and depth == 1:
        given |= _particle_table(source, set(_flat(given.values())))
    if "layer" in given:
        column = _some(source, given["layer"])
        if column is not None and len(column.values) and column.values.min() == 0:
            given["first_layer"] = 0
    if time is not None and _depth(source, time) == depth:
        given["features"] = {"time": time}
    return Columns(**given, tree=source.tree or None)


def _particle_table(source: Source, used: set[str]) -> dict[str, Any]:
    """Columns with a row for each particle, as far as they are equally long."""
    out: dict[str, Any] = {}
    axes: dict[str, str] = {}
    for field, pattern in _PARTICLE.items():
        for name in source.columns:
            match = re.fullmatch(pattern, name, re.IGNORECASE)
            if match is None or name in used or _depth(source, name) != 1:
                continue
            if field == "particle_direction":
                axes.setdefault(match["axis"].lower(), name)
            else:
                out.setdefault(field, name)
    if axes.keys() == {"x", "y", "z"}:
        out["particle_direction"] = tuple(axes[axis] for axis in "xyz")
    columns = [_some(source, name) for name in _flat(out.values())]
    counts = [tuple(c.counts.tolist()) for c in columns if c is not None]
    return out if len(set(counts)) <= 1 else {}


def _flat(values: Iterable[Any]) -> list[str]:
    out: list[str] = []
    for value in values:
        out += [value] if isinstance(value, str) else [v for v in value if isinstance(v, str)]
    return out


def _some(source: Source, name: str) -> Column | None:
    """The first rows of a column; None if they are not numbers."""
    try:
        return as_column(source.read(name, 0, min(ROWS, source.length(name))), name)
    except (ValueError, TypeError, KeyError):
        return None


def _depth(source: Source, name: str) -> int:
    column = _some(source, name)
    return -1 if column is None else column.depth


def listing(path: PathLike, kind: str | None = None) -> str:
    """Contents of a file, as comments of a TOML file that proposes the meaning of its columns.

    Parameters
    ----------
    path : path-like
    kind : str, optional
        Format in which the file can be read without columns, if any.
    """
    lines = [f"# {Path(path).name}" + ("" if kind is None else f": format {kind!r}, read without columns")]
    proposals: list[Columns] = []
    for source in tables_of(path):
        rows = {source.length(name) for name in source.columns}
        title = source.tree or "table"
        lines += ["#", f"# {title}: {', '.join(f'{n:,}' for n in sorted(rows)[:4]) or 0} rows"]
        lines += [f"#   {text}" for text in _column_lines(source)]
        columns = proposed(source) if kind is None else None
        proposals += [] if columns is None else [columns]
    if kind is not None:
        return "\n".join(lines) + "\n"
    if not proposals:
        return (
            "\n".join([*lines, "#", "# no columns sound like positions and energies: write position, energy, ..."])
            + "\n"
        )
    text = "\n".join([*lines, "#", "# A proposal by the names of columns: check it, and the units."])
    return text + "\n" + max(proposals, key=lambda columns: len(columns.names())).to_toml()


def _column_lines(source: Source) -> list[str]:
    width = min(max(map(len, source.columns), default=0), 40)
    out = []
    for name, kind in source.columns.items():
        column = _some(source, name)
        about = ""
        if column is not None and len(column.values):
            low, high = np.fmin.reduce(column.values), np.fmax.reduce(column.values)
            counts = "" if not column.edges else f", {column.counts.min()} to {column.counts.max()} in a list"
            about = f"  {low:.6g} to {high:.6g}{counts}"
        out.append(f"{name:{width}}  {kind}{about}")
    return out
