import numpy as np
import pytest

from driftviewer.data import LOCATION_DTYPE
from driftviewer.localize import LOCALIZERS, localize_peaks
from driftviewer.localize.auto import centroid_error
from driftviewer.localize.grid_convolution import GridConvolution
from driftviewer.localize.weighted_centroid import WeightedCentroid


def column(count: int, step: float) -> np.ndarray:
    return np.c_[np.where(np.arange(count) % 2, 0.0, 16.0), step * np.arange(count)]


@pytest.mark.parametrize(
    "places, chosen",
    [
        (column(128, 10.0), WeightedCentroid),
        (column(16, 10.0), GridConvolution),  # both ends near everywhere
        (np.delete(column(128, 10.0), slice(40, 75), axis=0), GridConvolution),  # a gap of 350 µm
        (np.array([[0.0, 0.0]]), WeightedCentroid),
    ],
)
def test_the_probe_decides(array_recording, places, chosen):
    info = array_recording(np.zeros((10, len(places))), places).info
    method = LOCALIZERS.make("auto")
    assert type(method.fitted(info)) is chosen
    assert ("grid convolution" in method.in_words(info)) == (chosen is GridConvolution)
    assert 0 <= centroid_error(info) <= 1


def test_each_shank_is_judged_by_its_own_contacts(array_recording):
    long, short = column(128, 10.0), column(16, 10.0) + np.array([500.0, 0.0])
    recording = array_recording(np.zeros((10, 144)), np.r_[long, short])
    assert centroid_error(recording.info) < centroid_error(array_recording(np.zeros((10, 16)), short).info)


@pytest.mark.parametrize("method", ["weighted_centroid", "grid_convolution"])
def test_locations_are_those_of_the_chosen_method(field, sources, quiet, method, monkeypatch):
    recording, peaks = field(*sources)
    monkeypatch.setattr("driftviewer.localize.auto.MOST_WRONG", 2.0 if method == "weighted_centroid" else -1.0)
    found = localize_peaks(recording, peaks, "auto", noise=quiet, n_jobs=1)
    wanted = localize_peaks(recording, peaks, method, noise=quiet, n_jobs=1)
    assert found.dtype == LOCATION_DTYPE
    assert np.array_equal(found["x"], wanted["x"], equal_nan=True) and np.array_equal(found["y"], wanted["y"], equal_nan=True)
