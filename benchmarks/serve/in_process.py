"""Peers that compute in the measuring process, without HTTP, which favours them."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.serve.models import make_onnx
from benchmarks.serve.servers import WRITTEN, Ids, Texts
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.engine.engine import Engine
from headstart.generation.engine.request import GenerationRequest
from headstart.interchange.model_folder import load_model
from headstart.models.transformer import build
from headstart.tokenizer.folder import open_tokenizer

Write = Callable[[Sequence[Ids], int], Texts]
"""Texts for prompts, so many at a time."""
Embed = Callable[[list[str]], np.ndarray]
"""Vectors of length 1 of texts, `[texts, D]`."""


def transformers(gpt2: Path) -> Write:
    """`generate` on batches padded on the left, weights in bfloat16."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(gpt2, dtype=torch.bfloat16).eval()

    def write(prompts: Sequence[Ids], at_once: int) -> Texts:
        texts, tokens, before = [], 0, time.process_time()
        for first in range(0, len(prompts), at_once):
            batch = prompts[first : first + at_once]
            longest = max(map(len, batch))
            ids = torch.tensor([[0] * (longest - len(one)) + one for one in batch])
            mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in batch])
            counts = {"max_new_tokens": WRITTEN, "min_new_tokens": WRITTEN}
            written = model.generate(ids, attention_mask=mask, do_sample=False, pad_token_id=0, **counts)
            texts += [str(row[longest:].tolist()) for row in written]
            tokens += WRITTEN * len(batch)
        return Texts(texts, tokens, time.process_time() - before)

    return write


def padded_batches(gpt2: Path) -> Write:
    """headstart as it was before it had a server: padded batches through the model, whose float32 weights
    are made bfloat16 at every step."""
    loaded = load_model(gpt2, torch.bfloat16)
    model = build(loaded.model.config, 0, torch.bfloat16)
    model.load_state_dict(loaded.model.state_dict())
    engine, ids = Engine(model, None), ModelIds.of(loaded)
    config = GenerationConfig(max_new_tokens=WRITTEN, temperature=0.0, top_k=0)

    def write(prompts: Sequence[Ids], at_once: int) -> Texts:
        texts, tokens, before = [], 0, time.process_time()
        for first in range(0, len(prompts), at_once):
            batch = prompts[first : first + at_once]
            for handle in [engine.submit(GenerationRequest(one, config, ids)) for one in batch]:
                written = [event.scored.token for event in handle if event.scored is not None]
                texts.append(str(written))
                tokens += len(written)
        return Texts(texts, tokens, time.process_time() - before)

    return write


def sentence_transformers(minilm: Path) -> Embed:
    """Weights in bfloat16, in batches sorted by length."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm), device="cpu", model_kwargs={"dtype": torch.bfloat16})

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False))

    return embed


def onnxruntime(minilm: Path) -> Embed:
    """Weights in float32, in batches of 32 sorted by length, the mean of the last states."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(make_onnx(minilm), options, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    tokenizer = open_tokenizer(minilm)

    def embed(texts: list[str]) -> np.ndarray:
        rows = [tokenizer.with_special(ids)[0] for ids in tokenizer.encode_batch(texts)]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        vectors: list[np.ndarray] = [np.zeros(0)] * len(rows)
        for first in range(0, len(order), 32):
            places = order[first : first + 32]
            longest = max(len(rows[place]) for place in places)
            ids = np.zeros((len(places), longest), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, place in enumerate(places):
                ids[row, : len(rows[place])], mask[row, : len(rows[place])] = rows[place], 1
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            found = session.run(None, {name: one for name, one in given.items() if name in names})[0]
            if found.ndim == 3:  # states of tokens
                found = (found * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            found /= np.linalg.norm(found, axis=1, keepdims=True)
            for place, vector in zip(places, found, strict=True):
                vectors[place] = vector
        return np.stack(vectors)

    return embed
