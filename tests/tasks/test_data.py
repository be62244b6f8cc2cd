"""Reading labelled data, good and bad; splitting and sampling it."""

import gzip
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.tasks.baselines.label_noise import doubtful_labels
from headstart.tasks.data.dataset import find_tasks, load_examples, load_task, pair
from headstart.tasks.data.splitting import sample_labels, split
from headstart.tasks.examples import Examples, normalised

SPAM = Path(__file__).parents[2] / "samples" / "labels" / "spam.train.jsonl.gz"
ROWS = [("Win a prize, now", "spam"), ('She said "no"', "ham"), ("Ça va?", "ham")]
TAGGED = [(["The", "ship"], ["DET", "NOUN"]), (["Go", "home", "!"], ["VERB", "NOUN", "."])]


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def labelled(count: int = 40, prefix: str = "text") -> str:
    return jsonl([{"text": f"{prefix} {i}", "label": "ab"[i % 2]} for i in range(count)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"Win a prize, now",spam\n"She said ""no""",ham\nÇa va?,ham\n'),
        (
            "a.csv.gz",
            'id,Label,Text\r\n1,spam,"Win a prize, now"\r\n2,ham,"She said ""no"""\r\n3,ham,Ça va?\r\n',
        ),
        ("a.tsv", 'label\tmessage\nspam\tWin a prize, now\nham\tShe said "no"\nham\tÇa va?\n'),
        ("a.jsonl", jsonl([{"review": t, "sentiment": c} for t, c in ROWS]) + "\n"),
        ("a.jsonl.gz", "\ufeff" + jsonl([{"text": t, "label": c, "id": 7} for t, c in ROWS])),
    ],
)
def test_reads_classification(tmp_path, name, content):
    examples = load_examples(write(tmp_path / name, content))
    assert examples.task == "classification"
    assert list(zip(examples.inputs, examples.targets, strict=True)) == ROWS
    assert "classification: text from" in examples.notes[0]


def test_reads_parquet(tmp_path):
    table = pa.table({"sentence": [*(t for t, _ in ROWS), "x"], "class": [1, 0, 0, None]})
    pq.write_table(table, tmp_path / "a.parquet")
    examples = load_examples(tmp_path / "a.parquet")
    assert examples.targets == ["1", "0", "0"]
    assert "1 row with no label left out" in examples.notes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", jsonl([{"tokens": w, "tags": t} for w, t in TAGGED])),
        ("a.jsonl", jsonl([{"words": w, "ner_tags": t, "text": " ".join(w)} for w, t in TAGGED])),
        ("a.conll", "-DOCSTART- -X- O\n\nThe x DET\nship y NOUN\n\n\nGo z VERB\nhome z NOUN\n! z .\n"),
        ("a.bio", "The\tDET\nship\tNOUN\n\nGo\tVERB\nhome\tNOUN\n!\t.\n\n"),
    ],
)
def test_reads_tagging(tmp_path, name, content):
    examples = load_examples(write(tmp_path / name, content))
    assert examples.task == "tagging"
    assert list(zip(examples.inputs, examples.targets, strict=True)) == TAGGED


def test_reads_conll_from_txt_when_told(tmp_path):
    path = write(tmp_path / "eng.txt", "The DET\nship NOUN\n")
    assert load_examples(path, "tagging").inputs == [["The", "ship"]]


def test_columns_can_be_named(tmp_path):
    path = write(tmp_path / "a.csv", "v1,v2\nham,Hello\nspam,Win\n")
    assert load_examples(path, text_column="v2", label_column="v1").inputs == ["Hello", "Win"]


def test_useless_rows_are_counted(tmp_path):
    rows = [
        {"text": t, "label": c} for t, c in [("good", "a"), ("", "a"), ("  ", "b"), (None, "b"), ("x", "")]
    ]
    rows.append({"text": "y" * 1_000_001, "label": "a"})
    examples = load_examples(write(tmp_path / "a.jsonl", jsonl(rows)))
    assert examples.inputs == ["good"]
    assert examples.notes[1:] == [
        "3 rows with empty text left out",
        "1 row with no label left out",
        "1 row with text over 1 MB left out",
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv"])
def test_fifty_megabytes_in_a_line_are_skipped(tmp_path, name):
    if "jsonl" in name:
        start, middle, end = (
            '{"text": "ok", "label": "a"}\n{"text": "',
            '", "label": "b"}\n',
            '{"text": "fine", "label": "b"}\n',
        )
    else:
        start, middle, end = "text,label\nok,a\n", ",b\n", "fine,b\n"
    examples = load_examples(write(tmp_path / name, start + "x" * 50_000_000 + middle + end))
    assert examples.inputs == ["ok", "fine"]
    assert "1 row with text over 1 MB left out" in examples.notes


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"\x7fELF\x02\x00\x00\x01" * 100, ["binary"]),
        ("a.jsonl", b"\xff\xfe{\x00", ["UTF-16"]),
        ("a.jsonl", b'{"text": "caf\xe9", "label": "a"}\n', ["line 1", "0xe9", "UTF-8"]),
        ("a.csv", "text,label\nok,a\ncaf\xe9,b\n".encode("latin-1"), ["line 3", "UTF-8"]),
        ("a.jsonl", "", ["no usable example"]),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": \n', ["line 2", "not valid JSON"]),
        ("a.json", '[{"text": "x"},\n', ["one object a line"]),
        ("a.jsonl", "[1, 2]\n", ["line 1", "no JSON object"]),
        ("a.jsonl", '{"a": 1, "b": 2}\n', ["'text' and 'label'", "'a', 'b'"]),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": "y"}\n', ["line 2", "'label'"]),
        (
            "a.jsonl",
            '{"text": "x", "label": "a"}\n{"text": "x", "label": {"a": "b"}}\n',
            ["line 2", "one label"],
        ),
        ("a.jsonl", '{"text": {}, "label": "a"}\n', ["line 1", "not a string"]),
        ("a.jsonl", '{"tokens": ["x", "y"], "tags": ["A"]}\n', ["line 1", "2 words and 1 tags"]),
        (
            "a.jsonl",
            '{"tokens": ["x"], "tags": ["A"]}\n{"tokens": "x y", "tags": ["A"]}\n',
            ["line 2", "2 words and 1"],
        ),
        ("a.csv", "text,label\na,b,c\n", ["line 2", "3 columns", "first line 2"]),
        ("a.csv", "just one column\nx\n", ["first line of a table"]),
        ("a.csv", 'text,label\n"open,a\nx,b\n', ["line 3", "columns"]),
        ("a.conll", "word\n", ["line 1", "one column"]),
        ("a.parquet", b"PAR1 no", ["not a readable Parquet"]),
        ("a.docx", "x", ["no format"]),
        ("a.jsonl", jsonl([{"text": "t", "label": f"id-{i}"} for i in range(50)]), ["50 different values"]),
    ],
)
def test_bad_files_end_in_one_sentence(tmp_path, name, content, words):
    path = write(tmp_path / name, content)
    with pytest.raises(HeadstartError) as caught:
        load_examples(path)
    sentence = str(caught.value)
    assert path.name in sentence
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_truncated_and_damaged_gzip(tmp_path):
    whole = gzip.compress(labelled(3000).encode())
    with pytest.raises(HeadstartError, match="truncated gzip"):
        load_examples(write(tmp_path / "a.jsonl", whole[: len(whole) // 2]))
    with pytest.raises(HeadstartError, match="damaged gzip"):
        load_examples(write(tmp_path / "b.jsonl", whole[:100] + b"\xff" * 50 + whole[150:]))


def test_names_that_are_wrong(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,b\n")
    with pytest.raises(HeadstartError, match="no column 'txet'; did you mean 'text'"):
        load_examples(path, text_column="txet")
    with pytest.raises(HeadstartError, match="no task 'clasification'; did you mean 'classification'"):
        load_examples(path, "clasification")
    with pytest.raises(HeadstartError, match="no file"):
        load_examples(tmp_path / "none.csv")
    with pytest.raises(HeadstartError, match="no file or folder"):
        find_tasks(tmp_path / "none")


def test_folder_layouts(tmp_path):
    pairs, named, empty = tmp_path / "pairs", tmp_path / "spam", tmp_path / "empty"
    for folder in (pairs, named, empty):
        folder.mkdir()
    for name in ("mails", "songs"):
        write(pairs / f"{name}.train.jsonl.gz", labelled(prefix=name))
        write(pairs / f"{name}.test.jsonl.gz", labelled(10, prefix=f"other {name}"))
    write(pairs / "README.txt", "not data")
    assert [(t.name, len(t.train), len(t.test)) for t in find_tasks(pairs)] == [
        ("mails", 40, 10),
        ("songs", 40, 10),
    ]
    assert len(load_task(pairs / "songs.train.jsonl.gz").test) == 10
    with pytest.raises(HeadstartError, match="2 tasks"):
        load_task(pairs)
    write(named / "train.csv", "text,label\na,x\nb,y\n")
    write(named / "dev.csv", "text,label\nc,x\n")
    write(named / "unlabelled.jsonl", '{"text": "z"}\n')
    assert [(t.name, len(t.train), len(t.test)) for t in find_tasks(named)] == [("spam", 2, 1)]
    with pytest.raises(HeadstartError, match="no labelled data"):
        find_tasks(empty)


def test_one_class_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl([{"text": f"t {i}", "label": "ham"} for i in range(30)]))
    with pytest.raises(HeadstartError, match=r"one class alone, 'ham', in all 30"):
        load_task(path)


def test_what_train_and_test_share_is_said():
    train = Examples("classification", ["a", "b", "c"], ["x", "y", "y"])
    task = pair("p", train, Examples("classification", ["A ", "d"], ["x", "z"]))
    assert task.notes[0].startswith("1 of the 2 test examples also occur")
    assert task.notes[1].endswith(": z")
    with pytest.raises(HeadstartError, match="tagging"):
        pair("p", train, Examples("tagging", [["a"]], [["x"]]))


examples_strategy = st.lists(
    st.tuples(
        st.sampled_from([f"text {i}" for i in range(12)] + ["Text  1", "TEXT 2"]), st.sampled_from("abc")
    ),
    min_size=10,
    max_size=80,
).map(lambda rows: Examples("classification", [t for t, _ in rows], [c for _, c in rows]))


@given(examples_strategy, st.integers(0, 5))
def test_split_keeps_duplicates_together(examples, seed):
    train, test = split(examples, seed)
    assert len(train) + len(test) == len(examples)
    assert not {normalised(t) for t in train.inputs} & {normalised(t) for t in test.inputs}
    assert len(test) <= 0.2 * len(examples) + 2
    assert split(examples, seed)[1] == test


def test_split_is_stratified_and_bounded():
    examples = Examples(
        "classification", [f"t {i}" for i in range(8000)], ["ab"[i % 4 == 0] for i in range(8000)]
    )
    _, test = split(examples, 1)
    assert Counter(test.targets) == {"a": 750, "b": 250}


@given(st.lists(st.sampled_from("aaaaabbc"), min_size=20, max_size=60), st.integers(3, 19), st.integers(0, 3))
def test_sample_covers_classes(labels, count, seed):
    examples = Examples("classification", [f"t {i}" for i in range(len(labels))], labels)
    chosen = sample_labels(examples, count, seed)
    assert len(chosen) == count
    assert chosen.labels == examples.labels
    assert len(set(chosen.inputs)) == count
    assert sample_labels(examples, count, seed) == chosen
    for label, seen in Counter(chosen.targets).items():
        assert seen <= labels.count(label)
        assert abs(seen - count * labels.count(label) / len(labels)) < 3


def test_sample_limits():
    examples = Examples("classification", list("abcd"), list("wxyz"))
    assert sample_labels(examples, None, 0) is examples
    assert sample_labels(examples, 9, 0) is examples
    with pytest.raises(HeadstartError, match="cannot cover 4 classes"):
        sample_labels(examples, 3, 0)
    tagged = Examples("tagging", [["a"], ["b"], ["c"]], [["x"], ["y"], ["z"]])
    assert len(sample_labels(tagged, 2, 0)) == 2
    assert sample_labels(tagged, 2, 0) != sample_labels(tagged, 2, 1)
    with pytest.raises(HeadstartError, match="labels=0"):
        sample_labels(tagged, 0, 0)


def test_labels_that_look_wrong_are_said():
    words = {
        "sea": ["captain", "ship", "harbour", "wave", "sailor", "anchor"],
        "home": ["kitchen", "garden", "window", "table", "chair", "carpet"],
    }
    inputs, targets = [], []
    for n in range(240):
        label = ("sea", "home")[n % 2]
        inputs.append(" ".join(words[label][(n + k * k) % 6] for k in range(4)) + f" {n}")
        targets.append(label)
    assert doubtful_labels(Examples("classification", inputs, targets)) == []
    targets[30] = "home"
    (found,) = doubtful_labels(Examples("classification", inputs, targets))
    assert found.startswith("1 of 240 checked labels may be wrong")
    assert f"'home' for {inputs[30]!r}" in found
    assert "which looks like 'sea'" in found
    assert doubtful_labels(Examples("classification", inputs[:50], targets[:50])) == []


def test_labels_that_words_cannot_tell_are_no_alarm():
    """35 classes of which words tell next to nothing: each label has a small probability, none is doubted."""
    random = np.random.default_rng(0)
    words = [f"word{n}" for n in range(40)]
    inputs = [" ".join(random.choice(words, 8)) for _ in range(300)]
    targets = [f"class {n}" for n in random.integers(35, size=300)]
    assert doubtful_labels(Examples("classification", inputs, targets)) == []


@pytest.mark.parametrize("wrong", [0.0, 0.05])
def test_few_of_the_labels_that_people_gave_are_doubted(wrong):
    with gzip.open(SPAM) as file:
        rows = [json.loads(line) for line in islice(file, 600)]
    inputs, targets = [row["text"][:500] for row in rows], [row["label"] for row in rows]
    flipped = np.random.default_rng(0).random(len(rows)) < wrong
    other = {"spam": "ham", "ham": "spam"}
    targets = [other[one] if bad else one for one, bad in zip(targets, flipped, strict=True)]
    said = doubtful_labels(Examples("classification", inputs, targets))
    doubted = int(said[0].split()[0]) if said else 0
    assert doubted < 0.03 * len(rows) if not wrong else doubted > 0.6 * flipped.sum()
