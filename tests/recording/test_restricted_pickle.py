"""Pickles of numpy data are read, anything else is refused without running it."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.recording.restricted_pickle import load_object_array


def save(path: Path, payload: bytes, descr: str = "'|O'", shape: str = "()") -> Path:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + payload)
    return path


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_numpy_of_every_protocol(tmp_path, protocol):
    value = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.float32(3),
        "c": [1, "x", None, True],
        "d": {"e": np.array(["s"])},
        "f": np.bool_(True),
    }
    if protocol == 2:
        value = {"a": [1.5, "x"]}
    got = load_object_array(save(tmp_path / "o.npy", pickle.dumps(np.array(value, dtype=object), protocol=max(protocol, 3))))
    for key in value:
        np.testing.assert_equal(got[key], value[key])


def test_reads_the_old_and_the_new_name_of_numpys_core(tmp_path):
    new = pickle.dumps(np.array({"a": np.arange(3)}, dtype=object), protocol=3)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    for payload in (new, old):
        np.testing.assert_array_equal(load_object_array(save(tmp_path / "o.npy", payload))["a"], [0, 1, 2])


def test_np_saves_own_output_is_read(tmp_path):
    np.save(tmp_path / "o.npy", {"x": np.ones(3)}, allow_pickle=True)
    np.testing.assert_array_equal(load_object_array(tmp_path / "o.npy")["x"], 1)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    target = tmp_path / "was-run"
    np.save(tmp_path / "o.npy", np.array({"x": Malicious(target)}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"o\.npy was not opened .*posix\.system"):
        load_object_array(tmp_path / "o.npy")
    assert not target.exists()


@pytest.mark.parametrize(
    "name", ["torch._utils\n_rebuild_tensor_v2", "builtins\neval", "numpy\nload", "numpy.core.multiarray\nfromfile", "pathlib\nPosixPath"]
)
def test_other_globals_are_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match=name.replace("\n", ".")):
        load_object_array(save(tmp_path / "o.npy", f"c{name}\n.".encode()))


def test_dotted_names_do_not_reach_through_numpy(tmp_path):
    payload = b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93."
    with pytest.raises(InputError, match="only numpy data"):
        load_object_array(save(tmp_path / "o.npy", payload))


def test_damaged_files(tmp_path):
    whole = pickle.dumps(np.array({"a": np.arange(300)}, dtype=object), protocol=4)
    for payload in (whole[:-40], b"", b"\x80\x04garbage"):
        with pytest.raises(InputError, match=r"o\.npy"):
            load_object_array(save(tmp_path / "o.npy", payload))
    (tmp_path / "o.npy").write_bytes(b"not an array")
    with pytest.raises(InputError, match="damaged"):
        load_object_array(tmp_path / "o.npy")
    with pytest.raises(InputError, match="Cannot read"):
        load_object_array(tmp_path / "missing.npy")
    np.save(tmp_path / "o.npy", np.arange(3))
    with pytest.raises(InputError, match="not one saved dictionary"):
        load_object_array(tmp_path / "o.npy")
