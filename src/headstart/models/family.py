"""What a family is made of: fixed fields, presets, heads, and two tables that are read in both directions.

One table says which key of a Hugging Face `config.json` each field of our configuration is, the other which
of its weights each of ours is. A family is one object of the class `Family` in a file of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.config import Sizes, TransformerConfig

if TYPE_CHECKING:  # the tables of families are printed without it
    from torch import Tensor

HeadKind = Literal[
    "masked",
    "causal",
    "text-to-text",
    "classification",
    "mean-classification",
    "tagging",
    "spans",
    "features",
    "encoder-features",
    "pretraining",
]
OUTPUTS = ("pretraining", "masked", "causal", "text-to-text")
"""Heads whose output is over the vocabulary."""


@dataclass(frozen=True)
class Preset:
    """A published model."""

    sizes: Sizes
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


# --- Heads --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeadShape:
    """A task's head as transformers builds it, so that its weights can be exchanged."""

    hf_class: str | None
    """None: transformers has no such class."""
    reads: Literal["each", "first", "last", "mean", "end"] = "each"
    """Which states it reads: every token's, the first, the last that is no padding, their mean, or that of
    the last end-of-text token. In an encoder-decoder they are the decoder's, which then reads the same
    text as the encoder, begun with `decoder_start`: the state at a token's place follows the token before."""
    through: Literal["nothing", "pooler", "prediction head", "dense"] = "nothing"
    """What a state passes before the output; "dense" is a dense layer and an activation of the head's own."""
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    """Of the head's own dense layer."""
    bias: bool = True
    weights: Mapping[str, str] = field(default_factory=dict)
    """Hugging Face's name -> ours: "weight", "bias", "dense.weight", "dense.bias"."""
    prefix: str | None = None
    """Where it differs from the family's `prefix`."""
    says: Mapping[str, str] = field(default_factory=dict)
    """Further fields of `config.json` that tell it from another head of the same class."""
    encoder_alone: bool = False
    """It reads the encoder's states, and the model of an encoder-decoder comes without its decoder."""


def linear(theirs: str, ours: str = "", bias: bool = True) -> dict[str, str]:
    """The weights of one linear layer of a head, for `HeadShape.weights`."""
    before = f"{ours}." if ours else ""
    names = {f"{theirs}.weight": f"{before}weight"}
    return names | {f"{theirs}.bias": f"{before}bias"} if bias else names


# --- Weights ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """How one tensor of a Hugging Face folder holds ours: the names of those stacked along its outputs."""

    names: tuple[str, ...]
    transposed: bool = False
    """Inputs before outputs."""
    by_head: bool = False
    """Stacked head by head: the rows of every name's first head, then those of the second, and so on."""

    def split(self, tensor: "Tensor", config: TransformerConfig) -> list["Tensor"]:
        """Our tensors, in the order of `names`; of wrong shapes where the tensor's does not fit."""
        tensor = tensor.T.contiguous() if self.transposed else tensor
        count = len(self.names)
        if count == 1:
            return [tensor]
        if self.by_head and not len(tensor) % (count * config.heads):
            parts = tensor.reshape(config.heads, count, -1, *tensor.shape[1:])
            return [part.flatten(0, 1) for part in parts.unbind(1)]
        rows = [_output_rows(name, config) for name in self.names]
        if None not in rows and sum(filter(None, rows)) == len(tensor):
            ends = list(accumulate(row or 0 for row in rows))
            return [tensor[start:end] for start, end in pairwise([0, *ends])]
        return list(tensor.chunk(count))

    def join(self, parts: list["Tensor"], config: TransformerConfig) -> "Tensor":
        """Their tensor from ours."""
        import torch

        if self.by_head:
            by_head = [part.reshape(config.heads, -1, *part.shape[1:]) for part in parts]
            tensor = torch.stack(by_head, 1).flatten(0, 2)
        else:
            tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        return tensor.T if self.transposed else tensor


def _output_rows(name: str, config: TransformerConfig) -> int | None:
    """Outputs of one of the attention's projections."""
    part = name.split(".")[-2]
    heads = {"query": config.heads, "key": config.kv_heads, "value": config.kv_heads}.get(part)
    return None if heads is None else heads * config.head_width


@dataclass(frozen=True)
class Module:
    """Which of our modules one of transformers' modules holds; `{}` stands for the number of the layer."""

    ours: tuple[str, ...]
    transposed: bool = False
    by_head: bool = False
    gated: bool | None = None
    """Only in models whose feed-forward layer has a gate, or only in those without; None: in both."""

    def stored(self, kind: str, layer: int) -> Stored:
        """Its weight or bias in a layer."""
        names = tuple(f"{name.format(layer)}.{kind}" for name in self.ours)
        return Stored(names, self.transposed and kind == "weight", self.by_head)


def module(*ours: str, transposed: bool = False, by_head: bool = False, gated: bool | None = None) -> Module:
    """An entry of a family's `modules`; see `Module`."""
    return Module(ours, transposed, by_head, gated)


# --- Fields of config.json ----------------------------------------------------------------------------


class Row(Protocol):
    """A row of the table "our field, their key". Both directions of a folder read it."""

    def write(self, config: TransformerConfig) -> JSONObject:
        """Fields of `config.json`; a `HeadstartError` where the folder cannot hold what the model is."""

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        """Arguments of `make_config`; a `KeyError` or `ValueError` of what is missing or not computed."""


class _Required:
    """The key has no default."""


REQUIRED = _Required()


@dataclass(frozen=True)
class Key:
    """A field that is one key of `config.json`."""

    ours: str
    theirs: str
    default: Any = REQUIRED
    """What transformers takes where the key is left out; maybe a function of the other fields."""
    null: Any = REQUIRED
    """What it takes where the key is null; maybe a function of the other fields."""
    values: Mapping[Any, Any] | None = None
    """Their value -> ours, where they are called otherwise; the first one of ours is written."""

    def write(self, config: TransformerConfig) -> JSONObject:
        value = getattr(config, self.ours)
        if self.values is None:
            return {self.theirs: value}
        for theirs, own in self.values.items():
            if own == value:
                return {self.theirs: theirs}
        known = ", ".join(dict.fromkeys(map(str, self.values.values())))
        if config.gated and self.ours == "feedforward":
            raise HeadstartError(
                f"this family has no gate in its feed-forward layer, as {value} has; take {known}"
            )
        raise HeadstartError(f"a {config.family} model has no {self.ours}={value}; take {known}")

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        value = fields.get(self.theirs, self.default)
        if value is None:
            value = self.null
        if callable(value):
            value = value(fields)
        if value is REQUIRED:
            raise KeyError(self.theirs)
        if self.values is not None:
            if value not in self.values:
                known = ", ".join(map(str, self.values))
                raise ValueError(f"{self.theirs} {value!r} (known: {known})")
            value = self.values[value]
        return {self.ours: value}


@dataclass(frozen=True)
class Copy:
    """A further key that says what another row reads already: written, not read."""

    ours: str
    theirs: str

    def write(self, config: TransformerConfig) -> JSONObject:
        return {self.theirs: getattr(config, self.ours)}

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        return {}


@dataclass(frozen=True)
class Constant:
    """A key that must have one value for the family to compute what the folder means."""

    theirs: str
    value: Any

    def write(self, config: TransformerConfig) -> JSONObject:
        return {self.theirs: self.value}

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        found = fields.get(self.theirs)
        if found is not None and found != self.value:
            raise ValueError(f"{self.theirs} {found!r} (known: {self.value})")
        return {}


@dataclass(frozen=True)
class Computed:
    """Fields that are no one key each: two functions, one for each direction."""

    write: Callable[[TransformerConfig], JSONObject]
    read: Callable[[Mapping[str, Any]], Sizes]


# --- The family ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """A family of models."""

    name: str
    model_type: str | None
    """`model_type` in a Hugging Face `config.json`; None: transformers has no such model."""
    objective: str
    """What it is pre-trained by: one of `objectives`."""
    tokenizer: str
    """Kind of tokenizer: one of `tokenizer`."""
    fixed: Mapping[str, Any]
    """The fields of `TransformerConfig` that make the family."""
    rows: tuple[Row, ...]
    """Our fields and their keys in `config.json`."""
    modules: Mapping[str, Module]
    """Hugging Face's modules, each a weight and maybe a bias -> ours; `{}` for the number of the layer."""
    heads: Mapping[str, HeadShape]
    """Head -> its shape, among them the one that the family is pre-trained with."""
    tensors: Mapping[str, str] = field(default_factory=dict)
    """The same of single tensors, where the name of a module does not say it."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What folders also call a module, or what stands before a tensor -> its name here: read, not written."""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    """The published sizes."""
    prefix: str = ""
    """What Hugging Face writes before the weights of a model without a head."""
    grouped_query: bool = False
    """Whether it may have fewer key-value than query heads."""
    ignored: tuple[str, ...] = ()
    """Endings of names in Hugging Face folders that are computed, or that nothing reads."""
    repeats: Mapping[str, str] = field(default_factory=dict)
    """Endings of names that hold a weight once more -> the weight; what differs is refused."""
    zeros: tuple[str, ...] = ()
    """Endings of names that stand for nothing as long as they are zeros."""
    decoder_start: Literal["pad", "end"] = "end"
    """With which special token an encoder-decoder begins to write."""
    check: Callable[[TransformerConfig], None] = lambda config: None
    """Raises a `HeadstartError` for sizes that transformers' class of the family cannot have."""

    def to_hf(self, config: TransformerConfig) -> JSONObject:
        """The fields of `config.json`.

        Raises:
            HeadstartError: a configuration that no folder of the family can hold.
        """
        self.check(config)
        fields: JSONObject = {}
        for row in self.rows:
            fields |= row.write(config)
        return fields

    def from_hf(self, fields: Mapping[str, Any]) -> Sizes:
        """The arguments of `make_config` in a `config.json`.

        Raises:
            KeyError, ValueError: a key that is missing, or a value that the family does not compute.
        """
        sizes: Sizes = {}
        for row in self.rows:
            for name, value in row.read(fields).items():
                if sizes.get(name, value) != value:
                    raise ValueError(f"{name} both {sizes[name]} and {value}")
                sizes[name] = value
        return sizes

    def weights(self, config: TransformerConfig) -> dict[str, Stored]:
        """Hugging Face's name of a weight -> how it holds ours, for all layers of a model."""
        names = {}
        for theirs, held in self.modules.items():
            if held.gated is not None and held.gated != config.gated:
                continue
            for layer in range(_layers(held.ours[0], config)):
                for kind in ("weight", "bias"):
                    names[f"{theirs.format(layer)}.{kind}"] = held.stored(kind, layer)
        for theirs, ours in self.tensors.items():
            for layer in range(_layers(ours, config)):
                names[theirs.format(layer)] = Stored((ours.format(layer),))
        return names


def _layers(ours: str, config: TransformerConfig) -> int:
    """For how many layers a template of our names stands."""
    if "{}" not in ours:
        return 1
    stack = ours.partition(".")[0]
    if config.architecture == "encoder-decoder":
        return config.encoder_layers if stack == "encoder" else config.layers
    return config.layers if stack == config.architecture else 0


def heads_fill_width(config: TransformerConfig) -> None:
    """A `check`: transformers' class divides the width among the heads."""
    if config.heads * config.head_width != config.width:
        raise HeadstartError(
            f"the heads of a {config.family} model share its width: {config.heads} heads of "
            f"{config.head_width} do not fill {config.width}; leave head_width out"
        )


def heads_divide_width(config: TransformerConfig) -> None:
    """A `check`: transformers' class wants a width that is a multiple of the number of heads."""
    if config.width % config.heads:
        raise HeadstartError(
            f"model width {config.width} is not a multiple of its {config.heads} heads, which transformers "
            f"asks of a {config.family} model even where head_width is given; change width or heads"
        )


ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "relu": "relu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
"""What transformers calls an activation without a gate -> our name."""
