"""Losses of trained models, token by token, with the document that each token stands in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.interchange.model_folder import load_model
from headstart.models.transformer import Transformer
from headstart.objectives.batch import generator, hidden_states, target_states
from headstart.objectives.masked import masked_batch
from headstart.objectives.vocabulary import Vocabulary, read_vocabulary
from headstart.tokenizer.folder import open_tokenizer

DOCUMENTS = 100
ROW = 128
AT_ONCE = 64


@dataclass(frozen=True)
class HeldOut:
    """Rows of held-out documents, each within one document."""

    ids: np.ndarray
    """`[N, T]`."""
    documents: np.ndarray
    """Which document a row is of: `[N]`, from 0."""
    vocabulary: Vocabulary

    def by_document(self, values: np.ndarray, rows: np.ndarray) -> list[float]:
        """The mean of `values`, each of a token in the row `rows`, for every document."""
        of = self.documents[rows]
        sums, counts = np.bincount(of, values), np.bincount(of)
        return [float(mean) for mean in sums / counts]


def heldout_rows(tokens: Path, length: int = ROW, each: int = 4, documents: int = DOCUMENTS) -> HeldOut:
    """The first `each` rows of `length` tokens of the first held-out documents that are long enough for
    one."""
    rows: list[np.ndarray] = []
    of: list[int] = []
    for file in sorted(tokens.glob("heldout-*.npy")):
        ids = np.load(file, mmap_mode="r")
        table = pq.read_table(file.with_suffix(".documents.parquet"), columns=["start", "tokens"])
        for row in table.to_pylist():
            found = min(each, row["tokens"] // length)
            if not found or (of and of[-1] + 1 >= documents):
                continue
            begin = row["start"]
            rows += [np.asarray(ids[begin + n * length : begin + (n + 1) * length]) for n in range(found)]
            of += [of[-1] + 1 if of else 0] * found
    vocabulary = read_vocabulary(open_tokenizer(tokens))
    return HeldOut(np.stack(rows).astype(np.int64), np.array(of), vocabulary)


def model_of(run: Path) -> Transformer:
    """The model of a finished run, in float32, at rest."""
    return load_model(run / "model").model.eval()


@torch.no_grad()
def causal_losses(model: Transformer, ids: np.ndarray) -> np.ndarray:
    """Nats of every token but the first of each row: `[N, T - 1]`."""
    found = []
    for start in range(0, len(ids), AT_ONCE):
        part = torch.from_numpy(ids[start : start + AT_ONCE])
        logits = model.logits(model(part[:, :-1])).float()
        found.append(_nats(logits, part[:, 1:]).numpy())
    return np.concatenate(found)


def causal_by_document(run: Path, heldout: HeldOut) -> list[float]:
    """Mean nats a token of every document."""
    losses = causal_losses(model_of(run), heldout.ids)  # [N, T - 1]
    rows = np.repeat(np.arange(len(losses)), losses.shape[1])
    return heldout.by_document(losses.reshape(-1), rows)


@dataclass(frozen=True)
class Hidden:
    """Masked tokens of held-out rows, the same for every model."""

    places: np.ndarray
    """Of the chosen tokens, in the flattened rows: `[M]`."""
    shown: np.ndarray
    """Whether the chosen token was left to be seen: `[M]`."""
    nats: np.ndarray
    """Of the token that stood there: `[M]`."""


@torch.no_grad()
def masked_losses(
    model: Transformer, heldout: HeldOut, rate: float, fates: tuple[float, float, float] = (1.0, 0.0, 0.0)
) -> Hidden:
    """Nats of hidden tokens; which ones are hidden depends on the rows alone, not on the model."""
    ids = heldout.ids
    batch = masked_batch(ids, np.zeros_like(ids), rate, heldout.vocabulary, generator(0, 0), fates=fates)
    found = []
    for part in batch.split(AT_ONCE):
        states = target_states(model, part, hidden_states(model, part))
        found.append(_nats(model.logits(states).float(), part.targets).numpy())
    places = batch.positions.numpy()
    shown = batch.ids.flatten().numpy()[places] == batch.targets.numpy()
    return Hidden(places, shown, np.concatenate(found))


def masked_by_document(
    run: Path, heldout: HeldOut, rate: float, fates: tuple[float, float, float] = (1.0, 0.0, 0.0)
) -> list[float]:
    """Mean nats of the hidden tokens of every document."""
    found = masked_losses(model_of(run), heldout, rate, fates)
    return heldout.by_document(found.nats, found.places // heldout.ids.shape[1])


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each target, in the shape of `targets`."""
    flat = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return flat.view(targets.shape)
