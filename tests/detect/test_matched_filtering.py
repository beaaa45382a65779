import pickle
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftviewer.chunks import Chunk
from driftviewer.data import PEAK_DTYPE
from driftviewer.detect import DETECTORS, MatchedFiltering, detect_peaks
from driftviewer.detect.resemblance import ContactTemplates
from driftviewer.errors import InputError
from driftviewer.noise import Noise, measure_noise
from driftviewer.simulate import simulate_drifting_recording
from driftviewer.spatial_kernels import KernelShape


def found(recording, detector, noise, cuts=None):
    """Run the plan over chunks with the given borders, one by one."""
    plan, total = detector.plan(recording.info, noise), recording.info.num_samples
    cuts = [0, total] if cuts is None else sorted({0, total, *cuts})
    parts = []
    for i, (a, b) in enumerate(pairwise(cuts)):
        first = max(0, a - plan.margin)
        parts.append(plan.function(recording.read(first, min(total, b + plan.margin)), Chunk(i, a, b, first)))
    return np.concatenate(parts)


def reference_scores(traces, info, noise, detector):
    """Resemblance (T, C) to the best template of each contact, in noise levels, by the definition."""
    before = round(detector.ms_before * 1e-3 * info.sampling_frequency)
    shape = KernelShape.of(detector.weight_method, detector.z_list_um, detector.sigma_3d, detector.sigma_list_um)
    apart = np.linalg.norm(info.channel_locations[:, None] - info.channel_locations[None], axis=2)
    apart[:, ~noise.usable] = np.inf
    best = np.zeros(traces.shape)
    for course in detector.courses(info, noise, before).astype(float):
        after = len(course) - before
        padded = np.pad(traces.astype(float), ((before, after - 1), (0, 0)), mode="edge")
        filtered = sum(p * padded[k : k + len(traces)] for k, p in enumerate(course))
        inside = [np.array([course @ part[t : t + len(course)] for t in range(len(part) - len(course) + 1)]) for part in noise.excerpts]
        for kernels in shape.kernels(apart, detector.sparsity_threshold):
            score = filtered @ kernels.T
            sample = np.concatenate(inside) @ kernels.T
            middle = np.median(sample, axis=0)
            level = np.median(np.abs(sample - middle), axis=0) / 0.6744897501960817
            best = np.maximum(best, (score - middle) / np.where(level > 0, level, np.inf))
    best[:, ~noise.usable] = 0
    return best


def reference_peaks(scores, info, detector):
    sweep = int(detector.exclude_sweep_ms * info.sampling_frequency / 1000)
    before, after = np.roll(scores, 1, axis=0), np.roll(scores, -1, axis=0)
    before[0] = after[-1] = -np.inf
    frames, channels = np.nonzero((scores >= detector.detect_threshold) & (scores > before) & (scores >= after))
    places, score = info.channel_locations[channels], scores[frames, channels]
    kept = []
    for i in range(len(frames)):
        rival = (np.abs(frames - frames[i]) <= sweep) & (np.linalg.norm(places - places[i], axis=1) <= detector.radius_um)
        kept.append(not (rival & (score > score[i])).any())
    return frames[np.array(kept, bool)], channels[np.array(kept, bool)]


@pytest.mark.parametrize("sign", ["neg", "pos", "both"])
@pytest.mark.parametrize("params", [{}, {"prototype": "gaussian", "sigma_ms": 0.1}, {"weight_method": "gaussian_2d", "ms_before": 0.2}])
def test_equals_the_definition(array_recording, noisy_spikes, sign, params):
    traces = noisy_spikes(1, frames=6000, spikes=200, dtype=np.float32)
    recording = array_recording(-traces if sign == "pos" else traces)
    noise = measure_noise(recording)
    detector = MatchedFiltering(peak_sign=sign, detect_threshold=4.3, exclude_sweep_ms=0.4, radius_um=45, **params)
    peaks = found(recording, detector, noise)
    scores = reference_scores(recording.traces, recording.info, noise, detector)
    frames, channels = reference_peaks(scores, recording.info, detector)
    assert len(frames) > 100 and peaks.dtype == PEAK_DTYPE
    np.testing.assert_array_equal(peaks["sample_index"], frames)
    np.testing.assert_array_equal(peaks["channel_index"], channels)
    np.testing.assert_array_equal(peaks["amplitude"], recording.traces[frames, channels])


def test_comes_third_and_has_spikeinterfaces_defaults():
    assert DETECTORS.names()[:3] == ["locally_exclusive", "by_channel", "matched_filtering"]
    detector = MatchedFiltering()
    assert (detector.detect_threshold, detector.exclude_sweep_ms, detector.radius_um, detector.peak_sign) == (5.0, 1.0, 50.0, "neg")


@pytest.fixture(scope="module")
def simulated():
    """Recording of small spikes, 3 to 10 times the noise, and the truth."""
    return simulate_drifting_recording(
        duration_s=8.0, num_channels=32, num_units=30, drift="none", unit_amplitude_uv=(20.0, 70.0), firing_rate_hz=(4.0, 8.0), seed=11
    )


def recall_and_false(recording, truth, peaks):
    """Return the share of true spikes with a peak within half a millisecond and 60 µm, and how many peaks are near no spike."""
    places = recording.info.channel_locations[peaks["channel_index"]]
    hit, explained = np.zeros(len(truth.spike_times), bool), np.zeros(len(peaks), bool)
    lows, highs = (np.searchsorted(peaks["sample_index"], truth.spike_times + side) for side in (-15, 16))
    for i, unit in enumerate(truth.spike_clusters):
        near = np.linalg.norm(places[lows[i] : highs[i]] - truth.unit_locations[unit, :2], axis=1) < 60
        hit[i] = near.any()
        explained[lows[i] : highs[i]] |= near
    return hit.mean(), int((~explained).sum())


def test_finds_more_small_spikes_at_as_many_false_peaks(simulated):
    recording, truth = simulated
    noise, rows = measure_noise(recording), {}
    for method in ("locally_exclusive", "matched_filtering"):
        for threshold in (4.0, 4.5, 5.0, 6.0):
            peaks = detect_peaks(recording, method, detect_threshold=threshold, noise=noise, n_jobs=1, progress_bar=False)
            rows[method, threshold] = recall_and_false(recording, truth, peaks)
    for threshold in (4.0, 4.5, 5.0):
        recall, false = rows["locally_exclusive", threshold]
        better = max(other for (method, _), (other, others) in rows.items() if method == "matched_filtering" and others <= false)
        assert better > recall + 0.05, (threshold, rows)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    frames=st.integers(1, 400),
    channels=st.integers(1, 20),
    sign=st.sampled_from(["neg", "pos", "both"]),
    dtype=st.sampled_from([np.int16, np.uint16, np.float32, np.float64]),
    before=st.floats(0, 5),
    after=st.floats(0.01, 5),
    sweep=st.floats(0, 3),
    shape=st.sampled_from(["exponential_3d", "gaussian_2d"]),
    sparsity=st.floats(0, 0.99),
    dead=st.integers(0, 19),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
def test_any_division_of_any_recording(
    array_recording, seed, frames, channels, sign, dtype, before, after, sweep, shape, sparsity, dead, cuts
):
    rng = np.random.default_rng(seed)
    traces = np.rint(100 + 30 * rng.standard_t(2, (frames, channels))).clip(0, 30_000).astype(dtype)
    recording = array_recording(traces)
    usable = (np.arange(channels) != dead) | (channels == 1)
    noise = Noise(np.full(channels, 20.0), usable, excerpts=(traces[:100], traces[100:]))
    detector = MatchedFiltering(
        peak_sign=sign,
        detect_threshold=2.0,
        ms_before=before,
        ms_after=after,
        exclude_sweep_ms=sweep,
        weight_method=shape,
        sparsity_threshold=sparsity,
    )
    whole = found(recording, detector, noise)
    np.testing.assert_array_equal(found(recording, detector, noise, [min(cut, frames) for cut in cuts]), whole)
    assert np.isfinite(whole["amplitude"]).all() and usable[whole["channel_index"]].all()
    assert ((whole["sample_index"] >= 0) & (whole["sample_index"] < frames)).all()
    order = np.lexsort((whole["channel_index"], whole["sample_index"]))
    np.testing.assert_array_equal(order, np.arange(len(whole)))


def test_chunks_threads_and_processes_give_the_same(simulated):
    recording, _ = simulated
    noise, params = measure_noise(recording), {"peak_sign": "both", "progress_bar": False}
    whole = detect_peaks(recording, "matched_filtering", noise=noise, n_jobs=1, chunk_duration="8s", **params)
    assert len(whole) > 300
    for job in ({"n_jobs": 1, "chunk_duration": "0.037s"}, {"n_jobs": 2, "chunk_duration": "1.7s"}):
        np.testing.assert_array_equal(detect_peaks(recording, "matched_filtering", noise=noise, **job, **params), whole)
    with ProcessPoolExecutor(1) as executor:
        np.testing.assert_array_equal(detect_peaks(recording, "matched_filtering", noise=noise, executor=executor, **params), whole)
    np.testing.assert_array_equal(detect_peaks(recording, "matched_filtering", **params), whole)


def spiky(height, channel=4, frames=(500, 1500, 2500), channels=9):
    """Quiet noise of 1 with spikes that fall off over the neighbours."""
    traces = np.random.default_rng(0).normal(0, 1, (3000, channels)).astype(np.float32)
    course = np.exp(-(np.arange(-10, 11) ** 2) / (2 * 4.0**2))
    for frame in frames:
        for other, share in ((channel - 1, 0.3), (channel, 1.0), (channel + 1, 0.3)):
            traces[frame - 10 : frame + 11, other] += height * share * course
    return traces


@pytest.mark.parametrize("height", [-20.0, 20.0])
def test_polarities(array_recording, height):
    recording = array_recording(spiky(height))
    noise = measure_noise(recording)
    params = {"detect_threshold": 8.0, "prototype": "gaussian", "sigma_ms": 0.13, "exclude_sweep_ms": 2.0}
    own, other = ("neg", "pos") if height < 0 else ("pos", "neg")
    for sign in (own, "both"):
        peaks = found(recording, MatchedFiltering(peak_sign=sign, **params), noise)
        assert peaks["channel_index"].tolist() == [4, 4, 4]
        assert (np.abs(peaks["sample_index"] - [500, 1500, 2500]) <= 1).all()
        assert (np.sign(peaks["amplitude"]) == np.sign(height)).all()
    assert len(found(recording, MatchedFiltering(peak_sign=other, **params), noise)) == 0


def test_waveform_of_ones_own(array_recording):
    recording, times = array_recording(spiky(-20.0)), np.arange(-15, 30) / 30
    noise = measure_noise(recording)
    course = -3.0 * np.exp(-(times**2) / (2 * 0.13**2))
    given = MatchedFiltering(prototype=course, ms_before=0.5, detect_threshold=8.0)
    assert given == MatchedFiltering(waveform=course, detect_threshold=8.0) and DETECTORS.from_dict(given.to_dict()) == given
    gaussian = MatchedFiltering(prototype="gaussian", sigma_ms=0.13, detect_threshold=8.0)
    np.testing.assert_array_equal(found(recording, given, noise), found(recording, gaussian, noise))
    upward = {"waveform": -course, "detect_threshold": 8.0}
    np.testing.assert_array_equal(
        found(recording, MatchedFiltering(peak_sign="both", **upward), noise),
        found(recording, gaussian.replace(peak_sign="both"), noise),
    )
    for wrong, peak_sign in ((-course, "neg"), (course, "pos"), (course[:15], "neg"), (0 * course, "both")):
        with pytest.raises(InputError, match=r"waveform .* at frame 15"):
            MatchedFiltering(waveform=wrong, peak_sign=peak_sign).plan(recording.info, noise)


def test_offset_does_not_matter(array_recording):
    traces = spiky(-20.0)
    shifted = array_recording(traces + np.float32(1000.0))
    recording = array_recording(traces)
    detector = MatchedFiltering(detect_threshold=6.0)
    plain, moved = (found(r, detector, measure_noise(r)) for r in (recording, shifted))
    np.testing.assert_array_equal(plain["sample_index"], moved["sample_index"])
    np.testing.assert_array_equal(plain["channel_index"], moved["channel_index"])


def test_unusable_channels_take_no_part(array_recording):
    traces = spiky(-20.0)
    noise = Noise(np.ones(9), np.arange(9) != 3, excerpts=(traces[:900],))
    loud = traces.copy()
    loud[:, 3] = np.random.default_rng(1).normal(0, 1e4, 3000)
    got, wanted = (found(array_recording(x), MatchedFiltering(), noise) for x in (loud, traces))
    assert len(got) >= 3 and 3 not in got["channel_index"]
    np.testing.assert_array_equal(got, wanted)
    # the largest contact is dead: the neighbour sees the spike
    peaks = found(array_recording(spiky(-40.0)), MatchedFiltering(), Noise(np.ones(9), np.arange(9) != 4, excerpts=(traces[:400],)))
    assert set(peaks["channel_index"]) <= {3, 5} and len(peaks) >= 3
    nothing = found(array_recording(traces), MatchedFiltering(), Noise(np.ones(9), np.zeros(9, bool), excerpts=(traces,)))
    assert len(nothing) == 0 and nothing.dtype == PEAK_DTYPE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(array_recording, bad):
    traces = spiky(-20.0)
    noise = measure_noise(array_recording(traces))
    clean = found(array_recording(traces), MatchedFiltering(peak_sign="both"), noise)
    traces[1000:1050, 2] = bad
    peaks = found(array_recording(traces), MatchedFiltering(peak_sign="both"), noise)
    assert np.isfinite(peaks["amplitude"]).all()
    away = [p[(p["sample_index"] < 900) | (p["sample_index"] > 1150)] for p in (clean, peaks)]
    np.testing.assert_array_equal(*away)
    assert len(away[0]) >= 3


def test_shanks_do_not_share_templates(array_recording):
    info = array_recording(np.zeros((10, 8), np.int16), shank_ids=np.repeat([0, 1], 4)).info
    templates = ContactTemplates.build(info, np.ones(8, bool), KernelShape.of("gaussian_2d"), 0.03)
    for channel in range(8):
        for k in range(templates.starts[channel], templates.starts[channel + 1]):
            entries = slice(templates.bounds[k], templates.bounds[k + 1])
            assert (templates.contacts[entries] // 4 == channel // 4).all()
            assert np.linalg.norm(templates.weights[entries]) == pytest.approx(1.0)


def test_noise_without_excerpts_counts_as_white(array_recording):
    traces = spiky(-20.0)
    levels = Noise(np.ones(9), np.ones(9, bool))
    quiet = np.random.default_rng(2).normal(0, 1, (4, 10_000, 9))
    measured = Noise(np.ones(9), np.ones(9, bool), excerpts=tuple(quiet))
    detector = MatchedFiltering(detect_threshold=8.0)
    assumed, wanted = (found(array_recording(traces), detector, noise) for noise in (levels, measured))
    np.testing.assert_array_equal(assumed[["sample_index", "channel_index"]], wanted[["sample_index", "channel_index"]])
    filters = [detector.plan(array_recording(traces).info, noise).function.filters[0] for noise in (levels, measured)]
    np.testing.assert_allclose(filters[0].weights, filters[1].weights, rtol=0.07)


def test_silent_and_empty_recordings(array_recording):
    silent = array_recording(np.zeros((3000, 9), np.int16))
    assert len(found(silent, MatchedFiltering(), Noise(np.ones(9), np.ones(9, bool), excerpts=(silent.traces[:900],)))) == 0
    one = array_recording(np.full((1, 9), -100, np.int16))
    assert len(found(one, MatchedFiltering(), Noise(np.ones(9), np.ones(9, bool)))) <= 9


def test_plan_is_small_and_pickles(array_recording):
    recording = array_recording(np.zeros((10, 384), np.int16))
    noise = Noise(np.ones(384), np.ones(384, bool), excerpts=(np.zeros((900, 384), np.int16),) * 20)
    plan = MatchedFiltering(exclude_sweep_ms=0.8, ms_before=0.5, ms_after=1.0).plan(recording.info, noise)
    assert plan.margin == 24 + 1 + 30
    assert len(pickle.dumps(plan)) < 500_000


@pytest.mark.parametrize(
    ("name", "edges", "beyond"),
    [
        ("detect_threshold", [0.01, 10_000], [0, 10_001]),
        ("exclude_sweep_ms", [0, 100], [-0.1, 101]),
        ("radius_um", [0, 10_000], [-1, 10_001]),
        ("ms_before", [0, 5], [-0.1, 5.1]),
        ("ms_after", [0.001, 5], [0, 5.1]),
        ("sigma_ms", [0.001, 10], [0, 10.1]),
        ("z_list_um", [(0,), (1000,)], [(-1,), (1001,)]),
        ("sigma_3d", [0.01, 1000], [0, 1001]),
        ("sigma_list_um", [(0.01,), (1000,)], [(0,), (1001,)]),
        ("sparsity_threshold", [0, 0.999], [-0.01, 1]),
        ("peak_sign", ["neg", "pos", "both"], ["negative"]),
        ("prototype", ["gaussian", "data"], ["spike"]),
        ("weight_method", ["exponential_3d", "gaussian_2d"], ["exponential"]),
    ],
)
def test_bounds_of_the_parameters(array_recording, name, edges, beyond):
    recording = array_recording(spiky(-20.0)[:1200])
    noise = measure_noise(recording)
    for value in edges:
        params = {"weight_method": "gaussian_2d"} if name == "sigma_list_um" else {}
        assert found(recording, MatchedFiltering(**params, **{name: value}), noise).dtype == PEAK_DTYPE
    for value in beyond:
        with pytest.raises(InputError, match=name):
            MatchedFiltering(**{name: value})


def test_impossible_input(array_recording):
    recording = array_recording(spiky(-20.0))
    with pytest.raises(InputError, match="noise of 5 channels"):
        MatchedFiltering().plan(recording.info, Noise(np.ones(5), np.ones(5, bool)))
    with pytest.raises(InputError, match="give z_list_um"):
        MatchedFiltering(z_list_um=()).plan(recording.info, measure_noise(recording))
