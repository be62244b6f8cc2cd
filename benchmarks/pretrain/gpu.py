"""Training steps on a GPU: headstart beside nanoGPT and transformers, against the measured GEMM peak.

Every system trains the same sizes with float32 master weights, bfloat16 products and fused AdamW, on the same
number of random tokens. Each is measured in a process of its own; one line of JSON comes last.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

# rows in a micro-batch, tokens in a row, micro-batches in a step
SHAPES = {
    "gpt2-124m": {"micro_rows": 32, "row": 1024, "parts": 2},
    "llama-1b": {"micro_rows": 8, "row": 2048, "parts": 2},
    "bert-base": {"micro_rows": 64, "row": 512, "parts": 2},
}
SYSTEMS = {
    "gpt2-124m": ["headstart", "headstart-eager", "headstart-documents", "nanogpt", "transformers"],
    "llama-1b": ["headstart", "headstart-documents", "headstart-checkpointed", "transformers"],
    "bert-base": ["headstart", "headstart-documents", "transformers"],
}
VOCABULARY = {"gpt2-124m": 50304, "llama-1b": 32000, "bert-base": 30528}
MASKED = 0.15
WARM, TIMED = 4, 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT; without it, it is left out")
    parser.add_argument("--only", nargs="*", default=[], help="SHAPE or SHAPE/SYSTEM")
    parser.add_argument("--limit", type=float, default=150, help="seconds for one system")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        shape, system = given.one.split("/")
        print(json.dumps(measure(shape, system, given.nanogpt)))
        return
    results = []
    for shape, systems in SYSTEMS.items():
        for system in systems:
            wanted = not given.only or shape in given.only or f"{shape}/{system}" in given.only
            if not wanted or (system == "nanogpt" and given.nanogpt is None):
                continue
            command = [sys.executable, "-m", "benchmarks.pretrain.gpu", "--one", f"{shape}/{system}"]
            command += ["--nanogpt", str(given.nanogpt)] if given.nanogpt else []
            row: dict[str, Any] = {"shape": shape, "system": system}
            started = time.perf_counter()
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=given.limit, check=True
                )
                row |= json.loads(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                row["failed"] = f"not done after {given.limit} s"
            except subprocess.CalledProcessError as error:
                row["failed"] = error.stderr[-1500:]
            row["seconds_in_all"] = round(time.perf_counter() - started, 1)
            results.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    answer = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": results}
    if given.out:
        given.out.write_text(json.dumps(answer, indent=1) + "\n")
    print(json.dumps(answer | {"rows": len(results)} | summary(results)))


def summary(results: list[dict[str, Any]]) -> dict[str, float]:
    """Share of the GEMM peak of each shape, and speed over the fastest peer."""
    keys: dict[str, float] = {}
    for shape in SHAPES:
        rows = [row for row in results if row["shape"] == shape and "tokens_per_second" in row]
        ours = [row for row in rows if row["system"] == "headstart"]
        peers = [row for row in rows if not row["system"].startswith("headstart")]
        if ours:
            keys[f"{shape} mfu"] = ours[0]["mfu"]
        if ours and peers:
            fastest = max(row["tokens_per_second"] for row in peers)
            keys[f"{shape} speedup"] = round(ours[0]["tokens_per_second"] / fastest, 3)
    return keys


def measure(shape: str, system: str, nanogpt: Path | None) -> dict[str, Any]:
    """Tokens a second, share of the GEMM peak and peak memory of one system at one shape."""
    from headstart.models.flops import training_flops
    from headstart.training.machine import gemm_gflops

    sizes = SHAPES[shape]
    peak = gemm_gflops(torch.bfloat16, "cuda", 1.0) * 1e9
    config = our_config(shape)
    torch.manual_seed(0)
    if system.startswith("headstart"):
        step, planned = ours(shape, system, config)
    else:
        planned = None
        step = {"nanogpt": nanogpts, "transformers": transformerss}[system](shape, nanogpt)
    for _ in range(WARM):
        loss = step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        loss = step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    seconds = sorted(times)[len(times) // 2]
    tokens = sizes["micro_rows"] * sizes["row"] * sizes["parts"]
    targets = round(tokens * MASKED) if shape == "bert-base" else tokens
    flops = training_flops(config, tokens, sizes["row"], targets)
    return {
        "tokens_per_second": round(tokens / seconds),
        "mfu": round(flops / seconds / peak, 4),
        "gemm_tflops": round(peak / 1e12, 1),
        "step_ms": round(seconds * 1e3, 2),
        "spread": round((max(times) - min(times)) / seconds, 3),
        "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 3),
        "planned_gb": planned,
        "loss": round(float(loss), 3),
    }


def our_config(shape: str) -> Any:
    from headstart.models.registry import make_config

    row, vocabulary = SHAPES[shape]["row"], VOCABULARY[shape]
    sizes: dict[str, Any]
    if shape == "llama-1b":
        sizes = {"layers": 16, "width": 2048, "heads": 32, "kv_heads": 8, "feedforward_width": 8192}
        return make_config("llama", sizes | {"vocab_size": vocabulary, "context": row})
    family = "gpt2" if shape == "gpt2-124m" else "bert"
    sizes = {"layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072, "dropout": 0.0}
    return make_config(family, sizes | {"vocab_size": vocabulary, "context": row})


def rows_of(shape: str) -> torch.Tensor:
    sizes = SHAPES[shape]
    return torch.randint(0, VOCABULARY[shape], (sizes["micro_rows"] * sizes["parts"], sizes["row"] + 1))


def ours(shape: str, system: str, config: Any) -> tuple[Any, float]:
    from headstart.models.transformer import build
    from headstart.objectives.batch import Batch
    from headstart.scaling.memory import training_memory
    from headstart.training.distributed.parallel import start
    from headstart.training.optimiser import Optimiser
    from headstart.training.recipe import OptimiserRecipe, PretrainRecipe

    sizes = SHAPES[shape]
    compiled, again = system != "headstart-eager", system == "headstart-checkpointed"
    recipe = PretrainRecipe(
        tokens=Path(), rows=sizes["micro_rows"] * sizes["parts"], micro_rows=sizes["micro_rows"],
        context=sizes["row"], precision="bfloat16", device="cuda", compile=compiled,
        checkpoint_activations=again,
        optimiser=OptimiserRecipe(kind="adamw", matrix_rate=3e-4, vector_rate=3e-4),
    )  # fmt: skip
    layout = start(recipe.parallel, "cuda")
    model = build(config, 0, torch.bfloat16)
    layout.parallelize(model, recipe)
    model.train()
    optimiser = Optimiser(model, recipe.optimiser)
    ids = rows_of(shape)
    documents = torch.rand(ids.shape) < (1 / 300 if system == "headstart-documents" else 0)
    segments = documents.long().cumsum(1) + 100_000 * torch.arange(len(ids))[:, None]
    row = sizes["row"]
    if shape == "bert-base":
        count = round(MASKED * recipe.rows * row)
        positions = torch.randperm(recipe.rows * row)[:count].sort().values
        batch = Batch(ids[:, :row], segments[:, :row], positions, ids[:, :row].flatten()[positions])
    else:
        positions = torch.arange(recipe.rows * row)
        batch = Batch(ids[:, :row].contiguous(), segments[:, :row], positions, ids[:, 1:].flatten())
    parts = list(batch.split(recipe.micro_rows))

    def step() -> torch.Tensor:
        loss = layout.backward(parts, len(batch.targets))
        optimiser.step(1.0, float(layout.square(optimiser.gradients())) ** 0.5)
        return loss

    memory = training_memory(
        config, recipe.micro_rows, row, checkpointing="full" if again else "none",
        target_share=MASKED if shape == "bert-base" else 1.0,
    )  # fmt: skip
    return step, round(memory.peak / 1e9, 3)


def nanogpts(shape: str, nanogpt: Path | None) -> Any:
    """As its train.py: bfloat16 by autocast, compiled, its AdamW groups, clipped."""
    sys.path.insert(0, str(nanogpt))
    from model import GPT, GPTConfig

    sizes = SHAPES[shape]
    torch.backends.cuda.matmul.allow_tf32 = True
    model = GPT(GPTConfig(block_size=sizes["row"], vocab_size=VOCABULARY[shape], bias=True)).cuda()
    optimiser = model.configure_optimizers(0.1, 3e-4, (0.9, 0.95), "cuda")
    return peer_step(torch.compile(model), optimiser, shape, lambda net, x, y: net(x, y)[1])


def transformerss(shape: str, nanogpt: Path | None) -> Any:
    """Its best setting: fused attention, compiled, bfloat16 by autocast, fused AdamW."""
    import transformers as t

    row, vocabulary = SHAPES[shape]["row"], VOCABULARY[shape]
    config: Any
    if shape == "gpt2-124m":
        config = t.GPT2Config(
            vocab_size=vocabulary, n_positions=row, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
        )
    elif shape == "llama-1b":
        config = t.LlamaConfig(
            vocab_size=vocabulary, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
            num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=row,
            tie_word_embeddings=False,
        )  # fmt: skip
    else:
        config = t.BertConfig(
            vocab_size=vocabulary, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
    config.use_cache = False
    kind = t.AutoModelForMaskedLM if shape == "bert-base" else t.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="sdpa").float().cuda().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), fused=True)
    return peer_step(torch.compile(model), optimiser, shape, lambda net, x, y: net(x, labels=y).loss)


def peer_step(model: Any, optimiser: torch.optim.Optimizer, shape: str, loss_of: Any) -> Any:
    sizes = SHAPES[shape]
    ids, row = rows_of(shape).cuda(), sizes["row"]
    pairs = []
    for part in ids.split(sizes["micro_rows"]):
        x = part[:, :row].contiguous()
        # transformers shifts the labels itself; a masked model has labels at the masked places.
        y = x.clone() if hasattr(model, "config") and hasattr(model.config, "model_type") else part[:, 1:]
        if shape == "bert-base":
            y = torch.where(torch.rand(x.shape, device="cuda") < MASKED, x, -100)
        pairs.append((x, y.contiguous()))

    def step() -> torch.Tensor:
        total = torch.zeros((), device="cuda")
        for x, y in pairs:
            with torch.autocast("cuda", torch.bfloat16):
                loss = loss_of(model, x, y) / len(pairs)
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return total

    return step


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
