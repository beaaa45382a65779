import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftviewer.median import finite_median


def median(values):
    values = np.ascontiguousarray(values, dtype=np.float32)
    return finite_median(values, np.empty(len(values) + 1, np.int32))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32, min_value=-(2.0**120), max_value=2.0**120), min_size=1, max_size=40))
def test_any_floats(values):
    assert median(values) == np.median(np.array(values, np.float32))


@pytest.mark.parametrize("size", [1, 2, 7, 384, 15001])
@pytest.mark.parametrize("values", [1, 2, 30, 10**6])
def test_ties(size, values):
    for seed in range(5):
        x = np.random.default_rng(seed).integers(-values, values, size).astype(np.float32)
        assert median(x) == np.median(x)


def test_only_finite_values_count():
    assert median([np.nan, 3, np.inf, 1, -np.inf, 2, np.nan]) == 2
    assert np.isnan(median([np.nan, np.inf]))
