"""The whole river as one frozen value: a method for every step from peaks to corrected traces."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from driftviewer import __version__
from driftviewer.detect import DETECTORS
from driftviewer.detect.base import Detector
from driftviewer.errors import InputError
from driftviewer.interpolate import INTERPOLATORS
from driftviewer.interpolate.base import Interpolator
from driftviewer.localize import LOCALIZERS
from driftviewer.localize.base import Localizer
from driftviewer.motion import ESTIMATORS
from driftviewer.motion.base import Estimator
from driftviewer.params import Registry, nearest
from driftviewer.select import SELECTORS, Selector

STEPS: dict[str, Registry] = {
    "detect": DETECTORS,
    "select": SELECTORS,
    "localize": LOCALIZERS,
    "estimate": ESTIMATORS,
    "interpolate": INTERPOLATORS,
}
"""The steps in order, each with its methods."""

OLD_STEP_NAMES = {
    "localize_peaks": "localize",
    "estimate_motion": "estimate",
    "interpolate_motion": "interpolate",
    "correct_motion": "interpolate",
}
"""The words that the keyword dictionaries and `--set` may use for a step as well."""


@dataclass(frozen=True)
class Pipeline:
    """The methods, with their parameters, of every step. Two pipelines are compared to learn what is stale."""

    detect: Detector
    select: Selector
    localize: Localizer
    estimate: Estimator
    interpolate: Interpolator
    seed: int = 0

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Pipeline":
        """Rebuild a pipeline from `to_dict` or from a preset's tables; a missing step takes its first method."""
        unknown = set(entry) - set(STEPS) - {"seed"}
        if unknown:
            name = sorted(unknown)[0]
            raise InputError(f"A pipeline has no step {name!r}{nearest(name, STEPS)}; its steps are {', '.join(STEPS)}.")
        methods = {step: registry.from_dict(entry.get(step) or {"method": registry.names()[0]}) for step, registry in STEPS.items()}
        return cls(**methods, seed=int(entry.get("seed", 0)))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON value from which `from_dict` rebuilds this pipeline."""
        return {step: getattr(self, step).to_dict() for step in STEPS} | {"seed": self.seed}

    def override(self, step: str, changes: Mapping[str, Any]) -> "Pipeline":
        """Return a copy with some parameters of a step changed; ``method`` among them changes the method itself.

        Raises
        ------
        InputError
            Unknown step, method or parameter, or a value out of bounds.
        """
        step = OLD_STEP_NAMES.get(step, step)
        if step not in STEPS:
            raise InputError(f"A pipeline has no step {step!r}{nearest(step, STEPS)}; its steps are {', '.join(STEPS)}.")
        changes = dict(changes)
        if "spatial_interpolation_method" in changes:
            changes["method"] = changes.pop("spatial_interpolation_method")
        current = getattr(self, step)
        name = changes.pop("method", current.name)
        method = current.replace(**changes) if name == current.name else STEPS[step].make(name, **changes)
        return replace(self, **{step: method})

    def first_difference(self, other: "Pipeline") -> str | None:
        """Return the first step at which two pipelines differ, None if they are equal: what comes after is stale."""
        for step in STEPS:
            if getattr(self, step) != getattr(other, step) or (step == "detect" and self.seed != other.seed):
                return step
        return None

    def key(self, last_step: str, identity: Mapping[str, Any]) -> str:
        """Return the cache key of the result of a step on the recording described by `identity`; another version has other keys."""
        steps = list(STEPS)
        value = {step: getattr(self, step).to_dict() for step in steps[: steps.index(last_step) + 1]}
        text = json.dumps([__version__, value, self.seed, identity], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_setting(setting: str) -> tuple[str, str, str]:
    """Split ``step.parameter=value`` into its three parts."""
    target, separator, value = setting.partition("=")
    step, dot, parameter = (part.strip() for part in target.partition("."))
    if not (separator and dot and parameter):
        raise InputError(f"--set {setting!r} is not of the form step.parameter=value, e.g. estimate_motion.bin_s=1.")
    return step, parameter, value.strip()
