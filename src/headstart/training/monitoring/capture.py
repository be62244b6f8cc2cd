"""One batch looked at closely: where attention goes, how the residual stream grows, what each token costs.

Everything is taken from the very forward pass that training makes; nothing in the model is changed for it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.folder import atomic, write_json
from headstart.models.parts import attention
from headstart.models.transformer import Block, Transformer
from headstart.models.vectors.elmo import UNKNOWN, ElmoLanguageModel, pack
from headstart.objectives.batch import Batch, loss_sum, to_device
from headstart.tokenizer.base import Tokenizer

# Rows of a batch that are looked at: maps take rows x layers x heads x tokens x tokens numbers.
ROWS = 2


@torch.no_grad()
def capture(model: Transformer, batch: Batch, tokenizer: Tokenizer, folder: Path) -> float:
    """Write `tensors.safetensors` and `capture.json` into a folder; returns the mean loss of the rows.

    Tensors: `attention.N` `[B, H, T, S]` of each attention in the order in which they are computed (in a
    decoder with an encoder self-attention and cross-attention take turns), `residual.NAME` `[B, T]` the norm
    of the stream behind each block, `loss` `[N]` in nats and `positions` `[N]` in the flattened rows.
    """
    batch = replace(batch.rows(0, min(ROWS, len(batch.ids))), pair_positions=None)
    batch = to_device(batch, next(model.parameters()).device)
    training = model.training
    model.eval()
    tensors: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(_residual(name, tensors))
        for name, module in model.named_modules()
        if isinstance(module, Block)
    ]
    states: list[Tensor] = []
    handles.append(model.register_forward_hook(lambda module, given, out: states.append(out)))
    try:
        with _attention(tensors):
            total = float(loss_sum(model, batch))
        logits = model.logits(states[-1].flatten(0, 1)[batch.positions]).float()  # [N, V]
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    tensors["loss"] = F.cross_entropy(logits, batch.targets, reduction="none")
    tensors["positions"] = batch.positions
    loss = total / max(len(batch.targets), 1)
    facts: dict[str, Any] = {
        "ids": batch.ids.tolist(),
        "tokens": [[tokenizer.token_text(token) for token in row] for row in batch.ids.tolist()],
        "targets": [tokenizer.token_text(token) for token in batch.targets.tolist()],
        "loss": loss,
    }
    if batch.source is not None:
        facts["source"] = [[tokenizer.token_text(token) for token in row] for row in batch.source.tolist()]
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
    facts = {"words": [packed.words[number] for number in packed.types.tolist()]}
    _write(folder, tensors, facts | {"loss": float(tensors["loss"].nanmean())})
    return float(tensors["loss"].nanmean())


def _write(folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    with atomic(folder) as made:
        made.mkdir(parents=True)
        save_file(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
            made / "tensors.safetensors",
        )
        write_json(made / "capture.json", facts)


def _residual(name: str, tensors: dict[str, Tensor]) -> Any:
    def note(module: nn.Module, given: Any, out: Tensor) -> None:
        tensors[f"residual.{name}"] = out.float().norm(dim=-1)

    return note


@contextmanager
def _attention(tensors: dict[str, Tensor]) -> Iterator[None]:
    """Note the weights of every attention; what it computes stays what it is.

    Documents stand behind a mask for it, for the kernel that lays them end to end has no weights to show.
    """
    attend, kernel = attention.attend, attention.DOCUMENT_KERNEL

    def noted(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any) -> Tensor:
        # The weights are what attention makes of the unit vectors of the places looked at.
        batch, heads, length = key.shape[:3]
        unit = torch.eye(length, dtype=value.dtype).to(value.device).expand(batch, heads, length, length)
        tensors[f"attention.{sum(name.startswith('attention') for name in tensors)}"] = attend(
            query, key, unit, *rest, **named
        ).float()
        return attend(query, key, value, *rest, **named)

    attention.attend, attention.DOCUMENT_KERNEL = noted, None
    try:
        yield
    finally:
        attention.attend, attention.DOCUMENT_KERNEL = attend, kernel
