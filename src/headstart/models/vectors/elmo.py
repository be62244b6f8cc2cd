"""ELMo (Peters et al. 2018): word vectors that depend on the sentence, from LSTM language models.

The way of a word: its bytes, a convolution over them, highway layers, a projection; then one stack of LSTMs
that reads the sentence forwards and one that reads it backwards, each predicting the next word it will see.
A task mixes the three layers (`ScalarMix`). Sizes and options have the names of AllenNLP's `options.json`.

Sentences are not padded: a batch is packed as torch's `PackedSequence` is, all first words, then all second
words, and so on, with the longest sentences first. S counts the words of all sentences and their boundaries.

Weights, for F filters, C LSTM cells, P projected width and V words of the softmax:

    encoder.characters.weight        [262, 16]
    encoder.convolutions.K.weight    [filters, 16, width], and .bias
    encoder.highways.K.weight        [2 F, F], and .bias: the transform above the gate
    encoder.projection.weight        [P, F], and .bias
    forwards.L.input, .recurrent     [4 C, P]: input gate, forget gate, candidate, output gate
    forwards.L.bias, .projection     [4 C], [P, C]; backwards.L likewise
    softmax.weight                   [V, P], and .bias: not part of the published sizes
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from headstart.errors import HeadstartError, nearest
from headstart.folder import JSONObject, atomic, read_json, read_manifest, write_json, write_manifest
from headstart.models.vectors.word_vectors import read_vocabulary, write_vocabulary

KIND, VERSION = "elmo model", 1

# The 262 symbols: 0 pads a sentence (never read here), then the 256 bytes and five marks, each plus one.
START_OF_SENTENCE, END_OF_SENTENCE, START_OF_WORD, END_OF_WORD, PADDING = 257, 258, 259, 260, 261
SYMBOLS = 262
BEGIN, END, UNKNOWN = "<S>", "</S>", "<UNK>"
MOST_CHARACTERS = 50  # start and end mark included

LOGITS_AT_ONCE = 2**23  # of the softmax: 32 MB


@dataclass(frozen=True)
class CharacterOptions:
    """The character encoder."""

    filters: tuple[tuple[int, int], ...]
    """Width and number of each kind of filter."""
    n_highway: int
    embedding_dim: int = 16


@dataclass(frozen=True)
class LstmOptions:
    """The two stacks of LSTMs."""

    dim: int
    projection_dim: int
    n_layers: int = 2
    cell_clip: float = 3.0
    proj_clip: float = 3.0
    use_skip_connections: bool = True


@dataclass(frozen=True)
class ElmoOptions:
    """Everything that shapes the model."""

    char_cnn: CharacterOptions
    lstm: LstmOptions

    def to_json(self) -> JSONObject:
        """As AllenNLP's `options.json` has it."""
        characters = {
            "activation": "relu",
            "embedding": {"dim": self.char_cnn.embedding_dim},
            "filters": [list(pair) for pair in self.char_cnn.filters],
            "max_characters_per_token": MOST_CHARACTERS,
            "n_characters": SYMBOLS,
            "n_highway": self.char_cnn.n_highway,
        }
        return {"char_cnn": characters, "lstm": asdict(self.lstm)}

    @classmethod
    def from_json(cls, fields: JSONObject) -> "ElmoOptions":
        """Read an `options.json`; one that this model cannot follow is a `HeadstartError`."""
        try:
            characters, lstm = fields["char_cnn"], fields["lstm"]
            fixed = {
                "activation": "relu",
                "max_characters_per_token": MOST_CHARACTERS,
                "n_characters": SYMBOLS,
            }
            for name, value in fixed.items():
                if characters[name] != value:
                    raise HeadstartError(
                        f"ELMo's char_cnn.{name} is {characters[name]!r}; only {value!r} is known"
                    )
            filters = tuple((int(width), int(count)) for width, count in characters["filters"])
            return cls(
                CharacterOptions(filters, characters["n_highway"], characters["embedding"]["dim"]),
                LstmOptions(**lstm),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HeadstartError(f"ELMo's options lack or misspell a field: {error}") from None


_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))

# AllenNLP's released models (original, medium, small: 93.6, 28.0 and 13.6 million parameters) and one for a
# laptop.
PRESETS = {
    "original": ElmoOptions(CharacterOptions(_FILTERS, 2), LstmOptions(4096, 512)),
    "medium": ElmoOptions(CharacterOptions(_FILTERS, 1), LstmOptions(2048, 256)),
    "small": ElmoOptions(CharacterOptions(_FILTERS, 1), LstmOptions(1024, 128)),
    "laptop": ElmoOptions(
        CharacterOptions(((1, 16), (2, 32), (3, 64), (4, 64), (5, 64)), 1), LstmOptions(512, 128)
    ),
}


def preset(name: str) -> ElmoOptions:
    """The sizes of a published model, or of `laptop`; an unknown name is a `HeadstartError`."""
    if name not in PRESETS:
        raise HeadstartError(f"there is no ELMo preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]


def character_ids(words: Sequence[str], widest: int) -> np.ndarray:
    """The symbols of each word, `[U, L]`: start mark, UTF-8 bytes (at most 48), end mark, padding.

    Padding ends one filter width behind the longest word: what follows up to 50 would show the convolutions
    only windows that are all padding, and one of those is there already.

    Args:
        widest: width of the widest filter.
    """
    marks = {BEGIN: [START_OF_SENTENCE], END: [END_OF_SENTENCE]}
    symbols = [
        marks.get(word) or [byte + 1 for byte in word.encode("utf-8", "replace")[: MOST_CHARACTERS - 2]]
        for word in words
    ]
    longest = max((len(row) for row in symbols), default=0) + 2
    ids = np.full((len(words), min(MOST_CHARACTERS, longest + widest)), PADDING, np.int64)
    for place, row in enumerate(symbols):
        ids[place, : len(row) + 2] = [START_OF_WORD, *row, END_OF_WORD]
    return ids


@dataclass(frozen=True)
class Packed:
    """Sentences with their boundaries, packed: first all first words, then all second words, and so on."""

    words: list[str]
    """The U different words of the batch."""
    types: Tensor
    """Which of `words` stands in each row, `[S]`."""
    sizes: list[int]
    """How many sentences have a word t, for each t: it only falls."""
    reverse: Tensor
    """Row of the word at the same distance from the sentence's other end, `[S]`; its own inverse."""
    inside: Tensor
    """Rows that another word follows, `[N]`."""
    following: Tensor
    """The rows of those words, `[N]`."""
    sentence: Tensor
    """The sentence of each row, by its number in the batch, `[S]`."""
    place: Tensor
    """The place of each row in its sentence, boundary included, `[S]`."""


def pack(sentences: Sequence[Sequence[str]]) -> Packed:
    """Pack a batch of sentences; `<S>` and `</S>` are put around each."""
    lengths = np.array([len(sentence) + 2 for sentence in sentences])
    order = np.argsort(-lengths, kind="stable")
    lengths = lengths[order]
    steps = np.arange(lengths[0])
    sizes = (lengths[None, :] > steps[:, None]).sum(1)
    offsets = np.cumsum(sizes) - sizes
    place = np.repeat(steps, sizes)  # [S]
    row = np.arange(len(place)) - offsets[place]  # [S] rank of the sentence
    left = lengths[row] - 1 - place  # [S] words that follow
    inside = np.flatnonzero(left > 0)
    numbers: dict[str, int] = {}
    types = np.empty(len(place), np.int64)
    for rank, number in enumerate(order):
        sentence = [BEGIN, *sentences[number], END]
        types[offsets[: len(sentence)] + rank] = [numbers.setdefault(word, len(numbers)) for word in sentence]
    tensors = (offsets[left] + row, inside, offsets[place[inside] + 1] + row[inside], order[row], place)
    return Packed(list(numbers), torch.from_numpy(types), sizes.tolist(), *map(torch.from_numpy, tensors))


class CharacterEncoder(nn.Module):
    """A word's vector from its characters: convolutions, their maximum, highway layers, a projection."""

    def __init__(self, options: CharacterOptions, width: int) -> None:
        super().__init__()
        filters = sum(count for _, count in options.filters)
        self.widest = max(size for size, _ in options.filters)
        self.characters = nn.Embedding(SYMBOLS, options.embedding_dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(options.embedding_dim, count, size) for size, count in options.filters
        )
        self.highways = nn.ModuleList(nn.Linear(filters, 2 * filters) for _ in range(options.n_highway))
        self.projection = nn.Linear(filters, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors `[U, P]` of words given as symbols `[U, L]`."""
        symbols = self.characters(ids).transpose(1, 2)  # [U, 16, L]
        found = [F.relu(convolution(symbols).amax(-1)) for convolution in self.convolutions]
        x = torch.cat(found, -1)  # [U, F]
        for highway in self.highways:  # Srivastava et al. 2015
            transform, gate = highway(x).chunk(2, -1)
            x = torch.lerp(x, F.relu(transform), torch.sigmoid(gate))
        projected: Tensor = self.projection(x)
        return projected


class _ClippedLstm(torch.autograd.Function):
    """An LSTM with projection over packed rows, cells and outputs clipped; with its own backward pass.

    torch.nn.LSTM has the projection but not the clipping. Step by step through autograd, every step would add
    a gradient of the size of the weights; here the weights' gradients are one product each over all rows at
    the end.
    """

    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        recurrent: Tensor,
        projection: Tensor,
        sizes: list[int],
        cell_clip: float,
        clip: float,
    ) -> Tensor:
        """Outputs `[S, P]` from `gates` `[S, 4 C]`, the part that comes from the inputs, bias included."""
        gates = gates.clone()
        cells = gates.new_empty(len(gates), projection.shape[1])
        outputs = gates.new_empty(len(gates), len(projection))
        start = previous = 0
        for size in sizes:
            rows, before = slice(start, start + size), slice(previous, previous + size)
            if start:
                gates[rows].addmm_(outputs[before], recurrent.t())
            i, f, g, o = gates[rows].chunk(4, -1)  # [b, C] each
            gates[rows, : 2 * i.shape[1]].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            cell = torch.mul(i, g, out=cells[rows])
            if start:
                cell.addcmul_(f, cells[before])
            cell.clamp_(-cell_clip, cell_clip)
            torch.mm(cell.tanh().mul_(o), projection.t(), out=outputs[rows]).clamp_(-clip, clip)
            previous, start = start, start + size
        ctx.save_for_backward(gates, cells, outputs, recurrent, projection)
        ctx.sizes, ctx.cell_clip, ctx.clip = sizes, cell_clip, clip
        return outputs

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gates, cells, outputs, recurrent, projection = ctx.saved_tensors
        d_outputs = upstream[0].masked_fill(outputs.abs() >= ctx.clip, 0)  # [S, P]; more is added below
        d_gates = torch.empty_like(gates)
        squashed = cells.tanh()  # [S, C]
        starts = np.cumsum([0, *ctx.sizes])
        d_cells = torch.zeros_like(cells)
        for t in reversed(range(len(ctx.sizes))):
            rows = slice(starts[t], starts[t + 1])
            i, f, g, o = gates[rows].chunk(4, -1)
            d_i, d_f, d_g, d_o = d_gates[rows].chunk(4, -1)
            d_exposed = d_outputs[rows] @ projection  # [b, C]
            d_cell = d_cells[rows]
            d_cell += d_exposed * o * (1 - squashed[rows].square())
            d_cell.masked_fill_(cells[rows].abs() >= ctx.cell_clip, 0)
            torch.mul(d_exposed, squashed[rows], out=d_o).mul_(o).mul_(1 - o)
            torch.mul(d_cell, g, out=d_i).mul_(i).mul_(1 - i)
            torch.mul(d_cell, i, out=d_g).mul_(1 - g.square())
            if t == 0:
                d_f.zero_()
                continue
            before = slice(starts[t - 1], starts[t - 1] + ctx.sizes[t])
            torch.mul(d_cell, cells[before], out=d_f).mul_(f).mul_(1 - f)
            torch.mul(d_cell, f, out=d_cells[before])
            through = d_gates[rows] @ recurrent
            d_outputs[before] += through.masked_fill_(outputs[before].abs() >= ctx.clip, 0)
        first = ctx.sizes[0]
        earlier = np.arange(first, len(gates)) - np.repeat(ctx.sizes[:-1], ctx.sizes[1:])
        d_recurrent = d_gates[first:].t() @ outputs[torch.from_numpy(earlier)]
        d_projection = d_outputs.t() @ squashed.mul_(gates[:, -cells.shape[1] :])
        return d_gates, d_recurrent, d_projection, None, None, None


class ProjectedLstm(nn.Module):
    """One LSTM layer in one direction: C cells, of which P mixtures are passed on (Sak et al. 2014)."""

    def __init__(self, options: LstmOptions) -> None:
        super().__init__()
        cells, width = options.dim, options.projection_dim
        self.options = options
        self.input = nn.Parameter(torch.empty(4 * cells, width))
        self.recurrent = nn.Parameter(torch.empty(4 * cells, width))
        self.bias = nn.Parameter(torch.empty(4 * cells))
        self.projection = nn.Parameter(torch.empty(width, cells))

    def forward(self, x: Tensor, sizes: list[int]) -> Tensor:
        """Outputs `[S, P]` for packed inputs `[S, P]`."""
        gates = F.linear(x, self.input, self.bias)  # [S, 4 C], all steps at once
        clips = self.options.cell_clip, self.options.proj_clip
        states: Tensor = _ClippedLstm.apply(  # type: ignore[no-untyped-call]
            gates, self.recurrent, self.projection, sizes, *clips
        )
        return states


class Elmo(nn.Module):
    """The model without the softmax it was trained with: words in, three layers of vectors out."""

    def __init__(self, options: ElmoOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = CharacterEncoder(options.char_cnn, options.lstm.projection_dim)
        self.forwards = nn.ModuleList(ProjectedLstm(options.lstm) for _ in range(options.lstm.n_layers))
        self.backwards = nn.ModuleList(ProjectedLstm(options.lstm) for _ in range(options.lstm.n_layers))

    def directions(self, packed: Packed, dropout: float = 0.0) -> tuple[list[Tensor], list[Tensor]]:
        """Every layer of both directions, `[S, P]` each, word vectors first.

        The backward direction's rows run backwards: row r holds the state at the word in row
        `packed.reverse[r]`. Dropout falls on what goes into an LSTM, and so on what is carried past it.
        """
        ids = character_ids(packed.words, self.encoder.widest)
        words = self.encoder(torch.from_numpy(ids).to(packed.types.device))[packed.types]  # [S, P]
        found = []
        for x, stack in ((words, self.forwards), (words[packed.reverse], self.backwards)):
            layers = [x]
            for depth, lstm in enumerate(stack):
                x = F.dropout(x, dropout) if dropout else x
                y = lstm(x, packed.sizes)
                x = x + y if depth and self.options.lstm.use_skip_connections else y
                layers.append(x)
            found.append(layers)
        return found[0], found[1]

    def forward(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Vectors `[layers + 1, B, T, 2 P]`, the forward direction first, and which are words, `[B, T]`.

        Layer 0 is the character encoder's vector, twice. Places behind a sentence's end are zero.
        """
        if not sentences:
            raise HeadstartError("ELMo was given no sentences")
        packed = pack(sentences)
        forward, backward = self.directions(packed)
        layers = torch.stack(
            [torch.cat([f, b[packed.reverse]], -1) for f, b in zip(forward, backward, strict=True)]
        )  # [layers + 1, S, 2 P]
        longest = max(len(sentence) for sentence in sentences)
        lengths = torch.tensor([len(sentence) for sentence in sentences])
        mask = torch.arange(longest) < lengths[:, None]  # [B, T]
        sentence, place = packed.sentence, packed.place - 1
        words = (place >= 0) & (place < lengths[sentence])
        vectors = layers.new_zeros(len(layers), len(sentences), longest, layers.shape[-1])
        vectors[:, sentence[words], place[words]] = layers[:, words]
        return vectors, mask


class ScalarMix(nn.Module):
    """A task's own mixture of the layers: gamma times their softmax-weighted mean (equation 1).

    Args:
        layers: how many there are.
        layer_norm: bring every layer to mean 0 and variance 1 over all words of the batch first.
    """

    def __init__(self, layers: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.layer_norm = layer_norm

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:
        """`[B, T, D]` from `[layers, B, T, D]`; `mask` `[B, T]` says which places are words."""
        if self.layer_norm:
            words = layers[:, mask]  # [layers, N, D]
            variance, mean = torch.var_mean(words, (1, 2), correction=0, keepdim=True)
            normed = torch.zeros_like(layers)
            normed[:, mask] = (words - mean) / torch.sqrt(variance + 1e-12)
            layers = normed
        return self.gamma * torch.einsum("l,lbtd->btd", self.weights.softmax(0), layers)


class _CrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of a linear layer's scores, a few rows at a time; the gradients come along."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, learning: bool
    ) -> Tensor:
        """Nats, from `hidden` `[N, P]`, `weight` `[V, P]`, `bias` `[V]`, `targets` `[N]`."""
        total = hidden.new_zeros((), dtype=torch.float64)
        gradients = [torch.zeros_like(tensor) for tensor in (hidden, weight, bias)] if learning else []
        at_once = max(1, LOGITS_AT_ONCE // len(weight))
        for first in range(0, len(hidden), at_once):
            rows = slice(first, first + at_once)
            scores = torch.addmm(bias, hidden[rows], weight.t())  # [n, V]
            score = scores.gather(1, targets[rows, None])
            norm = scores.logsumexp(1, keepdim=True)
            total += (norm - score).sum(dtype=torch.float64)
            if learning:
                scores.sub_(norm).exp_()
                scores.scatter_add_(1, targets[rows, None], -torch.ones_like(score))
                torch.mm(scores, weight, out=gradients[0][rows])
                gradients[1].addmm_(scores.t(), hidden[rows])
                gradients[2] += scores.sum(0)
        ctx.save_for_backward(*gradients)
        return total.to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * upstream[0] for gradient in ctx.saved_tensors), None, None


class ElmoLanguageModel(nn.Module):
    """ELMo with the softmax over words that both directions share.

    Args:
        vocabulary: words and how often each occurs; `<UNK>` must be one of them.
    """

    def __init__(self, options: ElmoOptions, vocabulary: dict[str, int]) -> None:
        super().__init__()
        self.elmo = Elmo(options)
        self.softmax = nn.Linear(options.lstm.projection_dim, len(vocabulary))
        self.vocabulary = vocabulary
        self.number = {word: number for number, word in enumerate(vocabulary)}
        counts = np.array(list(vocabulary.values()), np.float64)
        self.shares = counts / counts.sum()

    def loss_sum(
        self,
        packed: Packed,
        dropout: float = 0.0,
        samples: int = 0,
        random: np.random.Generator | None = None,
    ) -> tuple[Tensor, int]:
        """Nats over the next words of both directions, and how many words were predicted.

        Args:
            dropout: on the inputs of the LSTMs and of the softmax.
            samples: score the batch's words and that many drawn ones instead of the whole vocabulary; 0:
            the whole.
        """
        forward, backward = self.elmo.directions(packed, dropout)
        unknown = self.number[UNKNOWN]
        numbers = torch.tensor([self.number.get(word, unknown) for word in packed.words])[packed.types]  # [S]
        hidden = torch.cat([forward[-1][packed.inside], backward[-1][packed.inside]])  # [N, P]
        hidden = F.dropout(hidden, dropout) if dropout else hidden
        targets = torch.cat([numbers[packed.following], numbers[packed.reverse][packed.following]])  # [N]
        weight: Tensor = self.softmax.weight
        bias: Tensor = self.softmax.bias
        if samples and random is not None:
            candidates, correction = self._candidates(targets, samples, random)
            weight, bias = weight[candidates], bias[candidates] + correction
            targets = torch.searchsorted(candidates, targets)
        total: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, torch.is_grad_enabled()
        )
        return total, len(targets)

    def _candidates(
        self, targets: Tensor, samples: int, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Words to score, ascending, and minus the logarithm of the chance that each had to be among them.

        Sampled softmax (Jean et al. 2015; the published model drew 8192): the batch's own words and
        `samples` more are all draws by frequency, so a word of share p is there with chance 1 - (1 - p)^n.
        """
        drawn = np.searchsorted(np.cumsum(self.shares), random.random(samples) * (1 - 1e-12))
        candidates = np.union1d(drawn, targets.numpy())
        chance = -np.expm1((samples + len(targets)) * np.log1p(-self.shares[candidates]))
        return torch.from_numpy(candidates), torch.from_numpy(-np.log(chance)).float()

    def save(self, folder: Path) -> None:
        """Write the options, the weights, `vocabulary.txt` (a word and its count a line) and the manifest."""
        with atomic(folder) as temporary:
            temporary.mkdir(parents=True)
            write_json(temporary / "options.json", self.elmo.options.to_json())
            save_file(_published(self.state_dict()), temporary / "model.safetensors")
            write_vocabulary(temporary / "vocabulary.txt", self.vocabulary)
            write_manifest(temporary, KIND, VERSION, {"parameters": parameters(self.elmo)})

    @classmethod
    def load(cls, folder: Path) -> "ElmoLanguageModel":
        """Read a folder that `save` wrote."""
        read_manifest(folder, KIND, VERSION)
        options = ElmoOptions.from_json(read_json(folder / "options.json", JSONObject))
        model = cls(options, read_vocabulary(folder / "vocabulary.txt"))
        try:
            tensors = load_file(folder / "model.safetensors")
            model.load_state_dict({_inner(name): tensor for name, tensor in tensors.items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise HeadstartError(
                f"{folder / 'model.safetensors'} does not hold this model's weights: {reason}"
            ) from None
        return model


def _published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of this module's documentation."""
    return {name.removeprefix("elmo."): tensor.contiguous() for name, tensor in state.items()}


def _inner(name: str) -> str:
    return name if name.startswith("softmax.") else f"elmo.{name}"


def load_elmo(folder: Path) -> Elmo:
    """The model of a folder, without its softmax, in evaluation mode."""
    return ElmoLanguageModel.load(folder).elmo.eval()


def parameters(model: nn.Module) -> int:
    """The number of weights; the published figures count `Elmo`, without the softmax."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def build(options: ElmoOptions, vocabulary: dict[str, int], seed: int) -> ElmoLanguageModel:
    """A language model with random weights, drawn as for the published ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ElmoLanguageModel(options, vocabulary)
        for part in model.modules():
            if isinstance(part, nn.Embedding):
                nn.init.uniform_(part.weight, -1, 1)
            elif isinstance(part, nn.Conv1d):
                nn.init.uniform_(part.weight, -0.05, 0.05)
                nn.init.zeros_(part.get_parameter("bias"))
            elif isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=part.in_features**-0.5)
                nn.init.zeros_(part.bias)
            elif isinstance(part, ProjectedLstm):
                for weight in (part.input, part.recurrent, part.projection):
                    nn.init.xavier_uniform_(weight)
                nn.init.zeros_(part.bias)
                part.bias[options.lstm.dim : 2 * options.lstm.dim] = 1.0  # remember, to begin with
        for highway in model.elmo.encoder.highways:
            _, gate = highway.get_parameter("bias").chunk(2)
            gate.fill_(-2.0)  # let the word pass as it is, to begin with
    return model
