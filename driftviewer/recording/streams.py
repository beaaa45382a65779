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
    spikes = [name for name in names if not any(mark in name.lower() for mark in _NOT_SPIKES)]
    if wanted is not None:
        return _called(wanted, spikes, names, where)
    found = spikes or [name for name in names if any(mark in name.lower() for mark in (".lf", "-lf", "_lf"))]
    if not found:
        raise InputError(f"{where} holds no stream of a probe (only {', '.join(names)}); give the folder with the AP band.")
    if len(found) > 1:
        raise InputError(f"{where} holds {len(found)} streams; choose one with stream= one of: {', '.join(found)}.")
    return found[0]


def _called(wanted: str, spikes: list[str], names: list[str], where: str | Path) -> str:
    if wanted in names:
        return wanted
    # "ProbeA-AP" is also in the name of its sync stream, which is not meant.
    for among in (spikes, names):
        found = [name for name in among if wanted.lower() in name.lower()]
        if len(found) == 1:
            return found[0]
        if found:
            break
    how_many = "more than one stream" if found else "no stream"
    raise InputError(f"{where}: {how_many} is called {wanted!r}; choose stream= one of: {', '.join(names)}.")
