"""Running on the machines of a dask.distributed cluster."""

import threading
from concurrent.futures import Executor, Future
from typing import Any

from driftviewer import __version__
from driftviewer.errors import InputError
from driftviewer.optional import need

ANSWER_S = 5.0
"""A scheduler answers within this time, and has workers, or is given up."""


def connect(address: str, timeout_s: float = ANSWER_S) -> Executor:
    """Return an executor for `Job(executor=...)` that works on a cluster; its client is closed when the program ends.

    Parameters
    ----------
    address : str
        Of the scheduler, e.g. ``tcp://10.0.0.1:8786``.
    timeout_s : float
        How long to wait for the scheduler and for a first worker, s.

    Raises
    ------
    InputError
        The package is missing, nobody answers there, or there is no worker with this version of driftviewer.
    """
    distributed = need("distributed")
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(distributed.Client(address, timeout=timeout_s, set_as_default=False))
        except Exception as error:  # noqa: BLE001 - raised below, where the answer is waited for
            answer.set_exception(error)

    # a thread to leave behind: where something else than a scheduler listens, the client waits for ever
    threading.Thread(target=ask, daemon=True, name="driftviewer-connect").start()
    try:
        client = answer.result(timeout=timeout_s + 1.0)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"No dask scheduler answers at {address}; start one with `dask scheduler` or correct the address.") from error
    try:
        _check_workers(client, address, timeout_s)
    except InputError:
        client.close()
        raise
    executor: Executor = client.get_executor(pure=False)
    return executor


def _check_workers(client: Any, address: str, timeout_s: float) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout_s)
    except OSError as error:
        raise InputError(f"The dask scheduler at {address} has no workers; start some with `dask worker {address}`.") from error

    def version() -> str:  # inside, so that it travels by value: a worker may lack driftviewer
        import driftviewer

        return driftviewer.__version__

    for worker, found in client.run(version, on_error="return").items():
        if found != __version__:
            raise InputError(f"The dask worker {worker} has another driftviewer than {__version__} ({found}); install the same one there.")
