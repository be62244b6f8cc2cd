"""What the Generation view sees: the next token's logits, where heads look, what each layer would say."""

import hashlib
import math
from collections.abc import Sequence
from random import Random
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.sampling import constrain
from headstart.generation.text import generate, opened
from headstart.interchange.model_folder import LoadedModel
from headstart.models.config import TransformerConfig
from headstart.models.observe import Observation, observe
from headstart.models.parameters import cache_bytes
from headstart.studio.frames import Looked, quantised

GUESSES = 5  # of each layer
MAPS = 64_000_000  # bytes of attention that one answer may have
NO_END = 10**9  # tokens: a text in the making has no last one
DRAWS = 512  # uniform numbers of a seed that are sent


def model_facts(loaded: LoadedModel, seed: int = 0) -> Looked:
    """What a view has to know of a model before it asks anything: sizes, vocabulary, defaults, ids."""
    model, config, tokenizer = loaded.model, loaded.model.config, loaded.tokenizer
    writes = config.architecture != "encoder"
    defaults = GenerationConfig.of(loaded) if writes else GenerationConfig()
    ids = ModelIds.of(loaded)
    random = Random(seed)
    return Looked(
        {
            "family": config.family,
            "architecture": config.architecture,
            "head": loaded.head,
            "layers": config.layers,
            "heads": config.heads,
            "kv_heads": config.kv_heads,
            "head_width": config.head_width,
            "width": config.width,
            "feedforward_width": config.feedforward_width,
            "context": config.context,
            "position": config.position,
            "vocab_size": config.vocab_size,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "cache_bytes_per_token": _cache_bytes_per_token(config),
            "tokenizer_sha256": tokenizer.sha256,
            "weights_sha256": _digest(loaded),
            "vocabulary": [tokenizer.token_text(index) for index in range(tokenizer.vocab_size)],
            "stop": sorted(ids.stop),
            "start": ids.decoder_start
            if config.architecture == "encoder-decoder"
            else tokenizer.special.start,
            "defaults": {
                name: getattr(defaults, name)
                for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
            },
        },
        {"uniforms": np.array([random.random() for _ in range(DRAWS)])},
    )


def _digest(loaded: LoadedModel) -> str:
    """The first digits of the weights' SHA-256, tensor by tensor in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(loaded.model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _cache_bytes_per_token(config: TransformerConfig) -> int:
    """Keys and values of a token in float32, as this process holds them."""
    return int(cache_bytes(config, 1, bytes_each=4)) if config.architecture != "encoder" else 0


def tokenize(loaded: LoadedModel, text: str) -> Looked:
    """The ids of a prompt as `generate` reads it, and what each is."""
    tokenizer, writes = loaded.tokenizer, loaded.model.config.architecture == "decoder"
    plain = tokenizer.encode(text)
    ids = opened(tokenizer, plain) if writes else tokenizer.with_special(plain)[0]
    return Looked({"ids": ids, "texts": [tokenizer.token_text(index) for index in ids]}, {})


def trace(
    loaded: LoadedModel,
    ids: Sequence[int],
    prompt: int,
    source: Sequence[int] | None = None,
    repetition_penalty: float = 1.0,
) -> Looked:
    """One forward pass over ids: what comes next, and how it came about.

    Args:
        ids: what the model has read; in an encoder-decoder what its decoder has.
        prompt: how many of them were given rather than written.
        source: what an encoder-decoder answers.
        repetition_penalty: as in `GenerationConfig`.

    Returns:
        `logits` `[V]` of the next token and `constrained` `[V]`, without what may not come; `attention`
        `[L, H, T, T]` and `cross` `[L, H, T, S]` in 255ths; `lens` `[L + 1, 5]` ids and `lens_probability`;
        `surprise` `[T]` bits of each token given those before (of the first: 0); `norms` `[L + 1, T]` of the
        stream, and `attention_norms`, `feedforward_norms` `[L, T]` of what the parts write.
    """
    model = loaded.model
    seen = _observed(loaded, ids, source)
    logits = model.logits(seen.hidden[0]).float()  # [T, V]
    config = GenerationConfig.of(loaded, repetition_penalty=repetition_penalty)
    allowed = constrain(
        logits[-1:], [list(ids[:prompt])], [list(ids[prompt:])], config, ModelIds.of(loaded), NO_END
    )
    chances = logits.log_softmax(-1)
    bits = [0.0] + [-float(chances[t, index]) / math.log(2) for t, index in enumerate(ids[1:])]
    layers = model.config.layers
    lens = torch.cat([seen.lens[f"decoder.{n}"] for n in ("embedding", *range(layers))])[:, -1]  # [L + 1, V]
    top = lens.float().softmax(-1).topk(min(GUESSES, lens.shape[-1]))
    maps = torch.cat([seen.attention[f"decoder.{n}.self"] for n in range(layers)])
    tensors = {
        "logits": logits[-1].numpy(),
        "constrained": allowed[0].numpy(),
        "attention": quantised(maps.numpy()),
        "surprise": np.array(bits, np.float32),
        "lens": top.indices.int().numpy(),
        "lens_probability": top.values.numpy(),
        "norms": _stacked(seen, ("embedding", *range(layers))),
        "attention_norms": _stacked(seen, tuple(f"{n}.self" for n in range(layers))),
        "feedforward_norms": _stacked(seen, tuple(f"{n}.feedforward" for n in range(layers))),
    }
    if source is not None:
        cross = torch.cat([seen.attention[f"decoder.{n}.cross"] for n in range(layers)])
        tensors["cross"] = quantised(cross.numpy())
    return Looked({}, tensors)


def row(
    loaded: LoadedModel,
    ids: Sequence[int],
    name: str,
    head: int,
    place: int,
    source: Sequence[int] | None = None,
) -> Looked:
    """How one row of one attention map came about; `name` as `observe` has it, such as `decoder.3.self`."""
    found = _observed(loaded, ids, source).row(name, head, place)
    tensors = {
        "query": found.query,
        "keys": found.keys,
        "values": found.values,
        "products": found.products,
        "scores": found.scores,
        "weights": found.weights,
        "mixed": found.mixed,
    }
    arrays = {key: np.ascontiguousarray(tensor.numpy(), np.float32) for key, tensor in tensors.items()}
    arrays["visible"] = found.visible.numpy().astype(np.uint8)
    seen = found.seen
    return Looked({"scale": seen.scale, "cap": seen.cap, "bias": seen.bias is not None}, arrays)


class Node(TypedDict):
    """A try of a beam search."""

    parent: int
    depth: int
    id: int
    logprob: float
    kept: bool


def beams(
    loaded: LoadedModel,
    ids: Sequence[int],
    beams: int,
    tokens: int,
    source: Sequence[int] | None = None,
) -> Looked:
    """The tree of a beam search of some tokens: every try that was kept for a step, and those that were lost.

    Nodes are in the order of their depth; `parent` is a node's number, -1 at the root.
    """
    rows: list[tuple[float, list[int], int]] = [(0.0, [], -1)]
    nodes: list[Node] = []
    stop = ModelIds.of(loaded)
    config = GenerationConfig.of(loaded, temperature=0.0)
    for depth in range(tokens):
        candidates = []
        for total, written, parent in rows:
            if written and written[-1] in stop.stop:
                continue
            logits = _observed(loaded, [*ids, *written], source, ()).hidden[0, -1]
            allowed = constrain(
                loaded.model.logits(logits)[None].float(), [list(ids)], [written], config, stop, tokens + 1
            )
            best = allowed[0].log_softmax(-1).topk(beams)
            candidates += [
                (total + float(value), [*written, int(index)], parent)
                for value, index in zip(best.values, best.indices, strict=True)
            ]
        candidates.sort(key=lambda one: -one[0])
        kept = []
        for place, (total, written, parent) in enumerate(candidates[: 2 * beams]):
            nodes.append(
                {
                    "parent": parent, "depth": depth, "id": written[-1], "logprob": total,
                    "kept": place < beams,
                }
            )  # fmt: skip
            if place < beams:
                kept.append((total, written, len(nodes) - 1))
        rows = kept
        if not rows:
            break
    best_node = max(rows, key=lambda one: one[0])[2] if rows else -1
    return Looked({"nodes": nodes, "best": best_node}, {})


def continue_text(
    loaded: LoadedModel, ids: Sequence[int], settings: dict[str, Any], source: Sequence[int] | None = None
) -> Looked:
    """What `generate` writes after ids with some settings: the text that the view's own draws are held to."""
    prompt = list(ids if source is None else source)
    made = generate(loaded, [prompt], GenerationConfig.of(loaded, **settings))[0]
    return Looked({"ids": made.ids, "text": made.text}, {})


def _observed(
    loaded: LoadedModel,
    ids: Sequence[int],
    source: Sequence[int] | None,
    want: Sequence[Any] = ("attention", "norms", "lens"),
) -> Observation:
    config = loaded.model.config
    if config.architecture == "encoder":
        raise HeadstartError(
            f"{config.family} reads both sides of a gap and does not write; the Masking view is made for it"
        )
    if not ids:
        raise HeadstartError("there is nothing to go on from; write a prompt")
    if len(ids) > config.context:
        raise HeadstartError(
            f"{len(ids)} tokens are more than the {config.context} that this model was trained to read at "
            "once; go back, or take a shorter prompt"
        )
    if max(ids) >= config.vocab_size or min(ids) < 0:
        raise HeadstartError("an id is not in this model's vocabulary; start again from the prompt")
    keys = max(len(ids), len(source or ()))
    if config.layers * config.heads * len(ids) * keys > MAPS:
        raise HeadstartError("the maps of so long a text are too large to send; take a shorter prompt")
    given: Tensor | None = None if source is None else torch.tensor([list(source)])
    return observe(loaded.model, torch.tensor([list(ids)]), given, want)


def _stacked(seen: Observation, names: Sequence[Any]) -> np.ndarray:
    return torch.cat([seen.norms[f"decoder.{name}"] for name in names]).float().numpy()
