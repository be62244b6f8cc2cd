"""Model folders as they are published: what config.json leaves out, says for others, or says twice."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from published_models import GPT2, make, publish
from safetensors.torch import load_file, save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.text import generate
from headstart.interchange.model_folder import load_model
from headstart.interchange.published_config import DEFAULTS, with_defaults
from headstart.interchange.transfer import import_model
from headstart.models.registry import FAMILIES, make_config
from headstart.tokenizer.published import CLASS_OF_MODEL

ROWS = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(2))


def logits(folder):
    loaded = load_model(folder)
    with torch.no_grad():
        return loaded.model.eval().logits(loaded.model(ROWS))


def test_the_defaults_are_those_of_transformers() -> None:
    for model_type, fields in DEFAULTS.items():
        theirs = CONFIG_MAPPING[model_type]().to_dict()
        for name, value in fields.items():
            assert theirs[name] == value, (model_type, name)


@pytest.mark.parametrize(("model_type", "head"), [("gpt2", "LMHeadModel"), ("bert", "ForMaskedLM")])
def test_a_file_may_say_what_differs_from_defaults_alone(kinds, tmp_path, model_type, head) -> None:
    given = {"n_positions": 1024} if model_type == "gpt2" else {"max_position_embeddings": 512}
    model, tokenizer = make(model_type, kinds, head, **given)
    kept = {"model_type", "architectures", "vocab_size"}
    kept |= {*GPT2} if model_type == "gpt2" else {"hidden_size", "num_hidden_layers", "num_attention_heads"}
    kept |= {"intermediate_size"}

    def shorten(fields):
        for name in set(fields) - kept | {"n_positions"} & set(fields):
            del fields[name]

    folder = publish(tmp_path / "m", model, tokenizer, shorten)
    with torch.no_grad():
        right = model(input_ids=ROWS).logits
    assert torch.allclose(logits(folder), right, atol=1e-4 * float(right.abs().max()))


def test_end_tokens_and_beginnings_in_config_json_alone(kinds, tmp_path) -> None:
    model, tokenizer = make("llama", kinds, "ForCausalLM")
    folder = publish(
        tmp_path / "m", model, tokenizer, lambda c: c.update(eos_token_id=[3, 9]), generation=False
    )
    assert ModelIds.of(load_model(folder)).stop == {3, 9}
    import_model(folder, tmp_path / "out")
    assert ModelIds.of(load_model(tmp_path / "out")).stop == {3, 9}
    (folder / "generation_config.json").write_text('{"eos_token_id": 7}')
    assert ModelIds.of(load_model(folder)).stop == {7}  # which is all that counts where it is there


@pytest.mark.parametrize(
    "settings", [{}, {"forced_bos_token_id": 5, "num_beams": 3, "no_repeat_ngram_size": 2}]
)
def test_an_encoder_decoders_settings_in_config_json(kinds, tmp_path, settings) -> None:
    model, tokenizer = make("bart", kinds, "ForConditionalGeneration")
    said = {"decoder_start_token_id": 0, "forced_eos_token_id": 2} | settings
    folder = publish(tmp_path / "m", model, tokenizer, lambda c: c.update(said), generation=False)
    theirs = transformers.BartForConditionalGeneration.from_pretrained(folder).eval()
    row = tokenizer("The king and his men", return_tensors="pt")["input_ids"]
    right = theirs.generate(row, do_sample=False, max_new_tokens=8)[0].tolist()[1:]
    loaded = load_model(folder)
    config = GenerationConfig.of(loaded, temperature=0.0, max_new_tokens=8)
    found = generate(loaded, ["The king and his men"], config)[0].ids
    assert found == [token for token in right if token != tokenizer.eos_token_id or token in found]


@pytest.mark.parametrize(
    ("model_type", "head", "expected"),
    [
        ("llama", "ForCausalLM", "causal"),
        ("gpt2", "LMHeadModel", "causal"),
        ("bert", "ForMaskedLM", "masked"),
        ("bert", "ForPreTraining", "pretraining"),
        ("bert", "ForSequenceClassification", "classification"),
        ("bert", "ForTokenClassification", "tagging"),
        ("bert", "ForQuestionAnswering", "spans"),
        ("bert", "", "features"),
        ("roberta", "ForMaskedLM", "masked"),
        ("bart", "ForConditionalGeneration", "text-to-text"),
        ("t5", "ForConditionalGeneration", "text-to-text"),
        ("llama", "", "features"),
    ],
)
def test_a_folder_without_architectures(kinds, tmp_path, model_type, head, expected) -> None:
    model, tokenizer = make(model_type, kinds, head)
    folder = publish(tmp_path / "m", model, tokenizer, lambda c: c.pop("architectures"))
    assert load_model(folder).head == expected


def test_a_folder_that_names_its_class_alone(kinds, tmp_path) -> None:
    model, tokenizer = make("bert", kinds, "ForMaskedLM")
    folder = publish(tmp_path / "m", model, tokenizer, lambda c: c.pop("model_type"))
    assert load_model(folder).model.config.family == "bert"


@pytest.mark.parametrize(
    ("model_type", "whole"),
    [("gpt2", "LMHeadModel"), ("bart", "ForConditionalGeneration"), ("t5", "ForConditionalGeneration")],
)
def test_the_body_of_a_tied_model_writes(kinds, tmp_path, model_type, whole) -> None:
    model, tokenizer = make(model_type, kinds)
    folder = publish(tmp_path / "m", model, tokenizer)
    theirs = getattr(transformers, type(model).__name__.removesuffix("Model") + whole).from_pretrained(folder)
    row = tokenizer("The king", return_tensors="pt")["input_ids"]
    right = theirs.eval().generate(row, do_sample=False, max_new_tokens=6, min_new_tokens=6)[0].tolist()
    right = right[1:] if model.config.is_encoder_decoder else right[row.shape[1] :]
    loaded = load_model(folder)
    config = GenerationConfig.of(loaded, temperature=0.0, max_new_tokens=6, min_new_tokens=6)
    found = generate(loaded, ["The king"], config)[0].ids
    assert found == right[: len(found)]
    assert len(found) >= 5


def test_a_padding_token_that_the_embedding_has_no_row_for(kinds, tmp_path) -> None:
    model, tokenizer = make("gpt2", kinds, "LMHeadModel")
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    loaded = load_model(publish(tmp_path / "m", model, tokenizer))
    assert loaded.tokenizer.vocab_size == loaded.model.config.vocab_size
    assert loaded.tokenizer.special.pad is None
    assert generate(loaded, ["The king", "The"], GenerationConfig(max_new_tokens=3))[0].ids
    import_model(tmp_path / "m", tmp_path / "out")
    assert load_model(tmp_path / "out").tokenizer.vocab_size == loaded.tokenizer.vocab_size
    tokenizer.add_tokens(["word"])
    with pytest.raises(HeadstartError, match="do not belong together"):
        load_model(publish(tmp_path / "m", model, tokenizer))


def test_positions_that_count_from_no_padding(kinds, tmp_path) -> None:
    model, tokenizer = make("roberta", kinds, "ForMaskedLM")
    folder = publish(tmp_path / "m", model, tokenizer, lambda c: c.update(pad_token_id=None))
    with pytest.raises(HeadstartError, match="pad_token_id None, which positions are counted from"):
        load_model(folder)


def test_what_a_bert_is_imported_with(kinds, tmp_path) -> None:
    """As bert-base-uncased: the roles of special tokens are nowhere but in transformers' class."""
    model, tokenizer = make("bert", kinds, "ForMaskedLM")
    folder = publish(tmp_path / "m", model, tokenizer)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 64}')
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    import_model(folder, tmp_path / "out")
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert [fields[f"{role}_token_id"] for role in ("pad", "cls", "sep", "mask")] == [0, 2, 3, 4]


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.model_type])
def test_a_family_knows_the_defaults_of_transformers(name) -> None:
    """A key that is left out means what transformers' class of it takes."""
    family = FAMILIES[name]
    if name == "deberta-v3":  # its class takes version 1's absolute places
        with pytest.raises((ValueError, HeadstartError)):
            make_config(name, family.from_hf(with_defaults({"model_type": family.model_type})))
        return
    whole = CONFIG_MAPPING[family.model_type]().to_dict()
    least = with_defaults({"model_type": family.model_type})
    if name == "headstart-encoder":  # another head of ModernBERT's than its class takes
        whole |= {"classifier_pooling": "mean"}
    assert make_config(name, family.from_hf(least)) == make_config(name, family.from_hf(whole))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "qwen3_moe", "num_experts": 128}, "a mixture of 128 experts"),
        ({"model_type": "mixtral", "num_local_experts": 8}, "a mixture of 8 experts"),
        ({"model_type": "deepseek_v3", "n_routed_experts": 256}, "a mixture of 256 experts"),
        ({"model_type": "gemma3", "vision_config": {}}, "more than text"),
        ({"model_type": "rwkv"}, "is a rwkv model; this headstart reads"),
    ],
)
def test_other_architectures_are_refused_by_name(kinds, tmp_path, change, words) -> None:
    model, tokenizer = make("llama", kinds, "ForCausalLM")
    folder = publish(tmp_path / "m", model, tokenizer, lambda fields: fields.update(change))
    with pytest.raises(HeadstartError, match=words):
        load_model(folder)


@pytest.mark.parametrize("how", ["config.json", "weights"])
def test_quantised_folders_are_refused_as_such(kinds, tmp_path, how) -> None:
    model, tokenizer = make("llama", kinds, "ForCausalLM")
    said = {"quantization_config": {"quant_method": "fp8"}} if how == "config.json" else {}
    folder = publish(tmp_path / "m", model, tokenizer, lambda fields: fields.update(said))
    if how == "weights":
        weights = load_file(folder / "model.safetensors")
        weights["model.layers.0.mlp.up_proj.qweight"] = torch.zeros(4, 4, dtype=torch.int32)
        save_file(weights, folder / "model.safetensors")
    with pytest.raises(HeadstartError, match="quantised by fp8" if how == "config.json" else "qweight"):
        load_model(folder)


def test_weights_that_the_configuration_does_not_speak_of_are_not_passed_over(kinds, tmp_path) -> None:
    """A bias beside a matrix, and a configuration without biases."""
    model, tokenizer = make("llama", kinds, "ForCausalLM")
    folder = publish(tmp_path / "m", model, tokenizer)
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    weights[f"{name}.bias"] = torch.ones(len(weights[f"{name}.weight"]))
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(HeadstartError, match=r"q_proj\.bias"):
        load_model(folder)


def test_the_table_of_folders_that_load_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "published-models.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1:3]
        for line in page.splitlines()
        if line.startswith("| `") and "model_type" not in line
    ]
    table = {
        name.strip("` "): kind.strip("` ") if "none" not in kind else None
        for names, kind in rows
        for name in names.split(",")
    }
    known = {family.model_type for family in FAMILIES.values() if family.model_type}
    assert set(table) <= known
    assert len(table) > 15
    assert all(CLASS_OF_MODEL.get(name) == kind for name, kind in table.items())


@pytest.mark.parametrize(
    "wrapped",
    ["module.{}", "_orig_mod.module.{}", "module._orig_mod.{}", "{}"],
)
def test_names_with_what_wrappers_put_before_them(kinds, tmp_path, wrapped) -> None:
    """Several processes, torch.compile, and parts that were compiled alone."""
    model, tokenizer = make("bert", kinds, "ForMaskedLM")
    with torch.no_grad():
        right = model(input_ids=ROWS).logits

    def renamed(tensors):
        parts = {name.replace("encoder.layer.", "encoder._orig_mod.layer."): t for name, t in tensors.items()}
        return {wrapped.format(name): tensor for name, tensor in parts.items()}

    found = logits(publish(tmp_path / "m", model, tokenizer, weights=renamed))
    assert torch.allclose(found, right, atol=1e-4 * float(right.abs().max()))


REPEATED = {
    "bert": ("ForMaskedLM", "cls.predictions.decoder.bias", "cls.predictions.bias"),
    "roberta": ("ForMaskedLM", "lm_head.decoder.bias", "lm_head.bias"),
    "bart": ("ForConditionalGeneration", "model.encoder.embed_tokens.weight", "model.shared.weight"),
    "t5": ("ForConditionalGeneration", "decoder.embed_tokens.weight", "shared.weight"),
}
OUTPUTS = {
    "bert": ("ForMaskedLM", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    "llama": ("ForCausalLM", "lm_head.weight", "model.embed_tokens.weight"),
    "gpt2": ("LMHeadModel", "lm_head.weight", "transformer.wte.weight"),
}


@pytest.mark.parametrize("model_type", OUTPUTS)
def test_a_tied_matrix_under_the_name_of_the_output(kinds, tmp_path, model_type) -> None:
    head, output, embedding = OUTPUTS[model_type]
    model, tokenizer = make(model_type, kinds, head, tie_word_embeddings=True)
    folder = publish(
        tmp_path / "m",
        model,
        tokenizer,
        weights=lambda tensors: {output if name == embedding else name: t for name, t in tensors.items()},
    )
    with torch.no_grad():
        right = type(model).from_pretrained(folder).eval()(input_ids=ROWS).logits
    assert torch.allclose(logits(folder), right, atol=1e-4 * float(right.abs().max()))
    assert load_model(folder, weights=False).model.config.tied


@pytest.mark.parametrize("activation", ["gelu_fast", "gelu_python"])
def test_other_names_of_an_activation(kinds, tmp_path, activation) -> None:
    model, tokenizer = make("gpt2", kinds, "LMHeadModel", activation_function=activation)
    with torch.no_grad():
        right = model(input_ids=ROWS).logits
    folder = publish(tmp_path / "m", model, tokenizer)
    assert torch.allclose(logits(folder), right, atol=1e-4 * float(right.abs().max()))


@pytest.mark.parametrize("model_type", REPEATED)
def test_a_weight_that_is_there_twice_is_the_same(kinds, tmp_path, model_type) -> None:
    """Under the one name, the other, or both; where they differ, transformers computes with either."""
    head, repeat, name = REPEATED[model_type]
    model, tokenizer = make(model_type, kinds, head)
    plain = load_model(publish(tmp_path / "plain", model, tokenizer)).model.state_dict()
    ways = {
        "both": lambda tensors: tensors | {repeat: tensors[name].clone()},
        "repeat": lambda tensors: {repeat if one == name else one: t for one, t in tensors.items()},
    }
    for way, change in ways.items():
        state = load_model(publish(tmp_path / way, model, tokenizer, weights=change)).model.state_dict()
        assert all(torch.equal(state[one], tensor) for one, tensor in plain.items()), way
    other = publish(tmp_path / "other", model, tokenizer, weights=lambda w: w | {repeat: w[name] + 1})
    with pytest.raises(HeadstartError, match=f"{repeat} that differs"):
        load_model(other)
