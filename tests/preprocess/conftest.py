"""Recordings in memory."""

import numpy as np
import pytest


@pytest.fixture
def lfp_and_noise() -> np.ndarray:
    """1.3 s of 9 int16 channels: noise of 20, slow waves of 2000, offsets."""
    rng = np.random.default_rng(1)
    time = np.arange(39001)[:, None] / 30000
    slow = 2000 * np.sin(2 * np.pi * 3 * time + np.arange(9)) + 500 * rng.standard_normal(9)
    return np.rint(slow + 20 * rng.standard_normal((len(time), 9))).astype(np.int16)
