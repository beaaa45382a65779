"""Computations that tell how far they have come, and how a part's progress becomes the whole's."""

from collections.abc import Generator
from typing import TypeVar

from driftviewer.chunks import Progress, Steps

R = TypeVar("R")

Work = Generator[float, None, R]
"""A computation that yields the share done, from 0 to 1, and returns its result."""


def share(work: Work[R], begin: float, length: float) -> Work[R]:
    """Report the progress of a part as that of the whole, of which it is the stretch from `begin`."""
    while True:
        try:
            done = next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
        yield begin + length * done


def as_steps(work: Work[R], step: str) -> Steps[R]:
    """Report the share done as progress of a step."""
    while True:
        try:
            done = next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
        yield Progress(step, done, 1.0)


def portion(steps: Steps[R], begin: float, length: float) -> Steps[R]:
    """Report the progress of a part as that of the whole, of which it is the stretch from `begin`, each from 0 to 1."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            result: R = stop.value
            return result
        yield Progress(progress.step, begin + length * progress.done / progress.total, 1.0)


def result_of(work: Work[R]) -> R:
    """Run a computation to its end; for short ones."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
