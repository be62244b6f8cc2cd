"""What a published model is, property by property, from its configuration and its preset."""

from typing import TypedDict

from headstart.models.config import Sizes, TransformerConfig
from headstart.models.registry import FAMILIES, preset_config, presets

OBJECTIVES = {
    "causal": "next token",
    "masked": "masked tokens",
    "next-sentence": "masked tokens and next sentence",
    "span-corruption": "missing spans",
    "denoising": "text restored",
    "translation": "translation",
}
TOKENIZERS = {
    "headstart": "byte-level BPE",
    "transformer": "BPE",
    "bert": "WordPiece",
    "roberta": "byte-level BPE",
    "bart": "byte-level BPE",
    "t5": "SentencePiece unigram",
    "deberta": "SentencePiece unigram",
    "gpt1": "BPE",
    "gpt2": "byte-level BPE",
    "llama2": "SentencePiece BPE",
    "llama3": "byte-level BPE",
}
POSITIONS = {
    "learned": "learned, absolute",
    "sinusoidal": "sinusoidal, absolute",
    "rotary": "rotary (relative)",
    "relative": "relative, learned bias",
    "relative-xl": "relative, as in Transformer-XL",
    "disentangled": "relative, disentangled",
    "none": "none",
}
ACTIVATIONS = {
    "relu": "ReLU",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "swiglu": "SwiGLU",
    "geglu": "GeGLU",
    "geglu_tanh": "GeGLU",
}
NORM_PLACES = {
    "pre": "before each part",
    "post": "after each part",
    "sandwich": "before and after each part",
    "output": "on the output of each part",
}
NORMS = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm"}


class PresetFacts(TypedDict):
    """Everything known of a preset, as numbers and plain words."""

    name: str
    family: str
    year: int
    parameters: int
    published: str
    tokens: float | None
    tokens_per_parameter: float | None
    data: str
    open_weights: bool
    source: str
    objective: str
    tokenizer: str
    config: Sizes


def facts(name: str) -> PresetFacts:
    """Everything known of a preset, as numbers and plain words.

    Raises:
        HeadstartError: there is no such preset.
    """
    config = preset_config(name)
    family, preset = presets()[name]
    return {
        "name": name,
        "family": family,
        "year": preset.year,
        "parameters": preset.parameters,
        "published": preset.published,
        "tokens": preset.tokens,
        "tokens_per_parameter": preset.tokens / preset.parameters if preset.tokens else None,
        "data": preset.data,
        "open_weights": preset.open_weights,
        "source": preset.source,
        "objective": FAMILIES[family].objective,
        "tokenizer": preset.tokenizer or FAMILIES[family].tokenizer,
        "config": config.as_dict(),
    }


def properties(name: str) -> dict[str, str]:
    """The rows of a comparison: property -> what the preset says of it, in words."""
    known, config = facts(name), preset_config(name)
    return {
        "year": str(known["year"]),
        "architecture": config.architecture,
        "attention": _attention(config),
        "objective": OBJECTIVES[known["objective"]],
        "parameters": f"{known['parameters']:,}",
        "as published": known["published"],
        "trained on": known["data"],
        "tokens": count(known["tokens"]),
        "tokens a parameter": ratio(known["tokens_per_parameter"]),
        "vocabulary": f"{config.vocab_size:,} ({TOKENIZERS[known['tokenizer']]})",
        "layers": layers(config),
        "width": f"{config.width:,}",
        "heads": str(config.heads),
        "key-value heads": str(config.kv_heads),
        "feed-forward width": f"{config.feedforward_width:,}",
        "context": f"{config.context:,}",
        "positions": _positions(config),
        "norm": f"{NORMS[config.norm]}, {NORM_PLACES[config.norm_place]}",
        "activation": ACTIVATIONS[config.feedforward],
        "writes text": "yes" if config.generates else "no",
        "open weights": "yes" if known["open_weights"] else "no",
        "source": known["source"],
    }


def layers(config: TransformerConfig) -> str:
    """How many blocks: of the encoder and of the decoder, where there are both."""
    return f"{config.encoder_layers}+{config.layers}" if config.encoder_layers else str(config.layers)


def count(number: float | None) -> str:
    """`300B` for 3e11; nothing where it was not disclosed."""
    if number is None:
        return "not given"
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{letter}"
    return f"{number:,.0f}"


def ratio(number: float | None) -> str:
    """Tokens for each parameter, to two or three digits."""
    if number is None:
        return "not given"
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def _attention(config: TransformerConfig) -> str:
    sees = {
        "encoder": "both directions",
        "decoder": "to the left",
        "encoder-decoder": "both directions, decoder to the left",
    }
    words = [sees[config.architecture]]
    windows = [config.layer(number).window for number in range(config.layers)]
    if any(windows):
        seen = f"{max(windows):,} tokens"
        count = sum(window > 0 for window in windows)
        words.append(f"{seen} back" if all(windows) else f"{seen} in {count} of {config.layers} layers")
    if config.kv_heads < config.heads:
        words.append("grouped queries")
    return ", ".join(words)


def _positions(config: TransformerConfig) -> str:
    words = POSITIONS[config.position]
    scaling = config.rotary_scaling
    return f"{words}, stretched {scaling.factor:g} times" if scaling else words
