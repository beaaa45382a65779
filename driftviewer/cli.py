"""The command line: everything the window does, without a window."""

import argparse
import importlib.util
import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftviewer.errors import InputError

if TYPE_CHECKING:
    from driftviewer.chunks import Job
    from driftviewer.recording import Recording
    from driftviewer.store import MotionInfo

# Everything that computes is imported inside the commands, so that --help and usage errors answer at once.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 (failed, one line says why) or 2 (usage)."""
    args = _parser().parse_args(arguments)
    level = logging.DEBUG if args.debug else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with warnings.catch_warnings():
        if not args.debug:
            warnings.simplefilter("ignore")
        return _guarded(args)


def _guarded(args: argparse.Namespace) -> int:
    """Run the command and turn whatever goes wrong into one sentence."""
    try:
        return int(args.run(args) or 0)
    except KeyboardInterrupt:
        print("driftviewer: stopped; run the same command again to go on from here.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # whoever read our output has closed it: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        return _failed(args, str(error))
    except MemoryError as error:
        return _failed(args, f"Out of memory ({error}); close other programs, or give a shorter --chunk-duration or fewer --n-jobs.")
    except OSError as error:
        where = error.filename or "reading or writing"
        return _failed(args, f"{where}: {error.strerror or error}; check the path, its permissions and the free space.")
    except Exception as error:  # noqa: BLE001 - the last resort: one clear line, the rest with --debug
        return _failed(args, f"{type(error).__name__}: {error} (run again with --debug for the details)")


def _failed(args: argparse.Namespace, sentence: str) -> int:
    if args.debug:
        logging.getLogger(__name__).exception("failed")
    print(f"driftviewer: {sentence}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="driftviewer", description="See, estimate, correct and check the drift of high-density probes.")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    parser.set_defaults(run=_window, path=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.set_defaults(run=run)
        return sub

    sub = command("open", _window, "Open a recording, a sorted folder or a result folder in the window.")
    sub.add_argument("path", type=Path, metavar="PATH")

    sub = command("demo", _demo, "Simulate a drifting recording, correct it and show it.")
    sub.add_argument("--headless", action="store_true", help="without a window: leave a folder with the results and a report")
    sub.add_argument("--folder", type=Path, default=Path("driftviewer-demo"), help="where results go (default: %(default)s)")
    sub.add_argument("--seconds", type=float, default=120.0, help="length of the recording, s (default: %(default)g)")
    _add_json(sub)

    sub = command("correct", _correct, "Estimate the motion of a recording and save it in a folder.")
    sub.add_argument("path", type=Path, metavar="PATH")
    sub.add_argument("--preset", default="", help="see `driftviewer presets`")
    sub.add_argument("--folder", type=Path, help="where results go (default: PATH with .drift)")
    sub.add_argument(
        "--set", action="append", default=[], metavar="STEP.NAME=VALUE", help="change a parameter, e.g. estimate_motion.bin_s=1"
    )
    _add_preprocess(sub)
    _add_job(sub)
    _add_json(sub)

    sub = command("export", _export, "Write the corrected recording as int16 binary with probe and sidecar.")
    sub.add_argument("path", type=Path, metavar="PATH")
    sub.add_argument(
        "--motion", type=Path, required=True, metavar="DIR", help="folder that `correct` wrote, a table (.csv), or Kilosort's folder"
    )
    sub.add_argument("--output", type=Path, required=True, metavar="FILE", help="binary file to write")
    sub.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of the interpolation, e.g. method=kriging"
    )
    _add_preprocess(sub)
    _add_job(sub)
    _add_json(sub)

    sub = command("report", _report, "Write one self-contained HTML page about a result folder.")
    sub.add_argument("folder", type=Path, metavar="DIR")
    sub.add_argument("--output", type=Path, metavar="FILE", help="default: DIR/report.html")
    _add_json(sub)

    sub = command("simulate", _simulate, "Write a simulated drifting recording with its truth.")
    sub.add_argument("folder", type=Path, metavar="DIR")
    sub.add_argument("--seconds", type=float, default=120.0, help="length, s (default: %(default)g)")
    sub.add_argument("--channels", type=int, default=128, help="number of channels (default: %(default)d)")
    sub.add_argument("--units", type=int, default=100, help="number of units (default: %(default)d)")
    sub.add_argument("--drift", default="nonrigid", help="none, rigid, nonrigid, random_walk or bumps (default: %(default)s)")
    sub.add_argument("--probe", default="NP1", help="NP1, NP2, NP2.4 or linear (default: %(default)s)")
    sub.add_argument("--format", default="binary", help="binary or spikeglx (default: %(default)s)")
    sub.add_argument("--seed", type=int, default=0)
    _add_json(sub)

    _add_json(command("methods", _methods, "List every method of every step with its parameters."))
    _add_json(command("presets", _presets, "List the presets."))
    _add_json(command("doctor", _doctor, "Check the installation and say what to do about each problem."))
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n-jobs", type=float, default=-1, help="threads: a count, a share of the cores, or -1 for all (default)")
    parser.add_argument("--chunk-duration", default="1s", help="length of a chunk (default: %(default)s)")
    parser.add_argument("--dask", metavar="ADDRESS", help="run on this dask.distributed scheduler")


def _add_preprocess(parser: argparse.ArgumentParser) -> None:
    text = "comma-separated steps before anything else, or none (default: as fits the recording)"
    parser.add_argument("--preprocess", default="", metavar="STEPS", help=text)
    parser.add_argument("--stream", help="which stream of a folder that holds several")


def _say(args: argparse.Namespace, value: dict[str, Any], lines: Sequence[str]) -> None:
    if args.json:
        print(json.dumps(value, ensure_ascii=False, default=str))
    else:
        print("\n".join(lines))


def _job(args: argparse.Namespace) -> "Job":
    from driftviewer.chunks import Job

    executor = None
    if args.dask:
        from driftviewer.cluster import connect

        executor = connect(args.dask)
    return Job(args.n_jobs, args.chunk_duration, False if args.json else None, executor)


def _preprocessed(args: argparse.Namespace, raw: "Recording", *, sorting: bool = False) -> "Recording":
    from driftviewer.preprocess.chain import default_chain, parse_chain, preprocess

    chain = parse_chain(args.preprocess) if args.preprocess else default_chain(raw.info, sorting=sorting)
    return preprocess(raw, chain)


def _window(args: argparse.Namespace) -> int:
    problem = display_problem()
    if problem:
        raise InputError(f"{problem} Everything also works without a window: see `driftviewer --help`.")
    from driftviewer.plugin.app import launch

    launch(args.path)
    return 0


def display_problem() -> str:
    """Return why no window can be opened, in one sentence; an empty string if one can."""
    if not any(importlib.util.find_spec(name) for name in ("PyQt5", "PyQt6")):
        return "No Qt binding is installed: pip install 'driftviewer[pyqt5]'."
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not shown and os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return "There is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)."
    return ""


def _demo(args: argparse.Namespace) -> int:
    problem = "" if args.headless else display_problem()
    if problem and not args.json:
        print(f"{problem} The demo runs without a window instead.")
    if not args.headless and not problem:
        from driftviewer.plugin.app import launch

        launch(demo=True, demo_seconds=args.seconds)
        return 0
    from driftviewer.chunks import Job, drain
    from driftviewer.correct import run_steps
    from driftviewer.preprocess.chain import default_chain, preprocess
    from driftviewer.presets import DEFAULT_PRESET, load_preset
    from driftviewer.report import write_report
    from driftviewer.simulate import simulate_drifting_recording

    recording, truth = simulate_drifting_recording(duration_s=args.seconds, num_channels=128, num_units=100, drift="nonrigid", seed=0)
    job = Job(progress_bar=False if args.json else None)
    steps = run_steps(preprocess(recording, default_chain(recording.info)), load_preset(DEFAULT_PRESET), job, args.folder, DEFAULT_PRESET)
    info = drain(steps, job.progress_bar)
    error = truth.motion_error(info.motion)
    report = write_report(args.folder)
    value, lines = _summary(info, args.folder)
    value |= {"report": report, "error_um": error}
    lines += [f"True error: median {error['median']:.2f} µm, 95th percentile {error['p95']:.2f} µm", f"Report: {report}"]
    _say(args, value, lines)
    return 0


def _summary(info: "MotionInfo", folder: Path) -> tuple[dict[str, Any], list[str]]:
    from driftviewer.report import score_run

    score = score_run(info)
    windows, bins = len(info.motion.spatial_bins_um), len(info.motion.temporal_bins_s)
    value = {"folder": folder, "peaks": len(info.peaks), "time_bins": bins, "windows": windows, "notes": info.notes}
    value |= {"run_times": info.run_times, "score": score.to_dict(), "verdict": score.verdict}
    times = ", ".join(f"{name.replace('_', ' ')} {seconds:.1f} s" for name, seconds in info.run_times.items())
    lines = [f"{len(info.peaks):,} peaks; motion in {bins} time bins × {windows} windows, up to {score.max_displacement_um:.1f} µm"]
    lines += [f"Note: {note.rstrip('.')}." for note in info.notes]
    lines += [
        f"Verdict: {score.verdict.rstrip('.')}.",
        f"Times: {times or 'everything was taken over from the last run'}",
        f"Results: {folder}",
    ]
    return value, lines


def _correct(args: argparse.Namespace) -> int:
    from driftviewer.chunks import drain
    from driftviewer.correct import run_steps
    from driftviewer.from_peaks import peaks_steps
    from driftviewer.pipeline import parse_setting
    from driftviewer.presets import DEFAULT_PRESET, load_preset
    from driftviewer.recording import SortedPeaks, open_any

    preset = args.preset or DEFAULT_PRESET
    pipeline = load_preset(preset)
    for step, parameter, value in map(parse_setting, args.set):
        pipeline = pipeline.override(step, {parameter: value})
    job = _job(args)
    folder = args.folder or args.path.resolve().with_name(args.path.resolve().name + ".drift")
    found = open_any(args.path, stream=args.stream)
    if isinstance(found, SortedPeaks):
        steps = peaks_steps(found, pipeline, folder, preset)
    else:
        steps = run_steps(_preprocessed(args, found), pipeline, job, folder, preset)
    info = drain(steps, job.progress_bar)
    _say(args, *_summary(info, folder))
    return 0


def _export(args: argparse.Namespace) -> int:
    from driftviewer.chunks import drain
    from driftviewer.interpolate import interpolate_motion
    from driftviewer.recording import open_recording
    from driftviewer.recording.write import write_binary_steps
    from driftviewer.store import load_motion, load_motion_info

    job = _job(args)
    parameters: dict[str, Any] = {}
    if (args.motion / "parameters.json").exists():
        info = load_motion_info(args.motion)
        kept = info.parameters.get("interpolate_motion_kwargs")
        motion, parameters = info.motion, dict(kept) if isinstance(kept, dict) else {}
    else:
        motion = load_motion(args.motion)
    changes = dict(map(_assignment, args.set))
    parameters = changes if changes.get("method", parameters.get("method")) != parameters.get("method") else {**parameters, **changes}
    recording = _preprocessed(args, open_recording(args.path, stream=args.stream), sorting=True)
    corrected = interpolate_motion(recording, motion, **parameters)
    drain(write_binary_steps(args.output, corrected, job), job.progress_bar)
    channels, seconds = corrected.info.num_channels, corrected.info.duration_s
    value = {"file": args.output, "channels": channels, "duration_s": seconds, "notes": corrected.info.notes}
    notes = [f"Note: {note.rstrip('.')}." for note in corrected.info.notes]
    _say(args, value, [*notes, f"Wrote {args.output}: {channels} channels, {seconds:.1f} s, int16, with sidecar and probe"])
    return 0


def _assignment(setting: str) -> tuple[str, str]:
    name, separator, value = (part.strip() for part in setting.partition("="))
    if not (separator and name):
        raise InputError(f"--set {setting!r} is not of the form name=value, e.g. method=kriging.")
    return name, value


def _report(args: argparse.Namespace) -> int:
    from driftviewer.report import write_report

    path = write_report(args.folder, args.output)
    _say(args, {"report": path}, [f"Report: {path}"])
    return 0


def _simulate(args: argparse.Namespace) -> int:
    from driftviewer.simulate import simulate_drifting_recording

    recording, _ = simulate_drifting_recording(
        duration_s=args.seconds, num_channels=args.channels, num_units=args.units, drift=args.drift,
        seed=args.seed, probe=args.probe, folder=args.folder, format=args.format,
    )  # fmt: skip
    _say(args, {"folder": args.folder, "source": recording.info.source}, [f"Wrote {recording.info.source} and its truth in {args.folder}"])
    return 0


def _methods(args: argparse.Namespace) -> int:
    from driftviewer.documentation import method_table, methods_as_dict

    _say(args, methods_as_dict(), [method_table()])
    return 0


def _presets(args: argparse.Namespace) -> int:
    from driftviewer.presets import load_preset, preset_help, preset_names

    value = {name: {"help": preset_help(name), **load_preset(name).to_dict()} for name in preset_names()}
    _say(args, value, [f"{name:<22} {preset_help(name)}" for name in preset_names()])
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from driftviewer.doctor import examine

    findings = examine()
    lines = [
        f"{'ok ' if not f.remedy else '!! '} {f.subject:<16} {f.found}" + (f"\n    → {f.remedy}" if f.remedy else "") for f in findings
    ]
    _say(args, {f.subject: {"found": f.found, "remedy": f.remedy} for f in findings}, lines)
    return 1 if any(f.remedy and f.fatal for f in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
