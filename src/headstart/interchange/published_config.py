"""What a published `config.json` leaves out or says for others: defaults, the head, settings of generation.

transformers saves what differs from its class's defaults, so that a file may hold little; folders older than
`generation_config.json` keep those settings in `config.json`; and some name no class at all. The defaults are
those of transformers' configuration classes; a test compares them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, checked, read_json
from headstart.interchange.weights import hf_name
from headstart.models.config import TransformerConfig
from headstart.models.family import Family
from headstart.models.registry import FAMILIES

GENERATION_FILE = "generation_config.json"
WRITES = {"decoder": "causal", "encoder-decoder": "text-to-text"}
"""The head with which an architecture writes."""

DEFAULTS: dict[str, JSONObject] = {
    "bert": {"pad_token_id": 0},
    "roberta": {"pad_token_id": 1},
    "xlm-roberta": {"pad_token_id": 1},
    "camembert": {"pad_token_id": 1},
    "bart": {"decoder_start_token_id": 2, "forced_eos_token_id": 2},
    "marian": {"decoder_start_token_id": 58100, "forced_eos_token_id": 0},
}
"""`model_type`: ids that count where the file has none; the families know the defaults of all sizes."""

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok")
"""Fields of a `config.json` that a mixture of experts has."""
MODALITIES = ("vision", "audio", "image", "speech")
QUANTISED = (
    *(".qweight", ".qzeros", ".scales", ".g_idx", ".SCB", ".absmax", ".quant_map", ".weight_format"),
    *(".weight_packed", ".weight_scale", ".weight_scale_inv"),
)
"""Endings of names that GPTQ, AWQ, bitsandbytes, FP8 and compressed-tensors write beside their weights."""

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


class Generation(TypedDict, total=False):
    """What has to be of a type of those fields that are obeyed; `GenerationConfig` checks the rest."""

    eos_token_id: int | list[int] | None
    decoder_start_token_id: int | None
    forced_bos_token_id: int | None
    forced_eos_token_id: int | None
    suppress_tokens: list[int] | None
    begin_suppress_tokens: list[int] | None
    max_length: int | None
    min_length: int | None
    max_new_tokens: int | None
    min_new_tokens: int | None


def with_defaults(fields: Mapping[str, Any]) -> JSONObject:
    """A `config.json` with transformers' defaults where it says nothing."""
    return DEFAULTS.get(str(fields.get("model_type")), {}) | dict(fields)


def with_model_type(fields: JSONObject) -> JSONObject:
    """A `config.json` with the type of model, which the oldest files tell by the class alone."""
    named = fields.get("architectures")
    if fields.get("model_type") is None and isinstance(named, list) and named:
        for family in FAMILIES.values():
            classes = [shape.hf_class for shape in family.heads.values()]
            if named[0] in classes and not family.name.startswith("headstart"):
                return fields | {"model_type": family.model_type}
    return fields


def other_kind(fields: Mapping[str, Any]) -> str:
    """What sets a model apart from all that headstart computes, in words; "" where nothing is known."""
    text = fields.get("text_config")
    inner = text if isinstance(text, dict) else {}
    for said in (fields, inner):
        for key in EXPERTS:
            count = said.get(key)
            if isinstance(count, int) and count > 1:
                return f"a mixture of {count} experts"
    if "moe" in str(fields.get("model_type")).lower():
        return "a mixture of experts"
    others = [name for name in fields if name.endswith("_config") and name.startswith(MODALITIES)]
    if others:
        return f"which reads more than text ({others[0]})"
    return ""


def refuse_quantised(folder: Path, fields: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse weights that are no plain numbers.

    Raises:
        HeadstartError: `config.json` or the names of tensors say that the folder is quantised.
    """
    said = fields.get("quantization_config") or fields.get("compression_config")
    packed = next((name for name in sorted(names) if name.endswith(QUANTISED)), None)
    if said or packed is not None:
        method = said.get("quant_method") if isinstance(said, dict) else None
        what = f"by {method}" if method else f"({packed})" if packed is not None else ""
        raise HeadstartError(
            f"{folder} is quantised {what}".rstrip() + ", and headstart reads weights as float32, float16 or "
            "bfloat16; get the folder that it was made from, or load it with transformers, call its "
            "dequantize(), and save that"
        )


def generation_settings(folder: Path, fields: Mapping[str, Any], config: TransformerConfig) -> JSONObject:
    """What `generation_config.json` says; where there is none, what `config.json` says of generation."""
    path = folder / GENERATION_FILE
    if path.exists():
        said = read_json(path, JSONObject)
        checked(said, Generation, path)
        return said
    if not config.generates:
        return {}
    said = {key: fields[key] for key in GENERATION if fields.get(key) is not None}
    checked(said, Generation, folder / "config.json")
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


_OBEYED = {
    *("eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id"),
    *("forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"),
    *("max_new_tokens", "min_new_tokens", "repetition_penalty", "no_repeat_ngram_size", "stop_strings"),
    *("num_beams", "length_penalty", "early_stopping", "do_sample", "temperature", "top_k", "top_p", "min_p"),
}
_ABOUT_SPEED = {  # or about what is returned: the text stays the same
    *("transformers_version", "use_cache", "cache_implementation", "cache_config", "return_dict_in_generate"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "_from_model_config"),
    *("prompt_lookup_num_tokens", "max_matching_ngram_size", "is_assistant", "num_assistant_tokens"),
    *("num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_lookbehind"),
    *("target_lookbehind", "disable_compile", "compile_config", "low_memory", "max_cache_len"),
}


def ignored_settings(said: Mapping[str, Any], answers: bool) -> list[str]:
    """The settings of a `generation_config.json` that would change the text and are not obeyed.

    Args:
        answers: the model is an encoder-decoder, whose lengths count what it writes alone.
    """
    lengths = {"max_length", "min_length"} if answers else set()
    known = _OBEYED | _ABOUT_SPEED | lengths
    neutral: tuple[Any, ...] = (None, False, 0, 1, "", [], {})
    return sorted(key for key, value in said.items() if key not in known and value not in neutral)
