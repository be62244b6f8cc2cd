"""One configuration describes every Transformer of the stack."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from headstart.errors import HeadstartError

Architecture = Literal["encoder", "decoder", "encoder-decoder"]
Position = Literal["learned", "sinusoidal", "rotary", "relative", "relative-xl", "disentangled", "none"]
NormPlace = Literal["pre", "post", "sandwich", "output"]
Feedforward = Literal["relu", "gelu", "gelu_tanh", "swiglu", "geglu", "geglu_tanh"]
Sizes: TypeAlias = dict[str, Any]
"""Fields of a `TransformerConfig` by name, as a recipe, a preset or a folder gives some of them;
`registry.make_config` completes and checks them."""


SHORT_ROW = 512
"""Below this length two batched matrix products are faster on a CPU in bfloat16 than the fused kernel."""


@dataclass(frozen=True)
class RotaryScaling:
    """How rotary positions are scaled to reach beyond the context that a model was first trained on.

    llama3: slow pairs turn `factor` times slower, fast ones as before (Dubey et al. 2024, section 3.4.2, with
    the constants of the released models). linear: all pairs turn `factor` times slower (Chen et al. 2023,
    section 3.2). dynamic: no change up to `original_context`, and in a longer text a
    base that grows with its length (bloc97 2023, "Dynamically scaled RoPE"). yarn: as llama3, with shares
    that grow by the number of the pair, not by its turns (Peng et al. 2023, sections 3.2 and 3.4). longrope:
    every pair turns slower by a factor of its own (Ding et al. 2024, section 3).
    """

    factor: float = 8.0
    low_frequency: float = 1.0
    """llama3, yarn: a pair that turns fewer times than this within `original_context` is slow."""
    high_frequency: float = 4.0
    """llama3, yarn: a pair that turns more often than this is fast."""
    original_context: int = 8192
    kind: Literal["llama3", "linear", "dynamic", "yarn", "longrope"] = "llama3"
    short_factors: tuple[float, ...] = ()
    """longrope: of each pair, in texts up to `original_context`."""
    long_factors: tuple[float, ...] = ()
    """longrope: of each pair, in longer texts."""
    magnitude: float = 1.0
    """yarn, longrope: cosine and sine are multiplied by it."""
    whole_pairs: bool = True
    """yarn: the first and the last pair of those in between are rounded to whole numbers."""

    def __post_init__(self) -> None:
        numbers = {"factor": self.factor, "magnitude": self.magnitude, "low_frequency": self.low_frequency}
        numbers |= {"high_frequency": self.high_frequency, "original_context": self.original_context}
        numbers |= {f"short factor {place}": one for place, one in enumerate(self.short_factors)}
        numbers |= {f"long factor {place}": one for place, one in enumerate(self.long_factors)}
        for name, value in numbers.items():
            if not isinstance(value, int | float) or not 0 < value < 1e12:
                raise HeadstartError(f"rotary scaling has {name} {value!r}; it is a number above 0")

    @property
    def by_length(self) -> bool:
        """Whether a text's angles depend on how long it is."""
        return self.kind in ("dynamic", "longrope")


@dataclass(frozen=True)
class Rotary:
    """The rotary positions of one layer (Su et al. 2021, section 3.2.2)."""

    width: int
    """How many of a head's numbers are turned."""
    base: float
    scaling: RotaryScaling | None = None


@dataclass(frozen=True)
class LayerPlan:
    """What a layer has of its own; everything else is the same in all layers."""

    window: int = 0
    """How many latest tokens a token sees, itself among them, in an encoder as many to both sides; 0: all."""
    rotary_base: float | None = None
    """Base of this layer's rotary positions, without scaling; None: the model's base and scaling; 0: it has
    no rotary positions."""


# Far beyond any model; a damaged or hostile file that says more ends in a sentence, not in hours of work.
BOUNDS = {
    "vocab_size": (1, 10**8),
    "layers": (0, 10**4),
    "encoder_layers": (0, 10**4),
    "width": (1, 10**6),
    "heads": (1, 10**5),
    "kv_heads": (1, 10**5),
    "head_width": (0, 10**5),
    "feedforward_width": (1, 10**7),
    "context": (1, 10**9),
    "position_offset": (0, 10**5),
    "token_types": (0, 10**4),
    "rotary_width": (0, 10**5),
    "relative_buckets": (4, 10**5),
    "relative_distance": (2, 10**9),
}
RANGES = {
    "dropout": (0, 1),
    "norm_epsilon": (0, 1),
    "rotary_base": (1, 1e12),
    "query_scalar": (0, 1e9),
    "attention_cap": (0, 1e9),
    "output_cap": (0, 1e9),
}


@dataclass(frozen=True)
class TransformerConfig:
    """The rows of the field's comparison tables, as fields.

    A model is an encoder (attention in both directions), a decoder (attention to the left), or both,
    the decoder then looking at the encoder's states through cross-attention.
    """

    family: str
    architecture: Architecture
    vocab_size: int
    layers: int
    """Blocks; in an encoder-decoder, those of the decoder."""
    width: int
    heads: int
    """Query heads."""
    kv_heads: int
    """Key-value heads: as many as query heads (multi-head), fewer (grouped-query) or one (multi-query)."""
    feedforward_width: int
    context: int
    """The longest row seen in training, in tokens."""
    encoder_layers: int = 0
    """Blocks of the encoder, in an encoder-decoder."""
    head_width: int = 0
    """Of one head; 0 becomes `width / heads`."""
    plan: tuple[LayerPlan, ...] = (LayerPlan(),)
    """What differs from layer to layer, as a pattern that repeats: layer n has `plan[n % len(plan)]`."""

    position: Position = "none"
    position_offset: int = 0
    """Rows of the position table before the first position (RoBERTa, BART)."""
    rotary_base: float = 10_000.0
    rotary_scaling: RotaryScaling | None = None
    rotary_width: int = 0
    """How many of a head's numbers rotary positions turn, the first ones; 0: all."""
    relative_buckets: int = 32
    """Buckets of T5's relative positions, of DeBERTa's to each side."""
    relative_distance: int = 128
    """From this distance on, all fall into the last bucket."""

    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    norm_place: NormPlace = "pre"
    """Where the norms of a block's parts are: before the part; after its sum with the stream (post); before
    the part and on its output (sandwich); on the output alone."""
    norm_plus_one: bool = False
    """A norm multiplies by one plus its weight (Gemma)."""
    parallel: bool = False
    """Attention and feed-forward layer read the same stream, each through its norm, and are added to it."""
    norm_bias: bool = False
    norm_epsilon: float = 1e-5

    feedforward: Feedforward = "gelu"
    feedforward_bias: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    """Of the attention's output projection."""
    scaled_attention: bool = True
    """Divide attention scores by the root of the head width."""
    query_scalar: float = 0.0
    """Divide attention scores by the root of this number; 0: of the head width."""
    query_key_norm: Literal["none", "head", "width"] = "none"
    """An RMSNorm of queries and keys: of each head, or over the width of all heads."""
    attention_cap: float = 0.0
    """Attention scores s become cap * tanh(s / cap); 0: they stay."""

    embedding_norm: bool = False
    """Normalise the embeddings; a pre-norm stack then starts without a norm of its own."""
    embedding_scale: bool = False
    """Multiply the embeddings by the root of the width."""
    token_types: int = 0
    """How many kinds of token an extra embedding tells apart (BERT: first and second sentence)."""
    prediction_head: bool = False
    """A dense layer, GELU and a norm between the last block and the output."""
    output_bias: bool = False
    output_scale: bool = False
    """Divide the states by the root of the width before the output (T5 v1.0)."""
    output_cap: float = 0.0
    """Scores over the vocabulary s become cap * tanh(s / cap); 0: they stay."""
    tied: bool = True
    """The output shares the embedding's weights."""
    pooler: bool = False
    """A dense layer and tanh on the first token's state (BERT)."""
    next_sentence: bool = False
    """A two-way output on the pooler: does the second sentence follow the first?"""
    dropout: float = 0.0
    """In training, of embeddings, attention weights and whatever is added to the stream."""
    initial_deviation: float = 0.0
    """Standard deviation of initial weight matrices; 0: D^-0.5."""
    embedding_deviation: float = 0.02
    """The same of embeddings; 0: D^-0.5."""

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise HeadstartError(
                    f"{name}={value!r} is not possible; it is a whole number, {least} to {most:,}"
                )
        if not self.layers and self.position != "none":
            raise HeadstartError("layers=0 is a table of vectors, which has no positions; give layers")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value < high:
                raise HeadstartError(f"{name}={value!r} is not possible; it is a number, {low:g} to {high:g}")
        if not self.head_width:
            if self.width % self.heads:
                raise HeadstartError(f"model width {self.width} is not a multiple of its {self.heads} heads")
            object.__setattr__(self, "head_width", self.width // self.heads)
        if self.heads % self.kv_heads:
            raise HeadstartError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly")
        if self.position == "rotary":
            turned = self.rotary_width or self.head_width
            if turned % 2 or turned > self.head_width:
                raise HeadstartError(
                    f"rotary positions need an even head width, not {turned} of {self.head_width}; change "
                    "width or heads"
                )
            scaling = self.rotary_scaling
            if scaling is not None and scaling.kind == "longrope":
                counts = {len(scaling.short_factors), len(scaling.long_factors)}
                if counts != {turned // 2}:
                    raise HeadstartError(
                        f"longrope needs a short and a long factor for each of {turned // 2} pairs, not "
                        f"{len(scaling.short_factors)} and {len(scaling.long_factors)}"
                    )
        if not self.plan or any(not 0 <= layer.window < 10**9 for layer in self.plan):
            raise HeadstartError(f"plan={self.plan!r} is not possible; a window is a whole number from 0 on")
        if self.position == "disentangled" and self.architecture != "encoder":
            raise HeadstartError("disentangled positions look to both sides: an encoder's alone")
        if self.position == "disentangled" and self.kv_heads != self.heads:
            raise HeadstartError("disentangled positions need a key-value head for each head")
        if self.position == "relative-xl" and self.architecture != "decoder":
            raise HeadstartError(
                "positions relative as in Transformer-XL look to the left: a decoder's alone"
            )
        if (self.architecture == "encoder-decoder") != (self.encoder_layers > 0):
            raise HeadstartError(
                f"encoder_layers={self.encoder_layers} does not fit an {self.architecture}: "
                "an encoder-decoder has some, the others none"
            )

    def layer(self, number: int) -> LayerPlan:
        """What layer `number`, counted from 0, has of its own."""
        return self.plan[number % len(self.plan)]

    def rotary(self, number: int) -> Rotary | None:
        """The rotary positions of layer `number`; None: it has none."""
        own = self.layer(number).rotary_base
        if self.position != "rotary" or own == 0:
            return None
        width = self.rotary_width or self.head_width
        return Rotary(width, self.rotary_base, self.rotary_scaling) if own is None else Rotary(width, own)

    @property
    def rotaries(self) -> list[Rotary]:
        """The different rotary positions that layers have."""
        found = [self.rotary(number) for number in range(len(self.plan))]
        return list(dict.fromkeys(rotary for rotary in found if rotary is not None))

    @property
    def final_norm(self) -> bool:
        """Whether a norm follows the last block: the stream of a post-norm stack is normed already."""
        return self.norm_place != "post"

    @property
    def generates(self) -> bool:
        """Whether the model writes text from left to right."""
        return self.architecture != "encoder"

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer has a gate."""
        return self.feedforward in ("swiglu", "geglu", "geglu_tanh")

    def as_dict(self) -> Sizes:
        return asdict(self)
