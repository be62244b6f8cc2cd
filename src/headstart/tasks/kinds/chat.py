"""Conversations: the model learns to answer as the assistant does.

Turns are marked by the tokenizer's chat template (`generation.chat`). The loss is on the assistant's turns
alone, with the token that ends each of them, so that the model learns to stop.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.generation.chat import TEMPLATE, chat_ids, filled_ids
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import MAX_TEXT, Conversation, Message, TaskKind, is_missing
from headstart.tasks.kinds.chat_answers import answer_spans, plain, with_opening
from headstart.tasks.kinds.generative import Lesson, Writing
from headstart.tasks.kinds.kind import OPTION_COLUMNS, Columns, Unusable, choose, read_text
from headstart.tasks.kinds.option_answers import FIRST_OPTIONS
from headstart.tokenizer.base import Tokenizer

MESSAGES = "messages conversations conversation dialog turns chosen"
PROMPTS = ("prompt", "instruction")
NO_TALK = f"{OPTION_COLUMNS} {FIRST_OPTIONS} context passage paragraph document support label"
"""Beside one of these a question is asked in another task."""
INPUTS = "input context"
"""What stands beside an instruction (Alpaca, Dolly)."""
WEIGHTS = ("weight", "train", "train_turn", "loss", "learn", "training")
"""What data sets call it that an answer is to be learned from or not."""
RESPONSES = "response completion output answer chosen"
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "developer": "system",
    "prompter": "user",
}
"""What data sets call the speakers, and what they are called here."""
SPEAKERS, CONTENTS = ("role", "from", "speaker"), ("content", "value", "text")
UNREAD = ("reasoning_content", "reasoning", "thinking", "images", "audio", "name")
"""What messages may hold beside their text."""


class Chat(Writing):
    """The assistant's next turn."""

    name: TaskKind = "chat"
    roles = ("messages", "prompt", "input", "system", "history", "accepted", "response")
    answers = ("response",)
    optional = ("input", "system", "history", "accepted")
    wanted = "'messages' (a list of role and content), or 'prompt' and 'response'"

    def columns(self, row: Mapping[str, Any], mapped: Columns, asked: bool) -> dict[str, str] | None:
        """A list of messages, which `prompt` and `response` may share (TRL); or a question and its answer in
        text."""
        beside = {"system": "system system_prompt", "accepted": "label"}
        found: dict[str, str] = {}
        prompt = mapped.get("prompt") or mapped.get("text") or choose(row, " ".join(PROMPTS))
        if prompt is None and choose(row, NO_TALK) is None:
            prompt = choose(row, "question")
        response = mapped.get("response") or mapped.get("label") or choose(row, RESPONSES, prompt)
        shared = prompt is not None and response is not None and isinstance(row[prompt], list)
        messages = mapped.get("messages") or (None if shared else choose(row, MESSAGES))
        if messages is not None and isinstance(row[messages], list):
            found = {"messages": messages}
        elif prompt is None or response is None:
            return None
        else:
            written = isinstance(row[prompt], str) and isinstance(row[response], str)
            if not asked and not written and not (shared and isinstance(row[response], list)):
                return None
            found = {"prompt": prompt}
            beside |= {"input": INPUTS, "history": "history"}
        for role in self.optional:
            column = mapped.get(role) or choose(row, beside.get(role, ""), response)
            if column is None or (role == "accepted" and not isinstance(row[column], bool)):
                continue
            if role != "history" or _is_history(row[column]):
                found[role] = column
        return found if "messages" in found else found | {"response": str(response)}

    def read_input(self, where: str, row: Mapping[str, Any], columns: Columns) -> Conversation:
        """What comes before the last answer."""
        said = _before(where, row, columns)
        if "messages" not in columns:
            return Conversation(said)
        last = _last_answer(said)
        asked = said[-1].role == "user"
        return Conversation(said if asked or last is None else said[:last])

    def read_target(
        self, where: str, row: Mapping[str, Any], columns: Columns, given: Any, remarks: Counter[str]
    ) -> tuple[str, ...]:
        turns = _turns(where, row, columns)
        last = _last_answer(turns)
        if last is None:
            raise Unusable("no answer of the assistant")
        return (read_text(where, turns[last].content, "response").strip(),)

    def read_example(
        self, where: str, row: Mapping[str, Any], columns: Columns, remarks: Counter[str]
    ) -> tuple[Conversation, tuple[str, ...]]:
        """A conversation up to its last answer; what is asked behind that is left out."""
        if row.get(columns.get("accepted", "")) is False:
            raise Unusable("a response that is marked as a bad one")
        target = self.read_target(where, row, columns, None, remarks)
        turns = _turns(where, row, columns)
        last = _last_answer(turns)
        if last != len(turns) - 1:
            remarks[
                "conversations end without an answer to learn from, and were read up to their last one"
            ] += 1
        unlearned = sum(one.role == "assistant" and not one.learned for one in turns)
        if unlearned:
            remarks["answers with weight 0 are read and not learned"] += unlearned
        lists: list[Any] = [row[column] for column in columns.values() if isinstance(row.get(column), list)]
        names = {name for cell in lists for one in cell if isinstance(one, Mapping) for name in one}
        for name in sorted(names.intersection(UNREAD)):
            remarks[f"conversations have {name!r} in their messages, which is not read"] += 1
        if not last:
            raise Unusable("an answer to nothing")
        return Conversation(turns[:last]), target

    def row(self, given: Any, target: Any, columns: Columns) -> JSONObject:
        """A question and its answer in their columns where data have such, else as messages."""
        *before, asked = given.messages
        if "prompt" in columns and [one.role for one in before] in ([], ["system"]):
            rest: JSONObject = {columns[role]: "" for role in ("input", "system") if role in columns}
            rest |= {columns["history"]: []} if "history" in columns else {}
            rest |= {columns.get("system", "system"): one.content for one in before}
            return rest | {columns["prompt"]: asked.content, columns["response"]: target[0]}
        turns = [*given.messages, Message("assistant", target[0])]
        said: list[JSONObject] = [
            {"role": one.role, "content": one.content} | ({} if one.learned else {"weight": 0})
            for one in turns
        ]
        return {columns.get("messages", "messages"): said}

    def as_input(self, value: Any) -> Conversation:
        if isinstance(value, Conversation):
            return value
        if isinstance(value, str):
            return Conversation((Message("user", value),))
        if isinstance(value, Mapping) and choose(value, f"{MESSAGES} {' '.join(PROMPTS)}") is not None:
            columns = self.columns({**value, "no response": ""}, {"response": "no response"}, asked=True)
            assert columns is not None
            return self.read_input("the input", value, columns)
        if isinstance(value, list | tuple):
            return Conversation(_messages("the input", list(value)))
        raise HeadstartError('a conversation is a text, or {"messages": [{"role": ..., "content": ...}]}')

    def prepared(self, loaded: LoadedModel) -> LoadedModel:
        """The same with a tokenizer that marks the turns of conversations, and where an answer begins."""
        template: str | None = TEMPLATE
        if "chat_template" in loaded.tokenizer.config:
            template = with_opening(loaded.tokenizer)
        if template is None:
            return loaded
        tokenizer = copy(loaded.tokenizer)
        tokenizer.config = loaded.tokenizer.config | {"chat_template": template}
        return replace(loaded, tokenizer=tokenizer)

    def prompt(self, tokenizer: Tokenizer, given: Conversation, decoder: bool) -> list[int]:
        if not decoder:
            raise HeadstartError("chat needs a decoder; an encoder-decoder learns text-to-text")
        return chat_ids(tokenizer, plain(given.messages), add_generation_prompt=True)

    def lesson(
        self, tokenizer: Tokenizer, given: Conversation, target: Any, labels: Sequence[str], decoder: bool
    ) -> Lesson:
        """The whole conversation; wanted are the answers that are to be learned."""
        return self.lessons(tokenizer, given, target, labels, decoder)[0]

    def lessons(
        self, tokenizer: Tokenizer, given: Conversation, target: Any, labels: Sequence[str], decoder: bool
    ) -> list[Lesson]:
        """The whole conversation, and shorter ones that end with the answers that its template writes
        otherwise once the talk goes on."""
        if not decoder:
            raise HeadstartError("chat needs a decoder; an encoder-decoder learns text-to-text")
        messages = [*given.messages, Message("assistant", target[0])]
        left = [turn for turn, one in enumerate(messages) if one.role == "assistant" and one.learned]
        found = []
        while left:
            filled, spans = answer_spans(tokenizer, messages[: left[-1] + 1], left)
            ids, places = filled_ids(tokenizer, filled)
            wanted = [
                place
                for place, (start, end) in enumerate(places)
                if any(end > first and start < last and end <= last for first, last in spans.values())
            ]
            found.append(Lesson(None, ids, wanted))
            left = [turn for turn in left if turn not in spans]
        return found


def _before(where: str, row: Mapping[str, Any], columns: Columns) -> tuple[Message, ...]:
    """What was said before a response of its own, or all messages; a system's words first, where they have a
    column."""
    said: list[Message] = []
    if "history" in columns and not is_missing(row.get(columns["history"])):
        if not _is_history(row[columns["history"]]):
            raise HeadstartError(f"{where}: a history is a list of questions, each in a list with its answer")
        for asked, answered in row[columns["history"]]:
            said += [Message("user", str(asked)), Message("assistant", str(answered))]
    cell = row[columns.get("messages", columns.get("prompt", ""))]
    if "messages" in columns or isinstance(cell, list):
        said += _messages(where, cell)
    else:
        prompt = read_text(where, cell, "prompt")
        if "input" in columns and not is_missing(row.get(columns["input"])):
            prompt = f"{prompt}\n\n{row[columns['input']]}"
        said.append(Message("user", prompt))
    if "system" in columns and not is_missing(row.get(columns["system"])) and said[0].role != "system":
        said.insert(0, Message("system", str(row[columns["system"]])))
    return tuple(said)


def _is_history(cell: Any) -> bool:
    """Whether a cell has earlier questions with their answers, as LLaMA-Factory's Alpaca form does."""
    return isinstance(cell, list) and all(isinstance(one, list) and len(one) == 2 for one in cell)


def _turns(where: str, row: Mapping[str, Any], columns: Columns) -> tuple[Message, ...]:
    """All turns of a conversation, with its response."""
    before = _before(where, row, columns)
    if "messages" in columns:
        return before
    cell = row[columns["response"]]
    if not isinstance(cell, list):
        return (*before, Message("assistant", read_text(where, cell, "response")))
    turns = _messages(where, cell)
    asked = before[1:] if before[0].role == "system" != turns[0].role else before
    if turns[: len(asked)] == asked:  # the response has all of the talk, maybe without the system's words
        turns = turns[len(asked) :]
    return before + turns


def _messages(where: str, cell: Any) -> tuple[Message, ...]:
    """The turns of a conversation, `{"role", "content"}` or `{"from", "value"}` each."""
    if not isinstance(cell, list) or not all(isinstance(one, Mapping | Message) for one in cell):
        raise HeadstartError(
            f'{where}: messages are a list of {{"role": "user", "content": ...}}, not {str(cell)[:40]}'
        )
    if not cell:
        raise Unusable("no messages")
    if any(isinstance(one, Mapping) and _calls_tools(one) for one in cell):
        raise Unusable("calls of tools, which are not learned,")
    found = []
    for one in cell:
        said = one._asdict() if isinstance(one, Message) else one
        role = ROLES.get(str(next((said[name] for name in SPEAKERS if name in said), "")).lower())
        content = _text_of(next((said[name] for name in CONTENTS if name in said), None))
        if role is not None and content is None:
            raise Unusable("a message without content")
        if role is None or not isinstance(content, str):
            raise HeadstartError(
                f"{where}: a message has a role (system, user or assistant) and a content in text, not "
                f"{str(dict(said))[:60]}"
            )
        found.append(Message(role, content, _is_learned(where, said)))
    if sum(len(message.content) for message in found) > MAX_TEXT:
        raise Unusable("text over 1 MB")
    return tuple(found)


def _last_answer(messages: Sequence[Message]) -> int | None:
    """Where the assistant says last what is to be learned."""
    places = (i for i, one in enumerate(messages) if one.role == "assistant" and one.learned)
    return max(places, default=None)


def _text_of(content: Any) -> Any:
    """A message's text; OpenAI writes it as a list of parts too."""
    if isinstance(content, list) and all(isinstance(one, Mapping) for one in content):
        if any(one.get("type", "text") != "text" for one in content):
            raise Unusable("a picture or a sound in it")
        return "".join(str(one.get("text", "")) for one in content)
    return content


def _is_learned(where: str, said: Mapping[str, Any]) -> bool:
    """Whether a message is to be learned from: 0 and false say no."""
    weight = next((said[name] for name in WEIGHTS if said.get(name) is not None), 1)
    if weight not in (0, 1):
        raise HeadstartError(
            f"{where}: a message weighs {str(weight)[:20]!r}; answers are learned or not, with a weight of "
            f"1 or 0"
        )
    return bool(weight)


def _calls_tools(said: Mapping[str, Any]) -> bool:
    """Whether a message calls a tool or holds what one has answered."""
    role = str(next((said[name] for name in SPEAKERS if name in said), "")).lower()
    called = any(said.get(name) for name in ("tool_calls", "function_call"))
    return called or role in (
        "tool",
        "function",
        "function_call",
        "observation",
        "tool_call",
        "tool_response",
        "ipython",
    )
