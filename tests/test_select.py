import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE
from driftviewer.errors import InputError
from driftviewer.select import SELECTORS, select_peaks


@pytest.fixture
def peaks():
    rng = np.random.default_rng(0)
    out = np.zeros(5000, PEAK_DTYPE)
    out["sample_index"] = np.sort(rng.integers(0, 100_000, 5000))
    out["channel_index"] = rng.choice(8, 5000, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.018, 0.002])
    out["amplitude"] = -np.arange(5000)
    return out


def test_all_comes_first_and_keeps_everything(peaks):
    assert SELECTORS.names()[0] == "all"
    np.testing.assert_array_equal(select_peaks(peaks, "all"), peaks)


def test_uniform_draws_without_replacement_in_order(peaks):
    chosen, indices = select_peaks(peaks, n_peaks=700, return_indices=True)
    assert indices.dtype == np.int64 and len(np.unique(indices)) == 700
    np.testing.assert_array_equal(chosen, peaks[indices])
    assert (np.diff(indices) > 0).all()
    np.testing.assert_array_equal(select_peaks(peaks, n_peaks=700), chosen)
    assert not np.array_equal(select_peaks(peaks, n_peaks=700, seed=1), chosen)


def test_uniform_is_uniform(peaks):
    counts = sum(np.bincount(select_peaks(peaks, n_peaks=500, seed=s, return_indices=True)[1], minlength=5000) for s in range(200))
    assert abs(counts.mean() - 20) < 1e-9 and abs(counts.std() - np.sqrt(20 * 0.9)) < 0.3


def test_uniform_per_channel(peaks):
    chosen = select_peaks(peaks, n_peaks=100, select_per_channel=True)
    have = np.bincount(peaks["channel_index"], minlength=8)
    np.testing.assert_array_equal(np.bincount(chosen["channel_index"], minlength=8), np.minimum(have, 100))


def test_fewer_peaks_than_asked_for_are_all_kept(peaks):
    np.testing.assert_array_equal(select_peaks(peaks), peaks)
    assert len(select_peaks(peaks[:0])) == 0
    assert len(select_peaks(peaks[:0], select_per_channel=True)) == 0


@pytest.mark.parametrize("method", ["all", "uniform"])
def test_unsorted_peaks_come_out_in_order_of_segment_and_frame(peaks, method):
    peaks["segment_index"][::3] = 1
    chosen = select_peaks(np.random.default_rng(1).permutation(peaks), method)
    key = chosen["segment_index"] * 10**6 + chosen["sample_index"]
    assert (np.diff(key) >= 0).all()


def test_wrong_parameters(peaks):
    with pytest.raises(InputError, match="n_peaks"):
        select_peaks(peaks, n_peaks=0)
    with pytest.raises(InputError, match="uniform"):
        select_peaks(peaks, "uniformly")


@pytest.fixture
def placed():
    """Peaks crowded at one depth, at one time and at small amplitudes, with few elsewhere, the low side like the high one."""
    rng, count = np.random.default_rng(3), 20_000
    out = np.zeros(count, PEAK_DTYPE)
    out["sample_index"] = np.clip(rng.normal(500_000, 100_000, count), 0, 999_999)
    out["channel_index"] = rng.integers(0, 4, count)
    out["amplitude"] = -10.0 * (1 + out["channel_index"]) * np.clip(rng.normal(20, 4, count), 5, 35)
    places = np.zeros(count, LOCATION_DTYPE)
    places["x"], places["y"] = rng.uniform(0, 60, count), np.clip(rng.normal(500, 100, count), 0, 1000)
    return out, places, 10.0 * (1 + np.arange(4.0))


def unevenness(values, low, high, bins=10):
    """Standard deviation of a histogram's counts over their mean."""
    counts = np.histogram(values, bins, (low, high))[0]
    return counts.std() / counts.mean()


def chosen_values(method, placed, n_peaks=1000, seed=0, **params):
    """Signal-to-noise ratio, depth and frame of the chosen peaks."""
    peaks, places, levels = placed
    chosen, indices = select_peaks(
        peaks, method, noise_levels=levels, peak_locations=places, n_peaks=n_peaks, seed=seed, return_indices=True, **params
    )
    assert len(np.unique(indices)) == min(n_peaks, len(peaks))
    return chosen["amplitude"] / levels[chosen["channel_index"]], places["y"][indices], chosen["sample_index"]


def every_value(placed):
    peaks, places, levels = placed
    return peaks["amplitude"] / levels[peaks["channel_index"]], places["y"], peaks["sample_index"]


SMART = {"smart_sampling_amplitudes": [0], "smart_sampling_locations": [1], "smart_sampling_locations_and_time": [1, 2]}
RANGES = [(-32, -8), (200, 800), (200_000, 800_000)]


@pytest.mark.parametrize("method", SMART)
def test_smart_sampling_is_flatter(placed, method):
    before = [unevenness(v, *r) for v, r in zip(every_value(placed), RANGES, strict=True)]
    after = [unevenness(v, *r) for v, r in zip(chosen_values(method, placed), RANGES, strict=True)]
    for axis in SMART[method]:
        assert after[axis] < 0.45 * before[axis], (axis, before, after)


@pytest.mark.parametrize("method", SMART)
def test_low_and_high_quantiles_are_kept_alike(placed, method):
    halves = np.zeros((len(SMART[method]), 2))
    for seed in range(30):
        for row, axis in enumerate(SMART[method]):
            values = chosen_values(method, placed, n_peaks=500, seed=seed)[axis]
            every = every_value(placed)[axis]
            low, high = np.quantile(every, [0.1, 0.9])
            halves[row] += (values < low).sum(), (values > high).sum()
    # the peaks' own distribution is symmetric: 15000 draws, of which each end gets a large share
    assert (np.abs(halves[:, 0] / halves[:, 1] - 1) < 0.08).all(), halves
    assert (halves > 0.15 * 15_000).all()


def test_amplitudes_as_flat_as_they_can_be(placed):
    """Every bin gives all it has, or as much as any other."""
    peaks, _, levels = placed
    _, indices = select_peaks(peaks, "smart_sampling_amplitudes", noise_levels=levels, n_peaks=3000, return_indices=True)
    ratios = peaks["amplitude"] / levels[peaks["channel_index"]]
    low, high = np.quantile(ratios, [0.001, 0.999])
    edges = np.r_[-np.inf, np.linspace(low, high, 101)[1:-1], np.inf]
    have, kept = np.histogram(ratios, edges)[0], np.histogram(ratios[indices], edges)[0]
    cut = kept < have
    assert cut.sum() > 30 and np.ptp(kept[cut]) <= 1 and kept[~cut].max() <= kept[cut].max()


def test_smart_amplitudes_per_channel(placed):
    peaks, _, levels = placed
    chosen = select_peaks(peaks, "smart_sampling_amplitudes", noise_levels=levels, n_peaks=300, select_per_channel=True)
    np.testing.assert_array_equal(np.bincount(chosen["channel_index"]), [300] * 4)
    for channel in range(4):
        values = [p["amplitude"][p["channel_index"] == channel] / levels[channel] for p in (peaks, chosen)]
        assert unevenness(values[1], -32, -8) < 0.6 * unevenness(values[0], -32, -8)


@pytest.mark.parametrize("method", SMART)
def test_smart_sampling_is_seeded_and_keeps_few_peaks(placed, method):
    peaks, places, levels = placed
    given = dict(noise_levels=levels, peak_locations=places)
    first = select_peaks(peaks, method, n_peaks=700, **given)
    np.testing.assert_array_equal(select_peaks(peaks, method, n_peaks=700, **given), first)
    assert not np.array_equal(select_peaks(peaks, method, n_peaks=700, seed=1, **given), first)
    assert (np.diff(first["sample_index"]) >= 0).all()
    assert len(select_peaks(peaks, method, n_peaks=len(peaks), **given)) == len(peaks)
    none = dict(noise_levels=levels, peak_locations=places[:0])
    assert len(select_peaks(peaks[:0], method, **none)) == 0


def test_peaks_without_a_place_come_last(placed):
    peaks, places, _ = placed
    places["y"][::2] = np.nan
    _, indices = select_peaks(peaks, "smart_sampling_locations", peaks_locations=places, n_peaks=10_000, return_indices=True)
    np.testing.assert_array_equal(np.sort(indices), np.arange(1, 20_000, 2))
    assert len(select_peaks(peaks, "smart_sampling_locations", peak_locations=places, n_peaks=10_001)) == 10_001
    places["y"] = np.nan
    assert len(select_peaks(peaks, "smart_sampling_locations_and_time", peak_locations=places, n_peaks=99)) == 99


def test_one_outlier_does_not_spoil_the_bins(placed):
    peaks, places, levels = placed
    peaks["amplitude"][0], places["y"][0] = -1e7, 1e6
    ratios, depths, _ = chosen_values("smart_sampling_amplitudes", (peaks, places, levels))
    assert unevenness(ratios, -32, -8) < 0.5
    depths = chosen_values("smart_sampling_locations", (peaks, places, levels))[1]
    assert unevenness(depths, 200, 800) < 0.5


def test_equal_values(placed):
    peaks, places, levels = placed
    peaks["amplitude"], places["x"], places["y"], peaks["sample_index"] = -50, 7, 7, 7
    for method in SMART:
        assert len(select_peaks(peaks, method, noise_levels=levels, peak_locations=places, n_peaks=50)) == 50


def test_margin_drops_peaks_near_the_ends(peaks, array_recording):
    recording = array_recording(np.zeros((100_000, 8), np.int16))
    kept = select_peaks(peaks, "all", recording=recording, margin=(1000, 2000))
    assert kept["sample_index"].min() >= 1000 and kept["sample_index"].max() < 98_000
    assert len(kept) == ((peaks["sample_index"] >= 1000) & (peaks["sample_index"] < 98_000)).sum()
    places = np.zeros(len(peaks), LOCATION_DTYPE)
    places["y"] = peaks["sample_index"]
    chosen, indices = select_peaks(
        peaks, "smart_sampling_locations", peak_locations=places, recording=recording, margin=(1000, 0), n_peaks=100, return_indices=True
    )
    assert len(chosen) == 100 and chosen["sample_index"].min() >= 1000
    np.testing.assert_array_equal(peaks[indices], chosen)


def test_what_a_method_needs_must_be_there_and_fit(placed):
    peaks, places, levels = placed
    with pytest.raises(InputError, match="needs the noise_levels"):
        select_peaks(peaks, "smart_sampling_amplitudes")
    with pytest.raises(InputError, match="3 channels do not fit"):
        select_peaks(peaks, "smart_sampling_amplitudes", noise_levels=levels[:3])
    with pytest.raises(InputError, match="positive"):
        select_peaks(peaks, "smart_sampling_amplitudes", noise_levels=0 * levels)
    with pytest.raises(InputError, match="needs the peak_locations"):
        select_peaks(peaks, "smart_sampling_locations")
    with pytest.raises(InputError, match="with x and y"):
        select_peaks(peaks, "smart_sampling_locations_and_time", peak_locations=np.zeros((len(peaks), 2)))
    with pytest.raises(InputError, match="5 peak_locations do not fit"):
        select_peaks(peaks, "smart_sampling_locations", peak_locations=places[:5])
    with pytest.raises(InputError, match="needs the recording"):
        select_peaks(peaks, margin=(1, 1))


@pytest.mark.parametrize(
    ("method", "name", "edges", "beyond"),
    [
        ("uniform", "n_peaks", [1], [0, 0.5]),
        ("smart_sampling_amplitudes", "n_peaks", [1], [0, -1]),
        ("smart_sampling_locations", "n_peaks", [1], [0]),
        ("smart_sampling_locations", "bin_um", [1.0, 10_000], [0.99, 10_001]),
        ("smart_sampling_locations_and_time", "n_peaks", [1], [0]),
        ("smart_sampling_locations_and_time", "bin_um", [1.0, 10_000], [0, np.nan]),
    ],
)
def test_bounds_of_the_parameters(placed, method, name, edges, beyond):
    peaks, places, levels = placed
    for value in edges:
        params = {"n_peaks": 50, name: value}
        kept = select_peaks(peaks, method, noise_levels=levels, peak_locations=places, **params)
        assert len(kept) == params["n_peaks"]
    for value in beyond:
        with pytest.raises(InputError, match=name):
            select_peaks(peaks, method, noise_levels=levels, peak_locations=places, **{name: value})


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 200),
    n_peaks=st.integers(1, 250),
    values=st.integers(1, 50),
    per_channel=st.booleans(),
    missing=st.floats(0, 1),
    bin_um=st.floats(1, 10_000),
)
def test_any_peaks_give_as_many_as_asked_for(seed, count, n_peaks, values, per_channel, missing, bin_um):
    rng = np.random.default_rng(seed)
    out, places = np.zeros(count, PEAK_DTYPE), np.zeros(count, LOCATION_DTYPE)
    for name in ("sample_index", "channel_index", "segment_index", "amplitude"):
        out[name] = rng.integers(0, 3 if name == "segment_index" else values, count)
    places["x"], places["y"] = rng.normal(0, values, (2, count))
    places["y"][rng.random(count) < missing] = np.nan
    for method in SMART:
        params = {"select_per_channel": per_channel} if method == "smart_sampling_amplitudes" else {"bin_um": bin_um}
        given = {"noise_levels": np.full(50, 2.0), "peak_locations": places, "n_peaks": n_peaks, **params}
        chosen, indices = select_peaks(out, method, return_indices=True, seed=seed, **given)
        groups = np.bincount(out["channel_index"], minlength=50) if params.get("select_per_channel") else np.array([count])
        assert len(chosen) == np.minimum(groups, n_peaks).sum() == len(np.unique(indices))
        assert (np.diff(chosen["segment_index"] * 1000 + chosen["sample_index"]) >= 0).all()
