"""`headstart import --check`: what of a folder is understood, ignored, unsupported."""

import json

from published_models import make, publish

from headstart.interchange.inspection import inspect_folder


def said(folder):
    return {(one.part, one.verdict): one.text for one in inspect_folder(folder)}


def test_a_folder_that_is_understood(kinds, tmp_path) -> None:
    settings = {"eos_token_id": 699, "typical_p": 0.4}
    folder = publish(
        tmp_path / "m",
        *make("gpt2", kinds, "LMHeadModel"),
        lambda c: c.update(own_idea=7),
        generation=settings,
    )
    (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / "tf_model.h5").write_bytes(b"")
    found = said(folder)
    assert found["model", "understood"].startswith("gpt2 for causal, ")
    assert "own_idea" in found["config", "ignored"]
    assert "n_embd" not in found["config", "ignored"]
    assert found["tokenizer", "understood"].startswith("700 tokens from tokenizer.json; start <|endoftext|>")
    assert found["generation", "understood"] == "a text ends with <|endoftext|>"
    assert "typical_p" in found["generation", "ignored"]
    texts = [one.text for one in inspect_folder(folder) if one.part == "files"]
    assert texts == ["pickles are not read: pytorch_model.bin", "not read: tf_model.h5"]


def test_a_folder_that_is_not(kinds, tmp_path) -> None:
    folder = publish(
        tmp_path / "m", *make("gpt2", kinds, "LMHeadModel"), lambda c: c.update(model_type="mixtral")
    )
    found = said(folder)
    assert "mixtral" in found["model", "unsupported"]
    assert ("tokenizer", "understood") in found
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" in said(folder)["tokenizer", "unsupported"]


def test_vectors_are_described(kinds, tmp_path) -> None:
    folder = publish(tmp_path / "m", *make("bert", kinds))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert said(folder)["vectors", "understood"] == "pooled by cls"
