"""Packages that only some work needs."""

import importlib
from types import ModuleType

from driftviewer.errors import InputError


def need(module: str) -> ModuleType:
    """Import a module of an optional package, which is also the name of the extra that installs it.

    Raises
    ------
    InputError
        The package, or one that it needs, is not installed.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = getattr(error, "name", None) or package
        cause = "" if missing.partition(".")[0] == package else f" ({error})"
        raise InputError(f"This needs the package {package}{cause}; install it with: pip install 'driftviewer[{package}]'.") from error
