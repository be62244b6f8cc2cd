"""What training and generation hold in memory, by part, for each rank of a parallel layout.

Activations are an inventory of the tensors that the blocks of `models` keep for the backward pass; the
tests compare it with what autograd really keeps. Sharding follows ZeRO (Rajbhandari et al. 2020) and
Megatron with sequence parallelism (Korthikanti et al. 2022).
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from headstart.models.config import SHORT_ROW, TransformerConfig
from headstart.models.flops import Checkpointing
from headstart.models.parameters import parameters_by_part, stacks
from headstart.objectives.score_chunks import CHUNK, GPU_CHUNK, LARGE

Precision = Literal["float32", "bfloat16", "mixed"]
"""float32; headstart's bfloat16 (float32 weights, activations in bfloat16); or weights and gradients in
16 bits beside a float32 master copy, as Megatron and the classic mixed precision have them."""
OptimiserKind = Literal["adamw", "muon", "sgd"]
Device = Literal["gpu", "cpu"]

BYTES = {"float32": (4, 4, 0, 4), "bfloat16": (4, 4, 0, 2), "mixed": (2, 2, 4, 2)}
"""Of a weight, a gradient, a master copy, an activation."""
GATHERED_LAYERS = 2
"""Under FSDP 3: the layer at work and the one fetched ahead are whole."""


@dataclass(frozen=True)
class Layout:
    """How a model is spread over devices; the product of the degrees is their number."""

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    shard: Literal[0, 1, 2, 3] = 0
    """What the data-parallel ranks share out: nothing (DDP), optimiser state (1), gradients too (2),
    weights too (3: FSDP)."""

    @property
    def devices(self) -> int:
        return self.data * self.tensor * self.pipeline * self.context

    @property
    def replicas(self) -> int:
        """Ranks that hold the same weights and may share them out."""
        return self.data * self.context

    def __str__(self) -> str:
        names = ("DDP", "FSDP 1", "FSDP 2", "FSDP 3")
        parts = [f"{names[self.shard]} over {self.replicas}"] if self.replicas > 1 else []
        for degree, name in ((self.tensor, "TP"), (self.pipeline, "PP"), (self.context, "CP")):
            parts += [f"{name} {degree}"] if degree > 1 else []
        return ", ".join(parts) or "one device"


@dataclass(frozen=True)
class Memory:
    """Bytes on the fullest rank."""

    parts: dict[str, float] = field(default_factory=dict)
    peak: float = 0.0
    """The most held at one moment; less than the sum where gradients come while activations go."""

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def training_memory(
    config: TransformerConfig,
    micro_rows: int,
    row: int,
    layout: Layout | None = None,
    precision: Precision = "bfloat16",
    optimiser: OptimiserKind = "adamw",
    checkpointing: Checkpointing = "none",
    target_share: float = 1.0,
    source: int = 0,
    device: Device = "gpu",
    documents: bool = False,
) -> Memory:
    """What one training step holds.

    Args:
        micro_rows: rows that a rank computes at once.
        row: tokens in a row.
        target_share: of the tokens pass the output.
        source: tokens in a row of the encoder, in an encoder-decoder.
        device: on a GPU attention and norms are fused kernels; what a CPU does is `models.parts`'.
        documents: whether a mask keeps the documents of a row apart, of which every block keeps a copy.
    """
    layout = layout or Layout()
    weight, gradient, master, activation = BYTES[precision]
    inside, outside = _rank_parameters(config, layout)
    held = inside + outside
    replicas = layout.replicas
    parts = {
        "weights": weight * held / (replicas if layout.shard >= 3 else 1),
        "gradients": gradient * held / (replicas if layout.shard >= 2 else 1),
        "master copies": master * held / (replicas if layout.shard >= 1 else 1),
        "optimiser": _optimiser_bytes(optimiser, inside, outside) / (replicas if layout.shard >= 1 else 1),
    }
    split = layout.tensor * layout.context
    # On a CPU short rows in bfloat16 go through two products, which keep the scores between them.
    fused = device == "gpu" or precision != "bfloat16" or row > SHORT_ROW
    setting = _Setting(precision, device, documents, fused, micro_rows)
    block = [_block_bytes(config, cross, row, source, setting) for _, cross in stacks(config)]
    kept, rebuilt, layers = 0.0, 0.0, 0
    for (count, cross), size in zip(stacks(config), block, strict=True):
        length = source if config.architecture == "encoder-decoder" and not cross else row
        tokens = micro_rows * length
        whole = tokens * size
        if checkpointing == "full":
            kept += count * tokens * config.width * activation
            rebuilt = max(rebuilt, whole)
        elif checkpointing == "selective":
            smaller = _block_bytes(config, cross, row, source, replace(setting, scores=False))
            kept += count * tokens * smaller
            rebuilt = max(rebuilt, whole - tokens * smaller)
        else:
            kept += count * whole
        layers += count
        noise = config.width * activation if config.dropout else 0
        kept += tokens * (_norm_bytes(config, setting) * (1 + config.embedding_norm) + noise)
    # Under 1F1B the first stage has as many micro-batches in flight as there are stages: all layers' worth.
    parts["activations"] = (kept + rebuilt) / split
    if precision == "bfloat16":
        alive = min(GATHERED_LAYERS, layers) / layers if checkpointing == "full" or layout.shard == 3 else 1.0
        parts["casts of weights"] = 2 * (inside * alive + _output_matrix(config) / layout.tensor)
    targets = math.ceil(micro_rows * row * target_share / layout.context)
    parts["logits"] = _logits(config, targets, activation, device) / layout.tensor
    if layout.shard == 3 and replicas > 1:
        compute = 2 if precision != "float32" else 4
        each = inside * layout.pipeline / layers
        parts["gathered layers"] = GATHERED_LAYERS * each * (compute + gradient / 2)
    parts = {name: size for name, size in parts.items() if size}
    return Memory(parts, sum(parts.values()) if layout.devices > 1 else _peak(config, parts, kept, layers))


def _peak(config: TransformerConfig, parts: dict[str, float], kept: float, layers: int) -> float:
    """The most at one moment on one device, where gradients do not exist before the backward pass.

    Backward through layer after layer, each one's activations go and its gradients come.
    """
    lasting = sum(parts.get(name, 0.0) for name in ("weights", "master copies", "optimiser"))
    casts = parts.get("casts of weights", 0.0)
    rest = parts["activations"] - kept + casts  # what is rebuilt comes after the output's backward pass
    counts = parameters_by_part(config)
    share = sum(n for part, n in counts.items() if part not in ("embedding", "output", "positions"))
    per_layer = parts["gradients"] * share / sum(counts.values()) / layers
    first = parts["gradients"] - per_layer * layers  # output and embedding
    moments = [kept + casts + parts.get("logits", 0.0)]
    moments += [
        first + done * per_layer + (layers - done) * kept / layers + rest for done in range(layers + 1)
    ]
    return lasting + max(moments)


def generation_memory(
    config: TransformerConfig, cache: float, bytes_each: int = 2, layout: Layout | None = None
) -> Memory:
    """Weights and key-value cache for answering.

    Args:
        cache: bytes of the cache, from `parameters.cache_bytes`.
    """
    layout = layout or Layout()
    inside, outside = _rank_parameters(config, layout)
    parts = {
        "weights": float(bytes_each * (inside + outside)),
        "cache": cache / layout.tensor / layout.pipeline,
    }
    return Memory(parts, sum(parts.values()))


# --- parameters on a rank -----------------------------------------------------------------------------


def _rank_parameters(config: TransformerConfig, layout: Layout) -> tuple[float, float]:
    """Parameters in blocks, and in embedding and output, of the fullest rank."""
    counts = parameters_by_part(config)
    outer = [counts.get(part, 0) for part in ("embedding", "positions", "output")]
    inside = sum(counts.values()) - sum(outer)
    if layout.pipeline == 1:
        outside = sum(outer)
    else:  # the first stage has the embedding, the last the output, tied ones a copy each
        embedding, positions, output = outer
        outside = max(embedding + positions, output + (embedding if config.tied else 0))
    return inside / layout.tensor / layout.pipeline, outside / layout.tensor


def _output_matrix(config: TransformerConfig) -> int:
    return config.vocab_size * config.width


def _optimiser_bytes(kind: OptimiserKind, inside: float, outside: float) -> float:
    """AdamW keeps two float32 numbers for a parameter; Muon one for those in blocks, AdamW the others."""
    if kind == "sgd":
        return 4 * (inside + outside)
    return 8 * (inside + outside) if kind == "adamw" else 4 * inside + 8 * outside


# --- activations --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Setting:
    """What decides how much a block keeps, beside its configuration."""

    precision: Precision
    device: Device
    documents: bool
    fused: bool
    """Attention as one kernel that keeps no scores."""
    rows: int
    scores: bool = True
    """Whether scores outside such a kernel are kept, not computed again."""

    @property
    def bytes_each(self) -> int:
        return BYTES[self.precision][3]


def _block_bytes(config: TransformerConfig, cross: bool, row: int, source: int, setting: _Setting) -> float:
    """Bytes that a block keeps for each of its tokens until the backward pass.

    Each part has a norm, which keeps its input, before it or behind it; its first product keeps what it
    reads. In a sandwich a second norm keeps what the part gives.
    """
    a, D = setting.bytes_each, config.width
    total = 2 * _norm_bytes(config, setting) + _attention_bytes(config, row, row, setting, cross=False)
    if config.norm_place == "sandwich":
        total += 2 * _norm_kept(D, setting)
    if cross:
        total += _norm_bytes(config, setting) + _attention_bytes(config, row, source, setting, cross=True)
    inner = {"relu": 1, "gelu": 2, "gelu_tanh": 2}.get(config.feedforward, 4)
    total += a * inner * config.feedforward_width
    if config.dropout:  # the noise of what each part adds to the stream
        total += a * (3 if cross else 2) * D
    return total


def _norm_bytes(config: TransformerConfig, setting: _Setting) -> float:
    """What a norm of the stream keeps, and what a product keeps to read."""
    return _norm_kept(config.width, setting) + config.width * setting.bytes_each


def _norm_kept(width: int, setting: _Setting, groups: int = 1) -> float:
    """What a norm itself keeps of `width` numbers that it norms in `groups`."""
    return width * setting.bytes_each + groups * 2 * 4  # input and two statistics


def _query_key_norm_bytes(config: TransformerConfig, keys: float, setting: _Setting) -> float:
    """What the norms of queries and keys keep; what they give is turned by positions, and then counted
    as query and key.

    Args:
        keys: for each query.
    """
    if config.query_key_norm == "none":
        return 0.0
    query, key = (
        _norm_kept(heads * config.head_width, setting, heads if config.query_key_norm == "head" else 1)
        for heads in (config.heads, config.kv_heads)
    )
    return query + key * keys


def _attention_bytes(config: TransformerConfig, row: int, keys: int, setting: _Setting, cross: bool) -> float:
    a = setting.bytes_each
    heads, shared = config.heads * config.head_width, config.kv_heads * config.head_width
    learned = config.position in ("relative", "relative-xl", "disentangled") and not cross
    products = not setting.fused or config.attention_cap > 0  # no kernel caps scores
    kernel = not products and not learned and (setting.device == "gpu" or not config.dropout)
    pairs = shared if kernel else heads  # keys and values are repeated for every query head
    total = a * 2 * heads + a * 2 * pairs * keys / row  # query and output; key and value
    total += _query_key_norm_bytes(config, keys / row, setting)
    if kernel:
        total += 4 * config.heads
        if setting.device == "cpu":  # the mask as numbers; without documents that of a window, for all rows
            banded = _windowed(config) / setting.rows if not cross else 0.0
            total += keys * a * (1.0 if setting.documents else banded)
            if config.query_key_norm == "head":  # the output, which then lies head by head, is copied
                total += a * heads
        return total
    if not setting.scores:
        return total
    score = a if setting.device == "gpu" or products else 4  # torch's own fallback uses float32
    copies = (3 if config.dropout else 1) + (config.attention_cap > 0)  # the tanh keeps what it gives
    total += config.heads * keys * score * copies
    if config.position == "relative-xl" and not cross:  # scores by distance, and where each one goes
        total += a * heads + config.heads * keys * a + 8 * keys / setting.rows
    if config.position == "disentangled":
        total += _disentangled_bytes(config, row, setting)
    if setting.documents:
        total += keys
    return total


def _disentangled_bytes(config: TransformerConfig, row: int, setting: _Setting) -> float:
    """What DeBERTa's positions keep for each token: queries score places, and keys do, so all is twice."""
    a, heads, places = setting.bytes_each, config.heads * config.head_width, 2 * config.relative_buckets
    scores = config.heads * places * a  # what all places say, from which a gather takes those of the pairs
    contents = heads * a  # copied for the product with places
    maps = heads * places * a / row  # of the places, copied for each row
    layers = setting.rows * row * config.layers
    vectors = places * config.width * a * (1 if setting.precision == "float32" else 2)
    pairs = 8 * row * row  # which place each pair has: one table for all layers
    return 2 * (scores + contents + maps) + (vectors + pairs) / layers


def _windowed(config: TransformerConfig) -> float:
    """The share of layers that see a window alone."""
    return sum(config.layer(number).window > 0 for number in range(config.layers)) / config.layers


def _logits(config: TransformerConfig, targets: int, a: int, device: Device) -> float:
    """Log-softmax of the scores over the vocabulary and the gradients of both, in float32 (a 16-bit copy is
    gone by then); where large, a chunk of scores and of gradients, in float32 only between them. A cap keeps
    what its tanh gives; a chunk on a GPU is one compiled kernel, which has it in passing."""
    scores, capped = float(targets) * config.vocab_size, config.output_cap > 0
    if scores <= LARGE:
        return scores * (16 if capped else 12)
    copy = a if a < 4 else 0
    chunk = GPU_CHUNK if device == "gpu" else CHUNK
    each = 16 if capped and device == "cpu" else 4 + 2 * copy
    return min(chunk, scores) * each + 2 * targets * config.width * a
