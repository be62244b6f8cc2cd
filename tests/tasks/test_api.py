"""The Python interface, the files that prediction reads, and the verbs of the command line."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import save_model
from headstart.interchange.sentence_vectors import Normalize, SentenceVectors
from headstart.tasks import file_prediction
from headstart.tasks.file_prediction import predict_file
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe

SETTINGS = {"learning_rate": 3e-3, "min_steps": 40, "max_steps": 40, "max_tokens": 48}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, encoder, tiny, tokenizer, places, speech):
    """A pre-trained encoder, a decoder, and labelled data."""
    root = tmp_path_factory.mktemp("api")
    save_model(root / "encoder", encoder.model, tokenizer, "masked", "# Encoder")
    save_model(root / "decoder", tiny("headstart-decoder"), tokenizer, "causal", "# Decoder")
    rows = [{"text": t, "label": c} for t, c in zip(places.inputs, places.targets, strict=True)]
    (root / "places.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"tokens": t, "tags": c} for t, c in zip(speech.inputs, speech.targets, strict=True)]
    (root / "speech.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def test_from_python(folders, tmp_path):
    model = hs.load(folders / "encoder")
    spam = hs.finetune(model, task="classification", data=folders / "places.jsonl", **SETTINGS)
    assert spam.score is not None
    assert (spam.score.value > 0.9, spam.score.n) == (True, 24)
    answer = spam.predict("The captain and the ship")
    assert (answer["label"], set(answer["probabilities"])) == ("sea", {"sea", "home"})
    assert len(spam.predict(["The captain", "The kitchen"])) == 2
    spam.save(tmp_path / "spam")
    again = hs.load(tmp_path / "spam")
    assert again.predict("The captain and the ship") == answer
    assert again.evaluate(folders / "places.jsonl")[0].value > 0.9
    with pytest.raises(HeadstartError, match="knows none of the labels"):
        again.evaluate(_relabelled(folders, tmp_path))
    tagger = hs.finetune(folders / "encoder", folders / "speech.jsonl", **SETTINGS)
    assert tagger.predict("the old ship waits")["words"] == ["the", "old", "ship", "waits"]
    assert len(tagger.predict([["a", "ship"]])[0]["tags"]) == 2
    assert isinstance(hs.load(folders / "decoder").generate("The", max_new_tokens=3), str)
    assert len(model.fill_mask("The <mask> of")[0]) == 5


def test_saving_deletes_nothing_unless_told_to(folders, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("my only copy")
    encoder, decoder = hs.load(folders / "encoder"), hs.load(folders / "decoder")
    with pytest.raises(HeadstartError, match=r"holds other files \(notes.txt\)"):
        decoder.save(mine)
    with pytest.raises(HeadstartError, match="is what is read"):
        decoder.save(folders / "decoder")
    assert (mine / "notes.txt").read_text() == "my only copy"

    saved = tmp_path / "saved"
    decoder.save(saved)
    written = (saved / "model.safetensors").stat().st_mtime_ns
    decoder.save(saved)  # a cell that is run twice
    assert (saved / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(HeadstartError, match="saved model folder made from other"):
        encoder.save(saved)
    assert hs.load(saved).loaded.head == "causal"
    encoder.save(saved, replace=True)
    assert hs.load(saved).loaded.head == "masked"
    decoder.save(mine, replace=True)
    assert not (mine / "notes.txt").exists()


def test_what_makes_vectors_is_part_of_what_is_saved(folders, tmp_path):
    model = hs.load(folders / "encoder")
    saved = tmp_path / "saved"
    for pooling in ("mean", "max"):
        model.loaded.vectors = SentenceVectors((pooling,), [Normalize()])
        model.save(saved, replace=pooling == "max")
        assert hs.load(saved).loaded.vectors.pooling == (pooling,)
    model.save(saved)
    model.loaded.vectors.layers = []
    with pytest.raises(HeadstartError, match="saved model folder made from other"):
        model.save(saved)
    model = hs.load(folders / "encoder")
    model.save(tmp_path / "plain")
    model.loaded.tokenizer.config = {**model.loaded.tokenizer.config, "chat_template": "{{ messages }}"}
    with pytest.raises(HeadstartError, match="saved model folder made from other"):
        model.save(tmp_path / "plain")


def _relabelled(folders, tmp_path):
    text = (folders / "places.jsonl").read_text().replace('"sea"', '"wet"').replace('"home"', '"dry"')
    (tmp_path / "other.jsonl").write_text(text)
    return tmp_path / "other.jsonl"


def test_models_say_what_they_cannot(folders):
    with pytest.raises(HeadstartError, match="cannot generate text: it is an encoder"):
        hs.load(folders / "encoder").generate("Once")
    with pytest.raises(HeadstartError, match="cannot fill gaps: it is a decoder"):
        hs.load(folders / "decoder").fill_mask("A <mask>")
    with pytest.raises(HeadstartError, match="fine-tune it first"):
        hs.load(folders / "encoder").predict("x")
    with pytest.raises(HeadstartError, match="precision 'float23'"):
        hs.load(folders / "encoder", precision="float23")
    with pytest.raises(HeadstartError, match="did you mean 'epochs'"):
        hs.finetune(folders / "encoder", folders / "places.jsonl", epoch=3)


def test_files_of_any_size(tmp_path, encoder, places, monkeypatch):
    predictor = finetune(encoder, places, FinetuneRecipe(min_steps=2, max_steps=2), 0)
    lines = tmp_path / "a.txt"
    lines.write_bytes(b"The ship\n\n\xff broken\n" + b"The kitchen\n" * 40)
    monkeypatch.setattr(file_prediction, "CHUNK_ROWS", 7)
    answers = list(predict_file(predictor, lines))
    assert len(answers) == 43
    assert answers[1] == {"error": "empty text"}
    whole = predictor.answers(["The ship"])[0]
    assert answers[0]["label"] == whole["label"]
    assert np.isclose(answers[0]["probability"], whole["probability"], atol=1e-6)
    table = tmp_path / "a.csv"
    table.write_text("id,message\n7,The ship\n8,\n")
    assert [answer["id"] for answer in predict_file(predictor, table)] == ["7", "8"]
    with pytest.raises(HeadstartError, match="no column 'masage'; did you mean 'message'"):
        list(predict_file(predictor, table, "masage"))
    (tmp_path / "b.csv").write_text("foo\nx\n")
    with pytest.raises(HeadstartError, match="found 'foo'"):
        list(predict_file(predictor, tmp_path / "b.csv"))


def test_from_the_command_line(folders, tmp_path):
    run = CliRunner()
    out = tmp_path / "run"
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    command = [
        "finetune",
        str(folders / "encoder"),
        "--data",
        str(folders / "places.jsonl"),
        "--out",
        str(out),
    ]
    command += ["--labels", "60", "--precision", "float32", "--json", *settings]
    done = run.invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    figures = json.loads((out / "scores.json").read_text())
    assert json.loads(done.stdout) == figures
    assert {row["system"] for row in figures["scores"]} == {"fine-tuned", "tf-idf", "majority"}
    written = {path.name for path in out.iterdir()}
    of_the_run = {"recipe.yaml", "run.json", "metrics.jsonl", "timing.json"}
    assert written == of_the_run | {"scores.json", "model", ".output.json"}
    assert "95 % bootstrap interval" in (out / "model" / "README.md").read_text()
    assert json.loads(run.invoke(app, command, catch_exceptions=False).stdout) == figures
    with pytest.raises(HeadstartError, match="holds a fine-tuning folder made from other inputs or settings"):
        run.invoke(app, [*command, "--seed", "1"], catch_exceptions=False)

    done = run.invoke(app, ["evaluate", str(out), "--data", str(folders / "places.jsonl"), "--json"])
    assert json.loads(done.stdout)["evaluations"][0]["scores"][0]["n"] == 120

    (tmp_path / "texts.txt").write_text("The captain and the ship\nThe kitchen\n")
    answers = tmp_path / "answers.jsonl"
    run.invoke(
        app, ["predict", str(out), str(tmp_path / "texts.txt"), "--out", str(answers)], catch_exceptions=False
    )
    assert [json.loads(line)["label"] for line in answers.read_text().splitlines()] == ["sea", "home"]
    done = run.invoke(app, ["predict", str(out), "-"], input='{"text": "The kitchen", "id": 4}\n')
    assert json.loads(done.stdout)["id"] == 4
