"""The loss of a conversation lies on its answers, whatever the chat template does.

The templates are the kinds that published models have: their marks, their ends of turns, their ways to treat
earlier thoughts.
"""

from copy import copy

import pytest

from headstart.errors import HeadstartError
from headstart.generation.chat import TEMPLATE, chat_ids, fill, filled_ids
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import Conversation, Message
from headstart.tasks.kinds.chat import Chat
from headstart.tasks.kinds.chat_answers import ends_answers, plain

USER, END = "{% for m in messages %}", "{% endfor %}"
THOUGHT = "m.content.split('</think>')[-1] | trim"


def opening(text):
    """What a template writes for the model to go on with."""
    return "{% if add_generation_prompt %}{{ '" + text + "' }}{% endif %}"


def by_role(user, assistant):
    """A template with one expression for a turn of each."""
    return (
        USER + "{% if m.role == 'user' %}{{ " + user + " }}{% else %}{{ " + assistant + " }}{% endif %}" + END
    )


TEMPLATES = {
    "headstart": TEMPLATE,
    "chatml": USER
    + "{{ '<|im|>' + m.role + '\\n' + m.content + '<|end|>\\n' }}"
    + END
    + opening("<|im|>assistant\\n"),
    "llama-2": "{{ bos_token }}"
    + by_role("'[INST] ' + m.content + ' [/INST]'", "' ' + m.content + ' ' + eos_token"),
    "llama-3": "{{ bos_token }}"
    + USER
    + "{{ '<|start|>' + m.role + '<|end|>\\n\\n' + m.content | trim + '<|eot|>' }}"
    + END
    + opening("<|start|>assistant<|end|>\\n\\n"),
    "mistral": "{{ bos_token }}" + by_role("'[INST]' + m.content + '[/INST]'", "m.content + eos_token"),
    "gemma": "{{ bos_token }}"
    + by_role("'<turn>user\\n' + m.content + '<end>\\n'", "'<turn>model\\n' + m.content + '<end>\\n'")
    + opening("<turn>model\\n"),
    "zephyr": USER
    + "{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}"
    + END
    + opening("<|assistant|>\\n"),
    "vicuna": by_role("'USER: ' + m.content + ' '", "'ASSISTANT: ' + m.content + eos_token")
    + opening("ASSISTANT:"),
    "alpaca": by_role(
        "'### Instruction:\\n' + m.content + '\\n\\n'", "'### Response:\\n' + m.content + eos_token"
    )
    + opening("### Response:\\n"),
    "end on the last turn alone": USER
    + "{{ m.role + ': ' + m.content + '\\n' }}"
    + "{% if loop.last and not add_generation_prompt %}{{ eos_token }}{% endif %}"
    + END
    + opening("assistant: "),
    "qwen-3": USER
    + "{{ '<s>' + m.role + '\\n' }}{% if m.role == 'assistant' and not loop.last %}"
    + "{{ "
    + THOUGHT
    + " }}{% else %}{{ m.content }}{% endif %}{{ '<e>\\n' }}"
    + END
    + opening("<s>assistant\\n"),
    "deepseek-r1": by_role("'<|User|>' + m.content", "'<|Bot|>' + (" + THOUGHT + ") + eos_token")
    + opening("<|Bot|><think>\\n"),
    "no prompt of its own": USER + "{{ m.role | upper + '> ' + m.content + '\\n' }}" + END,
    "marks": USER
    + "{{ m.role + '\\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}"
    + "{% endgeneration %}{% else %}{{ m.content + eos_token }}{% endif %}"
    + END
    + opening("assistant\\n"),
}
TALK = (
    Message("user", "first question"),
    Message("assistant", "<think> long thought </think> answer one"),
    Message("user", "second question"),
)
REWRITING = ("qwen-3", "deepseek-r1")
STRADDLED = ("no prompt of its own", "vicuna", "end on the last turn alone")
"""Their prompt ends in the middle of a token, or before the speaker's name."""


def with_template(tokenizer, template):
    made = copy(tokenizer)
    made.config = tokenizer.config | {"chat_template": template}
    return made


def learned(tokenizer, lesson):
    """The runs of learned tokens as texts, special tokens written out."""
    runs, before = [], None
    for place in lesson.wanted:
        if before is None or place != before + 1:
            runs.append([])
        runs[-1].append(lesson.row[place])
        before = place
    names = {index: tokenizer.tokens[index] for index in tokenizer.special.all}
    return ["".join(names.get(i) or tokenizer.decode([i]) for i in run) for run in runs]


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_learned_are_the_answers(tokenizer, name):
    made = with_template(tokenizer, TEMPLATES[name])
    lessons = Chat().lessons(made, Conversation(TALK), ("answer two",), [], True)
    texts = [text for lesson in lessons for text in learned(made, lesson)]
    assert len(texts) == 2, texts  # each answer once, in one row or in two
    for text in texts:
        assert "question" not in text
        assert "user" not in text.lower()
        assert "assistant" not in text.lower()
        assert "INST" not in text
    said = " / ".join(texts)
    assert "answer one" in said
    assert "answer two" in said
    assert len(lessons) == (2 if name == "qwen-3" else 1)
    # The row is what the template writes, and the last answer ends it.
    whole = [
        {"role": one.role, "content": one.content} for one in (*TALK, Message("assistant", "answer two"))
    ]
    assert lessons[0].row == chat_ids(made, whole)
    assert lessons[0].wanted[-1] >= len(lessons[0].row) - 2


@pytest.mark.parametrize("name", sorted(set(TEMPLATES) - {*REWRITING, *STRADDLED}))
def test_learning_begins_where_generating_does(tokenizer, name):
    """The tokens before what is learned last are those of the prompt that a model is given."""
    made = with_template(tokenizer, TEMPLATES[name])
    (lesson,) = Chat().lessons(made, Conversation(TALK), ("answer two",), [], True)
    last = [place for place in lesson.wanted if place - 1 not in lesson.wanted][-1]
    assert lesson.row[:last] == Chat().prompt(made, Conversation(TALK), True)


def test_a_template_without_a_prompt_gets_one(tokenizer):
    """It leaves `add_generation_prompt` unread: a model would be asked without an answer's beginning."""
    user, end = tokenizer.tokens[tokenizer.special.end], "<|end|>"
    silent = {
        "name": USER + "{{ m.role | upper + '> ' + m.content + '\n' }}" + END,
        "line": USER + "{{ '\"' + m.role + '\"\n' + m.content + '" + end + "\n' }}" + END,
        "token": by_role("m.content", "'" + user + "é ' + m.content"),
    }
    for name, template in silent.items():
        loaded = LoadedModel(None, with_template(tokenizer, template), "causal")
        made = Chat().prepared(loaded).tokenizer
        (lesson,) = Chat().lessons(made, Conversation(TALK), ("answer two",), [], True)
        last = [place for place in lesson.wanted if place - 1 not in lesson.wanted][-1]
        assert lesson.row[:last] == Chat().prompt(made, Conversation(TALK), True), name
        whole = plain((*TALK, Message("assistant", "answer two")))
        assert chat_ids(made, whole) == chat_ids(loaded.tokenizer, whole)
    for name in ("chatml", "mistral", "llama-2", "qwen-3"):  # they write one, or need none
        loaded = LoadedModel(None, with_template(tokenizer, TEMPLATES[name]), "causal")
        assert Chat().prepared(loaded) is loaded, name


def test_a_template_that_ends_no_answer_is_told(tokenizer):
    """GLM-4's begins the next turn instead: whoever learns from it never writes an end."""
    end = tokenizer.tokens[tokenizer.special.end]
    for name, ends in (
        ("headstart", True),
        ("zephyr", True),
        ("llama-2", True),
        ("no prompt of its own", False),
    ):
        assert ends_answers(with_template(tokenizer, TEMPLATES[name])) is ends, name
    begun = USER + "{{ '" + end + "' + m.role + '\n' + m.content }}" + END
    assert not ends_answers(with_template(tokenizer, begun))


def test_answers_with_weight_0_are_not_learned(tokenizer):
    bad = Message("assistant", "BAD", learned=False)
    for name in ("headstart", "chatml", "marks", "qwen-3"):
        made = with_template(tokenizer, TEMPLATES[name])
        (lesson,) = Chat().lessons(made, Conversation((TALK[0], bad, TALK[2])), ("good",), [], True)
        (text,) = learned(made, lesson)
        assert "good" in text
        assert "BAD" not in text


def test_what_cannot_be_told_is_refused(tokenizer):
    hidden = with_template(tokenizer, USER + "{{ m.role + ' speaks. ' }}" + END)
    with pytest.raises(
        HeadstartError, match=r"cannot be told which part is the assistant's answer.*generation"
    ):
        Chat().lesson(hidden, Conversation(TALK), ("answer two",), [], True)
    twice = USER + "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    twice += "{% generation %}!{% endgeneration %}{% else %}{{ m.content }}{% endif %}" + END
    with pytest.raises(HeadstartError, match="has to mark each answer once"):
        Chat().lesson(with_template(tokenizer, twice), Conversation(TALK), ("x",), [], True)


def test_places_of_tokens_cover_the_text(tokenizer):
    """Every token stands for the characters that it was made of, typed special tokens too."""
    end = tokenizer.tokens[tokenizer.special.end]
    said = [{"role": "user", "content": f"né 👍 {end} 北京"}, {"role": "assistant", "content": "ja"}]
    filled = fill(tokenizer_with := with_template(tokenizer, TEMPLATE), said)
    ids, spans = filled_ids(tokenizer_with, filled)
    assert ids == chat_ids(tokenizer_with, said)
    assert all(0 <= a <= b <= len(filled.text) for a, b in spans)
    assert [a for a, _ in spans] == sorted(a for a, _ in spans)
    assert spans[-1][1] == len(filled.text)
