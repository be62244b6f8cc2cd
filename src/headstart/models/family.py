"""What a family is made of: presets, the names its weights have elsewhere, and the heads it can carry.

A family is one module with these names:

    NAME            "bert"
    MODEL_TYPE      `model_type` in a Hugging Face `config.json`; None: transformers has no such model
    OBJECTIVE       what it is pre-trained by: one of `objectives`
    TOKENIZER       kind of tokenizer: one of `tokenizer`
    GROUPED_QUERY   whether it may have fewer key-value than query heads
    FIXED           the fields of `TransformerConfig` that make the family
    PRESETS         name -> Preset, the published sizes
    HEADS           head -> HeadShape, among them the one it is pre-trained with
    PREFIX          what Hugging Face writes before the weights of a model without a head
    IGNORED         endings of names in Hugging Face folders that repeat tied weights (may be left out)
    ZEROS           endings of names that stand for nothing as long as they are zeros (may be left out)
    DECODER_START   with which special token an encoder-decoder begins to write: "pad" or "end"
    to_hf(config)   -> the fields of `config.json`
    from_hf(fields) -> arguments of `make_config`
    weights(config) -> Hugging Face's name -> Stored
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from headstart.errors import HeadstartError
from headstart.models.config import Feedforward

HeadKind = Literal[
    "masked",
    "causal",
    "text-to-text",
    "classification",
    "mean-classification",
    "tagging",
    "spans",
    "features",
    "pretraining",
]


@dataclass(frozen=True)
class Preset:
    """A published model."""

    sizes: dict[str, Any]
    """Arguments of `make_config`."""
    parameters: int
    """Exactly as the reference implementation or the paper's shapes give them, tied weights counted once."""
    published: str
    """The figure that its authors give."""
    source: str
    year: int
    data: str
    """What it was trained on."""
    tokens: float | None = None
    """How many tokens it was trained on, repeats counted; None: not disclosed as tokens."""
    open_weights: bool = True
    """Whether its weights were given to others, be it on request."""
    tokenizer: str = ""
    """Kind of tokenizer, where it is not its family's."""


class Stored(tuple[str, ...]):
    """How one tensor of a Hugging Face folder holds ours: the names of those stacked along its outputs."""

    transposed: bool

    def __new__(cls, *names: str, transposed: bool = False) -> "Stored":
        made = super().__new__(cls, names)
        made.transposed = transposed
        return made


@dataclass(frozen=True)
class HeadShape:
    """A task's head as transformers builds it, so that its weights can be exchanged."""

    hf_class: str | None
    """None: transformers has no such class."""
    reads: Literal["each", "first", "last", "mean", "end"] = "each"
    """Which states it reads: every token's, the first, the last that is no padding, their mean, or that of
    the last end-of-text token. In an encoder-decoder they are the decoder's, which then reads the same
    text as the encoder, begun with `DECODER_START`: the state at a token's place follows the token before."""
    through: Literal["nothing", "pooler", "prediction head", "dense"] = "nothing"
    """What a state passes before the output: a dense layer with tanh of the head's own is "dense"."""
    bias: bool = True
    weights: dict[str, str] = field(default_factory=dict)
    """Hugging Face's name -> ours: "weight", "bias", "dense.weight", "dense.bias"."""
    prefix: str | None = None
    """Where it differs from the family's `PREFIX`."""
    encoder_alone: bool = False
    """It reads the encoder's states, and the model of an encoder-decoder comes without its decoder."""


_ACTIVATIONS: dict[str, Feedforward] = {
    "gelu": "gelu",
    "relu": "relu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def activation_from_hf(name: str) -> Feedforward:
    """Our name for an activation of transformers, without a gate; a `ValueError` where there is none."""
    if name not in _ACTIVATIONS:
        raise ValueError(f"the activation {name!r} (known: {', '.join(_ACTIVATIONS)})")
    return _ACTIVATIONS[name]


def activation_to_hf(feedforward: Feedforward) -> str:
    """What transformers calls an activation; one with a gate is a `HeadstartError`."""
    for name, own in _ACTIVATIONS.items():
        if own == feedforward:
            return name
    known = ", ".join(dict.fromkeys(_ACTIVATIONS.values()))
    raise HeadstartError(
        f"this family has no gate in its feed-forward layer, as {feedforward} has; take {known}"
    )
