"""Models that come with headstart are read by their names, and checked against their hashes."""

import pytest

import headstart as hs
from headstart.errors import HeadstartError
from headstart.interchange import box
from headstart.interchange.box import model_in
from headstart.interchange.model_folder import load_model, save_model


@pytest.fixture
def packed(tiny, tokenizer, tmp_path, monkeypatch):
    """A box with one model, and an empty working folder."""
    monkeypatch.setattr(box, "BOX", tmp_path / "box")
    box._verified.cache_clear()
    folder = tmp_path / "box" / "headstart-mini"
    save_model(folder, tiny("headstart-encoder", vocab_size=tokenizer.vocab_size), tokenizer, "masked", "# m")
    box.pack(folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_a_name_is_read_as_its_folder(packed, tmp_path):
    assert model_in(type(packed)("headstart-mini")) == packed
    by_name, by_folder = hs.load("headstart-mini"), hs.load(packed)
    assert (by_name.embed(["a text"]) == by_folder.embed(["a text"])).all()


def test_a_folder_of_the_same_name_goes_first(packed, tmp_path):
    own = tmp_path / "here" / "headstart-mini"
    own.mkdir()
    assert model_in(type(packed)("headstart-mini")) == type(packed)("headstart-mini")


def test_a_damaged_file_is_said(packed):
    weights = packed / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(HeadstartError, match=r"model\.safetensors is not what was packed"):
        hs.load("headstart-mini")


def test_a_misspelt_name_is_told(packed):
    with pytest.raises(HeadstartError, match="did you mean 'headstart-mini'"):
        load_model(type(packed)("headstart-min"))


def test_the_models_that_come_with_headstart_are_whole_and_small():
    """Every file is what was packed, all of them fit into 25 MB, and meaning is nearer than words."""
    box._verified.cache_clear()
    assert "headstart-mini" in box.names()
    packed = [file for file in box.BOX.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in packed) < 25_000_000
    vectors = hs.load("headstart-mini").embed(
        ["The cat sleeps on the sofa.", "A kitten is napping on the couch.", "The sofa is on sale in May."]
    )
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
