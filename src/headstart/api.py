"""What `import headstart as hs` offers: load a model, use it, fine-tune it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import orjson

from headstart.evaluation.label_evaluation import evaluate_predictor, evaluation_examples
from headstart.generation.chat import chat_ids
from headstart.generation.config import GenerationConfig
from headstart.generation.cpu_decoder import CPUDecoder, make_decoder
from headstart.generation.fill_mask import Answers, fill_mask
from headstart.generation.text import generate, stream
from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.interchange.sentence_vectors import SentenceVectors
from headstart.tasks.card import add_scores, task_card
from headstart.tasks.data.parts import local_data
from headstart.tasks.distillation.ways import distillation
from headstart.tasks.examples import Input
from headstart.tasks.finetuning.compare import WAYS, Compared
from headstart.tasks.finetuning.compare import compare as compare_ways
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit import fit_task, read_finetuning_data
from headstart.tasks.kinds.kind import AnswerRow
from headstart.tasks.metrics import Score
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor, task_of
from headstart.tasks.reload_check import check, write_check
from headstart.training.machine import dtype_named
from headstart.training.restore import load_any


class Model:
    """A language model, which generates or fills gaps, or a task model, which predicts."""

    def __init__(self, loaded: LoadedModel, predictor: Predictor | None = None) -> None:
        """
        Args:
            predictor: of a task model, where it is there already; it knows what fine-tuning has changed.
        """
        self.loaded = loaded
        if predictor is None and task_of(loaded):
            predictor = Predictor.of(loaded)
        self.predictor = predictor
        self.score: Score | None = None
        """Of a model just fine-tuned: its main figure on the test data."""
        self.rounded_from: Path | None = None
        """Of a model whose weights are kept in less than float32: the folder that has them whole."""
        self.notes: list[str] = []
        """Of a model just fine-tuned: what was found in the data; of one that was read: what of its folder is
        not obeyed."""

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.loaded.model.parameters())
        return f"<headstart {self.loaded.head} model, {parameters:,} parameters>"

    @overload
    def generate(self, prompt: str, **settings: Any) -> str: ...

    @overload
    def generate(self, prompt: Sequence[str], **settings: Any) -> list[str]: ...

    def generate(self, prompt: str | Sequence[str], **settings: Any) -> str | list[str]:
        """Continue `prompt`, or in an encoder-decoder answer it; a list of texts for a list.

        Args:
            settings: of `GenerationConfig`, such as `temperature=0.8, max_new_tokens=60`; what is not given
                comes from the model's folder.
        """
        config = GenerationConfig.of(self.loaded, **settings)
        if isinstance(prompt, str):
            return generate(self.loaded, [prompt], config, self._decoder)[0].text
        return [one.text for one in generate(self.loaded, prompt, config, self._decoder)]

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """The text that `generate` gives, as it is written."""
        return stream(self.loaded, prompt, GenerationConfig.of(self.loaded, **settings), self._decoder)

    def chat(self, messages: str | Sequence[Mapping[str, str]], **settings: Any) -> str:
        """The assistant's answer to a conversation, as the model's chat template writes it.

        Args:
            messages: a text, or `{"role": "system" | "user" | "assistant", "content": ...}` for each turn.
            settings: see `generate`.

        Raises:
            HeadstartError: the model has no chat template, or does not write.
        """
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        prompt = chat_ids(self.loaded.tokenizer, said, add_generation_prompt=True)
        config = GenerationConfig.of(self.loaded, **({"temperature": 0.0} | settings))
        return generate(self.loaded, [prompt], config, self._decoder)[0].text.strip()

    @cached_property
    def _decoder(self) -> CPUDecoder | None:
        """The model as compiled code reads it, laid out once; None where there is none."""
        return make_decoder(self.loaded.model)

    def fill_mask(self, text: str, count: int = 5) -> list[Answers]:
        """For each mask in `text`, in order, the likeliest tokens with their probabilities."""
        return fill_mask(self.loaded, text, count)

    def predict(self, inputs: Input | Sequence[Input]) -> AnswerRow | list[AnswerRow]:
        """The answer for one input, or a list of answers for a list.

        A classifier takes texts, or tuples of two, and gives `label`, `probability` and `probabilities`; for
        several labels `labels` and `probabilities`; for a number `score`. A tagger takes texts, or lists of
        words, and gives `words`, `tags`, `probabilities` (of those tags) and `entities` with their
        characters. A question comes with its context, `{"question": ..., "context": ...}`, and gives
        `answer`, `probability`, `start` and `end`. Multiple choice takes
        `{"question": ..., "options": [...]}`. A model that writes takes texts, or `{"messages": [...]}`, and
        gives `text`. An embedding model gives the `embedding` of a text and the
        `similarity` of a tuple of two. A list of strings is a list of texts.

        Raises:
            HeadstartError: a language model, which has no labels, or an input that the task cannot read.
        """
        predictor = self._task_model()
        if not isinstance(inputs, list):
            return predictor.answers([inputs])[0]
        return predictor.answers(list(inputs))

    def embed(self, texts: Sequence[str], prompt: str | None = None) -> np.ndarray:
        """A vector of length 1 for each text, `[texts, D]`: the mean of its tokens' states, of a decoder the
        last one's; in a folder of sentence-transformers what the folder says. Any model has vectors; one
        fine-tuned for the task "embedding" has better ones.

        Args:
            prompt: the name of one of the folder's prompts, which is written before each text; None: the
                folder's default, if it has one.

        Raises:
            HeadstartError: the folder has no prompt of that name.
        """
        predictor, vectors = self.predictor, self.loaded.vectors
        if predictor is None or predictor.task != "embedding":
            tokenizer = self.loaded.tokenizer
            said = (vectors or SentenceVectors()).prompt(prompt)
            texts = [said + text for text in texts]
            if vectors is not None:
                if vectors.lower:
                    texts = [text.strip().lower() for text in texts]
                before = len(tokenizer.with_special(tokenizer.encode(said))[0]) if said else 0
                vectors = replace(vectors, skipped=0 if vectors.include_prompt else max(0, before - 1))
            body = TaskModel(self.loaded.model, "embedding", 0, vectors=vectors).eval()
            predictor = Predictor(body, tokenizer, [])
        return np.stack(predictor.predict(list(texts)))

    def evaluate(self, data: str | Path) -> list[Score]:
        """The scores on a file of labelled examples, the main one first."""
        predictor = self._task_model()
        return evaluate_predictor(
            predictor, evaluation_examples(local_data(data), predictor.task, predictor.facts.reading)
        )

    def save(self, folder: str | Path) -> None:
        """Write the model folder, as transformers reads it, with weights in float32."""
        if self.rounded_from is not None:
            self._whole().save(folder)
        elif self.predictor is not None:
            self.predictor.save(Path(folder), task_card(self.predictor))
            write_check(Path(folder), self.predictor)
            if self.score is not None:
                add_scores(Path(folder), [self.score])
        else:
            card = f"# {self.loaded.model.config.family}\n\nSaved with headstart."
            save_model(Path(folder), self.loaded, card)

    def save_adapter(self, folder: str | Path) -> None:
        """Write what fine-tuning with `adapt="lora"` learned as PEFT's adapter folder, which `load` reads.

        Raises:
            HeadstartError: a model that was adapted in another way, or not read from a folder.
        """
        predictor = self._whole()._task_model()
        predictor.save_adapter(Path(folder), task_card(predictor))

    def check(self) -> float | None:
        """How far the outputs are from those that were kept when the model was fine-tuned, as a share of the
        largest; None where its folder keeps none.

        Raises:
            HeadstartError: another tokenizer, or other weights, than those that were trained.
        """
        folder = self.loaded.folder
        return None if folder is None else check(folder, self._task_model())

    def _whole(self) -> "Model":
        """The model with all the bits of its weights, for what goes on from them."""
        if self.rounded_from is None:
            return self
        return Model(load_any(self.rounded_from, self.loaded.model.dtype))

    def _task_model(self) -> Predictor:
        return self.predictor or self._read_task_model

    @cached_property
    def _read_task_model(self) -> Predictor:
        """The task model in the folder, once it has computed what it did when it was trained."""
        predictor = Predictor.of(self.loaded)  # which says what a language model lacks
        if self.loaded.folder is not None:
            check(self.loaded.folder, predictor)
        return predictor


def load(folder: str | Path, precision: str = "float32") -> Model:
    """Read a model folder, a run folder, or a checkpoint; of a run that has not finished its newest one.

    Args:
        precision: what it computes in, "float32" or "bfloat16". Weights are then kept in it too; fine-tuning
            and saving go on from the folder's own.
    """
    model = Model(load_any(Path(folder), dtype_named(precision)))
    if precision != "float32":
        model.rounded_from = Path(folder)
        model.loaded.model.keep_rounded()
    if model.loaded.unfinished:
        model.notes.append(f"{folder} is not finished: this is {model.loaded.unfinished}")
    if ignored := model.loaded.ignored_settings:
        model.notes.append(f"generation_config.json sets {', '.join(ignored)}, which is not obeyed")
    return model


def finetune(
    model: Model | str | Path,
    data: str | Path,
    task: str | None = None,
    test: str | Path | None = None,
    labels: int | None = None,
    seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    adapt: str = "full",
    validation: str | Path | None = None,
    **settings: Any,
) -> Model:
    """Fine-tune a pre-trained model on labelled data; `model` itself stays as it is.

    Args:
        model: a loaded model, or its folder.
        data: CSV, TSV, JSONL, JSON (SQuAD's too), Parquet or CoNLL, or a folder with train and test files or
            with a folder of texts for every class.
        task: "classification", "multi-label", "regression", "tagging", "question-answering",
            "multiple-choice", "text-to-text", "chat" or "embedding"; None to tell it from the columns;
            embedding is never guessed.
        test: data to score on; None: the file beside `data`, or a part of it that is set apart.
        labels: learn from that many examples only.
        columns: role to column, such as `{"question": "q", "context": "passage"}`; None to guess by names.
        adapt: which weights learn: "full", "frozen", "mix", "top-K" or "lora"; see `FinetuneRecipe.adapt`.
        validation: data to choose the best weights by; None: a part of `data`, if it is large.
        settings: of `FinetuneRecipe`, such as `epochs=5`; with `search={"learning_rate": [1e-3, 3e-3]}` the
            best ones are chosen first.

    Returns:
        The task model, with the test score in `.score`.
    """
    source = model._whole() if isinstance(model, Model) else load(model)
    recipe = FinetuneRecipe.checked({"adapt": adapt} | settings)
    found = read_finetuning_data(
        local_data(data),
        test=local_data(test) if test else None,
        validation=local_data(validation) if validation else None,
        kind=task,
        text_column=text_column,
        label_column=label_column,
        columns=columns,
        labels=labels,
        seed=seed,
    )
    fitted = fit_task(source.loaded, found, recipe, seed=seed)
    made = Model(fitted.predictor.as_loaded(), fitted.predictor)
    made.score, made.notes = fitted.measured[0].score, fitted.notes
    return made


def compare(
    model: Model | str | Path,
    data: str | Path,
    ways: Sequence[str] = WAYS,
    task: str | None = None,
    test: str | Path | None = None,
    labels: int | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    **settings: Any,
) -> Compared:
    """Fine-tune a model in several ways of adapting it, and measure each: score, weights that learn, seconds.

    Args:
        ways: values of `adapt`, see `finetune`, whose other arguments these are.

    Returns:
        `.ways` with the figures, `.text()` and `.markdown()` for reading, `.predictors` by way.
    """
    source = model._whole() if isinstance(model, Model) else load(model)
    found = read_finetuning_data(
        local_data(data),
        test=local_data(test) if test else None,
        kind=task,
        columns=columns,
        labels=labels,
        seed=seed,
    )
    return compare_ways(source.loaded, found, FinetuneRecipe.checked(settings), ways, seed)


def distill(
    teacher: str | Path,
    data: str | Path | None,
    out: str | Path,
    recipe: str | Path | None = None,
    replace: bool = False,
    **settings: Any,
) -> Model:
    """Train a small model beside a teacher, or read a static one out of it; a stopped run goes on.

    Args:
        teacher: a model folder.
        data: a tokens or corpus folder, or files of text; None: `way="static"` needs none.
        out: the run folder.
        recipe: a YAML file of settings.
        replace: delete what the run folder holds.
        settings: of the way that `way` names, such as `steps=2000, model={"layers": 4}`; see
            `docs/distillation.md`.

    Returns:
        The small model.

    Raises:
        HeadstartError: settings, text or a teacher that do not fit each other.
    """
    made = distillation(
        Path(teacher),
        Path(data) if data is not None else None,
        Path(out),
        Path(recipe) if recipe is not None else None,
        [f"{name}={_written(value)}" for name, value in settings.items()],
    )
    folder, _ = made.run(Path(out), replace)
    return load(folder)


def _written(value: Any) -> str:
    """A setting as the command line takes it."""
    return str(value) if isinstance(value, str | Path) else orjson.dumps(value, default=str).decode()
