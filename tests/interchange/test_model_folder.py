"""Model folders: transformers reads them and computes the same; what is damaged is refused."""

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer

ENCODER, DECODER = "headstart-encoder", "headstart-decoder"
HEADS = {ENCODER: "masked", DECODER: "causal"}
AUTO = {ENCODER: AutoModelForMaskedLM, DECODER: AutoModelForCausalLM}
BOTH = pytest.mark.parametrize("family", [ENCODER, DECODER])


def stirred(model: Transformer) -> Transformer:
    """The model with every weight moved, so that no norm is all ones and no bias all zeros."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return model


def in_transformers(auto, folder: Path):
    """The folder as transformers loads it; nothing may be missing, left over or of another shape."""
    theirs, report = auto.from_pretrained(folder, output_loading_info=True)
    for complaint in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[complaint], (complaint, report[complaint])
    assert type(theirs).__name__ == json.loads((folder / "config.json").read_text())["architectures"][0]
    return theirs.eval()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    """Equal within 1e-4 of the largest value."""
    assert ours.shape == theirs.shape, what
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    assert difference < 1e-4, (what, difference)


SHAPES = st.fixed_dictionaries(
    {
        "layers": st.integers(1, 3),
        "heads": st.sampled_from([1, 2, 4]),
        "head_width": st.sampled_from([4, 8, 16]),
        "shared": st.sampled_from([1, 2, 4]),
        "feedforward_width": st.integers(3, 70),
        "length": st.integers(2, 50),
        "seed": st.integers(0, 1000),
    }
)


@BOTH
@settings(max_examples=8)
@given(shape=SHAPES)
def test_transformers_computes_the_same(tiny, tokenizer, tmp_path_factory, family, shape) -> None:
    heads = shape["heads"]
    sizes = {"layers": shape["layers"], "heads": heads, "width": heads * shape["head_width"]}
    sizes["kv_heads"] = max(1, heads // shape["shared"]) if family == DECODER else heads
    sizes["feedforward_width"] = shape["feedforward_width"]
    ours = stirred(tiny(family, seed=shape["seed"], **sizes))
    folder = tmp_path_factory.mktemp("hf") / "model"
    save_model(folder, ours, tokenizer, HEADS[family], "card")
    theirs = in_transformers(AUTO[family], folder)

    ids = torch.randint(4, 600, (3, shape["length"]), generator=torch.Generator().manual_seed(shape["seed"]))
    expected = theirs(input_ids=ids).logits
    logits = ours.logits(ours(ids))
    assert_close(logits.detach(), expected.detach(), "logits")

    targets = ids.flip(1).flatten()
    for answer in (logits, expected):
        torch.nn.functional.cross_entropy(answer.flatten(0, 1), targets).backward()
    assert_close(ours.embedding.weight.grad, theirs.get_input_embeddings().weight.grad, "embedding gradient")
    ours_norm, theirs_norm = (
        torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
        for model in (ours, theirs)
    )
    assert_close(ours_norm, theirs_norm, "norm of all gradients")


@BOTH
def test_padding_does_not_matter_to_transformers(tiny, tokenizer, tmp_path, family) -> None:
    """A padded batch in transformers gives what each text alone gives here, from text to logits."""
    ours = stirred(tiny(family))
    save_model(tmp_path / "m", ours, tokenizer, HEADS[family], "card")
    theirs = in_transformers(AUTO[family], tmp_path / "m")
    reader = AutoTokenizer.from_pretrained(tmp_path / "m")
    texts = ["The king", "It is a truth universally acknowledged, that a single man"]
    batch = reader(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        for row, text in enumerate(texts):
            ids = [0, *tokenizer.encode(text)] + ([1] if family == ENCODER else [])
            assert batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist() == ids
            logits = ours.logits(ours(torch.tensor([ids])))[0]
            assert_close(logits, expected[row][batch["attention_mask"][row].bool()], text)


def test_transformers_generates_the_same_text(tiny, tokenizer, tmp_path) -> None:
    from headstart.generation.config import GenerationConfig
    from headstart.generation.text import generate

    ours = stirred(tiny(DECODER, kv_heads=2))
    save_model(tmp_path / "m", ours, tokenizer, "causal", "card")
    theirs = in_transformers(AutoModelForCausalLM, tmp_path / "m")
    reader = AutoTokenizer.from_pretrained(tmp_path / "m")
    prompt = reader("The king", return_tensors="pt")
    written = theirs.generate(**prompt, max_new_tokens=20, bad_words_ids=[[0], [2], [3]], do_sample=False)
    text = reader.decode(written[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    config = GenerationConfig(max_new_tokens=20, temperature=0)
    assert text == generate(load_model(tmp_path / "m"), ["The king"], config)[0].text


@pytest.mark.parametrize("head", ["classification", "tagging"])
def test_task_heads_load_in_transformers(tiny, tokenizer, tmp_path, head) -> None:
    ours = stirred(tiny(ENCODER))
    classifier = {"weight": torch.randn(3, 32), "bias": torch.randn(3)}
    labels = ["ham", "spam", "ünknown"]
    made = LoadedModel(ours, tokenizer, head, classifier, labels, {"task": "mail"})
    save_model(tmp_path / "m", made, "card")
    auto = AutoModelForSequenceClassification if head == "classification" else AutoModelForTokenClassification
    theirs = in_transformers(auto, tmp_path / "m")
    assert theirs.config.id2label == dict(enumerate(labels))
    ids = torch.randint(4, 600, (2, 20), generator=torch.Generator().manual_seed(0))
    loaded = load_model(tmp_path / "m")
    assert (loaded.head, loaded.labels, loaded.metadata["task"]) == (head, labels, "mail")
    with torch.no_grad():
        hidden = loaded.model(ids)
        pooled = hidden.mean(1) if head == "classification" else hidden
        logits = torch.nn.functional.linear(loaded.model.prediction_head(pooled), **loaded.classifier)
        assert_close(logits, theirs(input_ids=ids).logits, head)


@BOTH
def test_save_and_load_is_exact(tiny, tokenizer, tmp_path, family) -> None:
    sizes = {"kv_heads": 2} if family == DECODER else {}
    ours = stirred(tiny(family, **sizes))
    save_model(
        tmp_path / "m", LoadedModel(ours, tokenizer, HEADS[family], metadata={"a": 1}), "The card's text."
    )
    loaded = load_model(tmp_path / "m")
    assert loaded.model.config == ours.config
    state = loaded.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())
    assert loaded.head == HEADS[family]
    assert loaded.tokenizer.sha256 == tokenizer.sha256
    assert loaded.metadata["a"] == 1
    assert "The card's text." in (tmp_path / "m" / "README.md").read_text()
    # A run folder holds its model under `model`.
    (tmp_path / "run").mkdir()
    (tmp_path / "m").rename(tmp_path / "run" / "model")
    assert load_model(tmp_path / "run", torch.bfloat16).model.dtype == torch.bfloat16


@BOTH
def test_files_are_readable_and_no_pickle(tiny, tokenizer, tmp_path, family) -> None:
    before = os.umask(0o022)
    try:
        save_model(tmp_path / "m", tiny(family), tokenizer, HEADS[family], "card")
    finally:
        os.umask(before)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "m").iterdir()}
    assert set(files.values()) == {0o644}, files
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o755
    expected = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert set(files) == expected | ({"generation_config.json"} if family == DECODER else set())


@pytest.fixture
def folder(tiny, tokenizer, tmp_path) -> Path:
    save_model(tmp_path / "m", tiny(ENCODER), tokenizer, "masked", "card")
    return tmp_path / "m"


def complaint(folder: Path) -> str:
    with pytest.raises(HeadstartError) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_no_folder(tmp_path) -> None:
    assert "there is no model folder" in complaint(tmp_path / "none")
    assert "is not a model folder" in complaint(tmp_path)


def test_pickles_are_refused(folder) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "is a pickle" in complaint(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_missing_files(folder, name) -> None:
    (folder / name).unlink()
    assert name in complaint(folder)


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_truncated_weights(folder, keep) -> None:
    content = (folder / "model.safetensors").read_bytes()
    size = int(len(content) * keep) if isinstance(keep, float) else keep
    (folder / "model.safetensors").write_bytes(content[:size])
    assert "is damaged" in complaint(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"model_type": "bert"}', '{"headstart": 3}'])
def test_other_configs(folder, content) -> None:
    (folder / "config.json").write_text(content)
    complaint(folder)


def edit(folder: Path, **changes: object) -> None:
    fields = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        if value is None:
            del fields[key]
        else:
            fields[key] = value
    (folder / "config.json").write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": None}, "config.json says [600, 768]"),
        ({"hidden_size": "32"}, "config.json"),
        ({"hidden_size": 64}, "do not belong together"),
        ({"num_hidden_layers": 3}, "layer_types"),
        ({"vocab_size": 500}, "do not belong together"),
        ({"headstart": {"family": "bert"}, "model_type": "funnel"}, "is a funnel model"),
        ({"architectures": ["Oracle"], "headstart": {"family": "headstart-encoder"}}, "is a Oracle"),
    ],
)
def test_configs_that_do_not_fit(folder, changes, words) -> None:
    edit(folder, **changes)
    assert words in complaint(folder)


def test_a_tokenizer_of_another_model(folder, documents, tmp_path) -> None:
    from headstart.tokenizer.train import TokenizerRecipe, train

    other: Tokenizer = train((d["text"] for d in documents), TokenizerRecipe(vocab_size=500), tmp_path / "t")
    (folder / "tokenizer.json").write_bytes(other.path.read_bytes())
    assert "they do not belong together" in complaint(folder)


def test_a_masked_model_without_its_output_bias_is_not_whole(folder) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["decoder.bias"]
    save_file(weights, folder / "model.safetensors")
    assert "output_bias" in complaint(folder)
