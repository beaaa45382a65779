"""The folder of a run: steps that a later run may take over, pieces of an interrupted one, and its publication.

`driftviewer.json` records the cache key of each step. While a run is under way its pieces lie in `.partial/`; the result
is written there whole and then moved into place, the record last.
"""

import importlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from driftviewer import __version__
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.journal import cannot_write, load_array, load_json, save_array, save_json, write_atomic
from driftviewer.store import RECORD, MotionInfo, load_motion, load_object, motion_digest, save_motion_info, texts


class ResultFolder:
    """The folder of a run: finds what an earlier run left, keeps the pieces of this one, and publishes the result.

    As a context manager it keeps other runs out, finishes a publication that was interrupted, and leaves no empty folder behind.

    Raises
    ------
    InputError
        `root` is a file, cannot be written, or another run is writing to it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.partial, self._staged = self.root / ".partial", self.root / ".partial" / "result"
        self._lock: BinaryIO | None = None
        try:
            self._refuse_foreign()
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error

    def _refuse_foreign(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file; give a folder for the results.")
        foreign = self.root.is_dir() and any(self.root.iterdir()) and not self.partial.exists()
        if foreign and not (self.root / RECORD).exists():
            raise InputError(
                f"{self.root} holds files that driftviewer did not write; give a new folder, so that nothing of yours is overwritten."
            )

    def __enter__(self) -> "ResultFolder":
        try:
            self._lock = self._locked()
            self._install()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise cannot_write(self.root, error) from error
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is None:
            return
        self._lock.close()
        with suppress(OSError):
            if [path.name for path in self.partial.iterdir()] == ["lock"]:
                shutil.rmtree(self.partial)
                self.root.rmdir()

    def _locked(self) -> BinaryIO:
        path = self.partial / "lock"
        while True:
            self.partial.mkdir(parents=True, exist_ok=True)
            file = open(path, "wb")  # noqa: SIM115 - held until the run ends
            _lock_file(file, self.root)
            # a run that is just finishing takes its lock away with its pieces
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            file.close()

    def record(self) -> dict[str, Any]:
        """Return the record of the last finished run; empty if there is none or it is damaged."""
        try:
            return load_object(self.root / RECORD)
        except InputError:
            return {}

    def find(self, name: str, key: str) -> np.ndarray | None:
        """Return the array `name` if an earlier run, finished or not, made it from the same inputs; damaged files count as absent."""
        kept = self.root / f"{name}.npy" if self._finished(name, key) else self._piece(name, key)
        try:
            return load_array(kept)
        except InputError:
            return None

    def find_motion(self, key: str) -> Motion | None:
        """Return the motion if the last finished run made it from the same inputs; a damaged one counts as absent."""
        if not self._finished("motion", key):
            return None
        try:
            found = load_motion(self.root / "motion")
        except InputError:
            return None
        return found if self.record().get("motion_digest") == motion_digest(found) else None

    def run_times(self, key: str) -> dict[str, float]:
        """Return the run times of the last finished run if its peak locations were made from the same inputs, else none."""
        try:
            found = load_object(self.root / "run_times.json") if self._finished("peak_locations", key) else {}
        except InputError:
            return {}
        return {name: seconds for name, seconds in found.items() if isinstance(seconds, int | float)}

    def _finished(self, name: str, key: str) -> bool:
        keys = self.record().get("keys")
        return isinstance(keys, dict) and keys.get(name) == key

    def keep(self, name: str, key: str, array: np.ndarray) -> None:
        """Keep a step's result until the run is finished."""
        save_array(self._piece(name, key), array)

    def parts(self, key: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield ``(end_frame, arrays)`` of the consecutive parts of an interrupted pass, from the recording's begin."""
        end = 0
        parts = sorted(self.partial.glob(f"{key[:16]}-*-*.npz"), key=lambda path: int(path.stem.split("-")[1]))
        for path in parts:
            _, first, last = path.stem.split("-")
            if int(first) != end:
                continue
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    loaded = dict(arrays)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile):
                return
            end = int(last)
            yield end, loaded

    def keep_part(self, key: str, start_frame: int, end_frame: int, **arrays: np.ndarray) -> None:
        """Keep what a pass found between two frames."""
        write_atomic(self.partial / f"{key[:16]}-{start_frame}-{end_frame}.npz", lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]

    def keep_notes(self, key: str, notes: Iterable[str]) -> None:
        """Keep what was noted while the arrays of that key were made."""
        save_json(self.partial / f"notes-{key[:16]}.json", list(notes))

    def notes(self, key: str) -> tuple[str, ...]:
        """Return the notes kept under a key by an earlier run, finished or not; none if they are damaged."""
        kept = self.record().get("kept_notes")
        if isinstance(kept, dict) and key in kept:
            return texts(kept[key])
        try:
            return texts(load_json(self.partial / f"notes-{key[:16]}.json"))
        except InputError:
            return ()

    def publish(self, info: MotionInfo, record: Mapping[str, Any]) -> None:
        """Replace the folder's results by `info`: a full disk leaves the old ones, and a run killed here is finished by the next."""
        shutil.rmtree(self._staged, ignore_errors=True)
        save_motion_info(info, self._staged)
        save_json(self._staged / RECORD, {"driftviewer": __version__, "motion_digest": motion_digest(info.motion), **record})
        try:
            self._install()
        except OSError as error:
            raise cannot_write(self.root, error) from error
        shutil.rmtree(self.partial, ignore_errors=True)

    def _install(self) -> None:
        """Move a result that was written whole into place; without its record a result is not believed."""
        if not (self._staged / RECORD).exists():
            return
        (self.root / RECORD).unlink(missing_ok=True)
        if (self._staged / "motion").is_dir():
            shutil.rmtree(self.root / "motion", ignore_errors=True)
        for path in sorted(self._staged.iterdir(), key=lambda path: path.name == RECORD):
            path.replace(self.root / path.name)

    def _piece(self, name: str, key: str) -> Path:
        return self.partial / f"{name}-{key[:16]}.npy"


def _lock_file(file: BinaryIO, root: Path) -> None:
    """Hold a lock that ends with the process, where the system has such locks."""
    try:
        fcntl = importlib.import_module("fcntl")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(f"Another run is writing to {root}; wait until it is done, or give another folder.") from error
    except (ImportError, OSError):
        return
