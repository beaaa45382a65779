import pickle
from itertools import pairwise

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.preprocess import bandpass_filter, common_reference
from driftviewer.preprocess.reference import CommonReference

COLUMNS = np.stack(np.meshgrid([0.0, 32.0], 20.0 * np.arange(16), indexing="xy"), -1).reshape(-1, 2)


@pytest.mark.parametrize("channels", [2, 3, 17, 32])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_global_median_is_exact(array_recording, channels, dtype):
    rng = np.random.default_rng(channels)
    traces = (30 * rng.standard_normal((3001, channels)) + 200 * rng.standard_normal((3001, 1))).astype(dtype)
    got = common_reference(array_recording(traces)).read(0, 3001)
    assert got.dtype == np.float32
    wanted = traces.astype(np.float32)
    np.testing.assert_array_equal(got, wanted - np.median(wanted, axis=1, keepdims=True))


def test_a_contact_left_alone_is_not_taken_from_itself(array_recording):
    traces = np.zeros((2000, 4), np.int16)
    traces[:, 2] = np.random.default_rng(0).integers(-50, 50, 2000)
    np.testing.assert_array_equal(common_reference(array_recording(traces)).read(0, 2000), traces)


def test_global_average(array_recording):
    traces = np.random.default_rng(0).integers(-500, 500, (2000, 20)).astype(np.int16)
    got = common_reference(array_recording(traces), operator="average").read(0, 2000)
    np.testing.assert_allclose(got, traces - traces.mean(axis=1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("operator", ["median", "average"])
def test_local_reference_takes_the_ring(array_recording, operator):
    rng = np.random.default_rng(2)
    traces = rng.integers(-300, 300, (700, len(COLUMNS))).astype(np.int16)
    got = common_reference(array_recording(traces, COLUMNS), reference="local", operator=operator, local_radius=(25, 70)).read(0, 700)
    reduce = np.median if operator == "median" else np.mean
    for c, place in enumerate(COLUMNS):
        apart = np.hypot(*(COLUMNS - place).T)
        ring = (apart > 25) & (apart <= 70)
        np.testing.assert_allclose(got[:, c], traces[:, c] - reduce(traces[:, ring], axis=1), atol=1e-4)


@pytest.mark.parametrize("reference", ["global", "local"])
@pytest.mark.parametrize("operator", ["median", "average"])
def test_bad_and_dead_channels_do_not_count(array_recording, reference, operator):
    rng = np.random.default_rng(4)
    traces = rng.standard_normal((900, 32)).astype(np.float32)
    broken = np.c_[traces, np.full((900, 1), np.nan), np.full((900, 1), 77.0)].astype(np.float32)
    broken[::3, 32] = np.inf
    # two rows further, so near enough to be neighbours
    places = np.r_[COLUMNS, [[0.0, 320.0], [32.0, 320.0]]]
    params = {"reference": reference, "operator": operator, "local_radius": (30, 100)}
    wanted = common_reference(array_recording(traces, COLUMNS), **params).read(0, 900)
    got = common_reference(array_recording(broken, places), **params).read(0, 900)
    np.testing.assert_array_equal(got[:, :32], wanted)
    assert not np.isfinite(got[:, 32]).any()
    assert (got[:, 33] == 77).all(), "a dead channel must stay flat, or its reference would be taken for spikes"


@pytest.mark.parametrize("reference", ["global", "local"])
def test_independent_of_division(array_recording, lfp_and_noise, reference):
    def make():
        return common_reference(bandpass_filter(array_recording(lfp_and_noise)), reference=reference)

    whole, pieces = make().read(0, 39001), make()
    cuts = [0, 7, 8, 15000, 15123, 29999, 39001]
    np.testing.assert_array_equal(np.concatenate([pieces.read(a, b) for a, b in pairwise(cuts)]), whole)
    method = pickle.loads(pickle.dumps(CommonReference(reference=reference)))
    np.testing.assert_array_equal(method.apply(pieces.parent).read(3, 50), whole[3:50])


def test_source_is_left_alone(array_recording):
    traces = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    before = traces.copy()
    common_reference(array_recording(traces)).read(0, 100)
    np.testing.assert_array_equal(traces, before)


def test_reading_again_gives_the_same(array_recording, lfp_and_noise):
    chain = common_reference(common_reference(bandpass_filter(array_recording(lfp_and_noise))))
    np.testing.assert_array_equal(chain.read(0, 5000), chain.read(0, 5000))


def test_all_channels_dead(array_recording):
    traces = np.full((50, 3), 5, np.int16)
    np.testing.assert_array_equal(common_reference(array_recording(traces)).read(0, 50), traces)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"reference": "local", "local_radius": (50, 50)}, "inner and a larger outer"),
        ({"reference": "local", "local_radius": (50,)}, "inner and a larger outer"),
        ({"reference": "local", "local_radius": (0, 5)}, "widen the ring"),
        ({"reference": "globl"}, "did you mean 'global'"),
        ({"operator": "mode"}, "not known"),
    ],
)
def test_refused(array_recording, params, words):
    with pytest.raises(InputError, match=words):
        common_reference(array_recording(np.zeros((10, 32), np.int16), COLUMNS), **params)
