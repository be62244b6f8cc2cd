"""`headstart generate` and `headstart fill-mask`."""

import json

import pytest
from twin_models import PROMPTS
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import save_model


@pytest.fixture(scope="module")
def folders(tiny, tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("verbs")
    save_model(root / "decoder", tiny("headstart-decoder"), tokenizer, "causal", "card")
    save_model(root / "encoder", tiny("headstart-encoder"), tokenizer, "masked", "card")
    return root


def run(*arguments: object, typed: str | None = None) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments], input=typed, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


SETTINGS = ("--temperature", 1.1, "--top-k", 9, "--top-p", 0.9, "--min-p", 0.01, "--max-new-tokens", 12)
SETTINGS += ("--repetition-penalty", 1.2, "--frequency-penalty", 0.1, "--presence-penalty", 0.1)
SETTINGS += ("--stop", "zzz", "--stop", "qqq", "--seed", 4)
SAME = {
    "temperature": 1.1,
    "top_k": 9,
    "top_p": 0.9,
    "min_p": 0.01,
    "max_new_tokens": 12,
    "repetition_penalty": 1.2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "stop": ["zzz", "qqq"],
    "seed": 4,
}


def test_one_prompt(folders) -> None:
    model = hs.load(folders / "decoder")
    text = model.generate("It was", **SAME)
    assert run("generate", folders / "decoder", "It was", *SETTINGS) == f"It was{text}\n"
    assert "".join(model.stream("It was", **SAME)) == text
    answer = json.loads(run("generate", folders / "decoder", "It was", *SETTINGS, "--json", "--logprobs"))
    assert (answer["prompt"], answer["text"]) == ("It was", text)
    assert answer["finish"] == ("length" if len(answer["ids"]) == 12 else "stop")
    assert len(answer["ids"]) == len(answer["logprobs"])
    assert run("generate", folders / "decoder", "It was") != run(
        "generate", folders / "decoder", "It was", "--seed", 1
    )


def test_many_prompts(folders, tmp_path) -> None:
    texts = hs.load(folders / "decoder").generate(PROMPTS, **SAME)
    lines = run("generate", folders / "decoder", *SETTINGS, "--batch", 2, typed="\n".join(PROMPTS))
    assert [json.loads(line)["text"] for line in lines.splitlines()] == texts
    rows = [{"prompt": prompt, "id": number} for number, prompt in enumerate(PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "texts.jsonl"
    run("generate", folders / "decoder", *SETTINGS, "--file", tmp_path / "prompts.jsonl", "--out", out)
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["id"], one["text"]) for one in answers] == list(enumerate(texts))


AS_SETTINGS = ("temperature=1.1", "top_k=9", "top_p=0.9", "min_p=0.01", "max_tokens=12")
AS_SETTINGS += ("repetition_penalty=1.2", "frequency_penalty=0.1", "presence_penalty=0.1")
AS_SETTINGS += ("stop_strings=[zzz, qqq]", "seed=4")


def test_settings_are_given_as_key_and_value_too(folders, tmp_path) -> None:
    """The same texts, under usual names and beside options, after a prompt and beside a file of prompts."""
    by_options = run("generate", folders / "decoder", "It was", *SETTINGS)
    assert run("generate", folders / "decoder", "It was", *AS_SETTINGS) == by_options
    assert (
        run("generate", folders / "decoder", "It was", *AS_SETTINGS[1:], "--temperature", 1.1) == by_options
    )
    (tmp_path / "prompts.txt").write_text("It was\n")
    line = run("generate", folders / "decoder", *AS_SETTINGS, "--file", tmp_path / "prompts.txt")
    assert f"It was{json.loads(line)['text']}\n" == by_options
    model = hs.load(folders / "decoder")
    assert model.generate("It was", max_tokens=5, seed=4) == model.generate(
        "It was", max_new_tokens=5, seed=4
    )
    assert run("generate", folders / "decoder", "a=b", "max_tokens=3").startswith("a=b"), (
        "a prompt is no setting"
    )


def test_an_encoder_decoder_answers(twins, tmp_path) -> None:
    bart = twins("bart").ours
    save_model(tmp_path / "m", bart, "card")
    answer = run("generate", tmp_path / "m", "The king", "--beams", 3, "--length-penalty", 0.5)
    assert answer == hs.load(tmp_path / "m").generate("The king", beams=3, length_penalty=0.5) + "\n"


def test_gaps(folders) -> None:
    gaps = hs.load(folders / "encoder").fill_mask("a <mask> and <mask>", count=2)
    told = json.loads(run("fill-mask", folders / "encoder", "a <mask> and <mask>", "--count", 2, "--json"))
    assert [[(one["token"], one["probability"]) for one in gap] for gap in told["gaps"]] == gaps
    lines = run("fill-mask", folders / "encoder", "a <mask> and <mask>", "--count", 2).splitlines()
    assert (len(lines), lines[0], lines[3]) == (6, "gap 1", "gap 2")
    assert lines[1].endswith(repr(gaps[0][0][0]))


def test_mistakes(folders, tmp_path) -> None:
    (tmp_path / "other.jsonl").write_text('{"words": "x"}\n')
    for arguments, words in (
        ((folders / "encoder", "x"), "use fill-mask"),
        ((folders / "decoder", "x", "--file", "y"), "leave one of them out"),
        ((folders / "decoder", "x", "--top-p", "2"), "top_p=2"),
        ((folders / "decoder", "x", "top_p=2"), "top_p=2"),
        ((folders / "decoder", "x", "max_length=9"), "unknown key 'max_length'; give max_new_tokens"),
        ((folders / "decoder", "x", "num_samples=9"), "a prompt gets one text"),
        ((folders / "decoder", "x", "top_p=0.5", "--top-p", "0.6"), "as an option and as top_p="),
        ((folders / "decoder", "top_p=0.5"), "stands where the prompt belongs"),
        (
            (folders / "decoder", "--file", tmp_path / "other.jsonl"),
            "line 1 has no text under prompt or text",
        ),
    ):
        with pytest.raises(HeadstartError, match=words):
            run("generate", *arguments)
