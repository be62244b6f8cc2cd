"""One batch looked at closely: where attention goes, how the residual stream grows, what each token costs.

Everything is taken from the very forward pass that training makes; nothing in the model is changed for it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from headstart.folder import atomic, write_json
from headstart.models.observe import observed
from headstart.models.parts.watch import Watch
from headstart.models.transformer import Transformer
from headstart.models.vectors.elmo import UNKNOWN, ElmoLanguageModel, pack
from headstart.objectives.batch import Batch, hidden_states, loss_sum, to_device
from headstart.tokenizer.base import Tokenizer

# Rows of a batch that are looked at: maps take rows x layers x heads x tokens x tokens numbers.
ROWS = 2
# Likeliest answers that are kept of each prediction.
TOP = 5


class CaptureFacts(TypedDict, total=False):
    """What `capture.json` holds: of a Transformer ids, tokens and targets, of an ELMo words."""

    loss: float
    ids: list[list[int]]
    tokens: list[list[str]]
    targets: list[str]
    top: list[list[str]]
    """The likeliest tokens at each target."""
    source: list[list[str]]
    words: list[str]


@torch.no_grad()
def capture(model: Transformer, batch: Batch, tokenizer: Tokenizer, folder: Path) -> float:
    """Write `tensors.safetensors` and `capture.json` into a folder; returns the mean loss of the rows.

    Tensors: `attention.STACK.LAYER.self` and `.cross` `[B, H, T, S]`, `norm.STACK.LAYER` `[B, T]` the norm of
    the stream behind each block, `norm.STACK.embedding` before the first, `norm.STACK.LAYER.self` (`.cross`,
    `.feedforward`) of what each part writes into it; `loss` `[N]` in nats at `positions` `[N]` in the
    flattened rows, and the likeliest answers there, `top` `[N, 5]` with their log-probabilities
    `top_logprobs`.
    """
    batch = replace(batch.rows(0, min(ROWS, len(batch.ids))), pair_positions=None)
    batch = to_device(batch, next(model.parameters()).device)
    training = model.training
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):  # compiled blocks keep nothing for a watch
            watch = Watch()
            hidden = hidden_states(model, batch, watch)
            total = float(loss_sum(model, batch, hidden))
            seen = observed(model, hidden, watch, ("attention", "norms"))
            logits = model.logits(hidden.flatten(0, 1)[batch.positions]).float()  # [N, V]
    finally:
        model.train(training)
    top = logits.log_softmax(-1).topk(min(TOP, logits.shape[-1]))
    tensors = {f"attention.{name}": weights for name, weights in seen.attention.items()}
    tensors |= {f"norm.{name}": norms for name, norms in seen.norms.items()}
    tensors["loss"] = F.cross_entropy(logits, batch.targets, reduction="none")
    tensors |= {"positions": batch.positions, "top": top.indices, "top_logprobs": top.values}
    loss = total / max(len(batch.targets), 1)
    said = tokenizer.token_text
    facts: CaptureFacts = {
        "ids": batch.ids.tolist(),
        "tokens": [[said(token) for token in row] for row in batch.ids.tolist()],
        "targets": [said(token) for token in batch.targets.tolist()],
        "top": [[said(token) for token in row] for row in top.indices.tolist()],
        "loss": loss,
    }
    if batch.source is not None:
        facts["source"] = [[said(token) for token in row] for row in batch.source.tolist()]
    _write(folder, tensors, facts)
    return loss


@torch.no_grad()
def capture_elmo(model: ElmoLanguageModel, batch: Sequence[Sequence[str]], folder: Path) -> float:
    """Write the same two files for some sentences of an ELMo; returns the mean loss of the whole softmax.

    Tensors, of the S words of all sentences with their boundaries: `sentence` and `place` `[S]`,
    `forward.N` and `backward.N` `[S]` the norm of the state of layer N at each word, `loss` `[2, S]` in nats
    of what each direction predicts there, the word that it reads next; NaN where the sentence ends.
    """
    packed = pack(batch[:ROWS])
    directions = model.elmo.directions(packed)
    numbers = torch.tensor([model.number.get(word, model.number[UNKNOWN]) for word in packed.words])
    words = numbers[packed.types]  # [S]
    tensors: dict[str, Tensor] = {"sentence": packed.sentence, "place": packed.place}
    losses = []
    for name, layers, order in zip(
        ("forward", "backward"), directions, (torch.arange(len(words)), packed.reverse), strict=True
    ):
        loss = torch.full((len(words),), torch.nan)
        scores = model.softmax(layers[-1][packed.inside])  # [N, V]
        loss[packed.inside] = F.cross_entropy(scores, words[order][packed.following], reduction="none")
        losses.append(loss[order])
        tensors |= {f"{name}.{number}": x.norm(dim=-1)[order] for number, x in enumerate(layers)}
    tensors["loss"] = torch.stack(losses)
    mean = float(tensors["loss"].nanmean())
    read = [packed.words[number] for number in packed.types.tolist()]
    _write(folder, tensors, {"words": read, "loss": mean})
    return mean


def _write(folder: Path, tensors: dict[str, Tensor], facts: CaptureFacts) -> None:
    with atomic(folder) as made:
        made.mkdir(parents=True)
        save_file(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
            made / "tensors.safetensors",
        )
        write_json(made / "capture.json", facts)
