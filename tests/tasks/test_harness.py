"""lm-evaluation-harness gives our models the figures that its hf backend gives the same weights.

Runs where the extra `eval` is installed, on tasks that lie here: nothing is fetched.
"""

import json

import pytest
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model, save_model
from headstart.models.registry import make_config
from headstart.models.transformer import build

pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from headstart.evaluation.evaluation import evaluate
from headstart.evaluation.harness import HarnessModel

FAMILIES = ["headstart-decoder", "gpt2", "llama", "t5"]
TASKS = {
    "own_choices": """
task: own_choices
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "own_text": """
task: own_text
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
    "own_answers": """
task: own_answers
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: [" the"], max_gen_toks: 20}
metric_list: [{metric: exact_match}]
""",
}


@pytest.fixture(scope="module")
def tasks(documents, tmp_path_factory):
    """A folder of YAML tasks over a file of questions made of sample text."""
    folder = tmp_path_factory.mktemp("harness")
    rows = []
    for number, document in enumerate(documents[:12]):
        words = document["text"].split()
        row = {
            "question": " ".join(words[: 5 + 8 * number]),
            "choices": [words[-1], " ".join(words[-3:]), "sea"],
        }
        rows.append(row | {"answer": number % 3, "text": document["text"][: 200 + 150 * number]})
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(text.replace("FILE", str(data)), encoding="utf-8")
    return folder, rows


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tokenizer, tmp_path_factory):
    """A tiny model whose choices are not all alike."""
    sizes = {"vocab_size": 600, "layers": 2, "width": 32, "heads": 4, "feedforward_width": 48, "context": 64}
    model = build(make_config(request.param, sizes), 3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    out = tmp_path_factory.mktemp("model") / request.param
    save_model(out, model, tokenizer, "text-to-text" if request.param == "t5" else "causal", "# tiny")
    return out


@pytest.fixture(scope="module")
def backends(folder):
    theirs = HFLM(str(folder), device="cpu", dtype="float32", batch_size=3, max_length=64)
    return HarnessModel(folder), theirs


def ask(model, kind, arguments):
    requests = [Instance(kind, {}, one, index) for index, one in enumerate(arguments)]
    return getattr(model, kind)(requests)


def test_likelihoods(backends, tasks):
    ours, theirs = backends
    asked = [(row["question"], f" {choice}") for row in tasks[1] for choice in row["choices"]]
    asked += [("ends with blanks  ", "word"), (tasks[1][0]["question"], " a" * 30)]
    if ours.backend == "causal":
        asked.append(("", "nothing before"))
    for mine, its in zip(ask(ours, "loglikelihood", asked), ask(theirs, "loglikelihood", asked), strict=True):
        assert mine[0] == pytest.approx(its[0], abs=2e-3, rel=1e-5)
        assert mine[1] == its[1]


def test_rolling_likelihoods(backends, tasks):
    ours, theirs = backends
    asked = [(row["text"],) for row in tasks[1]] + [("one",)]
    found = ask(ours, "loglikelihood_rolling", asked)
    assert found == pytest.approx(ask(theirs, "loglikelihood_rolling", asked), abs=2e-3, rel=1e-5)


def test_generated_texts(backends, tasks):
    ours = backends[0]
    asked = [(row["question"], {"until": [" the", "\n"], "max_gen_toks": 20}) for row in tasks[1]]
    asked += [(row["question"], {"max_gen_toks": 12}) for row in tasks[1][:3]]
    mine, its = (ask(model, "generate_until", asked) for model in backends)
    if ours.backend == "seq2seq":  # theirs may be longer, see `harness`
        its = [text[: len(own)] for own, text in zip(mine, its, strict=True)]
    assert mine == its


def test_whole_tasks(backends, tasks, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    manager = TaskManager(include_path=str(tasks[0]), include_defaults=False)
    names = list(TASKS) if backends[0].backend == "causal" else ["own_choices"]
    results = [
        simple_evaluate(model, tasks=names, task_manager=manager, bootstrap_iters=0)["results"]
        for model in backends
    ]
    for name in names:
        mine, its = ({k: v for k, v in found[name].items() if isinstance(v, float)} for found in results)
        assert mine
        assert mine == pytest.approx(its, rel=1e-4), name


def test_from_the_evaluation(folder, tasks, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    found = evaluate(load_model(folder), f"harness:{tasks[0] / 'own_choices.yaml'}")
    assert {row["metric"] for row in found.scores} == {"acc", "acc_norm"}
    assert all(row["n"] == 12 for row in found.scores)
    (tmp_path / "other.yaml").write_text(TASKS["own_text"])
    with pytest.raises(HeadstartError, match="knows no task"):
        evaluate(load_model(folder), f"harness:{tmp_path / 'other.yaml'}")


def test_an_encoder_is_refused(encoder):
    with pytest.raises(HeadstartError, match="masked"):
        HarnessModel(encoder)
