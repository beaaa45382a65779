"""Contact positions and converter timing of the probes that can be simulated."""

from typing import Literal, NamedTuple

import numpy as np

from driftviewer.errors import InputError

ProbeName = Literal["NP1", "NP2", "NP2.4", "linear"]

MAX_CHANNELS = {"NP1": 960, "NP2": 1280, "NP2.4": 5120, "linear": 4096}
SHANK_SPACING_UM = 250.0


class Probe(NamedTuple):
    """Contacts of a probe: `locations` (C, 2) µm, `shank_ids` (C,), `sample_shifts` (C,) in frames."""

    locations: np.ndarray
    shank_ids: np.ndarray
    sample_shifts: np.ndarray


def make_probe(name: str, num_channels: int) -> Probe:
    """Return the contacts of a probe, counted from the tip, shank after shank.

    Parameters
    ----------
    name : {"NP1", "NP2", "NP2.4", "linear"}
        Neuropixels 1.0 (rows of two every 20 µm, staggered), 2.0 (every 15 µm) with one or four shanks, or one column every 20 µm.
    num_channels : int
        C; the four-shank probe shares them equally.

    Raises
    ------
    InputError
        More channels than the probe has, or a number that four shanks cannot share.
    """
    if num_channels > MAX_CHANNELS[name]:
        raise InputError(f"num_channels = {num_channels} is more than the {MAX_CHANNELS[name]} contacts of probe {name!r}; ask for fewer.")
    shanks = 4 if name == "NP2.4" else 1
    if num_channels % shanks:
        raise InputError(f"num_channels = {num_channels} cannot be shared by the four shanks of probe {name!r}; give a multiple of 4.")
    index = np.arange(num_channels)
    shank_ids, contact = np.divmod(index, num_channels // shanks)
    row, column = np.divmod(contact, 2)
    if name == "linear":
        x, y = np.zeros(num_channels), contact * 20.0
    elif name == "NP1":
        x, y = np.where(row % 2 == 0, 27.0, 11.0) + 32.0 * column, row * 20.0
    else:
        x, y = 27.0 + 32.0 * column + SHANK_SPACING_UM * shank_ids, row * 15.0
    return Probe(np.stack([x, y], axis=1), shank_ids, _sample_shifts(name, index))


def _sample_shifts(name: str, index: np.ndarray) -> np.ndarray:
    """Pairs of channels take turns: NP1 in 13 cycles of which 12 are action-potential band, NP2 in 16."""
    if name == "linear":
        return np.zeros(len(index))
    turns, cycles = (12, 13) if name == "NP1" else (16, 16)
    return np.asarray((index % (2 * turns)) // 2 / cycles)
