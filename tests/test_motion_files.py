"""Motion in the files of other programs: tables and Kilosort's ops.npy, both ways."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from driftviewer.cli import main
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.motion_csv import load_motion_csv
from driftviewer.recording import open_recording
from driftviewer.recording.kilosort_motion import from_kilosort, kilosort_motion, to_kilosort
from driftviewer.store import load_motion, save_motion

SHANKS = Motion(np.zeros((2, 1)), [0.0, 1.0], [0.0], shank_ids=np.array([0, 1]), shank_displacement=np.zeros((2, 2, 1)))


@pytest.fixture
def motion() -> Motion:
    values = np.random.default_rng(0).normal(0, 20, (40, 3))
    return Motion(values, 500.0 + (np.arange(40) + 0.5) * 2.0, [-20.0, 133.3, 1e3], confidence=np.ones((40, 3)), notes=("a",))


@pytest.mark.parametrize("name", ["motion.csv", "Bewegung µ.TSV"])
def test_table_round_trip_is_exact(tmp_path: Path, motion: Motion, name: str) -> None:
    save_motion(motion, tmp_path / name)
    loaded = load_motion(tmp_path / name)
    for ours, theirs in zip(motion, loaded, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    first = (tmp_path / name).read_text().splitlines()[0]
    assert first.replace("\t", ",") == "time_s,y_-20_um,y_133.3_um,y_1000_um"
    across = Motion(motion.displacement, motion.temporal_bins_s, motion.spatial_bins_um, direction="x")
    save_motion(across, tmp_path / name)
    assert load_motion(tmp_path / name).direction == "x"


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (4, 2), elements=st.floats(-1e6, 1e6)), st.floats(-1e5, 1e5), st.floats(1e-3, 1e4))
def test_any_numbers_survive_a_table(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, depth: float, step: float) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    motion = Motion(values, np.arange(4) * step, [depth, depth + step])
    save_motion(motion, path)
    for ours, theirs in zip(motion, load_motion(path), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "text",
    [
        "time_s,300um,100um\n3,4,2\n1,3,1\n",
        "Time (s);300;100\n1;3;1\n3;4;2\n\n",
        "\ufefftime_s\tdepth_300_um\tdepth_100_um\n1\t3.0\t1e0\n3\t4\t2\n",
        "time_s,depth_um,displacement_um\n3,300,4\n1,100,1\n3,100,2\n1,300,3\n",
        "time_s,y_um,displacement_um\r\n1,100,1\r\n1,300,3\r\n3,100,2\r\n3,300,4\r\n",
    ],
)
def test_tables_of_others_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_bytes(text.encode())
    motion = load_motion(tmp_path / "m.csv")
    np.testing.assert_array_equal(motion.displacement, [[1, 3], [2, 4]])
    np.testing.assert_array_equal(motion.temporal_bins_s, [1, 3])
    np.testing.assert_array_equal(motion.spatial_bins_um, [100, 300])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no table"),
        ("time_s,100um\n", "holds no table"),
        ("t,100um\n1,2\n", "its columns must be time_s"),
        ("1.0,2.0\n1,2\n", "its columns must be time_s"),
        ("time_ms,100um\n1,2\n", "its columns must be time_s"),
        ("time_s,speed\n1,2\n", "'speed' names no depth"),
        ("time_s,0.1_mm\n1,2\n", "names no depth"),
        ("time_s,x_100_um,y_100_um\n1,2,3\n", "along x and along y"),
        ("time_s,100um\n1,two\n", "row 2 holds something that is not a number"),
        ("time_s,100um\n1\n", "row 2 has 1 values"),
        ("time_s,100um\n1,nan\n", "not finite"),
        ("time_s,100um\n1,\n", "row 2"),
        ("time_s,100um\n1,2\n1,3\n", "ascend"),
        ("time_s,100um,100um\n1,2,2\n", "ascend"),
        ("time_s,y_um,displacement_um\n1,100,1\n1,300,3\n3,100,2\n", "each of its 2 times"),
        ("time_s,y_um,displacement_um\n1,100,1\n1,100,3\n", "each of its 1 times"),
        ("time_s;100um\n1,5;2\n", "not a number"),
    ],
)
def test_other_tables_are_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_motion_csv(path)
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read"):
        load_motion(tmp_path / "absent.csv")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00t")
    with pytest.raises(InputError, match="not text"):
        load_motion(tmp_path / "m.csv")


def test_kilosort_round_trip(tmp_path: Path, motion: Motion) -> None:
    ops = to_kilosort(motion)
    np.testing.assert_array_equal(ops["dshift"], -motion.displacement)
    assert (ops["batch_size"], ops["fs"], ops["tmin"], ops["Nbatches"]) == (60000, 30000.0, 500.0, 40)
    back = from_kilosort(**{name: ops[name] for name in ("dshift", "yblk", "batch_size", "fs", "tmin")})
    save_motion(motion, tmp_path / "ops.npy")
    for loaded in (back, load_motion(tmp_path / "ops.npy"), load_motion(tmp_path), kilosort_motion(tmp_path / "ops.npy")):
        assert loaded is not None
        for ours, theirs in zip(motion, loaded, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
    with pytest.raises(InputError, match="may be Kilosort's own"):
        save_motion(motion, tmp_path / "ops.npy")
    assert load_motion(tmp_path).notes == ("Estimated by Kilosort4.",)


def test_kilosorts_own_batches(motion: Motion) -> None:
    ops = to_kilosort(motion, fs=25000.0, batch_size=60000)
    middles = 500.0 + (np.arange(33) + 0.5) * 2.4
    np.testing.assert_allclose(ops["dshift"], -motion.on_grid(middles, motion.spatial_bins_um))
    rigid = from_kilosort(np.array([1.0, -2.0]), 500.0)
    np.testing.assert_array_equal(rigid.displacement, [[-1], [2]])
    np.testing.assert_array_equal(rigid.temporal_bins_s, [1, 3])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: to_kilosort(Motion(np.zeros((2, 1)), [0.0, 1.0], [0.0], direction="x")), "along y only"),
        (lambda: to_kilosort(SHANKS), "for_shank"),
        (lambda: save_motion(SHANKS, "never.csv"), "for_shank"),
        (lambda: to_kilosort(Motion(np.zeros((2, 1)), [0.0, 1.0], [0.0]), batch_size=0), "make no batches"),
        (lambda: to_kilosort(Motion(np.zeros((2, 1)), [0.0, 1.0], [0.0]), fs=-1.0), "make no batches"),
        (lambda: from_kilosort(np.zeros((3, 2)), [1.0]), "does not fit 1 blocks"),
        (lambda: from_kilosort("x", [1.0]), "not a number"),
    ],
)
def test_what_kilosort_cannot_hold(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_kilosort_without_drift_correction_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "ops.npy", {"dshift": None, "yblk": None}, allow_pickle=True)
    for path in (tmp_path, tmp_path / "ops.npy"):
        with pytest.raises(InputError, match="without drift correction"):
            load_motion(path)
    with pytest.raises(InputError, match="Cannot read"):
        load_motion(tmp_path / "absent" / "ops.npy")


def test_export_takes_a_table_and_a_kilosort_folder(tmp_path: Path) -> None:
    place = tmp_path / "sim"
    assert main(["simulate", str(place), "--seconds", "2", "--channels", "16", "--units", "3", "--seed", "1"]) == 0
    motion = Motion(np.array([[5.0], [15.0]]), [0.5, 1.5], [100.0])
    save_motion(motion, tmp_path / "m.csv")
    (tmp_path / "kilosort4").mkdir()
    save_motion(motion, tmp_path / "kilosort4" / "ops.npy")
    traces = []
    for number, source in enumerate((tmp_path / "m.csv", tmp_path / "kilosort4", tmp_path / "kilosort4" / "ops.npy")):
        output = tmp_path / f"out{number}.bin"
        assert main(["export", str(place), "--motion", str(source), "--output", str(output), "--json"]) == 0
        traces.append(open_recording(output).get_traces())
    assert traces[0].shape[0] == 60_000
    np.testing.assert_array_equal(traces[0], traces[1])
    np.testing.assert_array_equal(traces[0], traces[2])


def test_real_kilosort4_folder(shared_data: Path) -> None:
    motion = load_motion(shared_data / "ks4_zfm02370_90s")
    assert motion.displacement.shape == (45, 1) and np.abs(motion.displacement).max() > 0
