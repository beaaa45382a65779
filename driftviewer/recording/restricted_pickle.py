"""Unpickling of numpy data alone, for object arrays that other programs saved."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError

_CORES = ("numpy.core", "numpy._core")
# The functions are taken from what numpy itself puts into a pickle, so that no private module is imported.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(f"{core}.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0] for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): np.float64(0).__reduce__()[0] for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): np.empty(0).__reduce_ex__(5)[0] for core in _CORES},
}


class _NumpyUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def load_object_array(path: str | Path) -> Any:
    """Load an `.npy` file that holds one pickled object made of numpy arrays and plain Python values.

    Raises
    ------
    InputError
        The file is damaged, or its pickle asks for anything but numpy's arrays, types and scalars; nothing of it is run.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(file)
            if not dtype.hasobject or shape not in ((), (1,)):
                raise InputError(f"{path} holds an array of shape {shape} and type {dtype}, not one saved dictionary.")
            content = _NumpyUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} was not opened because only numpy data are read from a pickle ({error}).") from error
    except InputError:
        raise
    except (EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError, ImportError, MemoryError, OverflowError) as error:
        raise InputError(f"{path} is damaged ({error}); make it again or delete it.") from error
    return content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
