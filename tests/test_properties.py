"""Whatever is permitted, on whatever small recording, ends in a result or in one clear sentence.

Parameters are drawn from their declarations, of all methods that are registered: a new method is tested without being named here.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, get_origin

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import driftviewer as dv
from driftviewer.chunks import drain
from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE, Motion
from driftviewer.errors import InputError
from driftviewer.motion import TraceEstimator
from driftviewer.params import Field, Method, Registry, fields
from driftviewer.pipeline import STEPS
from driftviewer.preprocess import PREPROCESSORS
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.simulate.drifting import DriftingSimulation

REGISTRIES = [*STEPS.values(), PREPROCESSORS]
RATE = 20_000.0


def few(examples: int) -> Callable[[Any], Any]:
    """Run a test on the same few examples every time; looking for a smaller one that fails as well would take minutes."""
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, phases=[Phase.generate], derandomize=True, deadline=None, database=None, suppress_health_check=quiet
    )


def methods(registry: Registry) -> list[Any]:
    return [pytest.param(registry[name], id=name) for name in registry.names()]


def ends(run: Callable[[], Any]) -> Any:
    """Return the result, or None where one clear sentence says why there is none."""
    try:
        return run()
    except InputError as error:
        text = str(error)
        assert "\n" not in text and text[-1] in ".?" and len(text) > 20 and text[0].isupper() | text[0].isalpha()
        return None


# ---- every declaration ----


def registries_of_the_package() -> Iterator[Registry]:
    for module in pkgutil.walk_packages(dv.__path__, "driftviewer."):
        if not module.name.startswith(("driftviewer.widgets", "driftviewer.plugin", "driftviewer.state")):
            yield from (value for value in vars(importlib.import_module(module.name)).values() if isinstance(value, Registry))


def test_no_registry_is_missing_here() -> None:
    assert {id(registry) for registry in registries_of_the_package()} == {id(registry) for registry in REGISTRIES}


def everything_declared() -> list[Any]:
    owners = [registry[name] for registry in REGISTRIES for name in registry.names()] + [DriftingSimulation]
    return [pytest.param(cls, field, id=f"{cls.step}.{cls.name}.{field.name}") for cls in owners for field in fields(cls)]


def edges(field: Field) -> list[tuple[Any, Any]]:
    """Pairs of the last value that is permitted and the first that is not."""
    p, found = field.param, []
    for bound, outward, included in ((p.ge, -1, True), (p.gt, -1, False), (p.le, 1, True), (p.lt, 1, False)):
        if bound is None:
            continue
        step = 1 if field.type is int else max(abs(bound) * 1e-6, 1e-9)
        found.append((bound, bound + outward * step) if included else (bound - outward * step, bound))
    return found


@pytest.mark.parametrize(("cls", "field"), everything_declared())
def test_bounds_are_kept_and_named(cls: type[Method], field: Field) -> None:
    assert len(field.param.help) > 10
    pair = get_origin(field.type) is tuple
    for inside, outside in edges(field):
        if not pair:
            assert getattr(cls(**{field.name: inside}), field.name) == inside
        with pytest.raises(InputError, match=rf"{cls.step}\.{field.name} = .* is out of bounds: it must be "):
            cls(**{field.name: (outside, outside) if pair else outside})


@pytest.mark.parametrize(("cls", "field"), everything_declared())
def test_nonsense_is_refused_by_name(cls: type[Method], field: Field) -> None:
    if field.type is str and not field.choices and not field.param.intervals:
        return
    for nonsense in ("no such thing", *((math.nan, math.inf, None, "", [[1]]) if field.type in (int, float) else ())):
        with pytest.raises(InputError, match=rf"{cls.step}\.{field.name}\b"):
            cls(**{field.name: nonsense})


@pytest.mark.parametrize(("cls", "field"), everything_declared())
def test_numbers_are_bounded_where_they_cost(cls: type[Method], field: Field) -> None:
    if field.type in (int, float) and cls is not DriftingSimulation:
        assert edges(field), f"{cls.step}.{cls.name}.{field.name} has no bounds"


# ---- strategies ----


def values(field: Field) -> st.SearchStrategy[Any]:
    """The default, the bounds, and what lies between them."""
    if field.choices:
        return st.sampled_from(field.choices)
    if field.type is bool:
        return st.booleans()
    if field.param.intervals:
        return st.sampled_from(["", "0-0.1", "0.05-0.3, 1-1.5", "-5-100", "1e6-2e6"])
    if field.type not in (int, float):
        return st.just(field.default)
    inside = sorted(pair[0] for pair in edges(field))
    low = inside[0] if field.param.ge is not None or field.param.gt is not None else min(field.default, 0)
    high = inside[-1] if field.param.le is not None or field.param.lt is not None else 1e3 * max(abs(field.default), 1)
    between = st.integers(math.ceil(low), int(high)) if field.type is int else st.floats(low, high, allow_nan=False)
    return st.one_of(st.just(field.default), st.sampled_from([low, high]), between)


@st.composite
def made(draw: st.DrawFn, cls: type[Method]) -> Method:
    """A method with some of its parameters changed to anything they may be."""
    declared = fields(cls)
    changed = draw(st.lists(st.sampled_from(declared), max_size=4, unique_by=lambda field: field.name)) if declared else []
    return cls(**{field.name: draw(values(field)) for field in changed})


class Small(Recording):
    """Traces in memory."""

    def __init__(self, traces: np.ndarray, info: RecordingInfo) -> None:
        super().__init__(info)
        self.traces = traces

    def read(self, start: int, end: int) -> np.ndarray:
        return self.traces[start:end]

    def describe(self) -> dict[str, Any]:
        return {"small": id(self.traces)}


def spiky(frames: int, channels: int, places: np.ndarray, seed: int) -> np.ndarray:
    """Noise, and spikes that fall off with distance."""
    rng = np.random.default_rng(seed)
    traces = 10 * rng.standard_normal((frames, channels))
    shape = -np.exp(-(((np.arange(40) - 12) / 4.0) ** 2))
    for _ in range(frames // 300):
        near = np.exp(-np.hypot(*(places - places[rng.integers(channels)]).T) / 30)
        at = rng.integers(0, max(1, frames - 40))
        traces[at : at + 40] += (rng.uniform(60, 400) * shape[:, None] * near)[: len(traces[at : at + 40])]
    return traces


def damage(kind: str, traces: np.ndarray, frames: int, channels: int, dtype: str) -> None:
    if kind == "dead":
        traces[:, :: max(2, channels // 3)] = 0
    elif kind == "silent":
        traces[frames // 4 : frames // 2] = 0
    elif kind == "constant":
        traces[:] = 7
    elif kind == "clipped":
        np.clip(traces, -30, 30, out=traces)
    elif kind == "huge":
        traces *= 1000 if dtype == "int16" else 1e30
    elif dtype == "float32" and kind == "nan channel":
        traces[:, channels // 2] = np.nan
    elif dtype == "float32" and kind == "nan":
        traces[frames // 3 : frames // 2] = np.nan
    elif dtype == "float32" and kind == "inf":
        traces[frames // 3] = np.inf


DAMAGES = ["", "", "", "dead", "silent", "constant", "clipped", "huge", "nan channel", "nan", "inf"]


@st.composite
def recordings(draw: st.DrawFn) -> Recording | None:
    """Any small recording; None where two contacts at one place were refused."""
    channels, frames, seed = draw(st.integers(1, 24)), draw(st.integers(1, int(2 * RATE))), draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    layout = draw(st.sampled_from(["column", "staggered", "scattered", "row", "two shanks", "duplicates"]))
    index = np.arange(channels)
    places = {
        "column": np.c_[0 * index, 20 * index],
        "staggered": np.c_[16 * (index % 4), 20 * (index // 2)],
        "scattered": rng.uniform(0, 400, (channels, 2)),
        "row": np.c_[25 * index, 0 * index],
        "two shanks": np.c_[250 * (index % 2), 20 * (index // 2)],
        "duplicates": np.c_[0 * index, 20 * (index // 2)],
    }[layout]
    dtype, kind = draw(st.sampled_from(["int16", "float32"])), draw(st.sampled_from(DAMAGES))
    traces = spiky(frames, channels, places, seed)
    damage(kind, traces, frames, channels, dtype)
    bounded = np.clip(np.nan_to_num(traces), -32768, 32767) if dtype == "int16" else traces
    shanks = index % 2 if layout == "two shanks" else 0 * index
    shifts = draw(st.sampled_from([0.0, 0.5]))
    known = {"gain_uv": 0.5, "shank_ids": shanks, "sample_shifts": shifts * (index % 2), "t_start": draw(st.sampled_from([0.0, 1000.0]))}
    info = ends(lambda: RecordingInfo.create(RATE, frames, dtype, places, **known))
    return None if info is None else Small(np.ascontiguousarray(bounded.astype(dtype)), info)


def some_peaks(info: RecordingInfo, count: int, seed: int) -> np.ndarray:
    rng, peaks = np.random.default_rng(seed), np.zeros(count, PEAK_DTYPE)
    peaks["sample_index"] = np.sort(rng.integers(0, info.num_samples, count))
    peaks["channel_index"], peaks["amplitude"] = rng.integers(0, info.num_channels, count), -rng.uniform(10, 400, count)
    return peaks


# ---- every step ----


@pytest.mark.parametrize("cls", methods(STEPS["detect"]))
@few(50)
@given(data=st.data())
def test_detection(cls: type[Method], data: st.DataObject) -> None:
    detector, recording = data.draw(made(cls)), data.draw(recordings())
    peaks = None if recording is None else ends(lambda: dv.detect_peaks(recording, detector, n_jobs=1, progress_bar=False))
    if peaks is not None:
        assert peaks.dtype == PEAK_DTYPE and (np.diff(peaks["sample_index"]) >= 0).all() and np.isfinite(peaks["amplitude"]).all()
        assert ((peaks["sample_index"] >= 0) & (peaks["sample_index"] < recording.info.num_samples)).all()
        assert ((peaks["channel_index"] >= 0) & (peaks["channel_index"] < recording.info.num_channels)).all()


@pytest.mark.parametrize("cls", methods(STEPS["localize"]))
@few(40)
@given(data=st.data())
def test_localisation(cls: type[Method], data: st.DataObject) -> None:
    localizer, recording, count = data.draw(made(cls)), data.draw(recordings()), data.draw(st.sampled_from([0, 1, 30]))
    if recording is None:
        return
    peaks = some_peaks(recording.info, count, 0)
    places = ends(lambda: dv.localize_peaks(recording, peaks, localizer, n_jobs=1, progress_bar=False))
    if places is not None:
        assert places.shape == peaks.shape and {"x", "y"} <= set(places.dtype.names)
        low, high = recording.info.channel_locations.min(axis=0), recording.info.channel_locations.max(axis=0)
        for axis, name in enumerate("xy"):
            assert not np.isinf(places[name]).any()
            assert (np.isnan(places[name]) | ((places[name] > low[axis] - 12_000) & (places[name] < high[axis] + 12_000))).all()


@pytest.mark.parametrize("cls", methods(STEPS["select"]))
@few(60)
@given(data=st.data())
def test_selection(cls: type[Method], data: st.DataObject) -> None:
    selector, count = data.draw(made(cls)), data.draw(st.integers(0, 300))
    info = RecordingInfo.create(RATE, 40_000, "int16", np.c_[np.zeros(8), 20 * np.arange(8)])
    peaks, rng = some_peaks(info, count, 1), np.random.default_rng(2)
    places, levels = np.zeros(count, LOCATION_DTYPE), np.ones(8)
    places["y"] = rng.uniform(0, 140, count)
    odd = data.draw(
        st.sampled_from(["", "nan places", "one place", "nan amplitudes", "one amplitude", "no noise", "nan noise", "backwards"])
    )
    if odd == "nan places":
        places["y"][::3] = np.nan
    elif odd == "one place":
        places["y"] = 5
    elif odd == "nan amplitudes":
        peaks["amplitude"][::2] = np.nan
    elif odd == "one amplitude":
        peaks["amplitude"] = 3
    elif odd == "backwards":
        peaks = peaks[::-1]
    levels[0] = {"no noise": 0.0, "nan noise": np.nan}.get(odd, 1.0)
    chosen = ends(lambda: selector.select(peaks, data.draw(st.integers(0, 9)), noise_levels=levels, locations=places))
    if chosen is not None:
        assert chosen.dtype == np.int64 and np.unique(chosen).size == chosen.size
        assert ((chosen >= 0) & (chosen < count)).all() and (np.diff(peaks["sample_index"][chosen]) >= 0).all()


@pytest.mark.parametrize("cls", methods(STEPS["interpolate"]))
@few(50)
@given(data=st.data())
def test_interpolation(cls: type[Method], data: st.DataObject) -> None:
    method, recording = data.draw(made(cls)), data.draw(recordings())
    size = data.draw(st.sampled_from([0.0, 0.3, 20.0, 300.0, 1e4]))
    bins, windows, seed = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), data.draw(st.integers(0, 9))
    if recording is None:
        return
    displacement = size * np.random.default_rng(seed).uniform(-1, 1, (bins, windows))
    motion = Motion(
        displacement, recording.info.t_start + 0.3 * np.arange(bins), 60.0 * np.arange(windows), data.draw(st.sampled_from(["x", "y"]))
    )
    traces = ends(lambda: dv.interpolate_motion(recording, motion, method=method).read(0, recording.info.num_samples))
    if traces is not None:
        assert (
            traces.dtype == np.float32 and len(traces) == recording.info.num_samples and 1 <= traces.shape[1] <= recording.info.num_channels
        )
        assert not np.isfinite(recording.traces).all() or np.isfinite(traces).all()


@pytest.mark.parametrize("cls", methods(PREPROCESSORS))
@few(40)
@given(data=st.data())
def test_preprocessing(cls: type[Any], data: st.DataObject) -> None:
    recording = data.draw(recordings())
    preprocessor = ends(lambda: data.draw(made(cls)))
    if recording is None or preprocessor is None:
        return
    traces = ends(lambda: preprocessor.apply(recording).read(0, recording.info.num_samples))
    if traces is not None:
        assert len(traces) == recording.info.num_samples and traces.shape[1] <= recording.info.num_channels
        assert not np.isfinite(recording.traces).all() or np.isfinite(traces).all()


class Clock(Recording):
    """Contacts and a clock, without a sound."""

    def read(self, start: int, end: int) -> np.ndarray:
        return np.zeros((end - start, self.info.num_channels), np.int16)

    def describe(self) -> dict[str, Any]:
        return {}


ACTIVITIES = [
    "units",
    "drift",
    "none",
    "one",
    "one time",
    "one depth",
    "far",
    "burst",
    "nan depths",
    "nan amplitudes",
    "one amplitude",
    "zeros",
]


@st.composite
def activities(draw: st.DrawFn) -> tuple[Recording, np.ndarray, np.ndarray]:
    """A probe, and peaks on it with their places."""
    seconds, channels = draw(st.sampled_from([0.05, 3.0, 20.0, 60.0])), draw(st.sampled_from([1, 2, 8, 32, 64]))
    known = {"t_start": draw(st.sampled_from([0.0, -50.0, 1e5])), "shank_ids": np.arange(channels) % draw(st.sampled_from([1, 1, 2]))}
    if draw(st.booleans()):
        known["boundaries"] = (int(0.4 * seconds * 1000),)
    depths = draw(st.sampled_from([1.0, 20.0, 40.0])) * np.arange(channels)
    recording = Clock(RecordingInfo.create(1000.0, int(seconds * 1000), "int16", np.c_[10.0 * (np.arange(channels) % 2), depths], **known))
    kind, seed = draw(st.sampled_from(ACTIVITIES)), draw(st.integers(0, 9))
    count = {"none": 0, "one": 1}.get(kind, int(draw(st.sampled_from([20, 200])) * seconds))
    rng = np.random.default_rng(seed)
    peaks, places = some_peaks(recording.info, count, seed), np.zeros(count, LOCATION_DTYPE)
    homes = rng.uniform(depths.min(), depths.max() + 1, 20)
    places["y"] = homes[rng.integers(0, 20, count)] + rng.normal(0, 3, count)
    places["x"] = rng.uniform(0, 10, count)
    if kind == "drift":
        places["y"] += 15 * np.sin(peaks["sample_index"] / 9000)
    elif kind == "one time":
        peaks["sample_index"] = recording.info.num_samples // 2
    elif kind == "burst":
        peaks["sample_index"][: count // 2] = recording.info.num_samples // 3
    elif kind == "one depth":
        places["y"] = 15
    elif kind == "far":
        places["y"] += np.where(np.arange(count) % 2, 1e7, -3e4).astype("f4")
    elif kind == "nan depths":
        places["y"][::2] = np.nan
    elif kind == "nan amplitudes":
        peaks["amplitude"][::2] = np.nan
    elif kind in ("one amplitude", "zeros"):
        peaks["amplitude"] = -50.0 * (kind == "one amplitude")
    return recording, peaks, places


def check_motion(motion: Motion | None, recording: Recording) -> None:
    if motion is not None:
        assert np.isfinite(motion.displacement).all() and motion.displacement.any() <= (motion.displacement.size > 1)
        assert motion.confidence is None or ((motion.confidence >= 0) & (motion.confidence <= 1)).all()
        begin, end = recording.frames_to_times([0, recording.info.num_samples])
        assert (motion.temporal_bins_s > begin - 600).all() and (motion.temporal_bins_s < end + 600).all()


@pytest.mark.parametrize("cls", [case for case in methods(STEPS["estimate"]) if not issubclass(case.values[0], TraceEstimator)])
@few(60)
@given(data=st.data())
def test_estimation(cls: type[Method], data: st.DataObject) -> None:
    estimator, (recording, peaks, places) = data.draw(made(cls)), data.draw(activities())
    check_motion(ends(lambda: dv.estimate_motion(recording, peaks, places, estimator, progress_bar=False)), recording)


@pytest.mark.parametrize("cls", [case for case in methods(STEPS["estimate"]) if issubclass(case.values[0], TraceEstimator)])
@few(50)
@given(data=st.data())
def test_estimation_from_traces(cls: type[Any], data: st.DataObject) -> None:
    estimator, recording = data.draw(made(cls)), data.draw(recordings())
    if recording is not None:
        check_motion(ends(lambda: drain(estimator.estimate_traces(recording), False)), recording)


@few(15)
@given(data=st.data())
def test_scores(data: st.DataObject) -> None:
    recording, peaks, places = data.draw(activities())
    shift = data.draw(st.sampled_from([0.0, 15.0, 1e4]))
    begin = float(recording.frames_to_times(0))
    motion = Motion(shift * np.sin(np.arange(20.0))[:, None], begin + np.arange(20.0), [100.0])
    score = ends(lambda: dv.drift_score(peaks, places, motion, recording=recording))
    assert score is None or (
        score.verdict and all(value is None or isinstance(value, str | float | int) for value in score.to_dict().values())
    )
