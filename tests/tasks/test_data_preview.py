"""`headstart data check`: what would be read, said before anything is trained."""

import json

from typer.testing import CliRunner

from headstart.cli import app
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
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


def test_shows_the_tokens_that_a_model_reads_and_learns(tmp_path, tokenizer, tiny):
    save_model(tmp_path / "m", LoadedModel(tiny("headstart-decoder"), tokenizer, "causal"), "")
    loaded = load_model(tmp_path / "m")
    talk = [{"role": "user", "content": "who"}, {"role": "assistant", "content": "me"}]
    (found,) = preview_data(jsonl(tmp_path / "a.jsonl", [{"messages": talk}] * 2), loaded=loaded)
    end = tokenizer.tokens[tokenizer.special.end]
    assert found["shown"][0]["learned"].replace(" ", "") == f"me{end}"
    assert found["shown"][0]["tokens"].endswith(found["shown"][0]["learned"].removesuffix(f" {end}"))
