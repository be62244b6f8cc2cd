"""Conversations as tokens: a chat template, as transformers' `apply_chat_template` fills it.

The template is Jinja, in `tokenizer_config.json` or `chat_template.jinja`, and the one place that says how
turns are marked; training, generation and other tools all read it there.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from headstart.errors import HeadstartError
from headstart.tokenizer.base import Tokenizer

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


def chat_ids(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = False
) -> list[int]:
    """The tokens of a conversation, each a mapping of `role` and `content`.

    Args:
        add_generation_prompt: also what opens the assistant's next turn.

    Raises:
        HeadstartError: the tokenizer has no chat template, or the template refuses the messages.
    """
    text = render(tokenizer, messages, add_generation_prompt)
    ids: list[int] = []
    for part in _special_pattern(tokenizer).split(text):
        number = _special_numbers(tokenizer).get(part)
        ids += [number] if number is not None else tokenizer.encode(part) if part else []
    return ids


def render(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = False
) -> str:
    """The text of a conversation, with its special tokens written out."""
    from jinja2 import TemplateError

    template = tokenizer.config.get("chat_template")
    if isinstance(template, list):  # several by name
        template = next((one["template"] for one in template if one.get("name") == "default"), None)
    if not isinstance(template, str):
        raise HeadstartError(
            f"{tokenizer.path.parent} has no chat template; fine-tune the model for conversations "
            "(--task chat), or write chat_template into its tokenizer_config.json"
        )
    try:
        return _compiled(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=add_generation_prompt,
            **special_tokens(tokenizer),
        )
    except TemplateError as error:
        raise HeadstartError(
            f"the chat template of {tokenizer.path.parent} refuses the conversation: {error}"
        ) from None


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


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    """In Jinja's sandbox, with what transformers lends to templates."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _special_numbers(tokenizer: Tokenizer) -> dict[str, int]:
    return {tokenizer.tokens[index]: index for index in tokenizer.special.all}


def _special_pattern(tokenizer: Tokenizer) -> re.Pattern[str]:
    longest_first = sorted(_special_numbers(tokenizer), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
