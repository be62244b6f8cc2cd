"""A Transformer with a task's head on top."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.interchange.sentence_vectors import SentenceVectors
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadKind
from headstart.models.heads import Head
from headstart.models.registry import family_named
from headstart.models.transformer import Stack, Transformer
from headstart.models.vectors.elmo import ScalarMix
from headstart.tasks.examples import TaskKind
from headstart.tasks.facts import LayerWeights
from headstart.tasks.kinds.packing import EncodedWindow, Rows
from headstart.tasks.kinds.registry import KINDS


class TaskModel(nn.Module):
    """Scores of labels, for whole pieces or for every token that is read; or a vector for each piece; or
    scores of the vocabulary, of a model that writes.

    Which states stand for a text, and what they pass on the way to the scores, is the family's way
    (`HeadShape`), so that the model folder computes the same in transformers. A decoder and the decoder of an
    encoder-decoder see a text up to the token they answer at. The vector of a piece is the mean of its
    states, in an encoder-decoder of the encoder's; of a decoder it is the state of the last token, which has
    seen all. A folder of sentence-transformers says itself how its vectors come about.
    """

    def __init__(
        self,
        body: Transformer,
        task: TaskKind,
        labels: int,
        dropout: float = 0.0,
        decoder_start: int = 0,
        writes: bool = False,
        head: str | None = None,
        vectors: SentenceVectors | None = None,
    ) -> None:
        """
        Args:
            decoder_start: the id with which the decoder of an encoder-decoder begins.
            writes: the answer is text, by the model's own output, and there is no head.
            head: a key of the family's `HEADS`; None: its own for the task.
            vectors: how a vector comes about, where the model's folder says it.

        Raises:
            HeadstartError: the family has no head for the task.
        """
        super().__init__()
        self.body, self.task, self.decoder_start, self.writes = body, task, decoder_start, writes
        family = family_named(body.config.family)
        self.head_kind = None if writes else head or head_kind(body.config, task)
        shape = family.heads[self.head_kind] if self.head_kind else None
        self.head = Head(body.config.width, shape, labels, dropout) if labels and shape else None
        self.mix: ScalarMix | None = None
        self.vectors = vectors

    def forward(self, rows: Rows) -> Tensor:
        """Logits in float32, `[pieces, labels]` or `[heads, labels]`, in the order of the pieces packed; for
        embeddings the vectors `[pieces, D]`; of a model that writes `[heads, V]`."""
        return self.score(self.read(rows))

    def read(self, rows: Rows) -> Tensor:
        """The body's part: the states that are scored, `[pieces or heads, D]`; with a mix those of every
        layer, `[pieces or heads, layers, D]`, of a piece the mean of its tokens'.

        Layers differ in scale, so that before they are mixed each state is brought to mean 0 and variance 1
        (Peters et al. 2018, section 3.2, has it as an option).
        """
        if self.mix is None:
            return self._chosen(self._states(rows), rows)
        layers = [self._chosen(states, rows) for states in self._states_of_layers(rows)]
        return F.layer_norm(torch.stack(layers, 1), (self.body.config.width,))

    def score(self, states: Tensor) -> Tensor:
        """The head's part, of what `read` gives."""
        if self.writes:
            return self.body.logits(states).float()
        if self.mix is not None:
            layers = states.transpose(0, 1)[:, None]  # [layers, 1, N, D]
            states = self.mix(layers, torch.ones(1, len(states), dtype=torch.bool))[0]
            return states if self.head is None else self.head.output(self.head.dropout(states))
        if self.vectors is not None:
            return self.vectors.finished(states)
        return states if self.head is None else self.head(self.body, states)

    def inner(self, states: Tensor) -> Tensor:
        """What the head's output reads of what `read` gives; of a mix its layers, `[N, layers, D]`."""
        return states if self.mix is not None or self.head is None else self.head.inner(self.body, states)

    @property
    def reads_each(self) -> bool:
        """Whether tokens are scored, and not whole pieces."""
        return self.writes or (self.head is not None and self.head.shape.reads == "each")

    def states_read(self, piece: EncodedWindow) -> int:
        """How many states of a piece are scored."""
        return len(piece.heads) if self.reads_each else 1

    @property
    def top_stack(self) -> Stack:
        """The stack whose states are scored."""
        body = self.body
        stack = body.encoder if body.decoder is None or (self.head is None and body.encoder) else body.decoder
        assert stack is not None
        return stack

    def mix_layers(self) -> None:
        """Let the head's output read all layers, at first their mean, past what it may have before it."""
        self.mix = ScalarMix(1 + len(self.top_stack.blocks))

    def layer_weights(self) -> LayerWeights | None:
        """How the mix weighs the layers; None: there is none."""
        if self.mix is None:
            return None
        return LayerWeights(float(self.mix.gamma.detach()), self.mix.weights.detach().softmax(0).tolist())

    def head_weights(self) -> dict[str, Tensor]:
        """The weights of head and mix, as a model folder keeps them."""
        mix = {} if self.mix is None else {f"mix.{name}": t for name, t in self.mix.state_dict().items()}
        return mix if self.head is None else mix | self.head.weights()

    def load_head(self, weights: dict[str, Tensor]) -> None:
        """Take up what `head_weights` gave."""
        mix = {name.removeprefix("mix."): t for name, t in weights.items() if name.startswith("mix.")}
        if mix:
            self.mix_layers()
            assert self.mix is not None
            self.mix.load_state_dict(mix)
        if self.head is not None:
            self.head.load({name: t for name, t in weights.items() if not name.startswith("mix.")})

    def _chosen(self, states: Tensor, rows: Rows) -> Tensor:
        """Those of the states `[B, T, D]` that are scored, in float32: what follows is small, and its
        rounding stays out of the loss."""
        hidden = states.flatten(0, 1)  # [B*T, D]
        if self.vectors is not None and self.mix is None:
            return self.vectors.pooled(hidden, torch.stack([rows.first, rows.last + 1], 1))
        if self.head is not None:
            reads = self.head.shape.reads
        else:
            reads = "last" if self.body.config.architecture == "decoder" else "mean"
            reads = "each" if self.writes else reads
        if reads == "mean" or (self.mix is not None and reads != "each"):
            return mean_of_pieces(hidden, rows)
        if reads == "each":
            return hidden[rows.heads].float()
        return hidden[rows.first if reads == "first" else rows.last].float()

    def _states(self, rows: Rows) -> Tensor:
        """Hidden states `[B, T, D]`; an encoder-decoder with a head reads every text on both of its sides."""
        body = self.body
        if body.encoder is None or body.decoder is None:
            types = rows.types if body.config.token_types > 1 else None
            states: Tensor = body(rows.ids, rows.segments, token_types=types)
            return states
        if rows.source is not None:
            source, segments, target = rows.source, rows.source_segments, rows.ids
        else:
            source, segments, target = rows.ids, rows.segments, rows.ids.roll(1, 1)
            target.view(-1)[rows.first] = self.decoder_start
        encoder_states = body.encode(source, segments)
        if rows.source is None and self.head is None:
            return encoder_states
        read: Tensor = body(target, rows.segments, encoder_states=encoder_states, encoder_segments=segments)
        return read

    def _states_of_layers(self, rows: Rows) -> list[Tensor]:
        """What each block of the upper stack reads, and what `_states` gives: `[B, T, D]` each."""
        read: list[Tensor] = []
        hooks = [
            block.register_forward_pre_hook(lambda _, given: read.append(given[0]))
            for block in self.top_stack.blocks
        ]
        try:
            last = self._states(rows)
        finally:
            for hook in hooks:
                hook.remove()
        return [*read, last]


def head_kind(config: TransformerConfig, task: TaskKind, reads_mean: bool = False) -> HeadKind:
    """The head of a model's family for a kind of task, a key of its `HEADS`.

    Args:
        reads_mean: where the family reads a text's scores from one token, the mean of all instead.

    Raises:
        HeadstartError: the family has no such head, or the model lacks the decoder that the head reads.
    """
    family, kind = config.family, KINDS[task].head
    heads = family_named(family).heads
    if config.architecture == "encoder" and family_named(family).fixed["architecture"] == "encoder-decoder":
        kind = "encoder-features" if kind == "features" else kind
        if kind not in heads or not heads[kind].encoder_alone:
            raise HeadstartError(
                f"this {family} model is an encoder without its decoder, which the head for {task} reads; "
                "take a folder with both"
            )
    if kind not in heads:
        raise HeadstartError(f"a {family} model has no head for {task}; take another family")
    if not reads_mean or kind != "classification" or heads[kind].reads == "mean":
        return kind
    if "mean-classification" not in heads:
        raise HeadstartError(f"a {family} model has no head that reads a mean; leave pooling out")
    return "mean-classification"


def mean_of_pieces(hidden: Tensor, rows: Rows) -> Tensor:
    """Mean of the hidden states `[B*T, D]` of every piece: `[pieces, D]`, in float32."""
    segments = rows.segments.flatten() + 1  # [B*T]; what lies outside of all pieces has 0
    sums = hidden.new_zeros(rows.pieces + 1, hidden.shape[1], dtype=torch.float32)
    sums = sums.index_add(0, segments, hidden.float())
    counts = torch.bincount(segments, minlength=rows.pieces + 1)
    return sums[1:] / counts[1:, None]
