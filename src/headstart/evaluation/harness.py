"""lm-evaluation-harness on headstart's models (the extra `eval`).

    from lm_eval import simple_evaluate
    from headstart.evaluation.harness import HarnessModel
    simple_evaluate(HarnessModel("runs/decoder"), tasks=["arc_easy"])

The harness makes the requests and counts the answers; here they are computed. For the same weights the
figures are those of its `hf` backend: the same tokens, the same windows, the same cuts. One thing differs: an
encoder-decoder's answer ends at `max_gen_toks`, while there it may be longer by the longest source of its
batch. Chat templates are not offered, for headstart's tokenizers never read special tokens out of text.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.evaluation.likelihood import Asked, Likelihood, likelihoods, must_foresee
from headstart.evaluation.report import Evaluation
from headstart.folder import JSONObject
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.interchange.model_folder import LoadedModel
from headstart.training.restore import load_any

try:
    from lm_eval import simple_evaluate
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError:
    raise HeadstartError(
        "lm-evaluation-harness is not installed; run `pip install 'headstart[eval]'`"
    ) from None

CHUNK = 256  # requests held as tokens at once
GENERATED = 256  # tokens, where a task does not say; as in the hf backend
BATCH = 16  # prompts continued together


class HarnessModel(TemplateLM):
    """A decoder or encoder-decoder as the harness wants it."""

    def __init__(self, model: LoadedModel | str | Path) -> None:
        super().__init__()
        loaded = model if isinstance(model, LoadedModel) else load_any(Path(model))
        must_foresee(loaded)
        # The harness' hf backend suppresses no token unless the folder says so.
        self.loaded = replace(loaded, generation={"suppress_tokens": []} | loaded.generation)
        self.own = loaded.tokenizer
        self.backend = "seq2seq" if loaded.model.config.architecture == "encoder-decoder" else "causal"
        self.max_length = loaded.model.config.context

    @property
    def eot_token_id(self) -> int:
        if self.own.special.end is None:
            raise HeadstartError(f"{self.own.path} has no token that ends a text, which the harness needs")
        return self.own.special.end

    @property
    def prefix_token_id(self) -> int:
        start = self.own.special.start
        return self.eot_token_id if start is None else start

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        ids = self.own.encode(string)
        return ids if add_special_tokens is False else self.own.with_special(ids)[0]

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        answers: list[tuple[float, bool]] = []
        for first in range(0, len(requests), CHUNK):
            chunk = requests[first : first + CHUNK]
            found = self._likelihoods([Asked(context, target) for _, context, target in chunk])
            for (text, _, _), likelihood in zip(chunk, found, strict=True):
                answers.append((likelihood.logprob, likelihood.greedy))
                if text is not None:
                    self.cache_hook.add_partial("loglikelihood", text, answers[-1])
        return answers

    def _likelihoods(self, asked: list[Asked]) -> list[Likelihood]:
        if self.backend == "seq2seq":  # each side is cut to the model's length, as the hf backend does
            asked = [Asked(c[-self.max_length :], t[-self.max_length :]) for c, t in asked]
        return likelihoods(self.loaded, asked)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        totals = []
        for request in requests:
            (text,) = request.args
            windows = get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1
            )
            asked = [Asked(*make_disjoint_window(window)) for window in windows]
            totals.append(math.fsum(one.logprob for one in self._likelihoods(asked)))
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), totals[-1])
        return totals

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        answers = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(place)
        for places in groups.values():
            places.sort(key=lambda place: -len(requests[place].args[0]))
            for first in range(0, len(places), BATCH):
                chosen = places[first : first + BATCH]
                texts = [requests[place].args[0] for place in chosen]
                for place, answer in zip(
                    chosen, self._continue(texts, requests[chosen[0]].args[1]), strict=True
                ):
                    answers[place] = answer
                    self.cache_hook.add_partial("generate_until", requests[place].args, answer)
        return answers

    def _continue(self, texts: list[str], asked: JSONObject) -> list[str]:
        """What the model writes behind each text, up to the first stop string."""
        settings = normalize_gen_kwargs(asked, GENERATED)
        stop = handle_stop_sequences(settings.pop("until", None), self.own.token_text(self.eot_token_id))
        length = settings.pop("max_gen_toks")
        sampled = settings.pop("do_sample", False)
        temperature = settings.pop("temperature", 0.0)
        room = self.max_length if self.backend == "seq2seq" else self.max_length - length
        if room < 1:
            raise HeadstartError(
                f"this model reads {self.max_length} tokens, and the task wants {length} of them for its "
                "answer; lower max_gen_toks"
            )
        config = GenerationConfig.of(
            self.loaded,
            max_new_tokens=length,
            temperature=(temperature or 1.0) if sampled else 0.0,
            stop=tuple(one for one in stop if one),
            **settings,
        )
        prompts = [self.tok_encode(text)[-room:] for text in texts]
        answers = [self.own.decode(one.ids) for one in generate(self.loaded, prompts, config)]
        for term in filter(None, stop):
            answers = [answer.split(term)[0] for answer in answers]
        return answers


def evaluate_harness(
    loaded: LoadedModel,
    task: str,
    shots: int | None = None,
    limit: int | None = None,
) -> Evaluation:
    """Run one task of the harness, by its name, or by the path of its YAML file."""
    path = Path(task)
    if path.suffix in (".yaml", ".yml"):
        if not path.exists():
            raise HeadstartError(f"there is no file {path}; check the path")
        task, manager = path.stem, TaskManager(include_path=str(path.parent), include_defaults=False)
    else:
        manager = TaskManager()
    if task not in manager.all_tasks:
        raise HeadstartError(
            f"lm-evaluation-harness knows no task {task!r}; give its name, or a YAML file named as its task"
        )
    outcome = simple_evaluate(
        HarnessModel(loaded), tasks=[task], num_fewshot=shots, limit=limit, task_manager=manager,
        bootstrap_iters=1000,
    )  # fmt: skip
    figures = outcome["results"][task]
    count = outcome["n-samples"][task]["effective"]
    result = Evaluation(
        task, "lm-evaluation-harness", "Computed by lm-evaluation-harness; ± 1.96 of its errors."
    )
    for name, value in figures.items():
        metric, _, filtered = name.partition(",")
        error = figures.get(f"{metric}_stderr,{filtered}")
        if metric.endswith("_stderr") or not isinstance(value, int | float) or not filtered:
            continue
        spread = 1.96 * error if isinstance(error, float) else None
        result.scores.append(
            {"system": "model", "metric": metric, "value": float(value), "n": count,
             "low": None if spread is None else value - spread,
             "high": None if spread is None else value + spread}
        )  # fmt: skip
    return result
