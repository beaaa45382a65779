"""SpikeGLX pairs, on real .meta files and against neo's own reader."""

import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from driftviewer.chunks import Job
from driftviewer.errors import InputError
from driftviewer.recording import open_recording
from driftviewer.recording.spikeglx import open_spikeglx, read_meta, read_probe
from driftviewer.recording.write import write_spikeglx

JOB = Job(n_jobs=1, progress_bar=False)
REAL = {
    "NP1": "Noise_g0_t0.imec0.ap.meta",
    "NP1 subset": "NP1_saved_only_subset_of_channels.meta",
    "phase 3A": "phase3a.imec.ap.meta",
    "NP2 one shank": "p2_g0_t0.imec0.ap.meta",
    "NP2 four shanks": "NP2_4_shanks.imec0.ap.meta",
    "NP2 four shanks, scattered": "NP2_4_shanks_save_different_electrodes.imec0.ap.meta",
    "NP2013 subset": "NP2_2013_subset_channels.imec0.ap.meta",
    "quad base": "NP2020_sample_g0_t0.imec0.ap.meta",
    "ultra": "NP-Ultra.meta",
    "active ultra": "NP1110_bank0_g0_t0.imec0.ap.meta",
    "primate": "non_human_primate_long_staggered.imec0.ap.meta",
    "CatGT": "catgt.meta",
}


@pytest.fixture
def metas(shared_data):
    return shared_data / "probe_meta/probeinterface/tests/data/spikeglx"


def put_bin(meta: Path, folder: Path, frames: int = 50) -> tuple[Path, np.ndarray]:
    """Copy a real .meta, with the size corrected, and write a bin that matches it."""
    fields = read_meta(meta)
    columns = int(fields["nSavedChans"])
    traces = np.random.default_rng(0).integers(-500, 500, (frames, columns)).astype(np.int16)
    copy = folder / (meta.name if meta.name.count(".") > 1 else "run_g0_t0.imec0.ap.meta")
    text = meta.read_text(encoding="utf-8", errors="replace")
    copy.write_text(
        "\n".join(f"fileSizeBytes={traces.nbytes}" if line.startswith("fileSizeBytes=") else line for line in text.splitlines())
    )
    traces.tofile(copy.with_suffix(".bin"))
    return copy.with_suffix(".bin"), traces


@pytest.mark.parametrize("name", REAL)
def test_opens_a_bin_beside_a_real_meta(metas, tmp_path, name):
    data, traces = put_bin(metas / REAL[name], tmp_path)
    probe, fields = read_probe(metas / REAL[name]), read_meta(metas / REAL[name])
    channels = int(fields["snsApLfSy"].split(",")[0])
    for path in (data, data.with_suffix(".meta"), tmp_path):
        recording = open_recording(path)
        np.testing.assert_array_equal(recording.read(0, 50), traces[:, :channels])
    np.testing.assert_array_equal(recording.info.channel_locations, probe.contact_positions)
    assert recording.info.dtype == np.int16
    assert recording.info.sampling_frequency == pytest.approx(30000, rel=1e-3)
    assert recording.info.t_start == pytest.approx(int(fields["firstSample"]) / recording.info.sampling_frequency)
    assert len(set(recording.info.shank_ids.tolist())) == (4 if "four" in name or name in ("quad base", "NP2013 subset") else 1)
    assert 0.5 < recording.info.sample_shifts.max() < 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).read(3, 5), traces[3:5, :channels])


@pytest.mark.parametrize("name", [name for name in REAL if name != "active ultra"])
def test_gains_and_samples_are_neos(metas, tmp_path, name):
    from neo.rawio import SpikeGLXRawIO

    data, _ = put_bin(metas / REAL[name], tmp_path)
    recording = open_spikeglx(data)
    reader = SpikeGLXRawIO(str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.parse_header()
    channels = recording.info.num_channels
    np.testing.assert_allclose(recording.info.gain_uv, reader.header["signal_channels"]["gain"][:channels], rtol=1e-12)
    np.testing.assert_array_equal(reader.get_analogsignal_chunk(stream_index=0)[:, :channels], recording.read(0, 50))
    assert recording.info.t_start == pytest.approx(reader.get_signal_t_start(0, 0, 0))


def test_sample_shifts_of_the_probe_table(metas, tmp_path):
    """Channels 0, 1, 24, 25, … of Neuropixels 1.0 are read first, 2, 3, 26, … next, of 13 cycles; 2.0: 16 cycles, blocks of 32."""
    one = open_spikeglx(put_bin(metas / REAL["NP1"], tmp_path)[0]).info.sample_shifts
    np.testing.assert_allclose(one[[0, 1, 24, 25, 2, 3, 22, 23]], np.array([0, 0, 0, 0, 1, 1, 11, 11]) / 13)
    two = open_spikeglx(put_bin(metas / REAL["NP2 one shank"], tmp_path)[0]).info.sample_shifts
    np.testing.assert_allclose(two[[0, 1, 32, 33, 2, 30, 31]], np.array([0, 0, 0, 0, 1, 15, 15]) / 16)


def test_active_ultra_gain_is_from_its_table(metas, tmp_path):
    data, _ = put_bin(metas / REAL["active ultra"], tmp_path)
    np.testing.assert_allclose(open_spikeglx(data).info.gain_uv, 0.6 / 512 / 500 * 1e6)


def test_lf_band_has_the_same_probe(shared_data, tmp_path):
    folder = shared_data / "probe_meta/ibl-neuropixel/src/tests/fixtures"
    data, traces = put_bin(folder / "sample3B_g0_t0.imec1.lf.meta", tmp_path)
    recording = open_recording(data)
    ap = read_probe(folder / "sample3B_g0_t0.imec1.ap.meta")
    np.testing.assert_array_equal(recording.info.channel_locations, ap.contact_positions)
    np.testing.assert_array_equal(recording.read(0, 50), traces[:, :384])
    assert "LF band" in recording.info.notes[0]


@pytest.mark.parametrize("name", ["NP1", "NP2 four shanks", "NP1 subset"])
def test_writes_with_a_real_meta(metas, tmp_path, make_recording, name):
    contacts = read_probe(metas / REAL[name]).contact_positions
    recording = make_recording(700, contacts[::-1][:100], gain_uv=0.5, t_start=2.0)
    written = write_spikeglx(tmp_path / "ü b", recording, metas / REAL[name], job=JOB)
    got = open_recording(tmp_path / "ü b")
    back = [np.flatnonzero((got.info.channel_locations == place).all(axis=1))[0] for place in recording.info.channel_locations]
    np.testing.assert_array_equal(got.read(0, 700)[:, back], recording.traces)
    np.testing.assert_allclose(got.info.gain_uv, 0.5)
    np.testing.assert_allclose(written.gain_uv, 0.5)
    assert (got.info.t_start, got.info.num_channels) == (2.0, 100)
    assert written.path.stat().st_size == 700 * 101 * 2


@pytest.mark.parametrize("kind", ["np1 384", "np1 128", "np2 64", "four shanks"])
def test_writes_without_a_template(tmp_path, make_recording, np1, np2, kind):
    from neo.rawio import SpikeGLXRawIO

    contacts = {"np1 384": np1(384), "np1 128": np1(128), "np2 64": np2(64)}.get(kind)
    if contacts is None:
        contacts = np.concatenate([np2(96) + np.array([250.0 * shank, 0.0]) for shank in range(4)])
    recording = make_recording(300, contacts)
    write_spikeglx(tmp_path, recording, job=JOB)
    got = open_recording(tmp_path)
    shift = got.info.channel_locations.min(axis=0) - contacts.min(axis=0)
    back = [np.flatnonzero((got.info.channel_locations == place).all(axis=1))[0] for place in contacts + shift]
    np.testing.assert_array_equal(got.read(0, 300)[:, back], recording.traces)
    np.testing.assert_allclose(got.info.gain_uv, 0.195)
    assert len(set(got.info.shank_ids)) == (4 if kind == "four shanks" else 1)
    reader = SpikeGLXRawIO(str(tmp_path))
    reader.parse_header()
    assert [str(name) for name in reader.header["signal_streams"]["name"]] == ["imec0.ap", "imec0.ap-SYNC"]
    np.testing.assert_array_equal(reader.get_analogsignal_chunk(stream_index=0), got.read(0, 300))


def test_other_contacts_are_refused(metas, tmp_path, make_recording):
    with pytest.raises(InputError, match="not those of a Neuropixels"):
        write_spikeglx(tmp_path, make_recording(100, np.random.default_rng(0).uniform(0, 300, (20, 2))), job=JOB)
    with pytest.raises(InputError, match=r"take the .meta of their probe"):
        write_spikeglx(tmp_path, make_recording(100), metas / REAL["NP1"], job=JOB)
    assert not list(tmp_path.rglob("*.bin"))


@pytest.fixture
def pair(tmp_path, make_recording, np1):
    write_spikeglx(tmp_path, make_recording(300, np1(16)), job=JOB)
    return next(tmp_path.rglob("*.ap.bin"))


def edit(data: Path, old: str, new: str) -> None:
    meta = data.with_suffix(".meta")
    assert old in meta.read_text()
    meta.write_text(meta.read_text().replace(old, new))


def test_truncated(pair):
    pair.write_bytes(pair.read_bytes()[:-1])
    with pytest.raises(InputError, match="33 bytes are left over after 299 frames of 17 channels"):
        open_recording(pair)
    pair.write_bytes(pair.read_bytes()[: 17 * 2 * 200])
    with pytest.raises(InputError, match=r"has 6800 bytes but run_g0_t0.imec0.ap.meta says 10200; copy the whole file"):
        open_recording(pair)


def test_missing_partner(pair):
    meta = pair.with_suffix(".meta")
    kept = meta.read_text()
    meta.unlink()
    with pytest.raises(InputError, match=r"has no run_g0_t0.imec0.ap.meta beside it"):
        open_recording(pair)
    meta.write_text(kept)
    pair.unlink()
    with pytest.raises(InputError, match=r"has no run_g0_t0.imec0.ap.bin beside it"):
        open_recording(meta)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("nSavedChans=17", "nSavedChans=many", "nSavedChans is 'many', not a number"),
        ("snsApLfSy=", "other=", "lacks snsApLfSy"),
        ("imSampRate=", "other=", "lacks imSampRate"),
        ("~imroTbl=", "other=", "no imroTbl"),
        ("imDatPrb_pn=NP1000", "imDatPrb_pn=NP77", "its probe cannot be read"),
        ("snsSaveChanSubset=", "snsSaveChanSubset=x", "its probe cannot be read"),
        ("snsApLfSy=16,", "snsApLfSy=15,", "the probe has 16 contacts but snsApLfSy says 15"),
    ],
)
def test_damaged_meta(pair, old, new, sentence):
    edit(pair, old, new)
    with pytest.raises(InputError, match=sentence) as caught:
        open_recording(pair)
    assert ".meta" in str(caught.value)


def copy_as(pair: Path, name: str) -> Path:
    for suffix in (".bin", ".meta"):
        shutil.copy(pair.with_suffix(suffix), pair.with_name(name).with_suffix(suffix))
    return pair.with_name(name)


def test_triggers_are_joined_in_order_and_a_catgt_file_replaces_them(pair, tmp_path):
    one = open_recording(pair).read(0, 300)
    later = copy_as(pair, "run_g0_t10.imec0.ap.bin")
    np.zeros((300, 17), np.int16).tofile(later)
    copy_as(pair, "run_g0_t2.imec0.ap.bin")
    joined = open_recording(tmp_path)
    assert joined.info.boundaries == (300, 600)
    np.testing.assert_array_equal(joined.read(0, 900), np.concatenate([one, one, 0 * one]))
    np.testing.assert_array_equal(open_recording(pair).read(0, 300), one)
    copy_as(pair, "run_g0_tcat.imec0.ap.bin")
    assert open_recording(tmp_path).info.num_samples == 300


def test_several_probes_need_a_choice(pair, tmp_path):
    copy_as(pair, "run_g0_t0.imec1.ap.bin")
    copy_as(pair, "run_g0_t0.imec1.lf.bin")
    with pytest.raises(InputError, match=r"2 streams; choose one with stream= one of: imec0.ap, imec1.ap"):
        open_recording(tmp_path)
    assert "imec1" in open_recording(tmp_path, stream="imec1.ap").info.name
    with pytest.raises(InputError, match="no stream is called 'imec7'"):
        open_recording(tmp_path, stream="imec7")


def test_two_runs_need_a_choice(pair, tmp_path):
    copy_as(pair, "other run_g0_t0.imec0.ap.bin")
    with pytest.raises(InputError, match=r"other run/imec0.ap, run/imec0.ap"):
        open_recording(tmp_path)
    assert open_recording(tmp_path, stream="other run").info.name == "other run_g0_t0.imec0.ap"


def test_the_same_file_twice_is_told(pair, tmp_path):
    (tmp_path / "copy").mkdir()
    for suffix in (".bin", ".meta"):
        shutil.copy(pair.with_suffix(suffix), tmp_path / "copy")
    with pytest.raises(InputError, match="two copies of one file"):
        open_recording(tmp_path)
