"""Choice among streams."""

import pytest

from driftviewer.errors import InputError
from driftviewer.recording.streams import choose


def test_the_ap_band_is_the_default():
    names = [
        "Record Node 101#Neuropix-PXI-100.ProbeA-AP",
        "Record Node 101#Neuropix-PXI-100.ProbeA-LFP",
        "NI-DAQmx-103.PXIe",
        "x_ADC",
        "xSYNC",
    ]
    assert choose(names, None, "here") == names[0]
    assert choose(["imec0.ap", "imec0.lf", "nidq"], None, "here") == "imec0.ap"


def test_a_part_of_the_name_is_enough():
    assert choose(["imec0.ap", "imec1.ap"], "IMEC1", "here") == "imec1.ap"
    assert choose(["probe", "probe 2"], "probe", "here") == "probe"
    assert choose(["A-AP", "A-LFP", "A-APSYNC"], "a-ap", "here") == "A-AP"
    assert choose(["A-AP", "A-LFP"], "lfp", "here") == "A-LFP"


def test_an_lf_band_alone_is_taken():
    assert choose(["imec0.lf", "nidq"], None, "here") == "imec0.lf"


def test_what_cannot_be_decided_is_listed():
    with pytest.raises(InputError, match="choose one with stream= one of: a, b"):
        choose(["a", "b", "sync"], None, "here")
    with pytest.raises(InputError, match="more than one stream"):
        choose(["a1", "a2"], "a", "here")
    with pytest.raises(InputError, match="no stream of a probe"):
        choose(["nidq"], None, "here")
