"""Bad input, as a person meets it: one clear sentence and exit 1, or a result with an honest note; nothing saved is lost."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import driftviewer
import driftviewer.motion
import driftviewer.quality
from driftviewer import result_folder
from driftviewer.cli import main
from driftviewer.data import LOCATION_DTYPE, Motion
from driftviewer.errors import InputError
from driftviewer.motion import make_activity
from driftviewer.params import fields
from driftviewer.pipeline import STEPS
from driftviewer.recording import open_recording
from driftviewer.result_folder import ResultFolder
from driftviewer.simulate import simulate_drifting_recording
from driftviewer.store import load_motion_info

CHANNELS, SECONDS = 16, 8.0
QUICK = ["--preset", "rigid_fast", "--set", "estimate.bin_s=1"]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    recording, _ = simulate_drifting_recording(SECONDS, CHANNELS, 16, "rigid", seed=1)
    return recording.read(0, recording.info.num_samples), recording.info.channel_locations


@pytest.fixture
def traces(simulated: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return simulated[0].copy()


def column(channels: int, pitch_um: float = 20.0) -> np.ndarray:
    return np.c_[np.zeros(channels), pitch_um * np.arange(channels)]


def probe_of(places: np.ndarray) -> dict[str, Any]:
    channels = len(places)
    contacts = {
        "contact_positions": places.tolist(),
        "contact_plane_axes": [[[1, 0], [0, 1]]] * channels,
        "contact_shapes": ["circle"] * channels,
        "contact_shape_params": [{"radius": 5.0}] * channels,
        "device_channel_indices": list(range(channels)),
    }
    probe = {"ndim": 2, "si_units": "um", "annotations": {}, "contact_annotations": {}, **contacts}
    return {"specification": "probeinterface", "version": "0.2.21", "probes": [probe]}


def write(folder: Path, traces: np.ndarray, places: np.ndarray | None = None, **sidecar: Any) -> Path:
    """Write a flat recording; a key of the sidecar that is None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {"sampling_frequency": 30000.0, "dtype": traces.dtype.str, "num_channels": traces.shape[1], "gain_to_uV": 0.195}
    known |= {"probe": probe_of(column(traces.shape[1]) if places is None else places), **sidecar}
    (folder / "rec.json").write_text(json.dumps({key: value for key, value in known.items() if value is not None}))
    traces.tofile(folder / "rec.bin")
    return folder / "rec.bin"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, simulated: tuple[np.ndarray, np.ndarray]) -> Path:
    """A good recording, not to be changed."""
    return write(tmp_path_factory.mktemp("raw"), *simulated)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that must end in one sentence; return it."""

    def run(*arguments: Any) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        out, error = capsys.readouterr()
        assert out == "" and error.count("\n") == 1 and error.startswith("driftviewer: ") and error.rstrip()[-1] in ".?"
        assert "Traceback" not in error and "--debug" not in error
        return error

    return run


@pytest.fixture
def works(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that must succeed, quietly but for its result; return what it says."""

    def run(*arguments: Any) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 0
        out, error = capsys.readouterr()
        assert error == ""
        return out

    return run


def no_motion_invented(folder: Path) -> None:
    motion = load_motion_info(folder).motion
    assert not motion.displacement.any() or (np.abs(motion.displacement) < 1.0).all()


# ---- recordings that cannot be used ----


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"num_samples": 5}, "240000 frames but rec.json says 5"),
        ({"num_channels": 7}, "rec.bin is truncated"),
        ({"probe": None}, "has no probe"),
        ({"probe": probe_of(np.zeros((16, 2)))}, "16 contacts share the position"),
        ({"probe": probe_of(column(15))}, "15 contacts but the recording 16"),
        ({"probe": probe_of(column(16, 1e6))}, "span 15,000 mm"),
        ({"probe": {"probes": "x"}}, "no probe that probeinterface can read"),
        ({"probe": probe_of(np.full((16, 2), np.nan))}, "is not a number"),
        ({"sampling_frequency": 0}, "0 Hz is not between"),
        ({"sampling_frequency": 1e12}, "1e+12 Hz is not between"),
        ({"sampling_frequency": None}, "lacks"),
        ({"dtype": "float16"}, "float16"),
        ({"offset": -1024}, "offset is -1024"),
        ({"offset": 10**9}, "no samples"),
        ({"gain_to_uV": float("nan")}, "gain_to_uV"),
        ({"gain_to_uV": 0}, "gain_to_uV"),
        ({"gain_to_uV": [1, 2]}, "16, one for each channel"),
        ({"channel_map": [0, 0, 1]}, "each once"),
    ],
)
def test_sidecars_that_disagree(tmp_path: Path, traces: np.ndarray, sidecar: dict[str, Any], words: str, fails: Run) -> None:
    assert words in fails("correct", write(tmp_path / "raw", traces, **sidecar), "--folder", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "sidecar cut", "sidecar gone"])
def test_damaged_files(tmp_path: Path, traces: np.ndarray, damage: str, fails: Run) -> None:
    recording = write(tmp_path / "raw", traces)
    sidecar = recording.with_suffix(".json")
    whole = sidecar.read_text()
    if damage == "cut":
        os.truncate(recording, recording.stat().st_size - 3)
    elif damage == "empty":
        os.truncate(recording, 0)
    elif damage == "gone":
        recording.unlink()
    else:
        sidecar.unlink() if "gone" in damage else sidecar.write_text(whole[: len(whole) // 2])
    assert "rec." in fails("correct", recording, "--folder", tmp_path / "out")


def test_paths_that_hold_nothing(tmp_path: Path, fails: Run) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path, words in (("no/such.bin", "does not exist"), ("notes.txt", "not a recording"), ("", "not a recording")):
        assert words in fails("correct", tmp_path / path, "--folder", tmp_path / "out")
    for path in ("no", "notes.txt", ""):
        fails("report", tmp_path / path)
        fails("export", tmp_path / "notes.txt", "--motion", tmp_path / path, "--output", tmp_path / "x.bin")


@pytest.mark.parametrize("what", [None, 3, "text", np.zeros((10, 3))])
def test_things_that_are_not_recordings(what: Any) -> None:
    with pytest.raises(InputError):
        driftviewer.correct_motion(what)
    if not isinstance(what, np.ndarray):
        with pytest.raises(InputError):
            driftviewer.open_recording(what)


# ---- channels that cannot be used ----


def clip(traces: np.ndarray) -> None:
    traces[:, 3] = np.where(traces[:, 3] > 0, 32767, -32768)


def put(where: Any, value: float) -> Callable[[np.ndarray], None]:
    def change(traces: np.ndarray) -> None:
        traces[where] = value

    return change


ONE, BURST = (slice(None), 3), slice(90_000, 120_000)


@pytest.mark.parametrize(
    ("change", "dtype", "left_out", "note"),
    [
        (put(ONE, np.nan), "f4", 1, "1 of 16 channels hold values that are not finite"),
        (put(ONE, -np.inf), "f8", 1, "1 of 16 channels hold values that are not finite"),
        (put(BURST, np.nan), "f4", 0, "12 % of the samples"),
        (put(BURST, np.inf), "f4", 0, "12 % of the samples"),
        (put(1000, np.nan), "f4", 0, "of the samples of the channels used are not finite"),
        (put(ONE, 7), "i2", 1, "1 of 16 channels are flat"),
        (put((slice(None), slice(4, 16)), 0), "i2", 12, "12 of 16 channels are flat"),
        (clip, "i2", 1, "1 of 16 channels are saturated"),
        (put(BURST, 0), "i2", 0, ""),
    ],
)
def test_bad_channels_are_reported_and_left_out(
    tmp_path: Path, simulated: Any, change: Any, dtype: str, left_out: int, note: str, works: Run
) -> None:
    traces = simulated[0].astype(dtype)
    change(traces)
    path, folder, output = write(tmp_path / "raw", traces, simulated[1]), tmp_path / "out", tmp_path / "corrected.bin"
    assert note in works("correct", path, "--folder", folder, *QUICK)
    found = np.bincount(load_motion_info(folder).peaks["channel_index"], minlength=CHANNELS)
    assert found.sum() > 150 and (left_out != 1 or found[3] == 0) and (left_out < 2 or not found[4:].any())
    no_motion_invented(folder)
    # notes outlive a run that takes everything over
    assert note in works("correct", path, "--folder", folder, *QUICK)
    works("export", path, "--motion", folder, "--output", output)
    exported = open_recording(output)
    assert (exported.read(0, 30_000).std(axis=0) > 1).sum() >= exported.info.num_channels - max(1, left_out)


@pytest.mark.parametrize(("value", "words"), [(0, "16 of 16 channels are flat"), (np.nan, "not finite"), (1e38, "not finite")])
def test_no_usable_channel_at_all(tmp_path: Path, value: float, words: str, fails: Run) -> None:
    traces = np.full((60_000, CHANNELS), value)
    if value > 0:
        traces[::2] *= -100
    assert words in fails("correct", write(tmp_path / "raw", traces), "--folder", tmp_path / "out")
    assert not (tmp_path / "out").exists() or not (tmp_path / "out" / "peaks.npy").exists()


# ---- too little to go on ----


@pytest.mark.parametrize("preset", ["rigid_fast", "nonrigid_accurate", "auto"])
@pytest.mark.parametrize(
    ("frames", "channels"),
    [(2, 16), (5, 16), (1000, 16), (29_999, 16), (60_001, 16), (240_000, 1), (240_000, 2), (240_000, 3)],
)
def test_short_and_narrow(tmp_path: Path, traces: np.ndarray, frames: int, channels: int, preset: str, works: Run) -> None:
    path, folder = write(tmp_path / "raw", traces[:frames, :channels]), tmp_path / "out"
    works("correct", path, "--folder", folder, "--preset", preset, "--set", "estimate.bin_s=1")
    no_motion_invented(folder)
    works("export", path, "--motion", folder, "--output", tmp_path / "x.bin")
    assert open_recording(tmp_path / "x.bin").info.num_samples == frames
    if preset == "rigid_fast":
        works("report", folder)


def test_a_single_frame(tmp_path: Path, traces: np.ndarray, fails: Run) -> None:
    assert "flat" in fails("correct", write(tmp_path / "raw", traces[:1]), "--folder", tmp_path / "out")


def test_zero_peaks(tmp_path: Path, recording: Path, works: Run) -> None:
    folder = tmp_path / "out"
    said = works("correct", recording, "--folder", folder, *QUICK, "--set", "detect.detect_threshold=10000")
    assert said.startswith("0 peaks") and "cannot support a drift estimate" in said
    no_motion_invented(folder)
    works("report", folder)
    works("export", recording, "--motion", folder, "--output", tmp_path / "x.bin")


@pytest.mark.parametrize("places", [column(16, 1.0), column(16, 500.0), column(16)[:, ::-1], column(16) - 5000])
def test_odd_probes(tmp_path: Path, traces: np.ndarray, places: np.ndarray, works: Run) -> None:
    path, folder = write(tmp_path / "raw", traces, places), tmp_path / "out"
    for preset in ("rigid_fast", "nonrigid_accurate", "auto"):
        works("correct", path, "--folder", folder / preset, "--preset", preset, "--set", "estimate.bin_s=1")
        no_motion_invented(folder / preset)
    works("report", folder / "rigid_fast")


@pytest.mark.parametrize("dtype", [">i2", "u2", "u1", ">f4", "f8", ">f8", "i4", "u4"])
def test_types_of_samples(tmp_path: Path, traces: np.ndarray, dtype: str, works: Run) -> None:
    shift = {"u2": 32768, "u1": 128, "u4": 2**31}.get(dtype, 0)
    wide = traces.astype(np.int64)
    path = write(tmp_path / "raw", (np.clip(wide, -128, 127) + shift if dtype == "u1" else wide + shift).astype(dtype))
    works("correct", path, "--folder", tmp_path / "out", *QUICK)
    assert len(load_motion_info(tmp_path / "out").peaks) > 50
    works("export", path, "--motion", tmp_path / "out", "--output", tmp_path / "x.bin")


@pytest.mark.parametrize("rate", [2500.0, 10_000.0, 30_000.12345, 40_000.0])
def test_sampling_rates(tmp_path: Path, traces: np.ndarray, rate: float, works: Run) -> None:
    path = write(tmp_path / "raw", traces, sampling_frequency=rate)
    works("correct", path, "--folder", tmp_path / "out", *QUICK)
    no_motion_invented(tmp_path / "out")


def test_the_clock_does_not_start_at_zero(tmp_path: Path, works: Run) -> None:
    drifting, _ = simulate_drifting_recording(30.0, 32, 30, "rigid", seed=1)
    verdicts = []
    for start in (0.0, 1000.0):
        path = write(tmp_path / f"{start:g}", drifting.read(0, 900_000), drifting.info.channel_locations, t_start=start)
        folder = tmp_path / f"out{start:g}"
        said = works("correct", path, "--folder", folder, *QUICK)
        verdicts.append(next(line for line in said.splitlines() if line.startswith("Verdict")))
        assert load_motion_info(folder).motion.temporal_bins_s[0] == pytest.approx(start + 0.5)
    assert verdicts[0] == verdicts[1] and "helps" in verdicts[0]


# ---- settings ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "rigid_fats"], "'rigid_fast'"),
        (["--set", ""], "step.parameter=value"),
        (["--set", "="], "step.parameter=value"),
        (["--set", "estimate.=3"], "step.parameter=value"),
        (["--set", "estimate.bin_s="], "not a number"),
        (["--set", "estimate.bin_s='1'"], "not a number"),
        (["--set", "estimate.bin_s=nan"], "not a number"),
        (["--set", "estimate.bin_s=1=2"], "not a number"),
        (["--set", "estimate.bin_s=601"], "<= 600 s"),
        (["--set", "estimate.bins=1"], "'bin_s'"),
        (["--set", "estimat.bin_s=1"], "'estimate'"),
        (["--preset", "nonrigid_accurate", "--set", "estimate.rigid=maybe"], "neither true nor false"),
        (["--set", "estimate.detect_artifacts=maybe"], "neither true nor false"),
        (["--set", "estimate.exclude_intervals_s=5-3"], "does not end after it begins"),
        (["--set", "estimate.exclude_intervals_s=soon"], "not a list of intervals"),
        (["--set", "estimate.exclude_intervals_s=1-2-3"], "not a list of intervals"),
        (["--set", "estimate.exclude_intervals_s=nan-3"], "not a list of intervals"),
        (["--set", "estimate.shanks=both"], "choose one of"),
        (["--set", "estimate.direction=z"], "choose one of"),
        (["--set", "detect.method=by_chanel"], "'by_channel'"),
        (["--preset", "nonrigid_accurate", "--set", "estimate.lsqr_robust_n_iter=2.5"], "not a whole number"),
        (["--preset", "nonrigid_accurate", "--set", "estimate.bin_s=1", "--set", "estimate.bin_duration_s=2"], "twice"),
        (["--preprocess", "common_referense"], "'common_reference'"),
        (["--chunk-duration", "soon"], "chunk_duration"),
        (["--chunk-duration", "0"], "chunk_duration"),
        (["--n-jobs", "nan"], "n_jobs"),
        (["--n-jobs", "inf"], "n_jobs"),
        (["--n-jobs", "-2"], "n_jobs"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, recording: Path, arguments: list[str], words: str, fails: Run) -> None:
    assert words in fails("correct", recording, "--folder", tmp_path / "out", *arguments)


def test_spaces_around_a_setting(tmp_path: Path, recording: Path, works: Run) -> None:
    works("correct", recording, "--folder", tmp_path / "out", "--preset", "rigid_fast", "--set", " estimate . bin_s = 1 ")
    assert load_motion_info(tmp_path / "out").parameters["estimate_motion_kwargs"]["bin_s"] == 1


@pytest.mark.parametrize("setting", ["", "method", "method=", "method=krigin", "x=1", "quantum_um=0", "border_mode=x"])
def test_export_settings_that_cannot_be(tmp_path: Path, recording: Path, setting: str, works: Run, fails: Run) -> None:
    works("correct", recording, "--folder", tmp_path / "out", *QUICK)
    fails("export", recording, "--motion", tmp_path / "out", "--output", tmp_path / "x.bin", "--set", setting)
    assert not (tmp_path / "x.bin").exists()


def test_python_keywords_offer_the_nearest(recording: Path) -> None:
    opened = open_recording(recording)
    for keywords, words in [
        ({"preset": "rigid"}, "'rigid_fast'"),
        ({"preset": 3}, "no preset 3"),
        ({"estimate_motion_kwarg": {}}, "'estimate_motion_kwargs'"),
        ({"detect_kwargs": {"threshold": 3}}, "'detect_threshold'"),
        ({"estimate_motion_kwargs": {"method": 3}}, "no method 3"),
        ({"estimate_motion_kwargs": {"bin_s": None}}, "not a number"),
        ({"n_jobs": "all"}, "n_jobs"),
    ]:
        with pytest.raises(InputError, match=words):
            driftviewer.correct_motion(opened, **keywords)  # type: ignore[arg-type]


def extremes() -> Iterator[Any]:
    for step, registry in STEPS.items():
        for method in registry.names():
            for field in fields(registry[method]):
                p, tiny = field.param, 1 if field.type is int else 1e-9
                for bound, inward, included in ((p.ge, 1, True), (p.gt, 1, False), (p.le, -1, True), (p.lt, -1, False)):
                    if bound is not None and field.type in (int, float):
                        step_out = max(abs(bound) * 1e-6, tiny) if field.type is float else 1
                        inside, outside = (bound, bound - inward * step_out) if included else (bound + inward * tiny, bound)
                        yield pytest.param(step, method, field.name, inside, outside, id=f"{step}.{method}.{field.name}={bound}")


SMALL_ENOUGH = 60_000


@pytest.mark.parametrize("step", list(STEPS))
def test_every_extreme_value_ends_in_a_result(tmp_path: Path, simulated: Any, step: str) -> None:
    """All extremes of a step, one after the other, on two seconds; results are checked elsewhere."""
    opened = open_recording(write(tmp_path / "raw", simulated[0][:SMALL_ENOUGH], simulated[1]))
    pipeline = driftviewer.load_preset("nonrigid_accurate").override("estimate", {"bin_s": 0.25, "win_step_um": 50.0})
    for case in extremes():
        at, method, name, inside, _ = case.values
        if at == step:
            info = driftviewer.compute_motion(opened, pipeline.override(step, {"method": method, name: inside}), n_jobs=1)
            assert np.isfinite(info.motion.displacement).all()


# ---- what is left out, given or counted on besides ----


@pytest.mark.parametrize(("intervals", "words"), [("0-8", "Left out as asked"), ("-5-100", "cannot support"), ("1e6-2e6", "Left out")])
def test_intervals_that_leave_nothing_or_lie_elsewhere(tmp_path: Path, recording: Path, intervals: str, words: str, works: Run) -> None:
    folder = tmp_path / "out"
    assert words in works("correct", recording, "--folder", folder, *QUICK, "--set", f"estimate.exclude_intervals_s={intervals}")
    no_motion_invented(folder)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "holds no table"),
        (b"time_s,y_100_um\n", "holds no table"),
        (b"a,b\n1,2\n", "its columns must be"),
        (b"time_s,here\n1,2\n", "names no depth"),
        (b"time_s,y_100_um\n1,2\n2\n", "row 3 has 1 values"),
        (b"time_s,y_100_um\n1,2\n2,two\n", "row 3 holds something that is not a number"),
        (b"time_s,y_100_um\n1,2\n2,nan\n", "not finite"),
        (b"time_s,y_100_um\n1,2\n1,3\n", "must ascend"),
        (b"time_s,y_100_um,y_100_um\n1,2,3\n", "must ascend"),
        (b"time_s,y_100_um,x_100_um\n1,2,3\n", "along x and along y"),
        (b"time_s,y_um,displacement_um\n1,100,2\n2,300,2\n", "must give one value"),
        (b"\xff\xfe\x00\x01", "is not text"),
    ],
)
def test_motion_tables_that_cannot_be(tmp_path: Path, recording: Path, table: bytes, words: str, fails: Run) -> None:
    (tmp_path / "motion.csv").write_bytes(table)
    said = fails("export", recording, "--motion", tmp_path / "motion.csv", "--output", tmp_path / "x.bin")
    assert words in said and "motion.csv" in said and not (tmp_path / "x.bin").exists()


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:1", "ftp://127.0.0.1:1", "tcp://127.0.0.1:notaport", ""])
def test_cluster_addresses_that_cannot_be(
    tmp_path: Path, recording: Path, address: str, monkeypatch: pytest.MonkeyPatch, fails: Run, works: Run
) -> None:
    pytest.importorskip("distributed")
    from driftviewer import cluster

    monkeypatch.setattr(cluster.connect, "__defaults__", (0.5,))
    command = ["correct", recording, "--folder", tmp_path / "out", *QUICK, "--dask", address]
    if address:
        assert "No dask scheduler answers" in fails(*command)
    else:
        works(*command)


def locations_of(peaks: np.ndarray) -> np.ndarray:
    places = np.zeros(len(peaks), LOCATION_DTYPE)
    places["y"] = 20 * (peaks["channel_index"] // 2)
    return places


@pytest.fixture(scope="module")
def found(recording: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    opened = open_recording(recording)
    peaks = driftviewer.detect_peaks(opened, progress_bar=False)
    return opened, peaks, locations_of(peaks)


def test_methods_for_field_potentials_on_something_else(tmp_path: Path, found: Any, recording: Path, works: Run, fails: Run) -> None:
    opened, peaks, places = found
    for given in ((), (peaks, places)):
        motion = driftviewer.estimate_motion(opened, *given, method="dredge_lfp", progress_bar=False)
        assert not motion.displacement.any() and motion.notes
    with pytest.raises(InputError, match="not from peaks"):
        next(driftviewer.motion.ESTIMATORS.make("dredge_lfp").estimate(make_activity(opened, peaks, places)))
    for needs_peaks in ("dredge_ap", "decentralized", "maximum_likelihood", "iterative_template"):
        with pytest.raises(InputError, match="needs peaks and peak_locations"):
            driftviewer.estimate_motion(opened, method=needs_peaks)
    works("correct", recording, "--folder", tmp_path / "out", "--set", "estimate.method=dredge_lfp")
    no_motion_invented(tmp_path / "out")


def test_peaks_that_do_not_fit(found: Any) -> None:
    opened, peaks, places = found
    elsewhere, unheard = peaks.copy(), peaks.copy()
    elsewhere["sample_index"] += 10**9
    unheard["amplitude"] = np.nan
    for given, words in [
        ((peaks, places[:5]), "do not fit 5 peak locations"),
        ((np.zeros((5, 4)), places[:5]), "no field 'sample_index'"),
        ((peaks, np.zeros((len(peaks), 2))), "no field 'y'"),
        ((None, None), "needs peaks"),
        ((elsewhere, places), "outside the recording"),
    ]:
        with pytest.raises(InputError, match=words):
            driftviewer.estimate_motion(opened, *given, method="maximum_likelihood", bin_s=1.0)
    motion = driftviewer.estimate_motion(opened, unheard, places, method="maximum_likelihood")
    assert "0 located peaks" in motion.notes[0]


def test_scores_of_what_cannot_be_judged(found: Any) -> None:
    opened, peaks, places = found
    motion = Motion(np.zeros((8, 1)), np.arange(8) + 0.5, [70.0])
    across = Motion(np.zeros((8, 1)), np.arange(8) + 0.5, [70.0], direction="x")
    score = driftviewer.drift_score
    for given, keywords, words in [
        ((peaks, places[:5], motion), {}, "do not fit 5 peak locations"),
        ((np.zeros((5, 4)), np.zeros((5, 2)), motion), {}, "no field 'sample_index'"),
        ((peaks, places, motion), {"bound_um": 0}, "bound_um"),
        ((peaks, places, motion), {"bound_um": float("nan")}, "bound_um"),
        ((peaks, places, motion), {"sampling_frequency": 0}, "sampling_frequency"),
        ((peaks, places, motion), {"sampling_frequency": float("nan")}, "sampling_frequency"),
        ((peaks, places, motion), {"t_start": float("inf")}, "t_start"),
        ((peaks, places, motion), {"recording": 3}, "not a recording"),
    ]:
        with pytest.raises(InputError, match=words):
            score(*given, **keywords)
    with pytest.raises(InputError, match="cannot be ranked together"):
        driftviewer.rank_motions(peaks, places, [motion, across])
    nowhere, unheard = places.copy(), peaks.copy()
    nowhere["y"], unheard["amplitude"] = np.nan, np.nan
    for given in ((peaks[:0], places[:0]), (peaks[:1], places[:1]), (peaks, nowhere), (unheard, places)):
        judged = score(*given, motion, recording=opened)
        assert "no estimate" in judged.verdict and not math.isfinite(judged.score)
        assert driftviewer.rank_motions(*given, {"still": motion})[0].name == driftviewer.quality.NO_CORRECTION


# ---- folders and disks ----


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if not name.startswith("run_times") and not name.startswith("report")}


def npy(array: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: npy(np.array(["a", "b"])),
    "object": lambda data: npy(np.array([{}], dtype=object)),
    "cube": lambda data: npy(np.zeros((2, 2, 2))),
    "null": lambda data: b"null",
    "number": lambda data: b"3",
    "nested": lambda data: b'{"keys": 3, "notes": 5, "num_segments": "a", "sampling_frequency": "x", "direction": 3, "a": {}}',
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("finished") / "out"
    assert main(["correct", str(recording), "--folder", str(folder), *QUICK]) == 0
    return recording, folder


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damaged_result_folders(tmp_path: Path, finished: tuple[Path, Path], damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, whole = finished
    wanted = results(whole)
    for name in contents(whole):
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(whole, folder)
        (folder / name).write_bytes(DAMAGE[damage]((folder / name).read_bytes()))
        try:
            load_motion_info(folder)
        except InputError as error:
            assert str(tmp_path) in str(error)
        capsys.readouterr()
        assert main(["correct", str(path), "--folder", str(folder), *QUICK]) == 0, (name, capsys.readouterr().err)
        assert results(folder) == wanted, name


def test_a_result_folder_without_its_record_is_not_ours(tmp_path: Path, finished: tuple[Path, Path], fails: Run, works: Run) -> None:
    path, whole = finished
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out" / "driftviewer.json").unlink()
    before = contents(tmp_path / "out")
    assert "give a new folder" in fails("correct", path, "--folder", tmp_path / "out", *QUICK)
    assert contents(tmp_path / "out") == before
    works("report", tmp_path / "out")


def test_other_peoples_folders_are_left_alone(finished: tuple[Path, Path], fails: Run) -> None:
    path, _ = finished
    before = contents(path.parent)
    assert "did not write" in fails("correct", path, "--folder", path.parent, *QUICK)
    assert "is a file" in fails("correct", path, "--folder", path, *QUICK)
    assert str(path / "x") in fails("correct", path, "--folder", path / "x", *QUICK)
    assert contents(path.parent) == before


@pytest.mark.parametrize("target", ["export", "report", "simulate"])
def test_targets_that_cannot_be_written(tmp_path: Path, finished: tuple[Path, Path], target: str, fails: Run) -> None:
    path, folder = finished
    (tmp_path / "file").write_text("x")
    commands: dict[str, list[Any]] = {
        "export": ["export", path, "--motion", folder, "--output", tmp_path / "file" / "x.bin"],
        "report": ["report", folder, "--output", tmp_path / "file" / "x.html"],
        "simulate": ["simulate", tmp_path / "file" / "x", "--seconds", "1", "--channels", "4", "--units", "4"],
    }
    assert str(tmp_path / "file") in fails(*commands[target])


def test_export_does_not_overwrite_its_source(finished: tuple[Path, Path], tmp_path: Path, fails: Run) -> None:
    path, folder = finished
    size = path.stat().st_size
    fails("export", path, "--motion", folder, "--output", path)
    assert "ends in" in fails("export", path, "--motion", folder, "--output", tmp_path / "x.txt")
    assert path.stat().st_size == size


class FullDisk:
    """Lets the first writes pass and then says that the disk is full."""

    def __init__(self, passes: int) -> None:
        self.left, self.fsync = passes, os.fsync

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")
        self.fsync(descriptor)


@pytest.mark.parametrize("passes", [0, 2, 5, 8, 9])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, finished: tuple[Path, Path], passes: int, monkeypatch: pytest.MonkeyPatch, fails: Run, works: Run
) -> None:
    path, whole = finished
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    before, again = results(whole), ["correct", path, "--folder", folder, "--preset", "rigid_fast", "--set", "estimate.bin_s=0.5"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullDisk(passes))
        assert "No space left on device" in fails(*again)
    assert {name: data for name, data in results(folder).items() if ".partial" not in name} == before
    works("report", folder)
    works(*again)
    assert not (folder / ".partial").exists() and load_motion_info(folder).parameters["estimate_motion_kwargs"]["bin_s"] == 0.5


def test_a_full_disk_during_export(tmp_path: Path, finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fails: Run) -> None:
    path, folder = finished
    (tmp_path / "x.bin").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullDisk(0))
        fails("export", path, "--motion", folder, "--output", tmp_path / "x.bin")
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
        assert "MB are free" in fails("export", path, "--motion", folder, "--output", tmp_path / "x.bin")
    assert contents(tmp_path) == {"x.bin": b"old"}


def test_unicode_and_spaces(tmp_path: Path, simulated: Any, works: Run) -> None:
    odd = tmp_path / "ünï 漂移 'q' $x" / "a b"
    path = write(odd, *simulated)
    works("correct", path, "--folder", odd / "é" / "new" / "out", *QUICK)
    works("report", odd / "é" / "new" / "out")
    works("export", path, "--motion", odd / "é" / "new" / "out", "--output", odd / "ò ut.bin")
    assert open_recording(odd / "ò ut.bin").info.num_samples == len(simulated[0])


# ---- interrupted and simultaneous runs ----


class Killed(BaseException):
    """Stands for kill -9: nothing catches it and nothing cleans up."""


@pytest.mark.parametrize("moves", range(6))
def test_killed_while_publishing(
    tmp_path: Path, finished: tuple[Path, Path], moves: int, monkeypatch: pytest.MonkeyPatch, works: Run
) -> None:
    path, whole = finished
    folder = tmp_path / "out"
    works("correct", path, "--folder", folder, "--preset", "rigid_fast", "--set", "estimate.bin_s=2")
    replace, left = Path.replace, [moves]

    def dying(source: Path, target: Any) -> Any:
        if source.parent.name == "result" and ".partial" in source.parts and not source.name.startswith("."):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        patch.setattr(result_folder.ResultFolder, "__exit__", lambda self, *error: self._lock and self._lock.close())
        with pytest.raises(Killed):
            main(["correct", str(path), "--folder", str(folder), *QUICK])
    with pytest.raises(InputError, match="half-written"):
        load_motion_info(folder)
    works("correct", path, "--folder", folder, *QUICK)
    assert results(folder) == results(whole)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with kill -9")
def test_killed_at_any_moment_then_resumed(tmp_path: Path) -> None:
    driftviewer.simulate_drifting_recording(20.0, 32, 20, "rigid", seed=1, folder=tmp_path / "sim")
    # parts are kept at once, so that there is something to resume from
    code = "import sys, driftviewer.correct as c; c.PART_SECONDS = 0.02; from driftviewer.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "correct", str(tmp_path / "sim"), *QUICK, "--chunk-duration", "200ms", "--folder"]
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    whole = time.monotonic() - began
    for share in (0.6, 0.8, 0.9):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
        time.sleep(share * whole)
        process.kill()
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix", reason="locks of this kind are POSIX")
def test_two_runs_into_one_folder(tmp_path: Path, recording: Path, fails: Run, works: Run) -> None:
    with ResultFolder(tmp_path / "out"):
        assert "Another run is writing" in fails("correct", recording, "--folder", tmp_path / "out", *QUICK)
        assert (tmp_path / "out" / ".partial" / "lock").exists()
    works("correct", recording, "--folder", tmp_path / "out", *QUICK)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_and_closed_pipes(tmp_path: Path, recording: Path) -> None:
    program = [sys.executable, "-m", "driftviewer.cli"]
    process = subprocess.Popen([*program, "correct", str(recording), "--folder", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode in (0, 1) and "Traceback" not in error
    closed = subprocess.Popen([*program, "methods"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert closed.stdout is not None and closed.stderr is not None
    closed.stdout.close()
    assert "Traceback" not in closed.stderr.read() and closed.wait(20) == 1


# ---- output ----


def test_json_is_all_there_is(tmp_path: Path, recording: Path, works: Run) -> None:
    folder = tmp_path / "out"
    for arguments in (
        ["correct", recording, "--folder", folder, *QUICK],
        ["report", folder],
        ["export", recording, "--motion", folder, "--output", tmp_path / "x.bin"],
        ["simulate", tmp_path / "sim", "--seconds", "1", "--channels", "4", "--units", "4"],
        ["methods"],
        ["presets"],
    ):
        assert json.loads(works(*arguments, "--json"))


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "driftviewer.cli", "correct", str(tmp_path / "none"), "--debug"]
    error = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "Traceback" in error and error.splitlines()[-1].startswith("driftviewer: ")


def test_open_without_a_display(monkeypatch: pytest.MonkeyPatch, fails: Run) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform.startswith("linux"):
        assert "no display" in fails("open", "/nowhere")


# ---- SpikeGLX ----


@pytest.fixture(scope="module")
def spikeglx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glx")
    simulate_drifting_recording(3.0, 32, 8, "none", folder=folder, format="spikeglx", probe="NP1")
    return next(folder.rglob("*.ap.bin"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("fileSizeBytes", "123"), ("nSavedChans", "7"), ("nSavedChans", "x"), ("imSampRate", "0"), ("imSampRate", "x"), ("snsApLfSy", "1,2,3"),
     ("imAiRangeMax", "nan"), ("snsSaveChanSubset", "0:3"), ("snsSaveChanSubset", "x"), ("firstSample", "x"), ("imroTbl", "x")],
)  # fmt: skip
def test_metas_that_disagree(tmp_path: Path, spikeglx: Path, key: str, value: str, fails: Run) -> None:
    lines = spikeglx.with_suffix(".meta").read_text().splitlines()
    changed = [f"{line.partition('=')[0]}={value}" if line.partition("=")[0].lstrip("~") == key else line for line in lines]
    assert changed != lines
    (tmp_path / spikeglx.name).symlink_to(spikeglx)
    (tmp_path / spikeglx.name).with_suffix(".meta").write_text("\n".join(changed))
    assert ".ap." in fails("correct", tmp_path / spikeglx.name, "--folder", tmp_path / "out")
