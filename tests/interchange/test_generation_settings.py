"""What a folder says of generation: obeyed as transformers does, or named."""

import json

import pytest
import torch
from published_models import make, publish

import headstart as hs
from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.interchange.model_folder import load_model

PROMPT = "The king and his men"
NEW = 10


@pytest.fixture
def models(kinds, tmp_path):
    """Writes a model with settings, and gives what headstart and transformers write with it."""

    def both(model_type, settings):
        head = "LMHeadModel" if model_type == "gpt2" else "ForConditionalGeneration"
        model, tokenizer = make(model_type, kinds, head)
        said = {
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "do_sample": False,
        }
        if model_type == "bart":
            said["decoder_start_token_id"] = tokenizer.eos_token_id
        folder = publish(tmp_path / "m", model, tokenizer, generation=said | settings)
        theirs = type(model).from_pretrained(folder).eval()
        row = tokenizer(PROMPT, return_tensors="pt")
        made = theirs.generate(**_inputs(row), max_new_tokens=NEW, tokenizer=tokenizer)[0].tolist()
        made = made[1:] if model_type == "bart" else made[row["input_ids"].shape[1] :]
        loaded = load_model(folder)
        config = GenerationConfig.of(loaded, temperature=0.0, max_new_tokens=NEW)
        return generate(loaded, [PROMPT], config)[0], made, tokenizer

    return both


def _inputs(row):
    return {name: row[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("model_type", ["gpt2", "bart"])
@pytest.mark.parametrize("name", ["plain", "bad words", "begin", "bias", "never", "least", "repeats"])
def test_the_likeliest_text_is_transformers(models, model_type, name) -> None:
    free = models(model_type, {})[1]
    settings = {
        "plain": {},
        "bad words": {"bad_words_ids": [[free[0]], [free[1], free[2]], free[3:6]]},
        "begin": {"begin_suppress_tokens": [free[0], free[1]]},
        "bias": {"sequence_bias": [[[free[0]], -3.0], [[free[1], free[2]], -100.0]]},
        "never": {"suppress_tokens": free[:3]},
        "least": {"min_new_tokens": NEW, "eos_token_id": free[1]},
        "repeats": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    }[name]
    found, right, tokenizer = models(model_type, settings)
    end = settings.get("eos_token_id", tokenizer.eos_token_id)
    written = right[: right.index(end)] if end in right else right
    assert found.ids[: len(written)] == written
    assert name == "plain" or right != free


def test_stop_strings_end_the_text(models) -> None:
    found, _, _ = models("gpt2", {})
    word = found.text[4:7]
    found, _, _ = models("gpt2", {"stop_strings": [word]})
    assert found.finish == "stop"
    assert word not in found.text


def test_what_is_not_obeyed_is_named(kinds, tmp_path) -> None:
    model, tokenizer = make("gpt2", kinds, "LMHeadModel")
    settings = {"typical_p": 0.5, "guidance_scale": 2.0, "max_length": 50, "use_cache": True, "top_h": None}
    folder = publish(tmp_path / "m", model, tokenizer, generation=settings)
    assert load_model(folder).ignored_settings == ["guidance_scale", "max_length", "typical_p"]
    assert "guidance_scale, max_length, typical_p" in hs.load(folder).notes[0]
    publish(tmp_path / "m", model, tokenizer, generation={"temperature": 0.7, "num_return_sequences": 1})
    assert hs.load(folder).notes == []


@pytest.mark.parametrize(
    "settings", [{"bad_words_ids": [["a"]]}, {"bad_words_ids": [[]]}, {"sequence_bias": [[[10**6], 1.0]]}]
)
def test_settings_that_are_none(kinds, tmp_path, settings) -> None:
    model, tokenizer = make("gpt2", kinds, "LMHeadModel")
    folder = publish(tmp_path / "m", model, tokenizer)
    said = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(said | settings))
    with pytest.raises(HeadstartError, match="bad_words_ids or sequence_bias"):
        hs.load(folder).generate("a", max_new_tokens=1)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("model_type", ["gpt2", "bart"])
def test_weights_that_are_no_numbers(kinds, tmp_path, model_type, beams) -> None:
    head = "LMHeadModel" if model_type == "gpt2" else "ForConditionalGeneration"
    model, tokenizer = make(model_type, kinds, head)
    last = list(model.parameters())[-1]
    with torch.no_grad():
        last[0] = float("nan")
    folder = publish(tmp_path / "m", model, tokenizer)
    with pytest.raises(HeadstartError, match="holds NaN or infinity"):
        hs.load(folder).generate("A ship", temperature=0.0, max_new_tokens=3, beams=beams)


def test_gaps_are_not_filled_by_nan(kinds, tmp_path) -> None:
    model, tokenizer = make("bert", kinds, "ForMaskedLM")
    with torch.no_grad():
        model.bert.embeddings.LayerNorm.weight[0] = float("nan")
    with pytest.raises(HeadstartError, match="holds NaN"):
        hs.load(publish(tmp_path / "m", model, tokenizer)).fill_mask("The [MASK].")
