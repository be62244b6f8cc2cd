"""Bodies and answers of OpenAI's routes that write."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from headstart.generation.config import GenerationConfig
from headstart.serving.body import Body, Part, Several
from headstart.serving.embedding_routes import TokenId

MOST_PROMPTS, MOST_TEXTS = 256, 16
"""Of one request: prompts, and texts for each."""
MOST_STOPS, LONGEST_STOP, MOST_BIASES = 16, 256, 1024

StopString = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]
Finish = Literal["stop", "length", "tool_calls"]


class StreamOptions(Part):
    """What a stream says beside the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JsonSchema(Part):
    """A schema and its name."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Part):
    """What a text has to be: anything, JSON, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class SamplingBody(Body):
    """How texts are drawn."""

    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, description="0 or -1: from all.")
    min_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=MOST_TEXTS)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: StopString | Annotated[Several[StopString], Field(max_length=MOST_STOPS)] | None = None
    stop_token_ids: Annotated[Several[TokenId], Field(max_length=MOST_STOPS)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=MOST_BIASES
    )
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    min_tokens: int | None = Field(None, ge=0)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    metadata: Any = None
    service_tier: Any = None
    prompt_cache_key: Any = None
    safety_identifier: Any = None
    store: Any = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def config(self, longest: int, seed: int) -> GenerationConfig:
        """The settings of each text; what is not given is OpenAI's default.

        Raises:
            HeadstartError: values that contradict each other.
        """
        return GenerationConfig(
            max_new_tokens=max(longest, 1),
            min_new_tokens=self.min_tokens or 0,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=max(self.top_k or 0, 0),
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=self.min_p or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            stop=self.stops,
            stop_tokens=tuple(self.stop_token_ids or ()),
            seed=seed,
        )


class CompletionBody(SamplingBody):
    """Prompts to be continued; an encoder-decoder answers them."""

    NEUTRAL: ClassVar[Mapping[str, Sequence[Any]]] = {"suffix": ("",), "store": (False,)}
    prompt: (
        str
        | Annotated[Several[str], Field(max_length=MOST_PROMPTS)]
        | Several[TokenId]
        | Annotated[Several[Several[TokenId]], Field(max_length=MOST_PROMPTS)]
    ) = Field(description="A text, texts, the ids of one, or lists of ids.")
    max_tokens: int | None = Field(None, ge=0, le=10**7)
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = Field(None, ge=1)


class ContentPart(Part):
    """A part of a message; texts alone are read."""

    type: str
    text: str | None = None
    refusal: Any = None
    image_url: Any = None
    input_audio: Any = None
    file: Any = None


class CalledFunction(Part):
    """Which function, and with which arguments, as JSON."""

    name: str
    arguments: str = "{}"


class ToolCall(Part):
    """A call that the assistant made."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class ChatMessage(Part):
    """One turn. What clients send back of an earlier answer (`refusal`, `annotations`, ...) has no effect."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Several[ContentPart] | None = None
    name: str | None = None
    tool_calls: Several[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: Any = None
    annotations: Any = None
    audio: Any = None
    function_call: Any = None


class Function(Part):
    """A function that the model may call."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Part):
    """A tool, which is a function."""

    type: Literal["function"] = "function"
    function: Function


class FunctionName(Part):
    """The name of a function."""

    name: str


class ToolChoice(Part):
    """The function that is to be called."""

    type: Literal["function"] = "function"
    function: FunctionName


class ChatBody(SamplingBody):
    """A conversation to be gone on with."""

    NEUTRAL: ClassVar[Mapping[str, Sequence[Any]]] = {
        "store": (False,),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "reasoning_effort": (),
        "verbosity": (),
        "web_search_options": (),
        "functions": ([],),
        "function_call": ("none",),
    }
    messages: Several[ChatMessage] = Field(min_length=1, max_length=2048)
    max_tokens: int | None = Field(None, ge=1, le=10**7)
    max_completion_tokens: int | None = Field(None, ge=1, le=10**7)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: Several[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None


class PromptDetails(BaseModel):
    """Of the tokens read."""

    cached_tokens: int


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class CompletionLogprobs(BaseModel):
    """One entry for each token, of the prompt too with `echo`."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Finish | None


class CompletionAnswer(BaseModel):
    """Texts, those of one prompt together. With `stream` each event holds what one text grows by."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    seed: int
    choices: list[CompletionChoice]
    usage: Usage | None = None


class TokenLogprob(BaseModel):
    """A token, its bytes, and how likely it was."""

    token: str
    logprob: float
    bytes: list[int]


class ChatToken(TokenLogprob):
    """The same with the likeliest tokens at its place."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(BaseModel):
    """One entry for each token written."""

    content: list[ChatToken]


class AnswerMessage(BaseModel):
    """What the assistant says, or which functions it calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: Finish


class ChatAnswer(BaseModel):
    """Answers to a conversation. With `stream` the events hold `delta`s instead of messages."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    seed: int
    choices: list[ChatChoice]
    usage: Usage
