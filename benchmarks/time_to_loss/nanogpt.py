"""nanoGPT's recipe for so many core-seconds: its model, its AdamW groups, cosine, random windows of a stream.

What its train.py does on a GPU stands here for a CPU, where it would ignore the asked precision: bfloat16 by
autocast, which is faster. The horizon of the cosine is the number of steps that fit, measured first.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.time_to_loss.judge import Clock, core_seconds, gemm_gflops, heldout, judge

WARM = 10  # steps that say how long one takes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout")
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--core-seconds", type=float, default=1200)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    run(given)


def run(given: SimpleNamespace | argparse.Namespace) -> None:
    sys.path.insert(0, str(given.nanogpt))
    from model import GPT, GPTConfig

    manifest = json.loads((given.tokens / "manifest.json").read_text())
    torch.manual_seed(1337)
    config = GPTConfig(
        block_size=given.context,
        vocab_size=manifest["vocab_size"],
        n_layer=given.layers,
        n_head=given.heads,
        n_embd=given.width,
        dropout=0.0,
        bias=False,
    )
    stream = np.concatenate(
        [np.load(path, mmap_mode="r") for path in sorted(given.tokens.glob("train-*.npy"))]
    )
    random = np.random.default_rng(1337)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        starts = random.integers(0, len(stream) - given.context - 1, given.batch)
        windows = np.stack([stream[start : start + given.context + 1] for start in starts]).astype(np.int64)
        return torch.from_numpy(windows[:, :-1].copy()), torch.from_numpy(windows[:, 1:].copy())

    def fresh() -> tuple[GPT, torch.optim.Optimizer]:
        torch.manual_seed(1337)
        model = GPT(config)
        return model, model.configure_optimizers(0.1, given.rate, (0.9, 0.95), "cpu")

    def step(model: GPT, optimizer: torch.optim.Optimizer, rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, targets = batch()
        with torch.autocast("cpu", torch.bfloat16):
            _, loss = model(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    before = gemm_gflops()
    model, optimizer = fresh()
    step(model, optimizer, 1e-5)
    began = core_seconds()
    for _ in range(WARM):
        step(model, optimizer, 1e-5)
    steps = max(50, int(given.core_seconds / ((core_seconds() - began) / WARM)))
    warmup = max(1, steps // 50)  # 2,000 of its 600,000 would be too few here
    model, optimizer = fresh()
    known = heldout(given.tokens, "causal", given.context)

    def score() -> float:
        model.eval()
        with torch.autocast("cpu", torch.bfloat16):
            loss = judge(
                known, lambda part: model.lm_head(hidden(model, part.ids).flatten(0, 1)[part.positions])
            )
        model.train()
        return loss

    clock, curve = Clock(), []
    clock.start()
    for number in range(steps):
        # get_lr of its train.py: linear rise, half a wave down to a tenth.
        share = (number - warmup) / max(1, steps - warmup)
        rate = given.rate * (
            (number + 1) / (warmup + 1) if number < warmup else 0.1 + 0.45 * (1 + math.cos(math.pi * share))
        )
        step(model, optimizer, rate)
        if (number + 1) % max(1, steps // given.points) == 0 or number + 1 == steps:
            clock.stop()
            tokens = (number + 1) * given.batch * given.context
            curve.append(
                {"core_seconds": round(clock.seconds, 2), "loss": round(score(), 5), "tokens": tokens}
            )
            print(json.dumps(curve[-1]), flush=True)
            clock.start()
        if clock.seconds > 1.2 * given.core_seconds:
            break
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(given).items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    probes = [before, gemm_gflops()]
    found = {"settings": settings, "parameters": parameters, "gemm_gflops": probes, "curve": curve}
    given.out.write_text(json.dumps(found) + "\n")


def hidden(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """States before the output; its own forward gives logits of the last place alone."""
    parts = model.transformer
    x = parts.wte(ids) + parts.wpe(torch.arange(ids.shape[1]))
    for block in parts.h:
        x = block(x)
    return parts.ln_f(x)


if __name__ == "__main__":
    main()
