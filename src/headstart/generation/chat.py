"""Conversations as tokens: a chat template, as transformers' `apply_chat_template` fills it.

The template is Jinja, in `tokenizer_config.json` or `chat_template.jinja`, and the one place that says how
turns are marked; training, generation and other tools all read it there. It is filled in a process of its own
(`template_process`). Special tokens that somebody typed into a message are text: only the template opens and
closes turns.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.generation.template_process import TemplateProcess
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.published import chat_template
from headstart.tokenizer.special import BLANKS

TEMPLATE = (
    "{% if bos_token is defined and bos_token and bos_token != eos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{{ message['role'] + '\\n' + message['content'] | trim + eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"
)
"""A role, a line break, the text and the token that ends a text: special tokens that every decoder has stand
around the turns, so that no vocabulary has to grow."""
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "mask_token", "sep_token", "cls_token")
_REASONING = ("reasoning_content", "thinking", "reasoning")
_MARKS = [chr(point) for point in range(0xFDD0, 0xFDF0)]
"""Unicode's noncharacters, which no text should hold: one of them is put into a typed special token."""
_process = TemplateProcess()


def chat_ids(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> list[int]:
    """The tokens of a conversation, each message a mapping of `role` and `content`.

    Args:
        add_generation_prompt: also what opens the assistant's next turn.
        tools: JSON schemas of functions that the model may call.
        variables: whatever else the template reads, such as `enable_thinking`.

    Raises:
        HeadstartError: the tokenizer has no chat template, or the template refuses the messages.
    """
    filled = fill(tokenizer, messages, add_generation_prompt, tools, **variables)
    return filled_ids(tokenizer, filled)[0]


class Filled(NamedTuple):
    """A conversation as its template writes it."""

    text: str
    mark: str
    """Stands in special tokens that were typed, so that they are text."""
    written: list[tuple[int, int]]
    """The characters that the template marks as the assistant's, by `{% generation %}`."""


def fill(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> Filled:
    """The text of a conversation in which the template's special tokens can be told from typed ones; see
    `chat_ids`."""
    given = {"messages": list(messages), "tools": tools, **variables}
    held = set(_strings(given))
    free = [one for one in _MARKS if not any(one in text for text in held)]
    if len(free) < 3:
        raise HeadstartError("the messages hold every noncharacter of Unicode; that is no text")
    mark, opened, closed = free[:3]
    marked = _marked(given, _special_numbers(tokenizer), mark)
    text = _fill(tokenizer, marked, add_generation_prompt, (opened, closed))
    written, begin, length = [], 0, 0
    parts = re.split(f"([{opened}{closed}])", text)
    for part in parts:
        if part == opened:
            begin = length
        elif part == closed:
            written.append((begin, length))
        else:
            length += len(part)
    return Filled("".join(part for part in parts if part not in (opened, closed)), mark, written)


def filled_ids(tokenizer: Tokenizer, filled: Filled) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of a filled template, and the characters of its text that each stands for."""
    numbers = _special_numbers(tokenizer)
    ids: list[int] = []
    spans: list[tuple[int, int]] = []
    parts = _any_of(numbers).split(filled.text)  # text, token, text, ..., text
    begin = 0
    for place, part in enumerate(parts):
        if place % 2:
            ids.append(numbers[part])
            spans.append((begin, begin + len(part)))
            begin += len(part)
            continue
        places = range(len(part))
        if place and numbers[parts[place - 1]] in tokenizer.special.strips_behind:
            places = range(len(part) - len(part.lstrip(BLANKS)), len(part))
        if place + 1 < len(parts) and numbers[parts[place + 1]] in tokenizer.special.strips_before:
            places = range(places.start, max(places.start, len(part.rstrip(BLANKS))))
        kept = [at for at in places if part[at] != filled.mark]
        if kept:
            own, its = tokenizer.encode_spans("".join(part[at] for at in kept), behind=place > 0)
            ids += own
            spans += [
                (begin + kept[min(start, len(kept) - 1)], begin + (kept[end - 1] + 1 if end else 0))
                for start, end in its.tolist()
            ]
        begin += len(part)
    return ids, spans


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> str:
    """The text of a conversation, with its special tokens written out. `chat_ids` reads more than this text:
    which special tokens are the template's, and which were typed."""
    return _fill(tokenizer, {"messages": list(messages), "tools": tools, **variables}, add_generation_prompt)


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """What a template calls the special tokens: as `tokenizer_config.json` says, else by their roles."""
    special, config = tokenizer.special, tokenizer.config
    by_role = {"bos_token": special.start, "eos_token": special.end, "pad_token": special.pad}
    found = {name: tokenizer.tokens[index] for name, index in by_role.items() if index is not None}
    for name in ROLES:
        said = config.get(name)
        if said:
            found[name] = said["content"] if isinstance(said, dict) else said
    return found


def _special_numbers(tokenizer: Tokenizer) -> dict[str, int]:
    return {tokenizer.tokens[index]: index for index in tokenizer.special.all}


def _fill(
    tokenizer: Tokenizer,
    given: JSONObject,
    add_generation_prompt: bool,
    around: tuple[str, str] = ("", ""),
) -> str:
    """The filled template; `around` are put around what it marks as the assistant's."""
    if not given["messages"]:
        raise HeadstartError("a conversation without a message leaves nothing to answer; give it one")
    given["messages"] = [_without_nothing(message) for message in given["messages"]]
    variables = {**special_tokens(tokenizer), "documents": None, **given}
    variables["add_generation_prompt"] = add_generation_prompt
    try:
        return _process.fill(_template(tokenizer, given["tools"] is not None), variables, around)
    except ValueError as error:
        raise HeadstartError(
            f"the chat template of {tokenizer.path.parent} refuses the conversation: {error}"
        ) from None


def _template(tokenizer: Tokenizer, with_tools: bool) -> str:
    said = chat_template(tokenizer.config, with_tools)
    if said is None:
        raise HeadstartError(
            f"{tokenizer.path.parent} has no chat template; fine-tune the model for conversations "
            "(--task chat), or write chat_template into its tokenizer_config.json"
        )
    return said


def _without_nothing(message: Mapping[str, Any]) -> JSONObject:
    """A message without keys that say None, and its reasoning under the names that templates read."""
    said = {key: value for key, value in message.items() if value is not None}
    reasoning = next((said[key] for key in _REASONING if key in said), None)
    return said if reasoning is None else {"thinking": reasoning, **said, "reasoning_content": reasoning}


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted((token for token in tokens if token), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")" if longest_first else r"((?!))")


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)


def _marked(value: Any, tokens: Iterable[str], mark: str) -> Any:
    """The same with `mark` behind the first character of every special token that its strings hold, and
    behind the beginning of one with which a string ends: the next string may hold the rest."""
    pattern = _any_of(tokens)
    begun = tuple({token[:end] for token in tokens for end in range(1, len(token))})

    def one(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            marked = pattern.sub(lambda found: found[0][0] + mark + found[0][1:], value)
            body = marked.rstrip()  # as templates do
            # Templates compare a role with their own words.
            return body + mark + marked[len(body) :] if key != "role" and body.endswith(begun) else marked
        if isinstance(value, Mapping):
            return {key: one(part, key) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [one(part) for part in value]
        return value

    return one(value)
