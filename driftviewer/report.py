"""One self-contained HTML page about a run: rasters, motion, parameters, times, score."""

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.journal import write_atomic
from driftviewer.quality import DriftScore, score_raster
from driftviewer.raster import PeakRaster
from driftviewer.store import MotionInfo, load_motion_info

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1c2025;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.15rem;margin-top:2rem} img{width:100%;height:auto}
.verdict{font-size:1.1rem;border-left:4px solid #3b82c4;padding:.4rem .8rem;background:#f1f5f9}
table{border-collapse:collapse} td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top} th{font-weight:600}
details{margin:.5rem 0} code{font-size:.9em}
"""


def write_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a result folder.

    Parameters
    ----------
    folder : path
        As written by `correct_motion(folder=...)` or by SpikeInterface.
    output : path, optional
        HTML file; ``report.html`` in the folder by default.

    Returns
    -------
    Path
        The file written.
    """
    info = load_motion_info(folder)
    path = Path(output) if output is not None else Path(folder) / "report.html"
    page = render_report(info, Path(folder).resolve().name)
    write_atomic(path, lambda file: file.write(page.encode()))
    return path


def render_report(info: MotionInfo, title: str) -> str:
    """Return the page as text."""
    raster, score = _raster(info), score_run(info)
    figures = [
        ("Raster before and after correction", _raster_figure(raster, info.motion)),
        ("Motion of each depth window", _lines_figure(info.motion)),
        ("Displacement over time and depth", _map_figure(info.motion, raster)),
    ]
    body = [f"<h1>Drift of {html.escape(title)}</h1>", f"<p class=verdict>{html.escape(_sentence(score.verdict))}</p>"]
    body += [f"<p>{html.escape(_sentence(note))}</p>" for note in info.notes]
    body += [f'<h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{image}">' for name, image in figures]
    body += ["<h2>Score</h2>", _table(_score_rows(score)), "<h2>Run times</h2>", _table(_time_rows(info))]
    body += ["<h2>Parameters</h2>", *_parameter_sections(info)]
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>Drift of {html.escape(title)}</title>"
    return f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"


def _raster(info: MotionInfo) -> PeakRaster:
    return PeakRaster(info.peak_times_s, info.peak_locations[info.motion.direction], info.peaks["amplitude"], info.shanks)


def score_run(info: MotionInfo) -> DriftScore:
    """Judge a run's motion by its own peaks."""
    return score_raster(_raster(info), info.motion)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _score_rows(score: DriftScore) -> Iterable[tuple[str, str]]:
    yield "Largest displacement", f"{score.max_displacement_um:.1f} µm"
    yield "Sharpness of the depth profile, after / before", f"{score.sharpness_gain:.3f}"
    yield "Agreement of depth profiles, before → after", f"{score.correlation_before:.3f} → {score.correlation_after:.3f}"
    yield "Displacement left between successive bins", f"{score.residual_um:.2f} µm"
    if np.isfinite(score.error_um):
        yield "Drift left / without correction", f"{score.error_um:.2f} µm / {score.error_uncorrected_um:.2f} µm"
        yield "How much likelier the peaks become by correction", f"{score.likelihood_gain:.3f} nats per peak"
        agreement = f"correlation {score.split_agreement:.2f}, error {score.split_error_um:.2f} µm"
        yield "Agreement of the motion of two halves of the units", agreement
    yield "Time bins at the bound of the search", f"{100 * score.at_bound:.1f} %"
    yield "Steps faster than 30 µm/s", f"{100 * score.speed_outliers:.1f} %"
    if np.isfinite(score.confidence):
        yield "Mean confidence", f"{score.confidence:.2f}"


def _time_rows(info: MotionInfo) -> Iterable[tuple[str, str]]:
    for step, seconds in info.run_times.items():
        yield step.replace("_", " "), f"{seconds:.2f} s"
    yield "peaks", f"{len(info.peaks):,}"


def _parameter_sections(info: MotionInfo) -> Iterable[str]:
    for name, value in info.parameters.items():
        if isinstance(value, dict):
            yield f"<details open><summary><code>{html.escape(name)}</code></summary>{_table(value.items())}</details>"
        else:
            yield f"<p><code>{html.escape(name)}</code> {html.escape(str(value))}</p>"


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = (f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _figure(rows: int, height: float, sharex: bool = True) -> tuple[Any, Any]:
    # the object interface, without pyplot: no global state and no Qt backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, height), dpi=120, layout="constrained")
    return figure, figure.subplots(rows, 1, sharex=sharex, squeeze=False)[:, 0]


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def _raster_figure(raster: PeakRaster, motion: Motion) -> str:
    figure, axes = _figure(2, 8)
    (t0, t1), (d0, d1) = raster.time_range, raster.depth_range
    # many pixels a peak would leave single grey dots that vanish on the page
    columns = int(np.clip(len(raster) / 120, 100, 1000))
    for axis, applied, title in zip(axes, (None, motion), ("as recorded", "corrected"), strict=True):
        image = raster.render(t0, t1, d0, d1, columns, 320, motion=applied)
        positive = image[image > 0]
        top = np.percentile(positive, 98) if len(positive) else 1.0
        axis.imshow(image, origin="lower", aspect="auto", extent=(t0, t1, d0, d1), cmap="gray_r", vmin=0, vmax=top, interpolation="nearest")
        axis.set(ylabel="depth (µm)", title=title)
    axes[-1].set_xlabel("time (s)")
    return _png(figure)


def _by_shank(motion: Motion) -> list[tuple[str, Motion]]:
    """Return the motions to be drawn, each with its name; that of a motion of one shank is empty."""
    if motion.shank_ids is None:
        return [("", motion)]
    return [(f"shank {shank}", motion.for_shank(shank)) for shank in motion.shank_ids]


def _lines_figure(motion: Motion) -> str:
    from matplotlib import colormaps

    shanks = _by_shank(motion)
    figure, axes = _figure(len(shanks), 3.6 if len(shanks) == 1 else 2.4 * len(shanks))
    colors = colormaps["viridis"](np.linspace(0, 0.9, len(motion.spatial_bins_um)))
    for axis, (title, own) in zip(axes, shanks, strict=True):
        for window, color in enumerate(colors):
            label, marker = f"{own.spatial_bins_um[window]:.0f} µm", "." if len(own.temporal_bins_s) == 1 else ""
            axis.plot(own.temporal_bins_s, own.displacement[:, window], color=color, lw=1, label=label, marker=marker)
        axis.set(ylabel="displacement (µm)", title=title)
        axis.grid(alpha=0.25)
    axes[-1].set_xlabel("time (s)")
    if len(colors) > 1:
        axes[0].legend(title="window at", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _map_figure(motion: Motion, raster: PeakRaster) -> str:
    shanks = _by_shank(motion)
    figure, axes = _figure(len(shanks), 3.6 if len(shanks) == 1 else 2.4 * len(shanks))
    (t0, t1), (d0, d1) = raster.time_range, raster.depth_range
    times, depths = np.linspace(t0, t1, 600), np.linspace(d0, d1, 200)
    shown = [own.on_grid(times, depths) for _, own in shanks]
    limit = max(1.0, *(float(np.abs(values).max()) for values in shown))
    for axis, (title, _), values in zip(axes, shanks, shown, strict=True):
        image = axis.imshow(values.T, origin="lower", aspect="auto", extent=(t0, t1, d0, d1), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set(ylabel="depth (µm)", title=title)
    axes[-1].set_xlabel("time (s)")
    figure.colorbar(image, label="displacement (µm)", ax=list(axes))
    return _png(figure)
