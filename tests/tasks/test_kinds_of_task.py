"""Pairs, several labels, numbers, choices and sentence vectors: read, learned, saved, answered."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.evaluation.label_evaluation import evaluate_labels
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.tasks.baselines.word_counts import baselines
from headstart.tasks.data.dataset import load_examples, load_task, pair
from headstart.tasks.data.splitting import split
from headstart.tasks.examples import Answer, Choices, Examples
from headstart.tasks.file_prediction import predict_file
from headstart.tasks.finetuning.batches import WindowDraw
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.packing import encode_texts, pack
from headstart.tasks.kinds.registry import KINDS, kind_named
from headstart.tasks.metrics import score
from headstart.tasks.predictor import Predictor

SEA = ["captain", "ship", "harbour", "wave", "sailor", "anchor"]
HOME = ["kitchen", "garden", "window", "table", "chair", "carpet"]
LEARNS = FinetuneRecipe(learning_rate=4e-3, min_steps=120, max_steps=120, max_tokens=48, hidden_tokens=0)
QUICK = FinetuneRecipe(min_steps=3, max_steps=3, max_tokens=48, counted_words="none")


def sentence(words: list[str], number: int) -> str:
    return f"The {words[number % 6]} and the {words[(number // 6 + number) % 6]}."


def examples_of(kind: str, count: int = 72) -> Examples:
    """What a tiny model learns: whether sentences tell of the sea or of the home."""
    inputs, targets = [], []
    for n in range(count):
        first, second = (SEA, HOME)[n % 2], (SEA, HOME)[n // 2 % 2]
        both = (sentence(first, n), sentence(second, n + 1))
        match kind:
            case "classification":
                inputs.append(both)
                targets.append("same" if first is second else "other")
            case "multi-label":
                inputs.append(" ".join(both))
                targets.append(tuple(sorted({"home" if one is HOME else "sea" for one in (first, second)})))
            case "regression":
                inputs.append(both[0])
                targets.append(20.0 if first is SEA else 50.0)
            case "multiple-choice":
                options = [sentence(HOME, n), sentence(HOME, n + 3)]
                options.insert(n % 3, sentence(SEA, n + 1))
                inputs.append(Choices("Which is at sea?", tuple(options)))
                targets.append(n % 3)
            case "embedding":
                inputs.append(both)
                targets.append(4.5 if first is second else 1.0)
    return Examples(kind, inputs, targets)


LEARNED = ["classification", "multi-label", "regression", "multiple-choice", "embedding"]


@pytest.mark.parametrize("kind", LEARNED)
def test_learns_and_survives_saving(tmp_path, encoder, kind):
    train = examples_of(kind)
    predictor = finetune(encoder, train, LEARNS, seed=0)
    least = 0.7 if kind == "classification" else 0.85  # whether two texts agree is hard for two layers
    assert score(train.task, train.targets, predictor.predict(train.inputs))[0].value > least
    predictor.save(tmp_path / "model", "# A task")
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert (loaded.task, loaded.labels, loaded.facts) == (kind, predictor.labels, predictor.facts)
    assert loaded.answers(train.inputs[:7]) == predictor.answers(train.inputs[:7])
    json.dumps(loaded.answers(train.inputs[:2]))


def test_contrast_finds_partners(encoder):
    pairs = [(f"The {word} of number {n}.", f"A {word}, and {n} more.") for n, word in enumerate(SEA + HOME)]
    train = Examples("embedding", pairs, [None] * len(pairs))
    predictor = finetune(encoder, train, LEARNS.model_copy(update={"batch_examples": 12}), seed=0)
    assert score("embedding", train.targets, predictor.predict(pairs))[0].value > 0.9
    one, two = predictor.answers([pairs[0][0], pairs[0]])
    assert np.linalg.norm(one["embedding"]) == pytest.approx(1, abs=1e-5)
    assert -1 <= two["similarity"] <= 1.0001
    untrained = Predictor.of(
        LoadedModel(encoder.model, encoder.tokenizer, "features", metadata={"task": "embedding"})
    )
    assert score("embedding", train.targets, untrained.predict(pairs))[0].metric == "recall@1"


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "headstart-decoder", "t5", "bart"])
def test_every_family_has_every_kind(tmp_path, tiny, tokenizer, family):
    sizes = {"position_offset": 3} if family == "roberta" else {}
    save_model(tmp_path / "model", tiny(family, context=64, **sizes), tokenizer, "features", "# A model")
    loaded = load_model(tmp_path / "model")
    for kind in LEARNED:
        train = examples_of(kind, 12)
        predictor = finetune(loaded, train, QUICK, seed=0)
        predictor.save(tmp_path / kind, "# A task")
        again = Predictor.of(load_model(tmp_path / kind))
        assert again.answers(train.inputs[:3]) == predictor.answers(train.inputs[:3])


def test_transformers_gives_the_same(tmp_path, tiny, tokenizer):
    transformers = pytest.importorskip("transformers")
    loaded = LoadedModel(tiny("bert", context=64), tokenizer, "features")
    for kind in ("classification", "multi-label", "regression"):
        train = examples_of(kind, 24)
        predictor = finetune(loaded, train, QUICK, seed=0)
        predictor.save(tmp_path / kind, "# A task")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / kind).eval()
        assert model.config.problem_type == KINDS[kind].problem
        (piece,) = predictor.kind.encode(tokenizer, train.inputs[:1], 64)
        row = {"input_ids": torch.from_numpy(piece.ids)[None]}
        if piece.types is not None:
            row["token_type_ids"] = torch.from_numpy(piece.types)[None]
        with torch.no_grad():
            assert torch.allclose(predictor.model(pack([piece])), model(**row).logits, atol=1e-4)
    train = examples_of("embedding", 12)
    predictor = finetune(loaded, train, QUICK, seed=0)
    predictor.save(tmp_path / "vectors", "# Vectors")
    body = transformers.AutoModel.from_pretrained(tmp_path / "vectors").eval()
    ids = tokenizer.with_special(tokenizer.encode("The ship."))[0]
    with torch.no_grad():
        mean = body(torch.tensor([ids])).last_hidden_state[0].mean(0)
    found = predictor.answers(["The ship."])[0]["embedding"]
    assert np.allclose(found, (mean / mean.norm()).numpy(), atol=1e-5)


def test_long_texts_are_read_to_their_end(encoder):
    train = examples_of("regression", 24)
    predictor = finetune(encoder, train, QUICK.model_copy(update={"max_tokens": 16}), seed=0)
    text = " ".join(train.inputs)
    assert predictor.predict([text])[0] != pytest.approx(predictor.predict([text[:-30]])[0], abs=1e-9)
    pieces = encode_texts(encoder.tokenizer, [text], 16)
    with torch.no_grad():
        each = predictor.model(pack(pieces))[:, 0].numpy()
    weights = [piece.weight for piece in pieces]
    assert predictor.predict([text])[0] == pytest.approx(np.average(each, weights=weights), abs=1e-4)


def test_texts_without_words_have_answers_too(encoder, speech):
    tagger = finetune(encoder, speech, QUICK, 0)
    empty, word, blank = tagger.answers(["", "ship", "  "])
    assert (empty["words"], word["words"], blank["tags"]) == ([], ["ship"], [])
    assert tagger.answers([""]) == [empty]
    one = Examples(
        "question-answering", [("Who?", "Anna ran."), ("Who?", "It ran.")], [(Answer("Anna", 0),), ()]
    )
    found = finetune(encoder, one, QUICK, 0).answers([("Who?", ""), ("", "Anna")])
    assert (found[0]["answer"], found[0]["margin"]) == ("", 0.0)
    assert set(found[1]) >= {"answer", "probability", "margin"}


def test_training_draws_every_window(tokenizer):
    pieces = encode_texts(tokenizer, ["ship " * 60, "short"], 20)
    draw = WindowDraw(pieces, 0)
    seen = {place for _ in range(200) for place in draw([0])}
    assert seen == set(range(len(pieces) - 1))
    assert draw([1, 0])[0] == len(pieces) - 1
    assert draw.windowed == 1
    second = [place == 1 for place in range(len(pieces))]
    drawn = [WindowDraw(pieces, seed, second)([0])[0] for seed in range(400)]
    assert set(drawn) == seen
    assert 160 < drawn.count(1) < 400 * (0.5 + 0.5 / len(seen)) + 60


ROWS = {
    "classification": [{"premise": "a", "hypothesis": "b", "label": c} for c in "xyx"],
    "multi-label": [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": []}],
    "regression": [{"sentence1": "a", "sentence2": "b", "score": score} for score in ("3.5", 1)],
    "multiple-choice": [{"question": "q", "choices": ["a", "b"], "answer": answer} for answer in ("B", 0)],
    "question-answering": [
        {"question": "q", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}}
    ],
    "tagging": [{"text": "Anna ran", "entities": [{"start": 0, "end": 4, "label": "PER"}]}],
}


@pytest.mark.parametrize("kind", ROWS)
def test_kinds_are_told_from_columns(tmp_path, kind):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[kind]))
    examples = load_examples(path)
    assert examples.task == kind
    assert load_examples(path, kind).targets == examples.targets
    assert examples.notes[0].startswith(f"{kind}: ")
    (tmp_path / "a.json").write_text(json.dumps(ROWS[kind], indent=1))  # a list instead of lines
    assert load_examples(tmp_path / "a.json").inputs == examples.inputs


def test_options_in_columns_and_other_ways_to_answer(tmp_path):
    path = tmp_path / "swag.csv"
    path.write_text("sent1,ending0,ending1,ending2,label\nShe sat,down,up,in,2\nHe ran,off,on,up,on\n")
    examples = load_examples(path, "multiple-choice")
    assert examples.inputs[0] == Choices("She sat", ("down", "up", "in"))
    assert examples.targets == [2, 1]
    path.write_text("sent1,ending0,ending1,ending2,label\nShe sat,down,up,in,7\n")
    with pytest.raises(HeadstartError, match="line 2: the answer '7' is none of the 3 options"):
        load_examples(path, "multiple-choice")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"text": "a", "labels": []}, "multi-label"),
        ({"text": "a", "entities": []}, "tagging"),
        ({"article": "a", "question": "q", "options": ["x", "y"], "answer": "A"}, "multiple-choice"),
        ({"context": "a", "question": "q", "choices": ["x", "y"], "answer": 1}, "multiple-choice"),
        ({"question": "q", "A": "x", "B": "y", "answer": "B"}, "multiple-choice"),
        ({"text_a": "a", "text_b": "b", "label": "x", "score": 3.1}, "classification"),
        ({"text": "a", "stars": 4}, "classification"),
        ({"a": "x", "b": "y", "score": 3}, "regression"),
    ],
)
def test_likelier_kinds_come_first(tmp_path, row, kind):
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert load_examples(tmp_path / "a.jsonl").task == kind


def test_a_named_label_is_a_class(tmp_path):
    (tmp_path / "a.csv").write_text("content,spam_or_not\nx,0\ny,1\n")
    assert load_examples(tmp_path / "a.csv", label_column="spam_or_not").targets == ["0", "1"]


def test_columns_by_role(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("q,passage,a,who\nWhere?,In May,May,x\nWhen?,In June,June,y\n")
    roles = {"question": "q", "context": "passage", "answers": "a", "group": "who"}
    examples = load_examples(path, "question-answering", columns=roles)
    assert examples.inputs[0] == ("Where?", "In May")
    assert examples.groups == ["x", "y"]
    with pytest.raises(HeadstartError, match="no column 'pasage'; did you mean 'passage'"):
        load_examples(path, columns={"context": "pasage"})
    with pytest.raises(
        HeadstartError, match="question-answering has no column for 'contxt'; did you mean 'context'"
    ):
        load_examples(path, "question-answering", columns=roles | {"contxt": "q"})


def test_folders_of_texts_by_class(tmp_path):
    for part in ("train", "test"):
        for label, words in (("sea", SEA), ("home", HOME)):
            (tmp_path / "places" / part / label).mkdir(parents=True)
            for n, word in enumerate(words):
                (tmp_path / "places" / part / label / f"{n}.txt").write_text(f"{part} {word}")
    task = load_task(tmp_path / "places")
    assert (len(task.train), len(task.test), task.train.labels) == (12, 12, ["home", "sea"])
    assert len(load_task(tmp_path / "places" / "train").train) == 10  # two are set apart
    (tmp_path / "places" / "train" / "sea" / "9.txt").write_bytes(b"caf\xe9")
    with pytest.raises(HeadstartError, match=r"9.txt: byte 0xe9 at place 4 is not UTF-8"):
        load_task(tmp_path / "places")


def test_iob1_is_read_as_bio(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Anna I-PER\nBell I-PER\nran O\n\nOslo I-LOC\nBergen B-LOC\n")
    examples = load_examples(path)
    assert examples.targets == [["B-PER", "I-PER", "O"], ["B-LOC", "B-LOC"]]
    assert "tags in IOB1, read as BIO" in examples.notes


def test_what_is_wrong_with_data_is_said():
    texts = [f"text {n}" for n in range(40)]
    labels = ["a"] * 37 + ["b"] * 2 + ["c"]
    train = Examples("classification", [*texts, "Text 0", "text 1"], [*labels, "b", "a"])
    notes = " | ".join(pair("p", train, Examples("classification", ["text 5", "z"], ["a", "d"])).notes)
    for words in (
        "1 of the 2 test examples also occur",
        "lacks, counted as wrong: d",
        "2 training examples repeat another one",
        "1 training texts occur with answers that contradict each other, such as 'text 0' with 'a' and 'b'",
        "labels are uneven: 'a' has 38 examples, 'c' 1; 2 labels have fewer than 10",
    ):
        assert words in notes
    assert not pair(
        "p", Examples("classification", texts, list("ab") * 20), Examples("classification", ["q"], ["a"])
    ).notes


@pytest.mark.parametrize("kind", LEARNED)
def test_splits_keep_groups_and_balance(kind):
    examples = examples_of(kind, 200)
    groups = [str(n // 4) for n in range(200)]
    train, test = split(Examples(kind, [f"{n}" for n in range(200)], examples.targets, groups=groups), 3)
    assert len(train) + len(test) == 200
    assert 20 <= len(test) <= 44
    assert not set(train.groups) & set(test.groups)


@pytest.mark.parametrize("kind", LEARNED)
def test_baselines(kind):
    train = examples_of(kind)
    for name, system in baselines(train).items():
        value = score(kind, train.targets, system.predict(train.inputs))[0].value
        if name == "tf-idf" and kind != "embedding":
            assert value > 0.9
        assert -1 <= value <= 1


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (Examples("multi-label", ["a", "b"], [(), ()]), "no label at all"),
        (Examples("regression", ["a", "b"], [2.0, 2.0]), "the same number, 2,"),
        (Examples("question-answering", [("q", "c")], [()]), "no answer"),
        (Examples("embedding", [("a", "b")], [None]), "one pair alone"),
    ],
)
def test_nothing_to_learn(encoder, examples, words):
    with pytest.raises(HeadstartError, match=words):
        finetune(encoder, examples, QUICK, 0)


def test_wrong_inputs_end_in_a_sentence(tmp_path, encoder):
    pairs = finetune(encoder, examples_of("classification", 12), QUICK, 0)
    with pytest.raises(HeadstartError, match="has learned from pairs of texts, and was given a text alone"):
        pairs.answers(["alone"])
    with pytest.raises(HeadstartError, match="a pair is a tuple of two texts"):
        pairs.answers([("a", "b", "c")])
    assert pairs.answers([{"text_a": "x", "text_b": "y"}]) == pairs.answers([("x", "y")])
    numbers = finetune(encoder, examples_of("regression", 12), QUICK, 0)
    with pytest.raises(HeadstartError, match="was given a pair of texts"):
        numbers.answers([("a", "b")])
    with pytest.raises(HeadstartError, match="regression has no probabilities"):
        numbers.probabilities(["a"])
    (tmp_path / "a.csv").write_text("text,score\na,high\n")
    with pytest.raises(HeadstartError, match=r"line 2: 'high' in 'score' is no number"):
        load_examples(tmp_path / "a.csv", "regression")
    with pytest.raises(HeadstartError, match="no task 'regresion'; did you mean 'regression'"):
        kind_named("regresion")
    with pytest.raises(HeadstartError, match="multiple choice takes"):
        finetune(encoder, examples_of("multiple-choice", 6), QUICK, 0).answers(["what?"])
    wrong = LoadedModel(encoder.model, encoder.tokenizer, "masked", metadata={"task": "embedding"})
    with pytest.raises(HeadstartError, match="for embedding, but has a head for masked"):
        Predictor.of(wrong)


def test_files_of_pairs_and_choices(tmp_path, encoder):
    pairs = finetune(encoder, examples_of("classification", 12), QUICK, 0)
    (tmp_path / "a.csv").write_text("id,premise,hypothesis\n1,x,y\n2,x,\n")
    first, second = predict_file(pairs, tmp_path / "a.csv")
    assert first["label"] in ("same", "other")
    assert second == {"id": "2", "error": "empty text"}
    (tmp_path / "b.csv").write_text("id,left,right\n1,x,y\n")
    with pytest.raises(HeadstartError, match="wanted two columns with the texts of a pair"):
        list(predict_file(pairs, tmp_path / "b.csv"))
    (mapped,) = predict_file(pairs, tmp_path / "b.csv", columns={"text": "left", "pair": "right"})
    assert mapped["probabilities"] == pytest.approx(first["probabilities"], abs=1e-6)
    chooser = finetune(encoder, examples_of("multiple-choice", 12), QUICK, 0)
    (tmp_path / "c.jsonl").write_text(json.dumps({"question": "q", "options": ["a", "b"]}) + "\n")
    assert next(predict_file(chooser, tmp_path / "c.jsonl"))["answer"] in "ab"
    vectors = finetune(encoder, examples_of("embedding", 12), QUICK, 0)
    (tmp_path / "d.txt").write_text("one\ntwo\n")
    assert len(next(predict_file(vectors, tmp_path / "d.txt"))["embedding"]) == 32


def test_from_the_command_line(tmp_path, encoder):
    save_model(tmp_path / "encoder", encoder.model, encoder.tokenizer, "masked", "# Encoder")
    rows = examples_of("classification", 60)
    lines = [{"left": a, "right": b, "same": c} for (a, b), c in zip(rows.inputs, rows.targets, strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [
        "finetune",
        str(tmp_path / "encoder"),
        "--data",
        str(tmp_path / "a.jsonl"),
        "--out",
        str(tmp_path / "run"),
    ]
    command += [
        "--column",
        "text=left",
        "--column",
        "pair=right",
        "--label-column",
        "same",
        "--precision",
        "float32",
    ]
    done = CliRunner().invoke(app, [*command, "--json", "min_steps=3", "max_steps=3"], catch_exceptions=False)
    assert json.loads(done.stdout)["task"]
    answers = [
        "predict",
        str(tmp_path / "run"),
        str(tmp_path / "a.jsonl"),
        "--column",
        "text=left",
        "--column",
        "pair=right",
    ]
    done = CliRunner().invoke(app, answers, catch_exceptions=False)
    assert len(done.stdout.splitlines()) == 60
    model = hs.load(tmp_path / "run")
    assert model.predict(("a", "b"))["label"] in ("same", "other")
    assert len(model.predict([("a", "b"), ("c", "d")])) == 2
    with pytest.raises(HeadstartError, match="write it as ROLE=NAME"):
        CliRunner().invoke(app, [*command, "--column", "text"], catch_exceptions=False)


@pytest.mark.parametrize("kind", LEARNED)
def test_evaluates_every_kind(tmp_path, encoder, kind):
    predictor = finetune(encoder, examples_of(kind, 12), QUICK, 0)
    names = {"classification": "label", "multi-label": "labels", "regression": "score", "embedding": "score"}
    rows = []
    for given, target in zip(examples_of(kind, 12).inputs, examples_of(kind, 12).targets, strict=True):
        if kind == "multiple-choice":
            rows.append({"question": given.text, "options": given.options, "answer": target})
        else:
            texts = {"text": given} if isinstance(given, str) else {"text_a": given[0], "text_b": given[1]}
            rows.append(texts | {names[kind]: target})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluate_labels(predictor, tmp_path / "a.jsonl", train=tmp_path / "a.jsonl")
    systems = {row["system"] for row in found.scores}
    assert {"model", "tf-idf"} <= systems
    assert ("majority" in systems) == (kind not in ("regression", "embedding"))


def test_many_pairs_without_a_score(tmp_path):
    rows = [{"text_a": f"question {number}", "text_b": f"answer {number}"} for number in range(60)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load_examples(tmp_path / "pairs.jsonl", "embedding")
    assert (len(found), set(found.targets)) == (60, {None})


def test_any_model_embeds(tmp_path, encoder, tiny, tokenizer):
    texts = ["The ship.", "A kitchen and a garden.", "The ship."]
    save_model(tmp_path / "encoder", encoder.model, tokenizer, "masked", "# Encoder")
    save_model(tmp_path / "decoder", tiny("headstart-decoder"), tokenizer, "causal", "# Decoder")
    for name in ("encoder", "decoder"):
        vectors = hs.load(tmp_path / name).embed(texts)
        assert vectors.shape == (3, 32)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.allclose(vectors[0], vectors[2], atol=1e-6)
        assert not np.allclose(vectors[0], vectors[1], atol=1e-3)
