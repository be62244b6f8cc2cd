"""Runs of the models that read words: word2vec, GloVe, ELMo; whatever happens to them, they end the same."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError, Stopped
from headstart.folder import write_manifest
from headstart.models.vectors.elmo import ElmoLanguageModel, load_elmo
from headstart.models.vectors.word_vectors import WordVectors
from headstart.training import checkpoint, elmo_run, run_folder, run_frame
from headstart.training.control import send
from headstart.training.elmo_run import ElmoRecipe, ElmoRun, SentenceOrder, Sentences, train_elmo
from headstart.training.metrics import read_metrics
from headstart.training.monitoring.capture import capture_elmo
from headstart.training.restore import open_any
from headstart.training.word_vectors_run import (
    GloveRecipe,
    GloveRun,
    HeldOut,
    Word2VecRecipe,
    Word2VecRun,
    train_glove,
    train_word2vec,
)

TRAINERS = {"word2vec": train_word2vec, "glove": train_glove, "elmo": train_elmo}


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is of no interest here."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


@pytest.fixture(scope="module")
def corpus(documents, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("word-runs") / "corpus"
    (folder / "documents").mkdir(parents=True)
    table = pa.Table.from_pylist(documents[:400])
    pq.write_table(table, folder / "documents" / "part-00000.parquet")
    write_manifest(folder, "corpus", 1, {"funnel": [{"stage": "read", "documents": len(table)}]})
    return folder


@pytest.fixture(scope="module")
def recipe(corpus):
    def make(family: str, **changes):
        if family == "elmo":
            model = {"family": "elmo", "size": "tiny", "min_count": 2, "samples": 200}
            steps = {
                "words": 300,
                "steps": 12,
                "evaluate_every": 4,
                "evaluate_words": 500,
                "checkpoint_every": 3,
            }
            return ElmoRecipe.model_validate(
                {"corpus": corpus, "model": model, "heldout_share": 0.05, "rate": 0.01} | steps | changes
            )
        model = {"family": family, "width": 8, "min_count": 3}
        if family == "word2vec":
            settings = {"corpus": corpus, "model": model, "epochs": 3, "heldout_share": 0.05} | changes
            return Word2VecRecipe.model_validate(settings)
        return GloveRecipe.model_validate({"corpus": corpus, "model": model, "epochs": 3} | changes)

    return make


@pytest.fixture(autouse=True)
def _tiny_elmo(monkeypatch) -> None:
    options = elmo_run.preset("laptop")
    characters = type(options.char_cnn)(((1, 4), (3, 8)), 1)
    tiny = type(options)(characters, type(options.lstm)(dim=16, projection_dim=8))
    monkeypatch.setattr(elmo_run, "preset", {"tiny": tiny, "laptop": options}.__getitem__)


def result(run: Path) -> dict[str, np.ndarray]:
    return {
        f"{file.name} {name}": tensor.numpy()
        for file in (run / "model").glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def story(run: Path) -> list[dict]:
    """What a run reached, step by step, without times."""
    changing = {"seq", "time", "seconds", "core_seconds", "words_per_second", "cells_per_second"}
    return [
        {name: value for name, value in event.items() if name not in changing}
        for event in read_metrics(run)
        if event["kind"] in ("step", "evaluation")
    ]


def assert_same_run(run: Path, other: Path) -> None:
    ours, theirs = result(run), result(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name
    assert story(run) == story(other)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """One uninterrupted run of each family, made when it is first asked for."""
    runs: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in runs:
            runs[family] = tmp_path_factory.mktemp("whole") / family
            TRAINERS[family](recipe(family), runs[family])
        return runs[family]

    return make


@pytest.mark.parametrize("family", TRAINERS)
def test_a_whole_run(whole, recipe, family, check_events) -> None:
    run = whole(family)
    assert check_events(run) >= {"step", "end"}
    assert [event["kind"] for event in read_metrics(run)][-1] == "end"
    key = {"word2vec": "heldout_loss"}.get(family, "loss")
    kind = "evaluation" if family == "elmo" else "step"
    figures = [event[key] for event in story(run) if event["kind"] == kind]
    assert figures[-1] < figures[0], "it learns"
    assert type(recipe(family)).load(run / "recipe.yaml", []) == recipe(family)
    assert json.loads((run / "run.json").read_text())["seed"] == 0
    assert list(run.glob("events.out.tfevents.*"))
    assert len(list((run / "checkpoints").iterdir())) == recipe(family).keep_checkpoints
    assert not (run / "text").exists(), "what can be made again from the corpus is cleared away"
    assert not (run / "cells").exists()
    if family == "elmo":
        vectors, _ = load_elmo(run / "model")([["It", "was"]])
        assert vectors.shape == (3, 1, 2, 16)
        last = read_metrics(run)[-2]
        assert last["perplexity"] == pytest.approx(math.exp(last["loss"]))
    else:
        vectors = WordVectors.load(run / "model")
        assert "the" in vectors.words[:3]
        assert list(vectors.counts) == sorted(vectors.counts, reverse=True)
        assert vectors.counts[-1] >= 3


@pytest.mark.parametrize("family", TRAINERS)
def test_started_again_a_finished_run_does_nothing(whole, recipe, family) -> None:
    run = whole(family)
    before = (run / "metrics.jsonl").read_bytes()
    assert TRAINERS[family](recipe(family), run) == run / "model"
    assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("family", TRAINERS)
def test_the_same_recipe_gives_the_same_run_and_another_seed_does_not(
    whole, recipe, family, tmp_path
) -> None:
    more = {"workers": 2} if family == "glove" else {}
    TRAINERS[family](recipe(family, **more), tmp_path / "again")
    assert_same_run(tmp_path / "again", whole(family))
    with pytest.raises(HeadstartError, match="other settings"):
        TRAINERS[family](recipe(family, seed=1), tmp_path / "again")
    TRAINERS[family](recipe(family, seed=1), tmp_path / "other")
    assert story(tmp_path / "other") != story(whole(family))


@pytest.mark.parametrize("family", TRAINERS)
def test_a_run_that_broke_off_ends_as_the_uninterrupted_one(
    whole, recipe, family, tmp_path, monkeypatch
) -> None:
    save, calls = checkpoint.Checkpoints.save, []

    def breaks(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return save(*given)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", breaks)
        with pytest.raises(KeyboardInterrupt):
            TRAINERS[family](recipe(family), tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()
    TRAINERS[family](recipe(family), tmp_path / "run")
    assert_same_run(tmp_path / "run", whole(family))
    assert "resume" in [event["kind"] for event in read_metrics(tmp_path / "run")]


def test_a_damaged_checkpoint_is_passed_over(whole, recipe, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(elmo_run.ElmoLanguageModel, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_elmo(recipe("elmo"), tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-12" / "tensors.safetensors").write_bytes(b"no")
    train_elmo(recipe("elmo"), tmp_path / "run")
    assert_same_run(tmp_path / "run", whole("elmo"))


def test_elmo_obeys_the_control_file(whole, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    send(run, "stop")
    with pytest.raises(Stopped, match="stopped after step 0"):
        train_elmo(recipe("elmo"), run)
    assert (run / "checkpoints" / "step-0").exists()
    train_elmo(recipe("elmo"), run)
    assert result(run).keys() == result(whole("elmo")).keys()
    assert story(run) == story(whole("elmo"))


def sends(monkeypatch, run_class, commands: dict[int, list[tuple[str, dict]]]) -> None:
    """Send commands before the updates of some steps; they are obeyed before the next one."""
    update = run_class.update

    def sending(self):
        for action, values in commands.get(self.step, []):
            send(self.folder, action, **values)
        return update(self)

    monkeypatch.setattr(run_class, "update", sending)


RUNS = {"elmo": ElmoRun, "word2vec": Word2VecRun, "glove": GloveRun}


@pytest.mark.parametrize("family", TRAINERS)
def test_every_loop_does_what_the_control_file_asks_for(whole, recipe, family, tmp_path, monkeypatch) -> None:
    """What a run writes as obeyed, it has done: rates, a checkpoint, a stop; and once, over a restart too."""
    run = tmp_path / "run"
    rate = recipe(family).rate
    commands = [("scale_learning_rate", {"factor": 0.5}), ("set_learning_rate", {"rate": rate / 4})]
    with monkeypatch.context() as patch:
        sends(patch, RUNS[family], {0: [*commands, ("checkpoint", {}), ("stop", {})]})
        with pytest.raises(Stopped, match="stopped after step 1: the control file asked for it"):
            TRAINERS[family](recipe(family), run)
    assert (run / "checkpoints" / "step-1").is_dir()
    TRAINERS[family](recipe(family), run)
    events = read_metrics(run)
    told = [event["action"] for event in events if event["kind"] == "control"]
    assert told == ["scale_learning_rate", "set_learning_rate", "checkpoint", "stop"]
    ours, theirs = (
        [event["learning_rate"] for event in read_metrics(folder) if event["kind"] == "step"]
        for folder in (run, whole(family))
    )
    factors = [mine / plain for mine, plain in zip(ours, theirs, strict=True)]
    assert factors == pytest.approx([1.0] + [0.25] * (len(ours) - 1))
    assert events[-1]["changed_by_control"] is True
    assert read_metrics(whole(family))[-1]["changed_by_control"] is False
    assert any(not np.array_equal(result(run)[name], result(whole(family))[name]) for name in result(run))


@pytest.mark.parametrize("family", TRAINERS)
def test_every_loop_pauses_and_makes_single_steps(whole, recipe, family, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    send(run, "pause")
    actions, made = iter(["step", "capture", "resume"]), []

    def waits(_: float) -> None:
        made.append(len([event for event in read_metrics(run) if event["kind"] == "step"]))
        send(run, next(actions))

    clock = SimpleNamespace(perf_counter=time.perf_counter, process_time=time.process_time, sleep=waits)
    monkeypatch.setattr(run_frame, "time", clock)
    TRAINERS[family](recipe(family), run)
    assert made == [0, 1, 1]
    assert_same_run(run, whole(family))
    told = [event["action"] for event in read_metrics(run) if event["kind"] == "control"]
    captures = sorted(path.name for path in (run / "captures").glob("*"))
    if family == "elmo":
        assert told == ["pause", "step", "capture", "resume"]
        assert captures == ["step-000002"]
    else:
        assert told == ["pause", "step", "resume"], "what is not done is not written as done"
        notes = [event["text"] for event in read_metrics(run) if event["kind"] == "note"]
        assert notes == ["capture is not done: word vectors have no batch to look into"]
        assert captures == []


@pytest.mark.parametrize("family", TRAINERS)
def test_snapshots_are_models_of_the_way(whole, recipe, family, tmp_path) -> None:
    run = tmp_path / "run"
    TRAINERS[family](recipe(family, snapshots=3), run)
    assert_same_run(run, whole(family))
    steps = 12 if family == "elmo" else 3
    names = sorted(int(path.name.removeprefix("step-")) for path in (run / "snapshots").iterdir())
    assert names == [0, 1, steps]
    load = elmo_run.ElmoLanguageModel.load if family == "elmo" else WordVectors.load
    first, last = (load(run / "snapshots" / f"step-{step}") for step in (0, steps))
    final = load(run / "model")
    if family == "elmo":
        pairs = [
            (model.softmax.weight.detach().numpy(), final.softmax.weight.detach().numpy())
            for model in (first, last)
        ]
    else:
        pairs = [(model.matrix, final.matrix) for model in (first, last)]
    assert not np.array_equal(*pairs[0])
    assert np.array_equal(*pairs[1])
    opened = open_any(run / "snapshots" / "step-0", within=[tmp_path])
    assert np.array_equal(vectors_of(opened), vectors_of(open_any(run / "snapshots" / "step-0")))
    assert np.array_equal(vectors_of(open_any(run)), vectors_of(open_any(run / "model")))
    with pytest.raises(HeadstartError, match=r"lies outside of .*elsewhere"):
        open_any(run, within=[tmp_path / "elsewhere"])
    if family == "elmo":
        checkpoint = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
        assert np.array_equal(vectors_of(open_any(checkpoint)), vectors_of(open_any(run)))
    (run / "model").rename(tmp_path / "model")
    newest = open_any(run)  # of a run that is not finished, its newest state
    assert np.array_equal(vectors_of(newest), vectors_of(open_any(tmp_path / "model")))


def vectors_of(opened) -> np.ndarray:
    """Some weights of what was opened."""
    assert isinstance(opened, (WordVectors, ElmoLanguageModel))
    return opened.matrix if isinstance(opened, WordVectors) else opened.softmax.weight.detach().numpy()


def test_a_capture_of_elmo_shows_its_words_and_their_loss(whole, tmp_path) -> None:
    model = elmo_run.ElmoLanguageModel.load(whole("elmo") / "model")
    batch = [["It", "was", "the", "best"], ["It", "was"], ["not", "looked", "at"]]
    loss = capture_elmo(model, batch, tmp_path / "capture")
    with torch.no_grad():
        total, count = model.loss_sum(elmo_run.pack(batch[:2]))
    assert loss == pytest.approx(float(total) / count, rel=1e-5)
    tensors = load_file(tmp_path / "capture" / "tensors.safetensors")
    facts = json.loads((tmp_path / "capture" / "capture.json").read_text())
    first = (tensors["sentence"] == 0).numpy()
    order = np.argsort(tensors["place"].numpy()[first])
    assert [np.array(facts["words"])[first][n] for n in order] == ["<S>", *batch[0], "</S>"]
    forward, backward = (tensors["loss"][direction].numpy()[first][order] for direction in (0, 1))
    assert np.isnan(forward).tolist() == [False] * 5 + [True], "forwards the last word predicts nothing"
    assert np.isnan(backward).tolist() == [True] + [False] * 5
    assert {"forward.0", "forward.2", "backward.0", "backward.2"} <= set(tensors)


SCRIPT = """
import sys
from pathlib import Path
from headstart.training import elmo_run, run_folder
from headstart.training.elmo_run import ElmoRecipe, ElmoRun, train_elmo
run_folder.describe_machine = dict
options = elmo_run.preset("laptop")
lstm = type(options.lstm)(dim=16, projection_dim=8)
tiny = type(options)(type(options.char_cnn)(((1, 4), (3, 8)), 1), lstm)
elmo_run.preset = {"tiny": tiny}.__getitem__
train_elmo(ElmoRecipe.load(Path(sys.argv[1]), []), Path(sys.argv[2]))
"""


def test_sigterm_saves_and_the_run_goes_on(recipe, tmp_path) -> None:
    long = recipe("elmo", steps=3000, checkpoint_every=3000, evaluate_every=3000)
    long.save(tmp_path / "recipe.yaml")
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "recipe.yaml"), str(run)],
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
    )
    while process.poll() is None and not any(event["kind"] == "step" for event in read_metrics(run)):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert "Stopped: stopped after step" in errors
    [saved] = (run / "checkpoints").iterdir()
    done = [event["step"] for event in read_metrics(run) if event["kind"] == "step"]
    assert done == list(range(1, done[-1] + 1))
    assert saved.name == f"step-{done[-1]}"


def test_word2vec_without_gensim_is_a_sentence(recipe, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(HeadstartError, match=r"gensim, which is not installed.*headstart\[static\]"):
        train_word2vec(recipe("word2vec"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_of_the_vectors_belong_to_their_words(tmp_path) -> None:
    """Words that always stand together get alike vectors, though all are equally frequent."""
    corpus = tmp_path / "corpus"
    (corpus / "documents").mkdir(parents=True)
    random = np.random.default_rng(0)
    texts = [
        " ".join(f"t{topic}w{n}" for n in random.permutation(6)) for topic in range(5) for _ in range(60)
    ]
    rows = [{"id": str(n), "text": texts[n], "domain": "d"} for n in random.permutation(len(texts))]
    pq.write_table(pa.Table.from_pylist(rows), corpus / "documents" / "part-00000.parquet")
    write_manifest(corpus, "corpus", 1, {"funnel": []})
    settings = {"corpus": corpus, "epochs": 30, "model": {"width": 10, "subsample": 0}, "rate": 0.1}
    train_word2vec(Word2VecRecipe.model_validate(settings), tmp_path / "run")
    vectors = WordVectors.load(tmp_path / "run" / "model")
    for word in vectors.words:
        assert {other[:2] for other, _ in vectors.nearest(word, 5)} == {word[:2]}


def test_cbow_learns(recipe, tmp_path) -> None:
    train_word2vec(
        recipe("word2vec", model={"algorithm": "cbow", "width": 8, "min_count": 3}), tmp_path / "run"
    )
    losses = [event["heldout_loss"] for event in story(tmp_path / "run")]
    assert losses[-1] < losses[0]
    assert losses[-1] < 6 * math.log(2), "better than vectors that know nothing"


@pytest.mark.parametrize("algorithm", ["skip-gram", "cbow"])
def test_heldout_loss_by_hand(corpus, algorithm) -> None:
    settings = {"algorithm": algorithm, "window": 2, "negatives": 3}
    recipe = Word2VecRecipe.model_validate({"corpus": corpus, "model": settings})
    lines = [["a", "b", "new", "c", "a"], ["c"], ["b", "b"]]
    heldout = HeldOut(lines, {"a": 0, "b": 1, "c": 2}, [3, 2, 1], recipe)
    random = np.random.default_rng(0)
    vectors, outputs = random.normal(size=(2, 3, 4))
    total = 0.0
    for context, target, negatives in zip(heldout.contexts, heldout.targets, heldout.negatives, strict=True):
        known = [one for one in context if one >= 0]
        assert len(known) == 1 or algorithm == "cbow"
        v = vectors[known].mean(0)
        total -= math.log(1 / (1 + math.exp(-outputs[target] @ v)))
        total -= sum(math.log(1 / (1 + math.exp(outputs[n] @ v))) for n in negatives)
    assert heldout.loss(vectors, outputs) == pytest.approx(total / len(heldout.targets))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 5))
def test_sentences_are_cut_into_pieces_and_none_is_lost(tmp_path_factory, lengths, longest) -> None:
    lines = [[f"w{line}é{n}" for n in range(length)] for line, length in enumerate(lengths)]
    path = tmp_path_factory.mktemp("text") / "train.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    text = Sentences(path, longest)
    pieces = [line[start : start + longest] for line in lines for start in range(0, len(line), longest)]
    assert text.read(np.arange(len(text))) == pieces
    assert text.lengths.tolist() == [len(piece) for piece in pieces]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=300), st.integers(2, 200), st.integers(0, 3))
def test_a_pass_reads_every_sentence_once(lengths, words, seed) -> None:
    order = SentenceOrder(np.array(lengths), words, seed)
    epoch, place, read = 0, 0, []
    while epoch == 0:
        numbers, epoch, place = order.read(epoch, place)
        assert sum(lengths[n] + 2 for n in numbers) <= words + 32
        read += numbers.tolist()
    assert sorted(read) == list(range(len(lengths)))


def test_sentences_of_a_step_are_of_nearly_equal_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 20_000)
    order = SentenceOrder(lengths, 1000, 0)
    batches = [order.read(0, place)[0] for place in range(100)]
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 5
    assert len({int(lengths[batch].mean()) // 10 for batch in batches}) >= 5, "short and long ones take turns"


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("word2vec", ["model.width=8", "epochs=1"], "1 passes in"),
        ("glove", ["model.width=8", "epochs=1"], "1 passes in"),
        ("elmo", ["model.size=tiny", "steps=1", "words=100", "evaluate_words=50"], "held-out perplexity"),
    ],
)
def test_the_command_line_finds_the_family(corpus, tmp_path, family, settings, sentence) -> None:
    if family != "glove":
        settings = [*settings, "heldout_share=0.05"]
    arguments = ["pretrain", f"model.family={family}", f"corpus={corpus}", "--out", str(tmp_path / "run")]
    answer = CliRunner().invoke(app, [*arguments, *settings])
    assert answer.exit_code == 0, answer.output
    assert sentence in answer.output
    answer = CliRunner().invoke(app, [*arguments, *settings, "--json"])
    assert json.loads(answer.output)["model"] == str(tmp_path / "run" / "model")
    answer = CliRunner().invoke(app, [*arguments, "model.widht=8"])
    assert isinstance(answer.exception, HeadstartError)
    assert "unknown key 'model.widht'" in str(answer.exception)


@pytest.mark.parametrize("family", TRAINERS)
def test_recipes_of_the_repository_are_valid(family) -> None:
    path = Path(__file__).parent.parent.parent / "recipes" / f"{family}.yaml"
    kind = {"word2vec": Word2VecRecipe, "glove": GloveRecipe, "elmo": ElmoRecipe}[family]
    assert kind.load(path, ["corpus=somewhere"]).model.family == family
