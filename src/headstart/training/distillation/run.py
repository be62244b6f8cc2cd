"""`distill`: a pre-training run in which a teacher has a say."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from headstart.corpus.readers.read import iterate_raw
from headstart.corpus_folder import KIND as CORPUS
from headstart.corpus_folder import DocumentRow, corpus_documents
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject, atomic, read_json
from headstart.interchange.box import model_in
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.interchange.sentence_vectors import Normalize, SentenceVectors
from headstart.models.config import TransformerConfig
from headstart.models.transformer import Transformer, build
from headstart.objectives.batch import hidden_states, to_device
from headstart.objectives.vocabulary import Vocabulary
from headstart.output import identity, output
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import KIND, ShardRecipe, encode
from headstart.training.configuration import configuration
from headstart.training.distillation.loader import TaughtLoader
from headstart.training.distillation.losses import Projections, TaughtBatch, TaughtLoss
from headstart.training.distillation.recipe import DistillRecipe
from headstart.training.distillation.start import like_teacher, same_shape, take_layers
from headstart.training.distillation.static import token_table
from headstart.training.distillation.teacher import Directions, Teacher, principal_directions
from headstart.training.distributed.parallel import Loss, ParallelContext, start
from headstart.training.evaluation import HeldOutFigures, Nearness
from headstart.training.loop import Run, pretrain
from headstart.training.machine import keep_freed_memory
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe
from headstart.training.trainer import Trainer

DIRECTIONS = "directions.safetensors"
SAMPLE_ROWS = 512
"""From so many rows the teacher's strongest directions are found."""
FREE = {"teacher", "keep"}


def distill(recipe: DistillRecipe, run: Path, replace: bool = False, data: Path | None = None) -> Path:
    """Train a student beside its teacher, from its last checkpoint if there is one.

    Args:
        data: a corpus folder or files of text, which the teacher's tokenizer encodes into `recipe.tokens`
            first; None: the tokens are there.

    Returns:
        The model folder, `run/model`.

    Raises:
        HeadstartError: see `pretrain`; a teacher or settings that do not fit the student.
    """
    check(recipe)
    teacher = model_in(recipe.teacher)
    return pretrain(
        recipe,
        run,
        replace=replace,
        make=DistillRun,
        prepare=None if data is None else partial(encode_texts, data, recipe),
        read=[teacher, *([] if data is None else [data])],
        known=[identity(teacher)],
        free=FREE,
    )


def encode_texts(data: Path, recipe: DistillRecipe) -> None:
    """Encode texts with the teacher's tokenizer, unless that is done.

    Raises:
        HeadstartError: no text, or too little to hold some out; another text than before.
    """
    tokenizer = open_tokenizer(model_in(recipe.teacher))
    made_from = {"data": identity(data, nested=True), "tokenizer": tokenizer.sha256}
    with output(recipe.tokens, KIND, settings=made_from, inputs=[data]) as claimed:
        if not claimed.finished:
            claimed.finish(encode(documents_of(data), tokenizer, ShardRecipe(), recipe.tokens))


def documents_of(data: Path) -> Iterator[DocumentRow]:
    """The documents of a corpus folder, or of files of text."""
    if is_folder_of(data, CORPUS):
        yield from corpus_documents(data, ("id", "text", "domain"))
        return
    for number, text in enumerate(iterate_raw([data])):
        if text.strip():
            yield {"id": f"{number}", "text": text, "domain": "text"}


def is_folder_of(data: Path, kind: str) -> bool:
    """Whether a folder holds what a stage of that kind made."""
    if not (data / MANIFEST).is_file():
        return False
    return read_json(data / MANIFEST, JSONObject).get("format") == f"headstart.{kind}"


def check(recipe: DistillRecipe) -> None:
    """Refuse settings that do not fit each other, before any work."""
    parallel = recipe.parallel
    if recipe.objective.kind not in ("masked", "causal"):
        raise HeadstartError(
            f"distillation goes beside the masked or the causal objective, not {recipe.objective.kind}; "
            "change objective.kind"
        )
    if (parallel.replicate or 1) * parallel.shard * parallel.tensor * parallel.pipeline > 1:
        raise HeadstartError("distillation runs in one process: leave `parallel` out")
    if recipe.objective_weight == recipe.layer_weight == recipe.vector_weight == 0:
        raise HeadstartError("all weights are 0, so that nothing is learned; raise layer_weight")


class DistillTrainer(Trainer):
    """What one step computes, with a teacher in the loop."""

    recipe: DistillRecipe

    def __init__(
        self,
        recipe: DistillRecipe,
        run: Path | None,
        model: Transformer,
        tokenizer: Tokenizer,
        layout: ParallelContext,
        begin: bool,
    ) -> None:
        self.run, self.tokenizer = run, tokenizer
        self.teacher = Teacher(recipe.teacher, tokenizer, getattr(torch, recipe.precision))
        self.teacher.model.to(layout.device)
        heads = recipe.relation_heads or model.config.heads
        if recipe.way == "relations":
            self._check_relations(recipe, model, heads)
        super().__init__(recipe, model, tokenizer, layout, begin)
        assert isinstance(self.data, TaughtLoader)
        square = self.data.directions.square
        plain = layout.module
        assert isinstance(plain, Loss)
        layout.module = self.loss = TaughtLoss(plain, model, recipe, heads, square)

    def _check_relations(self, recipe: DistillRecipe, model: Transformer, heads: int) -> None:
        teacher = self.teacher
        if not teacher.same:
            raise HeadstartError(
                f"way=relations compares tokens with tokens, but {recipe.teacher} has another tokenizer than "
                f"{recipe.tokens}; encode the text with --tokenizer {recipe.teacher}, or take way=states"
            )
        layers = teacher.model.config.layers
        layer = recipe.teacher_layer or layers
        if layer > layers:
            raise HeadstartError(f"teacher_layer={layer}, but {recipe.teacher} has {layers} layers")
        for config in (teacher.model.config, model.config):
            if config.width % heads or config.kv_heads * config.head_width % heads:
                raise HeadstartError(
                    f"relation_heads={heads} does not divide a width of {config.width}; give another number"
                )
        teacher.projections = Projections(teacher.model, layer - 1)

    def loader(self, vocabulary: Vocabulary) -> TaughtLoader:
        """The batches with what the teacher says of them."""
        recipe, width = self.recipe, self.model.config.width
        plain = super().loader(vocabulary)
        directions = self._directions(plain, width)
        plain.close()
        return TaughtLoader(recipe, vocabulary, self.teacher, directions, self.run)

    def _directions(self, data: Any, width: int) -> Directions:
        """In what the teacher's states are learned: found once, then kept in the run folder."""
        kept = None if self.run is None else self.run / DIRECTIONS
        if kept is not None and kept.exists():
            found = load_file(kept)
            return Directions(found["basis"], float(found["square"]), float(found["share"]))
        ids, segments = data.train.read(data.order.rows(0, min(SAMPLE_ROWS, len(data.train))))
        said = [
            self.teacher.states(ids[first : first + 32], segments[first : first + 32], 1)
            for first in range(0, len(ids), 32)
        ]
        states = torch.cat([states[known] for states, known, _ in said])
        if same_shape(self.model.config, self.teacher.model.config):  # whose numbers mean the same
            directions = Directions(torch.eye(width), float(states.square().mean()), 1.0)
        else:
            basis, share = principal_directions(states, width, self.recipe.seed)
            directions = Directions(basis, 1.0, share)
        if kept is not None:
            numbers = {"square": torch.tensor(directions.square), "share": torch.tensor(directions.share)}
            with atomic(kept) as temporary:
                save_file({"basis": directions.basis, **numbers}, temporary)
        return directions

    def take_start(self, tokenizer: Tokenizer) -> None:
        """As in pre-training; `teacher` is what it can have of its teacher."""
        if self.recipe.start != "teacher":
            super().take_start(tokenizer)
            return
        if same_shape(self.model.config, self.teacher.model.config):
            take_layers(self.model, self.teacher, tokenizer)
            return
        assert isinstance(self.data, TaughtLoader)
        table = token_table(self.teacher, tokenizer, self.data.directions.basis)  # [V, D]
        weight = self.model.embedding.weight
        ordinary = [n for n in range(len(table)) if n not in tokenizer.special.all]
        with torch.no_grad():
            weight[ordinary] = table[ordinary] * (weight.std() / table[ordinary].std())


def student(recipe: PretrainRecipe) -> TransformerConfig:
    """The model that a distillation trains."""
    assert isinstance(recipe, DistillRecipe)
    config = configuration(recipe)
    if recipe.start != "teacher":
        return config
    return like_teacher(config, load_model(recipe.teacher, weights=False).model.config)


def trial(recipe: PretrainRecipe) -> Trainer:
    """A trainer of the model that a distillation would train, for measuring steps; who takes it closes it."""
    assert isinstance(recipe, DistillRecipe)
    check(recipe)
    keep_freed_memory()
    model = build(student(recipe), recipe.seed, getattr(torch, recipe.precision))
    layout, tokenizer = start(recipe.parallel, recipe.device), open_tokenizer(recipe.tokens)
    return DistillTrainer(recipe, None, model, tokenizer, layout, begin=False)


class DistillRun(Run):
    """A pre-training run whose steps are a `DistillTrainer`'s."""

    recipe: DistillRecipe

    @staticmethod
    def configuration(recipe: PretrainRecipe) -> TransformerConfig:
        """The student."""
        return student(recipe)

    trial = staticmethod(trial)

    def make_trainer(self, model: Transformer, begin: bool) -> Trainer:
        """What computes the steps."""
        return DistillTrainer(self.recipe, self.folder, model, self.tokenizer, self.layout, begin)

    def as_loaded(self, whole: Transformer) -> LoadedModel:
        """An encoder's folder says that the mean of its states stands for a text."""
        loaded = super().as_loaded(whole)
        if not self.recipe.objective_weight:  # its output over the vocabulary has learned nothing
            loaded.head = "features"
        if self.recipe.vector_weight and whole.config.architecture == "encoder":
            loaded.vectors = SentenceVectors(layers=[Normalize()])
        return loaded

    def card(self, whole: Transformer, step: int | None) -> str:
        """The model card, with the teacher."""
        recipe = self.recipe
        share = float(load_file(self.folder / DIRECTIONS)["share"])
        what = {
            "states": f"every token's last state, in the {whole.config.width} directions that hold "
            f"{100 * share:.1f} % of its square",
            "relations": "how its last queries, keys and values relate tokens",
        }
        card = (
            super().card(whole, step)
            + f"\n\n## Teacher\n\nBeside its text it learned from `{recipe.teacher.name}`: "
            f"{what[recipe.way]}, weight {recipe.layer_weight:g}; its vectors of texts, weight "
            f"{recipe.vector_weight:g}; its own objective has weight {recipe.objective_weight:g}."
        )
        evaluations = [event for event in read_metrics(self.folder) if event["kind"] == "evaluation"]
        if not evaluations:  # the file of events was damaged, as the card says above
            return card
        last = evaluations[-1]
        apart = {
            "states": f"an error of {last['layer_loss']:.3f} of that square",
            "relations": f"{last['layer_loss']:.3f} nats a token apart",
        }
        return card + (
            f" On held-out rows at step {last['step']:,}: {apart[recipe.way]}, cosine of the vectors "
            f"{last['cosine']:.3f}."
        )

    def held_out(self) -> HeldOutFigures:
        """The figures of pre-training, and how near the student is to its teacher on the same rows."""
        return {**super().held_out(), **nearness(self.trainer)}


@torch.no_grad()
def nearness(trainer: Trainer) -> Nearness:
    """Means over held-out rows: `layer_loss` of states or relations, and the vectors' `cosine`."""
    assert isinstance(trainer, DistillTrainer)
    data, loss = trainer.data, trainer.loss
    assert isinstance(data, TaughtLoader)
    batch, _ = data.evaluation()
    sums = torch.zeros(3)
    counts = torch.zeros(3)
    for part in batch.split(trainer.recipe.micro_rows):
        taught = data.with_teacher(part)
        assert taught.shares is not None
        moved = to_device(taught, trainer.layout.device)
        assert isinstance(moved, TaughtBatch)
        parts = loss.parts(moved, hidden_states(trainer.model, moved))
        sums += torch.stack(parts).cpu()
        counts += len(part.targets) / taught.shares
    means = (sums / counts).tolist()
    related = trainer.recipe.way == "relations"
    return {"layer_loss": means[2 if related else 0], "cosine": 1 - means[1]}
