"""Fixtures every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings that are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data that this test reads is not at {SHARED}")
    return SHARED
