"""The families, by name. A new family is one file and one line here."""

from dataclasses import fields as fields_of

from headstart.errors import HeadstartError, nearest
from headstart.models.config import LayerPlan, Sizes, TransformerConfig
from headstart.models.families.bart import BART
from headstart.models.families.bert import BERT, DISTILBERT
from headstart.models.families.chinchilla import CHINCHILLA
from headstart.models.families.deberta import DEBERTA
from headstart.models.families.gemma import GEMMA2, GEMMA3
from headstart.models.families.gpt1 import GPT1
from headstart.models.families.gpt2 import GPT2
from headstart.models.families.gpt3 import GPT3
from headstart.models.families.gpt_neox import GPT_NEOX
from headstart.models.families.headstart_own import HEADSTART_DECODER, HEADSTART_ENCODER, STATIC
from headstart.models.families.house import HOUSE
from headstart.models.families.llama import LLAMA
from headstart.models.families.mistral import MISTRAL
from headstart.models.families.modernbert import MODERNBERT
from headstart.models.families.olmo2 import OLMO2
from headstart.models.families.phi3 import PHI3
from headstart.models.families.qwen import QWEN2, QWEN3
from headstart.models.families.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from headstart.models.families.smollm3 import SMOLLM3
from headstart.models.families.t5 import T5
from headstart.models.families.transformer_2017 import TRANSFORMER_2017
from headstart.models.family import Family, Preset

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        HEADSTART_ENCODER,
        HEADSTART_DECODER,
        TRANSFORMER_2017,
        BERT,
        ROBERTA,
        XLM_ROBERTA,
        CAMEMBERT,
        DISTILBERT,
        MODERNBERT,
        DEBERTA,
        T5,
        BART,
        GPT1,
        GPT2,
        GPT3,
        CHINCHILLA,
        LLAMA,
        GPT_NEOX,
        MISTRAL,
        QWEN2,
        QWEN3,
        OLMO2,
        PHI3,
        GEMMA2,
        GEMMA3,
        SMOLLM3,
        HOUSE,
    )
}

# What a folder need not hold: how a model was trained and began, and parts that a head may lack.
_NOT_IN_FOLDERS = {"dropout", "initial_deviation", "embedding_deviation", "pooler", "next_sentence", "tied"}


def family_named(name: str) -> Family:
    """A family, or the table of vectors, which has no layers and is none of `FAMILIES`; an unknown name is a
    `HeadstartError`."""
    if name == STATIC.name:
        return STATIC
    if name not in FAMILIES:
        raise HeadstartError(f"there is no model family {name!r}{nearest(name, FAMILIES)}")
    return FAMILIES[name]


def make_config(name: str, sizes: Sizes) -> TransformerConfig:
    """A family's configuration: what the family fixes, and the sizes given.

    Without `kv_heads` there are as many as heads; an encoder-decoder without `encoder_layers` has as
    many as `layers`. `window` is the older way to say a plan: every second layer sees that many tokens.

    Raises:
        HeadstartError: sizes that do not fit together, or that the family does not have.
    """
    family = family_named(name)
    config = _configuration(family, sizes)
    if config.kv_heads != config.heads and not family.grouped_query:
        raise HeadstartError(
            f"{name} has as many key-value heads as heads; leave kv_heads={config.kv_heads} "
            f"with {config.heads} heads to decoders"
        )
    # What no folder of the family can hold is refused here, before any training.
    again = _configuration(family, family.from_hf(family.to_hf(config)))
    for field in fields_of(config):
        own, held = getattr(config, field.name), getattr(again, field.name)
        if field.name == "plan":
            own, held = ([one.layer(layer) for layer in range(one.layers)] for one in (config, again))
        if own != held and field.name not in _NOT_IN_FOLDERS:
            raise HeadstartError(f"a {name} model has {field.name}={held}, not {own}; leave it out")
    return config


def _configuration(family: Family, sizes: Sizes) -> TransformerConfig:
    fields = {
        **family.fixed,
        "family": family.name,
        "kv_heads": sizes.get("heads", family.fixed.get("heads")),
        **sizes,
    }
    if "window" in fields:
        fields["plan"] = (LayerPlan(), LayerPlan(window=fields.pop("window")))
    if fields["architecture"] == "encoder-decoder":
        fields.setdefault("encoder_layers", fields["layers"])
    return TransformerConfig(**fields)


def presets() -> dict[str, tuple[str, Preset]]:
    """Every published model: its name, its family's name, and its preset."""
    return {
        name: (family.name, preset) for family in FAMILIES.values() for name, preset in family.presets.items()
    }


def preset_config(name: str) -> TransformerConfig:
    """The configuration of a published model; an unknown name is a `HeadstartError`."""
    known = presets()
    if name not in known:
        raise HeadstartError(f"there is no preset {name!r}{nearest(name, known)}")
    family, preset = known[name]
    return make_config(family, preset.sizes)


def count_parameters(config: TransformerConfig) -> int:
    """How many weights a model has, tied ones counted once; no memory is taken for them."""
    import torch  # the tables of families are printed without it

    from headstart.models.transformer import Transformer

    with torch.device("meta"):
        model = Transformer(config)
    return sum(parameter.numel() for parameter in model.parameters())
