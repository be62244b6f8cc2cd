"""The families, by name. A new family is one file and one line here."""

from types import ModuleType
from typing import Any

from headstart.errors import HeadstartError, nearest
from headstart.models import headstart_decoder, headstart_encoder
from headstart.models.config import TransformerConfig

FAMILIES: dict[str, ModuleType] = {family.NAME: family for family in (headstart_encoder, headstart_decoder)}


def family_named(name: str) -> ModuleType:
    """The module of a family; an unknown name is a `HeadstartError`."""
    if name not in FAMILIES:
        raise HeadstartError(f"there is no model family {name!r}{nearest(name, FAMILIES)}")
    return FAMILIES[name]


def make_config(name: str, sizes: dict[str, Any]) -> TransformerConfig:
    """A family's configuration: what the family fixes, and the sizes given.

    Raises:
        HeadstartError: sizes that do not fit together, or that the family does not have.
    """
    family = family_named(name)
    config = TransformerConfig(**(family.FIXED | {"family": name} | sizes))
    if config.kv_heads != config.heads and not family.GROUPED_QUERY:
        raise HeadstartError(
            f"{name} has as many key-value heads as heads; leave kv_heads={config.kv_heads} "
            f"with {config.heads} heads to decoders"
        )
    return config
