"""Models that others trained: language identification, classifiers as signals, repair of mojibake."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from raw_files import prose, write_jsonl
from transformers import AutoModelForSequenceClassification, BertConfig, BertTokenizerFast

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.filters.classifiers import Classifier, scores
from headstart.corpus.text.language import MODEL, identify_language
from headstart.corpus.text.mojibake import repair
from headstart.errors import HeadstartError

OFF = ["rules.defaults=off", "page_rules.defaults=off", "languages=any", "language_score=0"]
TEXTS = [prose(1), "Das Boot liegt im Hafen, und die Möwen schreien über dem Wasser. " * 4, prose(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of Hugging Face with two labels."""
    path = tmp_path_factory.mktemp("classifier")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "of",
        "das",
        "boot",
        "river",
        "stone",
        "and",
    ]
    (path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label={0: "bad", 1: "good"},
        label2id={"bad": 0, "good": 1},
        initializer_range=1.0,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(path)
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    return path


def written(tmp_path: Path, texts: list[str], *overrides: str) -> tuple[dict, dict[str, dict]]:
    rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    recipe = CorpusRecipe.load(None, [*OFF, *overrides])
    manifest = build([source], tmp_path / "out", recipe, workers=0)
    found = {}
    for name in ("documents", "removed"):
        for path in (tmp_path / "out" / name).glob("*.parquet"):
            found |= {row["id"]: {**row, "in": name} for row in pq.read_table(path).to_pylist()}
    return dict(manifest), found


def test_a_label_of_a_fasttext_model_is_a_signal() -> None:
    english = scores(Classifier(model=MODEL, label="en"), TEXTS)
    german = scores(Classifier(model=MODEL, label="de"), TEXTS)
    assert min(english[0], german[1], english[2]) > 0.8
    assert max(german[0], english[1]) < 0.1
    with pytest.raises(HeadstartError, match="did you mean"):
        scores(Classifier(model=MODEL, label="enn"), ["what is this"])


def test_a_classifier_of_hugging_face_is_a_signal_whatever_the_batch(folder: Path) -> None:
    one, many = (scores(Classifier(model=folder, label="good", batch=n), TEXTS) for n in (1, 8))
    bad = scores(Classifier(model=folder, label="bad"), TEXTS)
    assert one == pytest.approx(many, abs=1e-5)
    assert [a + b for a, b in zip(one, bad, strict=True)] == pytest.approx([1.0] * 3, abs=1e-5)
    assert len(set(one)) > 1
    with pytest.raises(HeadstartError, match="no label"):
        scores(Classifier(model=folder), TEXTS)


def test_a_rule_over_a_classifier_removes(tmp_path: Path, folder: Path) -> None:
    good = scores(Classifier(model=folder, label="good"), TEXTS)
    middle = sorted(good)[1]
    _, found = written(
        tmp_path,
        TEXTS,
        f"classifiers={{english: {{model: {MODEL}, label: en}}, good: {{model: {folder}, label: good}}}}",
        "rules.foreign=english < 0.5",
        f"rules.bad=good < {middle - 1e-4}",
    )
    for number, text in enumerate(TEXTS):
        row = found[str(number)]
        expected = "foreign" if text.startswith("Das") else "bad" if good[number] < middle - 1e-4 else None
        assert row.get("rule") == expected


@pytest.mark.parametrize(
    "setting",
    [
        "classifiers={good: {model: none.bin, label: a}}",
        f"classifiers={{good: {{model: {MODEL}}}}}",
        "classifiers={good: {model: nowhere}}",
        f"classifiers={{words: {{model: {MODEL}, label: en}}}}",
        "language_model=nowhere.bin",
    ],
)
def test_a_model_that_cannot_be_asked(setting: str) -> None:
    with pytest.raises(HeadstartError):
        CorpusRecipe.load(None, [setting])


def test_another_language_model_is_asked(tmp_path: Path) -> None:
    copy = tmp_path / "lid.bin"
    copy.write_bytes(MODEL.read_bytes())
    assert identify_language(TEXTS[1], model=copy) == identify_language(TEXTS[1])
    _, found = written(tmp_path, TEXTS, f"language_model={copy}", "near_duplicates.enabled=false")
    assert {row["language"] for row in found.values()} == {"en", "de"}
    copy.write_bytes(b"no model")
    with pytest.raises(HeadstartError, match="cannot be read"):
        identify_language("text", model=copy.rename(tmp_path / "broken.bin"))


def test_mojibake_is_repaired_and_counted(tmp_path: Path) -> None:
    broken = "Das groÃŸe CafÃ© Ã¶ffnet frÃ¼h, â€œsagt erâ€\u009d. " * 5
    assert repair("groÃŸe CafÃ©") == ("große Café", True)
    for text in ("plain", "“Café” & ﬁne ｆｕｌｌ &amp; …", "Книги и карты", "naïve façade", "日本語"):
        assert repair(text) == (text, False)
    manifest, found = written(tmp_path, [broken, TEXTS[0]], "mojibake=true")
    assert manifest["repaired"] == 1
    assert "große Café öffnet früh" in found["0"]["text"]
