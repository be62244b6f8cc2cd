"""BART: an encoder-decoder with learned positions and post-norm, trained to undo noise (Lewis et al. 2019).

Its stacks are BERT's and GPT-2's in one model: a norm on the embeddings, GELU, biases everywhere.
Positions are counted from 2, as RoBERTa's are.
"""

from headstart.folder import JSONObject
from headstart.models.config import TransformerConfig
from headstart.models.family import (
    ACTIVATIONS,
    Computed,
    Constant,
    Copy,
    Family,
    HeadShape,
    Key,
    Preset,
    heads_fill_width,
    linear,
    module,
)

_FIXED = {
    "architecture": "encoder-decoder",
    "context": 1024,
    "position": "learned",
    "position_offset": 2,
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "feedforward": "gelu",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "embedding_norm": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}

_SOURCE = "Lewis et al. 2019, sections 2.1 and 5.1; sizes: fairseq, examples/bart"
_DATA = "as RoBERTa: books, Wikipedia, news, stories and web text, 160 GB"
_PRESETS = {
    "bart-base": Preset(
        {"vocab_size": 50_265, "layers": 6, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=139_420_416,
        published="140M",
        source=_SOURCE,
        year=2019,
        data=_DATA,
    ),
    "bart-large": Preset(
        {"vocab_size": 50_265, "layers": 12, "width": 1024, "heads": 16, "feedforward_width": 4096},
        parameters=406_291_456,
        published="400M",
        source=_SOURCE,
        year=2019,
        data=_DATA,
    ),
}

_HEADS = {
    "text-to-text": HeadShape("BartForConditionalGeneration"),
    "features": HeadShape("BartModel"),
    "classification": HeadShape(
        "BartForSequenceClassification",
        "end",
        through="dense",
        weights=linear("classification_head.dense", "dense") | linear("classification_head.out_proj"),
    ),
    "spans": HeadShape("BartForQuestionAnswering", weights=linear("qa_outputs")),
}


def _write_training(config: TransformerConfig) -> JSONObject:
    return {"init_std": config.initial_deviation or config.width**-0.5, "forced_eos_token_id": None}


SIZES = (
    Key("width", "d_model", 1024),
    Key("encoder_layers", "encoder_layers", 12),
    Key("layers", "decoder_layers", 12),
    Key("heads", "encoder_attention_heads", 16),
    Key("heads", "decoder_attention_heads", 16),
    Key("feedforward_width", "encoder_ffn_dim", 4096),
    Key("feedforward_width", "decoder_ffn_dim", 4096),
    Key("feedforward", "activation_function", "gelu", values=ACTIVATIONS),
    Key("context", "max_position_embeddings", 1024),
    Key("embedding_scale", "scale_embedding", False),
    Key("dropout", "dropout", 0.1),
    Copy("dropout", "attention_dropout"),
    Copy("dropout", "activation_dropout"),
    Computed(_write_training, lambda fields: {}),
    # transformers sees for itself whether the files hold an own output.
    Constant("tie_word_embeddings", True),
)
"""What BART and Marian have in common."""

MODULES = {
    "model.shared": module("embedding"),
    "lm_head": module("output"),
    "model.encoder.embed_positions": module("encoder.positions"),
    "model.encoder.layernorm_embedding": module("encoder.embedding_norm"),
    "model.encoder.layers.{}.self_attn.q_proj": module("encoder.blocks.{}.attention.query"),
    "model.encoder.layers.{}.self_attn.k_proj": module("encoder.blocks.{}.attention.key"),
    "model.encoder.layers.{}.self_attn.v_proj": module("encoder.blocks.{}.attention.value"),
    "model.encoder.layers.{}.self_attn.out_proj": module("encoder.blocks.{}.attention.out"),
    "model.encoder.layers.{}.self_attn_layer_norm": module("encoder.blocks.{}.attention_norm"),
    "model.encoder.layers.{}.fc1": module("encoder.blocks.{}.feedforward.up"),
    "model.encoder.layers.{}.fc2": module("encoder.blocks.{}.feedforward.down"),
    "model.encoder.layers.{}.final_layer_norm": module("encoder.blocks.{}.feedforward_norm"),
    "model.decoder.embed_positions": module("decoder.positions"),
    "model.decoder.layernorm_embedding": module("decoder.embedding_norm"),
    "model.decoder.layers.{}.self_attn.q_proj": module("decoder.blocks.{}.attention.query"),
    "model.decoder.layers.{}.self_attn.k_proj": module("decoder.blocks.{}.attention.key"),
    "model.decoder.layers.{}.self_attn.v_proj": module("decoder.blocks.{}.attention.value"),
    "model.decoder.layers.{}.self_attn.out_proj": module("decoder.blocks.{}.attention.out"),
    "model.decoder.layers.{}.self_attn_layer_norm": module("decoder.blocks.{}.attention_norm"),
    "model.decoder.layers.{}.encoder_attn.q_proj": module("decoder.blocks.{}.cross_attention.query"),
    "model.decoder.layers.{}.encoder_attn.k_proj": module("decoder.blocks.{}.cross_attention.key"),
    "model.decoder.layers.{}.encoder_attn.v_proj": module("decoder.blocks.{}.cross_attention.value"),
    "model.decoder.layers.{}.encoder_attn.out_proj": module("decoder.blocks.{}.cross_attention.out"),
    "model.decoder.layers.{}.encoder_attn_layer_norm": module("decoder.blocks.{}.cross_norm"),
    "model.decoder.layers.{}.fc1": module("decoder.blocks.{}.feedforward.up"),
    "model.decoder.layers.{}.fc2": module("decoder.blocks.{}.feedforward.down"),
    "model.decoder.layers.{}.final_layer_norm": module("decoder.blocks.{}.feedforward_norm"),
}
"""Their names of weights."""

BART = Family(
    name="bart",
    model_type="bart",
    objective="denoising",
    tokenizer="bart",
    fixed=_FIXED,
    rows=(Key("vocab_size", "vocab_size", 50_265), *SIZES),
    modules=MODULES,
    heads=_HEADS,
    presets=_PRESETS,
    prefix="model.",
    repeats={
        "encoder.embed_tokens.weight": "embedding.weight",
        "decoder.embed_tokens.weight": "embedding.weight",
    },
    zeros=("final_logits_bias",),
    check=heads_fill_width,
)
