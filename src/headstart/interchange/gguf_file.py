"""GGUF, the one-file format of llama.cpp: Llama and GPT-2 shapes and their tokenizers, read and written.

The container and its quantised blocks are the `gguf` package's; the names, the order of rotary pairs
and the tokenizer are mapped here. The format is described in ggml's docs/gguf.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic, write_json
from headstart.models.config import RotaryScaling, TransformerConfig
from headstart.models.parts import rotary_frequencies
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.byte_level import (
    DIGITS_THEN_GPT2_RULE,
    GPT2_RULE,
    LLAMA3_RULE,
    splitting_rule,
)

if TYPE_CHECKING:
    from gguf import GGUFReader, GGUFWriter

TYPES = ("f32", "f16", "bf16", "q8_0")
Q8_BLOCK = 32  # numbers that share a scale; a row that is no multiple of it is kept in f16

# How text is split before merging: the name that llama.cpp gives to the rule, and what `tokenizers` calls it.
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_GPT2 = _BYTES | {"use_regex": True}
_SPLITS: dict[str, dict[str, Any]] = {
    "gpt-2": _GPT2,
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, _GPT2],
    },
    "llama-bpe": {
        "type": "Sequence",
        "pretokenizers": [
            {
                "type": "Split",
                "pattern": {"Regex": LLAMA3_RULE},
                "behavior": "Isolated",
                "invert": False,
            },
            _BYTES | {"use_regex": False},
        ],
    },
}
_RULES = {GPT2_RULE: "gpt-2", DIGITS_THEN_GPT2_RULE: "smollm", LLAMA3_RULE: "llama-bpe"}
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4


def _package() -> Any:
    try:
        import gguf
    except ImportError:
        raise HeadstartError(
            "GGUF files need the gguf package; install it with: pip install 'headstart[gguf]'"
        ) from None
    return gguf


def _names(config: TransformerConfig, architecture: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """GGUF's name of every weight and ours, stacked where there are several."""
    kinds = ("weight", "bias")
    yield "token_embd.weight", ("embedding.weight",)
    yield "position_embd.weight", ("decoder.positions.weight",)
    yield "output.weight", ("output.weight",)
    for kind in kinds:
        yield f"output_norm.{kind}", (f"decoder.final_norm.{kind}",)
    pairs = {
        "attn_norm": "attention_norm",
        "attn_output": "attention.out",
        "ffn_norm": "feedforward_norm",
        "ffn_up": "feedforward.up",
        "ffn_down": "feedforward.down",
    }
    heads = ("query", "key", "value")
    if architecture == "llama":
        pairs |= {"ffn_gate": "feedforward.gate"} | {f"attn_{head[0]}": f"attention.{head}" for head in heads}
    for layer in range(config.layers):
        block = f"decoder.blocks.{layer}"
        for kind in kinds:
            for theirs, ours in pairs.items():
                yield f"blk.{layer}.{theirs}.{kind}", (f"{block}.{ours}.{kind}",)
            if architecture == "gpt2":
                stacked = tuple(f"{block}.attention.{head}.{kind}" for head in heads)
                yield f"blk.{layer}.attn_qkv.{kind}", stacked


def _neighbours(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key matrix with rotary pairs side by side, as GGUF has them, not C/2 apart."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _halves(weight: Tensor, heads: int) -> Tensor:
    """The way back: the first of every pair in the first half of its head."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _paired(name: str, config: TransformerConfig) -> int:
    """How many heads a weight's rows belong to, if rotary positions turn them; else 0."""
    if config.position != "rotary":
        return 0
    return {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2], 0)


# --- Writing --------------------------------------------------------------------------------------


def gguf_architecture(config: TransformerConfig) -> str:
    """Which of llama.cpp's models computes the same; none: a `HeadstartError` that says why."""
    if config.family in ("llama", "headstart-decoder") and not config.qkv_bias:
        return "llama"
    if config.family == "gpt2":
        return "gpt2"
    raise HeadstartError(
        f"GGUF is written for Llama and GPT-2 shapes, not for a {config.family} model; export it as hf"
    )


def write_gguf(
    path: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    kind: str,
    name: str,
    chat_template: str | None = None,
) -> None:
    """Write a decoder as one GGUF file, atomically.

    Args:
        kind: of the matrices, one of `TYPES`; norms and biases are f32.
        name: what the file calls the model.

    Raises:
        HeadstartError: a model or a tokenizer that the format does not know.
    """
    gguf = _package()
    config = model.config
    architecture = gguf_architecture(config)
    split, merges = _describe_tokenizer(tokenizer)
    with atomic(path) as temporary:
        writer = gguf.GGUFWriter(temporary, architecture)
        writer.add_name(name)
        writer.add_file_type(
            {
                "f32": gguf.LlamaFileType.ALL_F32,
                "f16": gguf.LlamaFileType.MOSTLY_F16,
                "bf16": gguf.LlamaFileType.MOSTLY_BF16,
                "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
            }[kind]
        )
        _write_sizes(writer, config, architecture)
        _write_tokenizer(writer, tokenizer, split, merges, config.vocab_size, chat_template)
        state = model.state_dict()
        for theirs, ours in _names(config, architecture):
            if not all(part in state for part in ours):
                continue
            tensor = torch.cat([state[part] for part in ours]).float()
            heads = _paired(theirs, config)
            _add(writer, theirs, _neighbours(tensor, heads) if heads else tensor, kind)
        if config.rotary_scaling is not None:
            plain = rotary_frequencies(config.head_width, config.rotary_base)
            stretched = rotary_frequencies(config.head_width, config.rotary_base, config.rotary_scaling)
            _add(writer, "rope_freqs.weight", plain / stretched, "f32")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _add(writer: "GGUFWriter", name: str, tensor: Tensor, kind: str) -> None:
    into = _type_of(tensor, kind)
    data = _package().quants.quantize(tensor.contiguous().numpy(), into)
    writer.add_tensor(name, data, raw_dtype=into)


def _type_of(tensor: Tensor, kind: str) -> Any:
    if tensor.dim() == 1:
        kind = "f32"
    elif kind == "q8_0" and tensor.shape[-1] % Q8_BLOCK:
        kind = "f16"
    return _package().GGMLQuantizationType[kind.upper()]


def rounded(tensor: Tensor, kind: str) -> Tensor:
    """A weight as it comes out of a GGUF file of that kind."""
    quants, into = _package().quants, _type_of(tensor, kind)
    data = quants.quantize(tensor.detach().contiguous().numpy(), into)
    return torch.from_numpy(np.array(quants.dequantize(data, into), dtype=np.float32))


def _write_sizes(writer: "GGUFWriter", config: TransformerConfig, architecture: str) -> None:
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feedforward_width)
    writer.add_head_count(config.heads)
    if architecture == "gpt2":
        writer.add_layer_norm_eps(config.norm_epsilon)
        return
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_width)
    writer.add_value_length(config.head_width)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rotary_base)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocab_size)


def _describe_tokenizer(tokenizer: Tokenizer) -> tuple[str, list[str]]:
    """llama.cpp's name for a byte-level BPE's splitting rule, and its merges."""
    definition = tokenizer.definition
    if definition["model"]["type"] != "BPE" or definition.get("normalizer"):
        raise HeadstartError(
            f"{tokenizer.path}: GGUF files are written with byte-level BPE tokenizers alone; export as hf"
        )
    name = _RULES.get(splitting_rule(definition) or "")
    if name is None:
        raise HeadstartError(
            f"{tokenizer.path} splits text by a rule that llama.cpp does not know; export as hf "
            f"(known: {', '.join(_SPLITS)})"
        )
    merges = definition["model"]["merges"]
    return name, [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def _write_tokenizer(
    writer: "GGUFWriter",
    tokenizer: Tokenizer,
    split: str,
    merges: list[str],
    vocab_size: int,
    chat_template: str | None,
) -> None:
    special = tokenizer.special
    padding = [f"[PAD{index}]" for index in range(tokenizer.vocab_size, vocab_size)]
    tokens = [token or f"[UNUSED{index}]" for index, token in enumerate(tokenizer.tokens)]
    kinds = [_CONTROL if index in special.all else _NORMAL for index in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens + padding)
    writer.add_token_types(kinds + [_USER_DEFINED] * len(padding))
    writer.add_token_merges(merges)
    for add, index in (
        (writer.add_bos_token_id, special.start),
        (writer.add_eos_token_id, special.end),
        (writer.add_unk_token_id, special.unknown),
        (writer.add_pad_token_id, special.pad),
    ):
        if index is not None:
            add(index)
    ids, _ = tokenizer.with_special([])
    writer.add_add_bos_token(bool(ids) and ids[0] == special.start)
    if chat_template is not None:
        writer.add_chat_template(chat_template)


# --- Reading --------------------------------------------------------------------------------------


def read_gguf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[Transformer, dict[str, Any]]:
    """The model in a GGUF file, its weights taken to float32, and the file's fields.

    Raises:
        HeadstartError: no GGUF file, a damaged one, another architecture, weights missing or unknown.
    """
    reader = _open(path)
    fields = _fields(path, reader)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = _read_sizes(path, fields, tensors)
    with torch.device("meta"):
        model = Transformer(config, dtype)
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    state: dict[str, Tensor] = {}
    architecture = fields["general.architecture"]
    for theirs, ours in _names(config, architecture):
        if theirs not in tensors:
            continue
        tensor = _dequantised(path, tensors.pop(theirs))
        heads = _paired(theirs, config)
        tensor = _halves(tensor, heads) if heads else tensor
        for part, own in zip(tensor.chunk(len(ours)), ours, strict=False):
            if own not in expected or list(part.shape) != expected[own]:
                raise HeadstartError(
                    f"{path}: {theirs} has shape {list(tensor.shape)}, which does not fit the file's sizes"
                )
            state[own] = part.clone()
    tensors.pop("rope_freqs.weight", None)
    missing = sorted(set(expected) - set(state))
    if missing or tensors:
        raise HeadstartError(
            f"{path} lacks {missing[:3]} or has weights that no {architecture} has, {sorted(tensors)[:3]}; "
            "it is damaged, or an architecture of its own"
        )
    model.load_state_dict(state, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model, fields


def _open(path: Path) -> "GGUFReader":
    gguf = _package()
    if not path.is_file():
        raise HeadstartError(f"there is no file {path}; check the path")
    try:
        reader: GGUFReader = gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        raise HeadstartError(f"{path} is no GGUF file, or a damaged one ({error}); get it again") from None
    return reader


def _fields(path: Path, reader: "GGUFReader") -> dict[str, Any]:
    try:
        return {name: part.contents() for name, part in reader.fields.items()}
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise HeadstartError(f"{path} is damaged ({error}); get it again") from None


def _dequantised(path: Path, tensor: Any) -> Tensor:
    gguf = _package()
    try:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
        raise HeadstartError(
            f"{path}: {tensor.name} is {tensor.tensor_type.name}, which is not read"
        ) from None
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _read_sizes(path: Path, fields: dict[str, Any], tensors: dict[str, Any]) -> TransformerConfig:
    architecture = fields.get("general.architecture")
    families = {"llama": "llama", "gpt2": "gpt2"}
    if architecture not in families:
        raise HeadstartError(f"{path} is a {architecture} model; of GGUF files, llama and gpt2 are read")

    def size(name: str, default: Any = None) -> Any:
        value = fields.get(f"{architecture}.{name}", default)
        if value is None:
            raise HeadstartError(f"{path} does not say its {architecture}.{name}; get it again")
        return value

    heads = size("attention.head_count")
    sizes = {
        "vocab_size": int(tensors["token_embd.weight"].shape[1]) if "token_embd.weight" in tensors else 0,
        "layers": size("block_count"),
        "width": size("embedding_length"),
        "heads": heads,
        "feedforward_width": size("feed_forward_length"),
        "context": size("context_length"),
        "tied": "output.weight" not in tensors,
    }
    if architecture == "gpt2":
        sizes["norm_epsilon"] = _short(size("attention.layer_norm_epsilon"))
    else:
        sizes |= {
            "kv_heads": size("attention.head_count_kv", heads),
            "head_width": size("attention.key_length", 0),
            "rotary_base": _short(size("rope.freq_base", 10_000.0)),
            "norm_epsilon": _short(size("attention.layer_norm_rms_epsilon")),
        }
        if fields.get(f"{architecture}.rope.scaling.type", "none") != "none":
            raise HeadstartError(f"{path} stretches its positions in a way that is not read")
        if "rope_freqs.weight" in tensors:
            sizes["rotary_scaling"] = _scaling(path, _dequantised(path, tensors["rope_freqs.weight"]), sizes)
    return make_config(families[architecture], sizes)


def _short(value: float) -> float:
    """A float32 as people wrote it: 9.999999747378752e-06 was 1e-05."""
    return float(f"{value:.6g}")


def _scaling(path: Path, factors: Tensor, sizes: dict[str, Any]) -> RotaryScaling:
    """Llama 3.1's stretching, known by the factors that it gives to the frequencies."""
    scaling = RotaryScaling(factor=_short(float(factors.max())))
    head_width = sizes["head_width"] or sizes["width"] // sizes["heads"]
    plain = rotary_frequencies(head_width, sizes["rotary_base"])
    expected = plain / rotary_frequencies(head_width, sizes["rotary_base"], scaling)
    if factors.shape != expected.shape or not torch.allclose(factors, expected, rtol=1e-4):
        raise HeadstartError(f"{path} stretches its positions in another way than Llama 3.1; it is not read")
    return scaling


def write_tokenizer(path: Path, fields: dict[str, Any], folder: Path) -> None:
    """Write the tokenizer in a GGUF file as `tokenizer.json` and `tokenizer_config.json`.

    Raises:
        HeadstartError: a kind of tokenizer or a splitting rule that is not known here.
    """
    kind, split = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    needed = [f"tokenizer.ggml.{part}" for part in ("tokens", "token_type", "merges")]
    lacking = [name for name in needed if not isinstance(fields.get(name), list)]
    if lacking:
        raise HeadstartError(f"{path} has no {lacking[0]}; it is damaged, or holds no tokenizer")
    if kind != "gpt2" or split not in _SPLITS:
        raise HeadstartError(
            f"{path} has a {kind} tokenizer with splitting rule {split}; of gpt2 tokenizers, those with "
            f"{', '.join(_SPLITS)} are read"
        )
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    kinds: list[int] = fields["tokenizer.ggml.token_type"]
    added = [index for index, token_kind in enumerate(kinds) if token_kind == _CONTROL]
    merges = [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]]
    # An embedding can have rows for which there is no token.
    vocabulary = {t: i for i, t in enumerate(tokens) if not (kinds[i] == _USER_DEFINED and t == f"[PAD{i}]")}
    definition: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": tokens[index],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index in added
        ],
        "normalizer": None,
        "pre_tokenizer": _SPLITS[split],
        "post_processor": None,
        "decoder": _BYTES | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": split == "llama-bpe",
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        index = fields.get(f"tokenizer.ggml.{key}_token_id")
        if index is not None:
            settings[f"{role}_token"] = tokens[index]
    if fields.get("tokenizer.ggml.add_bos_token") and "bos_token" in settings:
        start = settings["bos_token"]
        opening = [{"SpecialToken": {"id": start, "type_id": 0}}]
        definition["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [*opening, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                *opening,
                {"Sequence": {"id": "A", "type_id": 0}},
                *opening,
                {"Sequence": {"id": "B", "type_id": 0}},
            ],
            "special_tokens": {start: {"id": start, "ids": [vocabulary[start]], "tokens": [start]}},
        }
    if "tokenizer.chat_template" in fields:
        settings["chat_template"] = fields["tokenizer.chat_template"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "tokenizer.json", definition)
    write_json(folder / "tokenizer_config.json", settings)
