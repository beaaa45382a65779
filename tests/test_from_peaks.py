"""Motion from spikes alone, on whatever clock they come."""

from dataclasses import replace

import numpy as np
import pytest

from driftviewer.chunks import drain
from driftviewer.from_peaks import activity_of, peaks_steps
from driftviewer.presets import load_preset
from driftviewer.recording import SortedPeaks


def spikes(begin_s: float, rate_hz: float = float("nan")) -> SortedPeaks:
    rng = np.random.default_rng(0)
    elapsed = np.sort(rng.uniform(0, 120, 40_000))
    depths = rng.choice(rng.uniform(0, 1000, 40), elapsed.size) + 20 * np.sin(elapsed / 15) + rng.normal(0, 3, elapsed.size)
    amplitudes = -rng.lognormal(4, 0.3, elapsed.size)
    contacts = np.empty((0, 2)), np.empty(0, np.int64)
    return SortedPeaks(elapsed + begin_s, depths, np.full(elapsed.size, np.nan), amplitudes, rate_hz, *contacts, "spikes")


@pytest.mark.parametrize("begin_s", [-60.0, 0.0, 1.7e9])
def test_bare_peaks_keep_their_clock(begin_s: float) -> None:
    found = spikes(begin_s)
    info = drain(peaks_steps(found, load_preset("rigid_fast")), False)
    times = info.motion.temporal_bins_s
    assert times.size == 24 and times[0] == pytest.approx(begin_s + 2.5, abs=0.1)
    error = info.motion.displacement[:, 0] - 20 * np.sin((times - begin_s) / 15)
    assert np.median(np.abs(error - np.median(error))) < 0.7
    np.testing.assert_allclose(info.peak_times_s, found.times_s, atol=1e-4)


def test_sorted_spikes_count_from_the_first_frame() -> None:
    assert activity_of(spikes(5.0, 30_000.0)).time_range_s[0] == 0.0


def test_peaks_whose_shank_is_known_are_corrected_shank_by_shank():
    first, second = spikes(0.0), spikes(0.0)
    times = np.r_[first.times_s, second.times_s]
    order = np.argsort(times, kind="stable")
    sway = 12 * np.sin(second.times_s / 9)
    depths = np.r_[first.depths_um, second.depths_um - sway]
    shanks = np.repeat([0, 3], [first.times_s.size, second.times_s.size])
    both = replace(
        first, times_s=times[order], depths_um=depths[order], x_um=np.r_[first.x_um, second.x_um],
        amplitudes=np.r_[first.amplitudes, second.amplitudes][order], peak_shanks=shanks[order],
    )  # fmt: skip
    info = drain(peaks_steps(both, load_preset("rigid_fast").override("estimate", {"bin_s": 1.0})), False)
    assert info.motion.shank_ids.tolist() == [0, 3] and np.array_equal(info.shanks, shanks[order])
