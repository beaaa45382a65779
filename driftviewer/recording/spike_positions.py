"""Where the spikes of a Phy folder are on the probe."""

from pathlib import Path

import numpy as np

from driftviewer.errors import InputError
from driftviewer.journal import load_array

_BLOCK = 65536


def load_numbers(path: Path, *, ndim: int | None = None, memory_map: bool = False) -> np.ndarray:
    """Load an `.npy` of numbers with so many axes; an `InputError` for anything else."""
    array = load_array(path, memory_map=memory_map)
    if array.dtype.kind not in "iufb" or (ndim is not None and array.ndim != ndim):
        raise InputError(
            f"{path} has shape {array.shape} and type {array.dtype}, which is not what belongs there; export the folder again."
        )
    return array


def vector(folder: Path, name: str) -> np.ndarray:
    """Return an `.npy` of a folder as a vector, whether saved as (N,) or (N, 1)."""
    return load_numbers(folder / name).ravel()


def optional_vector(folder: Path, name: str) -> np.ndarray | None:
    """Return an `.npy` of a folder as a vector, None where there is none."""
    return vector(folder, name) if (folder / name).is_file() else None


def spike_positions(folder: Path, locations: np.ndarray, count: int, notes: list[str]) -> np.ndarray:
    """Return where the spikes of a Phy folder are, (N, 2) µm, by the best source in it; NaN where it says nothing."""
    if (folder / "spike_positions.npy").is_file():
        positions = load_numbers(folder / "spike_positions.npy", ndim=2).astype(np.float64)
        if positions.shape[1] < 2:
            raise InputError(f"{folder / 'spike_positions.npy'} has shape {positions.shape}; it must be spikes x 2.")
        return positions[:, :2]
    positions = np.full((count, 2), np.nan)
    templates = optional_vector(folder, "spike_templates.npy")
    if templates is None or len(templates) != count:
        raise InputError(
            f"{folder} has neither spike_positions.npy nor a spike_templates.npy of {count} spikes; nothing tells where the spikes are."
        )
    templates = templates.astype(np.int64)
    if (folder / "templates.npy").is_file():
        positions = _per_template(_template_positions(folder, locations), templates, folder)
    if (folder / "pc_features.npy").is_file() and (folder / "pc_feature_ind.npy").is_file():
        _fill_from_features(positions, folder, locations, templates)
    elif np.isfinite(positions).any():
        notes.append("Each spike is shown at the centre of its template: within a unit no movement can be seen.")
    if not np.isfinite(positions[:, 1]).any():
        raise InputError(f"{folder} has no spike_positions.npy, pc_features.npy or templates.npy; nothing tells where the spikes are.")
    return positions


def _per_template(values: np.ndarray, templates: np.ndarray, folder: Path) -> np.ndarray:
    if len(templates) and (templates.min() < 0 or templates.max() >= len(values)):
        raise InputError(f"{folder}: spike_templates.npy names template {templates.max()} of only {len(values)}; export the folder again.")
    return np.asarray(values[templates])


def _template_positions(folder: Path, locations: np.ndarray) -> np.ndarray:
    """Return the centre of each template, weighted by squared peak-to-peak amplitude."""
    templates = load_numbers(folder / "templates.npy", ndim=3, memory_map=True)
    size = np.stack([np.ptp(template, axis=0) for template in templates]).astype(np.float64)
    channels = np.broadcast_to(np.arange(size.shape[1]), size.shape)
    if (folder / "template_ind.npy").is_file():
        channels = load_numbers(folder / "template_ind.npy").astype(np.int64)
    if channels.shape != size.shape:
        raise InputError(f"{folder}: templates.npy and template_ind.npy disagree; export the folder again.")
    return _centres(size**2, channels, locations)


def _centres(weights: np.ndarray, channels: np.ndarray, locations: np.ndarray) -> np.ndarray:
    """Return weighted mean positions (N, 2); channels outside the probe (padding) do not count."""
    real = (channels >= 0) & (channels < len(locations))
    weights = np.where(real, weights, 0.0)
    total = weights.sum(axis=1)
    where = locations[np.where(real, channels, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.einsum("nc,ncd->nd", weights, where) / total[:, None])


def _fill_from_features(positions: np.ndarray, folder: Path, locations: np.ndarray, templates: np.ndarray) -> None:
    """Overwrite the positions of spikes that have features: contacts weighted by max(first component, 0)² (phylib's get_depths)."""
    features = load_numbers(folder / "pc_features.npy", ndim=3, memory_map=True)
    channels = load_numbers(folder / "pc_feature_ind.npy", ndim=2).astype(np.int64)
    subset = optional_vector(folder, "pc_feature_spike_ids.npy")
    spikes = np.arange(len(features)) if subset is None else subset.astype(np.int64)
    fits = len(features) == len(spikes) and channels.shape[1:] == features.shape[2:]
    if not fits or (len(spikes) and spikes.max() >= len(templates)):
        raise InputError(f"{folder}: pc_features.npy does not fit pc_feature_ind.npy and the spikes; export the folder again.")
    for start in range(0, len(spikes), _BLOCK):
        block = spikes[start : start + _BLOCK]
        first = np.maximum(np.asarray(features[start : start + _BLOCK, 0, :], dtype=np.float64), 0.0)
        centres = _centres(first**2, _per_template(channels, templates[block], folder), locations)
        found = np.isfinite(centres[:, 1])
        positions[block[found]] = centres[found]
