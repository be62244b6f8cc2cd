"""`headstart data check`: what would be read, said before anything is trained."""

import json

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.tasks.data.dataset import load_task
from headstart.tasks.data_preview import preview_data


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_says_what_is_read_and_left_out(tmp_path):
    rows = [
        {"question": f"is {i} even?", "passage": f"it is {i}", "label": i % 2, "idx": i} for i in range(6)
    ]
    jsonl(tmp_path / "train.jsonl", rows)
    jsonl(tmp_path / "test.jsonl", [row | {"label": -1} for row in rows])
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    train, test = json.loads(result.output)
    assert (train["part"], train["kind"], train["examples"]) == ("train", "classification", 6)
    assert "text from 'question', pair from 'passage'" in train["notes"][0]
    assert "left out: 'idx'" in train["notes"][0]
    assert train["labels"] == {"0": 3, "1": 3}
    assert [shown["right"] for shown in train["shown"]] == ["0", "1", "0"]
    assert train["shown"][1]["input"] == "is 1 even? | it is 1"
    assert (test["part"], test["examples"]) == ("test", 0)
    words = CliRunner().invoke(app, ["data", "check", str(tmp_path / "train.jsonl")]).output
    assert "labels in their order: 0 3, 1 3" in words


def test_says_what_nothing_can_be_learned_from_and_counts_every_label(tmp_path):
    jsonl(tmp_path / "train.jsonl", [{"text": f"text {i}", "label": "spam"} for i in range(12)])
    jsonl(tmp_path / "validation.jsonl", [{"text": f"text {i}", "label": "spam"} for i in range(3)])
    train, validation = preview_data(tmp_path)
    assert any(note.startswith("nothing can be learned from it: one class alone") for note in train["notes"])
    assert "3 of the 3 validation examples also occur in the training data" in validation["notes"]
    many = jsonl(tmp_path / "many.jsonl", [{"text": f"t {i}", "label": f"c{i % 70}"} for i in range(210)])
    (found,) = preview_data(many)
    assert len(found["labels"]) == 70
    words = CliRunner().invoke(app, ["data", "check", str(many)]).output
    assert "and 20 more" in words


def test_what_cannot_be_set_apart_says_why(tmp_path):
    rows = [{"text": f"text {i}", "label": f"c{i}"} for i in range(30)]
    for count, why in ((30, "one example of each class"), (2, "one example of each class")):
        with pytest.raises(HeadstartError, match=f"{why}.*--test"):
            load_task(jsonl(tmp_path / "a.jsonl", rows[:count]), "classification")
    with pytest.raises(HeadstartError, match=r"too few examples.*--test"):
        load_task(jsonl(tmp_path / "b.jsonl", [{"text": "a", "score": 0.5}, {"text": "b", "score": 1.5}]))


def test_shows_the_tokens_that_a_model_reads_and_learns(tmp_path, tokenizer, tiny):
    save_model(tmp_path / "m", LoadedModel(tiny("headstart-decoder"), tokenizer, "causal"), "")
    loaded = load_model(tmp_path / "m")
    talk = [{"role": "user", "content": "who"}, {"role": "assistant", "content": "me"}]
    (found,) = preview_data(jsonl(tmp_path / "a.jsonl", [{"messages": talk}] * 2), loaded=loaded)
    end = tokenizer.tokens[tokenizer.special.end]
    assert found["shown"][0]["learned"].replace(" ", "") == f"me{end}"
    assert found["shown"][0]["tokens"].endswith(found["shown"][0]["learned"].removesuffix(f" {end}"))
