"""Training steps on one core: headstart beside transformers, per core-second, next to a GEMM probe.

Every system runs in a process of its own and takes its steps in turns with the others, so that whatever else
the machine does meets them alike: figures are medians over rounds, ratios medians of the rounds' own ratios.
Only core-seconds of the process are counted, which a busy machine changes little. Losses are those of the
same steps in bfloat16 and in float32. `--without` measures instead what each optimisation gives, by switching
one after the other off.

Prints one line of JSON at the end and writes it, indented, to the file given.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.pretrain.systems import CONTEXT, ROWS, SYSTEMS, operations
from headstart.folder import write_json
from headstart.training.machine import describe_machine

WARM = 2  # steps before the first round, which also compile
LAST = 12  # steps at the end whose losses are compared
GEMM, WITHOUT, OURS, FULL = "gemm", "without", "headstart", "headstart, float32"
DEFAULT, AUTOCAST, BEST = "transformers", "transformers, autocast", "transformers, autocast, compiled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--causal", type=Path, required=True, help="tokens of 16,384 kinds")
    parser.add_argument("--masked", type=Path, required=True, help="tokens of 30,522 kinds")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=6, help="in a round")
    parser.add_argument("--without", action="store_true", help="switch optimisations off, one at a time")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    tokens = {"causal": given.causal, "masked": given.masked}
    result: dict[str, Any]
    if given.without:
        given.out = given.out.with_stem(f"{given.out.stem}-without")
        result = {kind: switched_off(kind, tokens[kind], given.rounds, given.steps) for kind in tokens}
    else:
        found = {kind: measure(kind, tokens[kind], given.rounds, given.steps) for kind in tokens}
        result = summary(found) | found
    result |= {
        "clock": "core-seconds of the process, one thread",
        "machine": describe_machine(),
        "load_average": os.getloadavg(),
        "versions": {name: version(name) for name in ("headstart", "torch", "transformers")}
        | {"python": platform.python_version()},
    }
    write_json(given.out, result)
    print(json.dumps(result))


Answers = dict[str, list[dict[str, Any]]]
"""What each system answered: first to the steps that warm it up, then in every round."""


def rounds_of(kind: str, names: list[str], tokens: Path, rounds: int, steps: int) -> Answers:
    """Let some systems take their steps in turns."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(started(kind, name, tokens)) for name in names}
        answers = {name: [ask(worker, WARM)] for name, worker in workers.items()}
        for _ in range(rounds):
            for name, worker in workers.items():
                answers[name].append(ask(worker, 2 if name == GEMM else steps))
        for worker in workers.values():
            assert worker.stdin is not None
            worker.stdin.close()
    print(f"{kind}: {', '.join(names)}: done", file=sys.stderr)
    return answers


def speeds_of(kind: str, answers: Answers, steps: int) -> dict[str, list[float]]:
    """Tokens a core-second in every round."""
    read = ROWS[kind] * CONTEXT[kind] * steps
    return {
        name: [read / answer["core_seconds"] for answer in given[1:]]
        for name, given in answers.items()
        if name != GEMM
    }


def measure(kind: str, tokens: Path, rounds: int, steps: int) -> dict[str, Any]:
    """Tokens a core-second of every system, and losses, with their spread over rounds."""
    names = [name.partition(" ")[2] for name in SYSTEMS if name.startswith(kind) and WITHOUT not in name]
    answers = rounds_of(kind, names, tokens, rounds, steps)
    speeds = speeds_of(kind, answers, steps)
    peaks = [answer["losses"][0] for answer in answers[GEMM][1:]]
    read = ROWS[kind] * CONTEXT[kind]
    flops = operations(kind, tokens) / read
    losses = {
        name: statistics.mean([loss for answer in answers[name] for loss in answer["losses"]][-LAST:])
        for name in (OURS, FULL)
    }
    return {
        "tokens_a_core_second": {name: spread(values) for name, values in speeds.items()},
        "speedup_of_headstart": {
            name: spread(ratios(speeds[OURS], values)) for name, values in speeds.items() if name != OURS
        },
        "gemm_gflops": {
            "bfloat16": spread(peaks),
            "float32": spread([answer["losses"][1] for answer in answers[GEMM][1:]]),
        },
        "share_of_bfloat16_gemm": {
            name: spread([speed * flops / peak / 1e9 for speed, peak in zip(values, peaks, strict=True)])
            for name, values in speeds.items()
        },
        "mflop_a_token": round(flops / 1e6, 2),
        "loss": {
            "steps": WARM + rounds * steps,
            "mean_of_last": LAST,
            "bfloat16": round(losses[OURS], 4),
            "float32": round(losses[FULL], 4),
        },
        "rounds": rounds,
        "steps_a_round": steps,
        "tokens_a_step": read,
        "core_seconds_of_the_first_steps": {
            name: round(answers[name][0]["core_seconds"], 1) for name in speeds
        },
    }


def switched_off(kind: str, tokens: Path, rounds: int, steps: int) -> dict[str, Any]:
    """What is left of the speed without each optimisation, beside all of them in the same rounds."""
    names = [name.partition(" ")[2] for name in SYSTEMS if name.startswith(f"{kind} {WITHOUT}")]
    speeds = speeds_of(kind, rounds_of(kind, [OURS, *names], tokens, rounds, steps), steps)
    return {
        "tokens_a_core_second": {name: spread(values) for name, values in speeds.items()},
        "of_full_speed": {name: spread(ratios(speeds[name], speeds[OURS])) for name in names},
        "rounds": rounds,
        "steps_a_round": steps,
    }


def summary(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    causal, masked = (found[kind]["speedup_of_headstart"] for kind in ("causal", "masked"))
    faster = min((AUTOCAST, BEST), key=lambda name: causal[name]["median"])
    return {
        "speedup_vs_transformers_default": causal[DEFAULT]["median"],
        "speedup_vs_transformers_best": causal[faster]["median"],
        "share_of_gemm_peak": found["causal"]["share_of_bfloat16_gemm"][OURS]["median"],
        "mlm_speedup": masked[DEFAULT]["median"],
        "mlm_speedup_vs_masked_only_best": min(
            ratio["median"] for name, ratio in masked.items() if "masked only" in name
        ),
    }


def started(kind: str, name: str, tokens: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.pretrain.systems", f"{kind} {name}"]
    return subprocess.Popen(
        [*command, "--tokens", str(tokens)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(worker: subprocess.Popen[str], steps: int) -> dict[str, Any]:
    """Let a worker take that many steps."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(steps, file=worker.stdin, flush=True)
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"{worker.args!r}: ended early; what it says stands above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


if __name__ == "__main__":
    main()
