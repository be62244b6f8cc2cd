"""The functions of `import headstart as hs`: load a model, use it, fine-tune it."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import orjson
import torch

from headstart.evaluation.label_evaluation import evaluate_predictor, evaluation_examples
from headstart.folder import fingerprint
from headstart.generation.chat import chat_ids
from headstart.generation.config import GenerationConfig
from headstart.generation.cpu_decoder import CPUDecoder, make_decoder
from headstart.generation.fill_mask import Answers, fill_mask
from headstart.generation.text import generate, stream
from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.interchange.sentence_vectors import SentenceVectors
from headstart.output import output
from headstart.tasks.card import add_scores, task_card
from headstart.tasks.data.parts import local_data
from headstart.tasks.distillation.ways import distillation
from headstart.tasks.examples import Input
from headstart.tasks.finetuning.compare import WAYS, Compared
from headstart.tasks.finetuning.compare import compare as compare_ways
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit import fit_task, read_finetuning_data
from headstart.tasks.kinds.kind import AnswerRow
from headstart.tasks.learned_inputs import learned_among
from headstart.tasks.metrics import Score
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor, task_of
from headstart.tasks.reload_check import check, write_check
from headstart.training.machine import dtype_named
from headstart.training.restore import load_any


class Model:
    """A language model, which generates text or fills gaps, or a task model, which predicts."""

    def __init__(self, loaded: LoadedModel, predictor: Predictor | None = None) -> None:
        """
        Args:
            predictor: the predictor of a task model, if it exists already; it knows what fine-tuning changed.
        """
        self.loaded = loaded
        if predictor is None and task_of(loaded):
            predictor = Predictor.of(loaded)
        self.predictor = predictor
        self.score: Score | None = None
        """The main score on the test data, if the model was just fine-tuned."""
        self.rounded_from: Path | None = None
        """The folder with the weights in full precision, if the model holds them in less than float32."""
        self.notes: list[str] = []
        """Sentences for the user: what fine-tuning found in the data, or which settings of the folder are not
        obeyed."""

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.loaded.model.parameters())
        return f"<headstart {self.loaded.head} model, {parameters:,} parameters>"

    @overload
    def generate(self, prompt: str, **settings: Any) -> str: ...

    @overload
    def generate(self, prompt: Sequence[str], **settings: Any) -> list[str]: ...

    def generate(self, prompt: str | Sequence[str], **settings: Any) -> str | list[str]:
        """Generate the continuation of a prompt; an encoder-decoder generates the answer to it.

        Args:
            prompt: a text, or a list of texts, which gives a list of texts.
            settings: fields of `GenerationConfig`, such as `temperature=0.8, max_new_tokens=60`. The model's
                folder gives the other fields.

        Raises:
            HeadstartError: the model cannot generate, or a setting is unknown.
        """
        config = GenerationConfig.of(self.loaded, **settings)
        if isinstance(prompt, str):
            return generate(self.loaded, [prompt], config, self._decoder)[0].text
        return [one.text for one in generate(self.loaded, prompt, config, self._decoder)]

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Yield the text of `generate` piece by piece, as the model generates it."""
        return stream(self.loaded, prompt, GenerationConfig.of(self.loaded, **settings), self._decoder)

    def chat(self, messages: str | Sequence[Mapping[str, str]], **settings: Any) -> str:
        """Generate the assistant's answer to a conversation, in the format of the model's chat template.

        Args:
            messages: a text, or `{"role": "system" | "user" | "assistant", "content": ...}` for each turn.
            settings: see `generate`; the temperature is 0 unless you set it.

        Raises:
            HeadstartError: the model has no chat template, or cannot generate.
        """
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        prompt = chat_ids(self.loaded.tokenizer, said, add_generation_prompt=True)
        config = GenerationConfig.of(self.loaded, **({"temperature": 0.0} | settings))
        return generate(self.loaded, [prompt], config, self._decoder)[0].text.strip()

    @cached_property
    def _decoder(self) -> CPUDecoder | None:
        """The compiled decoder of the model, made once; None if the model has none."""
        return make_decoder(self.loaded.model)

    def fill_mask(self, text: str, count: int = 5) -> list[Answers]:
        """Return the most likely tokens, with their probabilities, for each mask in `text`, in order.

        Args:
            text: a text with at least one mask token of the model, such as `<mask>`.
            count: tokens for each mask.

        Raises:
            HeadstartError: the text has no mask, or the model cannot fill one.
        """
        return fill_mask(self.loaded, text, count)

    def predict(self, inputs: Input | Sequence[Input]) -> AnswerRow | list[AnswerRow]:
        """Return the answer to one input, or a list of answers to a list of inputs.

        Inputs and answers by task:

        - classification: a text, or a tuple of two texts; `label`, `probability`, `probabilities`
        - multi-label: the same inputs; `labels`, `probabilities`
        - regression: the same inputs; `score`
        - tagging: a text, or a list of words; `words`, `tags`, `probabilities` (of these tags), and
          `entities` with their characters
        - question-answering: `{"question": ..., "context": ...}`; `answer`, `probability`, `start`, `end`
        - multiple-choice: `{"question": ..., "options": [...]}`; `choice`, `answer`, `probability`,
          `probabilities`
        - text-to-text, chat: a text, or `{"messages": [...]}`; `text`
        - embedding: a text; `embedding`. A tuple of two texts; `similarity`

        A list of strings is a list of texts.

        Raises:
            HeadstartError: the model is a language model, which has no labels, or an input does not fit
                the task.
        """
        predictor = self._task_model()
        if not isinstance(inputs, list):
            return predictor.answers([inputs])[0]
        return predictor.answers(list(inputs))

    def embed(self, texts: Sequence[str], prompt: str | None = None) -> np.ndarray:
        """Return a vector of length 1 for each text, `[texts, D]`.

        The vector is the mean of the tokens' states; a decoder's is the state of the last token. A folder of
        sentence-transformers defines its own pooling. Every model has vectors; a model that was fine-tuned
        for the task "embedding" has better ones.

        Args:
            prompt: the name of one of the folder's prompts, which is put before each text; None: the
                folder's default prompt, if it has one.

        Raises:
            HeadstartError: the folder has no prompt of that name.
        """
        read = self.embedded_texts(texts, prompt)
        return np.stack(self._embedder(prompt).predict(read))

    def embedded_texts(self, texts: Sequence[str], prompt: str | None = None) -> list[str]:
        """Return the texts as `embed` reads them: behind the prompt, and in small letters if the folder says
        so.

        Raises:
            HeadstartError: the folder has no prompt of that name.
        """
        vectors = self.loaded.vectors or SentenceVectors()
        said = vectors.prompt(prompt)
        read = [said + text for text in texts]
        return [text.strip().lower() for text in read] if vectors.lower else read

    @property
    def most_embedded_tokens(self) -> int | None:
        """After how many tokens of a text `embed` stops, as sentence-transformers does with such a folder;
        None: it reads a long text in windows."""
        embedder = self._embedder()
        return embedder.max_tokens if embedder.cuts else None

    def _embedder(self, prompt: str | None = None) -> Predictor:
        """What makes vectors of texts behind a prompt."""
        tokenizer, vectors = self.loaded.tokenizer, self.loaded.vectors
        if vectors is not None and not vectors.include_prompt and (said := vectors.prompt(prompt)):
            before = len(tokenizer.with_special(tokenizer.encode(said))[0])
            vectors = replace(vectors, skipped=max(0, before - 1))
        if self.predictor is None or self.predictor.task != "embedding":
            body = TaskModel(self.loaded.model, "embedding", 0, vectors=vectors).eval()
            return Predictor(body, tokenizer, [])
        tuned = copy(self.predictor)
        tuned.model = copy(tuned.model)
        tuned.model.vectors = vectors
        return tuned

    def evaluate(self, data: str | Path) -> list[Score]:
        """Return the scores on a file of labelled examples, the main score first.

        A sentence on standard error says if the model has learned from some of them.

        Raises:
            HeadstartError: the model is a language model, or the file does not fit its task.
        """
        predictor = self._task_model()
        examples = evaluation_examples(local_data(data), predictor.task, predictor.facts.reading)
        for sentence in learned_among(examples.inputs, predictor.learned_inputs):
            print(f"headstart: {sentence}", file=sys.stderr)
        return evaluate_predictor(predictor, examples)

    def save(self, folder: str | Path, replace: bool = False) -> None:
        """Write a model folder that transformers reads, with weights in float32.

        Args:
            folder: a new or an empty folder. One in which this model was saved before is left as it is.
            replace: delete what `folder` holds, and say what that is.

        Raises:
            HeadstartError: the folder holds something else, or the model was read from it.
        """
        whole = self._whole()
        read = [] if whole.loaded.folder is None else [whole.loaded.folder]
        written = whole.loaded if whole.predictor is None else whole.predictor.as_loaded()
        made_from = {"model": _digest(written), "score": self.score and self.score.as_dict()}
        with output(Path(folder), "saved model", settings=made_from, inputs=read, replace=replace) as claimed:
            if not claimed.finished:
                whole._write(claimed.place)
                claimed.finish({})

    def _write(self, place: Path) -> None:
        if self.predictor is None:
            save_model(place, self.loaded, f"# {self.loaded.model.config.family}\n\nSaved with headstart.")
            return
        self.predictor.save(place, task_card(self.predictor))
        write_check(place, self.predictor)
        if self.score is not None:
            add_scores(place, [self.score])

    def save_adapter(self, folder: str | Path, replace: bool = False) -> None:
        """Write the weights of `adapt="lora"` as an adapter folder of PEFT, which `load` reads.

        Args: see `save`.

        Raises:
            HeadstartError: the model was adapted in another way, or its base was not read from a folder; see
                also `save`.
        """
        predictor = self._whole()._task_model()
        made_from = {"model": _digest(predictor.as_loaded())}
        with output(Path(folder), "saved adapter", settings=made_from, replace=replace) as claimed:
            if not claimed.finished:
                predictor.save_adapter(claimed.place, task_card(predictor))
                claimed.finish({})

    def check(self) -> float | None:
        """Compare the outputs with those that fine-tuning saved in the model's folder.

        Returns:
            The largest difference, as a share of the largest output; None if the folder has no saved outputs.

        Raises:
            HeadstartError: the tokenizer or the weights differ from those that were trained.
        """
        folder = self.loaded.folder
        return None if folder is None else check(folder, self._task_model())

    def _whole(self) -> "Model":
        """The model with weights in full precision, for fine-tuning and saving."""
        if self.rounded_from is None:
            return self
        return Model(load_any(self.rounded_from, self.loaded.model.dtype))

    def _task_model(self) -> Predictor:
        return self.predictor or self._read_task_model

    @cached_property
    def _read_task_model(self) -> Predictor:
        """The task model in the folder, after its outputs were compared with those of its training."""
        predictor = Predictor.of(self.loaded)  # raises the error for a language model
        if self.loaded.folder is not None:
            check(self.loaded.folder, predictor)
        return predictor


def _digest(model: LoadedModel) -> str:
    """A hash of what `save` writes of a model: its weights and configuration, its tokenizer, how it makes
    vectors, and what it knows of its task."""
    digest = hashlib.sha256()
    of_vectors = {} if model.vectors is None else model.vectors.tensors()
    for group in (model.model.state_dict(), model.classifier, model.counted, of_vectors):
        for name, tensor in sorted(group.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return fingerprint(
        [
            digest.hexdigest(),
            asdict(model.model.config),
            model.tokenizer.definition,
            model.tokenizer.config,
            model.vectors and model.vectors.described(),
            model.head,
            model.problem_type,
            model.labels,
            model.metadata,
            model.generation,
        ]
    )


def load(folder: str | Path, precision: str = "float32") -> Model:
    """Read a model from a folder or a name.

    Args:
        folder: a model folder, a run folder, a checkpoint, an adapter folder, a `.gguf` file, or the name of
            a model that comes with headstart, such as "headstart-mini". If a run is unfinished, its newest
            checkpoint is read.
        precision: the dtype of weights and products, "float32" or "bfloat16". Fine-tuning and saving use the
            weights of the folder in full precision.

    Raises:
        HeadstartError: the folder holds no model that headstart can read.
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
    """Fine-tune a pre-trained model on labelled data. `model` itself does not change.

    Args:
        model: a loaded model, or its folder.
        data: CSV, TSV, JSONL, JSON (SQuAD's too), Parquet or CoNLL, or a folder with train and test files or
            with a folder of texts for every class.
        task: "classification", "multi-label", "regression", "tagging", "question-answering",
            "multiple-choice", "text-to-text", "chat" or "embedding". None: headstart infers the task from the
            columns; it never infers "embedding".
        test: data to score on; None: the test file beside `data`, or a part of `data` that is set apart.
        labels: the number of examples to learn from; None: all.
        seed: chooses these examples, the parts and the order of training.
        text_column: the column of the text; None: headstart finds it by its name.
        label_column: the column of the label; None: headstart finds it by its name.
        columns: role to column, such as `{"question": "q", "context": "passage"}`; None: found by name.
        adapt: which weights are trained: "full", "frozen", "mix", "top-K" or "lora"; see
            `FinetuneRecipe.adapt`.
        validation: data to choose the best weights by; None: a part of `data`, if it is large.
        settings: fields of `FinetuneRecipe`, such as `epochs=5`. `search={"learning_rate": [1e-3, 3e-3]}`
            tries these values first and takes the best.

    Returns:
        The task model, with the test score in `.score`.

    Raises:
        HeadstartError: the model, the data and the settings do not fit each other.
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
    """Fine-tune a model in several ways, and measure the score, trained weights and seconds of each.

    Args:
        ways: values of `adapt`. The other arguments are those of `finetune`.

    Returns:
        `.ways` with the figures, `.text()` and `.markdown()` for reading, `.predictors` by way.

    Raises:
        HeadstartError: the model, the data and the settings do not fit each other.
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
    """Train a small model with a teacher, or derive a static model from the teacher. A stopped run resumes.

    Args:
        teacher: a model folder.
        data: a tokens or corpus folder, or files of text; None: `way="static"` needs none.
        out: the run folder.
        recipe: a YAML file of settings.
        replace: delete the content of the run folder first.
        settings: fields of the recipe that `way` names, such as `steps=2000, model={"layers": 4}`; see
            `docs/distillation.md`.

    Returns:
        The small model.

    Raises:
        HeadstartError: the settings, the text and the teacher do not fit each other.
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
    """A setting in the form of the command line."""
    return str(value) if isinstance(value, str | Path) else orjson.dumps(value, default=str).decode()
