"""Multiply traces with sparse, slowly changing weights; the compiled heart of motion correction.

Outputs are worked on in tiles of neighbouring channels that share their sources, several frames at a time, so that the
accumulators stay in vector registers. The order of summation of a frame depends on its weights alone: results are
identical for any division of the frames.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
FRAMES = 4
ROWS = 32
STEPS = 16
"""Parts into which the displacement between two levels of weights is divided."""


@intrinsic
def _multiply_tile(typingctx: Any, rows: Any, row: Any, listed: Any, used: Any, matrix: Any, result: Any, column: Any) -> tuple[Any, Any]:
    """``result[row:row + FRAMES, column:column + LANES] = rows[row:row + FRAMES, listed[:used]] @ matrix[:used]``.

    Written in LLVM's vector types: the loop vectoriser does not keep such accumulators in registers (5 times slower).
    """
    signature = types.void(rows, types.intp, listed, types.intp, matrix, result, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integer = context.get_value_type(types.intp)
        vector = ir.VectorType(ir.FloatType(), LANES)
        zero = ir.Constant(vector, [0.0] * LANES)
        spread = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        fused = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f32")
        arrays = {n: context.make_array(sig.args[n])(context, builder, args[n]) for n in (0, 2, 4, 5)}

        def pointer(number: int, index: Any, frame: int) -> Any:
            width = builder.extract_value(arrays[number].shape, 1)
            return builder.gep(arrays[number].data, [builder.mul(builder.add(index, ir.Constant(integer, frame)), width)])

        frames = [pointer(0, args[1], f) for f in range(FRAMES)]
        sums = [cgutils.alloca_once(builder, vector) for _ in range(FRAMES)]
        for total in sums:
            builder.store(zero, total)
        with cgutils.for_range(builder, args[3]) as loop:
            source = builder.load(builder.gep(arrays[2].data, [loop.index]))
            weight = builder.load(builder.bitcast(pointer(4, loop.index, 0), vector.as_pointer()), align=4)
            for frame, total in zip(frames, sums, strict=True):
                sample = builder.insert_element(zero, builder.load(builder.gep(frame, [source])), ir.Constant(ir.IntType(32), 0))
                sample = builder.shuffle_vector(sample, zero, spread)
                builder.store(builder.call(fused, [sample, weight, builder.load(total)]), total)
        for f, total in enumerate(sums):
            place = builder.gep(pointer(5, args[1], f), [args[6]])
            builder.store(builder.load(total), builder.bitcast(place, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate


@numba.njit(nogil=True, cache=True)
def compress(weights: np.ndarray, negligible: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep of each row of weights (M, C) what is not negligible, scaled to the same sum.

    Returns
    -------
    counts : (M,) int64
        Entries of each row.
    sources : (M, K) int64
        Their contacts.
    values : (M, K) float64
        Their weights.
    """
    kept = np.abs(weights) > negligible
    counts = kept.sum(axis=1)
    width = max(1, counts.max())
    sources = np.zeros((len(weights), width), dtype=np.int64)
    values = np.zeros((len(weights), width))
    for m in range(len(weights)):
        total, partial = weights[m].sum(), 0.0
        for c in range(weights.shape[1]):
            if kept[m, c]:
                partial += weights[m, c]
        scale = total / partial if abs(partial) > 0.1 else 1.0
        n = 0
        for c in range(weights.shape[1]):
            if kept[m, c]:
                sources[m, n] = c
                values[m, n] = weights[m, c] * scale
                n += 1
    return counts, sources, values


@numba.njit(nogil=True, cache=True)
def _assemble(
    keys: np.ndarray,
    members: np.ndarray,
    lookup: np.ndarray,
    counts: np.ndarray,
    sources: np.ndarray,
    values: np.ndarray,
    slot: np.ndarray,
    listed: np.ndarray,
    matrix: np.ndarray,
) -> int:
    """Write one tile's sources and weights; return the number of sources, or 0 where each output copies one contact."""
    copies = True
    for i in range(members.size):
        m = members[i]
        column = lookup[keys[m] // STEPS, m]
        copies &= keys[m] % STEPS == 0 and counts[column] == 1 and values[column, 0] == 1.0
        listed[i] = sources[column, 0]
    if copies:
        return 0
    used = 0
    for i in range(members.size):
        m = members[i]
        share = np.float32(keys[m] % STEPS) / np.float32(STEPS)
        for above in range(2 if share > 0 else 1):
            column = lookup[keys[m] // STEPS + above, m]
            factor = share if above else np.float32(1.0) - share
            for n in range(counts[column]):
                source = sources[column, n]
                if slot[source] < 0:
                    slot[source] = used
                    listed[used] = source
                    matrix[used] = 0.0
                    used += 1
                matrix[slot[source], i] += factor * values[column, n]
    for n in range(used):
        slot[listed[n]] = -1
    if used == 0:
        listed[0] = 0
        matrix[0] = 0.0
        used = 1
    return used


@numba.njit(nogil=True, cache=True)
def _copy(values: np.ndarray, out: np.ndarray, count: int) -> None:
    for i in range(count):
        out[i] = values[i]


@numba.njit(nogil=True, cache=True)
def apply_columns(
    traces: np.ndarray,
    ends: np.ndarray,
    keys: np.ndarray,
    order: np.ndarray,
    lookup: np.ndarray,
    counts: np.ndarray,
    sources: np.ndarray,
    values: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write corrected traces (T, M) into `out`.

    Parameters
    ----------
    traces : (T, C)
        Samples of any type.
    ends : (Q,) int64
        Row after the last of each block.
    keys : (Q, M) int64
        Displacement of each output in each block, in steps (`STEPS` to a level) above the first level of `lookup`.
    order : (M,) int64
        The outputs, neighbours together.
    lookup : (L, M) int64
        Column that holds the weights of a level and output.
    counts, sources, values : (P,), (P, K), (P, K)
        The columns, as `compress` returns them, the weights as float32.
    """
    channels, outputs = traces.shape[1], order.size
    tiles = (outputs + LANES - 1) // LANES
    depth = max(LANES, min(channels, 2 * LANES * sources.shape[1]))
    samples = np.zeros((ROWS, channels), dtype=np.float32)
    result = np.zeros((ROWS, tiles * LANES), dtype=np.float32)
    listed = np.zeros((tiles, depth), dtype=np.int64)
    matrix = np.zeros((tiles, depth, LANES), dtype=np.float32)
    used = np.zeros(tiles, dtype=np.int64)
    slot = np.full(channels, -1, dtype=np.int64)
    ordered = True
    for m in range(outputs):
        ordered &= order[m] == m
    begin = 0
    for block in range(ends.size):
        for tile in range(tiles):
            members = order[tile * LANES : (tile + 1) * LANES]
            changed = block == 0
            if not changed:
                for m in members:
                    changed |= keys[block, m] != keys[block - 1, m]
            if changed:
                used[tile] = _assemble(keys[block], members, lookup, counts, sources, values, slot, listed[tile], matrix[tile])
        for row in range(begin, ends[block], ROWS):
            rows = min(ROWS, ends[block] - row)
            for r in range(rows):
                _copy(traces[row + r], samples[r], channels)
            for tile in range(tiles):
                column = tile * LANES
                if used[tile]:
                    for r in range(0, rows, FRAMES):
                        _multiply_tile(samples, r, listed[tile], used[tile], matrix[tile], result, column)
                else:
                    for r in range(rows):
                        for i in range(min(LANES, outputs - column)):
                            result[r, column + i] = samples[r, listed[tile, i]]
            if ordered:
                for r in range(rows):
                    _copy(result[r], out[row + r], outputs)
            else:
                for r in range(rows):
                    for m in range(outputs):
                        out[row + r, order[m]] = result[r, m]
        begin = ends[block]
