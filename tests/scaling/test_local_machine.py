"""One planner: `plan --hardware here`, the quickstart and `--dry-run` say the same of this machine."""

import json
import re

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.models.flops import training_flops
from headstart.models.parameters import parameters
from headstart.quickstart.budget import DECODER_SHARE, ENCODER_SHARE, make_plan
from headstart.scaling import dry_run as dry_running
from headstart.scaling import local_machine
from headstart.scaling.local_machine import SIZES, TOKENS_PER_PARAMETER, candidates, plan_here
from headstart.scaling.published import REFIT
from headstart.scaling.shape import shape_for
from headstart.training.configuration import configuration
from headstart.training.recipe import PretrainRecipe
from headstart.training.step_cost import StepCost, random_batch, random_step_cost, step_cost

SPEED = 4e10


@pytest.fixture
def machine(monkeypatch):
    """A machine of 64 GB that makes exactly `SPEED` operations a second."""

    def cost(config, recipe) -> StepCost:
        tokens = recipe.rows * recipe.context
        flops = training_flops(config, tokens, recipe.context, tokens)
        return StepCost(flops / SPEED, parameters(config), True)

    facts = {"precision": "float32", "memory_gb": 64, "cpu": "a processor", "cores": 2}
    monkeypatch.setattr(local_machine, "describe_machine", lambda: facts | {"gemm_gflops": {"float32": 4.0}})
    monkeypatch.setattr(local_machine, "memory_bytes", lambda gpu: 64e9)
    monkeypatch.setattr(local_machine, "random_step_cost", cost)
    for module in (local_machine, dry_running):
        monkeypatch.setattr(module, "step_cost", lambda recipe, **_: cost(configuration(recipe), recipe))


@pytest.mark.parametrize("family", ["headstart-encoder", "headstart-decoder"])
@pytest.mark.parametrize("seconds", [200.0, 3000.0])
def test_three_ways_to_ask_agree(family, seconds, tokens, machine) -> None:
    here = plan_here(seconds, family, tokens)
    both = ENCODER_SHARE + DECODER_SHARE
    share = ENCODER_SHARE if family == "headstart-encoder" else DECODER_SHARE
    quick = make_plan(tokens, False, seconds * both / share, "float32", 0)
    planned = quick.encoder if family == "headstart-encoder" else quick.decoder
    sizes = {"family", "layers", "width", "heads", "feedforward_width"}
    assert planned.model.model_dump(include=sizes) == here.recipe.model.model_dump(include=sizes)
    same = {"steps", "rows", "context", "evaluate_every", "checkpoint_every", "precision", "objective"}
    assert planned.model_dump(include=same) == here.recipe.model_dump(include=same)
    assert planned.optimiser == here.recipe.optimiser  # rates that follow the width
    for recipe in (planned, here.recipe):
        said = dry_running.dry_run(recipe)
        assert said["seconds"] == pytest.approx(seconds, rel=1.5 / recipe.steps)
        assert said["parameters"]["all"] == here.best.parameters
        assert said["memory"]["peak"] == here.best.peak_bytes
        assert said["tokens"] == here.best.tokens


def test_the_size_grows_with_the_time_as_long_as_tokens_suffice(tokens, machine) -> None:
    sizes = []
    for seconds in (10.0, 1e4, 1e6):
        found = candidates(PretrainRecipe(tokens=tokens), seconds)
        sizes.append(len(found))
        for one in found[1:]:
            assert one.tokens >= TOKENS_PER_PARAMETER * one.parameters
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 2
    assert sizes[-1] <= len(SIZES)


def test_a_law_compares_sizes_where_one_is_given(tokens, machine) -> None:
    plain, by_law = (plan_here(3000.0, "headstart-decoder", tokens, law) for law in (None, REFIT))
    losses = [REFIT.loss(one.parameters, one.tokens) for one in by_law.models]
    assert losses.index(min(losses)) == by_law.models.index(by_law.best)
    assert plain.best == plain.models[-1]
    assert by_law.best.parameters < plain.best.parameters, "published laws want twenty tokens a parameter"


def test_the_command_needs_no_tokens_and_writes_a_recipe(tmp_path, machine) -> None:
    file = tmp_path / "recipe.yaml"
    arguments = ["plan", "--hardware", "here", "--time", "10 min"]
    answer = CliRunner().invoke(app, [*arguments, "--write", str(file)])
    assert answer.exit_code == 0, answer.output
    assert re.search(r"learns most in that time: [\d.]+M parameters on [\d.]+M tokens", answer.output)
    assert "(the smallest: no size sees a token a parameter in that time;" in answer.output
    longer = CliRunner().invoke(app, ["plan", "--hardware", "here", "--time", "5 h"])
    assert "(the largest that sees a token a parameter;" in longer.output
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    recipe = PretrainRecipe.load(file, ["tokens=somewhere"])
    assert recipe.steps == found["best"]["steps"] == found["settings"]["steps"]
    assert recipe.model.layers == found["best"]["layers"]


def test_too_little_memory_is_said(tokens, machine, monkeypatch) -> None:
    monkeypatch.setattr(local_machine, "memory_bytes", lambda gpu: 1e6)
    with pytest.raises(HeadstartError, match="needs more memory than this machine"):
        candidates(PretrainRecipe(tokens=tokens), 60.0)


@pytest.mark.parametrize(("family", "kind"), [("headstart-encoder", "masked"), ("t5", "denoising")])
def test_random_tokens_are_trained_on_as_text_would_be(family, kind) -> None:
    config = shape_for(family, 2e4, 300, 32)
    settings = {"tokens": "none", "rows": 2, "context": 32, "objective": {"kind": kind}}
    recipe = PretrainRecipe.model_validate(settings)
    cost = random_step_cost(config, recipe, 1)
    assert 0 < cost.seconds < 20
    assert cost.is_number
    assert cost.parameters == parameters(config)
    share = recipe.objective.mask_rate if kind == "masked" else 1.0
    assert len(random_batch(config, 2, 32, share).targets) == round(share * 64)


def test_a_measured_step_is_a_real_one(tokens) -> None:
    sizes = {"layers": 1, "width": 32, "heads": 2, "feedforward_width": 48}
    recipe = PretrainRecipe.model_validate({"tokens": tokens, "rows": 2, "context": 32, "model": sizes})
    assert step_cost(recipe, 1).parameters == parameters(configuration(recipe))
