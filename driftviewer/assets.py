"""Package data that lives in `resources/`: found beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

from driftviewer.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Return the path of a file or folder below `resources/`.

    Raises
    ------
    InputError
        The installation lacks it.
    """
    for root in (_PACKAGE / "resources", _PACKAGE.parent / "resources"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"The resource {'/'.join(parts)} is missing from the installation; install driftviewer again.")
