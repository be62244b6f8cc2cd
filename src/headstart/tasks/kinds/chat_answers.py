"""Which characters of a rendered conversation its answers are: what the loss is on.

A chat template is a program. It may write an answer otherwise once the talk goes on (Qwen3 and DeepSeek-R1
leave the thoughts of earlier turns out), put an end behind the last turn alone, or mark answers itself by `{%
generation %}`. So an answer is told by comparing what the template makes of the talk before it, with it, and
as a whole.
"""

from collections.abc import Sequence

import orjson

from headstart.errors import HeadstartError
from headstart.generation.chat import Filled, fill, filled_ids
from headstart.tasks.examples import Message
from headstart.tokenizer.base import Tokenizer

TELLING = 40
"""Characters at the end of an answer by which it is found in a rendered text."""
PROBES = ("\u2603 probe", "\u2602 sample")
"""Two answers that begin differently: what a template writes for both alike is not the answer's."""


def plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as a template reads them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def with_opening(tokenizer: Tokenizer) -> str | None:
    """The chat template, that writes the beginning of an answer where a prompt is asked for; None: it does,
    or an answer has no beginning of its own (Llama 2, Mistral).

    Some templates leave `add_generation_prompt` unread. A model that has learned what follows "assistant:"
    would then be asked without it.
    """
    template = tokenizer.config.get("chat_template")
    if not isinstance(template, str):
        return None
    asked = [Message("user", PROBES[0])]
    try:
        bare = fill(tokenizer, plain(asked)).text
        if fill(tokenizer, plain(asked), add_generation_prompt=True).text != bare:
            return None
        first, second = (
            fill(tokenizer, plain([*asked, Message("assistant", probe)])).text for probe in PROBES
        )
    except HeadstartError:  # the template wants more than a question, and is taken as it is
        return None
    opened = first[: _alike(first, second)]
    opening = opened[len(bare) :].rstrip(" ")  # a blank belongs to the first token of the answer
    if not opened.startswith(bare) or not opening.strip():
        return None
    written = orjson.dumps(opening).decode()
    return f"{template}{{% if add_generation_prompt %}}{{{{ {written} }}}}{{% endif %}}"


def ends_answers(tokenizer: Tokenizer) -> bool:
    """Whether the chat template writes a special token behind an answer, by which a model learns to stop;
    also true where that cannot be told."""
    try:
        filled = fill(tokenizer, plain([Message("user", PROBES[1]), Message("assistant", PROBES[0])]))
    except HeadstartError:
        return True
    ids, places = filled_ids(tokenizer, filled)
    end = filled.text.rfind(PROBES[0]) + len(PROBES[0])
    return any(
        index in tokenizer.special.all for index, (start, _) in zip(ids, places, strict=True) if start >= end
    )


def answer_spans(
    tokenizer: Tokenizer, messages: Sequence[Message], turns: Sequence[int]
) -> tuple[Filled, dict[int, tuple[int, int]]]:
    """The rendered conversation, which ends with the last of `turns`, and where the answers of `turns` stand
    in it.

    An answer is what follows the prompt that a model is given for it, up to the turn's end. Earlier turns
    that the template writes otherwise here than where they were answered are left out.

    Raises:
        HeadstartError: it cannot be told where the last answer stands.
    """
    filled = fill(tokenizer, plain(messages))
    if filled.written:
        return filled, _marked_turns(tokenizer, messages, turns, filled.written)
    found = {}
    for turn in turns:
        span = _answer_span(tokenizer, messages, turn, filled.text)
        if span is not None:
            found[turn] = span
    if turns[-1] not in found:
        raise HeadstartError(
            f"the chat template of {tokenizer.path.parent} writes a conversation so that it cannot be told "
            f"which part is "
            "the assistant's answer; mark it in the template with {% generation %} and {% endgeneration %}"
        )
    return filled, found


def _marked_turns(
    tokenizer: Tokenizer, messages: Sequence[Message], turns: Sequence[int], marked: Sequence[tuple[int, int]]
) -> dict[int, tuple[int, int]]:
    """The template's own marks, one for each turn of the assistant."""
    answers = [turn for turn, message in enumerate(messages) if message.role == "assistant"]
    if len(answers) != len(marked):
        raise HeadstartError(
            f"the chat template of {tokenizer.path.parent} marks {len(marked)} parts with "
            f"{{% generation %}} in a "
            f"conversation with {len(answers)} answers; it has to mark each answer once"
        )
    by_turn = dict(zip(answers, marked, strict=True))
    return {turn: by_turn[turn] for turn in turns}


def _answer_span(
    tokenizer: Tokenizer, messages: Sequence[Message], turn: int, text: str
) -> tuple[int, int] | None:
    """Where the answer of a turn stands in a rendered text; None where the text does not hold it as it was
    given."""
    start = _answer_start(tokenizer, messages[:turn], text)
    if start is None:
        return None
    given, mark, _ = fill(tokenizer, plain(messages[: turn + 1]))
    alike = _alike(given, text)
    content = messages[turn].content.strip()
    if alike == len(given):  # the turn's end included; the template may have left thoughts out
        last_word = (content.split() or [""])[-1]
        return (start, alike) if last_word in text[start:alike].replace(mark, "") else None
    telling = content[-TELLING:]
    found = text.rfind(telling, start, alike)
    return None if found < 0 else (start, found + len(telling))


def _answer_start(tokenizer: Tokenizer, before: Sequence[Message], text: str) -> int | None:
    """Where an answer to the messages `before` begins in a text: behind the prompt that a model is given for
    it.

    A template that writes no such prompt, or another one than stands in the text, is asked for two answers:
    they begin where the two texts part.
    """
    if before:
        prompt = fill(tokenizer, plain(before), add_generation_prompt=True).text
        if prompt != fill(tokenizer, plain(before)).text and text.startswith(prompt):
            return len(prompt)
    first, second = (fill(tokenizer, plain([*before, Message("assistant", probe)])).text for probe in PROBES)
    start = _alike(first, second)
    return start if text[:start] == first[:start] else None


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with together."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
