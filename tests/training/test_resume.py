"""A run that was cut off ends bitwise as the uninterrupted one, whatever its recipe keeps in memory."""

import hashlib
import itertools
import json
import math
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

from headstart.cli import app
from headstart.folder import fingerprint
from headstart.interchange.model_folder import load_model
from headstart.models.registry import family_named
from headstart.models.transformer import build
from headstart.objectives.vocabulary import read_vocabulary
from headstart.tokenizer.folder import open_tokenizer
from headstart.training import loop, run_folder
from headstart.training.configuration import configuration
from headstart.training.control import send
from headstart.training.data_loader import DataLoader
from headstart.training.distributed import parallel
from headstart.training.elmo_run import ElmoProgress
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.monitoring.spikes import Running, SpikeDetector
from headstart.training.recipe import ParallelRecipe, PretrainRecipe
from headstart.training.run_frame import Progress, snapshot_steps

# What differs between two runs that are the same: when it was, and how long it took.
TIMES = {
    "time", "seq", "seconds", "core_seconds", "tokens_per_second", "mfu", "memory_bytes", "data_wait",
    "metrics_seq", "sha256",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is measured once a run; here it is of no interest."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


class Killed(BaseException):
    """Nobody catches it: it stands for the kill."""


def cut(recipe: PretrainRecipe, run: Path, updates: int, monkeypatch) -> None:
    """Leave the run as a kill right before an update would."""
    update, left = loop.Run.update, iter(range(updates))

    def limited(self):
        if next(left, None) is None:
            raise Killed
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "update", limited)
        with pytest.raises(Killed):
            pretrain(recipe, run)


def account(run: Path) -> list[dict]:
    """The events that count, without what differs from run to run."""
    return [
        {name: value for name, value in event.items() if name not in TIMES}
        for event in read_metrics(run)
        if event["kind"] not in ("resume", "note")
    ]


def assert_same_run(run: Path, other: Path) -> None:
    """Losses, norms, rates and order of data; weights, optimiser and whatever else a checkpoint holds."""
    assert account(run) == account(other)
    assert (run / "model" / "model.safetensors").read_bytes() == (
        other / "model" / "model.safetensors"
    ).read_bytes()
    ours, theirs = (sorted(folder.glob("checkpoints/*/*")) for folder in (run, other))
    assert [path.relative_to(run) for path in ours] == [path.relative_to(other) for path in theirs]
    for one, another in zip(ours, theirs, strict=True):
        if one.suffix == ".safetensors":
            assert one.read_bytes() == another.read_bytes(), one
        elif one.suffix == ".json":
            states = (json.loads(path.read_text()) for path in (one, another))
            first, second = ({k: v for k, v in state.items() if k not in TIMES} for state in states)
            assert first == second


def optimiser(**changes) -> dict:
    return {"optimiser": {"warmup_share": 0.2, "decay_share": 0.4} | changes}


SETTINGS = {
    "muon": ("masked", {}),
    "adamw": ("causal", optimiser(kind="adamw", weight_decay=0.3)),
    "cosine": ("masked", optimiser(schedule="cosine")),
    "linear": ("masked", optimiser(schedule="linear")),
    "constant": ("causal", optimiser(schedule="constant")),
    "wsd": ("causal", optimiser(schedule="wsd")),
    "average": ("masked", optimiser(average=0.9)),
    "average and static start": ("masked", optimiser(average=0.9) | {"start": "static"}),
    "warm-ups": ("causal", {"rows_warmup": 0.6, "context_warmup": 0.8}),
    "warm-ups of an encoder-decoder": ("span-corruption", {"rows_warmup": 0.6, "context_warmup": 0.8}),
    "early stop": ("masked", optimiser(matrix_rate=3.0, vector_rate=3.0) | {"early_stop": 3, "steps": 40}),
    "documents whole": ("causal", {"packing": "best-fit"}),
    "extra losses": ("causal", {"z_loss": 1e-3, "label_smoothing": 0.1}),
    "in parts": ("prefix", {"micro_rows": 3, "statistics_every": 2, "documents_apart": False}),
    "bfloat16": ("causal", {"precision": "bfloat16", "checkpoint_activations": True}),
    "static masks": ("masked", {"objective": {"static": True, "whole_words": True}}),
    "pairs and dropout": ("next-sentence", {"statistics_every": 5}),
    "encoder-decoder": ("span-corruption", optimiser(kind="adamw")),
    "dropout in an encoder-decoder": ("denoising", optimiser(average=0.5)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_cut_off_and_resumed(engine_recipe, tmp_path, monkeypatch, name) -> None:
    kind, changes = SETTINGS[name]
    recipe = engine_recipe(kind, **changes)
    pretrain(recipe, tmp_path / "whole")
    run = tmp_path / "cut"
    cut(recipe, run, 5, monkeypatch)
    cut(recipe, run, 5, monkeypatch)
    pretrain(recipe, run)
    assert_same_run(run, tmp_path / "whole")
    ended = [event["step"] for event in account(run) if event["kind"] == "end"]
    if name == "early stop":
        assert 12 <= ended[0] < 40
    else:
        assert ended == [12]


def test_an_early_stop_ends_with_the_best_weights(engine_recipe, tmp_path, monkeypatch) -> None:
    """Not with the last ones; and a loss that is no number is never the best."""
    losses = iter([math.nan, 5.0, 3.0, math.nan, 4.0, 4.0, 4.0])
    held_out = loop.held_out
    monkeypatch.setattr(loop, "held_out", lambda *given: held_out(*given) | {"loss": next(losses)})
    recipe = engine_recipe(
        "causal", steps=40, early_stop=3, evaluate_every=2, checkpoint_every=2, keep_checkpoints=20
    )
    run = tmp_path / "run"
    pretrain(recipe, run)
    kept, best, last = (
        load_file(run / name / "model.safetensors")
        for name in ("model", "checkpoints/step-4", "checkpoints/step-10")
    )
    assert "Held-out loss 3.0000" in (run / "model/README.md").read_text()
    assert [event["step"] for event in account(run) if event["kind"] == "end"] == [10]
    # The folder's names are its family's; the values are those of the checkpoint.
    values = {tensor.double().sum().item() for tensor in kept.values()}
    assert values <= {tensor.double().sum().item() for tensor in best.values()}
    assert not values <= {tensor.double().sum().item() for tensor in last.values()}


def test_cut_off_in_every_phase_of_a_mixture(engine_recipe, tmp_path, monkeypatch) -> None:
    domains = ["austen", "king", "milton", "shakespeare"]
    phases = [
        {"until": 0.3, "domains": {domains[0]: 2, domains[2]: 1, domains[3]: 1}},
        {"until": 0.6, "domains": dict.fromkeys(domains, 1)},
        {"domains": {domains[3]: 1}},
    ]
    recipe = engine_recipe("causal", phases=phases, rows_warmup=0.5, context_warmup=0.5, evaluate_rows=99)
    pretrain(recipe, tmp_path / "whole")
    for _ in range(3):
        cut(recipe, tmp_path / "cut", 4, monkeypatch)
    pretrain(recipe, tmp_path / "cut")
    assert_same_run(tmp_path / "cut", tmp_path / "whole")
    (last,) = [event for event in account(tmp_path / "whole") if event.get("domains") and event["step"] == 12]
    assert set(last["domains"]) == set(domains)
    assert sum(one["targets"] for one in last["domains"].values()) == last["targets"]
    loss = sum(one["loss"] * one["targets"] for one in last["domains"].values()) / last["targets"]
    assert loss == pytest.approx(last["loss"])


def test_run_folders_of_earlier_versions_go_on(engine_recipe, tmp_path, monkeypatch) -> None:
    """Their recipe holds the settings of all objectives and lacks newer keys; their state has other names."""
    recipe = engine_recipe("causal")
    pretrain(recipe, tmp_path / "whole")
    run = tmp_path / "cut"
    cut(recipe, run, 5, monkeypatch)
    values = yaml.safe_load((run / "recipe.yaml").read_text())
    del values["figures_every"]
    values["objective"] = {
        "kind": "causal", "mask_rate": 0.4, "whole_words": False, "fixed_count": False, "static": False,
        "mean_span": 3.0, "permute_sentences": True, "delete_rate": 0.0,
    }  # fmt: skip
    (run / "recipe.yaml").write_text(yaml.safe_dump(values))
    facts = json.loads((run / "run.json").read_text())
    manifest = json.loads((recipe.tokens / "manifest.json").read_text())
    dump = {key: value for key, value in values.items() if key not in loop.FREE}
    identity = fingerprint([dump, [manifest["tokenizer_sha256"], manifest["splits"]]])
    assert facts["fingerprint"] != identity
    (run / "run.json").write_text(json.dumps(facts | {"fingerprint": identity}))
    state_file = run / "checkpoints" / "step-3" / "state.json"
    state = json.loads(state_file.read_text())
    state["guard"] = state.pop("spikes")
    state_file.write_text(json.dumps(state))
    digest = hashlib.sha256(state_file.read_bytes()).hexdigest()
    (state_file.parent / "state.sha256").write_text(f"{digest}  state.json\n")
    with pytest.raises(loop.HeadstartError, match="holds a run with other settings"):
        pretrain(recipe.model_copy(update={"seed": 1}), run)
    pretrain(recipe, run)
    assert account(run) == account(tmp_path / "whole")
    ours, theirs = (folder / "model" / "model.safetensors" for folder in (run, tmp_path / "whole"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("name", ["average", "in parts"])
def test_snapshots_are_models_of_the_way(engine_recipe, tmp_path, monkeypatch, name) -> None:
    """At step 0, the last step and some between them; of a run that was cut off, too."""
    kind, changes = SETTINGS[name]
    recipe = engine_recipe(kind, **changes, snapshots=5)
    pretrain(engine_recipe(kind, **changes), tmp_path / "plain")
    cut(recipe, tmp_path / "run", 4, monkeypatch)
    pretrain(recipe, tmp_path / "run")
    assert account(tmp_path / "run") == account(tmp_path / "plain")
    steps = sorted(int(path.name[5:]) for path in (tmp_path / "run" / "snapshots").iterdir())
    assert steps == [0, 1, 2, 5, 12]
    final = load_model(tmp_path / "run").model.state_dict()
    last = load_model(tmp_path / "run" / "snapshots" / "step-12").model.state_dict()
    first = load_model(tmp_path / "run" / "snapshots" / "step-0").model.state_dict()
    for weight, tensor in final.items():
        assert torch.equal(last[weight], tensor.bfloat16().float()), weight
    assert any(not torch.equal(first[weight], last[weight]) for weight in final)
    sizes = [
        (tmp_path / "run" / folder / "model.safetensors").stat().st_size
        for folder in ("snapshots/step-5", "model")
    ]
    assert sizes[0] < 0.6 * sizes[1]
    card = (tmp_path / "run" / "snapshots" / "step-5" / "README.md").read_text()
    assert "in 5 steps" in card
    assert "Held-out loss at step 4: " in card


@pytest.mark.parametrize(("steps", "count"), [(1, 3), (12, 0), (12, 1), (12, 2), (100_000, 12), (3, 9)])
def test_snapshots_lie_closer_together_early_on(steps, count) -> None:
    kept = sorted(snapshot_steps(steps, count))
    assert len(kept) <= count
    if count:
        assert kept[0] == 0
    if count > 1:
        assert kept[-1] == steps
    gaps = np.diff(kept)
    assert (np.diff(gaps) >= 0).all()


def test_progress_is_saved_and_restored_whole() -> None:
    """Field by field, those of subclasses and the spike detector among them; unknown keys are left."""
    numbers = itertools.count(1)
    spikes = SpikeDetector(5.0, Running(1.0, 2.0, 3), Running(4.0, 5.0, 6), 7)
    for kind in (Progress, ElmoProgress, loop.PretrainProgress):
        values = {
            field.name: {"changed": True, "spikes": spikes}.get(field.name, next(numbers))
            for field in fields(kind)
        }
        progress = kind(**values)
        state = json.loads(json.dumps(asdict(progress)))
        assert kind.from_state(state | {"sha256": {}}) == progress
        back = progress.back_to(kind())
        lasting = {"seconds", "core_seconds", "rate_factor", "changed", "control_seq", "metrics_seq"}
        for field in fields(kind):
            kept = progress if field.name in lasting else kind()
            assert getattr(back, field.name) == getattr(kept, field.name), field.name
    earlier = {"step": 3, "epoch": 1, "place": 2, "words": 9, "seconds": 1.5, "rate_factor": 0.5}
    assert ElmoProgress.from_state(earlier).changed is True, "ELMo's checkpoints did not say it once"


def spoil(monkeypatch, steps: set[int]) -> None:
    """Let the batches of some steps have no number for a loss."""
    batch, honest, now = DataLoader.batch, parallel.loss_sum, [0]

    def noted(self, step):
        now[0] = step
        return batch(self, step)

    def spoilt(model, part, *rest, **extras):
        return honest(model, part, *rest, **extras) * (
            math.nan if now[0] in steps and model.training else 1.0
        )

    monkeypatch.setattr(DataLoader, "batch", noted)
    monkeypatch.setattr(parallel, "loss_sum", spoilt)


@pytest.mark.parametrize("policy", ["skip", "rollback"])
@pytest.mark.parametrize("updates", [[5], [6], [8], [9, 1, 2], [11]])
def test_cut_off_around_spikes(engine_recipe, tmp_path, monkeypatch, policy, updates) -> None:
    """Before a bad batch, right behind it, and after what was done about it."""
    recipe = engine_recipe("masked", on_spike=policy, optimiser={"average": 0.9})
    spoil(monkeypatch, {4, 7, 8})
    pretrain(recipe, tmp_path / "whole")
    for count in updates:
        cut(recipe, tmp_path / "cut", count, monkeypatch)
    pretrain(recipe, tmp_path / "cut")
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_a_bad_batch_is_left_out(engine_recipe, tmp_path, monkeypatch, check_events) -> None:
    spoil(monkeypatch, {4, 7})
    pretrain(engine_recipe(on_spike="skip", statistics_every=4), tmp_path / "run")
    assert check_events(tmp_path / "run") == {"step", "evaluation", "statistics", "spike", "end"}
    events = account(tmp_path / "run")
    assert [event["step"] for event in events if event["kind"] == "step"] == [1, 2, 3, 4, 6, 7, 9, 10, 11, 12]
    spikes = [(event["action"], event["at"]) for event in events if event["kind"] == "spike"]
    assert spikes == [("skip", 5), ("skip", 8)]
    assert [e["step"] for e in events if e["kind"] == "evaluation"] == [0, 4, 8, 12]


def test_going_back_passes_over_the_bad_rows(engine_recipe, tmp_path, monkeypatch) -> None:
    """The account has every step once; what was read is the plain order without what was passed over."""
    plain, run = tmp_path / "plain", tmp_path / "run"
    pretrain(engine_recipe(steps=20), plain)
    read = {event["step"]: event["batch"] for event in account(plain) if event["kind"] == "step"}
    spoil(monkeypatch, {7})  # of step 8; the checkpoint is of step 6
    stopped = loop.Run.update

    def slower(self):
        if self.step == 6 and not self.progress.passed:
            send(self.folder, "set_learning_rate", rate=0.001)
        return stopped(self)

    monkeypatch.setattr(loop.Run, "update", slower)
    pretrain(engine_recipe(steps=20, on_spike="rollback"), run)
    events = account(run)
    steps = [event for event in events if event["kind"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 21))
    order = [*range(1, 7), *range(9, 23)]
    assert [event["batch"] for event in steps if event["step"] <= 18] == [read[step] for step in order[:18]]
    assert [event["step"] for event in events if event["kind"] == "evaluation"] == [0, 4, 8, 12, 16, 20]
    (spike,) = [event for event in events if event["kind"] == "spike"]
    assert (spike["action"], spike["step"], spike["at"]) == ("rollback", 6, 8)
    rates = [event["learning_rate"] for event in steps]
    assert max(rates[6:]) <= 0.001, "a rate set by hand outlasts the return"
    assert events[-1]["changed_by_control"] is True
    seconds = [event["seconds"] for event in read_metrics(run) if event["kind"] == "step"]
    assert seconds == sorted(seconds)


def test_going_back_again_and_again_is_given_up(engine_recipe, tmp_path, monkeypatch) -> None:
    spoil(monkeypatch, set(range(7, 100)))
    with pytest.raises(loop.HeadstartError, match="the loss is nan"):
        pretrain(engine_recipe(on_spike="rollback", steps=50), tmp_path / "back")
    with pytest.raises(loop.HeadstartError, match="the loss is nan"):
        pretrain(engine_recipe(on_spike="skip", steps=50), tmp_path / "skip")


@pytest.mark.parametrize("every", [2, 5, 100])
@pytest.mark.parametrize("name", ["muon", "adamw", "average", "in parts"])
def test_figures_that_are_read_together_are_those_of_every_step(engine_recipe, tmp_path, name, every) -> None:
    """As on a GPU, which is not waited for in every step; only clipping rounds in another way."""
    kind, changes = SETTINGS[name]
    pretrain(engine_recipe(kind, **changes), tmp_path / "each")
    pretrain(engine_recipe(kind, **changes, figures_every=every), tmp_path / "together")
    each, together = (account(tmp_path / run) for run in ("each", "together"))
    assert [(e["kind"], e["step"]) for e in together] == [(e["kind"], e["step"]) for e in each]
    for ours, theirs in zip(together, each, strict=True):
        assert ours.keys() == theirs.keys()
        for figure in ("loss", "gradient_norm", "learning_rate", "batch", "tokens"):
            assert ours.get(figure, 0.0) == pytest.approx(theirs.get(figure, 0.0), rel=1e-3)
    seconds = [e["seconds"] for e in read_metrics(tmp_path / "together") if e["kind"] == "step"]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("name", ["muon", "adamw", "average"])
def test_the_device_leaves_out_what_is_no_number(engine_recipe, tmp_path, monkeypatch, name) -> None:
    """Nothing of it stays: weights, optimiser and average are those of a run that looked at every step."""
    kind, changes = SETTINGS[name]
    spoil(monkeypatch, {2, 3, 7})
    for run, every in (("each", 1), ("together", 4)):
        pretrain(engine_recipe(kind, **changes, figures_every=every), tmp_path / run)
    each, together = (account(tmp_path / run) for run in ("each", "together"))
    for told in ("step", "evaluation", "spike"):
        ours, theirs = ([e for e in events if e["kind"] == told] for events in (together, each))
        assert [(e["step"], e.get("action")) for e in ours] == [(e["step"], e.get("action")) for e in theirs]
        assert [e.get("loss", 0.0) for e in ours] == pytest.approx(
            [e.get("loss", 0.0) for e in theirs], rel=1e-3
        )
    states = [
        json.loads((tmp_path / run / "checkpoints" / "step-12" / "state.json").read_text())
        for run in ("each", "together")
    ]
    assert states[0]["step"] == states[1]["step"] == 12
    assert states[0]["spikes"]["loss"]["count"] == states[1]["spikes"]["loss"]["count"] == 9


def test_spikes_that_are_noticed_late_are_gone_back_from(engine_recipe, tmp_path, monkeypatch) -> None:
    """Every row is passed over that was read since the checkpoint; the account has every step once."""
    spoil(monkeypatch, {6})  # of step 7; the checkpoint is of step 6, figures are read at steps 5, 6 and 8
    pretrain(engine_recipe(steps=20, on_spike="rollback", figures_every=5), tmp_path / "run")
    events = account(tmp_path / "run")
    assert [e["step"] for e in events if e["kind"] == "step"] == list(range(1, 21))
    (spike,) = [e for e in events if e["kind"] == "spike"]
    assert (spike["action"], spike["step"], spike["at"]) == ("rollback", 6, 7)
    assert [e["step"] for e in events if e["kind"] == "evaluation"] == [0, 4, 8, 12, 16, 20]
    with pytest.raises(loop.HeadstartError, match=r"the loss is nan, .* at step 7 of"):
        pretrain(engine_recipe(steps=20, on_spike="stop", figures_every=5), tmp_path / "stop")


@pytest.fixture(scope="module")
def gradients(engine_recipe):
    """The loss and the gradients of a step's batch computed so many rows at once, without dropout."""
    runs = {}

    def compute(kind: str, rows: int, step: int):
        if kind not in runs:
            recipe = engine_recipe(kind, context_warmup=0.9, rows=6, z_loss=1e-3, label_smoothing=0.1)
            tokenizer = open_tokenizer(recipe.tokens)
            model = build(configuration(recipe), 0)
            layout = parallel.ParallelContext(ParallelRecipe(), torch.device("cpu"))
            layout.parallelize(model, recipe)
            start = family_named(recipe.model.family).decoder_start
            runs[kind] = DataLoader(recipe, read_vocabulary(tokenizer, start)), model.eval(), layout
        feed, model, layout = runs[kind]
        batch = feed.batch(step)
        model.zero_grad()
        loss = layout.backward(list(batch.split(rows)), len(batch.targets))
        return float(loss), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    yield compute
    for feed, _, _ in runs.values():
        feed.close()


@pytest.mark.parametrize(
    "kind", ["masked", "next-sentence", "causal", "prefix", "span-corruption", "denoising"]
)
@settings(max_examples=8)
@given(rows=st.integers(1, 23), step=st.sampled_from([0, 8, 11]))
def test_parts_of_a_step_make_the_whole(gradients, kind, rows, step) -> None:
    """Parts without a single target among them."""
    loss, whole = gradients(kind, 24, step)
    in_parts, summed = gradients(kind, rows, step)
    assert in_parts == pytest.approx(loss, rel=1e-5)
    assert summed.keys() == whole.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        assert torch.allclose(summed[name], gradient, rtol=1e-3, atol=1e-5 * largest), name


def test_every_setting_of_the_recipe_was_thought_of(engine_recipe) -> None:
    """A new setting belongs in one of the tests above, or is known to hold no state."""
    stateless = {"tokens", "model", "seed", "device", "compile", "parallel", "spike_deviations", "sinks"}
    stateless |= {"context", "rows", "steps", "evaluate_every", "evaluate_rows", "checkpoint_every"}
    stateless |= {"keep_checkpoints", "keep_every", "prompts", "figures_every", "snapshots", "capture_every"}
    stateless |= {"minutes"}  # become steps before the first one
    tested = set(itertools.chain.from_iterable(changes for _, changes in SETTINGS.values()))
    assert set(PretrainRecipe.model_fields) == stateless | tested | {"phases", "on_spike"}


@pytest.mark.parametrize("content", [b"", b"\0" * 90, b"[]\n5\n"])
def test_a_run_whose_events_are_lost_still_ends(engine_recipe, tmp_path, content) -> None:
    """Killed when all steps were made and the model not yet written, and metrics.jsonl damaged."""
    run = tmp_path / "run"
    pretrain(engine_recipe(steps=2), run)
    whole = load_file(run / "model" / "model.safetensors")
    shutil.rmtree(run / "model")
    (run / "metrics.jsonl").write_bytes(content)
    done = CliRunner().invoke(app, ["pretrain", "--recipe", str(run / "recipe.yaml"), "--out", str(run)])
    assert done.exit_code == 0, done.exception
    assert "metrics.jsonl has lost the figures" in done.output
    assert "has lost its evaluations" in (run / "model" / "README.md").read_text("utf-8")
    again = load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())


def test_the_card_of_a_run_that_lost_its_last_evaluation_tells_its_steps(engine_recipe, tmp_path) -> None:
    run = tmp_path / "run"
    pretrain(engine_recipe(steps=4, evaluate_every=2), run)
    shutil.rmtree(run / "model")
    events = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    last = max(place for place, event in enumerate(events) if b'"evaluation"' in event)
    (run / "metrics.jsonl").write_bytes(b"".join(events[:last]))
    pretrain(engine_recipe(steps=4, evaluate_every=2), run)
    card = (run / "model" / "README.md").read_text("utf-8")
    assert "in 4 steps" in card
    assert "Held-out loss at step 2: " in card


@pytest.mark.parametrize("killed_in", ["describe_machine", "Recipe.save"])
def test_a_run_killed_while_it_claims_its_folder_begins_again(
    engine_recipe, tmp_path, monkeypatch, killed_in
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    run, recipe = tmp_path / "run", engine_recipe(steps=2)
    with monkeypatch.context() as patched:
        patched.setattr(f"headstart.training.run_folder.{killed_in}", kill)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, run)
    pretrain(recipe, run)
    assert (run / "model" / "model.safetensors").exists()
    assert PretrainRecipe.load(run / "recipe.yaml", []) == recipe
