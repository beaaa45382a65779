"""DREDge from simulated traces to motion, against what is true: rates that swing, sudden jumps, chunk by chunk."""

import pytest

import driftviewer as dv

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("drift", "params", "median", "p95"),
    [
        ("nonrigid", {}, 0.6, 3.0),
        ("nonrigid", {"rate_modulation": "periodic"}, 0.65, 3.0),
        ("bumps", {"amplitude_um": 40.0}, 0.5, 3.0),
    ],
)
def test_dredge_ap_follows_simulated_tissue(drift, params, median, p95):
    recording, truth = dv.simulate_drifting_recording(200.0, 64, 60, drift, 3, noise_uv=7.0, **params)
    peaks = dv.detect_peaks(recording, detect_threshold=6.0, progress_bar=False)
    locations = dv.localize_peaks(recording, peaks, method="monopolar_triangulation", progress_bar=False)
    for batching in ({}, {"batching_mode": "online", "chunk_len_s": 60.0}):
        motion = dv.estimate_motion(
            recording,
            peaks,
            locations,
            "dredge_ap",
            win_step_um=300.0,
            win_scale_um=300.0,
            max_disp_um=100.0,
            progress_bar=False,
            **batching,
        )
        error = truth.motion_error(motion)
        assert error["median"] < median and error["p95"] < p95, (drift, params, batching, error)
