"""How many tokens and vectors a core-second serves over HTTP: headstart beside servers that are installed.

The workload: 8 prompts of 64 to 384 random ids and 32 greedy tokens for each, so many requests at once (at 16
twice as many prompts), GPT-2 small with random weights in bfloat16, one thread each. All are asked one after
the other in rounds, with new prompts in every round, so that no cache helps and whatever else the machine
does meets all alike. What counts is the processor's time of the server's processes.

    throughput_vs_NAME   tokens a core-second, ours by theirs, at 8 or 16 at once, whichever is worse for us
    single_vs_NAME       the same one at a time
    embeddings_vs_best   texts a core-second, ours by the best of the others; the vectors agree
    http_share           of the server's time while 16 texts stream, what is not the model's thread
    same_bytes           of the greedy texts, those that are the same alone and beside others

Ratios are medians of the rounds' ratios; no round begins after `--minutes`. A peer that is not here has none,
and `absent` says why. So that
they are favoured, transformers, sentence-transformers and onnxruntime compute in the measuring process,
without HTTP, and so does `today`, headstart as it was before it had a server. Prints the goals as a table to
the standard error and one line of JSON, and writes that, indented, to `--out`.
"""

import argparse
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import headstart
from benchmarks.serve import in_process
from benchmarks.serve.in_process import Embed, Write
from benchmarks.serve.models import VOCABULARY, WORDS, make_decoder_folder, make_encoder_folder
from benchmarks.serve.servers import (
    LLAMA_CPP,
    OURS,
    VLLM,
    Ids,
    Server,
    start_llama_cpp,
    start_ours,
    start_vllm,
)
from headstart.folder import write_json
from headstart.training.machine import processor

LENGTHS = (64, 96, 128, 128, 160, 192, 256, 384)
AT_ONCE = (1, 8, 16)
TEXTS = 64
PEERS = (VLLM, LLAMA_CPP, "transformers", "today")
GOALS = {
    "throughput_vs_vllm": (1.0, 1.3),
    "throughput_vs_llama_cpp": (2.0, 3.0),
    "throughput_vs_today": (4.0, 5.0),
    "single_vs_vllm": (1.2, 1.5),
    "single_vs_llama_cpp": (1.1, 1.2),
    "embeddings_vs_best": (1.0, 2.0),
    "same_bytes": (1.0, 1.0),
    "http_share": (0.05, 0.02),
}
"""What each figure has to reach, and what is aimed at; `http_share` is not to be larger."""
Rates = dict[str, dict[int, float]]
"""Tokens a core-second, by who wrote and how many at once."""


def prompts(seed: int, at_once: int) -> list[Ids]:
    """The workload."""
    numbers = random.Random(seed)
    lengths = LENGTHS * 2 if at_once > len(LENGTHS) else LENGTHS
    return [[numbers.randrange(256, VOCABULARY - 1) for _ in range(length)] for length in lengths]


def texts(seed: int) -> list[str]:
    """Texts of mixed lengths, to be embedded."""
    numbers = random.Random(seed)
    return [" ".join(numbers.choices(WORDS, k=numbers.choice([4, 8, 16, 32, 64, 128]))) for _ in range(TEXTS)]


def present(makers: Mapping[str, Callable[[], Any]], absent: dict[str, str]) -> dict[str, Any]:
    """What can be made, by name; of the rest the reasons go to `absent`."""
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except (RuntimeError, ImportError) as error:
            absent[name] = str(error)[:400]
            print(f"without {name}: {absent[name]}", file=sys.stderr)
    return found


def same_bytes(ways: dict[str, Write]) -> dict[str, float]:
    """The share of greedy texts that are the same alone and beside seven others; warms up, too."""
    found = {}
    for name, write in ways.items():
        alone, beside = (write(prompts(0, 8), at_once).texts for at_once in (1, 8))
        found[name] = statistics.mean(one == other for one, other in zip(alone, beside, strict=True))
        print(f"{name}: {found[name]:.0%} of the texts are the same alone and beside others", file=sys.stderr)
    return found


def rates(ways: dict[str, Write], rounds: int, levels: list[int], until: float) -> list[Rates]:
    """Of every round; none but the first begins after `until` of the monotonic clock."""
    found: list[Rates] = []
    for number in range(rounds):
        if found and time.monotonic() > until:
            break
        rate: Rates = {name: {} for name in ways}
        for level in levels:
            asked = prompts(1 + 100 * number + level, level)
            for name, write in ways.items():
                rate[name][level] = write(asked, level).rate
                print(f"round {number + 1}: {name} at {level}: {rate[name][level]:.1f}", file=sys.stderr)
        found.append(rate)
    return found


def ratio(rounds: list[Rates], peer: str, level: int) -> float | None:
    """Ours by a peer's: the median of the rounds'."""
    if peer not in rounds[0] or level not in rounds[0][OURS]:
        return None
    return round(statistics.median(one[OURS][level] / one[peer][level] for one in rounds), 3)


def embeddings(server: Server, others: dict[str, Embed], rounds: int) -> dict[str, list[float]]:
    """Texts a core-second, by round."""

    def ours(given: list[str]) -> np.ndarray:
        answer = server.http.post("/v1/embeddings", json={"model": "minilm", "input": given})
        return np.array([one["embedding"] for one in answer.raise_for_status().json()["data"]])

    expected = ours(texts(0))
    for name, embed in others.items():  # warms up, too
        closeness = (embed(texts(0)) * expected).sum(1).min()
        assert closeness > 0.99, f"{name} has other vectors: {closeness}"
    found: dict[str, list[float]] = {name: [] for name in (OURS, *others)}
    for number in range(rounds):
        given, before = texts(1 + number), server.core_seconds()
        ours(given)
        found[OURS].append(TEXTS / max(server.core_seconds() - before, 0.01))
        for name, embed in others.items():
            begun = time.process_time()
            embed(given)
            found[name].append(TEXTS / (time.process_time() - begun))
    return found


def table(result: Mapping[str, Any]) -> str:
    """The goals with what was measured, for people."""
    lines = [f"{'goal':<26}{'must':>8}{'aim':>8}{'found':>8}"]
    for name, (must, aim) in GOALS.items():
        found = result[name]
        met = found is not None and (found <= must if name == "http_share" else found >= must)
        said = "not measured" if found is None else "met" if met else "missed"
        shown = "-" if found is None else f"{found:g}"
        lines.append(f"{name:<26}{must:>8g}{aim:>8g}{shown:>8}  {said}")
    return "\n".join(lines)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    until = time.monotonic() + 60 * options.minutes
    levels = [int(level) for level in options.at_once.split(",")]
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        gpt2, minilm = make_decoder_folder(folder), make_encoder_folder(folder)
        os.chdir(folder)  # where the servers' logs go
        starts: dict[str, Callable[[], Server]] = {
            OURS: lambda: start_ours(gpt2, minilm),
            VLLM: lambda: start_vllm(options.vllm, gpt2),
            LLAMA_CPP: lambda: start_llama_cpp(options.llama_server, gpt2),
        }
        servers: dict[str, Server] = present(starts, absent)
        for server in servers.values():
            stack.callback(server.close)
        ways: dict[str, Write] = {one: server.write for one, server in servers.items()}
        local = {"transformers": in_process.transformers, "today": in_process.padded_batches}
        ways |= present({one: partial(make, gpt2) for one, make in local.items()}, absent)
        same = same_bytes(ways)
        found = rates(ways, options.rounds, levels, until)
        share = [servers[OURS].share_beside_the_model(prompts(10**6 + one, 16)) for one in range(len(found))]
        makers = {
            "sentence_transformers": partial(in_process.sentence_transformers, minilm),
            "onnxruntime": partial(in_process.onnxruntime, minilm),
        }
        vectors = embeddings(servers[OURS], present(makers, absent), len(found))
    best = max(
        (one for one in vectors if one != OURS), key=lambda one: statistics.median(vectors[one]), default=None
    )
    result: dict[str, Any] = {}
    for peer in PEERS:
        both = [one for level in levels if level > 1 and (one := ratio(found, peer, level)) is not None]
        result[f"throughput_vs_{peer}"] = min(both, default=None)
        result[f"single_vs_{peer}"] = ratio(found, peer, 1)
    pairs = zip(vectors[OURS], vectors[best], strict=True) if best is not None else ()
    each = [one / other for one, other in pairs]
    return result | {
        "rounds": len(found),
        "embeddings_vs_best": round(statistics.median(each), 3) if each else None,
        "http_share": round(statistics.median(share), 4),
        "same_bytes": same[OURS],
        "same_bytes_of_others": {one: same[one] for one in same if one != OURS},
        "tokens_a_core_second": {
            name: {level: round(statistics.median(one[name][level] for one in found), 1) for level in levels}
            for name in ways
        },
        "ratios_by_requests_at_once": {
            peer: {level: ratio(found, peer, level) for level in levels} for peer in PEERS
        },
        "texts_a_core_second": {name: round(statistics.median(one), 1) for name, one in vectors.items()},
        "absent": absent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60, help="no round begins later")
    parser.add_argument("--at-once", default=",".join(map(str, AT_ONCE)), help="requests, commas between")
    parser.add_argument("--vllm", type=Path, help="a Python that has vLLM")
    parser.add_argument("--llama-server", type=Path, help="llama.cpp's llama-server")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    for name in ("vllm", "llama_server", "out"):
        if getattr(options, name) is not None:
            setattr(options, name, getattr(options, name).absolute())
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are ended
    load = os.getloadavg()
    result = measure(options) | {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": load,
        "versions": {
            "headstart": headstart.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if options.out is not None:
        write_json(options.out, result)
    print(table(result), file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
