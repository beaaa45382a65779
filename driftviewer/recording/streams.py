"""Choosing one of several simultaneous streams."""

from pathlib import Path

from driftviewer.errors import InputError

_NOT_SPIKES = ("sync", "adc", "nidq", "ni-daq", "obx", "event", ".lf", "-lf", "_lf", "memory", "aux")


def choose(names: list[str], wanted: str | None, where: str | Path) -> str:
    """Return the stream to read: the one asked for, else the only one that can hold spikes of a probe.

    Parameters
    ----------
    names : list of str
        As the recording system names them.
    wanted : str, optional
        A name, or a part that only one of them contains (capitals do not matter).

    Raises
    ------
    InputError
        None fits, or several do; the sentence lists them.
    """
    listed = ", ".join(names)
    if wanted is not None:
        exact = [name for name in names if name == wanted]
        found = exact or [name for name in names if wanted.lower() in name.lower()]
        if len(found) != 1:
            raise InputError(
                f"{where}: {'no stream' if not found else 'more than one stream'} is called {wanted!r}; choose stream= one of: {listed}."
            )
        return found[0]
    spikes = [name for name in names if not any(mark in name.lower() for mark in _NOT_SPIKES)]
    found = spikes or [name for name in names if any(mark in name.lower() for mark in ("-lf", ".lf", "_lf"))]
    if not found:
        raise InputError(f"{where} holds no stream of a probe (only {listed}); give the folder with the AP band.")
    if len(found) > 1:
        raise InputError(f"{where} holds {len(found)} streams; choose one with stream= one of: {', '.join(found)}.")
    return found[0]
