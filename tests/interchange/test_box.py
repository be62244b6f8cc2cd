"""Models that come with headstart are read by their names, and checked against their hashes."""

import zipfile
from pathlib import Path
from random import Random

import pytest

import headstart as hs
from headstart.errors import HeadstartError
from headstart.evaluation.evaluation import EvaluationSettings, evaluate
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


def test_the_models_that_come_with_headstart_are_whole_and_small(tmp_path):
    """Every file is what was packed, and all of them add at most 25 MB to a wheel."""
    box._verified.cache_clear()
    assert box.names() == ["headstart-mini", "headstart-mini-decoder"]
    wheel = tmp_path / "wheel.zip"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        for name in box.names():
            for part in model_in(Path(name)).rglob("*"):
                file.write(part)
    assert wheel.stat().st_size < 25_000_000


def test_meaning_is_nearer_than_words_to_the_encoder_in_the_box():
    vectors = hs.load("headstart-mini").embed(
        ["The cat sleeps on the sofa.", "A kitten is napping on the couch.", "The sofa is on sale in May."]
    )
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_the_decoder_in_the_box_has_learned_english(documents, tmp_path):
    """Sentences in their order are likelier than the same words in another, and both than by chance."""
    words = [text for document in documents[:40] for text in document["text"].split()][:600]
    shuffled = Random(0).sample(words, len(words))
    bits = []
    for name, found in (("order", words), ("chance", shuffled)):
        (tmp_path / f"{name}.txt").write_text(" ".join(found), encoding="utf-8")
        model = hs.load("headstart-mini-decoder").loaded
        figures = evaluate(model, f"text:{tmp_path / name}.txt", EvaluationSettings())
        bits.append(next(one["value"] for one in figures.scores if one["metric"] == "bits per byte"))
    assert bits[0] + 0.5 < bits[1] < 4


@pytest.mark.parametrize("name", box.names())
def test_a_card_in_the_box_is_the_recipes_below_one_head(name):
    """The head comes from `save_model`: one in the recipe's card would be a second, shown as text."""
    card = Path(__file__).parents[2] / "recipes" / "foundation" / f"{name}.md"
    _, head, text = (box.BOX / name / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert "library_name: transformers" in head
    assert text.strip() == card.read_text(encoding="utf-8").strip()
    assert text.startswith(f"\n# {name}, ")
