"""Named pipelines, kept as TOML in `resources/presets/`."""

import functools
import tomllib
from pathlib import Path
from typing import Any

from driftviewer.assets import resource
from driftviewer.errors import InputError
from driftviewer.params import nearest
from driftviewer.pipeline import Pipeline

DEFAULT_PRESET = "auto"


@functools.cache
def _tables() -> dict[str, dict[str, Any]]:
    files = sorted(resource("presets").glob("*.toml"))
    return {file.stem: tomllib.loads(Path(file).read_text(encoding="utf-8")) for file in files}


def preset_names() -> list[str]:
    """Return the names of the presets, the default first."""
    return sorted(_tables(), key=lambda name: (name != DEFAULT_PRESET, name))


def preset_help(name: str) -> str:
    """Return what a preset does, in words."""
    _check(name)
    return str(_tables()[name]["help"])


def load_preset(name: str) -> Pipeline:
    """Return the pipeline of a preset.

    Raises
    ------
    InputError
        There is no preset of that name; the nearest is offered.
    """
    _check(name)
    return Pipeline.from_dict({step: table for step, table in _tables()[name].items() if isinstance(table, dict)})


def _check(name: str) -> None:
    if str(name) not in _tables():
        raise InputError(f"There is no preset {name!r}{nearest(str(name), _tables())}; choose one of {', '.join(preset_names())}.")
