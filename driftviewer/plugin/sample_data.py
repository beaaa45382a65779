"""A drifting recording to try things on."""

import numpy as np

from driftviewer.plugin.reader import LayerData, layer_data
from driftviewer.raster import PeakRaster
from driftviewer.simulate import simulate_drifting_recording


def drifting_recording(duration_s: float = 300.0, num_units: int = 100, seed: int = 0) -> list[LayerData]:
    """Simulate units on a drifting probe; return the raster of their spikes and the true motion as napari's layer tuples."""
    _, truth = simulate_drifting_recording(duration_s=duration_s, num_channels=128, num_units=num_units, drift="nonrigid", seed=seed)
    times = truth.t_start_s + truth.spike_times / truth.sampling_frequency
    depths = truth.unit_locations[truth.spike_clusters, 1]
    jitter = np.random.default_rng(seed).normal(0.0, 3.0, len(times))
    seen = depths + truth.motion.displacement_at(times, depths) + jitter
    raster = PeakRaster(times, seen, truth.unit_amplitudes_uv[truth.spike_clusters] * truth.spike_scales)
    return layer_data(raster, {"true motion": truth.motion})
