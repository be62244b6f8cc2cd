"""The rule for outputs, run over every verb that writes: a verb that is not in this table fails the test.

What a verb would compute is cut short where that is possible: the rule holds before any work.
"""

import json
import shutil
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from headstart import cli
from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.lock import locked

OUTPUTS = ("--out", "--write", "--page", "--png")
TINY = [
    "model.layers=1", "model.width=32", "model.heads=2", "model.feedforward_width=64", "context=32", "rows=8",
    "steps=2", "checkpoint_every=2", "evaluate_every=2",
]  # fmt: skip
VERBS: dict[str, list[str]] = {
    "quickstart": ["--data", "TEXT", "--minutes", "1", "--out", "OUT"],
    "corpus build": ["TEXT", "--out", "OUT"],
    "corpus export": ["CORPUS", "--out", "OUT"],
    "corpus train-quality": ["--scored", "SCORED", "--out", "OUT"],
    "corpus train-extractor": ["TEXT", "--out", "OUT.safetensors"],
    "studio export": ["corpus", "CORPUS", "--out", "OUT.html"],
    "tokenizer train": ["CORPUS", "--out", "OUT", "vocab_size=400"],
    "tokenizer encode": ["CORPUS", "--tokenizer", "TOKENIZER", "--out", "OUT"],
    "pretrain": ["tokens=TOKENS", *TINY, "--out", "OUT"],
    "distill": ["MODEL", "--data", "TOKENS", *TINY, "--out", "OUT"],
    "finetune": ["MODEL", "--data", "LABELS", "--out", "OUT", "epochs=1"],
    "head-start": ["MODEL", "--data", "LABELS", "--labels", "20", "--out", "OUT", "max_steps=2"],
    "duel": ["TOKENS", "--data", "LABELS", "--out", "OUT", "steps=2", "examples=4", "finetune_steps=2"],
    "evaluate": ["MODEL", "--data", "text:TEXT", "--out", "OUT"],
    "predict": ["MODEL", "TEXT", "--out", "OUT.jsonl"],
    "generate": ["MODEL", "--file", "TEXT", "--out", "OUT.jsonl"],
    "batch": ["MODEL", "REQUESTS", "--out", "OUT.jsonl"],
    "import": ["MODEL", "--out", "OUT"],
    "export": ["MODEL", "--out", "OUT"],
    "plan": ["--compute", "1e15", "--write", "OUT.yaml"],
    "plan --page": ["--compute", "1e15", "--page", "OUT.html"],
    "plan --png": ["--compute", "1e15", "--page", "OTHER.html", "--png", "OUT.png"],
    "plan fit": ["RUNS", "--out", "OUT.json"],
    "plan fit --page": ["RUNS", "--page", "OUT.html"],
    "plan fit --png": ["RUNS", "--page", "OTHER.html", "--png", "OUT.png"],
    "plan sweep": ["RECIPE", "--budget", "1e12", "--out", "OUT"],
    "plan transfer": ["--sweep", "RECIPE", "--seeds", "1", "--widths", "32,64", "--out", "OUT"],
}
"""Every verb and option that writes, with arguments; capitals stand for paths."""


def writing(command: click.Command, name: str = "") -> list[str]:
    """Every verb with an option for an output, and of several options all but the first by name."""
    found = []
    options = [one for parameter in command.params for one in parameter.opts if one in OUTPUTS]
    for place, option in enumerate(options):
        found.append(name if place == 0 else f"{name} {option}")
    for sub, one in getattr(command, "commands", {}).items():
        found += writing(one, f"{name} {sub}".strip())
    return found


def test_the_table_has_every_verb_that_writes() -> None:
    assert set(writing(typer.main.get_command(app))) == set(VERBS)


def test_every_option_for_an_output_is_known_to_the_command_line() -> None:
    assert set(OUTPUTS) < set(cli.OUTPUTS)


def takes_replace(command: click.Command) -> bool:
    return any("--replace" in parameter.opts for parameter in command.params)


def test_every_verb_that_writes_takes_replace() -> None:
    for verb in VERBS:
        command = typer.main.get_command(app)
        for part in verb.split():
            if not part.startswith("-"):
                command = command.commands[part]
        assert takes_replace(command), verb


@pytest.fixture(scope="module")
def made(tmp_path_factory, tokens, tokenizer, tiny):
    """What the arguments name."""
    from headstart.corpus import CorpusRecipe, build
    from headstart.interchange.model_folder import LoadedModel, save_model
    from headstart.tokenizer.folder import open_tokenizer

    folder = tmp_path_factory.mktemp("made")
    lines = {
        "text.txt": ["The captain and the ship went down to the sea again."] * 50,
        "labels.jsonl": [json.dumps({"text": "a b", "label": "xy"[n % 2]}) for n in range(80)],
        "scored.jsonl": [json.dumps({"text": "a b", "score": n % 6}) for n in range(80)],
        "requests.jsonl": [json.dumps({"custom_id": "1", "url": "/v1/embeddings", "body": {"input": "a"}})],
        "runs.csv": ["parameters,tokens,loss", *(f"{n}e6,{n}e8,{4 - n / 10}" for n in range(1, 9))],
        "recipe.yaml": [f"tokens: {tokens}", "context: 32", "rows: 8"],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join([*content, ""]))
    chosen = open_tokenizer(tokens)
    model = LoadedModel(tiny("gpt2", vocab_size=chosen.vocab_size), chosen, "causal")
    save_model(folder / "model", model, "# Tiny")
    settings = ["rules.defaults=off", "languages=any", "language_score=0"]
    build([folder / "text.txt"], folder / "corpus", CorpusRecipe.load(None, settings), 0)
    return {
        "TEXT": folder / "text.txt", "LABELS": folder / "labels.jsonl", "SCORED": folder / "scored.jsonl",
        "RUNS": folder / "runs.csv", "RECIPE": folder / "recipe.yaml", "TOKENS": tokens, "TOKENIZER": tokens,
        "REQUESTS": folder / "requests.jsonl", "MODEL": folder / "model", "CORPUS": folder / "corpus",
    }  # fmt: skip


def command(verb: str, made: dict[str, Path], out: Path) -> list[str]:
    arguments = []
    for argument in VERBS[verb]:
        for name, path in {"OTHER": out / "other", "OUT": out / "out", **made}.items():
            argument = argument.replace(name, str(path))
        arguments.append(argument)
    return [*(part for part in verb.split() if not part.startswith("-")), *arguments]


def target(verb: str, out: Path) -> Path:
    """The file or folder that the verb would write."""
    (name,) = (one for one in VERBS[verb] if one.startswith("OUT"))
    place = out / name.replace("OUT", "out")
    if name == "OUT.png":
        return place / "loss-and-compute.png"
    return place


def refused(arguments: list[str]) -> str:
    """The sentence with which a command refuses."""
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, HeadstartError), (done.exit_code, done.exception, done.output)
    return str(done.exception)


PLACES = [verb for verb in VERBS if not verb.endswith("--png")]


@pytest.mark.parametrize("verb", PLACES)
def test_what_is_there_stays(verb, made, tmp_path) -> None:
    place = target(verb, tmp_path)
    folder = place.suffix == ""
    kept = place / "mine.txt" if folder else place
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("my only copy")
    said = refused(command(verb, made, tmp_path))
    assert ("holds other files (mine.txt)" if folder else "is there already") in said
    assert "--replace" in said
    assert kept.read_text() == "my only copy"
    assert sorted(path.name for path in kept.parent.iterdir()) == [kept.name]


@pytest.mark.parametrize("verb", PLACES)
def test_two_at_once_are_refused(verb, made, tmp_path) -> None:
    place = target(verb, tmp_path)
    if place.suffix == "":
        place.mkdir()
    lock = place / ".lock" if place.suffix == "" else place.with_name(f".{place.name}.lock")
    with locked(lock, place):
        assert "is in use by process" in refused(command(verb, made, tmp_path))
    assert not list(tmp_path.rglob("*.json"))


READS = {
    "TEXT": ("corpus build", "predict", "generate", "quickstart"),
    "SCORED": ("corpus train-quality",),
    "CORPUS": ("tokenizer train", "tokenizer encode", "corpus export"),
    "TOKENS": ("pretrain",),
    "MODEL": ("finetune", "evaluate", "import", "export", "batch"),
    "REQUESTS": ("batch",),
    "RUNS": ("plan fit",),
    "RECIPE": ("plan sweep",),
}
READ_BY = [(verb, name) for name, verbs in READS.items() for verb in verbs]


@pytest.mark.parametrize(("verb", "name"), READ_BY)
def test_what_is_read_is_never_written(verb, name, made, tmp_path) -> None:
    """The output is the input, by another name: with `--replace` too."""
    source = tmp_path / made[name].name
    given = made[name]
    shutil.copytree(given, source) if given.is_dir() else shutil.copy(given, source)
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} or source.read_bytes()
    (tmp_path / "link").symlink_to(source)
    arguments = command(verb, made | {name: source}, tmp_path)
    out = str(target(verb, tmp_path))
    for other in (source, tmp_path / "link"):
        for extra in ([], ["--replace"]):
            refused([str(other) if one == out else one for one in arguments] + extra)
            after = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
            assert (after or source.read_bytes()) == before
