"""Starts a viewer without what napari and Qt say to users who can do nothing about it."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari.utils.notifications import notification_manager

OLD_BINDING = "napari support for the PyQt5 backend"
NO_THEME = "System theme detection requires a Qt6 backend"


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keep back napari's notices about the Qt binding while a window of ours is made; others are shown afterwards."""
    _give_runtime_folder()
    ready, records = notification_manager.notification_ready, notification_manager.records
    known = len(records)
    with warnings.catch_warnings(), ready.blocker():
        warnings.filterwarnings("ignore", message=NO_THEME)
        yield
    for notice in tuple(records)[known:]:
        if OLD_BINDING not in str(notice):
            ready(notice)


def _give_runtime_folder() -> None:
    """Name the folder that Qt falls back to by itself, which spares its warning."""
    if sys.platform != "linux" or os.environ.get("XDG_RUNTIME_DIR"):
        return
    folder = Path(tempfile.gettempdir()) / f"runtime-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
