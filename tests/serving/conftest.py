"""A served folder of every kind, with random weights, and a client that asks inside the process."""

import os
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from running_server import Running
from served_client import SETTINGS, Client

import headstart as hs
from headstart.generation.chat import TEMPLATE
from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.serving.app import Application
from headstart.tasks.facts import TaskFacts
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TASKS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "sea": ("classification", ["home", "sea"], {"pairs": False}),
    "topics": ("multi-label", ["a", "b", "c"], {"pairs": False}),
    "stars": ("regression", ["score"], {"pairs": False}),
    "same": ("classification", ["different", "duplicate"], {"pairs": True}),
    "names": ("tagging", TAGS, {}),
    "reader": ("question-answering", ["start", "end"], {"unanswerable": True}),
    "quiz": ("multiple-choice", ["score"], {}),
    "vectors": ("embedding", [], {}),
}
"""Task, labels and facts of each served task model."""
WRITERS = (
    ("causal", "headstart-decoder", "causal"),
    ("chat", "headstart-decoder", "causal"),
    ("answers", "transformer-2017", "text-to-text"),
)
"""Name, family and head of each served model that writes."""


@pytest.fixture(scope="session")
def folders(tokenizer, tiny, tmp_path_factory) -> dict[str, Path]:
    """A model folder for every kind."""
    root = tmp_path_factory.mktemp("served")
    save_model(root / "masked", LoadedModel(tiny("headstart-encoder", seed=1), tokenizer, "masked"), "card")
    for name, family, head in WRITERS:
        its = tokenizer
        if name == "chat":
            its = copy(tokenizer)
            its.config = tokenizer.config | {"chat_template": TEMPLATE}
        save_model(root / name, LoadedModel(tiny(family, seed=2, context=256), its, head), "card")
    for seed, (name, (task, labels, facts)) in enumerate(TASKS.items()):
        body = tiny("headstart-encoder", seed=10 + seed)
        model = TaskModel(body, task, len(labels)).eval()
        Predictor(model, tokenizer, labels, TaskFacts(max_tokens=48, **facts)).save(root / name, "card")
    return {folder.name: folder for folder in sorted(root.iterdir())}


@pytest.fixture(scope="session")
def adapters(folders, tmp_path_factory) -> Path:
    """A folder of two adapters of the decoder, as PEFT writes them, and of something else."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import peft
    import transformers

    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("pirate", "cook")):
        begun = peft.get_peft_model(
            transformers.AutoModelForCausalLM.from_pretrained(folders["causal"]),
            peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"),
        )
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in begun.parameters():
                if weight.requires_grad:
                    weight.add_(torch.randn(weight.shape, generator=random) * 0.3)
        begun.save_pretrained(root / name)
    (root / "notes").mkdir()
    return root


@pytest.fixture(scope="session")
def client(folders):
    """Asks a server of all models."""
    made = Client(Application(folders, SETTINGS))
    yield made
    made.close()


@pytest.fixture
def serving(folders):
    """Makes a client of a server of some models, with other settings."""
    made: list[Client] = []

    def make(*names: str, **settings: Any) -> Client:
        chosen = {name: folders[name] for name in names}
        made.append(Client(Application(chosen, replace(SETTINGS, **settings))))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def running(folders):
    """Makes a server of some models at a real port."""
    made: list[Running] = []

    def make(*names: str, **settings: Any) -> Running:
        made.append(Running({name: folders[name] for name in names}, **settings))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(scope="session")
def local(folders):
    """The same models without a server."""
    return {name: hs.load(folder) for name, folder in folders.items()}
