"""GGUF, the one-file format of llama.cpp: Llama and GPT-2 shapes and their tokenizers, written.

The container and its quantised blocks are the `gguf` package's; the names, the order of rotary pairs
and the tokenizer are mapped here; `gguf_reading` is the way back. The format is described in ggml's
docs/gguf.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.models.config import Rotary, TransformerConfig
from headstart.models.parts.positions import rotary_frequencies
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.byte_level import (
    DIGITS_THEN_GPT2_RULE,
    GPT2_RULE,
    LLAMA3_RULE,
    splitting_rule,
)
from headstart.tokenizer.sentencepiece_file import CONTROL, NORMAL, USER_DEFINED

if TYPE_CHECKING:
    from gguf import GGUFWriter

TYPES = ("f32", "f16", "bf16", "q8_0")
Q8_BLOCK = 32  # numbers that share a scale; a row that is no multiple of it is kept in f16

_RULES = {GPT2_RULE: "gpt-2", DIGITS_THEN_GPT2_RULE: "smollm", LLAMA3_RULE: "llama-bpe"}


def package() -> Any:
    try:
        import gguf
    except ImportError:
        raise HeadstartError(
            "GGUF files need the gguf package; install it with: pip install 'headstart[gguf]'"
        ) from None
    return gguf


def names(config: TransformerConfig, architecture: str) -> Iterator[tuple[str, tuple[str, ...]]]:
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


def half_apart(weight: Tensor, heads: int) -> Tensor:
    """The way back: the first of every pair in the first half of its head."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def paired_heads(name: str, config: TransformerConfig) -> int:
    """How many heads a weight's rows belong to, if rotary positions turn them; else 0."""
    if config.position != "rotary":
        return 0
    return {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2], 0)


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
    gguf = package()
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
        for theirs, ours in names(config, architecture):
            if not all(part in state for part in ours):
                continue
            tensor = torch.cat([state[part] for part in ours]).float()
            heads = paired_heads(theirs, config)
            _add(writer, theirs, _neighbours(tensor, heads) if heads else tensor, kind)
        if config.rotary_scaling is not None:
            plain = rotary_frequencies(Rotary(config.head_width, config.rotary_base))
            stretched = rotary_frequencies(
                Rotary(config.head_width, config.rotary_base, config.rotary_scaling)
            )
            _add(writer, "rope_freqs.weight", plain / stretched, "f32")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _add(writer: "GGUFWriter", name: str, tensor: Tensor, kind: str) -> None:
    into = _type_of(tensor, kind)
    data = package().quants.quantize(tensor.contiguous().numpy(), into)
    writer.add_tensor(name, data, raw_dtype=into)


def _type_of(tensor: Tensor, kind: str) -> Any:
    if tensor.dim() == 1:
        kind = "f32"
    elif kind == "q8_0" and tensor.shape[-1] % Q8_BLOCK:
        kind = "f16"
    return package().GGMLQuantizationType[kind.upper()]


def rounded(tensor: Tensor, kind: str) -> Tensor:
    """A weight as it comes out of a GGUF file of that kind."""
    quants, into = package().quants, _type_of(tensor, kind)
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
            f"(known: {', '.join(_RULES.values())})"
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
    kinds = [CONTROL if index in special.all else NORMAL for index in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens + padding)
    writer.add_token_types(kinds + [USER_DEFINED] * len(padding))
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
