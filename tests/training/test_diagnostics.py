"""The diagnostics: silent over a healthy run, and of each sabotage it says what is wrong, once."""

import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from headstart.training import data_loader, run_folder, run_frame
from headstart.training.data_loader import DataLoader
from headstart.training.distributed import parallel
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.monitoring.diagnostics import WINDOW, Diagnostics
from headstart.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is measured once a run; here it is of no interest."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


def notes(run: Path) -> list[str]:
    """What was said, but for the speed of this machine, which others use."""
    said = [event["text"] for event in read_metrics(run) if event["kind"] == "note"]
    return [text for text in said if "something else running" not in text]


SMALL = {"context": 16, "rows": 8, "micro_rows": 8, "evaluate_every": 20, "checkpoint_every": 1000}
SMALL |= {"model": {"layers": 1}, "statistics_every": 10}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("masked", {}),
        ("masked", {"model": {"layers": 1, "family": "bert"}}),
        ("causal", {"documents_apart": False, "steps": 300}),
        ("span-corruption", {}),
        ("next-sentence", {"rows_warmup": 0.2, "context": 32}),
    ],
)
def test_a_healthy_run_is_not_remarked_upon(engine_recipe, tmp_path, kind, changes) -> None:
    rates = {"matrix_rate": 0.003, "vector_rate": 0.001}
    pretrain(engine_recipe(kind, **(SMALL | {"steps": 150, "optimiser": rates} | changes)), tmp_path / "run")
    assert notes(tmp_path / "run") == []


def test_a_layer_that_learns_nothing_is_named(engine_recipe, tmp_path, monkeypatch) -> None:
    parallelize = parallel.ParallelContext.parallelize

    def severed(self, model, recipe):
        model.encoder.blocks[0].feedforward.down.weight.register_hook(torch.zeros_like)
        parallelize(self, model, recipe)

    monkeypatch.setattr(parallel.ParallelContext, "parallelize", severed)
    pretrain(engine_recipe(steps=8, statistics_every=2), tmp_path / "run")
    (said,) = notes(tmp_path / "run")
    assert said.startswith("encoder.blocks.0.feedforward.down.weight gets no gradient")


def test_batches_that_come_again_are_noticed(engine_recipe, tmp_path, monkeypatch) -> None:
    batch = DataLoader.batch
    monkeypatch.setattr(DataLoader, "batch", lambda self, step: batch(self, step % 4))
    pretrain(engine_recipe("causal", steps=8), tmp_path / "run")
    (said,) = notes(tmp_path / "run")
    assert said == "step 5 read the very batch of step 1: is there less data than you think?"


def test_a_loss_that_rises_is_noticed(engine_recipe, tmp_path) -> None:
    rates = {
        "matrix_rate": 3.0,
        "vector_rate": 3.0,
        "schedule": "constant",
        "warmup_share": 0.9,
        "kind": "adamw",
    }
    settings = SMALL | {"steps": 240, "optimiser": rates, "statistics_every": None, "on_spike": "ignore"}
    pretrain(engine_recipe("causal", **settings), tmp_path / "run")
    said = [text for text in notes(tmp_path / "run") if text.startswith("the loss rises")]
    assert len(said) >= 1
    assert "scale_learning_rate" in said[0]


class Clock:
    """A clock that only moves when it is told to; it stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter

    def takes(self, seconds: float, act):
        """The same function, which takes so long."""

        def slow(*given):
            self.now += seconds
            return act(*given)

        return slow


class Lazy:
    """In the place of the background thread: work is done when its result is asked for."""

    def submit(self, act, *given):
        return SimpleNamespace(result=lambda: act(*given))

    def shutdown(self, **_: object) -> None:
        pass


@pytest.mark.parametrize(("wait", "remarks"), [(0.05, ["50%"]), (0.011, [])])
def test_data_that_keep_the_run_waiting_are_noticed(
    engine_recipe, tmp_path, monkeypatch, wait, remarks
) -> None:
    clock = Clock()
    monkeypatch.setattr(data_loader, "time", clock)
    monkeypatch.setattr(run_frame, "time", clock)
    monkeypatch.setattr(data_loader, "ThreadPoolExecutor", lambda *_: Lazy())
    monkeypatch.setattr(DataLoader, "_make", clock.takes(wait, DataLoader._make))
    monkeypatch.setattr(Trainer, "gradients", clock.takes(0.05, Trainer.gradients))
    pretrain(
        engine_recipe("denoising", **(SMALL | {"steps": 60, "statistics_every": None})), tmp_path / "run"
    )
    expected = [f"{share} of the time goes into waiting for data" for share in remarks]
    assert [text.split(";")[0] for text in notes(tmp_path / "run")] == expected


def step(number: int, **changes) -> dict:
    """An event of a sound run with steps of a second."""
    noise = random.Random(number)
    event = {
        "kind": "step",
        "step": number,
        "seconds": float(number),
        "loss": 3 + 5 * math.exp(-number / 50) + noise.gauss(0, 0.05),
        "gradient_norm": math.exp(noise.gauss(0, 0.3)),
        "tokens_per_second": 1000.0 + noise.gauss(0, 20),
        "data_wait": 0.01,
        "batch": number,
    }
    return event | changes


def said(events: list[dict]) -> list[str]:
    diagnostics = Diagnostics()
    return [text for event in events for text in diagnostics.see(event)]


SOUND = [step(number) for number in range(1, 601)]


def test_nothing_is_said_of_sound_events() -> None:
    assert said(SOUND) == []


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("the loss rises", lambda n: {"loss": 3 + 0.01 * n}),
        ("gradients grow", lambda n: {"gradient_norm": 50.0}),
        ("steps got slower", lambda n: {"tokens_per_second": 300.0}),
        ("waiting for data", lambda n: {"data_wait": 0.4}),
        ("the very batch", lambda n: {"batch": -1 - n % 7}),
    ],
)
def test_each_fault_is_said_once_and_again_when_it_comes_again(words, changed) -> None:
    def faulty(first: int) -> list[dict]:
        return [step(n, **changed(n - first + 50)) for n in range(first, first + 2 * WINDOW)]

    fault = faulty(601)
    found = said(SOUND + fault)
    assert len(found) == 1
    assert words in found[0]
    if words != "gradients grow":  # what is usual has grown by then
        between = [step(n) for n in range(701, 1001)]
        assert len(said(SOUND + fault + between + faulty(1001))) == 2


def test_learning_by_heart_is_noticed() -> None:
    events = list(SOUND)
    for number, loss in enumerate([4.0, 3.5, 3.4, 3.45, 3.5, 3.6, 3.7]):
        events += [step(n, loss=3 - 0.001 * n) for n in range(601 + 60 * number, 661 + 60 * number)]
        events.append({"kind": "evaluation", "step": 660 + 60 * number, "loss": loss})
    (text,) = said(events)
    assert text.startswith("held-out loss rises")


def test_updates_as_large_as_the_weights_are_noticed() -> None:
    tensors = {
        "a": {"gradient": 1.0, "weight": 2.0, "update": 0.5},
        "b": {"gradient": 1.0, "weight": 2.0, "update": 0.01},
    }
    event = {"kind": "statistics", "step": 100, "tensors": tensors}
    assert said([event, event]) == ["one step changes a by 50% of its size: too high a learning rate"]
