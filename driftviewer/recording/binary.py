"""Samples in a flat file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.protocol import Recording, RecordingInfo

_EXCERPTS, _EXCERPT_BYTES = 32, 16384


class BinaryRecording(Recording):
    """Samples in a flat file, frame after frame; each read touches only the frames asked for.

    Every call opens the file anew: nothing to carry in a pickle, no address space or resident memory that grows with the file,
    and a file cut short while in use is an error message and not a bus error.

    Parameters
    ----------
    info : RecordingInfo
        Its `dtype` is what `read` returns.
    path : path
        The file.
    num_columns : int, optional
        Channels in the file, by default those of `info`.
    columns : slice or (C,) int, optional
        Which of them are the channels of `info`, by default all.
    offset : int
        Bytes before the first frame.
    file_dtype : dtype, optional
        As stored, if it differs from `info.dtype` (byte order).
    fortran_order : bool
        The file stores channel after channel.
    """

    def __init__(
        self,
        info: RecordingInfo,
        path: str | Path,
        *,
        num_columns: int | None = None,
        columns: Any = None,
        offset: int = 0,
        file_dtype: Any = None,
        fortran_order: bool = False,
    ) -> None:
        super().__init__(info)
        self.path = Path(path).absolute()
        self.num_columns = info.num_channels if num_columns is None else int(num_columns)
        self.columns = columns if isinstance(columns, slice | None) else np.asarray(columns, dtype=np.int64)
        self.offset = int(offset)
        self.file_dtype = np.dtype(info.dtype if file_dtype is None else file_dtype)
        self.fortran_order = fortran_order

    def read(self, start: int, end: int) -> np.ndarray:
        """Return frames (T, C).

        Raises
        ------
        InputError
            The file has gone or has become shorter.
        """
        try:
            traces = self._frames(start, end)
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read frames {start} to {end} of {self.path} ({error}); is the disk still connected?") from error
        if self.columns is not None:
            traces = traces[:, self.columns]
        return np.ascontiguousarray(traces, dtype=self.info.dtype)

    def _frames(self, start: int, end: int) -> np.ndarray:
        shape = (max(0, end - start), self.num_columns)
        if self.fortran_order and shape[0]:
            whole = (self.info.num_samples, self.num_columns)
            return np.memmap(self.path, self.file_dtype, "r", self.offset, whole, "F")[start:end]
        first = self.offset + start * self.num_columns * self.file_dtype.itemsize
        return np.fromfile(self.path, self.file_dtype, shape[0] * shape[1], offset=first).reshape(shape)

    def describe(self) -> dict[str, Any]:
        """Return an identity that moves with the file: its size, excerpts spread over it, and what the info says of it."""
        digest = hashlib.sha256()
        try:
            size = self.path.stat().st_size
            with open(self.path, "rb") as file:
                for start in np.linspace(0, max(0, size - _EXCERPT_BYTES), _EXCERPTS).astype(int):
                    file.seek(int(start))
                    digest.update(file.read(_EXCERPT_BYTES))
        except OSError as error:
            raise InputError(f"Cannot read {self.path}: {error.strerror or error}.") from error
        columns = np.arange(self.num_columns) if self.columns is None else np.arange(self.num_columns)[self.columns]
        layout = f"{self.file_dtype.str} {self.num_columns} {self.offset} {self.fortran_order}"
        return {
            "type": "binary",
            "bytes": size,
            "excerpts": digest.hexdigest(),
            "info": info_digest(self.info, layout.encode() + columns.tobytes()),
        }


def info_digest(info: RecordingInfo, more: bytes = b"") -> str:
    """Return a digest of everything in an info that results depend on."""
    digest = hashlib.sha256(more)
    digest.update(repr((info.sampling_frequency, info.num_samples, info.dtype.str, info.t_start, info.boundaries)).encode())
    for array in (info.channel_locations, info.gain_uv, info.offset_uv, info.shank_ids, info.sample_shifts):
        digest.update(array.tobytes())
    return digest.hexdigest()


def whole_frames(path: Path, num_columns: int, dtype: np.dtype, offset: int = 0) -> int:
    """Return how many frames a flat file holds.

    Raises
    ------
    InputError
        It is missing, empty, or does not end with a whole frame.
    """
    try:
        size = path.stat().st_size - offset
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    frames, over = divmod(size, num_columns * dtype.itemsize)
    if size <= 0:
        raise InputError(f"{path} holds no samples; check that it was copied whole.")
    if over:
        raise InputError(
            f"{path} is truncated, or its number of channels is wrong: {over} bytes are left over after {frames} frames"
            f" of {num_columns} channels ({dtype}); copy the file again or correct the sidecar."
        )
    return frames


def sample_dtype(name: Any, where: str | Path) -> np.dtype:
    """Return the type of the samples; an `InputError` for one that cannot hold a recording."""
    try:
        dtype: np.dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype("V1")
    if name is None or dtype.kind not in "iuf" or dtype == np.float16 or dtype.itemsize > 8:
        raise InputError(f"{where}: dtype {name!r} is not a type of samples; use int16, float32 or the like.")
    return dtype


def checked_columns(columns: Any, num_columns: int, where: str | Path) -> np.ndarray:
    """Return columns of a file as an index array; an `InputError` for one outside the file or named twice."""
    try:
        chosen = np.asarray(columns).astype(np.int64).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where}: the channel map is not a list of columns ({error}).") from error
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= num_columns or len(np.unique(chosen)) < len(chosen):
        raise InputError(f"{where}: the channel map must name columns 0 to {num_columns - 1} of the file, each once; correct it.")
    return chosen
