"""Vectors of texts: those that sentence-transformers gives for the folder."""

import json

import numpy as np
import pytest
import sentence_transformers
import torch
from published_models import make, publish
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

import headstart as hs
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model
from headstart.interchange.transfer import export_model, import_model
from headstart.tasks.facts import TaskFacts
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor

TEXTS = ["The King's men", "a", "Größe 123 " * 40, "The ship came home at night, and nobody knew it."]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.fixture
def published(kinds, tmp_path):
    """A folder that sentence-transformers wrote, and what it reads from it."""

    def write(pooling="mean", layers=(), model_type="bert", most=32, **settings):
        model, tokenizer = make(model_type, kinds)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        publish(tmp_path / "body", model, tokenizer)
        reader = Transformer(str(tmp_path / "body"), max_seq_length=most)
        pooled = Pooling(32, pooling_mode=pooling, **settings.pop("pool", {}))
        torch.manual_seed(3)
        whole = sentence_transformers.SentenceTransformer(
            modules=[reader, pooled, *(layer() for layer in layers)], device="cpu", **settings
        )
        whole.save(str(tmp_path / "whole"))
        return tmp_path / "whole", sentence_transformers.SentenceTransformer(
            str(tmp_path / "whole"), device="cpu"
        )

    return write


def same(folder, theirs, **prompt) -> None:
    names = {"prompt_name": prompt["prompt"]} if prompt else {}
    right = theirs.encode(TEXTS, normalize_embeddings=True, **names)
    found = hs.load(folder).embed(TEXTS, **prompt)
    assert found.shape == right.shape
    assert np.abs(found - right).max() < 1e-5


@pytest.mark.parametrize("pooling", [*MODES, ("cls", "mean"), ("max", "lasttoken")])
def test_every_way_of_pooling(published, pooling) -> None:
    same(*published(pooling))


LAYERS = {
    "dense": [lambda: Dense(32, 8)],
    "no bias": [lambda: Dense(32, 8, bias=False, activation_function=torch.nn.Identity()), Normalize],
    "two": [lambda: Dense(32, 16, activation_function=torch.nn.GELU()), lambda: LayerNorm(16), Normalize],
    "residual": [lambda: Dense(32, 8, use_residual=True)],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_behind_the_pooling(published, name) -> None:
    same(*published(layers=LAYERS[name]))


@pytest.mark.parametrize("model_type", ["roberta", "gpt2"])
def test_other_families(published, model_type) -> None:
    same(*published("lasttoken" if model_type == "gpt2" else "mean", model_type=model_type))


def test_an_encoder_without_its_decoder(published, tmp_path) -> None:
    """Sentence-T5 and GTR are T5EncoderModels with a dense layer behind the mean; what a fine-tuning makes of
    one is one again."""
    folder, theirs = published(model_type="t5", layers=[lambda: Dense(32, 8), Normalize])
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["T5EncoderModel"]
    same(folder, theirs)
    import_model(folder, tmp_path / "imported")
    same(tmp_path / "imported", theirs)
    pairs = "\n".join(f"the ship came home {n},a ship at night {n},{n % 3 / 2}" for n in range(12))
    (tmp_path / "pairs.csv").write_text(f"text_a,text_b,score\n{pairs}\n")
    tuned = hs.finetune(str(folder), str(tmp_path / "pairs.csv"), task="embedding", epochs=1, max_tokens=16)
    tuned.save(tmp_path / "tuned")
    config = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert config["architectures"] == ["T5EncoderModel"]
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "tuned"), device="cpu")
    short = TEXTS[:2]  # of a text longer than max_tokens it is the mean of windows
    found, right = hs.load(tmp_path / "tuned").embed(short), again.encode(short, normalize_embeddings=True)
    assert np.abs(found - right).max() < 1e-5
    with pytest.raises(HeadstartError, match="without its decoder"):
        hs.finetune(
            str(folder),
            str(tmp_path / "pairs.csv"),
            task="classification",
            text_column="text_a",
            label_column="score",
        )


@pytest.mark.parametrize("counts", [True, False])
def test_prompts(published, counts) -> None:
    prompts = {"query": "the question: ", "document": ""}
    pool = {"include_prompt": counts}
    folder, theirs = published(prompts=prompts, default_prompt_name="query", pool=pool)
    same(folder, theirs)
    same(folder, theirs, prompt="document")
    with pytest.raises(HeadstartError, match=r"no prompt 'querry' .*did you mean 'query'"):
        hs.load(folder).embed(TEXTS, prompt="querry")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"default_prompt_name": "answer"}, "default_prompt_name = 'answer' is none of the prompts"),
        ({"default_prompt_name": ["query"]}, "what it holds, .* is wrong"),
        ({"prompts": {"query": 3}}, "query = 3 is wrong"),
        ({"prompts": "the question: "}, "what it holds, .* is wrong"),
    ],
)
def test_prompts_that_are_damaged(published, changes, sentence) -> None:
    folder, _ = published(prompts={"query": "the question: "})
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(HeadstartError, match=sentence):
        hs.load(folder)


@pytest.mark.parametrize("counts", [True, False])
def test_prompts_of_a_model_that_was_tuned(published, tmp_path, counts) -> None:
    prompts = {"query": "the question: ", "document": ""}
    folder, _ = published(prompts=prompts, default_prompt_name="query", pool={"include_prompt": counts})
    loaded = load_model(folder)
    model = TaskModel(loaded.model, "embedding", 0, vectors=loaded.vectors).eval()
    Predictor(model, loaded.tokenizer, [], TaskFacts()).save(tmp_path / "tuned", "card")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "tuned"), device="cpu")
    assert hs.load(tmp_path / "tuned").predictor.task == "embedding"
    same(tmp_path / "tuned", theirs)
    same(tmp_path / "tuned", theirs, prompt="document")
    with pytest.raises(HeadstartError, match="did you mean 'query'"):
        hs.load(tmp_path / "tuned").embed(TEXTS, prompt="querry")


def test_what_is_said_stays_at_import_and_export(published, tmp_path) -> None:
    folder, theirs = published("cls", LAYERS["two"][:1], prompts={"query": "ask "})
    import_model(folder, tmp_path / "imported")
    same(tmp_path / "imported", theirs)
    export_model(tmp_path / "imported", tmp_path / "exported")
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "exported"), device="cpu")
    for name in ({}, {"prompt_name": "query"}):
        assert np.abs(again.encode(TEXTS, **name) - theirs.encode(TEXTS, **name)).max() < 1e-5


def test_a_pooling_without_a_list_of_modules(published) -> None:
    folder, theirs = published("cls")
    (folder / "modules.json").unlink()
    same(folder, theirs)


def test_older_folders_keep_the_model_below(published, tmp_path) -> None:
    folder, theirs = published("cls")
    inner = folder / "0_Transformer"
    inner.mkdir()
    for file in list(folder.iterdir()):
        if file.is_file() and file.name not in ("modules.json", "config_sentence_transformers.json"):
            file.rename(inner / file.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    same(folder, theirs)


def test_modules_that_are_not_computed_are_refused(published) -> None:
    folder, _ = published(layers=LAYERS["dense"])
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules, {"type": "x.models.WordWeights", "path": ""}]))
    with pytest.raises(HeadstartError, match="has the module WordWeights"):
        hs.load(folder)
    modules[2]["path"] = "../elsewhere"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(HeadstartError, match="outside of the folder"):
        hs.load(folder)


def test_fine_tuning_goes_on_with_the_folders_vectors(published, tmp_path) -> None:
    folder, _ = published("cls", LAYERS["dense"])
    lines = ["text_a,text_b,score"] + [f"the king {n},a ship {n},{n % 3}" for n in range(24)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    model = hs.finetune(str(folder), str(tmp_path / "pairs.csv"), task="embedding", epochs=1)
    model.save(tmp_path / "tuned")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "tuned"), device="cpu")
    right = theirs.encode(["the king"], normalize_embeddings=True)
    for one in (model, hs.load(tmp_path / "tuned")):
        assert np.abs(one.embed(["the king"]) - right).max() < 1e-5
