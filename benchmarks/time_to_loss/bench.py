"""How many core-seconds headstart needs to the held-out loss that another recipe reaches in a given number.

nanoGPT's recipe trains a causal model for that long, a Trainer of transformers a masked one as run_mlm.py
does; headstart trains to the lowest loss that each reached. All read the same tokens and are scored on the
same held-out ones. Every run is a process of its own and writes its curve into the work folder; what is there
is not run again.

Prints one line of JSON at the end and writes it, indented, to the file given.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from headstart.folder import read_json, write_json
from headstart.training.machine import describe_machine

SHAPE = ["--layers", "4", "--width", "256", "--heads", "4"]  # as in causal.yaml and masked.yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout")
    parser.add_argument("--core-seconds", type=float, default=1200, help="of the others")
    parser.add_argument("--share", type=float, default=0.45, help="of that, what headstart gets")
    parser.add_argument("--work", type=Path, required=True, help="for runs and their curves")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("settings", nargs="*", help="of headstart's recipes, as in compile=false")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    causal, masked = (compare(kind, given) for kind in ("causal", "masked"))
    result = {
        "core_seconds_ratio": causal["ratio"],
        "masked_core_seconds_ratio": masked["ratio"],
        "causal": causal,
        "masked": masked,
        "tokens": {
            "heldout_rows": 256,
            "vocabulary": read_json(given.tokens / "manifest.json")["vocab_size"],
        },
        "machine": describe_machine(),
        "load_average": os.getloadavg(),
        "versions": {name: version(name) for name in ("headstart", "torch", "transformers")}
        | {"python": platform.python_version()},
    }
    write_json(given.out, result)
    print(json.dumps(result))


def compare(kind: str, given: argparse.Namespace) -> dict[str, Any]:
    """The curves of one kind of model, and the share of the core-seconds that headstart needed.

    The ratio is None where it did not reach the loss in what it got.
    """
    tokens, seconds = ["--tokens", str(given.tokens)], str(given.core_seconds)
    command = ["nanogpt", "--nanogpt", given.nanogpt, *SHAPE] if kind == "causal" else ["trainer", *SHAPE]
    theirs = run(given.work / f"{kind}-{seconds}-theirs.json", [*command, *tokens, "--core-seconds", seconds])
    budget = str(round(given.share * given.core_seconds, 1))
    name = given.work / "-".join((kind, budget, "ours", *given.settings))
    command = ["ours", *tokens, "--kind", kind, "--core-seconds", budget, "--run", name]
    ours = run(name.with_name(name.name + ".json"), [*command, *given.settings])
    best = min(theirs["curve"], key=lambda point: point["loss"])
    reached = [point for point in ours["curve"] if point["loss"] <= best["loss"]]
    return {
        "loss": best["loss"],
        "ratio": round(reached[0]["core_seconds"] / best["core_seconds"], 3) if reached else None,
        "ours": reached[0] if reached else None,
        "theirs": best,
        "our_run": ours,
        "their_run": theirs,
    }


def run(out: Path, command: list[Any]) -> dict[str, Any]:
    """The result of a script of this folder and its arguments, run now or before."""
    if not out.exists():
        print(f"{out.stem}: running", file=sys.stderr)
        # Compiling is counted, so it is done anew, and in this one process.
        fresh = {
            "TORCHINDUCTOR_CACHE_DIR": str(out.with_suffix(".compiled")),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        script, *rest = map(str, command)
        words = [sys.executable, "-m", f"benchmarks.time_to_loss.{script}", *rest, "--out", str(out)]
        subprocess.run(words, env=os.environ | fresh, stdout=sys.stderr, check=True)
    found: dict[str, Any] = read_json(out)
    return found


if __name__ == "__main__":
    main()
