import numpy as np

from driftviewer.motion.evidence import MIN_BIN_PEAKS, bridge, confidence, no_motion, not_reproducible, too_little


def test_enough_peaks_raise_no_objection(make_activity):
    assert too_little(make_activity(), np.arange(0.0, 201, 2)) == ""


def test_a_short_recording_is_refused_in_plain_words(make_activity):
    note = too_little(make_activity(duration_s=3.3, span_um=300.0), np.array([0.0, 2.0, 4.0]))
    assert note.startswith("3.3 s of recording with 990 located peaks on 300 µm of probe cannot support a drift estimate: 2 of 2 time bins")


def test_a_handful_of_peaks_is_refused(make_activity):
    edges = np.arange(0.0, 201, 2)
    assert f"hold {MIN_BIN_PEAKS} peaks or more" in too_little(make_activity(rate_hz=1.0), edges)
    assert "0 located peaks" in too_little(make_activity(rate_hz=0.0), edges)


def test_no_motion_keeps_clock_axis_and_reason(make_activity):
    motion = no_motion(make_activity(t_start=50.0, duration_s=10.0), "why")
    assert motion.temporal_bins_s.tolist() == [55.0] and motion.notes == ("why",) and not motion.displacement.any()
    assert motion.direction == "y" and not motion.confidence.any()


def test_halves_that_agree_are_believed():
    p, noise = np.sin(np.arange(100) / 9)[:, None], np.random.default_rng(0).normal(0, 0.3, (2, 100, 1))
    assert not_reproducible(p + noise[0], p + noise[1] + 4.0) == ""
    assert "do not agree" in not_reproducible(noise[0], noise[1])
    assert "do not agree" in not_reproducible(np.zeros((5, 1)), np.zeros((5, 1)))


def test_confidence_falls_with_the_standard_error():
    assert np.allclose(confidence(np.array([[1e9, 1.0, 0.05, 0.0]])), [[1, 0.5, 0, 0]])


def test_gaps_are_bridged_in_time_and_blind_windows_follow_their_neighbour():
    displacement = np.array([[9.0, 0, 0], [1, 0, 0], [9, 0, 5], [9, 0, 5], [4, 0, 5], [9, 0, 5]])
    trust = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 1.0]])
    bridged = bridge(displacement, trust)
    assert bridged[:, 0].tolist() == [1, 1, 2, 3, 4, 4]
    assert bridged[:, 1].tolist() == bridged[:, 0].tolist()
    assert bridged[:, 2].tolist() == displacement[:, 2].tolist()
    assert bridge(displacement, np.zeros_like(trust)).tolist() == displacement.tolist()
