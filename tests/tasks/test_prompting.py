"""Language models asked by prompts with solved examples."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.evaluation.likelihood import asked_for, likelihoods
from headstart.evaluation.prompt_evaluation import evaluate_prompted
from headstart.evaluation.prompting import Prompted, solved
from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.tasks.examples import Choices, Examples


@pytest.fixture(scope="module")
def decoder(tokenizer, tiny):
    return LoadedModel(tiny("headstart-decoder", context=128), tokenizer, "causal")


@pytest.fixture(scope="module")
def answerer(tokenizer, tiny):
    return LoadedModel(tiny("t5", context=128), tokenizer, "text-to-text")


def test_the_likeliest_label_is_picked(decoder, answerer, places):
    for loaded in (decoder, answerer):
        prompted = Prompted(loaded, places, 2, seed=3)
        shown = "".join(
            f"Text: {text}\nLabel: {label}\n\n"
            for text, label in zip(prompted.shown.inputs, prompted.shown.targets, strict=True)
        )
        for text in places.inputs[:5]:
            asked = [
                asked_for(loaded, f"{shown}Text: {text}\nLabel:", f" {label}") for label in ("home", "sea")
            ]
            scores = [one.logprob for one in likelihoods(loaded, asked)]
            assert prompted.predict([text]) == [("home", "sea")[int(np.argmax(scores))]]


def test_normalised_scores(decoder):
    given = [Choices("Where is it?", ("at sea", "at home in the old house"))]
    train = Examples("multiple-choice", given, [0])

    def behind(prompt: str) -> np.ndarray:
        asked = [asked_for(decoder, prompt, f" {option}") for option in given[0].options]
        return np.array([one.logprob for one in likelihoods(decoder, asked)])

    raw, empty = behind("Where is it?\nAnswer:"), behind("N/A\nAnswer:")
    expected = {
        "none": raw,
        "length": raw / [6, 24],
        "unconditional": raw - empty,
    }
    for way, scores in expected.items():
        assert Prompted(decoder, train, 0, normalise=way).predict(given) == [int(np.argmax(scores))]
    with pytest.raises(HeadstartError, match="not normalised by 'bytes'"):
        Prompted(decoder, train, 0, normalise="bytes")


def test_solved_examples_are_balanced_and_chosen_by_seed(places):
    uneven = places.subset([1, *range(0, 120, 2)])  # one about the sea
    assert sorted(solved(uneven, 2, 0).targets) == ["home", "sea"]
    assert sorted(solved(places, 6, 5).targets) == ["home"] * 3 + ["sea"] * 3
    assert solved(places, 6, 5).inputs == solved(places, 6, 5).inputs != solved(places, 6, 6).inputs
    with pytest.raises(HeadstartError, match="7 solved examples need as many"):
        solved(places.subset(range(6)), 7, 0)


def test_written_answers_keep_to_a_line(decoder, speech):
    prompted = Prompted(decoder, speech, 1)
    predicted = prompted.predict(speech.inputs[:3])
    assert [len(tags) for tags in predicted] == [len(words) for words in speech.inputs[:3]]
    assert {tag for tags in predicted for tag in tags} <= set(speech.labels)
    texts = Examples("text-to-text", ["a ship"], [("sea",)])
    assert "\n" not in Prompted(decoder, texts, 1).predict(["a chair"])[0]


def test_what_has_no_room_is_said(decoder, places):
    prompted = Prompted(decoder, places, 16)
    prompted.predict(places.inputs[:4])
    assert prompted.notes() == ["16 shots: 4 questions had no room for all solved examples"]
    prompted = Prompted(decoder, places, 0)
    prompted.predict(["word " * 300])
    assert "1 questions were longer than the model reads" in prompted.notes()[0]


def test_scores_against_shots_from_the_command_line(tmp_path, decoder, places):
    save_model(tmp_path / "model", decoder.model, decoder.tokenizer, "causal", "# A decoder")
    data = tmp_path / "places.jsonl"
    lines = zip(places.inputs, places.targets, strict=True)
    data.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in lines))
    command = [
        "evaluate",
        str(tmp_path / "model"),
        "--on",
        str(data),
        "--shots",
        "0",
        "--shots",
        "2",
        "--json",
    ]
    done = CliRunner().invoke(app, [*command, "--limit", "20"], catch_exceptions=False)
    found = json.loads(done.stdout)["evaluations"][0]
    assert [row["solved examples"] for row in found["tables"]["score against solved examples"]] == [0, 2]
    assert {row["system"] for row in found["scores"]} == {"0 shots", "2 shots", "tf-idf", "majority"}
    assert "'Text: …⏎Label:'" in found["rule"]
    assert "solved examples come from the first 60 rows" in " ".join(found["notes"])


def test_a_file_that_is_sorted_by_labels_is_mentioned(decoder, tmp_path):
    """Its first half, from which solved examples come, lacks a label."""
    data = tmp_path / "sorted.csv"
    data.write_text("text,label\n" + "".join(f"text {n},{'ab'[n // 6]}\n" for n in range(12)))
    notes = " ".join(evaluate_prompted(decoder, data, limit=2).notes)
    assert "the first half has no b: is the file sorted" in notes


def test_what_cannot_be_prompted(encoder, decoder, places, tmp_path):
    with pytest.raises(HeadstartError, match="what a decoder or an encoder-decoder gives"):
        Prompted(encoder, places, 0)
    with pytest.raises(HeadstartError, match="embedding has no answer in words"):
        Prompted(decoder, Examples("embedding", [("a", "b")], [None]), 0)
    one = tmp_path / "one.csv"
    one.write_text("text,label\na,b\n")
    with pytest.raises(HeadstartError, match="one example alone"):
        evaluate_prompted(decoder, one)
