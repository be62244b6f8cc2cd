"""DistilBERT: BERT with half of its layers, learned from BERT's answers (Sanh et al. 2019).

It has no token types and no pooler; a classifier has a dense layer of its own.
"""

from headstart.models.families.bert import BERT
from headstart.models.family import (
    ACTIVATIONS,
    Copy,
    Family,
    HeadShape,
    Key,
    Preset,
    heads_fill_width,
    linear,
    module,
)

_CLASSIFIER = linear("classifier")

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
