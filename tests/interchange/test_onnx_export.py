"""ONNX files: onnxruntime computes what the model computes, whatever the head."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from published_models import make, publish

import headstart as hs
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import save_model
from headstart.interchange.transfer import export_model

TEXTS = ["The king and his men", "a", "The ship came home at night, and nobody knew it."]
HEADS = {
    "ForMaskedLM": ["logits"],
    "ForSequenceClassification": ["logits"],
    "ForTokenClassification": ["logits"],
    "ForQuestionAnswering": ["start_logits", "end_logits"],
    "": ["last_hidden_state"],
}


def run(folder, row, file="model.onnx"):
    session = onnxruntime.InferenceSession(str(folder / "onnx" / file), providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}
    feed = {name: np.array(row[name]) for name in wanted}
    return {
        one.name: value for one, value in zip(session.get_outputs(), session.run(None, feed), strict=True)
    }


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
@pytest.mark.parametrize("head", HEADS)
def test_onnxruntime_gives_transformers_outputs(kinds, tmp_path, model_type, head) -> None:
    model, tokenizer = make(model_type, kinds, head)
    folder = publish(tmp_path / "m", model, tokenizer)
    report = export_model(folder, tmp_path / "out", "onnx")
    assert report["difference"] < 1e-5
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    row = again(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = model(**row)
    found = run(tmp_path / "out", row)
    assert sorted(found) == sorted(HEADS[head])
    for name, value in found.items():
        right = theirs[name].numpy()
        real = np.array(row["attention_mask"], bool)
        if right.shape[:2] == real.shape:
            value, right = value[real], right[real]
        assert np.abs(value - right).max() < 1e-4 * np.abs(right).max()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == model_type
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_eight_bits_are_measured(kinds, tmp_path) -> None:
    folder = publish(tmp_path / "m", *make("bert", kinds, "ForMaskedLM"))
    report = export_model(folder, tmp_path / "out", "onnx", "int8")
    assert 0 < report["rounding"] < 0.25
    assert [file.name for file in (tmp_path / "out" / "onnx").iterdir()] == ["model_quantized.onnx"]
    with pytest.raises(HeadstartError, match="no q8_0 weights; choose one of float32, int8"):
        export_model(folder, tmp_path / "out", "onnx", "q8_0")


def test_vectors_of_texts(kinds, tmp_path) -> None:
    folder = publish(tmp_path / "m", *make("bert", kinds))
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": True, "pooling_mode_weightedmean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    export_model(folder, tmp_path / "out", "onnx")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    found = run(tmp_path / "out", tokenizer(TEXTS, padding=True, return_tensors="pt"))["sentence_embedding"]
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert np.abs(found - hs.load(folder).embed(TEXTS)).max() < 1e-5


def test_a_decoder_is_refused(kinds, tmp_path) -> None:
    folder = publish(tmp_path / "m", *make("gpt2", kinds, "LMHeadModel"))
    with pytest.raises(HeadstartError, match="written of encoders"):
        export_model(folder, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_a_head_that_transformers_does_not_know_is_said_and_refused(kinds, tmp_path) -> None:
    folder = publish(tmp_path / "m", *make("bert", kinds, "ForMaskedLM"))
    rows = ["text,label"] + [
        f"{'good' if n % 2 else 'bad'} king {n},{'pos' if n % 2 else 'neg'}" for n in range(24)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    model = hs.finetune(
        str(folder), str(tmp_path / "rows.csv"), pooling="mean", counted_words="none", epochs=1
    )
    assert any("has no class in transformers" in note for note in model.notes)
    model.save(tmp_path / "tuned")
    with pytest.raises(HeadstartError, match="pooling=family gives one that it has"):
        export_model(tmp_path / "tuned", tmp_path / "out")
    model = hs.finetune(
        str(folder), str(tmp_path / "rows.csv"), pooling="family", counted_words="none", epochs=1
    )
    assert not any("transformers" in note for note in model.notes)
    model.save(tmp_path / "tuned", replace=True)
    export_model(tmp_path / "tuned", tmp_path / "out")
    theirs = transformers.pipeline("text-classification", str(tmp_path / "out"))
    assert theirs("good king")[0]["label"] == model.predict("good king")["label"]


def test_disentangled_positions_of_any_length(tiny, tokenizer, tmp_path) -> None:
    """A file is traced with rows of one length; what DeBERTa gathers has to follow those of another."""
    save_model(tmp_path / "m", tiny("deberta-v3"), tokenizer, "masked", "card")
    assert export_model(tmp_path / "m", tmp_path / "out", "onnx")["difference"] < 1e-4
