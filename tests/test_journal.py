from pathlib import Path

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.journal import Journal, load_array, load_json, save_array, save_json, write_atomic


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    save_json(path, {"a": 1})

    def fail(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"kept\.json: No space left on device; free space"):
        write_atomic(path, fail)
    assert load_json(path) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["kept.json"]


def test_round_trips(tmp_path: Path) -> None:
    save_array(tmp_path / "new folder µ" / "x.npy", np.arange(5))
    assert load_array(tmp_path / "new folder µ" / "x.npy").tolist() == [0, 1, 2, 3, 4]
    save_json(tmp_path / "x.json", {"n": np.float64(1.5), "a": np.arange(2), "p": Path("x")})
    assert load_json(tmp_path / "x.json") == {"n": 1.5, "a": [0, 1], "p": "x"}


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (5,)}"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "torn"
    path.write_bytes(content)
    for load in (load_json, load_array):
        with pytest.raises(InputError, match="torn"):
            load(path)


def test_a_torn_last_line_is_ignored_and_then_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "edits.jsonl")
    journal.append({"edit": 1})
    journal.append({"edit": 2})
    with open(journal.path, "ab") as file:
        file.write(b'{"edit": 3, "half')
    assert [entry["edit"] for entry in journal] == [1, 2]
    journal.append({"edit": 4, "long": "x" * 10_000})
    journal.append({"edit": 5})
    assert [entry["edit"] for entry in journal] == [1, 2, 4, 5]


def test_an_absent_journal_is_empty(tmp_path: Path) -> None:
    assert list(Journal(tmp_path / "none.jsonl")) == []
