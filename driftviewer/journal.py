"""Durable small writes: whole files replaced atomically, and an append-only JSON-lines journal."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from driftviewer.errors import InputError


def write_atomic(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Parameters
    ----------
    path : path
        File to create or replace; its folder is made.
    write : callable
        Receives the open binary file.

    Raises
    ------
    InputError
        The folder is read-only or the disk is full; what stood at `path` is untouched.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_UMASK)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def cannot_write(path: str | Path, error: OSError) -> InputError:
    """Return the sentence for a file that could not be written."""
    return InputError(f"Cannot write {path}: {error.strerror or error}; free space or choose another folder.")


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# read once, as reading it opens a gap for whatever other threads create meanwhile
_UMASK = _read_umask()


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Save an array as `.npy`, atomically."""
    write_atomic(path, lambda file: np.save(file, array, allow_pickle=False))


def save_json(path: str | Path, value: Any) -> None:
    """Save a JSON document, atomically and readably."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def load_json(path: str | Path) -> Any:
    """Load a JSON document; a missing or half-written one is an `InputError`."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}; check that it is there and may be read.") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); it is damaged or half-written: delete it or make it again.") from error


def load_array(path: str | Path, *, memory_map: bool = False) -> np.ndarray:
    """Load an `.npy` file without pickles; a missing or truncated one is an `InputError`."""
    try:
        array: np.ndarray = np.load(path, allow_pickle=False, mmap_mode="r" if memory_map else None)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}; check that it is there and may be read.") from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is not a whole .npy array ({error}); it is damaged: delete it or make it again.") from error
    return array


class Journal:
    """An append-only file of JSON lines, one edit a line, flushed and synced before `append` returns."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, entry: dict[str, Any]) -> None:
        """Add one entry durably; a torn line that a crash left at the end is cut off first."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a+b") as file:
                file.truncate(_end_of_last_line(file))
                file.write((json.dumps(entry, default=_plain) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the entries up to the last whole one."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().split(b"\n")[:-1]:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _end_of_last_line(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 4096)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
