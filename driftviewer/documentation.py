"""Tables of the methods, generated from their declarations."""

from typing import Any

from driftviewer.params import Field, Registry, fields
from driftviewer.pipeline import STEPS
from driftviewer.preprocess.base import PREPROCESSORS

ALL_STEPS: dict[str, Registry] = {"preprocess": PREPROCESSORS, **STEPS}


def summary(cls: type) -> str:
    """Return the first sentence of a method's docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0].rstrip(".")


def _default(field: Field) -> str:
    value = ", ".join(f"{item:g}" for item in field.default) if isinstance(field.default, tuple) else field.default
    return f"{value} {field.unit}".strip()


def method_table() -> str:
    """Return every step, method and parameter with its default, as Markdown."""
    lines = ["| step | method | what it does | parameters (defaults) |", "|---|---|---|---|"]
    for step, registry in ALL_STEPS.items():
        for name in registry.names():
            cls = registry[name]
            parameters = ", ".join(f"`{field.name}` {_default(field)}" for field in fields(cls))
            lines.append(f"| {step} | `{name}` | {summary(cls)} | {parameters} |")
    return "\n".join(lines)


def methods_as_dict() -> dict[str, Any]:
    """Return the same as a JSON value, with help, unit, bounds and choices of each parameter."""
    return {step: {name: _method(registry[name]) for name in registry.names()} for step, registry in ALL_STEPS.items()}


def _method(cls: type) -> dict[str, Any]:
    described = {
        f.name: {"default": f.default, "unit": f.unit, "bounds": f.param.bounds_text(), "choices": f.choices, "help": f.param.help}
        for f in fields(cls)
    }
    return {"help": summary(cls), "parameters": described}
