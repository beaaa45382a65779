import numpy as np
import pytest

import driftviewer as dv
from driftviewer.data import LOCATION_XYZ_DTYPE, PEAK_DTYPE
from driftviewer.errors import InputError
from driftviewer.localize import GridConvolution, localize_peaks
from driftviewer.noise import Noise, measure_noise
from driftviewer.recording.protocol import RecordingInfo

SPIKEINTERFACES = {"radius_um": 40.0, "percentile": 5.0, "prototype": "gaussian"}


def located(recording, peaks, noise, **params):
    return localize_peaks(recording, peaks, "grid_convolution", noise=noise, n_jobs=1, progress_bar=False, **params)


def reference(traces, locations, peaks, method, usable, shanks):
    """The formulae in plain numpy, peak by peak, over the whole grid and all contacts."""
    out = np.full((len(peaks), 3), np.nan)
    frames = np.arange(-3, 9)
    prototype = np.exp(-((frames / 30.0) ** 2) / (2 * method.sigma_ms**2))
    levels = method.z_list_um if method.weight_method == "exponential_3d" else method.sigma_list_um
    for n, peak in enumerate(peaks):
        main = peak["channel_index"]
        here = shanks == shanks[main]
        low, high = locations[here].min(0) - method.margin_um, locations[here].max(0) + method.margin_um
        x, y = (np.arange(low[a], high[a] + 0.5, method.upsampling_um) for a in (0, 1))
        grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        grid = grid[np.linalg.norm(grid - locations[main], axis=1) <= method.radius_um + 1e-3]
        seen = here & usable
        apart = np.linalg.norm(grid[:, None] - locations[None, seen], axis=2)
        within = peak["sample_index"] + frames
        inside = (within >= 0) & (within < len(traces))
        height = np.sign(peak["amplitude"]) * prototype[inside] @ traces[within[inside]][:, seen].astype(float)
        fits = []
        for level in levels:
            if method.weight_method == "exponential_3d":
                kernel = np.exp((apart.min(1, keepdims=True) - np.sqrt(apart**2 + level**2)) / method.sigma_3d)
            else:
                kernel = np.exp(-(apart**2) / (2 * level**2))
            kernel /= np.linalg.norm(kernel, axis=1, keepdims=True)
            kernel[kernel < method.sparsity_threshold] = 0
            fits.append(kernel / np.linalg.norm(kernel, axis=1, keepdims=True) @ height)
        fits = np.array(fits)
        if method.percentile:
            weight = np.where(fits >= np.percentile(fits[fits >= 0], 100 - method.percentile), fits, 0)
        else:
            weight = np.maximum(fits - method.best_share * fits.max(), 0)
        out[n] = [*(weight.sum(0) @ grid), weight.sum(1) @ np.array(levels)] / weight.sum()
    return out


def table(found):
    return np.stack([found[name] for name in "xyz"], axis=1)


@pytest.fixture
def noisy(field, sources):
    recording, peaks = field(*sources, dtype=np.float32)
    recording.traces += np.random.default_rng(0).normal(0, 8, recording.traces.shape).astype(np.float32)
    edges = peaks[:2].copy()
    edges["sample_index"] = 1, len(recording.traces) - 2
    edges["amplitude"] = 1
    return recording, np.concatenate([edges[:1], peaks[:60], edges[1:]])


METHODS = [
    {},
    {"weight_method": "exponential_3d"},
    {"percentile": 5.0, "radius_um": 40.0},
    {"percentile": 20.0, "weight_method": "exponential_3d", "sigma_3d": 10.0, "z_list_um": (10.0, 40.0), "upsampling_um": 9.0},
    {"best_share": 0.0, "sigma_list_um": (12.0,), "margin_um": 0.0, "sparsity_threshold": 0.2, "sigma_ms": 0.1},
]


@pytest.mark.parametrize("params", METHODS)
def test_plain_formulae(noisy, probe, quiet, params):
    recording, peaks = noisy
    found = located(recording, peaks, quiet, **params)
    assert found.dtype == LOCATION_XYZ_DTYPE
    wanted = reference(recording.traces, probe, peaks, GridConvolution(**params), quiet.usable, np.zeros(len(probe)))
    # a place at the very threshold may fall on either side of it in single precision
    apart = np.abs(table(found) - wanted).max(axis=1)
    assert np.median(apart) < 1e-3 and np.mean(apart < 0.05) > 0.95 and apart.max() < 3


def test_shanks_and_unusable_contacts_are_kept_apart(array_recording, noisy, probe):
    traces, peaks = noisy[0].traces, noisy[1]
    shanks, locations = np.arange(48) % 2, probe + np.c_[50.0 * (np.arange(48) % 2), np.zeros(48)]
    usable = np.arange(48) % 7 != 3
    recording = array_recording(traces, locations, shank_ids=shanks)
    found = located(recording, peaks, Noise(np.ones(48), usable))
    wanted = reference(traces, locations, peaks, GridConvolution(), usable, shanks)
    assert np.median(np.abs(table(found) - wanted).max(axis=1)) < 1e-3
    loud = traces.copy()
    loud[:, ~usable] = np.nan
    own = shanks[peaks["channel_index"]] == 0
    loud[:, shanks == 1] = 1e4
    np.testing.assert_array_equal(
        located(array_recording(loud, locations, shank_ids=shanks), peaks[own], Noise(np.ones(48), usable)), found[own]
    )


def test_sources_are_found(field, sources, quiet):
    places, alphas = sources
    recording, peaks = field(places, alphas)
    found = located(recording, peaks, quiet)
    assert np.median(np.abs(found["y"] - places[:, 1])) < 3
    # two pairs of columns tell little of the place across
    assert np.corrcoef(found["x"], places[:, 0])[0, 1] > 0.7
    assert np.corrcoef(found["z"], places[:, 2])[0, 1] > 0.5


@pytest.mark.parametrize("mode", ["exponential_3d", "gaussian_2d"])
@pytest.mark.parametrize("channels", [48, 16])
def test_agrees_with_spikeinterface(field, sources, probe, mode, channels):
    pytest.importorskip("sklearn")
    core = pytest.importorskip("spikeinterface.core")
    theirs = pytest.importorskip("spikeinterface.sortingcomponents.peak_localization")
    places, alphas = sources
    recording, peaks = field(places, alphas, dtype=np.float32)
    recording.traces += np.random.default_rng(0).normal(0, 8, recording.traces.shape).astype(np.float32)
    peaks = peaks[peaks["channel_index"] < channels]
    other = core.NumpyRecording(recording.traces[:, :channels], 30000.0)
    other.set_dummy_probe_from_locations(probe[:channels])
    weight_method = {"mode": mode, "sparsity_threshold": 0.03}
    params = {"percentile": 5.0, "radius_um": 40.0, "weight_method": weight_method}
    course = -np.exp(-((np.arange(-3, 9) / 30) ** 2) / (2 * 0.25**2))
    wanted = theirs.localize_peaks(
        other,
        peaks,
        method="grid_convolution",
        method_kwargs=params | {"prototype": course},
        ms_before=0.1,
        ms_after=0.3,
        job_kwargs={"n_jobs": 1, "progress_bar": False},
    )
    info = RecordingInfo.create(30000.0, len(recording.traces), np.float32, probe[:channels])
    own = type(recording)(recording.traces[:, :channels], info.channel_locations)
    quiet = Noise(np.ones(channels), np.ones(channels, bool))
    found = located(own, peaks, quiet, **params, peak_sign="neg", prototype="gaussian")
    apart = np.abs(table(found) - np.stack([wanted[name] for name in "xyz"], axis=1)).max(axis=1)
    assert np.median(apart) < 1e-3 and np.mean(apart < 0.5) > 0.97


@pytest.mark.parametrize("locations", [np.zeros((1, 2)), np.c_[np.zeros(16), 25.0 * np.arange(16)], "irregular"])
def test_any_layout(array_recording, locations):
    rng = np.random.default_rng(5)
    if isinstance(locations, str):
        locations = rng.uniform(0, 100, (40, 2)) * [1, 5]
    place = np.add(locations.mean(0), (3.0, 4.0))
    apart = np.linalg.norm(locations - place, axis=1)
    traces = np.zeros((40, len(locations)))
    traces[20] = -5000 / np.hypot(apart, 20.0)
    peaks = np.zeros(1, PEAK_DTYPE)
    peaks["sample_index"], peaks["channel_index"], peaks["amplitude"] = 20, apart.argmin(), -1.0
    found = located(array_recording(traces, locations), peaks, Noise(np.ones(len(locations)), np.ones(len(locations), bool)))
    assert abs(found["y"][0] - place[1]) < 12


@pytest.mark.parametrize("params", [{}, SPIKEINTERFACES])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_impossible_is_nan(field, sources, quiet, value, params):
    recording, peaks = field(*sources)
    frame = peaks["sample_index"][3]
    if value == 0.0:
        recording.traces[frame] = 0.0
    else:
        recording.traces[frame, peaks["channel_index"][3]] = value
    found = located(recording, peaks, quiet, **params)
    assert all(np.flatnonzero(np.isnan(found[name])).tolist() == [3] for name in "xyz")


def test_nothing_usable_around_is_nan(field, sources, probe):
    recording, peaks = field(*sources)
    usable = np.arange(len(probe)) == 47
    found = located(recording, peaks, Noise(np.ones(len(probe)), usable))
    far = np.linalg.norm(probe[peaks["channel_index"]] - probe[47], axis=1) > 300
    assert far.any() and np.isnan(found["y"][far]).all()


def test_polarity(field, sources, quiet):
    recording, peaks = field(*sources)
    found = located(recording, peaks, quiet)
    recording.traces *= -1
    assert np.isnan(located(recording, peaks, quiet, peak_sign="neg")["y"]).all()
    peaks["amplitude"] *= -1
    np.testing.assert_array_equal(located(recording, peaks, quiet), found)
    np.testing.assert_array_equal(located(recording, peaks, quiet, peak_sign="pos"), found)


def test_equal_surroundings_share_a_table(probe, quiet):
    info = RecordingInfo.create(30000.0, 100, "int16", probe)
    tables = GridConvolution().plan(info, quiet).function.tables
    assert len(tables.sizes) < len(probe)
    # rows in the middle, two apart, look the same
    assert tables.table_of[20] == tables.table_of[24] != tables.table_of[21]


@pytest.fixture(scope="module")
def drifting():
    recording, truth = dv.simulate_drifting_recording(duration_s=12.0, num_channels=48, num_units=25, seed=4, start_s=1.0, period_s=10.0)
    noise = measure_noise(recording)
    peaks = dv.detect_peaks(recording, noise=noise, detect_threshold=8.0, n_jobs=1, progress_bar=False)
    return recording, noise, peaks, truth


def test_measured_prototype_is_the_same_in_one_pass_and_by_itself(drifting):
    recording, noise, peaks, _ = drifting
    assert np.isfinite(noise.prototypes[0]).all()
    alone = localize_peaks(recording, peaks, "grid_convolution", n_jobs=2, progress_bar=False)
    np.testing.assert_array_equal(alone, located(recording, peaks, noise, prototype="data"))
    assert (alone["y"] != located(recording, peaks, noise, prototype="gaussian")["y"]).any()
    for chunk in ("1s", "0.37s"):
        info = dv.compute_motion(
            recording,
            preset="rigid_fast",
            detect_kwargs={"detect_threshold": 8.0, "radius_um": 50.0, "exclude_sweep_ms": 1.0},
            localize_peaks_kwargs={"method": "grid_convolution"},
            chunk_duration=chunk,
            n_jobs=2,
            progress_bar=False,
        )
        np.testing.assert_array_equal(info.peaks, peaks)
        np.testing.assert_array_equal(info.peak_locations, alone)


def test_gain_does_not_matter(drifting, array_recording):
    recording, _, peaks, _ = drifting
    peaks = peaks[peaks["sample_index"] < 60000][5:-5]
    traces = recording.read(0, 60000)
    found = [
        localize_peaks(
            array_recording(gain * traces.astype(np.float32), recording.info.channel_locations), peaks, "grid_convolution", n_jobs=1
        )
        for gain in (1, 2.0**-40)
    ]
    np.testing.assert_allclose(found[0]["y"], found[1]["y"], atol=1e-3)


BOUNDS = [
    ("radius_um", [1e-3, 200], [0, 201]),
    ("upsampling_um", [1, 100], [0.9, 101]),
    ("margin_um", [0, 1000], [-1, 1001]),
    ("percentile", [0, 0.001, 100], [-1, 101]),
    ("best_share", [0, 0.999], [-0.1, 1]),
    ("sigma_ms", [1e-3, 10], [0, 11]),
    ("sigma_3d", [1e-2, 1000], [0, 1001]),
    ("sparsity_threshold", [0, 0.999], [-0.1, 1]),
    ("ms_before", [1e-3, 5], [0, 5.1]),
    ("ms_after", [1e-3, 5], [0, 5.1]),
]


@pytest.mark.parametrize(("name", "allowed", "refused"), BOUNDS)
@pytest.mark.parametrize("mode", ["exponential_3d", "gaussian_2d"])
def test_bounds(noisy, quiet, name, allowed, refused, mode):
    recording, peaks = noisy
    for value in allowed:
        found = located(recording, peaks[1:5], quiet, weight_method=mode, **{name: value})
        values = table(found)
        assert (np.isfinite(values).all(axis=1) | np.isnan(values).all(axis=1)).all()
        # the very edges of the kernels leave nothing, all others find a place
        assert name in ("sparsity_threshold", "radius_um") or np.isfinite(values).all()
    for value in refused:
        with pytest.raises(InputError, match=name):
            GridConvolution(**{name: value})


@pytest.mark.parametrize("levels", [(0.0, 1000.0), (-1.0,), (1001.0,)])
def test_bounds_of_the_levels(noisy, quiet, levels):
    if levels[0] == 0.0:
        assert np.isfinite(located(noisy[0], noisy[1][:5], quiet, weight_method="exponential_3d", z_list_um=levels)["y"]).all()
    else:
        with pytest.raises(InputError, match="z_list_um"):
            GridConvolution(z_list_um=levels)
    with pytest.raises(InputError, match="sigma_list_um"):
        GridConvolution(sigma_list_um=levels if levels[0] else (0.0,))


def test_too_fine_a_grid_is_refused():
    rng = np.random.default_rng(0)
    info = RecordingInfo.create(30000.0, 100, "int16", rng.uniform(0, 300, (900, 2)))
    with pytest.raises(InputError, match="upsampling_um = 1 within radius_um = 200 needs more than 1 GB"):
        GridConvolution(radius_um=200, upsampling_um=1).plan(info, Noise(np.ones(900), np.ones(900, bool)))
