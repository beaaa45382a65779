"""Is the correction helping? Judged from the peaks alone, without ground truth.

A run is ranked by how far its motion is from the one that the peaks themselves support best (`driftviewer.reference_motion`).
"""

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from driftviewer.chunks import Steps, drain
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.motion.work import Work, as_steps, share
from driftviewer.profiles import measure_profiles
from driftviewer.raster import PeakRaster
from driftviewer.recording import as_recording
from driftviewer.reference_motion import typical
from driftviewer.yardstick import Yardstick, yardsticks

NO_CORRECTION = "no correction"
FAST_UM_S = 30.0
"""Tissue seldom moves faster than this."""

TRIVIAL_UM = 1.0
CLEAR = 0.9
"""A motion helps where it leaves less than this share of the drift, and harms where it makes it this much larger."""

NAN = float("nan")


@dataclass(frozen=True)
class DriftScore:
    """What the peaks say about a motion, without ground truth.

    Parameters
    ----------
    sharpness_gain : float
        Contrast of the time-averaged depth profile after correction, relative to before; above 1 is sharper.
    correlation_before, correlation_after : float
        Mean correlation between the depth profiles of all pairs of time bins.
    residual_um : float
        Mean displacement still seen between successive time bins after correction, µm.
    max_displacement_um : float
        Largest displacement about each window's median, µm.
    verdict : str
        "helps", "makes no difference", "no drift to correct", "makes it worse: do not apply" or "no estimate", with the reason.
    score : float
        By which runs are ranked, higher is better: minus `error_um`. Absolute, hence comparable between runs of different peaks
        as far as their localiser is unbiased; `rank_motions` compares runs on the same peaks.
    error_um, error_uncorrected_um : float
        Drift that the motion leaves, and that there is without it, µm: typical distance (power mean with exponent 1/2, between
        median and mean) from the motion that the peaks support best, and the uncertainty of the latter, added in quadrature.
    likelihood_gain : float
        By how much correction makes the peaks more likely under their common density over depth and amplitude, nats per peak.
    split_agreement : float
        Correlation between the motions that two disjoint halves of the units show, 0 where they show none.
    split_error_um : float
        Half the typical difference between these two, µm.
    at_bound : float
        Share of time bins and windows that sit exactly on the largest or smallest displacement, as those do that ran into the
        bound of a search; given `bound_um`, the share within 2 % of it or beyond.
    speed_outliers : float
        Share of steps between time bins faster than 30 µm/s.
    confidence : float
        Mean confidence of the estimate, NaN where it has none.
    """

    sharpness_gain: float
    correlation_before: float
    correlation_after: float
    residual_um: float
    max_displacement_um: float
    verdict: str
    score: float = NAN
    error_um: float = NAN
    error_uncorrected_um: float = NAN
    likelihood_gain: float = NAN
    split_agreement: float = NAN
    split_error_um: float = NAN
    at_bound: float = 0.0
    speed_outliers: float = 0.0
    confidence: float = NAN

    def to_dict(self) -> dict[str, Any]:
        """Return the score as a JSON value."""
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class RankedMotion:
    """A motion, its name and its score."""

    name: str
    motion: Motion
    score: DriftScore


def drift_score(
    peaks: np.ndarray,
    peak_locations: np.ndarray,
    motion: Motion,
    *,
    recording: Any = None,
    sampling_frequency: float = 30_000.0,
    t_start: float = 0.0,
    bound_um: float | None = None,
) -> DriftScore:
    """Judge a motion by the peaks it was estimated from.

    Parameters
    ----------
    peaks, peak_locations : (N,) structured
        As detected and localised; rows with NaN are ignored. Beyond 250,000 peaks an even sample of them is used.
    motion : Motion
        To be judged.
    recording : Recording or SpikeInterface recording, optional
        Tells the times of the peaks, and where the contacts are.
    sampling_frequency, t_start : float
        Hz, and time of frame 0 on the motion's clock, s; used where no recording is given.
    bound_um : float, optional
        Largest displacement that was searched, if known.

    Returns
    -------
    DriftScore
        Measures and a verdict in words.

    Raises
    ------
    InputError
        Peaks and locations do not fit each other, or a number is out of bounds.
    """
    if bound_um is not None and not (isinstance(bound_um, int | float) and bound_um > 0):
        raise InputError(f"bound_um = {bound_um} must be larger than 0; leave it out if the bound is not known.")
    _check_motions([motion])
    raster, contacts = _raster(peaks, peak_locations, motion.direction, recording, sampling_frequency, t_start)
    sticks = drain(as_steps(_sticks(raster, contacts, [motion]), "score"), False)
    return _score(raster, sticks, motion, bound_um)


def rank_motions(
    peaks: np.ndarray,
    peak_locations: np.ndarray,
    motions: Mapping[str, Motion] | Sequence[Motion],
    *,
    recording: Any = None,
    sampling_frequency: float = 30_000.0,
    t_start: float = 0.0,
) -> list[RankedMotion]:
    """Rank motions, and that of no correction, on one set of peaks.

    Runs that differ in detector or localiser are compared on the peaks that are located best: monopolar triangulation or grid
    convolution rather than the centre of mass, whose bias would favour the motions that share it.

    Parameters
    ----------
    peaks, peak_locations, recording, sampling_frequency, t_start
        As for `drift_score`.
    motions : mapping of str to Motion, or sequence of Motion
        With their names, or by number.

    Returns
    -------
    list of RankedMotion
        Best first; "no correction" is among them and comes first among equals.

    Raises
    ------
    InputError
        As for `drift_score`, or motions along different axes.
    """
    if not isinstance(motions, Mapping | Sequence):
        raise InputError(f"rank_motions needs motions by name or a list of them, not {type(motions).__name__}.")
    named = dict(motions) if isinstance(motions, Mapping) else {str(k): motion for k, motion in enumerate(motions)}
    _check_motions(list(named.values()))
    directions = sorted({motion.direction for motion in named.values()}) or ["y"]
    if len(directions) > 1:
        raise InputError("Motions along x and along y cannot be ranked together; rank those of each axis on their own.")
    raster, contacts = _raster(peaks, peak_locations, directions[0], recording, sampling_frequency, t_start)
    (begin, end), depths = raster.time_range, contacts or raster.depth_range
    still = replace(Motion.none(end - begin, depths, "", begin), direction=directions[0], confidence=None, notes=())
    everything = {NO_CORRECTION: still} | named
    sticks = drain(as_steps(_sticks(raster, contacts, list(everything.values())), "score"), False)
    ranked = [RankedMotion(name, motion, _score(raster, sticks, motion)) for name, motion in everything.items()]
    return sorted(ranked, key=lambda run: -round(run.score.score, 6) if math.isfinite(run.score.score) else math.inf)


def score_raster(raster: PeakRaster, motion: Motion) -> DriftScore:
    """Judge a motion by a raster of peaks (see `drift_score`); what does not depend on the motion is worked out once per raster."""
    return drain(score_steps(raster, motion), False)


def score_steps(raster: PeakRaster, motion: Motion) -> Steps[DriftScore]:
    """As `score_raster`; yield progress, so that it can be cancelled."""
    return as_steps(_scoring(raster, motion), "score")


def _scoring(raster: PeakRaster, motion: Motion) -> Work[DriftScore]:
    return _score(raster, (yield from _sticks(raster, None, [motion], _STICKS)), motion)


def _sticks(
    raster: PeakRaster, contacts: tuple[float, float] | None, motions: Sequence[Motion], known: "_Known | None" = None
) -> Work[list[Yardstick]]:
    """Return the yardstick of each shank, having considered the likeliest of some motions as a start."""
    sticks = None if known is None else known.get(raster)
    if sticks is None:
        sticks = yield from share(yardsticks(raster, motions[0].direction, contacts), 0.0, 0.7)
        if known is not None:
            known[raster] = sticks
    found = []
    for k, stick in enumerate(sticks):
        likeliest = max(motions, key=stick.likelihood)
        found.append((yield from share(stick.considering(likeliest), 0.7 + 0.3 * k / len(sticks), 0.3 / len(sticks))))
    return found


_Known = weakref.WeakKeyDictionary[PeakRaster, list[Yardstick]]
_STICKS: _Known = weakref.WeakKeyDictionary()


def _check_motions(motions: Sequence[Any]) -> None:
    for motion in motions:
        if not isinstance(motion, Motion):
            raise InputError(f"{type(motion).__name__} is not a Motion; give the result of estimate_motion or load_motion.")


def _raster(
    peaks: np.ndarray, places: np.ndarray, direction: str, recording: Any, rate: float, t_start: float
) -> tuple[PeakRaster, tuple[float, float] | None]:
    """Return the peaks on the motion's clock, and the range of the contacts where a recording tells it."""
    if not (isinstance(peaks, np.ndarray) and isinstance(places, np.ndarray)):
        raise InputError("Peaks and locations must be arrays; give them as detect_peaks and localize_peaks make them.")
    if len(peaks) != len(places):
        raise InputError(f"{len(peaks)} peaks do not fit {len(places)} peak locations; localise the same peaks again.")
    for values, fields in ((peaks, ("sample_index", "amplitude")), (places, (direction,))):
        for name in fields:
            if name not in (values.dtype.names or ()):
                raise InputError(f"The peaks have no field {name!r}; give peaks and locations as detection and localisation make them.")
    if recording is None:
        if not all(isinstance(number, int | float) for number in (rate, t_start)):
            raise InputError(f"sampling_frequency = {rate!r} and t_start = {t_start!r} must be numbers; correct them.")
        if not (rate > 0 and math.isfinite(rate) and math.isfinite(t_start)):
            raise InputError(f"sampling_frequency = {rate} and t_start = {t_start} must be finite, and the first above 0; correct them.")
        return PeakRaster(peaks["sample_index"] / rate + t_start, places[direction], peaks["amplitude"]), None
    rec = as_recording(recording)
    contacts = rec.info.channel_locations[:, "xy".index(direction)]
    shanks = _shanks(peaks, rec.info.shank_ids)
    raster = PeakRaster(rec.frames_to_times(peaks["sample_index"]), places[direction], peaks["amplitude"], shanks)
    return raster, (float(contacts.min()), float(contacts.max()))


def _shanks(peaks: np.ndarray, shank_ids: np.ndarray) -> np.ndarray | None:
    """Return the shank (N,) of each peak, on a probe of several."""
    if "channel_index" not in (peaks.dtype.names or ()) or np.unique(shank_ids).size < 2:
        return None
    channels = peaks["channel_index"]
    if len(channels) and (channels.min() < 0 or channels.max() >= len(shank_ids)):
        raise InputError(f"A peak on channel {int(channels.max())} lies outside the recording of {len(shank_ids)} channels.")
    return np.asarray(shank_ids[channels])


def _score(raster: PeakRaster, sticks: list[Yardstick], motion: Motion, bound_um: float | None = None) -> DriftScore:
    """Put the measures together."""
    largest = float(np.abs(motion.displacement - np.median(motion.displacement, axis=0)).max())
    trust = NAN if motion.confidence is None else float(motion.confidence.mean())
    about = dict(at_bound=_at_bound(motion, bound_um), speed_outliers=_speed_outliers(motion), confidence=trust)
    before, after = (measure_profiles(raster, motion, applied) for applied in (False, True))
    if before is None or after is None or not sticks:
        verdict = "no estimate: there are too few peaks, or too little time, to judge it by"
        return DriftScore(NAN, NAN, NAN, NAN, largest, _reason(motion) or verdict, **about)
    gain = after.contrast / max(before.contrast, 1e-12)
    measured = _measure(sticks, motion)
    verdict = _reason(motion) or _verdict(gain, measured, all(stick.reference.still for stick in sticks), largest)
    return DriftScore(gain, before.correlation, after.correlation, after.residual_um, largest, verdict, **measured, **about)


def _reason(motion: Motion) -> str:
    """Return why there is nothing to judge, or an empty string."""
    if motion.confidence is None or motion.confidence.any():
        return ""
    return f"no estimate: {motion.notes[0] if motion.notes else 'there was no evidence'}"


def _measure(sticks: list[Yardstick], motion: Motion) -> dict[str, float]:
    """Measure a motion against the references of all shanks."""
    still = motion.with_displacement(np.zeros_like(motion.displacement)) if motion.shank_displacement is None else replace(
        motion, displacement=np.zeros_like(motion.displacement), shank_ids=None, shank_displacement=None, shank_confidence=None
    )  # fmt: skip
    share = np.array([stick.activity.times_s.size for stick in sticks], float)
    share /= share.sum()
    split = float(share @ [stick.reference.error_um for stick in sticks])
    left, drift = (math.hypot(typical(np.concatenate([stick.errors(m).ravel() for stick in sticks])), split) for m in (motion, still))
    return dict(
        score=-left,
        error_um=left,
        error_uncorrected_um=drift,
        likelihood_gain=float(share @ [stick.likelihood(motion) - stick.likelihood(still) for stick in sticks]),
        split_agreement=float(share @ [stick.reference.agreement for stick in sticks]),
        split_error_um=split,
    )


def _verdict(gain: float, measured: Mapping[str, float], still: bool, largest: float) -> str:
    left, drift = measured["error_um"], measured["error_uncorrected_um"]
    if still and largest < TRIVIAL_UM:
        return f"no drift to correct: the estimate stays within {largest:.1f} µm, and the peaks show none"
    if still:
        return f"makes it worse: do not apply (the peaks show no drift, and it moves them by up to {largest:.1f} µm)"
    if left < CLEAR * drift:
        return f"helps: {drift:.1f} µm of drift become {left:.1f} µm, raster {gain:.2f}× sharper"
    if left > drift / CLEAR:
        return f"makes it worse: do not apply ({drift:.1f} µm of drift would become {left:.1f} µm)"
    return f"makes no difference: about {drift:.1f} µm of drift stay"


def _at_bound(motion: Motion, bound_um: float | None) -> float:
    """Return the share of values at the bound, or tied at either extreme."""
    values = motion.displacement
    if bound_um is not None:
        return float((np.abs(values) >= 0.98 * bound_um).mean())
    low, high = values.min(), values.max()
    if not high > low:
        return 0.0
    tied = [int((np.abs(values - extreme) <= 1e-6 * (high - low)).sum()) for extreme in (low, high)]
    return sum(count for count in tied if count > 2) / values.size


def _speed_outliers(motion: Motion) -> float:
    """Return the share of steps in time that are faster than tissue moves."""
    if len(motion.temporal_bins_s) < 2:
        return 0.0
    speed = np.abs(np.diff(motion.displacement, axis=0)) / np.diff(motion.temporal_bins_s)[:, None]
    return float((speed > FAST_UM_S).mean())
