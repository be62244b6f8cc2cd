"""What one folder answers: a Transformer of any head, or word vectors and ELMo, which have vectors alone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.api import Model, load
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST
from headstart.generation.fill_mask import fill_gaps
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.interchange.peft_adapter import CONFIG_FILE
from headstart.serving.request_error import RequestError
from headstart.tasks.baselines.word_vectors import ElmoVectors, StaticVectors, Vectors, read_baseline
from headstart.tasks.kinds.kind import Unusable
from headstart.tasks.predictor import task_of
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.published import chat_template
from headstart.training.machine import dtype_named

Operation = Literal["predict", "embed", "fill-mask"]
"""What a task worker computes; texts are written by the engine."""

PREDICT, CLASSIFY, TAG, ANSWER, CHOOSE = (
    f"/v1/{name}" for name in ("predict", "classify", "tag", "answer", "choose")
)
FILL_MASK, EMBEDDINGS, RERANK = "/v1/fill-mask", "/v1/embeddings", "/v1/rerank"
COMPLETIONS, CHAT, TOKENIZE = "/v1/completions", "/v1/chat/completions", "/tokenize"
ROUTE_OF_TASK = {
    "classification": CLASSIFY,
    "multi-label": CLASSIFY,
    "regression": CLASSIFY,
    "tagging": TAG,
    "question-answering": ANSWER,
    "multiple-choice": CHOOSE,
}
"""The route that is made for a task; every task is answered by /v1/predict too."""
BATCHED = (COMPLETIONS, CHAT, EMBEDDINGS, RERANK, PREDICT, CLASSIFY, TAG, ANSWER, CHOOSE, FILL_MASK)
"""Routes that a batch may ask."""
VECTOR_FILES = (".txt", ".vec", ".bin", ".gz")


@dataclass(frozen=True)
class Description:
    """What is known of a model, be it loaded or not."""

    name: str
    folder: Path
    task: str | None
    """None: it has only been pre-trained."""
    head: str
    family: str
    parameters: int
    context: int | None
    dtype: str
    labels: tuple[str, ...]
    pairs: bool | None
    """Whether it reads two texts; None: not known, or not such a task."""
    mask: str | None
    """What stands for a gap in a text; None: it fills none."""
    routes: tuple[str, ...]
    created: int
    """When the folder was made, in seconds since 1970."""
    bytes: int
    """About what its weights take in memory."""

    @property
    def as_dict(self) -> dict[str, Any]:
        """For `/v1/models`."""
        own = asdict(self)
        for name in ("name", "folder", "created", "pairs", "mask"):
            del own[name]
        return own | {"labels": list(self.labels) or None, "routes": list(self.routes)}

    @property
    def in_words(self) -> str:
        """What it is, for a sentence."""
        return (
            f"a model for {self.task}" if self.task else f"a {self.family} model with the head {self.head!r}"
        )


class ServedModel(ABC):
    """A model in memory."""

    description: Description
    tokenizer: Tokenizer | None
    """None: it reads words."""

    @abstractmethod
    def compute(self, operation: Operation, option: Any, inputs: Sequence[Any]) -> list[Any]:
        """One result for each input.

        Raises:
            HeadstartError: an input that the model cannot read.
        """

    def as_embedded(self, texts: Sequence[str], prompt: str | None) -> list[str]:
        """The texts as they are read where vectors are made of them.

        Raises:
            HeadstartError: the model has no prompt of that name.
        """
        return list(texts)

    @property
    def most_embedded_tokens(self) -> int | None:
        """Of a text, where the model makes its vector of the beginning alone; None: of all."""
        return None

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens, or words, each text has."""
        if self.tokenizer is None:
            return [len(text.split()) for text in texts]
        around = len(self.tokenizer.with_special([])[0])
        return [len(ids) + around for ids in self.tokenizer.encode_batch(list(texts))]

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return self.description.bytes


class TransformerModel(ServedModel):
    """A folder of any family and head."""

    def __init__(self, description: Description, precision: str) -> None:
        self.description = description
        self.model: Model = load(description.folder, precision)
        if self.model.predictor is not None:
            self.model.check()
        self.tokenizer = self.model.loaded.tokenizer

    def as_embedded(self, texts: Sequence[str], prompt: str | None) -> list[str]:
        return self.model.embedded_texts(texts, prompt)

    @property
    def most_embedded_tokens(self) -> int | None:
        return self.model.most_embedded_tokens

    def compute(self, operation: Operation, option: Any, inputs: Sequence[Any]) -> list[Any]:
        if operation == "embed":
            return list(self.model.embed(list(inputs), option))
        if operation == "fill-mask":
            return [fill_gaps(self.model.loaded, text, option) for text in inputs]
        try:
            answers = self.model.predict(list(inputs))
        except Unusable as error:
            raise HeadstartError(f"an input is of no use: {error}") from None
        assert isinstance(answers, list)
        return answers


class VectorModel(ServedModel):
    """word2vec, GloVe or ELMo: the mean of a text's vectors, of ELMo over its layers too, at length 1."""

    tokenizer = None

    def __init__(self, description: Description) -> None:
        self.description = description
        self.vectors: Vectors = read_baseline(description.folder)[1]

    def compute(self, operation: Operation, option: Any, inputs: Sequence[Any]) -> list[Any]:
        if operation != "embed" or option is not None:
            raise HeadstartError("word vectors embed texts, without prompts, and do nothing else")
        return [text_vector(self.vectors, text) for text in inputs]


def text_vector(vectors: Vectors, text: str) -> np.ndarray:
    """The mean of the vectors of a text's words and of their layers, `[D]`, at length 1.

    Raises:
        HeadstartError: the text has no word with a vector.
    """
    words = vectors.of_text(text)  # [words, layers, D]
    if not len(words):
        raise HeadstartError("a text has no word that this model has a vector for, so it has none itself")
    mean: np.ndarray = words.mean((0, 1))
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def describe(name: str, path: Path, precision: str) -> Description:
    """What a folder holds, found without its weights.

    Raises:
        HeadstartError: it holds no model that answers.
    """
    folder = path / "model" if (path / "model").is_dir() and not (path / "config.json").exists() else path
    manifest = folder / MANIFEST
    older = manifest.exists() and not (folder / "config.json").exists()
    file = folder.is_file() and folder.suffix in VECTOR_FILES
    if (older and not (folder / CONFIG_FILE).exists()) or file:
        return _describe_vectors(name, path)
    return _describe_transformer(
        name, path, load_model(path, dtype_named(precision), weights=False), precision
    )


def read(description: Description, precision: str) -> ServedModel:
    """The model that was described."""
    if description.head == "vectors":
        return VectorModel(description)
    return TransformerModel(description, precision)


def _describe_vectors(name: str, path: Path) -> Description:
    vectors = read_baseline(path)[1]
    if isinstance(vectors, ElmoVectors):
        family, count = "elmo", sum(weight.numel() for weight in vectors.model.parameters())
    else:
        assert isinstance(vectors, StaticVectors)
        family, count = "word-vectors", vectors.vectors.matrix.size
    created = int(path.stat().st_mtime)
    routes = (EMBEDDINGS, RERANK)
    return Description(
        name,
        path,
        None,
        "vectors",
        family,
        count,
        None,
        "float32",
        (),
        None,
        None,
        routes,
        created,
        4 * count,
    )


def _describe_transformer(name: str, path: Path, loaded: LoadedModel, precision: str) -> Description:
    config, task = loaded.model.config, task_of(loaded)
    facts = loaded.metadata.get("finetuning")
    pairs = facts.get("pairs") if isinstance(facts, dict) else None
    weights = sum(weight.numel() for weight in loaded.model.parameters())
    return Description(
        name,
        path,
        task,
        loaded.head,
        config.family,
        weights,
        config.context,
        precision,
        tuple(loaded.labels),
        pairs,
        _mask(loaded),
        _routes(loaded, task),
        int(path.stat().st_mtime),
        4 * weights,
    )


def _mask(loaded: LoadedModel) -> str | None:
    """What stands for a gap in a text that the model fills."""
    special = loaded.tokenizer.special
    if loaded.head == "text-to-text" and special.sentinels:
        return "<mask>"
    fills = loaded.head in ("masked", "pretraining") and special.mask is not None
    return loaded.tokenizer.token_text(special.mask) if fills and special.mask is not None else None


def _routes(loaded: LoadedModel, task: str | None) -> tuple[str, ...]:
    """Which routes a model answers."""
    found = [] if task is None else [PREDICT]
    if task in ROUTE_OF_TASK and task is not None:
        found.insert(0, ROUTE_OF_TASK[task])
    if loaded.head in ("causal", "text-to-text"):
        found.append(COMPLETIONS)
        if loaded.head == "causal" and chat_template(loaded.tokenizer.config, False) is not None:
            found.append(CHAT)
    if _mask(loaded) is not None:
        found.append(FILL_MASK)
    return (*found, EMBEDDINGS, RERANK, TOKENIZE)


def wrong_task(description: Description, route: str) -> RequestError:
    """A model was asked at a route that it does not answer."""
    return RequestError(
        400,
        "wrong_task",
        f"{description.name!r} is {description.in_words}, which {route} does not serve; ask "
        f"{description.routes[0]}",
        "model",
    )
