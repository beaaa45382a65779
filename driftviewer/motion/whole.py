"""From the peaks of a whole recording to its motion: an estimator sees one shank and one file at a time, without artifacts."""

from dataclasses import replace

from driftviewer.chunks import Steps
from driftviewer.data import Motion
from driftviewer.motion.base import Activity, Estimator
from driftviewer.motion.excluded import artifacts, bridged, interval_notes, without
from driftviewer.motion.sessions import by_session
from driftviewer.motion.shanks import by_shank
from driftviewer.params import intervals_of


def estimate_steps(estimator: Estimator, activity: Activity) -> Steps[Motion]:
    """Estimate the motion of a recording of any number of shanks and files; yield progress.

    Parameters
    ----------
    estimator : Estimator
        Its parameters tell what to do with shanks, files and artifacts.
    activity : Activity
        Peaks of the whole recording, with their shanks and the boundaries between files, as from `make_activity`.

    Returns
    -------
    Motion
        Continuous within a file, with rows just before and at each boundary so that nothing is blended across it.
    """
    given = intervals_of(estimator.exclude_intervals_s)
    found = artifacts(without(activity, given)) if estimator.detect_artifacts else []
    intervals = sorted(given + found)

    def one_file(part: Activity) -> Steps[Motion]:
        return bridged((yield from estimator.estimate(part)), intervals)

    def one_shank(part: Activity) -> Steps[Motion]:
        if estimator.sessions == "ignore":
            return (yield from one_file(part))
        return (yield from by_session(part, one_file))

    motion = yield from by_shank(without(activity, intervals), estimator.shanks, one_shank)
    notes = interval_notes(given, found)
    return replace(motion, notes=(*motion.notes, *notes)) if notes else motion
