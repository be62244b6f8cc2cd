"""Labelled data in further forms of tools and publishers: what is read of them, and that nothing is read
otherwise than it was meant."""

import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.tasks.data.dataset import load_examples, load_task
from headstart.tasks.data.nested_rows import parsed
from headstart.tasks.data.rows import read_rows
from headstart.tasks.examples import MAX_TEXT, Choices, Message
from headstart.tasks.metrics.entities import entities


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def jsonl(path, rows):
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def named_spans(examples):
    """Of each text the words of its spans, with their labels."""
    return [
        [(words.text[words.spans[a][0] : words.spans[b][1]], kind) for kind, a, b in entities(tags)]
        for words, tags in zip(examples.inputs, examples.targets, strict=True)
    ]


def said(examples, *words):
    return all(any(word in note for note in examples.notes) for word in words)


# --- Label Studio ---


def task_of(text, *results):
    return {"data": {"text": text}, "annotations": [{"result": list(results), "was_cancelled": False}]}


def choice(name, *choices):
    return {"from_name": name, "type": "choices", "value": {"choices": list(choices)}}


def test_a_text_without_a_choice_is_left_out(tmp_path):
    rows = [task_of(f"film {i}", choice("mood", ["good", "bad"][i % 2])) for i in range(8)]
    file = write(tmp_path / "a.json", json.dumps([task_of("nothing chosen"), *rows]))
    examples = load_examples(file)
    assert (examples.task, examples.labels, len(examples)) == ("classification", ["bad", "good"], 8)
    assert said(examples, "1 row with no label")


def test_choices_of_two_questions_stay_apart(tmp_path):
    rows = [
        task_of(f"film {i}", choice("sentiment", "ab"[i % 2]), choice("topic", "xy"[i // 4]))
        for i in range(8)
    ]
    file = write(tmp_path / "a.json", json.dumps(rows))
    assert load_examples(file).labels == ["a", "b"]
    assert said(load_examples(file), "left out: 'topic'")
    assert load_examples(file, label_column="topic").targets == ["x"] * 4 + ["y"] * 4


def test_several_choices_beside_single_ones(tmp_path):
    """Label Studio's short forms write one choice plainly, several as an object, in a table as JSON."""
    cells = ["Food, drinks", {"choices": ["Food, drinks", "Place"]}, "Place", "Place"]
    rows = [{"id": i, "text": f"film {i}", "label": cell} for i, cell in enumerate(cells)]
    wanted = [("Food, drinks",), ("Food, drinks", "Place"), ("Place",), ("Place",)]
    examples = load_examples(write(tmp_path / "a.json", json.dumps(rows)))
    assert (examples.task, examples.targets) == ("multi-label", wanted)
    quoted = [c if isinstance(c, str) else json.dumps(c) for c in cells]
    lines = [f'{i},"film {i}","{c.replace(chr(34), chr(34) * 2)}"' for i, c in enumerate(quoted)]
    examples = load_examples(write(tmp_path / "a.csv", "\n".join(["id,text,label", *lines]) + "\n"))
    assert (examples.task, examples.targets) == ("multi-label", wanted)


def test_paths_of_a_taxonomy_and_numbers(tmp_path):
    value = {"taxonomy": [["Animal", "Cat"], ["Plant"]]}
    rows = [
        task_of("a", {"from_name": "t", "value": value}),
        task_of("b", {"from_name": "t", "value": value}),
    ]
    examples = load_examples(write(tmp_path / "a.json", json.dumps(rows)))
    assert examples.targets[0] == ("Animal/Cat", "Plant")
    rows = [task_of(f"t {i}", {"from_name": "n", "value": {"number": i / 2}}) for i in range(4)]
    assert load_examples(write(tmp_path / "b.json", json.dumps(rows))).targets == [0.0, 0.5, 1.0, 1.5]


# --- Prodigy, spaCy ---


@pytest.mark.parametrize(
    ("accepted", "task", "targets"),
    [
        ([["A"], ["A", "B"], ["B"], []], "multi-label", [("A",), ("A", "B"), ("B",), ()]),
        ([["A"], ["A"], ["B"], []], "classification", ["A", "A", "B"]),
    ],
)
def test_options_that_were_accepted(tmp_path, accepted, task, targets):
    """Whether several may be chosen is a matter of the whole file."""
    options = [{"id": "A", "text": "a"}, {"id": "B", "text": "b"}]
    rows = [
        {"text": f"t {i}", "options": options, "accept": its, "answer": "accept", "config": None}
        for i, its in enumerate(accepted)
    ]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert (examples.task, examples.targets) == (task, targets)


def test_categories_of_spacy(tmp_path):
    pairs = [
        [f"film {i}", {"entities": [], "cats": {"GOOD": float(i % 2), "BAD": float(1 - i % 2)}}]
        for i in range(8)
    ]
    examples = load_examples(write(tmp_path / "a.json", json.dumps(pairs)))
    assert (examples.task, examples.targets[:2]) == ("classification", ["BAD", "GOOD"])
    rows = [{"text": f"t {i}", "cats": {"A": i % 2 == 0, "B": i % 3 == 0}} for i in range(8)]
    examples = load_examples(jsonl(tmp_path / "b.jsonl", rows))
    assert (examples.task, examples.targets[:3]) == ("multi-label", [("A", "B"), (), ("A",)])


# --- spans ---

SPANS = {
    "names of borders": [{"start_offset": 0, "end_offset": 4, "label": "PER"}],
    "length": [{"offset": 0, "length": 4, "category": "PER"}],
    "numbers as texts": [{"start": "0", "end": 4.0, "label": "PER"}],
    "an id behind": [[0, 4, "PER", "Q1"]],
    "points": [{"label": ["PER"], "points": [{"start": 0, "end": 3, "text": "Anna"}]}],
    "inclusive": [{"start_idx": 0, "end_idx": 3, "type": "PER", "entity": "Anna"}],
    "by label": {"PER": {"Anna": [[0, 3]]}},
    "capitals": [{"BeginOffset": 0, "EndOffset": 4, "Type": "PER", "Text": "Anna"}],
}


@pytest.mark.parametrize("form", SPANS)
def test_ways_to_write_spans(tmp_path, form):
    rows = [{"text": f"Anna 住在 Bern {i}", "entities": SPANS[form]} for i in range(4)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert named_spans(examples) == [[("Anna", "PER")]] * 4


def test_borders_of_chinese_names_by_the_words_beside_them(tmp_path):
    """Every letter is a word there: ends on the last one are told by the words that the file repeats."""
    rows = [
        {
            "text": "浙商银行叶老桂博士",
            "label": {"name": {"叶老桂": [[4, 6]]}, "company": {"浙商银行": [[0, 3]]}},
        }
    ]
    found = named_spans(load_examples(jsonl(tmp_path / "a.json", rows * 3)))
    assert found[0] == [("浙商银行", "company"), ("叶老桂", "name")]


def test_spans_of_python_in_a_table(tmp_path):
    cell = "\"[(0, 4, 'PER'), (14, 18, 'LOC')]\""
    file = write(tmp_path / "a.csv", "text,entities\n" + f"Anna lives in Bern,{cell}\n" * 3 + "no one,[]\n")
    assert named_spans(load_examples(file))[2:] == [[("Anna", "PER"), ("Bern", "LOC")], []]


def test_exports_of_dataturks_and_rasa(tmp_path):
    points = [{"start": 0, "end": 3, "text": "Anna"}]
    row = {"content": "Anna lives", "annotation": [{"label": ["Name"], "points": points}], "extras": None}
    examples = load_examples(jsonl(tmp_path / "a.json", [row] * 3 + [row | {"annotation": None}]))
    assert named_spans(examples) == [[("Anna", "Name")]] * 3
    assert said(examples, "1 row with no label")
    spans = [{"start": 0, "end": 4, "value": "Anne", "entity": "name"}]
    common = [{"text": "Anna lives", "intent": "tell", "entities": spans}] * 3
    file = write(tmp_path / "b.json", json.dumps({"rasa_nlu_data": {"common_examples": common}}))
    assert named_spans(load_examples(file)) == [[("Anna", "name")]] * 3
    assert load_examples(file, "classification").targets == ["tell"] * 3


def test_lists_of_rows_within_a_document(tmp_path):
    rows = [{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(6)]
    viewer = [{"row_idx": i, "row": row, "truncated_cells": []} for i, row in enumerate(rows)]
    for number, document in enumerate([{"version": "1", "examples": rows}, {"features": [], "rows": viewer}]):
        examples = load_examples(write(tmp_path / f"{number}.json", json.dumps(document)))
        assert examples.targets == ["a", "b"] * 3
    pairs = [["Anna lives", {"entities": [[0, 4, "PER"]]}], None, ["No one", {"entities": []}]]
    file = write(tmp_path / "c.json", json.dumps({"classes": ["PER"], "annotations": pairs}))
    assert named_spans(load_examples(file)) == [[("Anna", "PER")], []]
    assert said(load_examples(file), "1 items of the list that hold nothing")


def test_a_table_as_a_list_for_each_column(tmp_path):
    """Not one sentence whose words are texts; words with their tags stay a sentence."""
    table = {"text": ["a good film", "bad", "so so"], "label": ["x", "y", "x"]}
    examples = load_examples(write(tmp_path / "a.json", json.dumps(table)))
    assert (examples.task, examples.inputs[0], examples.targets) == (
        "classification", "a good film", ["x", "y", "x"]
    )  # fmt: skip
    sentence = {"tokens": ["Anna", "lives"], "tags": ["B-PER", "O"]}
    examples = load_examples(write(tmp_path / "b.json", json.dumps(sentence)))
    assert (examples.task, len(examples)) == ("tagging", 1)


def test_words_with_one_label_are_no_tagged_words(tmp_path):
    rows = [{"text": ["Anna", "lives"], "label": "ab"[i % 2]} for i in range(4)]
    with pytest.raises(HeadstartError, match="no columns for a task"):
        load_examples(jsonl(tmp_path / "a.jsonl", rows))


def test_paragraphs_without_articles(tmp_path):
    """simpletransformers' form of SQuAD."""
    asked = {"id": "1", "is_impossible": False, "question": "Where?"}
    asked |= {"answers": [{"text": "Bern", "answer_start": 14}]}
    file = write(tmp_path / "a.json", json.dumps([{"context": "Anna lives in Bern.", "qas": [asked]}] * 3))
    examples = load_examples(file)
    assert (examples.task, examples.targets[0][0].start) == ("question-answering", 14)


# --- tags beside texts, words a line ---

TAGGED = {
    "list": ("EU rejects calls", ["B-ORG", "O", "O"]),
    "blanks": ("EU rejects calls", "B-ORG O O"),
    "commas": ("EU rejects calls", "B-ORG,O,O"),
    "Python": ("EU rejects calls", "['B-ORG', 'O', 'O']"),
}


@pytest.mark.parametrize("names", [("text", "tags"), ("sentence", "labels"), ("tokens", "ner_tags")])
@pytest.mark.parametrize("form", TAGGED)
def test_texts_with_a_tag_for_each_word(tmp_path, form, names):
    """Neither one label a text nor several: as many tags as words."""
    rows = [dict(zip(names, TAGGED[form], strict=True)) for _ in range(6)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert examples.task == "tagging"
    assert examples.targets[0] == ["B-ORG", "O", "O"]
    assert list(examples.inputs[0]) == ["EU", "rejects", "calls"]


@pytest.mark.parametrize("name", ["labels", "tags"])
def test_texts_with_a_tag_for_each_character(tmp_path, name):
    """Chinese data are tagged so; what is found in them are spans of the text."""
    rows = [{"text": "我在北京ABC", name: ["O", "O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "I-ORG"]}]
    rows += [{"text": "无", name: ["O"]}]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows * 3))
    assert examples.task == "tagging"
    assert named_spans(examples)[:2] == [[("北京", "LOC"), ("ABC", "ORG")], []]
    letters = [row | {"text": list(row["text"])} for row in rows * 3]
    assert load_examples(jsonl(tmp_path / "b.jsonl", letters)).targets[0] == rows[0][name]


def test_labels_that_are_as_many_as_words_by_chance(tmp_path):
    rows = [{"text": f"good film {i}", "labels": ["a", "b", "c"]} for i in range(4)]
    assert load_examples(jsonl(tmp_path / "a.jsonl", rows)).task == "multi-label"
    rows = [{"text": "good film", "tags": ["old", "long"]}, {"text": "bad", "tags": ["new"]}]
    assert load_examples(jsonl(tmp_path / "c.jsonl", rows)).task == "multi-label"
    rows = [{"text": "good film", "label": "very good"}, {"text": "bad", "label": "bad"}]
    assert load_examples(jsonl(tmp_path / "b.jsonl", rows)).task == "classification"


def test_signs_of_white_space_in_words(tmp_path):
    """A no-break space is no border between word and tag."""
    lines = "10\u00a0000 O\nfrancs O\n\nBern B-LOC\n\u200b O\n\n"
    (_, first), (_, second) = read_rows(write(tmp_path / "a.conll", lines))
    assert first["tokens"] == ["10\u00a0000", "francs"]
    assert second["tokens"] == ["Bern", "\u200b"]


def test_labels_before_texts_as_fasttext_has_them(tmp_path, capsys):
    for part, count in (("train", 12), ("test", 4)):
        lines = "".join(f"__label__{'ab'[i % 2]} film {part} {i}\n" for i in range(count))
        write(tmp_path / f"{part}.txt", lines)
    task = load_task(tmp_path)
    assert (task.train.task, len(task.train), len(task.test)) == ("classification", 12, 4)
    assert (task.train.inputs[1], task.train.targets[1]) == ("film train 1", "b")
    examples = load_examples(write(tmp_path / "more.txt", "__label__a __label__b one\n__label__a two\n"))
    assert examples.targets == [("a", "b"), ("a",)]


# --- options ---


def test_an_option_that_is_missing_before_others(tmp_path):
    """The answer counts all options, so that such a question is left out; options may end earlier."""
    lines = "question,option_a,option_b,option_c,answer\nq1,one,,three,C\nq2,one,two,,B\nq3,one,two,three,C\n"
    examples = load_examples(write(tmp_path / "a.csv", lines))
    assert [one.options for one in examples.inputs] == [("one", "two"), ("one", "two", "three")]
    assert examples.targets == [1, 2]
    assert said(examples, "1 row with empty option")


def test_letters_with_signs(tmp_path):
    lines = "question,A,B,C,answer\nq1,x,y,z,B)\nq2,x,y,z,(A)\nq3,x,y,z,c.\n"
    assert load_examples(write(tmp_path / "a.csv", lines)).targets == [1, 0, 2]


def test_options_that_are_called_answers_or_choice(tmp_path):
    context = "Anna went home and slept."
    quail = [
        {
            "context": context,
            "question": "What?",
            "answers": ["slept", "went", "home"],
            "correct_answer_id": i % 3,
        }
        for i in range(6)
    ]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", quail))
    assert (examples.task, examples.targets[:3]) == ("multiple-choice", [0, 1, 2])
    dream = [
        {
            "dialogue": ["W: Hello.", "M: Bye."],
            "question": "Who?",
            "choice": ["x", "y"],
            "answer": "xy"[i % 2],
        }
        for i in range(4)
    ]
    examples = load_examples(jsonl(tmp_path / "b.jsonl", dream))
    assert examples.inputs[0] == Choices("W: Hello.\nM: Bye.\nWho?", ("x", "y"))


# --- labels ---


def test_columns_of_labels_are_written_alike(tmp_path):
    """GoEmotions has a column in words beside its emotions."""
    lines = "text,example_very_unclear,joy,anger\n"
    lines += "".join(f"t {i},{i % 5 == 0},{i % 2},{i % 3 // 2}\n" for i in range(12))
    examples = load_examples(write(tmp_path / "a.csv", lines))
    assert examples.labels == ["anger", "joy"]
    assert said(examples, "'example_very_unclear'")


def test_doccano_as_a_table(tmp_path):
    lines = "id,data,label\n" + "".join(f"{i},text {i},{['a', 'b', 'a#b'][i % 3]}\n" for i in range(9))
    file = write(tmp_path / "a.csv", lines)
    assert said(load_examples(file), "told apart by '#'")
    examples = load_examples(file, "multi-label")
    assert examples.targets[:3] == [("a",), ("b",), ("a", "b")]
    lines = lines.replace("a#b", "C#")
    assert load_examples(write(tmp_path / "b.csv", lines), "multi-label").labels == ["C#", "a", "b"]


def test_numbers_of_classes_that_training_names(tmp_path):
    """A table of the numbers is the same data as the Parquet file whose schema names them."""
    table = pa.table({"text": [f"t {i}" for i in range(8)], "label": [i % 2 for i in range(8)]})
    info = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    (tmp_path / "train").mkdir()
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "train/a.parquet"
    )
    learned = load_examples(tmp_path / "train/a.parquet").reading
    other = write(tmp_path / "b.csv", "text,label\nx,1\ny,0\nz,-1\n")
    examples = load_examples(other, "classification", like=learned)
    assert examples.targets == ["pos", "neg"]
    assert said(examples, "read as the classes' names")


def test_lists_and_objects_in_cells_of_any_format(tmp_path):
    """JSON within JSON is read; an object that a model is to write stays text."""
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", [{"messages": json.dumps(talk)}] * 3))
    assert examples.targets[0] == ("yo",)
    lines = "input,output\n" + 'Anna is 3,"{""name"": ""Anna"", ""age"": 3}"\n' * 3
    examples = load_examples(write(tmp_path / "a.csv", lines))
    assert examples.targets[0] == ('{"name": "Anna", "age": 3}',)


def test_a_pair_of_languages_is_two_columns(tmp_path):
    rows = [{"id": i, "translation": {"en": f"hello {i}", "de": f"hallo {i}"}} for i in range(3)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(HeadstartError, match="found 'id', 'en', 'de'"):
        load_examples(file)
    examples = load_examples(file, columns={"source": "en", "target": "de"})
    assert (examples.task, examples.targets[0]) == ("text-to-text", ("hallo 0",))


# --- conversations ---


def test_prompts_and_completions_of_messages(tmp_path):
    """TRL's conversational forms, with a prompt of its own; the rejected answer is left out."""
    asked = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    answer = [{"role": "assistant", "content": "hello"}]
    for name in ("completion", "chosen"):
        rows = [{"prompt": asked, name: answer, "rejected": answer}] * 3
        examples = load_examples(jsonl(tmp_path / f"{name}.jsonl", rows))
        assert examples.inputs[0].messages == (Message("system", "be kind"), Message("user", "hi"))
        assert examples.targets[0] == ("hello",)
    whole = load_examples(jsonl(tmp_path / "b.jsonl", [{"prompt": asked, "chosen": asked + answer}] * 3))
    assert whole.inputs == examples.inputs


def test_a_system_prompt_and_a_history_beside_the_talk(tmp_path):
    talk = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]
    examples = load_examples(
        jsonl(tmp_path / "a.jsonl", [{"conversations": talk, "system": "be a pirate"}] * 3)
    )
    assert examples.inputs[0].messages == (Message("system", "be a pirate"), Message("user", "hi"))
    row = {"instruction": "and?", "input": "", "output": "ok", "history": [["first", "one"]], "system": "s"}
    examples = load_examples(jsonl(tmp_path / "b.jsonl", [row, row | {"history": []}]))
    assert [one.role for one in examples.inputs[0].messages] == ["system", "user", "assistant", "user"]
    assert len(examples.inputs[1].messages) == 2


def test_responses_that_are_marked_as_bad(tmp_path):
    rows = [{"prompt": f"hi {i}", "completion": f"yo {i}", "label": i % 2 == 0} for i in range(6)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert [target for (target,) in examples.targets] == ["yo 0", "yo 2", "yo 4"]
    assert said(examples, "3 rows with a response that is marked as a bad one left out")


# --- what was silently read otherwise ---


def test_tables_put_together_with_their_first_lines(tmp_path):
    lines = "text,label\none,a\ntwo,b\ntext,label\nthree,a\n"
    examples = load_examples(write(tmp_path / "a.csv", lines))
    assert examples.targets == ["a", "b", "a"]
    assert said(examples, "1 lines that name the columns again")


def test_numbers_that_are_names_of_other_numbers(tmp_path):
    """Classes 0 to 2 that are called 1 to 3: 1 in a table is a place where 0 is one."""
    info = {"features": {"label": {"names": ["1", "2", "3"], "_type": "ClassLabel"}}}
    write(tmp_path / "dataset_info.json", json.dumps(info))
    examples = load_examples(write(tmp_path / "a.csv", "text,label\nx,0\ny,1\nz,2\n"))
    assert examples.targets == ["1", "2", "3"]
    examples = load_examples(write(tmp_path / "b.csv", "text,label\nx,1\ny,2\nz,3\n"))
    assert examples.targets == ["1", "2", "3"]


def test_structures_as_lists_of_their_parts(tmp_path):
    """Hugging Face's datasets write a sequence of structures as a structure of sequences."""
    spans = {"start": [0, 14], "end": [4, 18], "label": ["PER", "LOC"]}
    rows = [{"text": "Anna lives in Bern", "entities": spans}] * 3
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data/a.parquet")
    assert named_spans(load_examples(tmp_path / "data/a.parquet"))[0] == [("Anna", "PER"), ("Bern", "LOC")]
    talk = {"role": ["user", "assistant"], "content": ["hi", "yo"]}
    assert load_examples(jsonl(tmp_path / "b.jsonl", [{"messages": talk}] * 2)).targets[0] == ("yo",)


def test_texts_without_a_class_in_a_folder_of_classes(tmp_path):
    for name in ("neg", "pos", "unsup"):
        for i in range(4):
            write(tmp_path / name / f"{i}.txt", f"{name} film {i}")
    examples = load_examples(tmp_path)
    assert (examples.labels, len(examples)) == (["neg", "pos"], 8)
    assert said(examples, "'unsup' holds texts without a class")


def test_blanks_around_an_answer(tmp_path):
    row = {"question": "Where?", "context": "Anna lives in Bern"}
    row |= {"answers": {"text": [" Bern "], "answer_start": [14]}}
    (answers,) = load_examples(jsonl(tmp_path / "a.jsonl", [row])).targets
    assert answers[0] == ("Bern", 14)


def test_names_of_no_label_are_mentioned(tmp_path):
    lines = "text,label\n" + "".join(f"text {i},{['a', 'b', 'nan'][i % 3]}\n" for i in range(60))
    notes = load_task(write(tmp_path / "a.csv", lines)).notes
    assert any("may say that there is none, read as classes: nan" in note for note in notes)


@pytest.mark.parametrize(
    "tags", [("B_PER", "I_PER"), ("PER-B", "PER-I"), ("per_B", "per_I"), ("B-PER", "I-PER")]
)
def test_marks_of_tags_behind_or_underlined(tmp_path, tags):
    """They mark spans, and are no bare labels; a file with few of them is read as training was."""
    words = zip(["Anna", "May", "sleeps"], [*tags, "O"], strict=True)
    lines = "".join(f"{word} {tag}\n" for word, tag in words)
    examples = load_examples(write(tmp_path / "a.conll", f"{lines}\n" * 4))
    assert [tag.upper() for tag in examples.labels] == ["B-PER", "I-PER", "O"]
    few = write(tmp_path / "b.conll", f"Otto {tags[0]}\nsleeps O\n\n" * 2)
    assert load_examples(few, "tagging", like=examples.reading).labels == [examples.labels[0], "O"]


def test_one_class_that_was_accepted_or_rejected(tmp_path):
    decisions = ["accept", "reject", "ignore"]
    rows = [{"text": f"t {i}", "label": "RUDE", "answer": decisions[i % 3]} for i in range(9)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(HeadstartError, match="--label-column answer"):
        load_examples(file)
    examples = load_examples(file, label_column="answer")
    assert (examples.labels, len(examples)) == (["accept", "reject"], 6)
    learned = jsonl(
        tmp_path / "b.jsonl", [row | {"label": ["RUDE", "KIND"][i % 4 // 2]} for i, row in enumerate(rows)]
    )
    scored = load_examples(file, "classification", like=load_examples(learned).reading)
    assert scored.occurring == ["RUDE"]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("['a' 'b']", ("a", "b")),
        ("[\"it's\" 'b']", ("b", "it's")),
        ("{'b', 'a'}", ("a", "b")),
        ("['a']", ("a",)),
    ],
)
def test_arrays_as_numpy_prints_them(tmp_path, cell, found):
    """pandas writes them so; for Python two texts side by side are one."""
    cell = cell.replace('"', '""')
    lines = f"text,labels\nx,\"{cell}\"\ny,\"['a' 'c']\"\n"
    assert load_examples(write(tmp_path / "a.csv", lines)).targets[0] == found
    lines = "text,labels\nx,[1 0 1]\ny,[0. 1. 1.]\n"
    assert load_examples(write(tmp_path / "b.csv", lines)).targets == [("0", "2"), ("1", "2")]


def test_several_labels_with_blanks_between_them_are_mentioned(tmp_path):
    lines = "text,label\n" + "".join(f"t {i},{['cs.CL', 'cs.LG', 'cs.CL cs.LG'][i % 3]}\n" for i in range(9))
    file = write(tmp_path / "a.csv", lines)
    assert said(load_examples(file), "told apart by ' '")
    assert load_examples(file, "multi-label").targets[2] == ("cs.CL", "cs.LG")
    places = lines.replace("cs.CL cs.LG", "cs.CL extra")
    assert not said(load_examples(write(tmp_path / "b.csv", places)), "told apart")


def test_a_missing_number_as_python_writes_it(tmp_path):
    lines = '{"text": "a", "label": 1}\n{"text": "b", "label": NaN}\n{"text": "c", "label": 0}\n'
    examples = load_examples(write(tmp_path / "a.jsonl", lines))
    assert (examples.targets, said(examples, "1 row with no label")) == (["1", "0"], True)
    with pytest.raises(HeadstartError, match="line 1 is not valid JSON"):
        load_examples(write(tmp_path / "b.jsonl", '{"text": NaN, "label": }\n'))


def test_a_first_line_of_names_over_words_and_tags(tmp_path):
    lines = "ID\tToken\tTag\n1\tAnna\tB-PER\n2\tlives\tO\n\n1\tOtto\tB-PER\n2\ttoo\tO\n"
    examples = load_examples(write(tmp_path / "train.tsv", lines))
    assert [list(words) for words in examples.inputs] == [["Anna", "lives"], ["Otto", "too"]]
    assert said(examples, "line 1 names the columns: ID Token Tag")


def test_bare_tags_in_plain_text(tmp_path):
    """Few-NERD is handed out as train.txt, with tags in IO."""
    lines = "Paul O\nlands O\nin O\nBern location-GPE\n\n" * 4
    examples = load_examples(write(tmp_path / "train.txt", lines))
    assert examples.labels == ["B-location-GPE", "O"]


def test_parts_of_conll_2003_by_their_own_names(tmp_path):
    for part in ("train", "testa", "testb"):
        lines = f"-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n{part} CD B-NP O\n\n"
        write(tmp_path / f"eng.{part}", lines * 4)
    task = load_task(tmp_path / "eng.train")
    assert [part.inputs[0][2] for part in (task.train, task.validation, task.test)] == [
        "train",
        "testa",
        "testb",
    ]


def test_what_was_accepted_without_spans(tmp_path):
    """Prodigy leaves `spans` out where there are none."""
    rows = [{"text": "Anna lives", "spans": [{"start": 0, "end": 4, "label": "PER"}], "answer": "accept"}]
    rows += [{"text": "no one", "tokens": [], "answer": "accept"}]
    assert named_spans(load_examples(jsonl(tmp_path / "a.jsonl", rows))) == [[("Anna", "PER")], []]


def test_a_table_with_empty_cells_of_spans(tmp_path):
    """Label Studio's tables; the text is left out, since it is not said that it has no spans."""
    cell = json.dumps([{"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}]).replace('"', '""')
    file = write(tmp_path / "a.csv", f'text,label\nAnna came,"{cell}"\nAnna left,"{cell}"\nNobody,\n')
    examples = load_examples(file)
    assert (named_spans(examples), said(examples, "1 row with no label")) == ([[("Anna", "PER")]] * 2, True)


def test_questions_with_their_answers_alone_are_a_talk(tmp_path):
    rows = [{"question": f"What is {i}?", "answer": f"A number. #### {i}"} for i in range(4)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert (examples.task, examples.targets[0]) == ("chat", ("A number. #### 0",))


def test_answers_with_a_label_beside_them_are_no_words_of_the_context(tmp_path):
    """MultiRC says of each answer whether it is right; the wrong ones are no spans to learn."""
    text = "Anna went home and slept for a very long time."
    rows = [{"paragraph": text, "question": "What?", "answer": "home", "label": i % 2} for i in range(6)]
    with pytest.raises(HeadstartError, match="would leave out 'paragraph'"):
        load_examples(jsonl(tmp_path / "a.jsonl", rows))
    lines = "question,passage,answer\n" + "".join(f"is it {i},it is no {i},{i % 2 == 0}\n" for i in range(6))
    examples = load_examples(write(tmp_path / "b.csv", lines))
    assert (examples.task, examples.inputs[1]) == ("classification", ("is it 1", "it is no 1"))


def test_a_text_with_tags_can_be_classified_still(tmp_path):
    rows = [
        {"text": f"flights to Bern {i}", "intent": "xy"[i % 2], "slots": "O O B-city O"} for i in range(6)
    ]
    file = jsonl(tmp_path / "a.jsonl", rows)
    assert load_examples(file).inputs[0] == "flights to Bern 0"
    tagged = load_examples(file, "tagging", label_column="slots")
    assert (list(tagged.inputs[0]), tagged.targets[0][2]) == (["flights", "to", "Bern", "0"], "B-city")


def test_options_in_one_cell(tmp_path):
    lines = "question,options,answer\nq1,one|two|three,two\nq2,four | five,four\n"
    examples = load_examples(write(tmp_path / "a.csv", lines))
    assert (examples.task, examples.inputs[1].options) == ("multiple-choice", ("four", "five"))


def test_a_part_in_numbered_pieces_is_whole(tmp_path):
    for name in ("train_part1", "train_part2", "test"):
        rows = [{"text": f"{name} {i}", "label": "ab"[i % 2]} for i in range(12)]
        jsonl(tmp_path / f"{name}.jsonl", rows)
    task = load_task(tmp_path)
    assert (len(task.train), len(task.test)) == (24, 12)


def test_blanks_within_words_are_no_borders(tmp_path):
    """Of New York the second word was the tag."""
    lines = "Anna B-PER\nlives O\n\nNew York B-LOC\nis O\n\n" + "it O\nis O\n\n" * 8
    examples = load_examples(write(tmp_path / "a.conll", lines))
    assert said(examples, "1 lines have other than 2 columns (the first: line 4)")
    assert (list(examples.inputs[1]), examples.targets[1]) == (["New York", "is"], ["B-LOC", "O"])
    tabs = lines.replace(" ", "\t").replace("New\tYork", "New York").replace("B-PER", "B-PER\tsure")
    examples = load_examples(write(tmp_path / "b.conll", tabs))
    assert (list(examples.inputs[0]), examples.targets[0]) == (["Anna", "lives"], ["B-PER", "O"])


def test_columns_of_predicates_are_no_words(tmp_path):
    """OntoNotes has a column for each predicate of a sentence, so that its lines differ."""
    start = "bc/x 0 {} {} NN * - - - - {} "
    sentences = [
        "".join(start.format(i, word, tag) + "* " * count + "-\n" for i, (word, tag) in enumerate(words))
        + "\n"
        for count, words in ((1, [("Anna", "(PERSON)"), ("ran", "*")]), (3, [("Bern", "(GPE)"), ("is", "*")]))
    ]
    examples = load_examples(write(tmp_path / "a.gold_conll", "".join(sentences * 3)))
    assert [list(words) for words in examples.inputs[:2]] == [["Anna", "ran"], ["Bern", "is"]]
    assert examples.targets[:2] == [["B-PERSON", "O"], ["B-GPE", "O"]]


def test_a_column_of_parts_is_mentioned(tmp_path):
    lines = "text,label,split\n" + "".join(f"t {i},{i % 2},{['train', 'test'][i > 8]}\n" for i in range(12))
    assert said(load_examples(write(tmp_path / "a.csv", lines)), "'split' says of each row which part")
    other = lines.replace("test\n", "home\n")
    assert not said(load_examples(write(tmp_path / "b.csv", other)), "which part")


# --- anything in any cell ---

USUAL = [
    {"text": "Anna lives", "label": "a"},
    {"text": "Anna lives", "labels": ["a", "b"]},
    {"text": "Anna lives", "cats": {"A": 1.0, "B": 0.0}},
    {"text": "Anna lives", "tags": ["B-PER", "O"]},
    {"text": "Anna lives", "entities": [[0, 4, "PER"]]},
    {"content": "Anna", "annotation": [{"label": ["PER"], "points": [{"start": 0, "end": 3}]}]},
    {"text": "Anna lives", "spans": [{"start": 0, "end": 4, "label": "PER"}], "answer": "accept"},
    {"text": "Anna", "options": [{"id": 1}], "accept": [1], "answer": "accept", "config": {}},
    {"tokens": ["Anna", "lives"], "ner_tags": [1, 0]},
    {"question": "Who?", "context": "Anna lives", "answers": {"text": ["Anna"], "answer_start": [0]}},
    {"question": "Who?", "options": ["a", "b"], "answer": 1},
    {"question": "Who?", "distractor1": "a", "correct_answer": "b", "support": "c"},
    {"premise": "p", "hypothesis": "h", "label": 0},
    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]},
    {"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "yo"}]},
    {"instruction": "do", "input": "", "output": "done", "history": [["a", "b"]], "system": "s"},
    {"data": {"text": "film"}, "annotations": [{"result": [{"value": {"choices": ["a"]}}]}]},
    {
        "data": {"text": "Anna"},
        "annotations": [{"result": [{"value": {"start": 0, "end": 4, "labels": ["P"]}}]}],
    },
]
CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.floats()
    | st.text("aO-B[]{}'\"1,| \u00a0²", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["start", "end", "label", "text", "role", "content", ""]), inner)
    ),
    max_leaves=6,
)


def exchanged(value, data):
    """The same with something else in one place."""
    if value and isinstance(value, dict | list) and data.draw(st.integers(0, 3)):
        places = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        place = data.draw(st.sampled_from(places))
        found = value.copy()
        found[place] = exchanged(value[place], data)
        return found
    return data.draw(CELLS)


@given(st.sampled_from(USUAL), st.data())
def test_whatever_stands_in_a_cell(usual, data):
    """Reading ends in examples or in a sentence."""
    column = data.draw(st.sampled_from(sorted(usual)))
    other = usual | {column: exchanged(usual[column], data)}
    rows = data.draw(st.permutations([usual, usual, other]))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("a.jsonl", lines), ("a.json", json.dumps(rows))):
            try:
                examples = load_examples(write(Path(folder) / name, content))
            except HeadstartError:
                continue
            assert len(examples.inputs) == len(examples.targets) <= 3


# --- Ordinary files that look like another form ---


@pytest.mark.parametrize("text", ["{{1}}", "[{[1]: 2}]", "['a', " * 300, "{'a': " + "-" * 9000 + "1}"])
def test_a_text_in_brackets_that_is_no_list_stays_text(tmp_path, text):
    file = jsonl(tmp_path / "a.jsonl", [{"text": text, "label": "ab"[i % 2]} for i in range(4)])
    assert load_examples(file).inputs == [text] * 4


def test_an_array_within_an_array_is_looked_for_once():
    """Time of the square of the length would be hours here."""
    assert parsed("[" + "array([" * 100_000) == "[" + "array([" * 100_000
    assert parsed("{'text': array(['The (main) one', \"it's ])\"], dtype=object)}") == {
        "text": ["The (main) one", "it's ])"]
    }


def test_a_long_text_is_not_read_as_python():
    cell = "['" + "a" * MAX_TEXT + "']"
    assert parsed(cell) == cell
    assert parsed(cell.replace("'", '"')) == ["a" * MAX_TEXT]


@pytest.mark.parametrize("columns", [("instruction", "output"), ("text", "label"), ("prompt", "completion")])
def test_lists_that_a_model_reads_or_writes_as_text_stay_text(tmp_path, columns):
    rows = [dict(zip(columns, ("[3, 1, 2]", "[1, 2, 3]"), strict=True)) for _ in range(6)]
    if columns[1] == "label":
        rows = [row | {"label": "ab"[i % 2]} for i, row in enumerate(rows)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    given = examples.inputs[0]
    assert (given if isinstance(given, str) else given.messages[-1].content) == "[3, 1, 2]"


def test_bars_and_lines_in_an_option_of_its_own_column_are_its_text(tmp_path):
    options = {"A": "P(A|B)", "B": "x = 1\ny = 2", "C": "three"}
    rows = [{"question": f"which {i}?", **options, "answer": "ABC"[i % 3]} for i in range(6)]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert examples.targets == [0, 1, 2] * 2
    assert {given.options for given in examples.inputs} == {tuple(options.values())}


def test_the_words_of_a_text_are_not_its_tags(tmp_path):
    texts = ["a ship sails", "far away", "over the wide sea", "and home", "to the port"]
    rows = [{"text": text, "tokens": text.split(), "label": "ab"[len(text) % 2]} for text in texts]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert (examples.task, examples.inputs) == ("classification", texts)
    assert not said(examples, "tags")


def test_a_response_with_the_talk_before_it_repeats_nothing_beside_a_column_of_the_system(tmp_path):
    asked, answered = {"role": "user", "content": "where?"}, {"role": "assistant", "content": "here"}
    row = {"system": "Be kind", "prompt": [asked], "chosen": [asked, answered]}
    (given,) = load_examples(jsonl(tmp_path / "a.jsonl", [row])).inputs
    assert given.messages == (Message("system", "Be kind"), Message("user", "where?"))


def test_a_first_answer_of_yes_makes_questions_about_texts_no_classes(tmp_path):
    rows = [
        {
            "question": f"is it {i}?",
            "context": f"ship {i} is at sea",
            "answer": f"ship {i}" if i % 4 else "yes",
        }
        for i in range(12)
    ]
    examples = load_examples(jsonl(tmp_path / "a.jsonl", rows))
    assert examples.task == "question-answering"
    most = [row | {"answer": ["yes", "no", "maybe"][i % 3]} for i, row in enumerate(rows[::-1])]
    assert load_examples(jsonl(tmp_path / "b.jsonl", most)).task == "classification"


def test_numbers_of_tags_of_another_scheme_get_no_name_by_the_places_of_ours(tmp_path):
    words = ["Anna", "is", "in", "Rome"]
    card = (
        "---\ndataset_info:\n  features:\n  - name: tags\n    sequence:\n      class_label:\n        names:\n"
    )
    card += "".join(f"          '{i}': {name}\n" for i, name in enumerate(["O", "person", "city"])) + "---\n"
    write(tmp_path / "train" / "README.md", card)
    numbered = [{"tokens": words, "tags": [1, 0, 0, 2]}, {"tokens": words[1:3] * 4, "tags": [0] * 8}]
    train = load_examples(jsonl(tmp_path / "train" / "a.jsonl", numbered))
    assert train.targets[0] == ["B-person", "O", "O", "B-city"]
    other = load_examples(jsonl(tmp_path / "b.jsonl", numbered), "tagging", like=train.reading)
    assert other.targets[0] == ["1", "0", "0", "2"]


def test_a_border_that_is_no_number_and_json_that_is_too_deep_end_in_a_sentence(tmp_path):
    span = '{"start": Infinity, "end": 4, "label": "PER"}'
    file = write(tmp_path / "a.json", f'[{{"text": "Anna", "x": NaN, "entities": [{span}]}}]')
    with pytest.raises(HeadstartError, match="not counted in whole numbers"):
        load_examples(file)
    deep = write(tmp_path / "b.jsonl", '{"text": NaN, "label": ' + "[" * 99_999 + "]" * 99_999 + "}\n")
    with pytest.raises(HeadstartError, match="line 1 is not valid JSON"):
        load_examples(deep)
