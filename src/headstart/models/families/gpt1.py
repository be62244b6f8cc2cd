"""GPT-1: a decoder with learned positions and post-norm (Radford et al. 2018, section 4.1)."""

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.families.gpt2 import BLOCK, SIZES
from headstart.models.family import (
    Computed,
    Family,
    HeadShape,
    Key,
    Preset,
    linear,
    module,
)

_FIXED = {
    "architecture": "decoder",
    "context": 512,
    "position": "learned",
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "feedforward": "gelu_tanh",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}

_PRESETS = {
    "gpt1": Preset(
        {"vocab_size": 40_478, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=116_534_784,
        published="117M",
        source="Radford et al. 2018, section 4.1; the count in Radford et al. 2019, section 2.3",
        year=2018,
        data="BooksCorpus, 7,000 unpublished books, 100 times over",
    )
}


def _check(config: TransformerConfig) -> None:
    if config.feedforward_width != 4 * config.width or config.heads * config.head_width != config.width:
        raise HeadstartError(
            f"a {config.family} model of width {config.width} has feedforward_width={4 * config.width} and "
            f"heads that share its width; leave feedforward_width={config.feedforward_width} and "
            f"{config.heads} heads of {config.head_width} to other families"
        )


GPT1 = Family(
    name="gpt1",
    model_type="openai-gpt",
    objective="causal",
    tokenizer="gpt1",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 40_478),
        *SIZES,
        Key("context", "n_positions", 512),
        Computed(lambda config: {}, lambda fields: {"feedforward_width": 4 * fields.get("n_embd", 768)}),
        # Its "gelu" is the tanh form.
        Key("feedforward", "afn", "gelu", values={"gelu": "gelu_tanh", "relu": "relu"}),
    ),
    modules=BLOCK
    | {
        "transformer.tokens_embed": module("embedding"),
        "transformer.positions_embed": module("decoder.positions"),
    },
    heads={
        "causal": HeadShape("OpenAIGPTLMHeadModel"),
        "features": HeadShape("OpenAIGPTModel"),
        "classification": HeadShape(
            "OpenAIGPTForSequenceClassification", "last", bias=False, weights=linear("score", bias=False)
        ),
    },
    presets=_PRESETS,
    prefix="transformer.",
    check=_check,
)
