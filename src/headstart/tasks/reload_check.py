"""A batch with its outputs, kept in the model folder: it proves that what was loaded is what was trained.

The texts are always these, so that nothing of the training data is kept. They are read through the folder's
own tokenizer, so that another one shows as well as other weights do.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.interchange.model_folder import load_model
from headstart.interchange.weights import read_tensors
from headstart.tasks.card import task_card
from headstart.tasks.counted_words import CountedWords
from headstart.tasks.examples import Input
from headstart.tasks.kinds.packing import encode_texts, pack
from headstart.tasks.predictor import Predictor

FILE = "check.safetensors"
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "In 1789 it cost 12.50; “who knows?”, she said.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "天地玄黄，宇宙洪荒。 🙂",
)
TOLERANCE = 1e-3
"""Of the largest output; other machines add numbers up in another order."""


def keep(predictor: Predictor, out: Path) -> Predictor:
    """Write the model folder `out/model`, of LoRA `out/adapter` too, and read the model again from it.

    Raises:
        HeadstartError: what was read is not what was trained.
    """
    card = task_card(predictor)
    if predictor.changes and predictor.base is not None:
        predictor.save_adapter(out / "adapter", card)
    predictor.save(out / "model", card)
    write_check(out / "model", predictor)
    again = Predictor.of(load_model(out / "model", predictor.model.body.dtype))
    check(out / "model", again)
    return again


def kept_before(out: Path, dtype: torch.dtype) -> Predictor | None:
    """The model that `keep` wrote to `out/model`, where it got to its end and nothing has happened to it."""
    folder = out / "model"
    if not (folder / FILE).exists():
        return None
    try:
        predictor = Predictor.of(load_model(folder, dtype))
        check(folder, predictor)
    except HeadstartError:
        return None
    return predictor


def write_check(folder: Path, predictor: Predictor) -> None:
    """Keep the batch and what the model makes of it in its folder."""
    ids, outputs = _batch(predictor)
    counted = {} if predictor.counted is None else {"counted": _counted(predictor.counted)}
    with atomic(folder / FILE) as temporary:
        save_file({"ids": ids, "outputs": outputs} | counted, temporary)
        shutil.copymode(folder / "config.json", temporary)  # safetensors leaves files to their owner alone


def check(folder: Path, predictor: Predictor) -> float | None:
    """How far the outputs of a model, as a share of the largest, are from those kept in its folder; None
    where the folder has none.

    Raises:
        HeadstartError: another tokenizer, or other weights, than those that were trained.
    """
    if not (folder / FILE).exists():
        return None
    kept = dict(read_tensors([folder / FILE]))
    if not {"ids", "outputs"} <= set(kept):
        raise HeadstartError(f"{folder / FILE} holds no outputs of a model; it is damaged, so delete it")
    ids, outputs = _batch(predictor)
    if not torch.equal(ids, kept["ids"]):
        raise HeadstartError(
            f"{folder}: the tokenizer gives other tokens than the one that the model was fine-tuned with; "
            "put back the tokenizer.json that came with it"
        )
    share = _difference(outputs, kept["outputs"])
    if "counted" in kept or predictor.counted is not None:
        counted = None if predictor.counted is None else _counted(predictor.counted)
        share = max(share, _difference(counted, kept.get("counted")))
    if not share <= TOLERANCE:
        raise HeadstartError(
            f"{folder}: the model does not compute what it did when it was fine-tuned (its outputs differ by "
            f"{share:.2g} of the largest); the weights or config.json are not its own, so fine-tune it again"
        )
    return share


def _difference(found: Tensor | None, kept: Tensor | None) -> float:
    """The largest difference as a share of the largest value."""
    if found is None or kept is None or found.shape != kept.shape:
        return float("inf")
    return float((found - kept).abs().max()) / max(float(kept.abs().max()), 1e-12)


def _counted(counted: CountedWords) -> Tensor:
    """What counted words make of the texts, `[texts, labels]`; of tags of their words, `[words, labels]`, and
    of answers of every text that the one before asks of."""
    texts: Sequence[Input] = TEXTS
    if counted.sort == "words in their places":
        texts = [text.split() for text in TEXTS]
    elif counted.sort == "words of contexts":
        texts = list(pairwise(TEXTS))
    return torch.from_numpy(counted.scores(texts)).float().contiguous()


@torch.no_grad()
def _batch(predictor: Predictor) -> tuple[Tensor, Tensor]:
    """Token ids, one behind the other, and outputs in float32; of a model that writes those at the last
    tokens alone, for each is as long as the vocabulary."""
    model, tokenizer = predictor.model.eval(), predictor.tokenizer
    pieces = encode_texts(tokenizer, TEXTS, predictor.max_tokens)
    first = -1 if model.writes else 0
    pieces = [replace(piece, heads=np.arange(len(piece.ids))[first:]) for piece in pieces]
    computed = model.body.dtype
    model.body.dtype = torch.float32
    try:
        rows = pack(pieces, tokenizer.special.pad or 0).to(model.body.embedding.weight.device)
        outputs = model(rows).cpu()
    finally:
        model.body.dtype = computed
    return torch.from_numpy(np.concatenate([piece.ids for piece in pieces])), outputs.contiguous()
