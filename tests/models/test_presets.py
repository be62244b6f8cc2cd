"""Presets: every count is exact, is transformers' own, is near what was published; and they print well."""

import json
import re

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING

from headstart.cli import main
from headstart.models.catalogue.comparison import OBJECTIVES, TOKENIZERS, count, properties, ratio
from headstart.models.catalogue.timeline import TIMELINE
from headstart.models.registry import FAMILIES, count_parameters, preset_config, presets

PRETRAINED = ("pretraining", "masked", "causal", "text-to-text")
SIZES = {"K": 1e3, "M": 1e6, "B": 1e9}
# Where the sum of the paper's own shapes is not within 2 % of the figure that it gives.
ROUGH = {
    "transformer-base": 0.04,
    "t5-large": 0.05,
    "t5-3b": 0.02,
    "t5-11b": 0.03,
    "t5-v1.1-large": 0.03,
    "t5-v1.1-xl": 0.06,
    "gpt2-xl": 0.04,
    "llama-2-7b": 0.04,
    "xlm-roberta-base": 0.04,
}


@pytest.mark.parametrize("name", presets())
def test_counts_are_exact(name) -> None:
    config = preset_config(name)
    assert presets()[name][1].parameters == count_parameters(config)


@pytest.mark.parametrize("name", [n for n, (family, _) in presets().items() if FAMILIES[family].model_type])
def test_counts_are_those_of_transformers(name) -> None:
    config = preset_config(name)
    family = FAMILIES[config.family]
    head = next(head for head in PRETRAINED if head in family.heads)
    fields = CONFIG_MAPPING[family.model_type](**({"pad_token_id": 0} | family.to_hf(config)))
    with torch.device("meta"):
        theirs = getattr(transformers, family.heads[head].hf_class)(fields)
    trained = sum(parameter.numel() for parameter in theirs.parameters() if parameter.requires_grad)
    if not config.tied and theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight:
        trained += config.vocab_size * config.width  # T5 v1.1: untied only once two tables were read
    assert presets()[name][1].parameters == trained


@pytest.mark.parametrize("name", presets())
def test_counts_round_to_what_was_published(name) -> None:
    preset = presets()[name][1]
    number, letter = re.fullmatch(r"([\d.]+)([KMB])", preset.published).groups()
    assert preset.parameters == pytest.approx(float(number) * SIZES[letter], rel=ROUGH.get(name, 0.02))


HEAD_WIDTHS = {
    "gpt1": [64],
    "gpt2": [64, 64, 64, 64],
    "gpt3": [64, 64, 96, 128, 80, 128, 128, 128],  # Brown et al. 2020, table 2.1
    "chinchilla": [
        32,
        64,
        128,
        128,
        128,
        128,
        128,
    ],  # Rae et al. 2021, table 1; Hoffmann et al. 2022, table 4
    "llama": [128] * 12 + [64, 128],
}


@pytest.mark.parametrize("family", HEAD_WIDTHS)
def test_heads_are_as_wide_as_published(family) -> None:
    """A number of heads that is wrong does not show in the count."""
    assert [preset_config(name).head_width for name in FAMILIES[family].presets] == HEAD_WIDTHS[family]


def test_chinchilla_needs_a_projection_of_distances_to_have_70_billion() -> None:
    config = preset_config("chinchilla-70b")
    without = count_parameters(config) - config.layers * config.width**2
    assert count(presets()["chinchilla-70b"][1].parameters) == "70.1B"
    assert count(without) == "64.7B"


@pytest.mark.parametrize("name", presets())
def test_every_preset_says_where_it_comes_from(name) -> None:
    family, preset = presets()[name]
    assert preset.source
    assert 2017 <= preset.year <= 2025
    assert preset.data
    assert properties(name)["year"] == str(preset.year)
    assert FAMILIES[family].objective in OBJECTIVES
    assert (preset.tokenizer or FAMILIES[family].tokenizer) in TOKENIZERS


@pytest.mark.parametrize(
    ("name", "tokens"),
    # The lesson of Hoffmann et al. 2022, section 1, and what came after it.
    [
        ("gpt3-175b", 1.7),
        ("chinchilla-70b", 20),
        ("llama-1-65b", 21.5),
        ("llama-2-70b", 29),
        ("llama-3-70b", 213),
    ],
)
def test_tokens_for_each_parameter(name, tokens) -> None:
    preset = presets()[name][1]
    assert preset.tokens / preset.parameters == pytest.approx(tokens, rel=0.02)


def test_the_timeline_runs_forward() -> None:
    dates = [entry.date for entry in TIMELINE]
    assert dates == sorted(dates)
    assert dates[0].startswith("2013")
    assert len({entry.name for entry in TIMELINE}) == len(TIMELINE) == 16


@pytest.mark.parametrize(
    ("number", "words"),
    [(1.4e12, "1.4T"), (15e12, "15T"), (999_960_000, "1B"), (65e6, "65M"), (None, "not given")],
)
def test_counts_in_words(number, words) -> None:
    assert count(number) == words


def test_ratios_in_words() -> None:
    assert [ratio(number) for number in (1.714, 20.1, 213.4, 1868.2, None)] == [
        "1.7", "20", "213", "1,868", "not given",
    ]  # fmt: skip


def printed(capsys, monkeypatch, *arguments: str) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.argv", ["headstart", "models", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return captured.out if not stopped.value.code else captured.err


def test_the_tables_hold_every_preset_within_100_columns(capsys, monkeypatch) -> None:
    text = printed(capsys, monkeypatch)
    assert max(len(line) for line in text.splitlines()) <= 100
    for name, (_, preset) in presets().items():
        row = next(line for line in reversed(text.splitlines()) if line.startswith(f"{name} "))
        assert f"{preset.parameters:,}" in row
        assert preset.published in row
    assert "undisclosed" in text
    for entry in TIMELINE:
        assert entry.name in text


def test_a_few_stand_side_by_side(capsys, monkeypatch) -> None:
    text = printed(capsys, monkeypatch, "bert-large", "gpt3-175b", "llama-3.1-405b")
    assert re.search(r"writes text +no +yes +yes", text)
    assert re.search(r"open weights +yes +no +yes", text)
    assert "WordPiece" in text


def test_a_family_is_all_of_its_models(capsys, monkeypatch) -> None:
    figures = json.loads(printed(capsys, monkeypatch, "llama", "gpt1", "--json"))
    assert set(figures) == {"models"}
    names = [model["name"] for model in figures["models"]]
    assert names == [*FAMILIES["llama"].presets, "gpt1"]
    assert figures["models"][0]["tokenizer"] == "llama2"
    assert figures["models"][names.index("llama-3.1-8b")]["config"]["rotary_scaling"]["factor"] == 8.0
    assert figures["models"][-1]["tokens_per_parameter"] is None


def test_json_of_everything_has_the_timeline_too(capsys, monkeypatch) -> None:
    figures = json.loads(printed(capsys, monkeypatch, "--json"))
    assert len(figures["models"]) == len(presets())
    assert len(figures["timeline"]) == len(TIMELINE)
    assert figures["undisclosed"][0]["name"] == "GPT-4"


@pytest.mark.parametrize(
    ("name", "words"),
    [("llama-3-9b", "did you mean 'llama-3-8b'"), ("headstart-decoder", "you choose its sizes")],
)
def test_a_name_that_is_none(capsys, monkeypatch, name, words) -> None:
    assert words in printed(capsys, monkeypatch, name)
