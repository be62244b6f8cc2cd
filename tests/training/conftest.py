"""Tokens folders of several domains in many small shards, and pre-training recipes on them."""

from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints, is_typeddict

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


def fits(value, hint) -> bool:
    """Whether a value from JSON is of a type: `TypedDict`, mapping, union, literal, or a plain one."""
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        return hint.__required_keys__ <= set(value) and all(
            key in hints and fits(one, hints[key]) for key, one in value.items()
        )
    if get_origin(hint) is dict:
        return all(fits(one, get_args(hint)[1]) for one in value.values())
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_args(hint):
        return any(fits(value, one) for one in get_args(hint))
    return type(value) is hint or (hint is float and type(value) is int)


@pytest.fixture(scope="session")
def check_events():
    """Compares the events of a run with what `events` says of their kinds: keys and types."""
    from headstart.training import events
    from headstart.training.metrics import read_metrics

    known = {get_args(get_type_hints(kind)["kind"])[0]: kind for kind in get_args(events.Event)}

    def check(run: Path) -> set[str]:
        found = set()
        for event in read_metrics(run):
            assert fits(event, known[event["kind"]]), event
            found.add(event["kind"])
        return found

    return check


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
