"""One configuration describes every Transformer of the stack."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from headstart.errors import HeadstartError


@dataclass(frozen=True)
class TransformerConfig:
    """The rows of the field's comparison tables, as fields.

    `layers` blocks of `width` D with `heads` query heads and `kv_heads` key-value heads
    (equal: multi-head; fewer: grouped-query; one: multi-query).
    """

    family: str
    vocab_size: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    feedforward_width: int
    context: int
    """The longest row seen in training, in tokens."""
    attention: Literal["bidirectional", "causal"]
    norm: Literal["layernorm", "rmsnorm"]
    norm_epsilon: float
    feedforward: Literal["geglu", "swiglu"]
    rotary_base: float
    embedding_norm: bool
    """Normalise the embeddings; the first block then starts without a norm of its own."""
    prediction_head: bool
    """A dense layer, GELU and a norm between the last block and the output."""
    output_bias: bool

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise HeadstartError(f"model width {self.width} is not a multiple of its {self.heads} heads")
        if self.heads % self.kv_heads:
            raise HeadstartError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly")
        if (self.width // self.heads) % 2:
            raise HeadstartError(
                f"rotary positions need an even head width; {self.width} / {self.heads} heads gives "
                f"{self.width // self.heads}"
            )

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
