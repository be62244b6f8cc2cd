"""Tasks whose answer is written: text to text, other tasks in words, conversations."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import headstart as hs
from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.evaluation.label_evaluation import evaluate_labels
from headstart.generation.chat import chat_ids
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.word_counts import baselines
from headstart.tasks.data.dataset import load_examples
from headstart.tasks.examples import Answer, Choices, Conversation, Examples, Message, WordSequence
from headstart.tasks.facts import TaskFacts
from headstart.tasks.file_prediction import predict_file
from headstart.tasks.finetuning.batches import ExampleLoss
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.registry import WRITING, kind_of
from headstart.tasks.kinds.task_texts import answer_in_words, question_in_words, read_back
from headstart.tasks.metrics import score
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor

WRITERS = {"t5": "text-to-text", "bart": "text-to-text", "headstart-decoder": "causal"}
LEARNS = FinetuneRecipe(learning_rate=5e-3, min_steps=150, max_steps=150, max_tokens=48, layer_decay=1.0)
QUICK = FinetuneRecipe(min_steps=3, max_steps=3, max_tokens=48)


@pytest.fixture(scope="module")
def writer(tokenizer, tiny):
    """Makes a tiny model that writes."""
    return lambda family: LoadedModel(tiny(family), tokenizer, WRITERS[family])


@pytest.mark.parametrize("family", WRITERS)
def test_labels_in_words_are_learned_and_survive_saving(tmp_path, writer, places, family):
    train = places.subset(range(60))
    in_words = Examples("classification", train.inputs, train.targets, in_words=True)
    predictor = finetune(writer(family), in_words, LEARNS, seed=0)
    assert score("classification", train.targets, predictor.predict(train.inputs))[0].value > 0.8
    predictor.save(tmp_path / "model", "# Places")
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert (loaded.task, loaded.labels) == ("classification", ["home", "sea"])
    answers = loaded.answers(train.inputs[:9])
    assert [answer["label"] for answer in answers] == predictor.predict(train.inputs[:9])
    assert all(0 < answer["probability"] <= 1 for answer in answers)
    # One by one as all together.
    assert [loaded.answers([one])[0]["text"] for one in train.inputs[:9]] == [a["text"] for a in answers]


WORDS = st.lists(st.sampled_from(["Rome", "is", "old", "New", "York", "x"]), min_size=1, max_size=8)


@settings(max_examples=60)
@given(words=WORDS, data=st.data())
def test_tags_survive_words(words, data):
    """Entities whose words occur once come back where they were; other tags always do."""
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    tags = ["O"] * len(words)
    tags[first : last + 1] = ["B-LOC", *["I-LOC"] * (last - first)]
    labels = ["B-LOC", "I-LOC", "O"]
    text = answer_in_words("tagging", tags, words, labels)
    found = read_back("tagging", text, words, labels, TaskFacts())
    spans = [s for s in range(len(words)) if words[s : s + last - first + 1] == words[first : last + 1]]
    if len(spans) == 1:
        assert found == tags
    assert sum(tag != "O" for tag in found) == last - first + 1
    plain = data.draw(st.lists(st.sampled_from(["DET", "NOUN"]), min_size=len(words), max_size=len(words)))
    text = answer_in_words("tagging", plain, words, ["DET", "NOUN"])
    assert read_back("tagging", text, words, ["DET", "NOUN"], TaskFacts()) == plain


IN_WORDS = [
    ("classification", "A ship.", "sea", "classify: A ship.", "sea"),
    ("classification", ("A", "B"), "same", "classify: first: A second: B", "same"),
    ("multi-label", "A ship.", ("home", "sea"), "label: A ship.", "home, sea"),
    ("multi-label", "A ship.", (), "label: A ship.", "none"),
    ("regression", "A ship.", 3.5, "rate: A ship.", "3.50"),
    ("question-answering", ("Who?", "A man."), (Answer("A", 0),), "answer: Who? context: A man.", "A"),
    ("question-answering", ("Who?", "A man."), (), "answer: Who? context: A man.", "no answer"),
    ("multiple-choice", Choices("Who?", ("a", "b")), 1, "choose: Who? A: a B: b", "B"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "given", "target", "question", "answer"), IN_WORDS)
def test_templates(task, given, target, question, answer):
    labels = ["home", "same", "sea"]
    assert question_in_words(task, given) == question
    assert answer_in_words(task, target, given, labels) == answer
    wanted = (target[0].text if target else "") if task == "question-answering" else target
    assert read_back(task, answer, given, labels, TaskFacts()) == wanted


def test_what_cannot_be_read_back():
    assert read_back("classification", "nonsense", "x", ["sea"], TaskFacts()) == "nonsense"
    assert read_back("regression", "much", "x", [], TaskFacts(mean=2.5)) == 2.5
    assert read_back("regression", "nan", "x", [], TaskFacts(mean=2.5)) == 2.5
    assert read_back("multiple-choice", "", Choices("x", ("a", "b")), [], TaskFacts()) == 0
    assert read_back("tagging", "DET", ["a", "b"], ["DET", "NOUN"], TaskFacts(commonest="NOUN")) == [
        "DET",
        "NOUN",
    ]
    assert read_back("tagging", "LOC: Oslo", ["in", "Rome"], ["B-LOC", "O"], TaskFacts()) == ["O", "O"]
    with pytest.raises(HeadstartError, match="no answer in words"):
        question_in_words("embedding", ("a", "b"))


@pytest.mark.parametrize("family", WRITERS)
def test_lessons_in_a_row_do_not_see_each_other(writer, family):
    loaded = writer(family)
    inputs = ["a ship", "the garden of the house", "x", "an old captain waits"]
    train = Examples("text-to-text", inputs, [("sea",), ("at home",), ("no",), ("sea",)])
    model = TaskModel(loaded.model, "text-to-text", 0, decoder_start=2, writes=True).eval()
    loss = ExampleLoss(Predictor(model, loaded.tokenizer, []), train, 0)
    assert len(loss) == 4
    with torch.no_grad():
        alone = [loss([i]) * len(loss.targets[i]) for i in range(4)]
        together = loss([0, 1, 2, 3]) * sum(map(len, loss.targets))
    assert torch.allclose(together, sum(alone), atol=1e-4)
    scored = [target.tolist() for target in loss.targets]
    assert scored == [[*loaded.tokenizer.encode(ways[0]), 1] for ways in train.targets]


def test_what_is_too_long_is_said(tmp_path, writer):
    inputs = ["a ship", "word " * 200, "a garden"]
    train = Examples("text-to-text", inputs, [("sea",), ("long",), ("home",)])
    predictor = finetune(writer("t5"), train, QUICK, seed=0)
    assert "1 training examples were over 48 tokens" in predictor.notes[0]
    answers = predictor.answers(inputs)
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert "and this model reads 64" in answers[1]["error"]
    assert predictor.predict(inputs)[1] == ""
    with pytest.raises(HeadstartError, match="all 1 examples are longer than max_tokens=48"):
        finetune(writer("t5"), train.subset([1]), QUICK, seed=0)


def test_the_folder_says_how_to_search(tmp_path, writer):
    train = Examples("text-to-text", ["a ship", "a chair"], [("sea",), ("home",)])
    finetune(writer("t5"), train, QUICK, seed=0).save(tmp_path / "model", "# Texts")
    file = tmp_path / "model" / "generation_config.json"
    said = json.loads(file.read_text())
    assert said["max_new_tokens"] == max(len(writer("t5").tokenizer.encode(t)) for t in ("sea", "home")) + 1
    file.write_text(json.dumps(said | {"num_beams": 3}))
    loaded = Predictor.of(load_model(tmp_path / "model"))
    assert GenerationConfig.of(loaded.as_loaded(), temperature=0.0).beams == 3
    prompts = [loaded.kind.prompt(loaded.tokenizer, one, False) for one in train.inputs]
    searched = generate(loaded.as_loaded(), prompts, GenerationConfig.of(loaded.as_loaded()))
    assert loaded.predict(train.inputs) == [one.text.strip() for one in searched]


def test_a_file_of_texts_in_and_out(tmp_path, writer):
    rows = [{"task": "place", "input": f"The ship of number {n}.", "target": "sea"} for n in range(20)]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = load_examples(data)
    assert (train.task, train.inputs[0], train.targets[0]) == (
        "text-to-text", "place: The ship of number 0.", ("sea",))  # fmt: skip
    assert "source from 'input', task from 'task', target from 'target'" in train.notes[0]
    predictor = finetune(writer("headstart-decoder"), train, LEARNS, seed=0)
    answers = list(predict_file(predictor, data))
    assert [answer["text"] for answer in answers] == ["sea"] * 20
    found = evaluate_labels(predictor, data, train=data)
    assert {row["system"] for row in found.scores} == {"model", "tf-idf", "majority"}
    assert found.scores[0] == found.scores[0] | {"metric": "ROUGE-L", "value": 1.0, "n": 20}


def test_labelled_data_read_as_text(tmp_path):
    data = tmp_path / "a.csv"
    data.write_text("text,label\nA ship,sea\nA chair,home\n")
    train = load_examples(data, "text-to-text")
    assert (train.task, train.in_words, train.targets) == ("classification", True, ["sea", "home"])
    assert load_examples(data, "text-to-text:classification").in_words
    assert not load_examples(data, "classification").in_words
    assert kind_of("classification", True).name == "classification"


def test_nearest_answer():
    train = Examples("text-to-text", ["a red ship", "a green chair"], [("sea",), ("home",)])
    assert baselines(train)["tf-idf"].predict(["the chair", "one ship"]) == ["home", "sea"]


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is the ship?\nSay it."},
    {"role": "assistant", "content": " At sea. "},
    {"role": "user", "content": "And the chair?"},
    {"role": "assistant", "content": "At home."},
]


def test_chat_scores_what_the_assistant_says(writer):
    chat = WRITING["chat"]
    loaded = chat.prepared(writer("headstart-decoder"))
    messages = tuple(Message(**one) for one in TALK)
    lesson = chat.lesson(loaded.tokenizer, Conversation(messages[:-1]), (messages[-1].content,), [], True)
    assert lesson.row == chat_ids(loaded.tokenizer, TALK)
    wanted = [lesson.row[place] for place in lesson.wanted]
    encode = loaded.tokenizer.encode
    assert wanted == [*encode("At sea."), 1, *encode("At home."), 1]
    piece = lesson.piece(0, None)
    assert piece.items.tolist() == wanted == [lesson.row[place + 1] for place in piece.heads]
    train = Examples("chat", [Conversation(messages[:-1])], [(messages[-1].content,)])
    assert chat.facts(train, [piece]).longest == len(encode("At home.")) + 1


def test_chat_is_learned_and_transformers_agrees(tmp_path, writer):
    transformers = pytest.importorskip("transformers")
    rows = [
        {"prompt": f"Where is {what} {n}?", "response": at}
        for n in range(20)
        for what, at in (("ship", "At sea."), ("chair", "At home."))
    ]
    data = tmp_path / "talk.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = hs.load(_saved(tmp_path, writer("headstart-decoder")))
    made = hs.finetune(model, data, learning_rate=5e-3, min_steps=150, max_steps=150, layer_decay=1.0)
    assert made.predictor.task == "chat"
    assert made.score.value > 0.9
    question = [{"role": "user", "content": "Where is chair 3?"}]
    assert made.chat(question) == made.chat("Where is chair 3?") == "At home."
    made.save(tmp_path / "chat")
    assert hs.load(tmp_path / "chat").chat(question) == "At home."
    done = CliRunner().invoke(app, ["generate", str(tmp_path / "chat"), "Where is chair 3?"])
    assert done.stdout.strip() == "At home."

    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "chat")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "chat").eval()
    assert tokenizer.eos_token_id == theirs.generation_config.eos_token_id == theirs.config.eos_token_id == 1
    for talk in (TALK, TALK[1:], question):
        for reply in (True, False):
            ids = tokenizer.apply_chat_template(talk, add_generation_prompt=reply, return_dict=False)
            assert ids == chat_ids(made.loaded.tokenizer, talk, reply)
    asked = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        written = theirs.generate(**asked, max_new_tokens=30, do_sample=False)[0]
    assert tokenizer.decode(written[asked["input_ids"].shape[1] :]) == "At home.</s>"


def _saved(folder, loaded):
    from headstart.interchange.model_folder import save_model

    save_model(folder / "base", loaded.model, loaded.tokenizer, loaded.head, "# Base")
    return folder / "base"


def test_conversations_as_data_sets_write_them(tmp_path):
    data = tmp_path / "talk.jsonl"
    rows = [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"},
                           {"from": "human", "value": "More?"}]},
        {"conversations": [{"from": "human", "value": "Hi"}]},
    ]  # fmt: skip
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load_examples(data)
    assert (found.task, found.targets) == ("chat", [("Hello",), ("Ho",)])
    assert any("1 row with no answer of the assistant left out" in note for note in found.notes)
    assert any("end without an answer to learn from" in note for note in found.notes)
    data.write_text(json.dumps({"instruction": "Add", "input": "1 2", "output": "3"}) + "\n")
    found = load_examples(data)
    assert found.inputs == [Conversation((Message("user", "Add\n\n1 2"),))]
    data.write_text(json.dumps({"messages": [{"role": "tool", "content": "x"}]}) + "\n")
    with pytest.raises(HeadstartError, match="no usable example: 1 row with calls of tools"):
        load_examples(data)
    data.write_text(json.dumps({"messages": [{"role": "narrator", "content": "x"}]}) + "\n")
    with pytest.raises(HeadstartError, match=r"line 1: a message has a role \(system, user or assistant\)"):
        load_examples(data)


def test_models_that_cannot_write(encoder, writer, places):
    train = Examples("text-to-text", ["a"], [("b",)])
    with pytest.raises(HeadstartError, match="an encoder writes no text"):
        finetune(encoder, train, QUICK, seed=0)
    talk = Examples("chat", [Conversation((Message("user", "Hi"),))], [("Ho",)])
    with pytest.raises(HeadstartError, match="chat needs a decoder"):
        finetune(writer("t5"), talk, QUICK, seed=0)
    with pytest.raises(HeadstartError, match="no chat template"):
        chat_ids(writer("t5").tokenizer, [{"role": "user", "content": "x"}])


def test_words_are_read_as_text():
    words = WordSequence.of(["New", "York"])
    assert question_in_words("tagging", words) == "tag: New York"
