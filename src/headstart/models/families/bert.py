"""BERT: an encoder with learned positions, token types and post-norm (Devlin et al. 2018); and DistilBERT.

Its masked-LM output shares the embedding's weights behind a dense layer; a pooler on the first
token serves next-sentence prediction and classification. DistilBERT has half of its layers, learned from
BERT's answers (Sanh et al. 2019), no token types and no pooler; a classifier has a dense layer of its own.
"""

from headstart.models.family import (
    ACTIVATIONS,
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
    "architecture": "encoder",
    "context": 512,
    "position": "learned",
    "token_types": 2,
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "norm_epsilon": 1e-12,
    "feedforward": "gelu",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "embedding_norm": True,
    "prediction_head": True,
    "output_bias": True,
    "pooler": True,
    "next_sentence": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}

_DATA = "BookCorpus and English Wikipedia, 3.3B words"
_SOURCE = "Devlin et al. 2018, section 3"
# 1,000,000 steps of 256 rows; nine tenths of them of 128 tokens, the rest of 512 (appendix A.2).
_TOKENS = 1_000_000 * 256 * (0.9 * 128 + 0.1 * 512)
_PRESETS = {
    "bert-base": Preset(
        {"vocab_size": 30_522, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=110_106_428,
        published="110M",
        source=_SOURCE,
        year=2018,
        data=_DATA,
        tokens=_TOKENS,
    ),
    "bert-large": Preset(
        {"vocab_size": 30_522, "layers": 24, "width": 1024, "heads": 16, "feedforward_width": 4096},
        parameters=336_226_108,
        published="340M",
        source=_SOURCE,
        year=2018,
        data=_DATA,
        tokens=_TOKENS,
    ),
}

_CLASSIFIER = linear("classifier")
_HEADS = {
    "pretraining": HeadShape("BertForPreTraining"),
    "masked": HeadShape("BertForMaskedLM"),
    "features": HeadShape("BertModel"),
    "classification": HeadShape(
        "BertForSequenceClassification", "first", through="pooler", weights=_CLASSIFIER
    ),
    "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
    "tagging": HeadShape("BertForTokenClassification", weights=_CLASSIFIER),
    "spans": HeadShape("BertForQuestionAnswering", weights=linear("qa_outputs")),
}

SIZES = (
    Key("width", "hidden_size", 768),
    Key("layers", "num_hidden_layers", 12),
    Key("heads", "num_attention_heads", 12),
    Key("feedforward_width", "intermediate_size", 3072),
    Key("token_types", "type_vocab_size", 2),
    Key("norm_epsilon", "layer_norm_eps", 1e-12),
    Key("dropout", "hidden_dropout_prob", 0.1),
    Copy("dropout", "attention_probs_dropout_prob"),
    Key("initial_deviation", "initializer_range", 0.02),
    Key("tied", "tie_word_embeddings", True),
    Constant("is_decoder", False),
    Constant("position_embedding_type", "absolute"),
)
"""What BERT and RoBERTa have in common."""

BODY = {
    "embeddings.word_embeddings": module("embedding"),
    "embeddings.position_embeddings": module("encoder.positions"),
    "embeddings.token_type_embeddings": module("encoder.token_types"),
    "embeddings.LayerNorm": module("encoder.embedding_norm"),
    "encoder.layer.{}.attention.self.query": module("encoder.blocks.{}.attention.query"),
    "encoder.layer.{}.attention.self.key": module("encoder.blocks.{}.attention.key"),
    "encoder.layer.{}.attention.self.value": module("encoder.blocks.{}.attention.value"),
    "encoder.layer.{}.attention.output.dense": module("encoder.blocks.{}.attention.out"),
    "encoder.layer.{}.attention.output.LayerNorm": module("encoder.blocks.{}.attention_norm"),
    "encoder.layer.{}.intermediate.dense": module("encoder.blocks.{}.feedforward.up"),
    "encoder.layer.{}.output.dense": module("encoder.blocks.{}.feedforward.down"),
    "encoder.layer.{}.output.LayerNorm": module("encoder.blocks.{}.feedforward_norm"),
    "pooler.dense": module("pooler"),
}
"""The names of the body, behind the family's prefix; RoBERTa's are the same."""

BERT = Family(
    name="bert",
    model_type="bert",
    objective="next-sentence",
    tokenizer="bert",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 30_522),
        *SIZES,
        Key("context", "max_position_embeddings", 512),
        Key("feedforward", "hidden_act", "gelu", values=ACTIVATIONS),
    ),
    modules={f"bert.{theirs}": ours for theirs, ours in BODY.items()}
    | {
        "cls.predictions.transform.dense": module("prediction_head.dense"),
        "cls.predictions.transform.LayerNorm": module("prediction_head.norm"),
        "cls.seq_relationship": module("next_sentence"),
    },
    tensors={"cls.predictions.bias": "output_bias", "cls.predictions.decoder.weight": "output.weight"},
    heads=_HEADS,
    presets=_PRESETS,
    prefix="bert.",
    repeats={"cls.predictions.decoder.bias": "output_bias"},
    check=heads_fill_width,
)

DISTILBERT = Family(
    name="distilbert",
    model_type="distilbert",
    objective="masked",  # the teacher aside
    tokenizer="bert",
    fixed={**BERT.fixed, "token_types": 0, "pooler": False, "next_sentence": False},
    rows=(
        Key("vocab_size", "vocab_size", 30_522),
        Key("context", "max_position_embeddings", 512),
        Key("layers", "n_layers", 6),
        Key("heads", "n_heads", 12),
        Key("width", "dim", 768),
        Key("feedforward_width", "hidden_dim", 3072),
        Key("feedforward", "activation", "gelu", values=ACTIVATIONS),
        Key("dropout", "dropout", 0.1),
        Copy("dropout", "attention_dropout"),
        Key("initial_deviation", "initializer_range", 0.02),
        Key("tied", "tie_word_embeddings", True),
    ),
    modules={
        "distilbert.embeddings.word_embeddings": module("embedding"),
        "distilbert.embeddings.position_embeddings": module("encoder.positions"),
        "distilbert.embeddings.LayerNorm": module("encoder.embedding_norm"),
        "distilbert.transformer.layer.{}.attention.q_lin": module("encoder.blocks.{}.attention.query"),
        "distilbert.transformer.layer.{}.attention.k_lin": module("encoder.blocks.{}.attention.key"),
        "distilbert.transformer.layer.{}.attention.v_lin": module("encoder.blocks.{}.attention.value"),
        "distilbert.transformer.layer.{}.attention.out_lin": module("encoder.blocks.{}.attention.out"),
        "distilbert.transformer.layer.{}.sa_layer_norm": module("encoder.blocks.{}.attention_norm"),
        "distilbert.transformer.layer.{}.ffn.lin1": module("encoder.blocks.{}.feedforward.up"),
        "distilbert.transformer.layer.{}.ffn.lin2": module("encoder.blocks.{}.feedforward.down"),
        "distilbert.transformer.layer.{}.output_layer_norm": module("encoder.blocks.{}.feedforward_norm"),
        "vocab_transform": module("prediction_head.dense"),
        "vocab_layer_norm": module("prediction_head.norm"),
    },
    tensors={"vocab_projector.weight": "output.weight", "vocab_projector.bias": "output_bias"},
    heads={
        "masked": HeadShape("DistilBertForMaskedLM"),
        "features": HeadShape("DistilBertModel"),
        "classification": HeadShape(
            "DistilBertForSequenceClassification",
            "first",
            through="dense",
            activation="relu",
            weights=linear("pre_classifier", "dense") | _CLASSIFIER,
        ),
        "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
        "tagging": HeadShape("DistilBertForTokenClassification", weights=_CLASSIFIER),
        "spans": HeadShape("DistilBertForQuestionAnswering", weights=linear("qa_outputs")),
    },
    presets={
        "distilbert-base": Preset(
            {"vocab_size": 30_522, "layers": 6, "width": 768, "heads": 12, "feedforward_width": 3072},
            parameters=66_985_530,
            published="66M",
            source="Sanh et al. 2019, table 3",
            year=2019,
            data="BookCorpus and English Wikipedia, 3.3B words",
        ),
    },
    prefix="distilbert.",
    check=heads_fill_width,
)
