"""Does `drift_score` rank motions as the truth does? Simulated recordings, 37 or more candidates each (see bench_score)."""

import importlib.util
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("bench_score", Path(__file__).parents[1] / "bench" / "bench_score.py")
assert _SPEC is not None and _SPEC.loader is not None
bench = importlib.util.module_from_spec(_SPEC)
sys.modules["bench_score"] = bench
_SPEC.loader.exec_module(bench)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", list(bench.SIMULATIONS))
def test_ranking_agrees_with_the_true_error(name: str) -> None:
    case = bench.simulated(name)
    found = bench.agreement(case, bench.candidates(case))
    assert found.candidates >= 25
    assert min(found.spearman) >= 0.8, found
    assert found.ratio[0] <= 1.2, found  # of the median errors, the field's headline; the table gives the mean's as well
    if name.startswith("static"):
        assert found.first == bench.NO_CORRECTION
