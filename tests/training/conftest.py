"""Tokens folders of several domains in many small shards, and pre-training recipes on them."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shelves(documents, tokenizer, tmp_path_factory) -> dict[str, Path]:
    """Tokens folders by the kind of their tokenizer."""
    from headstart.tokenizer.shards import ShardRecipe, encode
    from headstart.tokenizer.train import TokenizerRecipe, train

    found = {}
    for kind in ("headstart", "t5"):
        made = tmp_path_factory.mktemp(kind)
        texts = (document["text"] for document in documents[::10])
        recipe = TokenizerRecipe(kind="t5", vocab_size=600)
        fitting = tokenizer if kind == "headstart" else train(texts, recipe, made / "tokenizer")
        encode(documents, fitting, ShardRecipe(heldout_share=0.2, shard_tokens=20_000), made / "tokens")
        found[kind] = made / "tokens"
    return found


FAMILIES = {
    "masked": "headstart-encoder",
    "next-sentence": "bert",
    "causal": "headstart-decoder",
    "prefix": "headstart-decoder",
    "span-corruption": "t5",
    "denoising": "bart",
}


@pytest.fixture(scope="session")
def engine_recipe(shelves):
    """Makes the recipe of a run of a second; settings can be overridden."""
    from headstart.training.recipe import PretrainRecipe

    def make(kind: str = "masked", **changes) -> PretrainRecipe:
        sizes = {"layers": 2, "width": 32, "heads": 4, "feedforward_width": 48}
        settings = {
            "tokens": shelves["t5" if kind == "span-corruption" else "headstart"],
            "model": sizes | {"family": FAMILIES[kind]},
            "objective": {"kind": kind},
            "context": 32,
            "rows": 8,
            "micro_rows": 8,
            "steps": 12,
            "evaluate_every": 4,
            "evaluate_rows": 16,
            "checkpoint_every": 3,
            "sinks": [],
        }
        changes["model"] = settings["model"] | changes.get("model", {})
        changes["objective"] = settings["objective"] | changes.get("objective", {})
        # Higher rates than the defaults, so that a handful of steps learns something.
        rates = {"matrix_rate": 0.01, "vector_rate": 0.003}
        changes["optimiser"] = rates | changes.get("optimiser", {})
        return PretrainRecipe.model_validate(settings | changes)

    return make
