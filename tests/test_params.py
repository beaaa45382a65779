from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.params import Method, Param, Registry, fields, intervals_of

TOYS = Registry("toy")


@TOYS.register("first")
@dataclass(frozen=True, kw_only=True)
class First(Method):
    """A toy."""

    bin_s: Annotated[float, Param("length of a bin", gt=0, le=10)] = 2.0
    count: Annotated[int, Param("how many", ge=1)] = 3
    robust: Annotated[bool, Param("drop outliers")] = True
    shape: Annotated[Literal["round", "square"], Param("which")] = "round"
    sizes_um: Annotated[tuple[float, ...], Param("sizes", gt=0)] = (1.0, 2.0)
    freq_min: Annotated[float, Param("corner", gt=0, unit="Hz")] = 300.0


def test_declaration_gives_name_unit_bounds_and_choices() -> None:
    by_name = {field.name: field for field in fields(First)}
    assert [by_name[name].unit for name in ("bin_s", "sizes_um", "freq_min", "count")] == ["s", "µm", "Hz", ""]
    assert by_name["bin_s"].param.bounds_text() == "> 0 and <= 10"
    assert by_name["shape"].choices == ("round", "square")


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("bin_s", "1.5", 1.5),
        ("bin_s", np.float32(0.5), 0.5),
        ("bin_s", 10, 10.0),
        ("count", "7", 7),
        ("count", 7.0, 7),
        ("robust", "no", False),
        ("robust", "True", True),
        ("shape", "square", "square"),
        ("sizes_um", "3, 4", (3.0, 4.0)),
        ("sizes_um", [5], (5.0,)),
    ],
)
def test_values_from_python_and_from_text(name: str, given: object, kept: object) -> None:
    assert getattr(TOYS.make("first", **{name: given}), name) == kept


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bin_s": 0}, "toy.bin_s = 0 is out of bounds: it must be > 0 and <= 10 s."),
        ({"bin_s": 10.1}, "out of bounds"),
        ({"bin_s": "fast"}, "is not a number"),
        ({"bin_s": float("nan")}, "is not a number"),
        ({"bin_s": True}, "is not a number"),
        ({"count": 2.5}, "is not a whole number"),
        ({"robust": "maybe"}, "neither true nor false"),
        ({"shape": "sqare"}, "did you mean 'square'"),
        ({"sizes_um": (1, -1)}, "out of bounds"),
        ({"bins": 3}, "has no parameter 'bins' (did you mean 'bin_s'?)"),
    ],
)
def test_bad_values_are_refused_in_a_sentence(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match="toy") as caught:
        TOYS.make("first", **changes)
    assert words in str(caught.value)


def test_unknown_method_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'first'"):
        TOYS.make("frist")


def test_a_method_is_a_value() -> None:
    method = TOYS.make("first", bin_s=1)
    assert method == First(bin_s=1.0) and hash(method) == hash(First(bin_s=1.0))
    assert TOYS.from_dict(method.to_dict()) == method
    assert method.replace(count=9) == First(bin_s=1.0, count=9)
    assert TOYS.make(method) is method
    with pytest.raises(InputError):
        method.replace(bin_s=-1)


@TOYS.register("gaps")
@dataclass(frozen=True, kw_only=True)
class Gaps(Method):
    """A toy that leaves something out."""

    gaps_s: Annotated[str, Param("what to leave out", intervals=True, last=True)] = ""
    own: Annotated[bool, Param("its own")] = True


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("12.5-14, 60-65", "12.5-14, 60-65"),
        ("60–65;  12.5 to 14 ,", "12.5-14, 60-65"),
        ("-5--3, -1-2, 1e3-1.5e3", "-5--3, -1-2, 1000-1500"),
        ([(60, 65), [12.5, 14]], "12.5-14, 60-65"),
        (np.array([[1.25, 2.5]]), "1.25-2.5"),
        ([], ""),
    ],
)
def test_intervals_are_given_as_text_or_pairs(given: object, kept: str) -> None:
    gaps = TOYS.make("gaps", gaps_s=given)
    assert gaps.gaps_s == kept and TOYS.from_dict(gaps.to_dict()) == gaps and hash(gaps) == hash(TOYS.make("gaps", gaps_s=kept))
    assert [f"{begin:g}-{end:g}" for begin, end in intervals_of(kept)] == [part.strip() for part in kept.split(",") if part]


@pytest.mark.parametrize("given", ["x", "12", "5-3", "1-1", "1-nan", [(1, 2, 3)], [1, 2], 7, [(0, float("inf"))], [("a", "b")]])
def test_what_is_no_interval_is_refused(given: object) -> None:
    with pytest.raises(InputError, match=r"12\.5-14, 60-65"):
        TOYS.make("gaps", gaps_s=given)


def test_what_every_method_has_comes_last() -> None:
    assert [field.name for field in fields(Gaps)] == ["own", "gaps_s"]
