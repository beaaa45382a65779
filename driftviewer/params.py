"""Declared parameters: one declaration gives validation, form, `--set`, presets and documentation.

A method is a frozen dataclass deriving from `Method`; each field is
``Annotated[type, Param("help", bounds...)] = default``. Allowed types: bool, int, float, str, ``Literal[...]`` and
``tuple[float, ...]``. The unit follows from the suffix of the name or is declared in `Param`.
"""

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from driftviewer.errors import InputError

SUFFIX_UNITS = {"_um": "µm", "_ms": "ms", "_s": "s", "_hz": "Hz", "_uv": "µV", "_mad": "MAD"}


@dataclass(frozen=True)
class Param:
    """What a person must know of a parameter: plain-language help, open (`gt`, `lt`) or closed (`ge`, `le`) bounds, unit."""

    help: str
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    unit: str = ""
    intervals: bool = False
    """Whether a text holds intervals, as in ``12.5-14, 60-65``; lists of pairs are taken as well."""
    zero_chooses: bool = False
    """Whether 0 is no value, but leaves it to the method to choose one."""
    last: bool = False
    """Whether it is shown after all parameters that are not; for what every method of a step has."""

    def bounds_text(self) -> str:
        """Return the bounds in words, e.g. ``> 0 and <= 500``; empty where there are none."""
        signs = (("> ", self.gt), (">= ", self.ge), ("< ", self.lt), ("<= ", self.le))
        return " and ".join(f"{sign}{bound:g}" for sign, bound in signs if bound is not None)

    def allows(self, value: float) -> bool:
        """Return whether a number lies within the bounds."""
        return (
            (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )


@dataclass(frozen=True)
class Field:
    """One parameter of a method, as forms, presets and documentation see it."""

    name: str
    type: Any
    default: Any
    param: Param
    choices: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit, declared or read off the name: its suffix, or ``ms_`` in front (`ms_before`)."""
        if self.name.startswith("ms_"):
            return self.param.unit or "ms"
        if self.name.startswith("lambda_"):
            # the suffix tells what is tied, not a unit
            return self.param.unit
        suffix = next((s for s in sorted(SUFFIX_UNITS, key=len, reverse=True) if self.name.endswith(s)), "")
        return self.param.unit or SUFFIX_UNITS.get(suffix, "")

    def coerce(self, value: Any, owner: str) -> Any:
        """Return `value` as the field's type, from a Python value or from the text of ``--set``.

        Raises
        ------
        InputError
            The value has the wrong type, is not finite, out of bounds or not one of the choices.
        """
        where = f"{owner}.{self.name}"
        if self.choices:
            return _choice(value, self.choices, where)
        if self.type is bool:
            return _boolean(value, where)
        if self.param.intervals:
            return intervals_text(value, where)
        if self.type is str:
            return str(value)
        if get_origin(self.type) is tuple:
            single = isinstance(value, (int, float))
            items = value.strip("()[] ").split(",") if isinstance(value, str) else (value,) if single else value
            return tuple(self._number(item, float, where) for item in items if str(item).strip())
        return self._number(value, self.type, where)

    def _number(self, value: Any, kind: type, where: str) -> int | float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or isinstance(value, bool) or (kind is int and number != int(number)):
            noun = "a whole number" if kind is int else "a number"
            raise InputError(f"{where} = {value!r} is not {noun}; the default is {self.default!r}.")
        if not self.param.allows(number):
            raise InputError(f"{where} = {value} is out of bounds: it must be {self.param.bounds_text()} {self.unit}".rstrip() + ".")
        return int(number) if kind is int else number


def _choice(value: Any, choices: tuple[str, ...], where: str) -> str:
    if value in choices:
        return str(value)
    raise InputError(f"{where} = {value!r} is not known{nearest(str(value), choices)}; choose one of {', '.join(choices)}.")


def _boolean(value: Any, where: str) -> bool:
    text = str(value).lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise InputError(f"{where} = {value!r} is neither true nor false.")


_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_INTERVAL = re.compile(rf"\s*{_NUMBER}\s*(?:-|–|to)\s*{_NUMBER}\s*")


def intervals_of(text: str) -> list[tuple[float, float]]:
    """Return the intervals of a text that `intervals_text` wrote."""
    found = (_INTERVAL.fullmatch(part) for part in re.split("[,;]", text) if part.strip())
    return [(float(match[1]), float(match[2])) for match in found if match is not None]


def intervals_text(value: Any, where: str) -> str:
    """Return intervals, given as a text like ``12.5-14, 60-65`` or as pairs of numbers, as such a text.

    Raises
    ------
    InputError
        Something else was given, or an interval does not end after it begins.
    """
    remedy = "give intervals as begin-end, e.g. 12.5-14, 60-65"
    if isinstance(value, str):
        parts = [part for part in re.split("[,;]", value) if part.strip()]
        pairs: list[Any] = intervals_of(value)
        if len(pairs) < len(parts):
            raise InputError(f"{where} = {value!r} is not a list of intervals; {remedy}.")
    else:
        try:
            pairs = [(float(begin), float(end)) for begin, end in value]
        except (TypeError, ValueError):
            raise InputError(f"{where} = {value!r} is not a list of intervals; {remedy}.") from None
    for begin, end in pairs:
        if not (math.isfinite(begin) and math.isfinite(end) and begin < end):
            raise InputError(f"{where}: the interval {begin:g} to {end:g} does not end after it begins; {remedy}.")
    return ", ".join(f"{begin:.12g}-{end:.12g}" for begin, end in sorted(pairs))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


@functools.cache
def _fields(cls: Hashable) -> tuple[Field, ...]:
    assert isinstance(cls, type)
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{cls.__name__}.{field.name} has no Param; declare it as Annotated[type, Param(...)].")
        kind, param = get_args(hint)
        choices = tuple(get_args(kind)) if get_origin(kind) is Literal else ()
        found.append(Field(field.name, str if choices else kind, field.default, param, choices))
    return tuple(sorted(found, key=lambda field: field.param.last))


def fields(cls: type) -> tuple[Field, ...]:
    """Return the declared parameters of a method class, in order of declaration."""
    return _fields(cls)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base of every method of every step: a frozen value of its own validated parameters."""

    name: ClassVar[str] = ""
    step: ClassVar[str] = ""
    aliases: ClassVar[dict[str, str]] = {}
    """Other programs' and former names of parameters, understood by `make`."""

    def __post_init__(self) -> None:
        owner = self.step or type(self).__name__
        for field in fields(type(self)):
            object.__setattr__(self, field.name, field.coerce(getattr(self, field.name), owner))

    @classmethod
    def unfold(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return parameters in our form from the nested form of another program; `make` calls it first."""
        return params

    def params(self) -> dict[str, Any]:
        """Return the parameters as a plain dictionary (tuples become lists, so that JSON and TOML agree)."""
        values = ((f.name, getattr(self, f.name)) for f in fields(type(self)))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"method": name, **params}``, the form of presets, provenance and cache keys."""
        return {"method": self.name, **self.params()}

    def replace(self, **changes: Any) -> "Method":
        """Return a copy with some parameters changed, checked like the constructor's."""
        return make(type(self), {**self.params(), **changes})


M = TypeVar("M", bound=Method)


def make(cls: type[M], params: Mapping[str, Any]) -> M:
    """Build a method from a mapping of parameters; an unknown name is refused with the nearest known one."""
    known = [f.name for f in fields(cls)]
    params = _without_aliases(cls, cls.unfold(params))
    for name in params:
        if name not in known:
            raise InputError(
                f"{cls.step} method {cls.name!r} has no parameter {name!r}{nearest(name, known)}; it has {', '.join(known) or 'none'}."
            )
    return cls(**params)


def _without_aliases(cls: type[Method], params: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for given, value in params.items():
        name = cls.aliases.get(given, given)
        if name in named:
            raise InputError(f"{cls.step} method {cls.name!r} was given {name!r} twice, once as {given!r}; give it once.")
        named[name] = value
    return named


class Registry:
    """The methods of one step by name, in the order in which they are shown."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._methods: dict[str, type[Method]] = {}

    def register(self, name: str) -> Callable[[type[M]], type[M]]:
        """Return a class decorator that files a method under `name`."""

        def decorate(cls: type[M]) -> type[M]:
            cls.name, cls.step = name, self.step
            self._methods[name] = cls
            return cls

        return decorate

    def names(self) -> list[str]:
        """Return the registered names in display order."""
        return list(self._methods)

    def __getitem__(self, name: str) -> type[Method]:
        if str(name) not in self._methods:
            raise InputError(
                f"{self.step} has no method {name!r}{nearest(str(name), self._methods)}; choose one of {', '.join(self._methods)}."
            )
        return self._methods[name]

    def make(self, method: str | Method, **params: Any) -> Any:
        """Return a method from its name and parameters, or a given one with some parameters changed."""
        if isinstance(method, Method):
            return method.replace(**params) if params else method
        return make(self[method], params)

    def from_dict(self, entry: Mapping[str, Any]) -> Any:
        """Rebuild a method from `Method.to_dict`."""
        params = dict(entry)
        return self.make(params.pop("method"), **params)
