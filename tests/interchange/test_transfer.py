"""Models come in and go out whole; what does not compute the same is not kept."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.interchange import transfer
from headstart.interchange.model_folder import LoadedModel, load_model, nameless, save_model
from headstart.interchange.transfer import export_model, import_model
from headstart.models.heads import Head
from headstart.models.registry import FAMILIES, make_config
from headstart.models.transformer import Transformer, build

SIZES = {"vocab_size": 600, "layers": 2, "width": 32, "heads": 4, "feedforward_width": 128, "context": 64}
MAIN_HEAD = {"encoder": "masked", "decoder": "causal", "encoder-decoder": "text-to-text"}


def stirred(family: str) -> Transformer:
    """A small model of a family, no weight at its start."""
    sizes = SIZES | (
        {"position_offset": 3} if family in ("roberta", "xlm-roberta", "camembert") else {}
    )  # padding is 2, positions follow
    sizes = {
        name: size
        for name, size in sizes.items()
        if name == "position_offset" or name not in FAMILIES[family].fixed
    }
    model = build(make_config(family, sizes), 0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    return model.eval()


def pretrained(family: str, folder: Path, tokenizer) -> Path:
    model = stirred(family)
    head = MAIN_HEAD[model.config.architecture]
    head = head if head in FAMILIES[family].heads else "features"
    save_model(folder, model, tokenizer, head, "About it.")
    return folder


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_comes_back(family, tokenizer, tmp_path) -> None:
    source = pretrained(family, tmp_path / "m", tokenizer)
    facts = import_model(source, tmp_path / "again")
    assert facts["family"] == family
    first, second = load_model(source), load_model(tmp_path / "again")
    assert first.model.config == second.model.config
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    if FAMILIES[family].model_type is None:
        with pytest.raises(HeadstartError, match=f"transformers has no class for a {family} model"):
            export_model(source, tmp_path / "half", numbers="bfloat16")
        return
    report = export_model(source, tmp_path / "half", numbers="bfloat16")
    assert report["difference"] == 0 < report["rounding"] < 0.1
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}
    assert "About it." in (tmp_path / "half" / "README.md").read_text()


def test_a_large_model_is_written_in_several_files(tokenizer, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    source = pretrained("llama", tmp_path / "m", tokenizer)
    export_model(source, tmp_path / "shards", shard_bytes=40_000)
    files = sorted(file.name for file in (tmp_path / "shards").glob("*.safetensors"))
    assert len(files) > 2
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(files)
    theirs, report = AutoModelForCausalLM.from_pretrained(tmp_path / "shards", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ids = torch.arange(20)[None]
    ours = load_model(source).model
    assert torch.allclose(ours.logits(ours(ids)), theirs(ids).logits, atol=1e-5)
    (tmp_path / "shards" / files[1]).unlink()
    with pytest.raises(HeadstartError, match="not in the folder"):
        load_model(tmp_path / "shards")


def test_an_index_cannot_name_files_elsewhere(tokenizer, tmp_path) -> None:
    source = pretrained("llama", tmp_path / "m", tokenizer)
    export_model(source, tmp_path / "shards", shard_bytes=40_000)
    index = tmp_path / "shards" / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../m/model-00001"))
    with pytest.raises(HeadstartError, match="not in the folder"):
        load_model(tmp_path / "shards")


def test_labels_and_their_kind_survive(tokenizer, tmp_path) -> None:
    model = stirred("bert")
    classifier = {"weight": torch.randn(3, 32), "bias": torch.randn(3)}
    labels = ["good", "bad", "ugly"]
    kind = "multi_label_classification"
    task = LoadedModel(model, tokenizer, "classification", classifier, labels, problem_type=kind)
    save_model(tmp_path / "m", task, "card")
    assert import_model(tmp_path / "m", tmp_path / "again")["labels"] == labels
    fields = json.loads((tmp_path / "again" / "config.json").read_text())
    assert fields["id2label"] == {"0": "good", "1": "bad", "2": "ugly"}
    assert fields["problem_type"] == "multi_label_classification"
    again = load_model(tmp_path / "again")
    assert torch.equal(again.classifier["weight"], classifier["weight"])


def test_what_computes_something_else_is_not_kept(tokenizer, tmp_path, monkeypatch) -> None:
    source = pretrained("llama", tmp_path / "m", tokenizer)
    honest = transfer.save_model

    def tampering(folder: Path, model: LoadedModel, *arguments, **more) -> None:
        with torch.no_grad():
            model.model.decoder.blocks[0].attention.query.weight[0] += 0.5
        honest(folder, model, *arguments, **more)

    monkeypatch.setattr(transfer, "save_model", tampering)
    with pytest.raises(HeadstartError, match="computes something else"):
        export_model(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_numbers_that_are_none(tokenizer, tmp_path) -> None:
    source = pretrained("llama", tmp_path / "m", tokenizer)
    tensors = load_file(source / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadstartError, match="NaN"):
        import_model(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["unknown", "missing"])
def test_weights_of_another_architecture(tokenizer, tmp_path, change) -> None:
    source = pretrained("llama", tmp_path / "m", tokenizer)
    tensors = load_file(source / "model.safetensors")
    if change == "unknown":
        tensors["model.layers.0.self_attn.q_norm.weight"] = torch.ones(8)
    else:
        del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadstartError, match="does not have" if change == "unknown" else "lacks the weights"):
        import_model(source, tmp_path / "out")


def test_wrong_numbers_for_a_format(tokenizer, tmp_path) -> None:
    source = pretrained("llama", tmp_path / "m", tokenizer)
    with pytest.raises(HeadstartError, match="float32, float16, bfloat16"):
        export_model(source, tmp_path / "out", "hf", "q8_0")


def test_a_classifier_goes_out_in_half_precision(tokenizer, tmp_path) -> None:
    classifier = {"weight": torch.randn(3, 32), "bias": torch.randn(3)}
    task = LoadedModel(stirred("bert"), tokenizer, "classification", classifier, ["a", "b", "c"])
    save_model(tmp_path / "m", task, "card")
    assert export_model(tmp_path / "m", tmp_path / "half", numbers="bfloat16")["difference"] == 0
    again = load_model(tmp_path / "half").classifier
    assert torch.equal(again["weight"], classifier["weight"].to(torch.bfloat16).float())


@pytest.mark.parametrize("value", [0, -1, 10**12, 2.5, "x", None, True, []])
@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"])
def test_impossible_sizes_end_in_a_sentence(tokenizer, tmp_path, key, value) -> None:
    source = pretrained("llama", tmp_path / "m", tokenizer)
    fields = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(fields | {key: value}))
    with pytest.raises(HeadstartError):
        load_model(source)


@pytest.mark.parametrize("value", [-1, 10**12, "x", None, []])
@pytest.mark.parametrize("key", ["hidden_dropout_prob", "layer_norm_eps"])
def test_impossible_numbers_end_in_a_sentence(tokenizer, tmp_path, key, value) -> None:
    source = pretrained("bert", tmp_path / "m", tokenizer)
    fields = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(fields | {key: value}))
    with pytest.raises(HeadstartError, match=r"config\.json"):
        load_model(source)


KINDS = {
    "masked": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "text-to-text": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
    "tagging": "AutoModelForTokenClassification",
    "spans": "AutoModelForQuestionAnswering",
    "features": "AutoModel",
}


@pytest.mark.parametrize("head", KINDS)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_is_exported_opens_in_auto_classes(family, head, tokenizer, tmp_path) -> None:
    """An export is one that transformers opens whole, tokenizer and all; what it cannot open is refused."""
    import transformers

    shape = FAMILIES[family].heads.get(head)
    if shape is None:
        pytest.skip("the family has no such head")
    model = stirred(family)
    if shape.encoder_alone:
        pytest.skip("of an encoder-decoder's encoder: tests/interchange/test_sentence_vectors.py")
    own = Head(model.config.width, shape, 2) if shape.weights else None
    loaded = LoadedModel(model, tokenizer, head, own.weights() if own else {}, ["a", "b"] if own else [])
    save_model(tmp_path / "m", loaded, "card")
    if shape.hf_class is None or FAMILIES[family].model_type is None:
        with pytest.raises(HeadstartError, match="transformers has no class"):
            export_model(tmp_path / "m", tmp_path / "out")
        return
    export_model(tmp_path / "m", tmp_path / "out")
    theirs, report = getattr(transformers, KINDS[head]).from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert type(theirs).__name__ == shape.hf_class
    # A body for task heads has no pooler; sinusoids are computed.
    missing = {name for name in report["missing_keys"] if not re.search("pooler|embed_positions", name)}
    assert not missing and not report["unexpected_keys"], (missing, report["unexpected_keys"])  # noqa: PT018
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again.encode("the king", add_special_tokens=False) == tokenizer.encode("the king")


def test_every_setting_that_stands_in_the_way_is_named_at_once() -> None:
    """Whoever leaves out counted words is not refused again for the mean."""
    both = nameless("bert", "mean-classification", mixes=False, counts=True)
    assert both is not None
    assert "counted_words=none and pooling=family" in both
    counts = nameless("bert", "classification", mixes=False, counts=True)
    assert counts is not None
    assert "pooling" not in counts
    assert nameless("bert", "classification", mixes=False, counts=False) is None
