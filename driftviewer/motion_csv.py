"""A motion as a table of numbers that any program reads: CSV."""

import csv
import io
import re
from pathlib import Path

import numpy as np

from driftviewer.data import Direction, Motion
from driftviewer.errors import InputError
from driftviewer.journal import write_atomic

SUFFIXES = (".csv", ".tsv")
_DEPTH = re.compile(r"(?P<axis>x|y|depth)?[ _]*(?P<depth>[-+]?\d*\.?\d+(e[-+]?\d+)?)[ _]*\[?\(?(um|µm|μm)?\)?\]?", re.IGNORECASE)
_LONG = re.compile(r"(x|y|depth)[ _]*\[?\(?(um|µm|μm)\)?\]?", re.IGNORECASE)
_SHAPE = "time_s, y_100_um, y_300_um, ... (displacement in µm at each depth), or time_s, y_um, displacement_um"


def save_motion_csv(motion: Motion, path: str | Path) -> None:
    """Save a motion as a table: ``time_s``, then one column of displacements, µm, for each depth window.

    A column's name gives axis and place of its window: ``y_300_um``. Numbers are written in full, so that `load_motion_csv`
    gives equal ones. A table has no place for confidence, windows and notes.

    Raises
    ------
    InputError
        The file cannot be written, or shanks move on their own.
    """
    if motion.shank_ids is not None:
        raise InputError("A table holds one motion, but these shanks move on their own; save each: motion.for_shank(shank).")
    text = io.StringIO()
    table = csv.writer(text, delimiter=_delimiter_for(path), lineterminator="\n")
    table.writerow(["time_s", *(f"{motion.direction}_{_plain(depth)}_um" for depth in motion.spatial_bins_um.tolist())])
    table.writerows(
        [repr(time), *map(repr, row)] for time, row in zip(motion.temporal_bins_s.tolist(), motion.displacement.tolist(), strict=True)
    )
    write_atomic(path, lambda file: file.write(text.getvalue().encode()))


def load_motion_csv(path: str | Path) -> Motion:
    """Load a motion from a table with a header.

    Parameters
    ----------
    path : path
        Either ``time_s`` and one column a depth window (``y_300_um``, ``300um``, ``300``), or one row a value: ``time_s``, ``y_um`` (or
        ``depth_um``), ``displacement_um``. Separated by comma, semicolon or tab; rows in any order; displacement > 0 where the
        tissue is seen at larger depth than the reference.

    Raises
    ------
    InputError
        The file cannot be read, has another header, or a value is missing or not a number.
    """
    path = Path(path)
    header, values = _read(path)
    try:
        if len(header) == 3 and _LONG.fullmatch(header[1]):
            return _from_long(path, header[1], values)
        return _from_wide(path, header, values)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text ({error}); save the table as CSV in UTF-8.") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise InputError(f"{path} holds no table; its columns must be {_SHAPE}.")
    delimiter = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    header = [name.strip() for name in rows[0]]
    if len(header) < 2 or not re.fullmatch(r"time[ _]*\[?\(?s\)?\]?", header[0], re.IGNORECASE):
        raise InputError(f"{path} begins with {', '.join(header)[:80]!r}; its columns must be {_SHAPE}.")
    values = np.empty((len(rows) - 1, len(header)))
    for number, row in enumerate(rows[1:]):
        if len(row) != len(header):
            raise InputError(f"{path}: row {number + 2} has {len(row)} values but the header {len(header)}; correct it.")
        try:
            values[number] = [float(entry) for entry in row]
        except ValueError as error:
            raise InputError(f"{path}: row {number + 2} holds something that is not a number ({error}); correct it.") from error
    return header, values[np.argsort(values[:, 0], kind="stable")]


def _from_wide(path: Path, header: list[str], values: np.ndarray) -> Motion:
    found = [_DEPTH.fullmatch(name) for name in header[1:]]
    wrong = [name for name, match in zip(header[1:], found, strict=True) if match is None]
    if wrong:
        raise InputError(f"{path}: the column {wrong[0]!r} names no depth in µm; columns must be {_SHAPE}.")
    matches = [match for match in found if match is not None]
    axes = {_axis(match["axis"]) for match in matches}
    if len(axes) > 1:
        raise InputError(f"{path} holds displacements along x and along y; save one axis in one file.")
    depths = np.array([float(match["depth"]) for match in matches])
    order = np.argsort(depths)
    return Motion(values[:, 1:][:, order], values[:, 0], depths[order], direction=axes.pop())


def _from_long(path: Path, name: str, values: np.ndarray) -> Motion:
    times, row = np.unique(values[:, 0], return_inverse=True)
    depths, column = np.unique(values[:, 1], return_inverse=True)
    if len(values) != times.size * depths.size or len(np.unique(row * depths.size + column)) != len(values):
        raise InputError(
            f"{path} must give one value for each of its {times.size} times at each of its {depths.size} depths, but has {len(values)} rows."
        )
    displacement = np.empty((times.size, depths.size))
    displacement[row, column] = values[:, 2]
    return Motion(displacement, times, depths, direction=_axis(name[0]))


def _axis(name: str | None) -> Direction:
    return "x" if name is not None and name.lower() == "x" else "y"


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _delimiter_for(path: str | Path) -> str:
    return "\t" if Path(path).suffix.lower() == ".tsv" else ","
