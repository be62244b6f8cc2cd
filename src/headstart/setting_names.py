"""The names of settings: their own, and those that other tools have for the same thing.

A recipe class says in `USUAL_NAMES` what its settings are called elsewhere, with the same meaning and unit:

    USUAL_NAMES = {"clip": "max_grad_norm grad_clip"}

Such a name stands for the setting itself. Names whose meaning or unit differs are answered with a sentence,
in which `{}` is the group of the class in the whole recipe (`optimiser.`):

    ANSWERS = {"warmup_steps warmup_iters": "give {}warmup_share = warmup_steps / steps"}

A setting of a group may be named without the group where no other setting has that name: `n_layer=4` is
`model.layers=4`.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from headstart.folder import JSONObject

Location = tuple[str | int, ...]
NEAR = 0.65
"""Similarity from which on a word is taken for a misspelt name: `seq_len` is not `seed` (0.55)."""

FAMILIAR = """
    batch_size micro_batch_size total_batch_size global_batch_size per_device_train_batch_size
    gradient_accumulation_steps seq_len max_seq_len max_seq_length max_length block_size context_length
    hidden_size d_model n_embd n_layer n_layers num_layers num_hidden_layers n_head n_heads num_heads
    num_attention_heads lr learning_rate peak_lr max_lr min_lr min_lr_ratio max_grad_norm grad_clip
    warmup_steps warmup_iters warmup_ratio weight_decay ema init_from num_train_epochs num_epochs epochs
    max_steps max_iters save_steps eval_steps logging_steps log_interval eval_interval mlm_probability
    dropout vocab_size dtype bf16 fp16 precision device seed lora_r lora_alpha lora_dropout temperature
    top_k top_p max_tokens max_new_tokens num_beams num_fewshot limit output_dir out_dir optimizer
"""
"""Words of the field. Where a recipe has nothing of the kind, the setting that is spelt most like one of them
is not what is meant: `dtype` and `seed` are no misspelt `kind` and `cased`."""


class WrongKey(Exception):
    """A key that names no setting, or one that is given already.

    The message says so of a key that it calls `{}`, as in `unknown key {}; did you mean 'rows'?`.
    """

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location = location

    def of(self, name: str) -> str:
        """The message with the key's name."""
        return str(self).replace("{}", repr(name), 1)


@dataclass(frozen=True)
class Setting:
    """A setting of a recipe, or a group of settings."""

    path: tuple[str, ...]
    type: Any
    usual: tuple[str, ...]
    """Its names elsewhere."""

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name without the group, and those that mean the same."""
        return (self.path[-1], *self.usual)


def kinds_of(recipe: type[Any]) -> tuple[type[Any], ...]:
    """The classes that hold a group's settings: where the group has several kinds, those of all kinds."""
    chosen = issubclass(recipe, BaseModel) and "kind" in recipe.model_fields
    return (recipe, *recipe.__subclasses__()) if chosen else (recipe,)


@cache
def types_of(recipe: type) -> Mapping[str, Any]:
    """The types of the settings of a recipe class, or of a dataclass of settings."""
    if issubclass(recipe, BaseModel):
        found: JSONObject = {}
        for kind in reversed(kinds_of(recipe)):  # what the group itself says goes last and counts
            found |= {name: field.annotation for name, field in kind.model_fields.items()}
        return found
    hints = get_type_hints(recipe)
    return {field.name: hints[field.name] for field in fields(recipe)}  # type: ignore[arg-type]


@cache
def settings_of(recipe: type) -> tuple[Setting, ...]:
    """All settings of a recipe; those of a group come after the group."""
    found: list[Setting] = []
    usual: Mapping[str, str] = getattr(recipe, "USUAL_NAMES", {})
    for name, annotation in types_of(recipe).items():
        found.append(Setting((name,), annotation, tuple(usual.get(name, "").split())))
        group = group_in(annotation)
        for inner in settings_of(group) if group else ():
            found.append(Setting((name, *inner.path), inner.type, inner.usual))
    return tuple(found)


@cache
def answers_of(recipe: type, at: str = "") -> dict[str, str]:
    """What to say of names that stand for no setting, those of the recipe's groups included."""
    said: dict[str, str] = {}
    for name, annotation in types_of(recipe).items():
        if group := group_in(annotation):
            said |= answers_of(group, f"{at}{name}.")
    own: Mapping[str, str] = getattr(recipe, "ANSWERS", {})
    return said | {word: text.replace("{}", at) for words, text in own.items() for word in words.split()}


def group_in(annotation: Any) -> type | None:
    """The recipe class of a group of settings: `Sub` or `Sub | None`."""
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return annotation
    if get_origin(annotation) in (list, dict):
        return None
    return next((found for part in get_args(annotation) if (found := group_in(part))), None)


def entry_type(annotation: Any) -> Any:
    """The type of the entries of a list or a mapping; `Any` for what has none."""
    if get_origin(annotation) in (list, dict):
        return get_args(annotation)[-1]
    kinds = [entry_type(part) for part in get_args(annotation)]
    return next((kind for kind in kinds if kind is not Any), Any)


def find_setting(recipe: type, key: Location) -> tuple[Location, Any]:
    """The location and the type of the setting that a key names by its own or a usual name.

    Raises:
        WrongKey: it names none, or more than one.
    """
    location: Location = ()
    annotation: Any = recipe
    for index, part in enumerate(key):
        group = group_in(annotation)
        if group is None:  # an entry of a list or a mapping, or a key inside a value
            location, annotation = (*location, part), entry_type(annotation)
            continue
        settings = settings_of(group)
        found = [one for one in settings if len(one.path) == 1 and part in one.names]
        found = found or [one for one in settings if part in one.names]
        if len(found) == 1:
            location, annotation = (*location, *found[0].path), found[0].type
        elif getattr(group, "model_config", {}).get("extra") == "ignore":
            return (*location, *key[index:]), Any
        else:
            raise WrongKey(key, f"unknown key {{}}{answer(recipe, location, key[index:])}")
    return location, annotation


def own_names(
    recipe: type, value: Any, annotation: Any = None, at: Location = ()
) -> tuple[Any, dict[Location, Location]]:
    """The values of a recipe under the settings' own names, each in its group.

    Args:
        annotation, at: type and location of a single setting, where the value is that setting's.

    Returns:
        The values, and for the location of each key in `value` the one where it is now.

    Raises:
        WrongKey: a key that names no setting, or two keys that name the same one.
    """
    moved: dict[Location, Location] = {}
    return _named(recipe, annotation or recipe, value, at, at, moved), moved


def _named(
    recipe: type,
    annotation: Any,
    value: Any,
    at: Location,
    given_at: Location,
    moved: dict[Location, Location],
) -> Any:
    """What is given at `given_at` for the setting at `at`, with the own names of the settings in it."""
    entries = entry_type(annotation)
    if group_in(entries) is not None and isinstance(value, list | dict):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        inside = {
            key: _named(recipe, entries, one, (*at, key), (*given_at, key), moved) for key, one in pairs
        }
        return inside if isinstance(value, dict) else list(inside.values())
    if group_in(annotation) is None or not isinstance(value, dict):
        return value
    named: dict[Any, Any] = {}
    for key, one in value.items():
        where = (*given_at, key)
        try:
            try:
                location, kind = find_setting(recipe, (*at, key))
            except WrongKey:
                find_setting(recipe, (*at, key, *_first_keys(one)))  # its answer says more
                raise
            moved[where] = location
            put(named, location[len(at) :], _named(recipe, kind, one, location, where, moved))
        except WrongKey as wrong:
            deeper = wrong.location[: len(where)] == where
            raise WrongKey(wrong.location if deeper else where, str(wrong)) from None
    return named


def put(values: dict[Any, Any], location: Location, value: Any) -> None:
    """Set what is at `location` in nested mappings; a group that is there already gets what is new.

    Raises:
        WrongKey: something is there.
    """
    *groups, last = location
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise WrongKey(
                location, f"{{}} belongs to {group!r}, which holds a value and not a group of keys"
            )
    if isinstance(value, dict) and isinstance(values.get(last), dict):
        for name, one in value.items():
            put(values[last], (name,), one)
    elif last in values:
        raise WrongKey(
            location, f"{{}} is the setting {last!r}, which is given already; leave one of them out"
        )
    else:
        values[last] = value


def _first_keys(value: Any) -> Iterator[Any]:
    """The keys on the way to the first value in nested mappings."""
    while isinstance(value, dict) and value:
        key = next(iter(value))
        yield key
        value = value[key]


def answer(recipe: type, at: Location, key: Location) -> str:
    """What to say of a `key` that names no setting of the group at `at`, as in `; did you mean 'rows'?`."""
    group, word = group_at(recipe, at), str(key[-1])
    answers = answers_of(recipe) | (answers_of(group, _dotted(at) + "." * bool(at)) if group else {})
    for name in (_dotted((*at, *key)), word):
        if name in answers:
            return f"; {answers[name]}"
    settings = settings_of(recipe)
    if meant := [one.name for one in settings if word in one.names]:
        return f"; did you mean {' or '.join(map(repr, meant))}?"
    if group and word in FAMILIAR.split():
        return f"; there is nothing of the kind here; known: {', '.join(sorted(types_of(group)))}"
    inside = [one for one in (settings_of(group) if group else ()) if len(one.path) == 1]
    here = {name: f"did you mean {one.path[-1]!r}?" for one in inside for name in one.names}
    everywhere = {name: f"did you mean {one.name!r}?" for one in settings for name in one.names} | answers
    for known in (here, everywhere):
        for near in difflib.get_close_matches(word, known, n=1, cutoff=NEAR):
            return f"; {known[near]}"
    return f"; known: {', '.join(sorted(types_of(group)))}" if group else ""


def _dotted(location: Location) -> str:
    return ".".join(map(str, location))


def group_at(recipe: type, at: Location) -> type | None:
    """The recipe class of the group of settings at `at`."""
    annotation: Any = recipe
    for part in at:
        group = group_in(annotation)
        annotation = types_of(group).get(str(part)) if group else entry_type(annotation)
    return group_in(annotation)
