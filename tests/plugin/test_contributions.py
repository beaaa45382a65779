"""What napari's own menus offer."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
import napari.layers
from napari.utils._proxies import PublicOnlyProxy
from npe2 import PluginManifest

import driftviewer.plugin
from driftviewer.errors import InputError
from driftviewer.plugin import contributions, reader, sample_data
from driftviewer.plugin.app import cockpit_of

MANIFEST = Path(driftviewer.plugin.__file__).with_name("napari.yaml")


@pytest.fixture
def peak_folder(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "sörted spikes"
    folder.mkdir()
    np.save(folder / "peak_times.npy", np.sort(rng.uniform(0, 100, 3000)))
    np.save(folder / "peak_depths.npy", rng.uniform(0, 500, 3000))
    np.save(folder / "peak_amplitudes.npy", rng.gamma(2, 30, 3000))
    return folder


def test_every_command_of_the_manifest_exists():
    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.name == "driftviewer"
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
    known = {command.id for command in manifest.contributions.commands}
    used = {
        item.command for item in (*manifest.contributions.readers, *manifest.contributions.widgets, *manifest.contributions.sample_data)
    }
    assert used <= known


def test_the_reader_takes_what_it_knows_only(peak_folder, tmp_path):
    assert reader.get_reader(str(peak_folder)) is reader.read
    np.save(tmp_path / "image.npy", np.zeros((3, 3)))
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    for name in ("image.npy", "notes.json", "notes.txt", "missing.bin", "."):
        assert reader.get_reader(str(tmp_path / name)) is None
    assert reader.get_reader([str(peak_folder), str(peak_folder)]) is None


def test_without_a_viewer_peaks_become_layers(peak_folder, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    ((levels, options, kind),) = reader.read(str(peak_folder))
    layer = getattr(napari.layers, kind.capitalize())(levels, **options)
    assert layer.multiscale and layer.extent.world[1][0] > 499
    with pytest.raises(InputError, match="does not exist"):
        reader.read(str(peak_folder / "nothing"))


def test_sample_data_are_a_drifting_raster_and_its_motion():
    (levels, options, _), (segments, lines, kind) = sample_data.drifting_recording(duration_s=30.0, num_units=20)
    assert np.asarray(levels[-1]).any() and kind == "vectors"
    assert napari.layers.Vectors(segments, **lines).name == "true motion"
    assert napari.layers.Image(levels, **options).axis_labels == ("depth", "time")


def test_the_reader_opens_in_the_panels_of_a_viewer(make_napari_viewer, qtbot, peak_folder, monkeypatch):
    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    assert reader.read(str(peak_folder)) == [(None,)]
    cockpit = cockpit_of(viewer)
    qtbot.waitUntil(lambda: cockpit.layers.raw is not None, timeout=20_000)
    assert "raster" in viewer.layers
    assert set(cockpit.docks.docks) == {"View", "Progress"}
    cockpit.close()


@pytest.mark.parametrize("title", ["Motion", "Recording", "Runs", "Traces"])
def test_a_panel_can_be_added_to_any_viewer(make_napari_viewer, title):
    viewer = make_napari_viewer()
    cls = getattr(contributions, f"{title}Panel")
    panel = cls(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(panel, name=title)
    cockpit = cockpit_of(viewer)
    assert panel.panel in cockpit.docks.panels and not cockpit.own and cockpit.viewer is viewer
    assert not cockpit.frame.welcome.isVisibleTo(cockpit.frame.ground)
    cockpit.close()


def test_commands_act_on_the_viewer_at_hand(make_napari_viewer):
    viewer = make_napari_viewer()
    cockpit = cockpit_of(viewer, own=True)
    contributions.show_recording(viewer)
    contributions.flicker(viewer)
    assert "run an estimate first" in cockpit.session.notice
    cockpit.close()
