"""One system of the benchmark in a process of its own: it takes training steps when told to, and says what
they cost in core-seconds.

    python -m benchmarks.pretrain.systems SYSTEM --tokens FOLDER

reads from its standard input how many steps to take, and answers each line with one line of JSON.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from headstart.models.flops import training_flops
from headstart.models.parts import attention
from headstart.objectives.batch import Batch, generator
from headstart.objectives.masked import masked_batch
from headstart.objectives.recipe import Causal, Masked
from headstart.objectives.vocabulary import read_vocabulary
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import TokenRows
from headstart.training import step_cost
from headstart.training.configuration import configuration
from headstart.training.distributed.parallel import Loss
from headstart.training.recipe import ModelRecipe, OptimiserRecipe, PretrainRecipe
from headstart.training.step_cost import trial
from headstart.training.trainer import Trainer

LAYERS, WIDTH, HEADS = 6, 384, 6
CONTEXT = {"causal": 256, "masked": 128}
ROWS = {"causal": 4, "masked": 8}  # 1,024 tokens a step
MASKED, RATE, CLIP = 0.15, 3e-4, 1.0
ADAMW = OptimiserRecipe(
    kind="adamw", matrix_rate=RATE, vector_rate=RATE, schedule="constant", warmup_share=0.0
)

Step = Callable[[], float]
"""One optimiser step; its loss."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--tokens", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind = given.system.partition(" ")[0]
    answer(SYSTEMS[given.system](kind, given.tokens))


def answer(step: Step) -> None:
    """Take as many steps as a line says, and answer with their core-seconds and losses."""
    for line in sys.stdin:
        started, losses = core_seconds(), []
        for _ in range(int(line)):
            losses.append(step())
        print(json.dumps({"core_seconds": core_seconds() - started, "losses": losses}), flush=True)


def core_seconds() -> float:
    """CPU-seconds so far of this process and of the compilers that it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def gemm(kind: str, tokens: Path) -> Step:
    """Products `[2048, 2048] x [2048, 2048]`: as a "loss" the GFLOP/s of bfloat16, then of float32."""
    left, right = torch.randn(2, 2048, 2048)
    turn: Iterator[torch.dtype] = iter((torch.bfloat16, torch.float32) * 1000)

    def rate() -> float:
        dtype = next(turn)
        a, b, times = left.to(dtype), right.to(dtype), []
        for _ in range(4):
            started = time.process_time()
            a @ b
            times.append(time.process_time() - started)
        return 2 * 2048**3 / statistics.median(times[1:]) / 1e9

    return rate


# --- headstart ----------------------------------------------------------------------------------------


def our_recipe(kind: str, tokens: Path, **settings: Any) -> PretrainRecipe:
    """What `headstart pretrain` is told: the sizes, AdamW as the others have it, bfloat16, compiled."""
    family, inner = ("headstart-decoder", 1024) if kind == "causal" else ("bert", 4 * WIDTH)
    objective = Causal() if kind == "causal" else Masked(mask_rate=MASKED)
    return PretrainRecipe(
        tokens=tokens,
        model=ModelRecipe(
            family=family, layers=LAYERS, width=WIDTH, heads=HEADS, feedforward_width=inner, dropout=0.0
        ),
        objective=objective,
        context=CONTEXT[kind],
        rows=ROWS[kind],
        micro_rows=ROWS[kind],
        steps=1_000_000,
        **{"precision": "bfloat16", "compile": True, "optimiser": ADAMW} | settings,
    )


def ours(change: Callable[[Trainer], None] | None = None, **settings: Any) -> Callable[[str, Path], Step]:
    """Steps of the real trainer: rows read and packed, documents apart, loss and gradient norm read.

    Args:
        change: what is done to the trainer before its first step.
    """

    def made(kind: str, tokens: Path) -> Step:
        trainer, places = trial(our_recipe(kind, tokens, **settings)), count()
        if change is not None:
            change(trainer)
        return lambda: trainer.step(next(places), 1.0)[0]

    return made


def loss_options(run: Trainer) -> dict[str, Any]:
    assert isinstance(run.layout.module, Loss)
    return run.layout.module.options


def plain_loss(run: Trainer) -> None:
    loss_options(run)["compiled"] = False


def plain_blocks(run: Trainer) -> None:
    loss_options(run)["compiled"] = True


def fused_attention(run: Trainer) -> None:
    patch.object(attention, "SHORT_ROW", 0).start()


def loop_adamw(run: Trainer) -> None:
    for group in run.optimiser.optimisers["adam"].param_groups:
        group["fused"] = False


def whole_head(run: Trainer) -> None:
    """Scores at all places, as `labels` of transformers do; those that are not hidden predict themselves."""
    made = run.data.batch

    def batch(step: int) -> Batch:
        one = made(step)
        ids = one.ids.flatten()
        targets = ids.index_copy(0, one.positions, one.targets)
        return replace(one, positions=torch.arange(len(ids)), targets=targets)

    patch.object(run.data, "batch", batch).start()


def freed_memory_given_back(kind: str, tokens: Path) -> Step:
    with patch.object(step_cost, "keep_freed_memory"):
        return ours()(kind, tokens)


def operations(kind: str, tokens: Path) -> float:
    """Floating-point operations of one of our steps."""
    config = configuration(our_recipe(kind, tokens))
    read = ROWS[kind] * CONTEXT[kind]
    return training_flops(config, read, CONTEXT[kind], read if kind == "causal" else round(MASKED * read))


# --- transformers -------------------------------------------------------------------------------------


def transformers(
    precision: torch.dtype = torch.float32, compiled: bool = False, masked_only: bool = False
) -> Callable[[str, Path], Step]:
    """The same sizes in transformers, with its default attention (sdpa) and fused AdamW.

    Args:
        precision: bfloat16 is by autocast, over float32 weights.
        masked_only: the head reads the masked places alone, by calls of the model's parts; with labels, as
            run_mlm.py calls it, the head reads all places.
    """

    def made(kind: str, tokens: Path) -> Step:
        batches = rows(kind, tokens)
        model = reference(kind, tokens).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), fused=True)

        def loss(ids: Tensor, labels: Tensor) -> Tensor:
            if not masked_only:
                return model(ids, labels=labels).loss
            places = (labels != -100).flatten().nonzero()[:, 0]
            states = model.bert(ids)[0].flatten(0, 1)[places]
            scores = model.cls(states).float()
            return torch.nn.functional.cross_entropy(scores, labels.flatten()[places])

        called = torch.compile(loss) if compiled else loss

        def step() -> float:
            ids, labels = next(batches)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                value = called(ids, labels)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            return float(value.detach())

        return step

    return made


def reference(kind: str, tokens: Path) -> Any:
    import transformers as library

    config = configuration(our_recipe(kind, tokens))
    sizes: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": config.feedforward_width,
        "max_position_embeddings": CONTEXT[kind],
    }
    if kind == "causal":
        shape = library.LlamaConfig(**sizes, tie_word_embeddings=True, use_cache=False)
        return library.LlamaForCausalLM._from_config(shape, attn_implementation="sdpa")
    shape = library.BertConfig(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return library.BertForMaskedLM._from_config(shape, attn_implementation="sdpa")


def rows(kind: str, tokens: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels of one step after another, made beforehand so that they cost the others nothing."""
    train = TokenRows(tokens, "train", CONTEXT[kind])
    vocabulary, random = read_vocabulary(open_tokenizer(tokens)), generator(0, 0)
    made = []
    for _ in range(40):
        ids, segments = train.read(random.integers(0, len(train), ROWS[kind]))
        labels = torch.from_numpy(ids.astype(np.int64))
        read = labels
        if kind == "masked":
            batch = masked_batch(ids, segments, MASKED, vocabulary, random)
            read, labels = batch.ids, torch.full(ids.shape, -100)
            labels.view(-1)[batch.positions] = batch.targets
        made.append((read, labels))
    while True:
        yield from made


MUON = OptimiserRecipe(kind="muon", schedule="constant", warmup_share=0.0)
WITHOUT: dict[str, Callable[[str, Path], Step]] = {
    "bfloat16": ours(precision="float32"),
    "compiled blocks": ours(plain_blocks, compile=False),
    "compiled loss": ours(plain_loss),
    "attention by two products": ours(fused_attention),
    "memory that stays": freed_memory_given_back,
    "fused AdamW": ours(loop_adamw),
    "documents apart": ours(documents_apart=False),
    "AdamW, Muon instead": ours(optimiser=MUON),
}
BF16 = torch.bfloat16
SYSTEMS: dict[str, Callable[[str, Path], Step]] = {
    "causal gemm": gemm,
    "causal headstart": ours(),
    "causal headstart, float32": ours(precision="float32"),
    "causal transformers": transformers(),
    "causal transformers, autocast": transformers(BF16),
    "causal transformers, autocast, compiled": transformers(BF16, compiled=True),
    "masked gemm": gemm,
    "masked headstart": ours(),
    "masked headstart, float32": ours(precision="float32"),
    "masked transformers": transformers(),
    "masked transformers, autocast": transformers(BF16),
    "masked transformers, autocast, compiled": transformers(BF16, compiled=True),
    "masked transformers, masked only": transformers(masked_only=True),
    "masked transformers, masked only, autocast": transformers(BF16, masked_only=True),
}
SYSTEMS |= {f"{kind} without {what}": made for kind in CONTEXT for what, made in WITHOUT.items()}
SYSTEMS["masked without sparse head"] = ours(whole_head)

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
