"""What a published `config.json` leaves out or says for others: defaults, the head, settings of generation.

transformers saves what differs from its class's defaults, so that a file may hold little; folders older than
`generation_config.json` keep those settings in `config.json`; and some name no class at all. The defaults are
those of transformers' configuration classes; a test compares them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from headstart.folder import read_json
from headstart.interchange.weights import hf_name
from headstart.models.config import TransformerConfig
from headstart.models.family import Family
from headstart.models.registry import FAMILIES

GENERATION_FILE = "generation_config.json"
WRITES = {"decoder": "causal", "encoder-decoder": "text-to-text"}
"""The head with which an architecture writes."""

_BERT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
_BART = {
    "vocab_size": 50265,
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "max_position_embeddings": 1024,
}
_GPT2 = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
_LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
}
_QWEN = _LLAMA | {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "bert": _BERT | {"pad_token_id": 0},
    "roberta": _BERT | {"vocab_size": 50265, "pad_token_id": 1},
    "xlm-roberta": _BERT | {"pad_token_id": 1},
    "camembert": _BERT | {"pad_token_id": 1},
    "distilbert": {
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "n_layers": 6,
        "n_heads": 12,
        "dim": 768,
        "hidden_dim": 3072,
    },
    "gpt2": _GPT2,
    "openai-gpt": _GPT2 | {"vocab_size": 40478, "n_positions": 512},
    "gpt_neo": {
        "vocab_size": 50257,
        "max_position_embeddings": 2048,
        "hidden_size": 2048,
        "num_layers": 24,
        "num_heads": 16,
        "window_size": 256,
        "attention_types": [[["global", "local"], 12]],
    },
    "llama": _LLAMA,
    "mistral": _LLAMA
    | {
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "qwen2": _QWEN,
    "qwen3": _QWEN | {"head_dim": 128},
    "t5": {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_heads": 8,
    },
    "bart": _BART | {"decoder_start_token_id": 2, "forced_eos_token_id": 2},
    "marian": _BART
    | {
        "vocab_size": 58101,
        "decoder_start_token_id": 58100,
        "forced_eos_token_id": 0,
    },
}
"""`model_type`: the fields that a family reads, where the file has none."""

GENERATION = (
    *("eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id"),
    *("forced_eos_token_id", "max_length", "max_new_tokens", "min_length", "min_new_tokens", "num_beams"),
    *("num_beam_groups", "diversity_penalty", "length_penalty", "early_stopping", "do_sample", "temperature"),
    *("top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "repetition_penalty"),
    *("encoder_repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
    *("suppress_tokens", "begin_suppress_tokens", "sequence_bias", "stop_strings", "guidance_scale"),
    *("exponential_decay_length_penalty", "forced_decoder_ids"),
)
"""Fields of a `config.json` that are about generation."""


def with_defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A `config.json` with transformers' defaults where it says nothing."""
    return DEFAULTS.get(str(fields.get("model_type")), {}) | dict(fields)


def with_model_type(fields: dict[str, Any]) -> dict[str, Any]:
    """A `config.json` with the type of model, which the oldest files tell by the class alone."""
    named = fields.get("architectures")
    if fields.get("model_type") is None and isinstance(named, list) and named:
        for family in FAMILIES.values():
            classes = [shape.hf_class for shape in family.heads.values()]
            if named[0] in classes and not family.name.startswith("headstart"):
                return fields | {"model_type": family.model_type}
    return fields


def generation_settings(folder: Path, fields: Mapping[str, Any], config: TransformerConfig) -> dict[str, Any]:
    """What `generation_config.json` says; where there is none, what `config.json` says of generation."""
    if (folder / GENERATION_FILE).exists():
        return read_json(folder / GENERATION_FILE, dict[str, Any])
    if not config.generates:
        return {}
    said = {key: fields[key] for key in GENERATION if fields.get(key) is not None}
    for key in ("decoder_start_token_id", "forced_eos_token_id"):  # defaults of the published vocabulary
        if isinstance(said.get(key), int) and not 0 <= said[key] < config.vocab_size:
            del said[key]
    return said


def writing_head(config: TransformerConfig, family: Family, names: Collection[str]) -> str | None:
    """The head with which a body alone writes: with tied weights nothing is missing; None: it cannot."""
    head = WRITES.get(config.architecture, "")
    if head not in family.heads:
        return None
    output = {
        hf_name(name, family, head)
        for name, own in family.weights(config).items()
        if own.names[0] == "output.weight"
    }
    return head if config.tied or output & set(names) else None


def head_of_weights(config: TransformerConfig, family: Family, names: Collection[str]) -> str:
    """The head that a folder's weights belong to, where its `config.json` names no class.

    Args:
        names: of all tensors in the folder.
    """
    held = set(names)
    ours = {theirs: own.names[0] for theirs, own in family.weights(config).items()}
    pooled = any(own.startswith("pooler.") and theirs in held for theirs, own in ours.items())
    for head, shape in family.heads.items():
        if (
            shape.hf_class
            and shape.weights
            and set(shape.weights) <= held
            and (shape.through != "pooler" or pooled)
        ):
            return str(head)
    written = writing_head(config, family, held)
    if written is not None:
        return written
    filled = ("prediction_head.", "output_bias", "output.")
    masked = any(own.startswith(filled) and theirs in held for theirs, own in ours.items())
    follows = any(own.startswith("next_sentence.") and theirs in held for theirs, own in ours.items())
    if follows and "pretraining" in family.heads:
        return "pretraining"
    return "masked" if masked and "masked" in family.heads else "features"
