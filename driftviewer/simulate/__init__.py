"""Drifting recordings with known truth: probe, units, spike trains, motion and noise from one seed."""

from driftviewer.simulate.drifting import DriftingSimulation, SimulatedRecording, simulate_drifting_recording
from driftviewer.simulate.truth import Truth

__all__ = ["DriftingSimulation", "SimulatedRecording", "Truth", "simulate_drifting_recording"]
