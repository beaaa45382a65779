import numpy as np

from driftviewer.data import LOCATION_DTYPE
from driftviewer.localize import PeakChannel, localize_peaks
from driftviewer.noise import Noise


def test_place_of_the_contact(field, sources, probe, quiet):
    recording, peaks = field(*sources)
    found = localize_peaks(recording, peaks, "peak_channel", noise=quiet, n_jobs=1)
    assert found.dtype == LOCATION_DTYPE
    np.testing.assert_array_equal(np.c_[found["x"], found["y"]], probe[peaks["channel_index"]].astype(np.float32))


def test_neither_traces_nor_noise_matter(field, sources, probe):
    recording, peaks = field(*sources)
    recording.traces[:] = np.nan
    silent = Noise(np.ones(len(probe)), np.zeros(len(probe), bool))
    assert np.isfinite(localize_peaks(recording, peaks, "peak_channel", noise=silent, n_jobs=1)["y"]).all()


def test_it_has_no_parameters():
    assert PeakChannel().params() == {}
