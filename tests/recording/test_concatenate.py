"""Joining recordings."""

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.recording import concatenate


def test_joins_in_order_with_boundaries(make_recording):
    parts = [make_recording(traces=np.full((n, 8), n, np.int16), t_start=2.0 if n == 30 else 99.0) for n in (30, 50, 20)]
    joined = concatenate(parts)
    whole = np.concatenate([part.traces for part in parts])
    assert joined.info.boundaries == (30, 80)
    assert joined.info.num_samples == 100
    assert joined.info.t_start == 2.0
    for start, end in ((0, 100), (29, 31), (30, 80), (79, 100), (40, 40)):
        np.testing.assert_array_equal(joined.read(start, end), whole[start:end])


def test_nested_joins_keep_all_boundaries(make_recording):
    a, b = make_recording(30), make_recording(40)
    joined = concatenate([concatenate([a, b]), concatenate([b, a])])
    assert joined.info.boundaries == (30, 70, 110)


def test_one_passes_and_none_is_refused(make_recording):
    one = make_recording()
    assert concatenate([one]) is one
    with pytest.raises(InputError, match="at least one"):
        concatenate([])


def test_identity_knows_the_order(make_recording):
    a, b = make_recording(30), make_recording(40)
    assert concatenate([a, b]).describe() != concatenate([b, a]).describe()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rate": 25000.0}, "sampling frequency"),
        ({"dtype": "float32"}, "type of samples"),
        ({"locations": np.column_stack([np.zeros(7), np.arange(7)])}, "number of channels"),
        ({"locations": np.column_stack([np.zeros(8), np.arange(8)])}, "contact positions"),
        ({"gain_uv": 2.0}, "gain"),
        ({"shank_ids": np.arange(8) % 2}, "shanks"),
        ({"sample_shifts": np.arange(8) / 8}, "ADC delays"),
    ],
)
def test_says_what_differs(make_recording, change, word):
    with pytest.raises(InputError, match=f"its .*{word}.* differ"):
        concatenate([make_recording(), make_recording(**change)])
