"""What can be chosen about generated text, and what the model itself decides."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.registry import family_named
from headstart.setting_names import WrongKey, own_names

# What each number may be: whole or not, from where, to where.
_RANGES: dict[str, tuple[type, float, float]] = {
    "max_new_tokens": (int, 1, math.inf),
    "min_new_tokens": (int, 0, math.inf),
    "temperature": (float, 0, math.inf),
    "top_k": (int, 0, math.inf),
    "top_p": (float, 1e-9, 1),
    "min_p": (float, 0, 1),
    "repetition_penalty": (float, 1e-9, math.inf),
    "frequency_penalty": (float, -math.inf, math.inf),
    "presence_penalty": (float, -math.inf, math.inf),
    "no_repeat_ngram": (int, 0, math.inf),
    "seed": (int, -math.inf, math.inf),
    "beams": (int, 1, math.inf),
    "length_penalty": (float, -math.inf, math.inf),
}


@dataclass(frozen=True)
class GenerationConfig:
    """How a text is drawn. `of` takes what is not given from the model's folder.

    A value out of its range, or values that contradict each other, are a `HeadstartError`.
    """

    max_new_tokens: int = 60
    """Largest number of generated tokens."""
    min_new_tokens: int = 0
    """Smallest number of generated tokens."""
    temperature: float = 0.8
    """Divides the logits; 0 always takes the most likely token."""
    top_k: int = 50
    """Sample from this many most likely tokens; 0: from all."""
    top_p: float = 1.0
    """Sample from the most likely tokens that together have this probability (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Sample from tokens with at least this share of the most likely token's probability (Nguyen et al.
    2024)."""
    repetition_penalty: float = 1.0
    """Above 1: tokens of the prompt and of the generated text become less likely (Keskar et al. 2019, section
    4.1)."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit for every time that it was generated, as in OpenAI's API."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of every token that was generated."""
    no_repeat_ngram: int = 0
    """No run of this many tokens occurs twice; 0: no limit."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these strings. Beam search only cuts its answer there."""
    stop_tokens: tuple[int, ...] = ()
    """Ids that end the text, in addition to the model's."""
    seed: int = 0
    """Random seed: the same seed gives the same text, whatever else is in the batch."""
    beams: int = 1
    """More than 1: beam search, for the most likely whole text instead of the most likely next token."""
    length_penalty: float = 1.0
    """Beam search divides log-probabilities by the length to this power; above 0 favours long texts."""
    early_stopping: bool | Literal["never"] = False
    """Beam search ends when there are as many texts as beams (True), when a better text is not expected
    (False), or when a better text is impossible ("never")."""
    logprobs: bool = False
    """Also return the log-probability of every token, before temperature and penalties."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "max_new_tokens": "max_tokens",
        "min_new_tokens": "min_tokens",
        "no_repeat_ngram": "no_repeat_ngram_size",
        "stop": "stop_strings stop_sequences",
        "stop_tokens": "stop_token_ids",
        "seed": "random_seed",
        "beams": "num_beams beam_width beam_size",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "max_length": "give max_new_tokens, which leaves the prompt out: max_length - tokens of the prompt",
        "min_length": "give min_new_tokens, which leaves the prompt out: min_length - tokens of the prompt",
        "do_sample": "give temperature: 0 instead of false, above 0 instead of true",
        "best_of": "give beams, which searches for the likeliest text",
        "n num_samples num_return_sequences": "a prompt gets one text; ask again with another seed",
        "eos_token_id": "give stop_tokens, a list of ids beside the model's own",
        "ignore_eos": "give min_new_tokens, before which no text ends",
        "typical_p top_a tfs eta_cutoff epsilon_cutoff": "give top_p or min_p",
        "skip_special_tokens": "special tokens are left out of the text; leave it out",
        "start prompt": "the prompt is the argument after the model",
        "dtype torch_dtype": "give it with --precision",
        "batch_size": "give it with --batch",
    }

    def __post_init__(self) -> None:
        for name, (kind, low, high) in _RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, int | kind) and not isinstance(value, bool)
            if not number or not low <= value <= high or value in (math.inf, -math.inf):
                raise HeadstartError(
                    f"{name}={value!r} is not possible; it has to be {_range(kind, low, high)}"
                )
        object.__setattr__(self, "stop", _tuple("stop", self.stop, str))
        object.__setattr__(self, "stop_tokens", _tuple("stop_tokens", self.stop_tokens, int))
        if "" in self.stop:
            raise HeadstartError("an empty stop string would stop every text at once; leave it out")
        if self.early_stopping not in (True, False, "never"):
            raise HeadstartError(f'early_stopping={self.early_stopping!r} is not one of True, False, "never"')
        if self.beams > 1 and self.temperature > 0:
            raise HeadstartError(
                f"beam search draws nothing, so temperature={self.temperature:g} means nothing to it; "
                "set temperature=0, or beams=1"
            )
        if self.min_new_tokens > self.max_new_tokens:
            raise HeadstartError(
                f"min_new_tokens={self.min_new_tokens} is more than max_new_tokens={self.max_new_tokens}"
            )

    @classmethod
    def of(cls, loaded: LoadedModel, **given: Any) -> Self:
        """What is given; else what `generation_config.json` says; else the defaults above.

        Of the folder, temperature, `top_k`, `top_p` and `min_p` count where it says `do_sample`. Without
        that an encoder-decoder takes the likeliest, for its texts answer a source; a decoder draws.

        Raises:
            HeadstartError: an unknown setting, or a value that is not possible.
        """
        try:
            given, _ = own_names(cls, given)
        except WrongKey as wrong:
            name = ".".join(map(str, wrong.location))
            raise HeadstartError(f"generation settings: {wrong.of(name)}") from None
        settings = _from_folder(loaded)
        if given.get("temperature"):
            settings.pop("beams", None)
        if given.get("beams", 1) != 1:
            settings["temperature"] = 0.0
        if "max_new_tokens" in given and "min_new_tokens" in settings:
            settings["min_new_tokens"] = min(settings["min_new_tokens"], given["max_new_tokens"])
        return cls(**settings | given)


def _from_folder(loaded: LoadedModel) -> JSONObject:
    """The settings in `generation_config.json`, under our names."""
    said = {key: value for key, value in loaded.generation.items() if value is not None}
    answers = loaded.model.config.architecture == "encoder-decoder"
    names = {
        "max_new_tokens": "max_new_tokens",
        "min_new_tokens": "min_new_tokens",
        "repetition_penalty": "repetition_penalty",
        "no_repeat_ngram_size": "no_repeat_ngram",
        "num_beams": "beams",
        "length_penalty": "length_penalty",
        "early_stopping": "early_stopping",
    }
    settings = {ours: said[theirs] for theirs, ours in names.items() if theirs in said}
    if said.get("stop_strings"):
        settings["stop"] = said["stop_strings"]
    if answers:  # its lengths count the token before the first
        if "max_length" in said:
            settings.setdefault("max_new_tokens", said["max_length"] - 1)
        if "min_length" in said:
            settings.setdefault("min_new_tokens", max(0, said["min_length"] - 1))
    if said.get("do_sample"):
        settings |= {
            "temperature": said.get("temperature", 1.0),
            "top_k": said.get("top_k", 50),
            "top_p": said.get("top_p", 1.0),
            "min_p": said.get("min_p", 0.0),
            "beams": 1,
        }
    elif answers or settings.get("beams", 1) > 1:
        settings["temperature"] = 0.0
    return settings


def _range(kind: type, low: float, high: float) -> str:
    what = "a whole number" if kind is int else "a number"
    if math.isinf(low):
        return what
    if low == 1e-9:
        return f"{what} above 0" + ("" if math.isinf(high) else f" and at most {high:g}")
    return f"{what} of at least {low:g}" if math.isinf(high) else f"{what} from {low:g} to {high:g}"


def _tuple(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """One value or several, as a tuple."""
    values = (
        (value,) if isinstance(value, kind) else tuple(value) if isinstance(value, Iterable) else (value,)
    )
    for one in values:
        if not isinstance(one, kind):
            raise HeadstartError(f"{name} holds {one!r}, which is no {'text' if kind is str else 'token id'}")
    return values


@dataclass(frozen=True)
class ModelIds:
    """The ids with which a model's texts begin and end."""

    stop: frozenset[int]
    """Each of them ends a text."""
    never: tuple[int, ...]
    """Ids that are never written."""
    decoder_start: int | None
    """What an encoder-decoder reads before it writes its first token."""
    first: int | None
    """What an encoder-decoder has to write first (BART)."""
    last: int | None
    """What it has to write where its text may not become longer."""
    not_first: tuple[int, ...] = ()
    """Ids that a text does not begin with."""
    biases: tuple[tuple[tuple[int, ...], float], ...] = ()
    """Runs of ids, and what is added to the logit of their last one behind the others: -inf forbids a run."""

    @classmethod
    def of(cls, loaded: LoadedModel, stop_tokens: tuple[int, ...] = ()) -> Self:
        """From `generation_config.json`; what that does not say, from the tokenizer.

        Where it has no `suppress_tokens`, padding and mask are never written, nor by a decoder the token
        that opens a text, unless they end it: they are no text. Nor are ids without a token.
        """
        said, special = loaded.generation, loaded.tokenizer.special
        config = loaded.model.config
        stop = said.get("eos_token_id", special.end)
        stop = {stop} if isinstance(stop, int) else set(stop or ())
        stop = {index for index in stop if 0 <= index < config.vocab_size}
        answers = config.architecture == "encoder-decoder"
        never: Iterable[int | None] | None = said.get("suppress_tokens")
        if never is None:
            roles = {special.pad, special.mask, None if answers else special.start}
            never = roles & special.all - stop
        begin = said.get("decoder_start_token_id")
        if answers and begin is None:
            begin = decoder_start(family_named(config.family), loaded.tokenizer)
        return cls(
            stop=frozenset(stop | set(stop_tokens)),
            never=tuple(
                sorted(id for id in never if id is not None)
                + list(range(loaded.tokenizer.vocab_size, config.vocab_size))
            ),
            decoder_start=begin,
            first=said.get("forced_bos_token_id") if answers else None,
            last=said.get("forced_eos_token_id") if answers else None,
            not_first=tuple(said.get("begin_suppress_tokens") or ()),
            biases=_biases(said, stop, config.vocab_size),
        )


def _biases(said: JSONObject, stop: set[int], size: int) -> tuple[tuple[tuple[int, ...], float], ...]:
    """`bad_words_ids` and `sequence_bias`, as transformers writes them down."""
    try:
        found = [(tuple(ids), -math.inf) for ids in said.get("bad_words_ids") or []]
        found = [(ids, bias) for ids, bias in found if ids not in {(end,) for end in stop}]
        found += [(tuple(ids), float(bias)) for ids, bias in said.get("sequence_bias") or []]
        if all(ids and all(0 <= index < size for index in ids) for ids, _ in found):
            return tuple(found)
    except (TypeError, ValueError):
        pass
    raise HeadstartError(
        "generation_config.json has a bad_words_ids or sequence_bias that is no list of the model's tokens; "
        "correct it there"
    )
