"""The rules of the house, checked by the tools that know them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed; pip install '.[test]'"
    return found


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("lint-imports",),
        ("npe2", "validate", "driftviewer/plugin/napari.yaml"),
        ("mypy",),
    ],
    ids=["ruff", "format", "imports", "npe2", "mypy"],
)
def test_tool_is_content(command: tuple[str, ...]) -> None:
    result = run(tool(command[0]), *command[1:])
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, driftviewer.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\nprint(sorted({'numpy','numba','scipy','napari','qtpy'} & set(sys.modules)), file=sys.stderr)"
    assert run(sys.executable, "-c", code).stderr.strip() == "[]"


def test_kernels_never_run_parallel() -> None:
    for path in (ROOT / "driftviewer").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "parallel=True" not in text and "prange" not in text, path
        assert text.count("njit(") == text.count("njit(nogil=True, cache=True"), f"{path}: a kernel without nogil or cache"
