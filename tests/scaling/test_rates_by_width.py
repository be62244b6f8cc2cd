"""Rates and initial embedding for another width, and the sweep that shows whether they hold."""

import math

import pytest

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model
from headstart.scaling.width_rule import recipe_for_width
from headstart.scaling.width_transfer import FACTORS, best_factor, rate_sweep
from headstart.training import run_folder
from headstart.training.recipe import PretrainRecipe


@pytest.fixture
def base(tokens, monkeypatch) -> PretrainRecipe:
    monkeypatch.setattr(run_folder, "describe_machine", dict)
    return PretrainRecipe.model_validate(
        {
            "tokens": tokens,
            "model": {"family": "headstart-decoder", "layers": 1},
            "objective": {"kind": "causal"},
            "context": 16,
            "rows": 4,
            "micro_rows": 4,
            "steps": 3,
            "evaluate_rows": 8,
            "evaluate_every": 3,
            "checkpoint_every": 3,
        }
    )


def test_the_rule_follows_the_root_of_the_width(base) -> None:
    wide = recipe_for_width(base, 256, tuned_width=64)
    assert wide.model.width == 256
    assert wide.model.heads == 8
    assert wide.optimiser.matrix_rate == pytest.approx(base.optimiser.matrix_rate / 2)
    assert wide.optimiser.vector_rate == pytest.approx(base.optimiser.vector_rate / 2)
    assert wide.model.embedding_deviation == pytest.approx(0.01)
    same = recipe_for_width(base, 256, tuned_width=None)
    assert same.optimiser == base.optimiser
    assert same.model.embedding_deviation is None


def test_a_sweep_trains_every_width_at_every_rate(base, tmp_path) -> None:
    losses = rate_sweep(base, [32, 64], 32, tmp_path)
    assert set(losses) == {32, 64}
    assert all(len(set(row)) == len(FACTORS) for row in losses.values()), "every rate gives another loss"
    made = load_model(tmp_path / "width-64-rates-1").model
    assert made.config.width == 64
    assert float(made.embedding.weight.detach().std()) == pytest.approx(0.02 / math.sqrt(2), rel=0.1)
    assert rate_sweep(base, [32, 64], 32, tmp_path) == losses, "finished runs are not trained again"


def test_a_sweep_of_widths_begins_with_no_model(base, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="has one size"):
        rate_sweep(base.model_copy(update={"start": tmp_path}), [32, 64], None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_best_factor_lies_at_the_vertex() -> None:
    def parabola(best: float) -> list[float]:
        return [3.0 + 0.1 * math.log2(factor / best) ** 2 for factor in FACTORS]

    for best in (0.6, 1.0, 1.7):
        assert best_factor(parabola(best)) == pytest.approx(best)
    assert best_factor([float(n) for n in range(len(FACTORS))]) == FACTORS[0]
    assert best_factor([float(-n) for n in range(len(FACTORS))]) == FACTORS[-1]
