"""Motion-corrected recordings against known fields, units and exact identities."""

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from driftviewer.chunks import Job, Plan, SerialExecutor, map_chunks
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.interpolate import INTERPOLATORS, as_motion, interpolate_motion
from driftviewer.recording.protocol import Recording, RecordingInfo

RATE = 1000.0


def neuropixels(channels: int) -> np.ndarray:
    """Return staggered Neuropixels 1.0 contacts: two a row, rows 20 µm apart, repeating after 40 µm."""
    index = np.arange(channels)
    return np.column_stack([np.array([16.0, 48.0, 0.0, 32.0])[index % 4], 20.0 * (index // 2)])


class InMemory(Recording):
    """Samples in memory."""

    def __init__(self, traces: np.ndarray, locations: np.ndarray, **known: Any) -> None:
        self.traces = traces
        super().__init__(RecordingInfo.create(RATE, len(traces), traces.dtype, locations, **known))

    def read(self, start: int, end: int) -> np.ndarray:
        return self.traces[start:end]

    def describe(self) -> dict[str, Any]:
        return {"type": "InMemory"}


def noise(dtype: str = "float32", channels: int = 48, frames: int = 4000, **known: Any) -> InMemory:
    samples = np.random.default_rng(3).normal(0, 100, (frames, channels)).astype(dtype)
    return InMemory(samples, known.pop("locations", neuropixels(channels)), **known)


def rigid(*displacement: float) -> Motion:
    """One displacement at 0.5, 1.5, ... s."""
    return Motion(np.array(displacement)[:, None], np.arange(len(displacement)) + 0.5, np.array([200.0]))


NONRIGID = Motion(
    np.array([[0.0, 0.0, 0.0], [12.3, 3.0, -8.0], [0.0, 40.0, 40.0], [-21.0, 7.7, 7.7]]), np.arange(4) + 0.5, np.array([0.0, 200.0, 450.0])
)


def same(chunk_traces: np.ndarray, chunk: Any) -> np.ndarray:
    return chunk_traces


def joined(recording: Recording, executor: Any, chunk_duration: float) -> np.ndarray:
    parts = map_chunks(recording, Plan(same), Job(chunk_duration=chunk_duration, executor=executor))
    return np.concatenate([part for _, part in parts])


# --- identities


@pytest.mark.parametrize("method", INTERPOLATORS.names())
@pytest.mark.parametrize("border_mode", ["remove_channels", "force_extrapolate", "force_zeros"])
@pytest.mark.parametrize("dtype", ["float32", "int16", "float64", ">i2"])
def test_no_motion_passes_samples_through(method: str, border_mode: str, dtype: str):
    recording = noise(dtype)
    corrected = interpolate_motion(recording, rigid(0.0, 0.0), method=method, border_mode=border_mode)
    assert corrected.info.dtype == np.float32 and corrected.info.notes == ()
    samples = corrected.get_traces(start_frame=17, end_frame=1203)
    assert samples.dtype == np.float32 and samples.flags.c_contiguous
    np.testing.assert_array_equal(samples, recording.traces[17:1203].astype(np.float32))


def test_no_motion_is_bitwise_with_nan_and_signed_zero():
    recording = noise()
    recording.traces[5:9, 3] = np.nan, np.inf, -np.inf, -0.0
    corrected = interpolate_motion(recording, Motion.none(4.0, (0.0, 460.0), "nothing to correct"))
    assert corrected.read(0, 100).tobytes() == recording.traces[:100].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_stay_where_they_are(value: float):
    broken, whole = noise(), noise()
    broken.traces[500:700, 9], whole.traces[500:700, 9] = value, 0.0
    found, wanted = (
        interpolate_motion(r, rigid(7.0), method="idw", border_mode="force_extrapolate").read(400, 800) for r in (broken, whole)
    )
    assert (~np.isfinite(found)).sum() == 200 and not np.isfinite(found[100:300, 9]).any()
    np.testing.assert_array_equal(found[:, :9], wanted[:, :9])


@pytest.mark.parametrize("method", INTERPOLATORS.names())
@pytest.mark.parametrize("displacement", [40.0, -40.0, 80.0])
def test_whole_period_moves_channels_exactly(method: str, displacement: float):
    recording = noise("int16")
    corrected = interpolate_motion(recording, rigid(displacement), method=method)
    position = {tuple(xy): c for c, xy in enumerate(recording.info.channel_locations)}
    sources = [position[x, y + displacement] for x, y in corrected.info.channel_locations]
    assert len(sources) == 48 - abs(displacement) / 10
    np.testing.assert_array_equal(corrected.read(0, 500), recording.traces[:500, sources].astype(np.float32))


def test_channels_in_any_order():
    recording, mixed = noise(), np.random.default_rng(0).permutation(48)
    shuffled = InMemory(recording.traces[:, mixed], recording.info.channel_locations[mixed])
    straight = interpolate_motion(recording, NONRIGID, border_mode="force_extrapolate").read(0, 4000)
    other = interpolate_motion(shuffled, NONRIGID, border_mode="force_extrapolate").read(0, 4000)
    np.testing.assert_allclose(other, straight[:, mixed], atol=1e-3)


# --- the same for every way of reading


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("method", INTERPOLATORS.names())
def test_any_division_gives_the_same_bits(dtype: str, method: str):
    corrected = interpolate_motion(noise(dtype), NONRIGID, method=method, border_mode="force_extrapolate")
    whole = corrected.read(0, 4000)
    assert np.isfinite(whole).all()
    for length in (1, 7, 333, 1000):
        stop = min(4000, 40 * length)
        parts = [corrected.read(a, min(a + length, stop)) for a in range(0, stop, length)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[:stop])


def test_threads_and_processes_equal_serial():
    corrected = interpolate_motion(noise("int16"), NONRIGID)
    expected = joined(corrected, SerialExecutor(), 4.0)
    again = interpolate_motion(noise("int16"), NONRIGID)
    with ThreadPoolExecutor(4) as threads:
        np.testing.assert_array_equal(joined(again, threads, 0.1), expected)
    with ProcessPoolExecutor(1) as processes:
        np.testing.assert_array_equal(joined(corrected, processes, 0.9), expected)


def test_pickles_small_and_equal():
    recording = noise("int16", frames=500)
    corrected = interpolate_motion(recording, NONRIGID)
    expected = corrected.read(0, 500)
    payload = pickle.dumps(corrected)
    assert len(payload) < recording.traces.nbytes + 10_000
    np.testing.assert_array_equal(pickle.loads(payload).read(0, 500), expected)


def test_int16_equals_float32():
    integers = noise("int16")
    floats = InMemory(integers.traces.astype("float32"), integers.info.channel_locations)
    np.testing.assert_array_equal(interpolate_motion(integers, NONRIGID).read(0, 4000), interpolate_motion(floats, NONRIGID).read(0, 4000))


def test_cached_weights_stay_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("driftviewer.interpolate.corrected.CACHE_BYTES", 50_000)
    corrected = interpolate_motion(noise("int16"), NONRIGID)
    whole = corrected.read(0, 4000)
    assert sum(part.nbytes for level in corrected._cache.values() for part in level) < 100_000
    np.testing.assert_array_equal(whole, interpolate_motion(noise("int16"), NONRIGID).read(0, 4000))


# --- accuracy


def field(locations: np.ndarray) -> np.ndarray:
    """Smooth in the plane of the probe, µm in, µV out."""
    x, y = locations.T
    return 100 * np.sin(2 * np.pi * y / 180.0) * np.cos(2 * np.pi * x / 300.0) + 50 * np.cos(2 * np.pi * y / 130.0)


def drifting_field(motion: Motion, locations: np.ndarray, frames: int) -> InMemory:
    times = np.arange(frames) / RATE
    moved = motion.on_grid(times, locations[:, 1])
    traces = [field(locations - np.column_stack([np.zeros(len(d)), d])) for d in moved]
    return InMemory(np.array(traces, dtype=np.float32), locations)


@pytest.mark.parametrize("displacement", [3.0, -13.0, 30.0])
def test_moved_field_is_recovered(displacement: float):
    locations = neuropixels(96)
    recording = drifting_field(rigid(displacement), locations, 50)
    corrected = interpolate_motion(recording, rigid(displacement))
    middle = np.abs(corrected.info.channel_locations[:, 1] - 475) < 350
    error = corrected.read(0, 50) - field(corrected.info.channel_locations)
    assert np.abs(error[:, middle]).mean() < 5.0
    assert np.abs(recording.traces - field(locations)).mean() > 2 * np.abs(error[:, middle]).mean()


def test_continuous_motion_leaves_no_steps():
    motion, locations = rigid(0.0, 12.0, -9.0, 3.0), neuropixels(96)
    constant = InMemory(np.tile(field(locations).astype(np.float32), (4000, 1)), locations)
    corrected = interpolate_motion(constant, motion).read(0, 4000)
    slope = 100 * 2 * np.pi / 180 + 50 * 2 * np.pi / 130
    fastest_um_per_block = 21.0 * 0.01 + 1 / 16
    assert np.abs(np.diff(corrected, axis=0)).max() < 1.5 * slope * fastest_um_per_block


def test_displacement_is_linear_between_bins_and_constant_outside():
    corrected = interpolate_motion(noise(), NONRIGID)
    frames = np.array([0, 500, 750, 1500, 3999])
    expected = NONRIGID.on_grid(frames / RATE, corrected.info.channel_locations[:, 1])
    np.testing.assert_allclose(corrected.displacements(frames), expected, atol=1e-9)


def test_blended_weights_equal_exact_ones():
    recording = noise("float32")
    corrected = interpolate_motion(recording, rigid(7.5))
    locations = recording.info.channel_locations
    exact = corrected.method.kernel(locations, corrected.info.channel_locations + np.array([0.0, 7.5]))
    np.testing.assert_allclose(corrected.read(0, 100), recording.traces[:100] @ exact, atol=0.4)


def test_clock_of_the_recording_is_used():
    early, late = noise(), noise(t_start=100.0)
    shifted = Motion(NONRIGID.displacement, NONRIGID.temporal_bins_s + 100.0, NONRIGID.spatial_bins_um)
    np.testing.assert_array_equal(interpolate_motion(early, NONRIGID).read(0, 4000), interpolate_motion(late, shifted).read(0, 4000))


def test_unit_keeps_its_amplitude():
    """A drifting monopole, corrected, has the amplitude it has at rest."""
    locations, frames = neuropixels(96), 2000
    motion = rigid(0.0, 25.0)
    ratios = []
    for x, y, z in [(10.0, 400.0, 25.0), (24.0, 507.0, 35.0), (40.0, 433.0, 20.0)]:
        drift = motion.on_grid(np.arange(frames) / RATE, [y])
        apart = np.sqrt((locations[:, 0] - x) ** 2 + (locations[:, 1] - y - drift) ** 2 + z**2)
        corrected = interpolate_motion(InMemory((-3000.0 / apart).astype(np.float32), locations), motion)
        centre = corrected.info.channel_locations
        rest = -3000.0 / np.sqrt((centre[:, 0] - x) ** 2 + (centre[:, 1] - y) ** 2 + z**2)
        ratios.append(corrected.read(0, frames).min(axis=1) / rest.min())
    assert np.abs(np.mean(ratios) - 1) < 0.05
    assert np.abs(np.array(ratios) - 1).max() < 0.2


def test_gains_that_differ_are_respected():
    locations, gains = neuropixels(48), np.where(np.arange(48) % 3, 0.2, 0.5)
    microvolts = np.random.default_rng(0).normal(0, 30, (200, 48))
    plain = interpolate_motion(InMemory(microvolts.astype(np.float32), locations), rigid(9.0))
    scaled = interpolate_motion(InMemory((microvolts / gains).astype(np.float32), locations, gain_uv=gains), rigid(9.0))
    np.testing.assert_allclose(scaled.read(0, 200) * scaled.info.gain_uv, plain.read(0, 200), atol=0.05)


# --- ends of the probe


def test_remove_channels_drops_what_ever_leaves():
    recording = noise("int16", channel_ids=[f"AP{c}" for c in range(48)])
    corrected = interpolate_motion(recording, rigid(0.0, 25.0, -5.0))
    depths = recording.info.channel_locations[:, 1]
    kept = (depths - 5 >= 0) & (depths + 25 <= 460)
    assert corrected.info.channel_ids == tuple(f"AP{c}" for c in np.flatnonzero(kept))
    assert corrected.get_traces().shape == (4000, kept.sum())
    (note,) = corrected.info.notes
    assert note.startswith(f"{(~kept).sum()} of 48 channels were dropped") and "force_extrapolate" in note


def test_force_modes_keep_all_channels():
    recording = noise("int16")
    depths = recording.info.channel_locations[:, 1]
    zeros = interpolate_motion(recording, rigid(25.0), border_mode="force_zeros").read(0, 300)
    filled = interpolate_motion(recording, rigid(25.0), border_mode="force_extrapolate").read(0, 300)
    beyond = depths + 25 > 460
    assert (zeros[:, beyond] == 0).all() and (filled[:, beyond] != 0).any(axis=0).all()
    np.testing.assert_array_equal(zeros[:, ~beyond], filled[:, ~beyond])


def test_nothing_left_is_refused_with_the_remedy():
    with pytest.raises(InputError, match="force_extrapolate"):
        interpolate_motion(noise(), rigid(0.0, 500.0))
    with pytest.raises(InputError, match="force_extrapolate"):
        interpolate_motion(noise(channels=1), rigid(1.0))


def test_one_channel_without_motion():
    recording = noise(channels=1)
    np.testing.assert_array_equal(interpolate_motion(recording, rigid(0.0)).read(0, 10), recording.traces[:10])


def test_each_shank_has_its_own_ends():
    long, short = neuropixels(48), neuropixels(24) + np.array([250.0, 0.0])
    locations, shanks = np.concatenate([long, short]), np.repeat([0, 1], [48, 24])
    recording = noise(channels=72, locations=locations, shank_ids=shanks)
    corrected = interpolate_motion(recording, rigid(20.0))
    depths = corrected.info.channel_locations[:, 1]
    assert depths[corrected.info.shank_ids == 0].max() == 440.0
    assert depths[corrected.info.shank_ids == 1].max() == 200.0
    alone = interpolate_motion(InMemory(recording.traces[:, :48].copy(), long), rigid(20.0))
    np.testing.assert_allclose(corrected.read(0, 500)[:, :46], alone.read(0, 500), atol=0.05)


def test_motion_across_the_probe():
    grid = np.array([[x, y] for y in range(0, 80, 20) for x in range(0, 200, 20)], dtype=float)
    recording = noise(channels=40, locations=grid)
    sideways = Motion(np.array([[20.0]]), np.array([1.0]), np.array([100.0]), direction="x")
    corrected = interpolate_motion(recording, sideways)
    sources = np.flatnonzero(grid[:, 0] >= 20)
    np.testing.assert_array_equal(corrected.read(0, 50), recording.traces[:50, sources])


# --- what may be passed


def test_three_arrays_and_foreign_motion_and_alias():
    recording = noise("int16")
    expected = interpolate_motion(recording, NONRIGID, method="idw").read(0, 4000)
    arrays = interpolate_motion(recording, *NONRIGID, spatial_interpolation_method="idw", num_closest=3)
    foreign = SimpleNamespace(
        displacement=[NONRIGID.displacement], temporal_bins_s=[NONRIGID.temporal_bins_s], spatial_bins_um=NONRIGID.spatial_bins_um
    )
    np.testing.assert_array_equal(arrays.read(0, 4000), expected)
    np.testing.assert_array_equal(interpolate_motion(recording, foreign, method="idw").read(0, 4000), expected)


def test_foreign_motion_of_two_segments_is_joined():
    recording = noise("int16", boundaries=(2000,))
    foreign = SimpleNamespace(
        displacement=[np.ones((2, 1)), np.zeros((2, 1))], temporal_bins_s=[np.array([0.5, 1.5])] * 2, spatial_bins_um=np.array([100.0])
    )
    motion = as_motion(foreign, None, None, recording)
    np.testing.assert_array_equal(motion.temporal_bins_s, [0.5, 1.5, 2.5, 3.5])
    with pytest.raises(InputError, match="segments"):
        as_motion(foreign, None, None, noise())


def test_rigid_motion_as_one_column():
    motion = as_motion([0.0, 1.0], [0.5, 1.5], None, noise())
    assert motion.is_rigid and motion.spatial_bins_um[0] == 230.0


def test_unusable_motion_is_refused():
    with pytest.raises(InputError, match="temporal_bins"):
        interpolate_motion(noise(), np.zeros((2, 2)))
    with pytest.raises(InputError, match="clock"):
        interpolate_motion(noise(t_start=900.0), NONRIGID)
    with pytest.raises(InputError, match="kriging"):
        interpolate_motion(noise(), NONRIGID, method="krigging")


def test_description_tells_motions_and_methods_apart():
    recording = noise()
    base = interpolate_motion(recording, NONRIGID).describe()
    assert base == interpolate_motion(recording, NONRIGID).describe()
    assert base != interpolate_motion(recording, NONRIGID.with_displacement(NONRIGID.displacement + 1)).describe()
    assert base != interpolate_motion(recording, NONRIGID, sigma_um=30.0).describe()


def test_motion_is_at_hand():
    assert interpolate_motion(noise(), NONRIGID).motion is NONRIGID


def test_no_frames():
    assert interpolate_motion(noise(), NONRIGID, border_mode="force_zeros").read(10, 10).shape == (0, 48)


def two_shanks(frames: int = 2000) -> InMemory:
    """Two shanks of 24 contacts, side by side and so close that weights would reach across."""
    column = np.column_stack([np.zeros(24), 20.0 * np.arange(24)])
    locations = np.concatenate([column, column + np.array([30.0, 0.0])])
    return noise(channels=48, frames=frames, locations=locations, shank_ids=np.repeat([0, 1], 24))


@pytest.mark.parametrize("method", ["kriging", "idw", "nearest"])
def test_each_shank_is_corrected_by_its_own_motion_from_its_own_contacts(method: str) -> None:
    recording, own = two_shanks(), [rigid(0.0, 25.0, 5.0), rigid(13.0, -8.0, 40.0)]
    together = Motion(
        0.5 * (own[0].displacement + own[1].displacement), own[0].temporal_bins_s, own[0].spatial_bins_um,
        shank_ids=np.array([0, 1]), shank_displacement=np.stack([motion.displacement for motion in own]),
    )  # fmt: skip
    corrected = interpolate_motion(recording, together, method=method, border_mode="force_extrapolate")
    for shank, motion in enumerate(own):
        part = slice(24 * shank, 24 * shank + 24)
        alone = InMemory(recording.traces[:, part].copy(), recording.info.channel_locations[part])
        expected = interpolate_motion(alone, motion, method=method, border_mode="force_extrapolate").read(0, 2000)
        np.testing.assert_allclose(corrected.read(0, 2000)[:, part], expected, atol=1e-3)
    assert corrected.describe() != interpolate_motion(recording, together.for_shank(9), method=method).describe()


def test_channels_that_leave_their_shank_are_dropped_by_its_own_motion() -> None:
    motion = Motion(
        np.array([[0.0]]), np.array([1.0]), np.array([200.0]), shank_ids=np.array([0, 1]), shank_displacement=np.array([[[0.0]], [[45.0]]])
    )
    corrected = interpolate_motion(two_shanks(), motion)
    assert np.bincount(corrected.info.shank_ids).tolist() == [24, 21] and "0 to 45 µm" in corrected.info.notes[-1]
    pickled = pickle.loads(pickle.dumps(corrected))
    assert np.array_equal(pickled.read(0, 500), corrected.read(0, 500))
