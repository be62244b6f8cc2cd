"""headstart for so many core-seconds: the real loop, its checkpoints judged as the others' models are."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from benchmarks.time_to_loss.judge import core_seconds, gemm_gflops, heldout, judge
from headstart.objectives.batch import hidden_states, target_states
from headstart.recipe import Recipe
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe
from headstart.training.restore import load_any
from headstart.training.step_cost import step_cost

RECIPES = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--kind", choices=["causal", "masked"], required=True)
    parser.add_argument("--core-seconds", type=float, default=600)
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "settings", nargs="*", help="overrides of the recipe, as in optimiser.matrix_rate=0.01"
    )
    given = parser.parse_args()
    overrides = [f"tokens={given.tokens}", *given.settings]
    recipe = PretrainRecipe.load(RECIPES / f"{given.kind}.yaml", overrides)
    before = gemm_gflops()
    begun = core_seconds()
    step_cost(recipe, 1)
    first = core_seconds() - begun
    began = core_seconds()
    step_cost(recipe, 8)
    each = (core_seconds() - began) / 9
    compiling = max(0.0, first - 2 * each) if recipe.compile else 0.0
    steps = max(50, int((given.core_seconds - compiling) / each))
    every = max(1, steps // given.points)
    recipe = recipe.model_copy(
        update={"steps": steps, "checkpoint_every": every, "keep_every": every, "evaluate_every": steps}
    )
    shutil.rmtree(given.run, ignore_errors=True)
    # What was compiled above is not compiled again, so that it has to be added.
    curve = train(recipe, given.run, given.kind, compiling)
    settings: Recipe = recipe
    probes = [before, gemm_gflops()]
    found = {"settings": settings.model_dump(mode="json"), "gemm_gflops": probes, "curve": curve}
    given.out.write_text(json.dumps(found) + "\n")


def train(recipe: PretrainRecipe, run: Path, kind: str, before: float) -> list[dict[str, float]]:
    """Core-seconds, held-out loss and tokens at every checkpoint of a run."""
    started = core_seconds()
    pretrain(recipe, run)
    whole = core_seconds() - started
    steps = {e["step"]: e for e in read_metrics(run) if e["kind"] == "step"}
    known = heldout(recipe.tokens, kind, recipe.context)
    # Vectors for the start, checkpoints and the held-out evaluations of the run itself are counted too.
    beside = max(0.0, whole - steps[max(steps)]["core_seconds"])
    curve = []
    for folder in sorted((run / "checkpoints").glob("step-*"), key=lambda f: int(f.name[5:])):
        step = int(folder.name[5:])
        point = {
            "core_seconds": round(before + beside + steps[step]["core_seconds"], 2),
            "loss": round(score(recipe, folder, known), 5),
            "tokens": steps[step]["tokens"],
        }
        print(json.dumps(point), flush=True)
        curve.append(point)
    return curve


def score(recipe: PretrainRecipe, folder: Path, known: Any) -> float:
    model = load_any(folder, getattr(torch, recipe.precision)).model

    def scores(part: Any) -> torch.Tensor:
        states = target_states(model, part, hidden_states(model, part))
        bias = None if model.output_bias is None else model.output_bias.to(states.dtype)
        return torch.nn.functional.linear(states, model.output_weight.to(states.dtype), bias)

    return judge(known, scores)


if __name__ == "__main__":
    main()
