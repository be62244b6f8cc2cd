"""`distill` with `way=labels`: a run in which a student learns what a classifier says of texts."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.interchange.box import model_in
from headstart.interchange.model_folder import load_model
from headstart.objectives.batch import generator
from headstart.output import identity
from headstart.progress import ProgressBar
from headstart.tasks.card import task_card
from headstart.tasks.distillation.recipe import LabelsRecipe
from headstart.tasks.examples import Examples
from headstart.tasks.facts import TaskFacts, Training
from headstart.tasks.finetuning.finetune import start
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.packing import encode_texts, pack
from headstart.tasks.learned_inputs import kept_of
from headstart.tasks.predictor import Predictor
from headstart.tasks.reload_check import write_check
from headstart.training.checkpoint import Files, Stored
from headstart.training.data_loader import RowOrder
from headstart.training.distillation.run import documents_of
from headstart.training.optimiser import Optimiser
from headstart.training.run_folder import claim, run_output
from headstart.training.run_frame import Pace, Progress, RunFrame
from headstart.training.schedule import rate_at

WEIGHTS, OPTIMISER, ANSWERS = "model.safetensors", "optimizer.safetensors", "answers.safetensors"
AT_ONCE = 64
"""Texts that the teacher is asked about together."""
LEAST = 20
"""Fewer texts teach nothing, and leave none to hold out."""
FREE = {"teacher", "data", "start", "checkpoint_every", "keep_checkpoints", "sinks"}


def read_texts(data: Path) -> list[str]:
    """The texts of a corpus folder or of files, empty ones left out."""
    return [str(document["text"]) for document in documents_of(data) if str(document["text"]).strip()]


def distill_labels(recipe: LabelsRecipe, run: Path, replace: bool = False) -> Path:
    """Train a student on a teacher's answers, from the last checkpoint if there is one.

    Returns:
        The task model's folder, `run/model`.

    Raises:
        HeadstartError: a teacher that is no classifier, too few texts, a run folder of other settings.
        Stopped: a signal or the control file asked for it; everything is saved.
    """
    teacher, student = model_in(recipe.teacher), model_in(recipe.start)
    with run_output(run, [teacher, student, recipe.data], replace):
        read = [identity(teacher), identity(student), identity(recipe.data, nested=True)]
        claim(run, recipe, read, FREE, recipe.seed)
        if not (run / "model" / "config.json").exists():
            trained = LabelsRun(recipe, run)
            trained.train()
            trained.write_model(run / "model")
    return run / "model"


class LabelsRun(RunFrame[Progress]):
    """The state of one such run, and its steps."""

    title = "distill labels"

    def __init__(self, recipe: LabelsRecipe, folder: Path) -> None:
        pace = Pace(recipe.steps, recipe.checkpoint_every, recipe.evaluate_every, recipe.keep_checkpoints)
        super().__init__(folder, pace, Progress(), sinks=recipe.sinks)
        self.recipe, self.peak_rate = recipe, recipe.optimiser.matrix_rate
        texts = read_texts(recipe.data)
        if len(texts) < LEAST:
            raise HeadstartError(
                f"{recipe.data} holds {len(texts)} texts, too few to learn a teacher's answers from; give "
                f"{LEAST} at least, better thousands"
            )
        teacher = Predictor.of(load_model(recipe.teacher))
        if teacher.task != "classification" or teacher.model.writes or teacher.facts.pairs:
            raise HeadstartError(
                f"{recipe.teacher} answers {teacher.task}{' of pairs' if teacher.facts.pairs else ''}; "
                "way=labels takes a classifier of single texts"
            )
        self.answers = self._answers(teacher, texts)  # [N, L] log-probabilities
        self.student = self._student(teacher)
        self.optimiser = Optimiser(self.student.model, recipe.optimiser)
        self._encode(texts)
        self.learned_inputs = kept_of([texts[place] for place in self.learned])

    def _answers(self, teacher: Predictor, texts: list[str]) -> Tensor:
        """What the teacher says of every text: asked once, then kept in the run folder."""
        kept = self.folder / ANSWERS
        if not kept.exists():
            found = []
            with ProgressBar("ask the teacher", len(texts), "texts") as bar:
                for first in range(0, len(texts), AT_ONCE):
                    some = texts[first : first + AT_ONCE]
                    found += teacher.probabilities(some)
                    bar.advance(len(some))
            logs = torch.from_numpy(np.stack(found)).float().clamp(min=1e-9).log()
            with atomic(kept) as temporary:
                save_file({"answers": logs}, temporary)
        return load_file(kept)["answers"]

    def _student(self, teacher: Predictor) -> Predictor:
        """The pre-trained model with a head for the teacher's labels, in the teacher's order."""
        recipe = self.recipe
        loaded = load_model(recipe.start, getattr(torch, recipe.precision))
        named = Examples("classification", list(teacher.labels), list(teacher.labels))
        with torch.random.fork_rng(devices=[]):
            model = start(loaded, named, FinetuneRecipe(max_tokens=recipe.max_tokens), recipe.seed, False)
        most = recipe.max_tokens
        if loaded.model.config.position == "learned":
            most = min(most, loaded.model.config.context)
        facts = TaskFacts(max_tokens=most, pairs=False)
        return Predictor(model, loaded.tokenizer, list(teacher.labels), facts, base=loaded.folder)

    def _encode(self, texts: list[str]) -> None:
        """Cut the texts into windows, and set some apart."""
        pieces = encode_texts(self.student.tokenizer, texts, self.student.max_tokens)
        self.windows: list[list[Any]] = [[] for _ in texts]
        for piece in pieces:
            self.windows[piece.owner].append(piece)
        held = min(self.recipe.heldout, len(texts) // 10)
        shuffled = generator(self.recipe.seed, 2**63).permutation(len(texts))
        self.heldout, self.learned = shuffled[:held], shuffled[held:]
        self.order = RowOrder(len(self.learned), self.recipe.seed)

    # What the frame asks

    def update(self) -> str:
        """One step: the cross-entropy of both models' softened answers, less the teacher's entropy."""
        recipe = self.recipe
        with self.timed() as elapsed:
            chosen = self.learned[self.order.rows(self.step * recipe.rows, (self.step + 1) * recipe.rows)]
            random = generator(recipe.seed, self.step)
            pieces = [self.windows[one][random.integers(len(self.windows[one]))] for one in chosen]
            self.student.model.train()
            torch.manual_seed((recipe.seed << 32) + self.step)
            scores = self.student.model(pack(pieces, self.student.padding))
            loss = softened_loss(scores, self.answers[torch.from_numpy(chosen)], recipe.temperature)
            torch.autograd.backward(loss)
            scale = self.progress.rate_factor * rate_at(self.step, recipe.steps, recipe.optimiser)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise HeadstartError(
                    f"the loss became {value} at step {self.step + 1}; lower optimiser.matrix_rate and start "
                    "again in a new folder"
                )
            norm = self.optimiser.step(scale)
            self.progress.step += 1
            elapsed()
        rate = scale * recipe.optimiser.matrix_rate
        self.tell("step", loss=value, gradient_norm=float(norm), learning_rate=rate, **self.times())
        return f"loss {value:.4f}"

    @torch.no_grad()
    def evaluate(self) -> None:
        """How far the answers to held-out texts are from the teacher's, and how often they agree."""
        self.student.model.eval()
        pieces = [piece for one in self.heldout for piece in self.windows[one]]
        outputs = self.student.network_outputs(pieces)
        owners = [piece.owner for piece in pieces]
        by_text = {one: [o for o, owner in zip(outputs, owners, strict=True) if owner == one]
                   for one in self.heldout.tolist()}  # fmt: skip
        scores = torch.from_numpy(np.stack([np.mean(found, 0) for found in by_text.values()]))
        wanted = self.answers[torch.from_numpy(self.heldout)]
        same = (scores.argmax(1) == wanted.argmax(1)).float().mean()
        self.tell(
            "evaluation",
            loss=float(softened_loss(scores, wanted, self.recipe.temperature)),
            agreement=float(same),
            texts=len(self.heldout),
            **self.times(),
        )

    def tensors(self) -> Files:
        """Weights and optimiser."""
        return {WEIGHTS: self.student.model.state_dict(), OPTIMISER: self.optimiser.state()}

    @torch.no_grad()
    def take_up(self, stored: Stored) -> None:
        """Take up the tensors of a checkpoint."""
        for name, tensor in self.student.model.state_dict().items():
            tensor.copy_(stored.read(WEIGHTS, name, None))
        self.optimiser.load_state(
            stored.names(OPTIMISER), lambda name, part: stored.read(OPTIMISER, name, part)
        )

    def write_model(self, folder: Path) -> None:
        """The student as a task model."""
        student, recipe = self.student, self.recipe
        student.model.eval()
        student.facts = replace(
            student.facts, training=Training(len(self.learned), self.step, recipe.seed, from_scratch=False)
        )
        card = (
            task_card(student)
            + f"\n\nIts examples are texts without labels, answered by `{recipe.teacher.name}` at a "
            f"temperature of {recipe.temperature:g}."
        )
        student.learned_inputs = self.learned_inputs
        student.save(folder, card)
        write_check(folder, student)


def softened_loss(scores: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of answers at temperature T, the mean over texts, in nats.

    Args:
        scores: the student's, `[N, L]`.
        wanted: the teacher's scores or log-probabilities, `[N, L]`.
    """
    own = (scores.float() / temperature).log_softmax(1)
    taught = (wanted / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(own, taught, reduction="batchmean", log_target=True)
