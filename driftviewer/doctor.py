"""Examination of the installation: what is there, and what to do about what is not."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """What was found about one subject; `remedy` is empty where all is well, `fatal` if nothing works without it."""

    subject: str
    found: str
    remedy: str = ""
    fatal: bool = False


PACKAGES = ("driftviewer", "napari", "numba", "numpy", "scipy", "pyqtgraph", "qtpy", "neo", "probeinterface")
OPTIONAL = ("spikeinterface", "distributed")

# in a process of its own, because a broken GL driver aborts instead of raising
_GL_PROBE = """
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
surface = QOffscreenSurface(); surface.create()
context = QOpenGLContext()
assert context.create() and context.makeCurrent(surface), 'no context'
f = context.format()
print(f'{f.majorVersion()}.{f.minorVersion()}')
"""


def examine() -> list[Finding]:
    """Return every finding."""
    findings = [Finding("python", f"{platform.python_version()} on {platform.platform()}")]
    findings += [_package(name, needed=True) for name in PACKAGES]
    findings += [_package(name, needed=False) for name in OPTIONAL]
    binding = _binding()
    display = _display()
    findings += [binding, display]
    if not binding.remedy and not display.remedy:
        findings.append(_opengl())
    return [*findings, _threads(), _memory(), _disk()]


def _package(name: str, *, needed: bool) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        if needed:
            return Finding(name, "missing", f"pip install {name}", fatal=True)
        return Finding(name, f"not installed (optional: pip install 'driftviewer[{name}]')")


def _binding() -> Finding:
    found = [name for name in ("PyQt5", "PyQt6", "PySide6") if importlib.util.find_spec(name)]
    if not {"PyQt5", "PyQt6"} & set(found):
        return Finding("Qt binding", "none", "pip install 'driftviewer[pyqt5]' (the command line works without)")
    if len(found) > 1:
        chosen = os.environ.get("QT_API", "")
        if not chosen:
            return Finding(
                "Qt binding", ", ".join(found), f"two bindings in one environment can clash: set QT_API={found[0].lower()} or keep one"
            )
        return Finding("Qt binding", f"{', '.join(found)}; QT_API={chosen}")
    return Finding("Qt binding", found[0])


def _display() -> Finding:
    if not sys.platform.startswith("linux"):
        return Finding("display", platform.system())
    shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if shown:
        return Finding("display", shown)
    remedy = "log in graphically, use ssh -X, or run under xvfb-run; the command line works without"
    return Finding("display", "none", remedy)


def _opengl() -> Finding:
    try:
        probe = subprocess.run([sys.executable, "-c", _GL_PROBE], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return Finding("OpenGL", "does not answer", "update the graphics driver, or set LIBGL_ALWAYS_SOFTWARE=1")
    if probe.returncode:
        return Finding("OpenGL", "no context", "install the GL and xcb libraries of the system (Debian: libgl1 libegl1 libxcb-cursor0)")
    return Finding("OpenGL", probe.stdout.strip())


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("threads", f"{cores} cores usable")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    return Finding("free memory", f"{free:.1f} GB", "" if free > 2 else "close other programs: 2 GB should be free")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("free disk", f"{free:.1f} GB here", "" if free > 1 else "free some space before saving results here")
