"""How fast one text is written on this processor: headstart, transformers and, if installed, llama.cpp.

All run one model, GPT-2 small with random weights, one after the other in rounds, so that whatever else the
machine does meets them alike: figures are medians over rounds, ratios medians of the rounds' own ratios. What
is timed is from the first new token to the last; reading the prompt is not. `torch.sum` over as many bytes as
the weights have says how fast memory can be read.

Prints one line of JSON at the end and writes it, indented, to benchmarks/results/decode-PROCESSOR.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

import headstart
from headstart.folder import write_json
from headstart.generation.cpu_decoder import make_decoder
from headstart.generation.cpu_library import compiled
from headstart.generation.incremental import CPUReader, ModelReader, Reader
from headstart.interchange.gguf_file import write_gguf
from headstart.interchange.weights import to_hf
from headstart.models.families.gpt2 import GPT2
from headstart.models.parts.linear import Linear
from headstart.models.registry import preset_config
from headstart.models.transformer import Transformer, build
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.train import TokenizerRecipe, train
from headstart.training.machine import processor

PROMPT = 16  # tokens
BASELINE, OURS = "transformers bf16", "headstart bf16, compiled step"
RESULTS = Path(__file__).parent.parent / "results"

Writer = Callable[[int], tuple[list[int], float]]
"""Writes that many tokens after the prompt; returns them, and tokens a second from the first to the last."""


def prompt_ids() -> Tensor:
    return torch.randint(50_000, (1, PROMPT), generator=torch.Generator().manual_seed(1))


class Clock(BaseStreamer):
    """Notes when each token comes out of `transformers.generate`."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


# --- Who writes ---------------------------------------------------------------------------------------


def reference(model: Transformer, dtype: torch.dtype) -> transformers.GPT2LMHeadModel:
    """The same weights in transformers."""
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2.to_hf(model.config)))
    theirs.load_state_dict(to_hf(model, GPT2, "causal", None), strict=False)
    theirs.tie_weights()
    return theirs.to(dtype).eval()


def by_transformers(model: transformers.GPT2LMHeadModel, **settings: Any) -> Writer:
    def write(tokens: int) -> tuple[list[int], float]:
        clock, ids = Clock(), prompt_ids()
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
            streamer=clock,
            **settings,
        )
        return written[0, PROMPT:].tolist(), rate(clock.times[1:])  # the first is the prompt

    return write


def by_reader(reader_of: Callable[[], Reader]) -> Writer:
    def write(tokens: int) -> tuple[list[int], float]:
        reader, unread, written, times = reader_of(), prompt_ids()[0].tolist(), [], []
        for _ in range(tokens):
            unread = reader.read([unread])[0].argmax(-1, keepdim=True).tolist()
            written += unread
            times.append(time.perf_counter())
        return written, rate(times)

    return write


def compiled_decoder(model: Transformer, weights: torch.dtype | None = None) -> Writer:
    decoder = make_decoder(model, weights)
    return by_reader(lambda: CPUReader(decoder) if decoder is not None else ModelReader(model))


def eager(model: Transformer) -> Writer:
    return by_reader(lambda: ModelReader(model))


@torch.compile(dynamic=False)
def one_row_product(weight: Tensor, x: Tensor) -> Tensor:
    return (weight.float() * x.float()).sum(-1).to(x.dtype)


@contextmanager
def compiled_products() -> Iterator[None]:
    """Within this, one-row products are a kernel that `torch.compile` made: what PyTorch alone can do."""
    linear = F.linear

    def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if x.numel() != x.shape[-1]:
            return linear(x, weight, bias)
        y = one_row_product(weight, x.view(-1)).view(*x.shape[:-1], -1)
        return y if bias is None else y + bias

    with patch.object(F, "linear", product):
        yield


def by_llama_cpp(file: Path, threads: int) -> Writer:
    import llama_cpp

    model = llama_cpp.Llama(str(file), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)

    def write(tokens: int) -> tuple[list[int], float]:
        model.reset()
        written, times = [], []
        for token in model.generate(prompt_ids()[0].tolist(), temp=0.0, repeat_penalty=1.0):
            written.append(int(token))
            times.append(time.perf_counter())
            if len(written) == tokens:
                return written, rate(times)
        raise AssertionError("llama.cpp stopped early")

    return write


def some_tokenizer(folder: Path) -> Tokenizer:
    """A GGUF file has to have one, although only ids are written here."""
    if not (folder / "tokenizer").exists():
        train(
            [Path(__file__).read_text()], TokenizerRecipe(kind="gpt2", vocab_size=300), folder / "tokenizer"
        )
    return open_tokenizer(folder / "tokenizer")


def llama_cpp_absent() -> str | None:
    """Why there is no llama.cpp to compare with, if there is none."""
    try:
        import gguf  # noqa: F401
        import llama_cpp  # noqa: F401
    except ImportError as error:
        return f"not installed ({error}): `make bench-decode LLAMA_CPP=1` builds it, in about 20 minutes"
    return None


# --- Rounds -------------------------------------------------------------------------------------------


def make_writers(model: Transformer, threads: int, folder: Path) -> dict[str, Writer]:
    """All that write, by name. Each has the same weights, in its own precision."""
    half = build(model.config, 0, torch.bfloat16).to(torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    theirs = reference(model, torch.bfloat16)
    writers = {
        BASELINE: by_transformers(theirs),
        "transformers bf16, static cache": by_transformers(theirs, cache_implementation="static"),
        "transformers fp16": by_transformers(reference(model, torch.float16)),
        "transformers fp32": by_transformers(reference(model, torch.float32)),
        "headstart bf16, eager": eager(half),
        OURS: compiled_decoder(half),
        "headstart fp32, eager": eager(model),
        "headstart fp32, compiled step": compiled_decoder(model),
        "headstart int8, compiled step": compiled_decoder(half, torch.int8),
    }
    if compiled() is not None:  # torch.compile needs a C++ compiler too
        plain, everywhere = writers["headstart bf16, eager"], transformers.CompileConfig(mode="default")
        everywhere._compile_all_devices = True  # by itself it compiles on accelerators alone

        def with_compiled_products(tokens: int) -> tuple[list[int], float]:
            with compiled_products():
                return plain(tokens)

        writers["headstart bf16, torch.compile of products"] = with_compiled_products
        writers["transformers bf16, static cache, compiled"] = by_transformers(
            reference(model, torch.bfloat16), cache_implementation="static", compile_config=everywhere
        )
    if llama_cpp_absent() is None:
        for kind in ("bf16", "q8_0"):
            file = folder / f"{kind}.gguf"
            if not file.exists():
                write_gguf(file, model, some_tokenizer(folder), kind, "GPT-2 small, random weights")
            writers[f"llama.cpp {kind}"] = by_llama_cpp(file, threads)
    return writers


def read_speed(buffer: Tensor) -> float:
    """Bytes a second that `torch.sum` reads."""
    start = time.perf_counter()
    buffer.sum()
    return buffer.nbytes / (time.perf_counter() - start)


def measure(threads: int, rounds: int, tokens: int, model: Transformer, folder: Path) -> dict:
    torch.set_num_threads(threads)
    writers = make_writers(model, threads, folder)
    bytes_read = (
        2 * sum(part.weight.numel() for part in model.modules() if isinstance(part, Linear))
        + 2 * model.output_weight.numel()
    )
    buffer = torch.ones(bytes_read // 4)
    texts = {name: write(tokens)[0] for name, write in writers.items()}  # also warms up, and compiles
    speeds: dict[str, list[float]] = {name: [] for name in writers}
    bandwidth: list[float] = []
    for number in range(rounds):
        for name, write in writers.items():
            speeds[name].append(write(tokens)[1])
            if name == OURS:
                bandwidth.append(max(read_speed(buffer) for _ in range(3)))
        print(f"threads {threads}, round {number + 1} of {rounds}", file=sys.stderr)

    def ratio(one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]

    against = {name: spread(ratio(OURS, name)) for name in writers if name != OURS}
    best = max(
        (name for name in writers if name.startswith("transformers")), key=lambda name: median(speeds[name])
    )
    share = [speed * bytes_read / bound for speed, bound in zip(speeds[OURS], bandwidth, strict=True)]
    return {
        "speedup_vs_transformers": against[BASELINE]["median"],
        "share_of_bandwidth": spread(share)["median"],
        "threads": threads,
        "rounds": rounds,
        "new_tokens": tokens,
        "tokens_a_second": {name: spread(values) for name, values in speeds.items()},
        "speedup_against": against,
        "fastest_setting_of_transformers": best,
        "share_of_bandwidth_spread": spread(share),
        "read_bandwidth_gb_a_second": spread([bound / 1e9 for bound in bandwidth]),
        "megabytes_a_token_bf16": round(bytes_read / 1e6, 1),
        "same_text_as_transformers_fp32": texts["headstart fp32, compiled step"]
        == texts["transformers fp32"],
    }


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1], help="the first is what the result states"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    torch._dynamo.config.recompile_limit = 64  # shapes of products; beyond the limit it silently runs eagerly
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    transformers.logging.set_verbosity_error()

    model = build(preset_config("gpt2-small"), 0).eval()
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        found = [
            measure(threads, options.rounds, options.tokens, model, Path(folder))
            for threads in options.threads
        ]
    result = found[0] | {
        "other_threads": found[1:],
        "llama_cpp": llama_cpp_absent() or "built from source",
        "compiled_step": compiled() is not None,
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "versions": {
            "headstart": headstart.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
    name = "-".join("".join(c if c.isalnum() else " " for c in processor().lower()).split())
    write_json(RESULTS / f"decode-{name}.json", result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
