"""Folders and files that somebody made to do harm, or that a disk has damaged: one sentence, soon."""

import struct
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.interchange.adapter_reading import _scale
from headstart.interchange.gguf_header import check_header
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.interchange.weights import INDEX_FILE
from headstart.tokenizer.folder import open_tokenizer


@pytest.fixture
def folder(tmp_path, tiny, tokenizer):
    save_model(tmp_path / "model", LoadedModel(tiny("gpt2"), tokenizer, "causal"), "# Tiny")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "change",
    [
        {"headstart": {"family": ["x"]}},
        {"headstart": {"head": {}}},
        {"headstart": 3},
        {"headstart": {"task": []}},
        {"model_type": 7},
        {"architectures": "GPT2LMHeadModel"},
        {"id2label": ["a"]},
        {"problem_type": {}},
        {"n_layer": 9_999},
        {"n_layer": 10**18},
        {"n_embd": "wide"},
        {"n_embd": 10**15},
        {"vocab_size": 10**15},
        {"n_head": 0},
    ],
)
def test_settings_of_a_wrong_type_or_size(folder, change) -> None:
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | change)
    with pytest.raises(HeadstartError, match=r"config\.json"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensor: tensor * float("nan"), "holds NaN or infinity"),
        (lambda tensor: tensor / 0, "holds NaN or infinity"),
        (lambda tensor: tensor.bool(), "holds bool values"),
        (lambda tensor: tensor.long(), "holds int64 values"),
        (lambda tensor: torch.tensor(1.0), "dimensions"),
    ],
)
def test_weights_that_are_none(folder, change: Callable[[torch.Tensor], torch.Tensor], sentence) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({name: change(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(HeadstartError, match=sentence):
        load_model(folder)


@pytest.mark.parametrize(
    "content", [{"weight_map": {"a": 1}}, {"weight_map": []}, [], {}, {"weight_map": {"a": "../b"}}]
)
def test_indices(folder, content) -> None:
    (folder / "model.safetensors").rename(folder / "w.safetensors")
    write_json(folder / INDEX_FILE, content)
    with pytest.raises(HeadstartError, match=INDEX_FILE):
        load_model(folder)


def test_unreadable_weights_are_not_called_missing(folder) -> None:
    (folder / "model.safetensors").chmod(0)
    try:
        (folder / "model.safetensors").read_bytes()
    except PermissionError:
        with pytest.raises(PermissionError):
            load_model(folder)


def test_a_pattern_that_never_ends_is_given_up() -> None:
    with pytest.raises(HeadstartError, match="takes too long"):
        _scale({"alpha_pattern": {"(.*.*)*(.*.*)*=": 1.0}}, "model.layers.0.self_attn.q_proj" * 4, 8)
    with pytest.raises(HeadstartError, match="or is none"):
        _scale({"alpha_pattern": {"(": 1.0}}, "model", 8)
    assert _scale({"alpha_pattern": {r"layers\.\d+\.q": 4.0}, "lora_alpha": 16}, "model.layers.3.q", 8) == 0.5


def test_a_splitting_rule_that_backtracks_is_a_sentence(folder) -> None:
    definition = read_json(folder / "tokenizer.json")
    rule = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    definition["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [rule, definition["pre_tokenizer"]]}
    write_json(folder / "tokenizer.json", definition)
    tokenizer = open_tokenizer(folder)
    for encode in (tokenizer.encode, tokenizer.encode_spans, lambda text: tokenizer.encode_batch([text])):
        with pytest.raises(HeadstartError, match="gave up on a text"):
            encode("a" * 28 + "b")


def gguf(*parts: bytes, pairs: int = 1, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + b"".join(parts) + b"\0" * 64


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"\0" * 200,
        gguf(text(b"a"), struct.pack("<IIQ", 9, 4, 2**63)),
        gguf(text(b"a"), struct.pack("<IIQ", 9, 8, 2**40)),
        gguf(text(b"a"), struct.pack("<IIQ", 9, 77, 1)),
        gguf(text(b"a"), struct.pack("<IQ", 8, 2**62)),
        gguf(text(b"a"), struct.pack("<I", 44)),
        gguf(text(b"a"), *[struct.pack("<IIQ", 9, 9, 1)] * 20),
        gguf(pairs=2**60),
        gguf(pairs=0, tensors=2**60),
        gguf(text(b"t"), struct.pack("<I", 2**31), pairs=0, tensors=1),
        gguf(pairs=0, version=9),
    ],
)
def test_headers_of_gguf_files_are_held_against_the_file(tmp_path, content) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(HeadstartError, match="is no GGUF file"):
        check_header(path)


@pytest.mark.parametrize(
    "said",
    [{"eos_token_id": "x"}, {"eos_token_id": [1, "x"]}, {"suppress_tokens": ["a"]}, {"max_length": "long"}],
)
def test_settings_of_generation_of_a_wrong_type(folder, said) -> None:
    write_json(folder / "generation_config.json", said)
    with pytest.raises(HeadstartError, match=rf"generation_config\.json: {next(iter(said))}"):
        load_model(folder)


def test_a_folder_in_place_of_a_file(folder) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(HeadstartError, match=r"config\.json is a folder"):
        load_model(folder)
