"""What the Meaning view sees: the vector of a word in each of its sentences, behind each layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.models.observe import observe
from headstart.studio.frames import Looked


def vectors(loaded: LoadedModel, sentences: Sequence[tuple[str, int, int]]) -> Looked:
    """The word's vector in each sentence: the mean over its tokens.

    Args:
        sentences: a text and the characters of the word in it.

    Returns:
        `vectors` `[L + 1, N, D]`: first the rows of the embedding, without places, then the stream behind
        each layer (of an encoder-decoder its encoder's); `kept` the sentences that the model can read.
    """
    config = loaded.model.config
    kept, found = [], []
    for number, (text, start, end) in enumerate(sentences):
        one = _vectors(loaded, text, start, end)
        if one is not None:
            kept.append(number)
            found.append(one)
    if not found:
        raise HeadstartError(
            f"no sentence has the word within the {config.context} tokens that this model reads; take others"
        )
    stacked = torch.stack(found, 1).float()  # [L + 1, N, D]
    return Looked({"kept": kept, "left_only": config.architecture == "decoder"}, {"vectors": stacked.numpy()})


def _vectors(loaded: LoadedModel, text: str, start: int, end: int) -> Tensor | None:
    model, tokenizer = loaded.model, loaded.tokenizer
    ids, spans = tokenizer.encode_spans(text)
    framed, _ = tokenizer.with_special(list(ids))
    before = [place.content for place in tokenizer.template.single].index("A")
    places = [n + before for n, (first, last) in enumerate(spans) if first < end and last > start]
    if not places or len(framed) > model.config.context:
        return None
    rows = torch.tensor([framed])
    stack = "decoder" if model.config.architecture == "decoder" else "encoder"
    layers = model.config.encoder_layers or model.config.layers
    source = rows if model.config.architecture == "encoder-decoder" else None
    seen = observe(model, rows[:, :1] if source is not None else rows, source, ("states",))
    states = [seen.states[f"{stack}.{layer}"][0, places].mean(0) for layer in range(layers)]
    return torch.stack([model.embedding(rows[0, places]).mean(0), *states])
