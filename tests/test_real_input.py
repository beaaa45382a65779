"""The inputs that driftviewer is for, headless and end to end; the real ones lie outside the project."""

import json
from pathlib import Path

import numpy as np
import pytest

import driftviewer as dv
from driftviewer.cli import main
from driftviewer.quality import score_raster
from driftviewer.raster import PeakRaster
from driftviewer.recording import SortedPeaks, open_any
from driftviewer.recording.write import write_spikeglx
from driftviewer.store import load_motion_info

METAS = {
    "NP1": "ibl-neuropixel/src/tests/fixtures/sample3B_version202304.ap.meta",
    "NP2.4": "ibl-neuropixel/src/tests/fixtures/sampleNP2.4_4shanks_appVersion20230905.ap.meta",
}


def correct(path: Path, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    assert main(["correct", str(path), "--folder", str(folder), "--json", *more]) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("preset", ["nonrigid_accurate", "rigid_fast"])
def test_no_drift_is_found_where_kilosort_found_none(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], preset: str
) -> None:
    path = shared_data / "ks4_zfm02370_90s"
    assert correct(path, tmp_path / "m", capsys, "--preset", preset)["peaks"] == 290_360
    displacement = load_motion_info(tmp_path / "m").motion.displacement
    assert np.median(np.abs(displacement - np.median(displacement))) <= 1.0
    found = open_any(path)
    assert isinstance(found, SortedPeaks) and found.motion is not None
    assert np.abs(found.motion.displacement).max() < 0.51


def test_three_seconds_support_no_estimate(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = correct(shared_data / "openephys_example" / "binary_RecordNode101", tmp_path / "m", capsys)
    assert "cannot support a drift estimate" in str(result["verdict"])
    assert not load_motion_info(tmp_path / "m").motion.displacement.any()
    assert main(["report", str(tmp_path / "m")]) == 0


@pytest.mark.parametrize("probe", METAS)
def test_spikeglx_pair_with_a_real_meta(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], probe: str) -> None:
    simulated, truth = dv.simulate_drifting_recording(
        duration_s=20.0, num_channels=384, num_units=120, drift="rigid", seed=2, probe=probe, start_s=2.0, period_s=25.0
    )
    pair = write_spikeglx(tmp_path, simulated, shared_data / "probe_meta" / METAS[probe], "mouse")
    opened = dv.open_recording(pair.path)
    assert opened.info.num_channels == 384 and len(set(opened.info.shank_ids)) == (4 if probe == "NP2.4" else 1)
    assert opened.info.sample_shifts.any()
    result = correct(tmp_path, tmp_path / "m", capsys, "--preset", "rigid_fast", "--set", "estimate_motion.bin_s=1")
    assert str(result["verdict"]).startswith("helps")
    assert truth.seen_in(opened.info).motion_error(load_motion_info(tmp_path / "m").motion)["median"] < 1.5


def test_thirty_minutes_of_hard_drift(shared_data: Path) -> None:
    found = open_any(shared_data / "medicine_sim_drift")
    assert isinstance(found, SortedPeaks) and len(found.times_s) == 373_386
    from driftviewer.chunks import drain
    from driftviewer.from_peaks import peaks_steps

    info = drain(peaks_steps(found, dv.load_preset("rigid_fast")), False)
    assert np.ptp(info.motion.displacement) > 100
    score = score_raster(PeakRaster(found.times_s, found.depths_um, found.amplitudes), info.motion)
    assert score.verdict.startswith("helps") and score.sharpness_gain > 3
