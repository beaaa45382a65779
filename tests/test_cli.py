"""The command line as a person or a script uses it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftviewer.cli import main
from driftviewer.data import Motion
from driftviewer.preprocess import highpass_filter
from driftviewer.recording import open_recording
from driftviewer.store import load_motion_info, save_motion


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("données brutes µ") / "sim"
    assert main(["simulate", str(folder), "--seconds", "12", "--channels", "32", "--units", "20", "--drift", "rigid", "--seed", "1"]) == 0
    return folder


def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_simulate_correct_report_export(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = tmp_path / "motion", tmp_path / "corrected.bin"
    arguments = ["correct", str(simulated), "--preset", "rigid_fast", "--folder", str(folder), "--set", "estimate_motion.bin_s=1", "--json"]
    assert main(arguments) == 0
    result = json_of(capsys)
    assert result["time_bins"] == 12 and result["windows"] == 1 and result["peaks"] > 500
    assert main(["report", str(folder), "--json"]) == 0
    page = Path(json_of(capsys)["report"]).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3 and "http" not in page
    assert main(["export", str(simulated), "--motion", str(folder), "--output", str(output), "--json"]) == 0
    written, raw = open_recording(output), open_recording(simulated)
    assert json_of(capsys)["channels"] == written.info.num_channels <= raw.info.num_channels
    assert written.info.dtype == np.int16 and written.info.num_samples == raw.info.num_samples


def test_correct_again_takes_over(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["correct", str(simulated), "--preset", "rigid_fast", "--folder", str(tmp_path / "m"), "--json"]
    assert main(arguments) == 0 and main(arguments) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "detect_and_localize" in first["run_times"] and "detect_and_localize" not in second["run_times"]
    assert first["score"] == second["score"]


def test_preprocessing_is_chosen(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["correct", str(simulated), "--preset", "rigid_fast", "--folder", str(tmp_path / "none"), "--preprocess", "none"]
    assert main(arguments) == 0
    assert main([*arguments[:-3], str(tmp_path / "hp"), "--preprocess", "highpass_filter"]) == 0
    none, filtered = (load_motion_info(tmp_path / name) for name in ("none", "hp"))
    assert not np.array_equal(none.peaks["amplitude"][:50], filtered.peaks["amplitude"][:50])


def test_demo_headless_leaves_folder_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--headless", "--folder", str(tmp_path / "demo"), "--seconds", "20", "--json"]) == 0
    result = json_of(capsys)
    assert Path(result["report"]).exists() and result["error_um"]["median"] < 2
    assert len(load_motion_info(tmp_path / "demo").peaks) == result["peaks"]


def test_demo_without_display_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["demo", "--folder", str(tmp_path / "demo"), "--seconds", "15"]) == 0
    out = capsys.readouterr().out
    assert "no display" in out and "Report:" in out
    assert main(["open", str(tmp_path)]) == 1
    assert "no display" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["correct", "/no/such/file.bin"], "/no/such/file.bin"),
        (["report", "/no/such/folder"], "/no/such/folder"),
        (["correct", "SIM", "--preset", "rigid_fats"], "did you mean 'rigid_fast'"),
        (["correct", "SIM", "--set", "estimate_motion.bins=1"], "did you mean 'bin_s'"),
        (["correct", "SIM", "--set", "estimate.bin_s=-1"], "out of bounds"),
        (["correct", "SIM", "--set", "bin_s"], "step.parameter=value"),
        (["correct", "SIM", "--preprocess", "bandpas_filter"], "did you mean 'bandpass_filter'"),
        (["correct", "SIM", "--n-jobs", "0"], "n_jobs"),
        (["export", "SIM", "--motion", "/none", "--output", "x.bin"], "/none"),
        (["simulate", "SIM/x", "--drift", "zigzig"], "drift"),
    ],
)
def test_failures_are_one_line_and_exit_1(
    simulated: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [a.replace("SIM", str(simulated)) for a in arguments]
    if arguments[0] == "correct":
        arguments += ["--folder", str(tmp_path / "m")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and "Traceback" not in error


@pytest.mark.parametrize("arguments", [["correct"], ["nonsense"], ["demo", "--seconds", "soon"]])
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize("command", ["methods", "presets", "doctor"])
def test_listings_as_text_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([command])
    assert len(capsys.readouterr().out) > 200
    main([command, "--json"])
    assert len(json_of(capsys)) > 1


def test_progress_is_quiet_in_a_pipe(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "driftviewer.cli", "demo", "--headless", "--folder", str(tmp_path / "d"), "--seconds", "10"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == "" and "Verdict" in result.stdout


def test_dask_address_that_does_not_answer(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed", reason="needs the extra distributed")
    assert main(["correct", str(simulated), "--folder", str(tmp_path / "m"), "--dask", "nonsense"]) == 1
    assert "dask" in capsys.readouterr().err


def test_export_leaves_few_channels_without_a_common_reference(tmp_path: Path) -> None:
    folder, output = tmp_path / "four", tmp_path / "out.bin"
    assert main(["simulate", str(folder), "--seconds", "2", "--channels", "4", "--probe", "linear", "--units", "3"]) == 0
    save_motion(Motion.none(2.0, (0.0, 60.0), "still"), tmp_path / "motion")
    assert main(["export", str(folder), "--motion", str(tmp_path / "motion"), "--output", str(output)]) == 0
    expected = highpass_filter(open_recording(folder)).read(0, 30_000)
    assert np.abs(open_recording(output).read(0, 30_000) - expected).max() <= 0.5


def test_export_refuses_a_setting_without_a_value(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_motion(Motion.none(12.0, (0.0, 300.0), "still"), tmp_path / "motion")
    arguments = ["export", str(simulated), "--motion", str(tmp_path / "motion"), "--output", str(tmp_path / "out.bin"), "--set", "kriging"]
    assert main(arguments) == 1
    assert "--set 'kriging'" in capsys.readouterr().err and not (tmp_path / "out.bin").exists()
