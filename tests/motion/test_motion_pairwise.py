import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, shift

from driftviewer.motion.pairwise import BLOCK, Pairs, block_offsets, cross_correlate

BIN_UM = 5.0


def profiles(displacement_um: np.ndarray, depth_bins: int = 200) -> np.ndarray:
    template = gaussian_filter1d(np.random.default_rng(0).random(depth_bins), 2.0)
    return np.stack([shift(template, d / BIN_UM, mode="nearest") for d in displacement_um]).astype(np.float32)


def window(depth_bins: int = 200) -> np.ndarray:
    return np.exp(-0.5 * ((np.arange(depth_bins) - depth_bins / 2) / 30) ** 2)


def dense(pairs: Pairs, field: str) -> np.ndarray:
    blocks, size = getattr(pairs, field), pairs.weight.shape[1]
    out = np.zeros((len(np.unique(pairs.index)) * size,) * 2)
    for (row, column), block in zip(pairs.index, blocks, strict=True):
        out[row * size : (row + 1) * size, column * size : (column + 1) * size] = block
    return out[: pairs.num_bins, : pairs.num_bins]


def test_displacements_are_finer_than_a_bin(run):
    moved = np.array([0.0, 12.0, -21.0, 3.5, 40.0])
    pairs = run(cross_correlate(profiles(moved), window(), 20, BIN_UM))
    upper = np.triu_indices(5, 1)
    assert np.allclose(dense(pairs, "displacement")[upper], (moved[:, None] - moved[None, :])[upper], atol=0.5)
    assert (dense(pairs, "weight")[upper] > 0.9).all()
    assert not dense(pairs, "weight")[np.tril_indices(5)].any()


def test_correlation_agrees_with_its_definition(run):
    rng = np.random.default_rng(1)
    raster, weights, max_lag = rng.random((2, 60)).astype(np.float32), window(60), 4
    best = -2.0
    for lag in range(-max_lag, max_lag + 1):
        d = np.arange(max(0, lag), 60 + min(0, lag))
        w = np.sqrt(weights[d] * weights[d - lag])
        x, y = raster[0, d], raster[1, d - lag]
        x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
        best = max(best, np.sum(w * x * y) / np.sqrt(np.sum(w * x * x) * np.sum(w * y * y)))
    pairs = run(cross_correlate(raster, weights, max_lag, BIN_UM))
    assert dense(pairs, "weight")[0, 1] in (0.0, pytest.approx(best, abs=1e-4))


def test_equal_profiles_have_no_displacement(run):
    pairs = run(cross_correlate(profiles(np.zeros(3)), window(), 10, BIN_UM))
    assert np.abs(dense(pairs, "displacement")).max() < 1e-3


def test_a_match_at_the_search_bound_is_no_evidence(run):
    pairs = run(cross_correlate(profiles(np.array([0.0, 60.0])), window(), 4, BIN_UM))
    assert dense(pairs, "weight")[0, 1] == 0 or abs(dense(pairs, "displacement")[0, 1]) < 20


def test_threshold_silence_and_horizon_give_no_weight(run):
    raster = profiles(np.zeros(6))
    raster[2] = 0
    assert not dense(run(cross_correlate(raster, window(), 5, BIN_UM)), "weight")[[2]].any()
    noise = np.random.default_rng(0).random((6, 200)).astype(np.float32)
    assert not run(cross_correlate(noise, window(), 5, BIN_UM, threshold=0.9)).weight.any()
    near = dense(run(cross_correlate(profiles(np.zeros(6)), window(), 5, BIN_UM, horizon=2)), "weight")
    gaps = np.subtract.outer(np.arange(6), np.arange(6))
    assert (near[(gaps < 0) & (gaps >= -2)] > 0).all() and not near[gaps < -2].any()


def test_blocks_agree_with_one_another(run):
    moved = np.linspace(-30, 30, BLOCK + 20)
    pairs = run(cross_correlate(profiles(moved), window(), 20, BIN_UM))
    assert len(pairs.index) == 3
    upper = np.triu_indices(moved.size, 1)
    assert np.median(np.abs(dense(pairs, "displacement")[upper] - (moved[:, None] - moved[None, :])[upper])) < 0.3


def test_pairs_of_a_long_recording_grow_linearly():
    def blocks(bins: int) -> int:
        return sum(-(-bins // BLOCK) - offset for offset in block_offsets(bins))

    assert block_offsets(4 * BLOCK - 5) == [0, 1, 2, 3]
    assert block_offsets(14400, horizon=BLOCK - 5) == [0, 1]
    assert blocks(14400) * BLOCK**2 * 8 * 9 < 1e9
    assert blocks(57600) < 5.5 * blocks(14400)


def test_support_sums_what_each_bin_is_part_of():
    weight = np.array([[0, 0.5, 0.25], [9, 0, 0], [9, 9, 0]])
    assert Pairs.from_dense(np.zeros((3, 3)), weight).support().tolist() == [0.75, 0.5, 0.25]
