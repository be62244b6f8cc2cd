"""Where a token stands: position ids, sinusoids, rotary and relative positions."""

import math

import torch
from torch import Tensor, nn

from headstart.models.config import Rotary, RotaryScaling, TransformerConfig
from headstart.models.parts.linear import Linear


def position_ids(segments: Tensor) -> Tensor:
    """How far each token is into its document: `[B, T]` from document numbers `[B, T]`; of padding, whose
    number is below 0, always 0: however long it is, no model has to know places for it."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    places = index - torch.where(begins, index, 0).cummax(1).values
    return places.masked_fill(segments < 0, 0)


def sinusoids(positions: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Sines, then cosines, of wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5).

    The paper writes sine and cosine in turns; its released code puts all sines first, as here.

    Args:
        positions: of any shape.

    Returns:
        `[..., width]`.
    """
    pairs = width // 2 + width % 2
    # In float32 the angle of position 1000 would be off by 1e-4.
    frequencies = 10_000.0 ** (-torch.arange(pairs, device=positions.device, dtype=torch.float64) * 2 / width)
    angles = positions.double()[..., None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), -1)[..., :width].to(dtype)


def text_lengths(segments: Tensor) -> Tensor:
    """How many tokens the document of each token has: `[B, T]` from document numbers `[B, T]`."""
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    runs = begins.cumsum(1)  # [B, T]: which document of its row a token is in, from 1 on
    counts = torch.zeros(len(runs), runs.shape[1] + 1, dtype=torch.long, device=runs.device)
    return counts.scatter_add_(1, runs, torch.ones_like(runs)).gather(1, runs)


def rotary_table(
    positions: Tensor, rotary: Rotary, dtype: torch.dtype, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles (Su et al. 2021, section 3.2.2): two `[..., T, R]`.

    Pair i of the R numbers that are turned turns by `position * base ** (-2 i / R)`; the pairs are
    (i, i + R/2).

    Args:
        positions: `[T]`, or `[B, 1, T]`.
        lengths: how many tokens the text of each token has, `[B, 1, T]`, where scaling heeds it; the result
            is then `[B, 1, T, R]`. None: there is one text, which ends at the last position.
    """
    by_length = rotary.scaling is not None and rotary.scaling.by_length
    if by_length and lengths is None:
        lengths = positions.max() + 1
    return rotary_angles(positions, rotary, rotary_frequencies(rotary, lengths if by_length else None), dtype)


def rotary_angles(
    positions: Tensor, rotary: Rotary, frequencies: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """`rotary_table` where the frequencies are at hand, `[R/2]` or those of each token `[B, 1, T, R/2]`."""
    angles = positions.float()[..., None] * frequencies.to(positions.device)  # [..., T, R/2]
    angles = torch.cat((angles, angles), dim=-1)  # [..., T, R]
    magnitude = 1.0 if rotary.scaling is None else rotary.scaling.magnitude
    return (angles.cos() * magnitude).to(dtype), (angles.sin() * magnitude).to(dtype)


def rotary_frequencies(rotary: Rotary, lengths: Tensor | None = None) -> Tensor:
    """By which angle each pair turns from one position to the next, in radians: `[R/2]`.

    Args:
        lengths: how many tokens texts have, for scaling that heeds it: of any shape, to which the result adds
            `[R/2]`. None: short texts.
    """
    pairs = torch.arange(0, rotary.width, 2, dtype=torch.float32) / rotary.width
    scaling = rotary.scaling
    if scaling is not None and scaling.kind == "dynamic":
        if lengths is None:
            return 1.0 / rotary.base**pairs
        pairs = pairs.to(lengths.device)
        longer = lengths.clamp(min=scaling.original_context)[..., None] / scaling.original_context
        grown = scaling.factor * longer - (scaling.factor - 1)
        return 1.0 / (rotary.base * grown ** (rotary.width / (rotary.width - 2))) ** pairs
    frequencies = 1.0 / rotary.base**pairs
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "longrope":
        short, long = (frequencies / torch.tensor(f) for f in (scaling.short_factors, scaling.long_factors))
        if lengths is None:
            return short
        is_long = lengths[..., None] > scaling.original_context
        return torch.where(is_long, long.to(lengths.device), short.to(lengths.device))
    share = _share_kept(frequencies, rotary, scaling)
    return frequencies * (share + (1 - share) / scaling.factor)


def _share_kept(frequencies: Tensor, rotary: Rotary, scaling: RotaryScaling) -> Tensor:
    """Of each pair, how much of its speed stays: 1 of a fast one, 0 of a slow one: `[R/2]`.

    A pair is fast when it turns more than `high_frequency` times within the original context, slow when less
    than `low_frequency` times. In between the share grows with its turns (llama3) or its number (yarn).
    """
    if scaling.kind == "llama3":
        turns = scaling.original_context * frequencies / (2 * math.pi)
        share = (turns - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)
        return share.clamp(0, 1)
    # The pair, as a number with fractions, that turns so often within the original context.
    spread = rotary.width / (2 * math.log(rotary.base))
    first, last = (
        spread * math.log(scaling.original_context / (turns * 2 * math.pi))
        for turns in (scaling.high_frequency, scaling.low_frequency)
    )
    if scaling.whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary.width - 1)
    between = last - first or 0.001
    return 1 - ((torch.arange(len(frequencies)) - first) / between).clamp(0, 1)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn every pair of `x` `[B, H, T, C]` by its position's angle; with a table of R < C the first R.

    Args:
        table: `[T, R]` twice, or `[B, 1, T, R]`.
    """
    cosine, sine = table
    turned = cosine.shape[-1]
    if turned < x.shape[-1]:
        return torch.cat((rotate(x[..., :turned], table), x[..., turned:]), -1)
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


class RelativeBias(nn.Module):
    """A learned number per head for how far apart two tokens are (Raffel et al. 2020, section 2.1).

    Small distances have a bucket each; larger ones share buckets that widen logarithmically up to
    `relative_distance`. An encoder gives half of its buckets to each direction.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.relative_buckets, config.heads))
        self.causal, self.most = causal, config.relative_distance

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The bias `[1, H, T, S]` between positions `[T]` and `[S]`."""
        distance = queries[:, None] - keys  # [T, S]; positive: the key is to the left
        buckets = len(self.weight)
        first = torch.zeros_like(distance)
        if not self.causal:
            buckets //= 2
            first = (distance < 0) * buckets
            distance = distance.abs()
        distance = distance.clamp(min=0)
        exact = buckets // 2
        far = (distance.float().clamp(min=1) / exact).log() / math.log(self.most / exact)
        far = (exact + (far * (buckets - exact)).long()).clamp(max=buckets - 1)
        bucket = first + torch.where(distance < exact, distance, far)
        return self.weight[bucket].permute(2, 0, 1)[None]


class RelativeKeys(nn.Module):
    """Relative positions of Transformer-XL (Dai et al. 2019, section 3.3), which Gopher and Chinchilla use.

    The score of query i and key j is (q_i + u) k_j + (q_i + v) r_{i-j}: r is a learned map of the
    sinusoids of the distance; u and v are learned, as if queries asked for content and for distance.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.width, self.heads, self.head_width = config.width, config.heads, config.head_width
        self.scale = config.head_width**-0.5
        self.key = Linear(config.width, config.heads * config.head_width)
        self.content_bias = nn.Parameter(torch.zeros(config.heads * config.head_width))
        self.distance_bias = nn.Parameter(torch.zeros(config.heads * config.head_width))

    def forward(self, query: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """The query to use for content `[B, H, T, C]`, and what distance adds to the scores `[B, H, T, S]`.

        Args:
            query: `[B, H, T, C]`.
            distances: `[T, S]`; those to the right are masked by the caller.
        """
        table = torch.arange(distances.shape[1], device=query.device)  # a key is at most S - 1 to the left
        keys = self.key(sinusoids(table, self.width, query.dtype))  # [S, H*C]
        keys = keys.unflatten(-1, (self.heads, self.head_width)).transpose(0, 1)  # [H, S, C]
        asking = query + self._by_head(self.distance_bias, query)
        scores = (asking @ keys.transpose(-1, -2)) * self.scale  # [B, H, T, S], by distance
        index = distances.clamp(min=0).expand(scores.shape)
        return query + self._by_head(self.content_bias, query), scores.gather(-1, index)

    def _by_head(self, bias: Tensor, query: Tensor) -> Tensor:
        return bias.to(query.dtype).view(self.heads, 1, self.head_width)


def log_buckets(distances: Tensor, buckets: int, farthest: int) -> Tensor:
    """DeBERTa's buckets of distances, negative ones mirrored (He et al. 2021a, released code).

    Distances up to half of `buckets` have a bucket each; larger ones share buckets that widen logarithmically
    up to `farthest`.
    """
    half = buckets // 2
    far = distances.abs().clamp(min=half).float()
    share = (far / half).log() / torch.tensor((farthest - 1) / half).log()
    widened = ((share * (half - 1)).ceil() + half).long() * distances.sign()
    return torch.where(distances.abs() <= half, distances, widened)


class RelativePlaces(nn.Module):
    """The vectors of relative positions that DeBERTa's layers share (He et al. 2021a, section 3.1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.buckets, self.farthest = config.relative_buckets, config.relative_distance
        self.weight = nn.Parameter(torch.zeros(2 * self.buckets, config.width))

    def forward(self, distances: Tensor) -> Tensor:
        """Which of the vectors each distance `[T, S]` has; positive distances are to the left."""
        bucket = log_buckets(distances, self.buckets, self.farthest) + self.buckets
        return bucket.clamp(0, 2 * self.buckets - 1)
