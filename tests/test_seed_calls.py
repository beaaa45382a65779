"""The calls that the framework's document prints, with only the imports changed."""

from pathlib import Path

import numpy as np
import pytest

import driftviewer as si
from driftviewer import (
    bandpass_filter,
    common_reference,
    correct_motion,
    detect_peaks,
    estimate_motion,
    interpolate_motion,
    load_motion_info,
    localize_peaks,
    read_spikeglx,
    select_peaks,
)
from driftviewer.recording import Recording
from driftviewer.simulate import simulate_drifting_recording

JOB = dict(chunk_duration="1s", n_jobs=2, progress_bar=False)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    simulate_drifting_recording(duration_s=16.0, num_channels=48, num_units=40, drift="rigid", seed=5, folder=folder, format="spikeglx")
    return folder


@pytest.fixture(scope="module")
def rec(run_folder: Path) -> Recording:
    rec = read_spikeglx(folder_path=run_folder)
    rec = bandpass_filter(recording=rec)
    return common_reference(recording=rec)


def test_high_level(rec: Recording, tmp_path: Path) -> None:
    rec_corrected = correct_motion(recording=rec, preset="nonrigid_accurate")
    assert rec_corrected.get_traces(start_frame=0, end_frame=30).dtype == np.float32
    motion_folder = tmp_path / "motion"
    rec_corrected = correct_motion(
        recording=rec, preset="nonrigid_accurate", folder=motion_folder,
        detect_kwargs=dict(detect_threshold=10.0),
        estimate_motion_kwargs=dict(histogram_depth_smooth_um=8.0, time_horizon_s=120.0),
    )  # fmt: skip
    motion_info = load_motion_info(motion_folder)
    assert set(dict(motion_info)) == {"parameters", "run_times", "peaks", "peak_locations", "motion"}


def test_low_level(rec: Recording) -> None:
    peaks = detect_peaks(recording=rec, method="locally_exclusive", detect_threshold=8.0, **JOB)
    peaks = select_peaks(peaks=peaks, method="uniform", n_peaks=2_000)
    peak_locations = localize_peaks(
        recording=rec, peaks=peaks, method="monopolar_triangulation", radius_um=75.0, max_distance_um=150.0, **JOB
    )
    motion, temporal_bins, spatial_bins = estimate_motion(
        recording=rec, peaks=peaks, peak_locations=peak_locations, method="decentralized", direction="y",
        bin_duration_s=2.0, bin_um=5.0, win_step_um=50.0, win_sigma_um=150.0,
    )  # fmt: skip
    assert motion.shape == (len(temporal_bins), len(spatial_bins))
    rec_corrected = interpolate_motion(
        recording=rec, motion=motion, temporal_bins=temporal_bins, spatial_bins=spatial_bins, border_mode="force_extrapolate"
    )
    assert rec_corrected.get_traces(start_frame=0, end_frame=100).shape == (100, rec.get_num_channels())


def test_two_preprocessings(run_folder: Path, tmp_path: Path) -> None:
    raw_rec = read_spikeglx(folder_path=run_folder)
    raw_rec = si.phase_shift(raw_rec)
    rec1 = si.bandpass_filter(recording=raw_rec, freq_min=300.0, freq_max=5000.0)
    rec1 = si.common_reference(recording=rec1, reference="global", operator="median")
    motion_folder = tmp_path / "motion"
    correct_motion(recording=rec1, preset="rigid_fast", folder=motion_folder)
    rec2 = si.highpass_filter(recording=raw_rec, freq_min=300.0)
    rec2 = si.common_reference(recording=rec2, reference="global", operator="median")
    motion_info = load_motion_info(motion_folder)
    rec_corrected2 = interpolate_motion(
        recording=rec2,
        motion=motion_info["motion"],
        temporal_bins=motion_info["temporal_bins"],
        spatial_bins=motion_info["spatial_bins"],
        **motion_info["parameters"]["interpolate_motion_kwargs"],
    )
    assert rec_corrected2.get_traces(start_frame=0, end_frame=100).shape[0] == 100
