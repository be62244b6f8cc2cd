"""Labelled data in the forms in which data sets and annotation tools publish them."""

import json
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.errors import HeadstartError
from headstart.tasks.data.conll import read_conll
from headstart.tasks.data.dataset import find_tasks, load_examples, load_task
from headstart.tasks.data.rows import read_rows
from headstart.tasks.data.tables import Dialect, dialect_of
from headstart.tasks.examples import Choices, Conversation, Message
from headstart.tasks.kinds.labels import number_in
from headstart.tasks.metrics.entities import entities


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def jsonl(path, rows):
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def parquet(path, rows, names=None, sequence=False):
    """A table as Hugging Face's datasets write it, with the names of the classes of one column."""
    table = pa.Table.from_pylist(rows)
    if names:
        column, its = names
        feature = {"names": its, "_type": "ClassLabel"}
        feature = {"feature": feature, "_type": "Sequence"} if sequence else feature
        info = {"info": {"features": {column: feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def numbered(count, label):
    return [{"sentence": f"sentence {i} of {count}", "label": label(i), "idx": i} for i in range(count)]


# --- rows that are nested, and numbers with commas ---

FLAT = [{"text": f"a text of {n} words", "label": "xy"[n % 2]} for n in range(12)]
CELLS = {name: {str(n): row[name] for n, row in enumerate(FLAT)} for name in ("text", "label")}
PANDAS = {
    "columns": CELLS,
    "index": {str(n): row for n, row in enumerate(FLAT)},
    "split": {
        "columns": ["text", "label"],
        "index": list(range(12)),
        "data": [list(row.values()) for row in FLAT],
    },
    "records": FLAT,
}


@pytest.mark.parametrize("orient", PANDAS)
def test_tables_of_pandas_as_json(tmp_path, orient):
    """`DataFrame.to_json` writes columns, where nobody asks for something else."""
    file = write(tmp_path / "table.json", json.dumps(PANDAS[orient]))
    assert [row for _, row in read_rows(file)] == FLAT
    single = write(tmp_path / "single.json", json.dumps({"names": {"de": "a", "en": "b"}}))
    assert [row for _, row in read_rows(single)] == [{"names": {"de": "a", "en": "b"}}]


@pytest.mark.parametrize("name", ["pairs.json", "pairs.jsonl"])
def test_pairs_of_spacy(tmp_path, name):
    pair = ["Anna Smith sang in Rome", {"entities": [[0, 10, "PER"], [19, 23, "LOC"]]}]
    content = json.dumps([pair] * 8) if name.endswith("json") else (json.dumps(pair) + "\n") * 8
    examples = load_examples(write(tmp_path / name, content))
    assert examples.task == "tagging"
    assert examples.targets[0] == ["B-PER", "I-PER", "O", "O", "B-LOC"]


def test_questions_with_their_choices_inside(tmp_path):
    """As CommonsenseQA, ARC and OpenBookQA are handed out."""
    choices = [{"label": label, "text": f"thing {label}"} for label in "ABCDE"]
    rows = [
        {
            "id": str(n),
            "question": {"stem": f"Which one is {n}?", "choices": choices},
            "answerKey": "ABCDE"[n % 5],
        }
        for n in range(20)
    ]
    examples = load_examples(jsonl(tmp_path / "questions.jsonl", rows))
    assert examples.task == "multiple-choice"
    assert examples.inputs[7] == Choices("Which one is 7?", tuple(f"thing {label}" for label in "ABCDE"))
    assert examples.targets == [n % 5 for n in range(20)]


def test_decimal_commas(tmp_path):
    rows = "".join(f"text {n};other {n};{n % 5},{n % 10}\n" for n in range(20))
    examples = load_examples(write(tmp_path / "pairs.csv", "sentence1;sentence2;score\n" + rows))
    assert examples.task == "regression"
    assert examples.targets == [float(f"{n % 5}.{n % 10}") for n in range(20)]


@pytest.mark.parametrize(
    ("cell", "number"),
    [("0,125", 0.125), ("-3,5", -3.5), ("1,2345", 1.2345), ("1,234", None), ("1,2,3", None)],
)
def test_a_comma_that_may_be_of_thousands_is_no_decimal_one(cell, number):
    assert number_in(cell) == number


# --- names, order and missing labels ---


def test_glue(tmp_path):
    """Named classes in their order; a hidden test part; two shards of the training part; validation."""
    names = ("label", ["unacceptable", "acceptable"])
    for shard in (0, 1):
        rows = numbered(12, lambda i: i % 2)
        parquet(tmp_path / f"cola/train-0000{shard}-of-00002.parquet", rows[shard::2], names)
    parquet(tmp_path / "cola/validation-00000-of-00001.parquet", numbered(6, lambda i: i % 2), names)
    parquet(tmp_path / "cola/test-00000-of-00001.parquet", numbered(5, lambda i: -1), names)
    for place in (tmp_path / "cola", tmp_path, tmp_path / "cola/train-00000-of-00002.parquet"):
        task = load_task(place)
        assert (len(task.train), len(task.test)) == (12, 6)
        assert task.train.labels == ["unacceptable", "acceptable"]
        assert any("test part" in note and "no labels" in note for note in task.notes)


def test_names_from_a_card_and_from_saved_data(tmp_path):
    card = (
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n"
        "          '0': bad\n          '1': good\n---\n# Data\n"
    )
    write(tmp_path / "README.md", card)
    write(tmp_path / "data/train.csv", "text,label\na,0\nb,1\nc,0\nd,-1\n")
    examples = load_examples(tmp_path / "data/train.csv")
    assert examples.targets == ["bad", "good", "bad"]
    assert examples.labels == ["bad", "good"]
    table = pa.table({"text": ["a", "b"], "label": [1, 0]})
    names = {"features": {"label": {"names": ["n", "p"], "_type": "ClassLabel"}}}
    for part in ("train", "test"):
        folder = tmp_path / "saved" / part
        folder.mkdir(parents=True)
        file = str(folder / "data-00000-of-00001.arrow")
        with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        write(folder / "dataset_info.json", json.dumps(names))
        write(folder / "state.json", "{}")
    write(tmp_path / "saved/dataset_dict.json", '{"splits": ["train", "test"]}')
    task = load_task(tmp_path / "saved")
    assert (task.train.targets, task.test.targets) == (["p", "n"], ["p", "n"])


def test_conll_2003_of_the_hub(tmp_path):
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    rows = [{"tokens": ["EU", "rejects"], "ner_tags": [3, 0]}, {"tokens": ["Jo", "Li"], "ner_tags": [1, 2]}]
    examples = load_examples(parquet(tmp_path / "a.parquet", rows, ("ner_tags", names), sequence=True))
    assert examples.targets == [["B-ORG", "O"], ["B-PER", "I-PER"]]
    assert examples.labels == names


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ([0, 1, 2, 1, -1, 0], ["0", "1", "2"]),  # SNLI in numbers
        (["neutral", "-", "entailment", "neutral"], ["entailment", "neutral"]),  # SNLI in words
        ([-1, 0, 1, -1, 1, 0], ["-1", "0", "1"]),  # a sentiment
        ([-1, 1, -1, 1], ["-1", "1"]),
        (["+", "-", "+"], ["+", "-"]),
        ([0, 0.0, "1.0", True, "1", False], ["0", "1"]),
        ([True, False, True], ["False", "True"]),
        ([f"{i}" for i in range(12)] * 2, [str(i) for i in range(12)]),
        (["007", "7", "7.5x"], ["007", "7", "7.5x"]),
    ],
)
def test_labels_as_files_write_them(tmp_path, cells, labels):
    rows = [{"text": f"t {i}", "label": cell} for i, cell in enumerate(cells)]
    assert sorted(load_examples(jsonl(tmp_path / "a.jsonl", rows)).labels) == sorted(labels)


def test_labels_that_look_like_several_or_like_numbers(tmp_path):
    names = ["sport", "news", "sport,news", "news"]
    rows = [{"text": f"t {i}", "label": name} for i, name in enumerate(names)]
    found = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert any("--task multi-label" in note for note in found.notes)
    rows = [{"sentence1": "a", "sentence2": f"b {i}", "label": i / 5} for i in range(26)]
    found = load_examples(jsonl(tmp_path / "stsb.jsonl", rows))
    assert found.task == "regression"
    assert any("--task classification" in note for note in found.notes)


@pytest.mark.parametrize(
    "cells",
    [
        [["a", "b"], ["b"], [], ["a"]],
        ["a|b", "b", "", "a"],
        ["a, b", "b", "", "a"],
        ["a;b", "b", "", "a"],
        ["['a', 'b']", "['b']", "[]", "['a']"],
    ],
)
def test_several_labels(tmp_path, cells):
    if isinstance(cells[0], str):
        content = "text,labels\n" + "".join(f'text {i},"{cell}"\n' for i, cell in enumerate(cells))
        file = write(tmp_path / "a.csv", content)
    else:
        file = jsonl(tmp_path / "a.jsonl", [{"text": f"t {i}", "labels": c} for i, c in enumerate(cells)])
    assert load_examples(file, "multi-label").targets == [("a", "b"), ("b",), (), ("a",)]


def test_labels_as_columns_of_zero_and_one(tmp_path):
    content = "id,comment_text,toxic,insult\n1,you,0,0\n2,fool,1,1\n3,bad,1,0\n4,?,-1,-1\n"
    found = load_examples(write(tmp_path / "toxic.csv", content), text_column="comment_text")
    assert (found.task, found.targets) == ("multi-label", [(), ("insult", "toxic"), ("toxic",)])
    assert any("1 row with no labels left out" in note for note in found.notes)


def test_one_example_a_class_is_learned_where_it_is_named(tmp_path):
    rows = [{"text": f"topic {i}", "label": f"c{i}"} for i in range(30)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(HeadstartError, match="--task classification where these are the classes"):
        load_examples(file)
    assert len(load_examples(file, "classification").labels) == 30
    assert len(load_examples(file, label_column="label").labels) == 30


# --- columns ---

LAYOUTS = [
    ({"question": "is it?", "passage": "it is", "answer": True}, ("is it?", "it is"), "True"),
    ({"question": "who?", "sentence": "he did", "label": "yes", "idx": 3}, ("who?", "he did"), "yes"),
    ({"premise": "p", "hypothesis": "h", "label": "c"}, ("p", "h"), "c"),
    ({"sentence1": "s", "sentence2": "t", "gold_label": "n", "sentence1_parse": "( s )"}, ("s", "t"), "n"),
    ({"question1": "a", "question2": "b", "is_duplicate": 1}, ("a", "b"), "1"),
]


@pytest.mark.parametrize(("row", "given", "label"), LAYOUTS, ids=["boolq", "qnli", "rte", "snli", "qqp"])
def test_pairs(tmp_path, row, given, label):
    found = load_examples(jsonl(tmp_path / "a.jsonl", [row] * 3))
    assert (found.task, found.inputs[0], found.targets[0]) == ("classification", given, label)


CHOICES = [
    ({"sent1": "A.", "sent2": "She", "ending0": "x", "ending1": "y", "ending2": "z", "label": 2},
     Choices("A.\nShe", ("x", "y", "z")), 2),
    ({"premise": "p", "choice1": "x", "choice2": "y", "question": "cause", "label": 0},
     Choices("p\ncause", ("x", "y")), 0),
    ({"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z", "label": "3"},
     Choices("c\nq", ("x", "y", "z")), 2),
    ({"context": "c", "question": "q", "answer0": "x", "answer1": "y", "answer2": "z", "label": 0},
     Choices("c\nq", ("x", "y", "z")), 0),
    ({"sentence": "s _", "option1": "x", "option2": "y", "answer": "2"}, Choices("s _", ("x", "y")), 1),
    ({"goal": "g", "sol1": "x", "sol2": "y", "label": 0}, Choices("g", ("x", "y")), 0),
    ({"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
     Choices("q", ("x", "y")), 1),
    ({"question": "q", "options": {"A": "x", "B": "y"}, "answer_idx": "A"}, Choices("q", ("x", "y")), 0),
    ({"question": "2+2", "choices": ["3", "4", "5"], "answer": "4"}, Choices("2+2", ("3", "4", "5")), 1),
    ({"question": "2+2", "choices": ["2", "1", "0"], "answer": 1}, Choices("2+2", ("2", "1", "0")), 1),
    ({"context": "c", "question": "q", "answers": ["x", "y"], "label": 1}, Choices("c\nq", ("x", "y")), 1),
]  # fmt: skip


@pytest.mark.parametrize(("row", "given", "place"), CHOICES)
def test_choices(tmp_path, row, given, place):
    found = load_examples(jsonl(tmp_path / "a.jsonl", [row] * 3))
    assert (found.task, found.inputs[0], found.targets[0]) == ("multiple-choice", given, place)


def test_a_place_means_the_same_in_every_part(tmp_path):
    row = {"question": "q", "optionA": "x", "optionB": "y", "optionC": "z"}
    jsonl(tmp_path / "train.jsonl", [row | {"label": i} for i in (1, 2, 3)])
    jsonl(tmp_path / "test.jsonl", [row | {"label": i} for i in (1, 2)])
    task = load_task(tmp_path)
    assert (task.train.targets, task.test.targets) == ([0, 1, 2], [0, 1])


def test_half_of_an_input_is_not_left_out_unasked(tmp_path):
    rows = [{"text": f"some word {i}", "comment": f"other word {i}", "label": "ab"[i % 2]} for i in range(8)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(HeadstartError, match=r"leave out 'comment'.*--text-column text"):
        load_examples(file)
    found = load_examples(file, text_column="text")
    assert "left out: 'comment'" in found.notes[0]
    assert load_examples(file, columns={"text": "text", "pair": "comment"}).inputs[0][1] == "other word 0"
    same = [row | {"comment": row["text"].upper()} for row in rows]
    assert load_examples(jsonl(tmp_path / "b.jsonl", same)).inputs[0] == "some word 0"


def test_copies_of_an_input_are_no_half_of_it(tmp_path):
    row = {"instruction": "Add the numbers", "input": "1 and 2", "output": "3"}
    row["text"] = "Below is a task.\n### Instruction:\nAdd the numbers\n### Input:\n1 and 2\n### Response:\n3"
    found = load_examples(jsonl(tmp_path / "alpaca.jsonl", [row] * 2))
    assert (found.task, found.targets[0]) == ("chat", ("3",))
    news = [{"title": f"war {i}", "description": f"a longer text {i}", "label": i % 2} for i in range(4)]
    with pytest.raises(HeadstartError, match="would leave out 'description'"):
        load_examples(jsonl(tmp_path / "news.jsonl", news))
    bare = [{"tokens": ["a", "b"], "ner_tags": [0, 3]}, {"tokens": ["c"], "ner_tags": [1]}]
    found = load_examples(jsonl(tmp_path / "ner.jsonl", bare))
    assert any("tags are numbers without names" in note for note in found.notes)


def test_squad_2_as_a_table(tmp_path):
    content = (
        "question,context,answers,is_impossible\n"
        '"who?","in Rome in '
        "May\",\"{'text': array(['in'], dtype=object), 'answer_start': array([8])}\",False\n"
        '"why?","in Rome in May","{\'text\': [], \'answer_start\': []}",True\n'
    )
    found = load_examples(write(tmp_path / "a.csv", content))
    assert found.task == "question-answering"
    assert [[answer.start for answer in answers] for answers in found.targets] == [[8], []]
    flat = "question,context,answer_text,answer_start\nwho?,in Rome in May,in,8\n"
    named = load_examples(write(tmp_path / "b.csv", flat), columns={"answers": "answer_text"})
    assert named.targets[0][0].start == 8


# --- tables ---


@pytest.mark.parametrize(
    ("head", "usual", "found"),
    [
        (["text;label", "a, b;x"], ",", Dialect(";")),
        (["text\tlabel", "a, b\tx"], ",", Dialect("\t", quoted=False)),
        (["text|label", "a, b|x"], ",", Dialect("|")),
        (["text,label", '"a; b",x'], ",", Dialect(",")),
        (["text\tlabel", '"he said ""no"""\tx'], "\t", Dialect("\t")),
        (["text\tlabel", '"a', 'b"\tx'], "\t", Dialect("\t")),
        (["text\tlabel", 'a 5" pipe\tx', '"no\ty'], "\t", Dialect("\t", quoted=False)),
        (["text,label", '"he said \\"no\\", and",x'], ",", Dialect(",", escaped=True)),
        (["one column"], ",", Dialect(",")),
    ],
)
def test_dialects(head, usual, found):
    assert dialect_of(head, usual) == found


def test_doubled_columns_are_said(tmp_path):
    found = load_examples(write(tmp_path / "a.csv", "text,label,label\na,x,1\nb,y,2\n"))
    assert found.targets == ["x", "y"]
    assert any("two columns are called 'label'" in note for note in found.notes)
    excel = load_examples(write(tmp_path / "b.csv", "sep=;\ntext;label\na;x\nb;y\n"))
    assert excel.targets == ["x", "y"]


# --- words in lines ---


def conll(content):
    return [row for _, row in read_conll("a.conll", iter(enumerate(content.split("\n"), 1)))]


def test_conll_u():
    rest = "\t".join(["_"] * 4)
    rows = conll(
        f"# sent_id = 1\n# text = Zum Haus\n1-2\tZum\t_\t_\t_\t_\t{rest}\n1\tzu\tzu\tADP\tAPPR\t_\t{rest}\n"
        f"2\tdem\tder\tDET\tART\t_\t{rest}\n3\tHaus\tHaus\tNOUN\tNN\t_\t{rest}\n3.1\t_\t_\t_\t_\t_\t{rest}\n\n"
        f"# sent_id = 2\n1\t#\t#\tSYM\tSYM\t_\t{rest}\n"
    )
    assert [row["tokens"] for row in rows] == [["zu", "dem", "Haus"], ["#"]]
    assert [row["tags"] for row in rows] == [["ADP", "DET", "NOUN"], ["SYM"]]
    assert rows[0]["xpos"] == ["APPR", "ART", "NN"]


def test_ontonotes():
    line = "bc/x 0 {} {} NN (TOP* - - - spk {} (ARG0*) -"
    words = [("Mary", "(PERSON)"), ("saw", "*"), ("New", "(GPE*"), ("York", "*)"), (".", "*")]
    sentence = "\n".join(line.format(i, *pair) for i, pair in enumerate(words))
    rows = conll(f"#begin document (bc/x); part 000\n{sentence}\n\n{sentence}\n\n#end document\n")
    assert [row["tokens"] for row in rows] == [["Mary", "saw", "New", "York", "."]] * 2
    assert rows[0]["tags"] == ["B-PERSON", "O", "B-GPE", "I-GPE", "O"]


def test_germeval_and_tags_first():
    rows = conll(
        "# http://x\n1\tIn\tO\tO\n2\tKöln\tB-LOC\tO\n\n"
        "# y\n1\t1.\tB-ORG\tO\n2\tFC\tI-ORG\tO\n3\tKöln\tI-ORG\tB-LOC\n"
    )
    assert [row["tokens"] for row in rows] == [["In", "Köln"], ["1.", "FC", "Köln"]]
    assert rows[1]["tags"] == ["B-ORG", "I-ORG", "I-ORG"]
    rows = conll("O\tgood\nB-Dish\tpasta\n\nO\tnice\nO\tplace\n")
    assert (rows[0]["tokens"], rows[0]["tags"]) == (["good", "pasta"], ["O", "B-Dish"])


def test_words_that_look_like_comments_stay():
    rows = conll("# id 1\n#MeToo B-X\nis O\n# O\n\n# B-X\nsign O\n\nplain O\nwords O\n")
    assert [row["tokens"] for row in rows] == [["#MeToo", "is", "#"], ["#", "sign"], ["plain", "words"]]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["B-PER", "M-PER", "E-PER", "O", "S-LOC"], [("PER", 0, 2), ("LOC", 4, 4)]),
        (["PER", "PER", "O", "O", "O", "O"], [("PER", 0, 1)]),
        (["B", "I", "O", "B", "O"], [("", 0, 1), ("", 3, 3)]),
        (["B", "M", "E", "S"], [("", 0, 2), ("", 3, 3)]),
    ],
)
def test_schemes(tmp_path, tags, found):
    content = "\n".join(f"w{i} {tag}" for i, tag in enumerate(tags)) + "\n\nx O\n"
    content = content if "O" in tags else content.replace("x O", "x S")
    examples = load_examples(write(tmp_path / "a.conll", content))
    assert [tuple(entity) for entity in entities(examples.targets[0])] == found


# --- annotation tools ---


def test_label_studio(tmp_path):
    span = {"value": {"start": 0, "end": 4, "text": "John", "labels": ["PER"]}, "type": "labels"}
    tasks = [
        {"id": 1, "data": {"text": "John ran"}, "annotations": [{"was_cancelled": True}, {"result": [span]}]},
        {"id": 2, "data": {"text": "no one"}, "annotations": [{"result": []}]},
    ]
    found = load_examples(write(tmp_path / "full.json", json.dumps(tasks)))
    assert found.targets == [["B-PER", "O"], ["O", "O"]]
    short = [{"text": "good", "sentiment": "pos"}, {"text": "bad", "sentiment": "neg"}]
    assert load_examples(write(tmp_path / "min.json", json.dumps(short))).targets == ["pos", "neg"]
    many = [{"text": "x", "labels": {"choices": ["a", "b"]}}, {"text": "y", "labels": {"choices": ["a"]}}]
    assert load_examples(write(tmp_path / "many.json", json.dumps(many))).targets == [("a", "b"), ("a",)]


def test_prodigy_and_doccano(tmp_path):
    tokens = [{"text": "John", "start": 0, "end": 4, "id": 0}]
    spans = [{"start": 0, "end": 4, "label": "PER"}]
    rows = [
        {"text": "John", "tokens": tokens, "spans": spans, "answer": answer}
        for answer in ("accept", "reject", "ignore", "accept")
    ]
    found = load_examples(jsonl(tmp_path / "prodigy.jsonl", rows))
    assert found.targets == [["B-PER"]] * 2
    assert any("2 rows with an answer of an annotator other than accept" in note for note in found.notes)
    rows = [{"id": 1, "text": "nobody", "label": []}, {"id": 2, "text": "John", "label": [[0, 4, "PER"]]}]
    assert load_examples(jsonl(tmp_path / "doccano.jsonl", rows)).targets == [["O"], ["B-PER"]]
    entity = {"id": 3, "label": "PER", "start_offset": 0, "end_offset": 4}
    rows = [{"text": "John", "entities": [entity], "relations": []}]
    assert load_examples(jsonl(tmp_path / "new.jsonl", rows)).targets == [["B-PER"]]


# --- conversations ---


def test_conversations(tmp_path):
    dolly = {"instruction": "who?", "context": "Bob is.", "response": "Bob", "category": "qa"}
    found = load_examples(jsonl(tmp_path / "dolly.jsonl", [dolly]))
    assert found.inputs[0] == Conversation((Message("user", "who?\n\nBob is."),))
    assert "left out: 'category'" in found.notes[0]
    said = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "BAD", "weight": 0},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "good"},
    ]
    found = load_examples(jsonl(tmp_path / "openai.jsonl", [{"messages": said}]))
    assert [one.role for one in found.inputs[0].messages] == ["system", "user", "assistant", "user"]
    assert [one.learned for one in found.inputs[0].messages] == [True, True, False, True]
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}
    calls = [{"role": "user", "content": "hi"}, call]
    found = load_examples(jsonl(tmp_path / "calls.jsonl", [{"messages": said}, {"messages": calls}]))
    assert any("calls of tools" in note for note in found.notes)


# --- what is remembered ---


def test_other_files_are_read_as_the_first(tmp_path):
    rows = [{"text": f"no {i}", "comment": f"yes {i}", "label": "ab"[i % 2]} for i in range(6)]
    learned = load_examples(jsonl(tmp_path / "a.jsonl", rows), text_column="comment")
    again = load_examples(jsonl(tmp_path / "b.jsonl", rows[:3]), "classification", like=learned.reading)
    assert again.inputs == ["yes 0", "yes 1", "yes 2"]
    bare = jsonl(tmp_path / "c.jsonl", [{"text": "x", "label": "a"}])
    with pytest.raises(HeadstartError, match="no column 'comment', from which the model has learned"):
        load_examples(bare, "classification", like=learned.reading)
    assert load_examples(bare, "classification", text_column="text", like=learned.reading).inputs == ["x"]


def test_a_validation_part_and_one_that_is_the_test_part(tmp_path):
    rows = [{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(12)]
    for name, some in (("train", rows[:6]), ("dev", rows[6:9]), ("test", rows[6:12])):
        jsonl(tmp_path / f"{name}.jsonl", some)
    task = load_task(tmp_path)
    assert (len(task.train), len(task.validation), len(task.test)) == (6, 3, 6)
    assert any("3 of the 6 test examples also occur in the validation data" in note for note in task.notes)
    (tmp_path / "test.jsonl").unlink()
    task = load_task(tmp_path)
    assert (task.validation, len(task.test)) == (None, 3)
    assert any("scored on the validation part" in note for note in task.notes)


def test_a_file_that_is_no_part_of_a_task_is_named(tmp_path) -> None:
    """MNLI has two validation parts; one is read, and the other one is not lost without a word."""
    row = "premise\thypothesis\tlabel\n" + "".join(
        f"a man {n} sleeps\tsomebody {n} rests\t{('yes', 'no')[n % 2]}\n" for n in range(12)
    )
    for name in ("train", "validation_matched", "validation_mismatched"):
        (tmp_path / f"{name}.tsv").write_text(row.replace("man", f"man of {name}"))
    (task,) = find_tasks(tmp_path)
    assert all(first.startswith("a man of validation_matched") for first, _ in task.test.inputs)
    assert "not read, for they are no part of a task here: validation_mismatched.tsv" in task.notes
    (tmp_path / "validation_mismatched.tsv").unlink()
    assert not any("not read" in note for note in find_tasks(tmp_path)[0].notes)


# --- rows that are no whole examples ---

KAGGLE = """Sentence #,Word,POS,Tag
Sentence: 1,Anna,NNP,B-per
,lives,VBZ,O
,in,IN,O
,Rome,NNP,B-geo
,.,.,O
Sentence: 2,"He said, no",NNP,O
Sentence: 2,Bern,NNP,B-geo
"""


def test_a_word_a_row(tmp_path):
    """Kaggle's ner_dataset.csv numbers the first word of a sentence alone, simpletransformers every word."""
    words = KAGGLE.replace('"He said, no"', "Near")
    examples = load_examples(write(tmp_path / "ner.csv", words))
    assert examples.task == "tagging"
    assert [list(one) for one in examples.inputs] == [["Anna", "lives", "in", "Rome", "."], ["Near", "Bern"]]
    assert examples.targets == [["B-per", "O", "O", "B-geo", "O"], ["O", "B-geo"]]
    assert any("a word a row" in note for note in examples.notes)
    parts = load_examples(tmp_path / "ner.csv", label_column="POS")
    assert parts.targets[1] == ["NNP", "NNP"]
    rows = [
        {"sentence_id": 7, "words": "Anna", "labels": "B-per"},
        {"sentence_id": 7, "words": "sleeps", "labels": "O"},
        {"sentence_id": 8, "words": "Rome", "labels": "B-geo"},
        {"sentence_id": 8, "words": None, "labels": "O"},
        {"sentence_id": 7, "words": "Bern", "labels": "B-geo"},
    ]
    for file in (jsonl(tmp_path / "a.jsonl", rows), parquet(tmp_path / "a.parquet", rows)):
        examples = load_examples(file)
        assert [list(one) for one in examples.inputs] == [["Anna", "sleeps"], ["Rome"], ["Bern"]]
        assert examples.targets == [["B-per", "O"], ["B-geo"], ["B-geo"]]
        said = " ".join(examples.notes)
        assert "1 rows without a word" in said
        assert "come again" in said


def test_texts_with_numbers_stay_texts(tmp_path):
    """A column `sentence` with texts, and numbers of rows, are no words."""
    senses = [{"sentence": "the bank 1", "word": "bank", "label": "ab"[n % 2]} for n in range(6)]
    assert len(load_examples(jsonl(tmp_path / "b.jsonl", [*senses, senses[0] | {"sentence": "a"}]))) == 7
    rows = [{"sentence_id": n, "word": f"w{n}", "label": "ab"[n % 2]} for n in range(6)]
    assert len(load_examples(jsonl(tmp_path / "a.jsonl", rows), "classification", text_column="word")) == 6


def test_right_and_wrong_answers_in_columns_of_their_own(tmp_path):
    """SciQ's and GPQA's: options in the order of their letters, so that no place is always right."""
    sciq = [
        {
            "question": f"What is {n}?", "distractor3": "zebra", "distractor1": f"a{n}",
            "distractor2": "mouse", "correct_answer": answer, "support": f"Some say that {n} is an animal.",
        }
        for n, answer in enumerate(["oak", "beech", "zoo"])
    ]  # fmt: skip
    examples = load_examples(jsonl(tmp_path / "sciq.jsonl", sciq))
    assert examples.task == "multiple-choice"
    assert examples.inputs[0] == Choices(
        "Some say that 0 is an animal.\nWhat is 0?", ("a0", "mouse", "oak", "zebra")
    )
    assert examples.targets == [2, 1, 3]
    gpqa = [
        {"Question": f"Why {n}?", "Correct Answer": "x", "Incorrect Answer 1": "y", "Incorrect Answer 2": "a"}
        for n in range(2)
    ]
    examples = load_examples(jsonl(tmp_path / "gpqa.jsonl", gpqa))
    assert examples.inputs[0].options == ("a", "x", "y")
    assert examples.targets == [1, 1]


def test_a_text_that_many_rows_of_a_parquet_file_repeat_is_held_once(tmp_path):
    """A file of some kilobytes would be 24 GB of rows."""
    large = "long " * 100_000
    rows = [{"text": large if n % 5 else f"short {n}", "label": "ab"[n % 2]} for n in range(50)]
    table = pa.Table.from_pylist(rows)
    pq.write_table(pa.concat_tables([table] * 1000), tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 2_000_000
    found = [row["text"] for _, row in islice(read_rows(tmp_path / "bomb.parquet"), 2000)]
    assert found[:50] == [row["text"] for row in rows]
    assert len({id(text) for text in found if text == large}) <= 2  # one a batch


def test_parquet_cells_come_whole(tmp_path):
    rows = [
        {"text": None, "label": 1, "tags": ["a", "b"], "more": {"x": "y"}},
        {"text": "é", "label": None, "tags": None, "more": None},
        {"text": "", "label": 3, "tags": [], "more": {"x": None}},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [row for _, row in read_rows(tmp_path / "a.parquet")] == rows


# --- forms that stand beside those above ---


def test_plain_text_with_tagged_words_is_conll(tmp_path):
    """CoNLL-2003 is handed out as train.txt, valid.txt and test.txt; other text beside it is no data."""
    sentences = "-DOCSTART- -X- -X- O\n\n" + "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n2 CD B-NP O\n\n" * 12
    for part in ("train", "valid", "test"):
        write(tmp_path / f"{part}.txt", sentences.replace("2", part))
    write(tmp_path / "readme.txt", "What this is.\n\nIt holds words.\n")
    (tmp_path / "picture.txt").write_bytes(b"\0\1")
    task = load_task(tmp_path)
    assert (task.train.task, len(task.train), len(task.test)) == ("tagging", 12, 12)
    assert task.train.labels == ["B-ORG", "O"]
    assert list(task.train.inputs[0]) == ["EU", "rejects", "train"]
    assert "a word a line with its tag, read as CoNLL" in task.train.notes
    assert len(list(read_rows(tmp_path / "readme.txt"))) == 3


def test_eval_is_validation_beside_a_test_part(tmp_path):
    def made(*parts):
        folder = tmp_path / "-".join(parts)
        for part in parts:
            jsonl(
                folder / f"{part}.jsonl", [{"text": f"{part} {i}", "label": "ab"[i % 2]} for i in range(12)]
            )
        return load_task(folder)

    task = made("train", "eval", "test")
    assert task.validation.inputs[0] == "eval 0"
    assert task.test.inputs[0] == "test 0"
    assert made("train", "eval").test.inputs[0] == "eval 0"
    assert any("eval.jsonl" in note for note in made("train", "eval", "dev", "test").notes)


def test_indicators_may_be_written_with_fractions(tmp_path):
    rows = [{"text": f"t {i}", "labels": [float(i % 2), 1.0, 0.0]} for i in range(8)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert examples.task == "multi-label"
    assert examples.targets[:2] == [("1",), ("0", "1")]


def test_a_list_of_one_label_in_every_row_is_a_class(tmp_path):
    """Doccano's and Label Studio's form of classification; a test part with more is refused."""
    rows = [{"text": f"t {i}", "label": [["pos", "neg"][i % 2]]} for i in range(8)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert (examples.task, examples.labels) == ("classification", ["neg", "pos"])
    assert any("--task multi-label" in note for note in examples.notes)
    asked = load_examples(tmp_path / "a.jsonl", "multi-label")
    assert asked.targets[0] == ("pos",)
    other = jsonl(tmp_path / "b.jsonl", [*rows, {"text": "both", "label": ["pos", "neg"]}])
    assert load_examples(other).task == "multi-label"
    with pytest.raises(HeadstartError, match="one label a text"):
        load_examples(other, "classification", like=examples.reading)


def test_annotations_that_were_cancelled_are_left_out(tmp_path):
    def annotated(i):
        value = {"start": 0, "end": 4, "text": "Otto", "labels": ["PER"]}
        result = {"value": value, "type": "labels"}
        return {
            "data": {"text": f"Otto saw {i}"},
            "annotations": [{"result": [result], "was_cancelled": i % 4 == 0}],
        }

    examples = load_examples(write(tmp_path / "a.json", json.dumps([annotated(i) for i in range(12)])))
    assert (examples.task, len(examples)) == ("tagging", 9)
    assert any(note.startswith("3 rows with no annotation") for note in examples.notes)


def test_names_of_published_columns(tmp_path):
    toxic = "comment_text,toxic,insult\n" + "".join(f"t {i},{i % 2},{i % 3 // 2}\n" for i in range(12))
    assert load_examples(write(tmp_path / "a.csv", toxic)).task == "multi-label"
    context = "in Bern, in May"
    rows = [
        {"question": f"q {i}", "context": context, "answer_text": "in", "answer_start": 9} for i in range(4)
    ]
    examples = load_examples(jsonl(tmp_path / "b.jsonl", rows))
    assert examples.targets[0][0].start == 9


def test_numbers_that_differ_by_a_sign_are_no_variants(tmp_path):
    rows = [{"text": f"t {i}", "label": [-2, -1, 0, 1, 2][i % 5]} for i in range(50)]
    assert not [
        note for note in load_task(jsonl(tmp_path / "a.jsonl", rows)).notes if "differ in case" in note
    ]
