"""A design keeps its budget and spans what it should; a small sweep runs, goes on, and scores itself."""

from pathlib import Path

import pytest

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_manifest
from headstart.objectives.recipe import Causal
from headstart.scaling import sweep as sweep_module
from headstart.scaling.sweep import LARGER, design, remembered_budget, sweep
from headstart.scaling.width_transfer import rate_sweep
from headstart.tokenizer.shards import KIND, SPLITS, VERSION
from headstart.training.recipe import ModelRecipe, PretrainRecipe

BUDGET = 1.2e11


@pytest.fixture(scope="module")
def base(tokens: Path) -> PretrainRecipe:
    return PretrainRecipe(
        tokens=tokens,
        model=ModelRecipe(family="headstart-decoder"),
        objective=Causal(),
        context=16,
        rows=4,
        micro_rows=4,
        evaluate_rows=16,
    )


@pytest.fixture(scope="module")
def plentiful(base: PretrainRecipe, tmp_path_factory: pytest.TempPathFactory) -> PretrainRecipe:
    """The same with a tokens folder that claims more text than any sweep reads."""
    folder = tmp_path_factory.mktemp("plentiful")
    facts = {"shards": 0, "documents": 1, "bytes": 10**12, "tokens": 10**12, "domains": {}}
    fields = {"tokenizer_sha256": "", "vocab_size": 600, "splits": dict.fromkeys(SPLITS, facts)}
    write_manifest(folder, KIND, VERSION, fields)
    return base.model_copy(update={"tokens": folder})


def test_the_design_keeps_its_budget(plentiful: PretrainRecipe) -> None:
    budget = 1e15
    base = plentiful
    grid, final = design(base, budget)
    assert len(grid) >= 12
    assert len({run.parameters for run in grid}) >= 4
    computes = [run.compute for run in grid]
    assert computes == sorted(computes)
    assert computes[-1] > 60 * computes[0]  # about two decades
    assert final.compute == pytest.approx(LARGER * computes[-1], rel=0.3)
    assert final.compute >= 4 * computes[-1]
    assert sum(computes) + final.compute == pytest.approx(budget, rel=0.25)
    assert all(run.tokens == run.recipe.steps * 64 for run in grid)
    assert len({run.name for run in [*grid, final]}) == len(grid) + 1


def test_a_sweep_of_sizes_begins_with_no_model(base: PretrainRecipe) -> None:
    with pytest.raises(HeadstartError, match="start=some/model has one size"):
        design(base.model_copy(update={"start": Path("some/model")}), BUDGET)


def test_steps_of_a_sweep_follow_from_its_budget(base: PretrainRecipe, tmp_path: Path) -> None:
    """Minutes would take the place of the steps, and the law would be of other runs than are said."""
    timed = base.model_copy(update={"minutes": 0.5})
    with pytest.raises(HeadstartError, match="leave minutes out"):
        design(timed, BUDGET)
    with pytest.raises(HeadstartError, match="leave minutes out"):
        rate_sweep(timed, [32], None, tmp_path)


def test_budgets_that_make_no_sweep(base: PretrainRecipe, plentiful: PretrainRecipe) -> None:
    with pytest.raises(HeadstartError, match="too few for a sweep"):
        design(plentiful, 1e9)
    with pytest.raises(HeadstartError, match="repeated data"):
        design(base, 1e15)


def test_a_sweep_remembers_its_budget(tmp_path: Path) -> None:
    assert remembered_budget(tmp_path, "2 h", lambda: 5.0) == 5.0
    assert remembered_budget(tmp_path, "2 h", lambda: 7.0) == 5.0
    (tmp_path / "damaged").mkdir()
    for flops in ("-1", "0", "1e999"):
        (tmp_path / "damaged" / "budget.json").write_text(f'{{"flops": {flops}}}')
        with pytest.raises(HeadstartError, match=r"budget\.json"):
            remembered_budget(tmp_path / "damaged", "2 h", lambda: 5.0)
    with pytest.raises(HeadstartError, match="holds a sweep with --budget '2 h'"):
        remembered_budget(tmp_path, "3 h", lambda: 7.0)


@pytest.mark.slow
def test_a_sweep_trains_foretells_and_scores(
    base: PretrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "RATIOS", (0.1, 0.3, 0.9, 2.7))  # little text, so few tokens
    monkeypatch.setattr(sweep_module, "FEWEST_STEPS", 10)
    found = sweep(base, BUDGET, tmp_path)
    forecast = read_json(tmp_path / "forecast.json")
    assert forecast["times_the_largest_run"] >= 4
    assert found["score"]["measured"] > 0
    assert abs(found["score"]["error"]) < 0.2
    written = (tmp_path / "forecast.json").stat().st_mtime_ns
    again = sweep(base, BUDGET, tmp_path)  # everything is there already
    assert again["score"] == found["score"]
    assert (tmp_path / "forecast.json").stat().st_mtime_ns == written
