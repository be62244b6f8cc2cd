"""The families, by name. A new family is one file and one line here."""

from types import ModuleType
from typing import Any

from headstart.errors import HeadstartError, nearest
from headstart.models.config import TransformerConfig
from headstart.models.families import (
    bart,
    bert,
    chinchilla,
    gpt1,
    gpt2,
    gpt3,
    headstart_decoder,
    headstart_encoder,
    llama,
    roberta,
    t5,
    transformer_2017,
)
from headstart.models.family import Preset

FAMILIES: dict[str, ModuleType] = {
    family.NAME: family
    for family in (
        headstart_encoder,
        headstart_decoder,
        transformer_2017,
        bert,
        roberta,
        t5,
        bart,
        gpt1,
        gpt2,
        gpt3,
        chinchilla,
        llama,
    )
}


def family_named(name: str) -> ModuleType:
    """The module of a family; an unknown name is a `HeadstartError`."""
    if name not in FAMILIES:
        raise HeadstartError(f"there is no model family {name!r}{nearest(name, FAMILIES)}")
    return FAMILIES[name]


def make_config(name: str, sizes: dict[str, Any]) -> TransformerConfig:
    """A family's configuration: what the family fixes, and the sizes given.

    Without `kv_heads` there are as many as heads; an encoder-decoder without `encoder_layers` has as
    many as `layers`.

    Raises:
        HeadstartError: sizes that do not fit together, or that the family does not have.
    """
    family = family_named(name)
    fields = family.FIXED | {"family": name, "kv_heads": sizes.get("heads")} | sizes
    if fields["architecture"] == "encoder-decoder":
        fields.setdefault("encoder_layers", fields["layers"])
    config = TransformerConfig(**fields)
    if config.kv_heads != config.heads and not family.GROUPED_QUERY:
        raise HeadstartError(
            f"{name} has as many key-value heads as heads; leave kv_heads={config.kv_heads} "
            f"with {config.heads} heads to decoders"
        )
    family.to_hf(config)  # sizes that no folder of the family can hold are refused here, before any training
    return config


def presets() -> dict[str, tuple[str, Preset]]:
    """Every published model: its name, its family's name, and its preset."""
    return {
        name: (family.NAME, preset) for family in FAMILIES.values() for name, preset in family.PRESETS.items()
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
