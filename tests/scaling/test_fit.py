"""Fits recover the truth from runs made up from a known law, and refuse what they cannot fit."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import HeadstartError
from headstart.scaling.fit import Fit, fit, held_out
from headstart.scaling.frontier import envelope_frontier, isoflop_frontier, profiles
from headstart.scaling.laws import Parametric, Reach
from headstart.scaling.runs import MeasuredRun, read_runs

TRUTH = Parametric(
    "truth", "made up", E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.36, reach=Reach((1, 1e18), (1, 1e18))
)


def made_up(noise: float, seed: int = 0, computes: int = 7, sizes: int = 9) -> list[MeasuredRun]:
    """IsoFLOP profiles of the true law from 1e18 to 1e21 FLOPs, with log-normal noise."""
    random = np.random.default_rng(seed)
    runs = []
    for compute in np.geomspace(1e18, 1e21, computes):
        best = TRUTH.optimum(compute).parameters
        for parameters in best * np.geomspace(0.2, 5, sizes):
            tokens = compute / (6 * parameters)
            loss = TRUTH.loss(parameters, tokens) * math.exp(noise * random.standard_normal())
            runs.append(MeasuredRun(f"{compute:.0e}-{parameters:.3g}", parameters, tokens, loss))
    return runs


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fit(made_up(0.004), samples=300)


def test_without_noise_the_truth_comes_back() -> None:
    found = fit(made_up(0.0), samples=20)
    for constant in Parametric.CONSTANTS:
        assert getattr(found.law, constant) == pytest.approx(getattr(TRUTH, constant), rel=1e-3)
    assert not found.outliers


def test_with_noise_the_intervals_hold_the_truth(noisy: Fit) -> None:
    inside = [
        low <= getattr(TRUTH, c) <= high for c in Parametric.CONSTANTS for low, high in [noisy.interval(c)]
    ]
    assert all(inside)
    assert noisy.noise == pytest.approx(0.004, rel=0.4)
    assert noisy.error("alpha") < 0.05


def test_the_forecast_of_a_larger_run_holds_the_truth(noisy: Fit) -> None:
    optimum = TRUTH.optimum(1e23)
    loss, (low, high) = noisy.forecast(optimum.parameters, optimum.tokens)
    assert low < optimum.loss < high
    assert low < loss < high
    near = noisy.forecast(1e9, 20e9)[1]
    assert (high - low) / loss > (near[1] - near[0]) / TRUTH.loss(1e9, 20e9)  # further out, less sure


def test_intervals_are_as_wide_as_they_say() -> None:
    """Of small fits to 16 runs, about nine in ten intervals of the exponent a hold the truth."""
    hits = 0
    for seed in range(20):
        found = fit(made_up(0.005, seed, computes=4, sizes=4), samples=150, seed=seed)
        low, high = found.law.interval(lambda law: law.parameter_exponent)
        hits += low <= TRUTH.parameter_exponent <= high
    assert hits >= 14  # under 90 % coverage, fewer than 14 of 20 have probability 0.0004


def test_spoiled_runs_are_flagged_and_change_nothing(noisy: Fit) -> None:
    runs = made_up(0.004)
    spoiled = [MeasuredRun("broken", run.parameters, run.tokens, run.loss * 1.2) for run in runs[3:60:14]]
    found = fit(spoiled + runs, samples=20)
    assert found.outliers == spoiled
    assert found.law.beta == pytest.approx(noisy.law.beta, rel=1e-4)


def test_an_interval_shrinks_with_the_root_of_the_number_of_runs(noisy: Fit) -> None:
    low, high = noisy.law.interval(lambda law: law.parameter_exponent, 0.8)
    assert noisy.runs_for(high - low) == pytest.approx(len(noisy.runs))
    assert noisy.runs_for((high - low) / 10) == pytest.approx(100 * len(noisy.runs))


def test_the_smaller_runs_foretell_the_larger() -> None:
    checks = [held_out(made_up(0.004, seed), samples=100) for seed in range(5)]
    for check in checks:
        assert check is not None
        assert (check.runs, check.fitted) == (12, 51)
        assert check.factor == pytest.approx(10**0.5)
        assert check.mean_error < 0.02
        assert abs(check.bias) <= check.mean_error
    # The twelve share the doubt about the constants, so that a bad draw misses many of them at once.
    assert sum(check.inside for check in checks if check) >= 0.6 * 60
    assert held_out(made_up(0.004)[:10]) is None


def test_all_three_approaches_agree(noisy: Fit) -> None:
    runs = made_up(0.002)
    isoflop, envelope = isoflop_frontier(runs), envelope_frontier(runs)
    assert isoflop is not None
    assert envelope is not None
    assert len(profiles(runs)) == 7
    assert isoflop.exponent == pytest.approx(TRUTH.parameter_exponent, abs=0.03)
    assert isoflop.interval[0] < TRUTH.parameter_exponent < isoflop.interval[1]
    assert envelope.exponent == pytest.approx(TRUTH.parameter_exponent, abs=0.1)
    ratio = TRUTH.optimum(1e20).tokens_per_parameter
    assert isoflop.tokens_per_parameter(1e20) == pytest.approx(ratio, rel=0.2)


def test_profiles_need_equal_compute_and_a_minimum() -> None:
    grid = [
        MeasuredRun(f"{n}-{d}", n, d, TRUTH.loss(n, d))
        for n, d in zip(np.geomspace(1e6, 1e9, 9), np.geomspace(1e7, 1e8, 9), strict=True)
    ]
    assert profiles(grid) == []
    assert isoflop_frontier(grid) is None
    rising = [run for run in made_up(0.0) if run.parameters < TRUTH.optimum(run.compute).parameters * 0.9]
    assert profiles(rising) == []


def test_too_few_runs_say_how_many_are_needed() -> None:
    with pytest.raises(HeadstartError, match="at least 9 are needed"):
        fit(made_up(0.0)[:5])
    one_size = [MeasuredRun(str(n), 1e8, n * 1e9, 3.0 - n / 20) for n in range(1, 13)]
    with pytest.raises(HeadstartError, match="only 1 different model sizes"):
        fit(one_size)
    tied = [MeasuredRun(str(n), n, 20 * n, TRUTH.loss(n, 20 * n)) for n in np.geomspace(1e6, 1e9, 12)]
    with pytest.raises(HeadstartError, match="same power of their parameters"):
        fit(tied)


# --- reading --------------------------------------------------------------------------------------------


def test_tables_in_any_usual_form(tmp_path: Path) -> None:
    comma = tmp_path / "a.csv"
    comma.write_text("Model Size,Training FLOP,loss\n1e9,1.2e20,2.5\n2e9,1.2e20,2.4\n")
    tab = tmp_path / "b.tsv"
    tab.write_text("run\tparams\ttokens\tval_loss\nsmall\t1e8\t1e9\t3.5\n")
    lines = tmp_path / "c.jsonl"
    lines.write_text(json.dumps({"compute": 6e19, "tokens": 1e10, "loss": 2.9}) + "\n")
    runs = read_runs([comma, tab, lines]).runs
    assert [run.name for run in runs] == ["row 1", "row 2", "small", "row 1 (c.jsonl row 1)"]
    assert runs[0].tokens == pytest.approx(2e10)
    assert runs[3].parameters == pytest.approx(1e9)
    assert runs[2].compute == pytest.approx(6e17)


def test_tables_as_people_write_their_figures(tmp_path: Path) -> None:
    """Prefixes, thousands that are parted, semicolons with decimal commas, a short row."""
    tables = {
        "prefix.csv": "params,tokens,loss\n70M,1.4B,3.5\n",
        "parted.csv": 'n_params,n_tokens,val_loss\n"70,000,000","1,400,000,000",3.5\n',
        "semicolons.csv": "parameters;tokens;loss\n7e7;1,4e9;3,5\n",
        "tab.csv": "parameters\ttokens\tloss\n7e7\t1.4e9\t3.5\n",
        "decimals.csv": "parameters,compute,loss\n70000000.0,588e15,3.5 nats\n",
    }
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
        (run,) = read_runs([tmp_path / name]).runs
        assert (run.parameters, run.tokens, run.loss) == pytest.approx((7e7, 1.4e9, 3.5)), name
    (tmp_path / "long.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(HeadstartError, match="it has a, b"):
        read_runs([tmp_path / "long.csv"])


def test_diverged_and_broken_rows_are_left_out_with_the_reason(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(
        "name,n,d,loss\ngood,1e8,1e9,3\nnan,1e8,1e9,nan\nhigh,1e8,1e9,80\nzero,0,1e9,3\nhole,,1e9,3\n"
    )
    read = read_runs([table])
    assert [run.name for run in read.runs] == ["good"]
    assert "diverged" in read.left_out["nan"]
    assert "diverged" in read.left_out["high"]
    assert "parameters" in read.left_out["zero"]
    assert "parameters" in read.left_out["hole"]


def test_what_is_no_table_of_runs(tmp_path: Path) -> None:
    empty, strange, binary, broken = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv", "d.jsonl"))
    empty.write_text("n,d,loss\n")
    strange.write_text("width,loss\n3,4\n")
    binary.write_bytes(b"\xff\xfe\x00\x9f")
    broken.write_text("{")
    cases = [(empty, "no rows"), (strange, "needs a column"), (binary, "no text"), (broken, "line 1")]
    for path, said in [*cases, (tmp_path / "missing.csv", "there is no"), (tmp_path, "no run folder")]:
        with pytest.raises(HeadstartError, match=said):
            read_runs([path])


def test_run_folders(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    for name, loss in (("one", 3.0), ("two", None), ("three", 2.0)):
        folder = tmp_path / name
        folder.mkdir()
        losses = enumerate((9.0, 9.0, loss))  # a loss that is no number is written as null
        events = [
            {"seq": step, "kind": "evaluation", "step": step, "tokens": step * 1000, "loss": value}
            for step, value in losses
        ]
        (folder / "metrics.jsonl").write_text("\n".join(json.dumps(event) for event in events) + "\n")
        if name != "three":
            (folder / "model").mkdir()
            save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, folder / "model" / "model.safetensors")
    tuned = {"seq": 1, "kind": "evaluation", "step": 5, "seconds": 1.0, "score": 0.9}  # of a fine-tuning
    shutil.copytree(tmp_path / "one", tmp_path / "tuned")
    (tmp_path / "tuned" / "metrics.jsonl").write_text(json.dumps(tuned) + "\n")
    read = read_runs([tmp_path])
    assert [(run.parameters, run.tokens, run.loss) for run in read.runs] == [(17.0, 2000.0, 3.0)]
    assert "no evaluation" in read.left_out[str(tmp_path / "tuned")]
    assert [run.tokens for run in read.curves] == [1000.0, 2000.0]
    assert "diverged" in read.left_out[str(tmp_path / "two")]
    assert "not finished" in read.left_out[str(tmp_path / "three")]


def test_runs_that_say_nothing_still_give_a_law_that_can_be_asked() -> None:
    """Losses that do not fall with size or data end at the bounds, not in complex numbers."""
    random = np.random.default_rng(0)
    runs = [
        MeasuredRun(str(n), n, d, 3.0 + 0.3 * random.random())
        for n in (1e5, 3e5, 1e6, 3e6)
        for d in (1e6, 3e6, 1e7)
    ]
    found = fit(runs, samples=50)
    assert found.law.alpha > 0
    assert found.law.beta > 0
    assert found.law.interval(lambda law: law.optimum(1e14).parameters) is not None
