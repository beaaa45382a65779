from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE, Motion
from driftviewer.errors import InputError
from driftviewer.result_folder import ResultFolder
from driftviewer.store import MotionInfo, load_motion, load_motion_info, motion_digest, save_motion, save_motion_info


@pytest.fixture
def motion() -> Motion:
    displacement = np.random.default_rng(0).normal(size=(6, 3))
    confidence = np.ones((6, 3))
    confidence[2] = 0
    weights = np.random.default_rng(1).random((3, 20))
    return Motion(displacement, np.arange(6) * 2.0 + 1, np.array([100.0, 300.0, 500.0]), confidence=confidence,
                  windows=weights, depth_bins_um=np.arange(20) * 30.0, notes=("a note",))  # fmt: skip


@pytest.fixture
def info(motion: Motion) -> MotionInfo:
    peaks, locations = np.zeros(50, PEAK_DTYPE), np.zeros(50, LOCATION_DTYPE)
    peaks["sample_index"] = np.arange(50) * 100
    return MotionInfo({"preset": "x", "sampling_frequency": 30000.0}, {"estimate_motion": 1.5}, peaks, locations, motion)


def assert_same(a: Motion, b: Motion) -> None:
    for name in ("displacement", "temporal_bins_s", "spatial_bins_um", "confidence", "windows", "depth_bins_um"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.direction, a.notes) == (b.direction, b.notes)


def test_motion_round_trip(tmp_path: Path, motion: Motion) -> None:
    save_motion(motion, tmp_path / "m")
    assert_same(load_motion(tmp_path / "m"), motion)


def test_info_round_trip_and_dictionary_face(tmp_path: Path, info: MotionInfo) -> None:
    save_motion_info(info, tmp_path / "µ results")
    loaded = load_motion_info(tmp_path / "µ results")
    assert_same(loaded["motion"], info.motion)
    np.testing.assert_array_equal(loaded["peaks"], info.peaks)
    assert loaded["parameters"] == info.parameters and loaded["run_times"] == info.run_times
    np.testing.assert_array_equal(loaded["temporal_bins"], info.motion.temporal_bins_s)
    assert set(dict(loaded)) == {"parameters", "run_times", "peaks", "peak_locations", "motion"}


def test_spikeinterface_reads_ours_and_we_read_theirs(tmp_path: Path, info: MotionInfo) -> None:
    theirs = pytest.importorskip("spikeinterface.preprocessing.motion", reason="needs the extra spikeinterface")
    save_motion_info(info, tmp_path / "ours")
    loaded = theirs.load_motion_info(tmp_path / "ours")
    times, depths = np.array([0.0, 3.3, 7.7, 20.0]), np.array([50.0, 220.0, 333.0, 600.0])
    expected = info.motion.displacement_at(times, depths)
    np.testing.assert_allclose(loaded["motion"].get_displacement_at_time_and_depth(times, depths, segment_index=0), expected, atol=1e-9)
    np.testing.assert_array_equal(loaded["peaks"], info.peaks)
    theirs.save_motion_info(loaded, tmp_path / "theirs")
    back = load_motion_info(tmp_path / "theirs")
    np.testing.assert_allclose(back.motion.displacement_at(times, depths), expected, atol=1e-9)
    assert back.parameters == info.parameters


def test_layout_from_before_0_101(tmp_path: Path, motion: Motion) -> None:
    for name, array in zip(("motion", "temporal_bins", "spatial_bins"), motion, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    np.testing.assert_array_equal(load_motion(tmp_path).displacement, motion.displacement)


@pytest.mark.parametrize(
    "damage", ["peaks.npy", "peak_locations.npy", "motion/displacement_seg0.npy", "parameters.json", "motion/spikeinterface_info.json"]
)
def test_damaged_folders_are_named(tmp_path: Path, info: MotionInfo, damage: str) -> None:
    save_motion_info(info, tmp_path)
    whole = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=Path(damage).name):
        load_motion_info(tmp_path)
    (tmp_path / damage).unlink()
    with pytest.raises(InputError):
        load_motion_info(tmp_path)


def test_missing_folder_and_mixed_files(tmp_path: Path, info: MotionInfo) -> None:
    with pytest.raises(InputError, match="no folder"):
        load_motion_info(tmp_path / "nowhere")
    save_motion_info(info, tmp_path)
    np.save(tmp_path / "peaks.npy", info.peaks[:10])
    with pytest.raises(InputError, match="half-written"):
        load_motion_info(tmp_path)


def test_result_folder_takes_over_by_key_only(tmp_path: Path, info: MotionInfo) -> None:
    folder = ResultFolder(tmp_path / "r")
    assert folder.find("peaks", "k" * 64) is None
    folder.keep("peaks", "k" * 64, info.peaks)
    assert len(folder.find("peaks", "k" * 64)) == 50
    assert folder.find("peaks", "other" + "k" * 60) is None
    folder.publish(info, {"keys": {"peaks": "p"}})
    assert not folder.partial.exists()
    again = ResultFolder(tmp_path / "r")
    assert len(again.find("peaks", "p")) == 50 and again.find("peaks", "q") is None


def test_parts_come_back_in_order_up_to_the_first_gap_or_damage(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path)
    for start in (0, 100, 200, 400):
        folder.keep_part("key", start, start + 100, peaks=np.array([start]))
    assert [(end, int(p["peaks"][0])) for end, p in folder.parts("key")] == [(100, 0), (200, 100), (300, 200)]
    torn = next(tmp_path.glob(".partial/key-100-*.npz"))
    torn.write_bytes(torn.read_bytes()[:20])
    assert [end for end, _ in folder.parts("key")] == [100]


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(InputError, match="did not write"):
        ResultFolder(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        ResultFolder(tmp_path / "thesis.doc")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((2, 1)), [0.0], [0.0]), "does not fit"),
        ((np.zeros((2, 1)), [1.0, 0.0], [0.0]), "ascend"),
        ((np.full((2, 1), np.nan), [0.0, 1.0], [0.0]), "finite"),
        ((np.zeros((0, 1)), [], [0.0]), "does not fit"),
    ],
)
def test_impossible_motions_are_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Motion(*arguments)  # type: ignore[arg-type]


def test_times_of_an_uneven_clock_are_kept_and_forgotten(tmp_path: Path, info: MotionInfo) -> None:
    even = info.peak_times_s
    uneven = replace(info, times_s=even + 100.0 * (even > 0.08))
    save_motion_info(uneven, tmp_path)
    np.testing.assert_array_equal(load_motion_info(tmp_path).peak_times_s, uneven.times_s)
    save_motion_info(info, tmp_path)
    np.testing.assert_array_equal(load_motion_info(tmp_path).peak_times_s, even)


def test_the_motion_of_each_shank_is_kept_beside_what_spikeinterface_reads(tmp_path: Path, info: MotionInfo) -> None:
    own = np.stack([info.motion.displacement - 3, info.motion.displacement + 3])
    motion = replace(info.motion, shank_ids=np.array([0, 2]), shank_displacement=own, shank_confidence=np.ones((2, 6, 3)))
    save_motion_info(replace(info, motion=motion, shanks=np.arange(50) % 3), tmp_path)
    loaded = load_motion_info(tmp_path)
    assert_same(loaded.motion, motion)
    np.testing.assert_array_equal(loaded.motion.shank_ids, [0, 2])
    np.testing.assert_array_equal(loaded.motion.shank_displacement, own)
    np.testing.assert_array_equal(loaded.shanks, np.arange(50) % 3)
    assert motion_digest(loaded.motion) == motion_digest(motion) != motion_digest(info.motion)
    save_motion_info(info, tmp_path)
    assert load_motion_info(tmp_path).motion.shank_ids is None and load_motion_info(tmp_path).shanks is None
    np.save(tmp_path / "motion" / "shank_ids.npy", [1])
    with pytest.raises(InputError, match="belong together"):
        load_motion_info(tmp_path)
