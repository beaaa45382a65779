"""Every registered method: documented, and README's table current (`python tests/test_methods.py` rewrites it)."""

import re
from pathlib import Path

import pytest

from driftviewer.documentation import ALL_STEPS, method_table, methods_as_dict
from driftviewer.params import fields
from driftviewer.pipeline import Pipeline
from driftviewer.presets import load_preset, preset_help, preset_names

README = Path(__file__).resolve().parents[1] / "README.md"
BETWEEN = re.compile(r"(?<=<!-- methods -->\n).*?(?=<!-- /methods -->)", re.S)
METHODS = [(step, name) for step, registry in ALL_STEPS.items() for name in registry.names()]


def test_readme_table_is_current() -> None:
    found = BETWEEN.search(README.read_text(encoding="utf-8"))
    assert found and found.group().strip() == method_table(), "run: python tests/test_methods.py"


@pytest.mark.parametrize(("step", "name"), METHODS)
def test_method_is_documented_and_its_defaults_are_valid(step: str, name: str) -> None:
    cls = ALL_STEPS[step][name]
    method = ALL_STEPS[step].make(name)
    assert ALL_STEPS[step].from_dict(method.to_dict()) == method
    assert (cls.__doc__ or "").strip().split("\n")[0].endswith(".")
    for field in fields(cls):
        assert len(field.param.help) > 15, f"{name}.{field.name} needs a help a person can use"
        assert field.choices or field.type in (bool, str) or field.unit or field.param.help, field.name


@pytest.mark.parametrize("name", preset_names())
def test_preset_is_whole_and_round_trips(name: str) -> None:
    pipeline = load_preset(name)
    assert Pipeline.from_dict(pipeline.to_dict()) == pipeline
    assert preset_help(name)


def test_listing_has_every_parameter() -> None:
    listing = methods_as_dict()
    assert listing["detect"]["locally_exclusive"]["parameters"]["detect_threshold"]["unit"] == "MAD"


if __name__ == "__main__":
    README.write_text(BETWEEN.sub(lambda _: method_table() + "\n", README.read_text(encoding="utf-8")), encoding="utf-8")
