"""Real clients against a real server: `make test-serve` has them; elsewhere there is nothing to ask with."""

import json
import os
import subprocess
import sys
import time
from copy import copy
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

lm_eval = pytest.importorskip("lm_eval", reason="clients are installed by `make test-serve`")

from headstart.generation.chat import TEMPLATE  # noqa: E402
from headstart.interchange.model_folder import LoadedModel, save_model  # noqa: E402
from headstart.tasks.facts import TaskFacts  # noqa: E402
from headstart.tasks.model import TaskModel  # noqa: E402
from headstart.tasks.predictor import Predictor  # noqa: E402

KEY = "a-key-of-the-tests"
CONTEXTS = ["The old ship", "In the garden", "Nobody knew what", "A" * 30, "It was a"]
CONTINUATIONS = [" waits in the harbour", " the chairs stood", " was meant by it.", " 🌊"]


@pytest.fixture(scope="module")
def folders(kinds, tokenizer, tiny, tmp_path_factory) -> dict[str, Path]:
    """Two decoders that transformers reads, one of them with a chat template, an encoder and a tagger."""
    made = tmp_path_factory.mktemp("clients")
    its = copy(tokenizer)
    its.config = tokenizer.config | {"chat_template": TEMPLATE}
    decoder = tiny("headstart-decoder", seed=3, context=256)
    save_model(made / "small", LoadedModel(decoder, its, "causal"), "card")
    plain = kinds["gpt2"]
    decoder = tiny("headstart-decoder", seed=3, context=256, vocab_size=plain.vocab_size)
    save_model(made / "plain", LoadedModel(decoder, plain, "causal"), "card")
    save_model(made / "masked", LoadedModel(tiny("headstart-encoder", seed=1), tokenizer, "masked"), "card")
    labels = ["O", "B-PER", "I-PER"]
    tagger = TaskModel(tiny("headstart-encoder", seed=2), "tagging", len(labels)).eval()
    Predictor(tagger, tokenizer, labels, TaskFacts(max_tokens=48)).save(made / "names", "card")
    return {name: made / name for name in ("small", "plain", "masked", "names")}


class Server:
    """`headstart serve` in a process of its own."""

    def __init__(self, *given: Path | str) -> None:
        """
        Args:
            given: folders, and options of the command.
        """
        command = [sys.executable, "-m", "headstart", "serve", *map(str, given), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--no-access-log"],
            stdout=subprocess.PIPE,
            env=os.environ | {"HEADSTART_API_KEY": KEY},
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().removeprefix("serving on ").strip()

    def end(self) -> None:
        """As an orchestrator ends it."""
        self.process.terminate()
        assert self.process.wait(600) == 0


@pytest.fixture(scope="module")
def adapters(folders, tmp_path_factory) -> Path:
    """A folder with an adapter of the model `small`, as PEFT writes it."""
    import peft
    import torch
    import transformers

    made = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(0)
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False
    )
    base = transformers.AutoModelForCausalLM.from_pretrained(folders["small"])
    peft.get_peft_model(base, settings).save_pretrained(made / "pirate")
    return made


@pytest.fixture(scope="module")
def address(folders, adapters, tmp_path_factory):
    """Of a server of all models, that keeps files and takes adapters."""
    state = tmp_path_factory.mktemp("state")
    server = Server(*folders.values(), "--adapters", adapters, "--state", state)
    yield server.address
    server.end()


@pytest.fixture(scope="module")
def address_of_plain(folders):
    """Of a server that has one model to tell of at /tokenizer_info."""
    server = Server(folders["plain"])
    yield server.address
    server.end()


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


# --- lm-evaluation-harness --------------------------------------------------------------------------


def requests_of(kind, arguments):
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, given, number) for number, given in enumerate(arguments)]


def by_transformers(folder):
    from lm_eval.models.huggingface import HFLM

    settings = {"device": "cpu", "batch_size": 1, "dtype": "float32", "max_length": 256}
    return HFLM(pretrained=str(folder), add_bos_token=False, **settings)


def by_http(folder, address, batch, **settings):
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    usual = {"tokenizer": str(folder), "tokenizer_backend": "huggingface"}
    return LocalCompletionsAPI(
        model=folder.name,
        base_url=f"{address}/v1/completions",
        batch_size=batch,
        max_length=256,
        num_concurrent=1,
        **(usual | settings),
    )


def assert_same(expected, found):
    assert len(expected) == len(found)
    for (right, greedy), (number, said) in zip(expected, found, strict=True):
        assert number == pytest.approx(right, abs=1e-4)
        assert said == greedy


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize(("name", "tokenized"), [("small", True), ("plain", True), ("plain", False)])
def test_lm_eval_by_http_is_lm_eval_by_transformers(folders, address, name, batch, tokenized):
    usual = by_transformers(folders[name])
    ours = by_http(folders[name], address, batch, tokenized_requests=tokenized)
    pairs = [(context, continuation) for context in ["", *CONTEXTS] for continuation in CONTINUATIONS]
    expected = usual.loglikelihood(requests_of("loglikelihood", pairs))
    assert_same(expected, ours.loglikelihood(requests_of("loglikelihood", pairs)))
    greedy = {"until": ["."], "max_gen_toks": 12, "temperature": 0.0}
    asked = [(context, dict(greedy)) for context in CONTEXTS]
    written = usual.generate_until(requests_of("generate_until", asked))
    asked = [(context, dict(greedy)) for context in CONTEXTS]
    assert ours.generate_until(requests_of("generate_until", asked)) == written


@pytest.mark.parametrize("batch", [1, 8])
def test_texts_are_scored_behind_the_token_that_opens_them(folders, address, batch):
    """lm-eval sends texts without it, and reads the scores as if none were there."""
    usual = by_transformers(folders["small"])
    ours = by_http(folders["small"], address, batch, tokenized_requests=False)
    pairs = [(context, continuation) for context in CONTEXTS for continuation in CONTINUATIONS]
    start = usual.tokenizer.bos_token_id
    behind = []
    for pair in pairs:
        context, continuation = usual._encode_pair(*pair)
        behind.append((pair, [start, *context], continuation))
    expected = usual._loglikelihood_tokens(behind)
    assert_same(expected, ours.loglikelihood(requests_of("loglikelihood", pairs)))


def test_the_remote_tokenizer(folders, address_of_plain):
    usual = by_transformers(folders["plain"])
    ours = by_http(
        folders["plain"], address_of_plain, 8, tokenizer=None, tokenizer_backend="remote", auth_token=KEY
    )
    pairs = [(context, continuation) for context in CONTEXTS for continuation in CONTINUATIONS]
    expected = usual.loglikelihood(requests_of("loglikelihood", pairs))
    assert_same(expected, ours.loglikelihood(requests_of("loglikelihood", pairs)))


def test_perplexity_of_whole_texts(folders, address):
    usual, ours = by_transformers(folders["plain"]), by_http(folders["plain"], address, 8)
    texts = [("The old ship waits in the harbour. " * 6,), ("A garden.",)]
    expected = usual.loglikelihood_rolling(requests_of("loglikelihood_rolling", texts))
    found = ours.loglikelihood_rolling(requests_of("loglikelihood_rolling", texts))
    assert found == pytest.approx(expected, abs=1e-4)


# --- Other clients ----------------------------------------------------------------------------------


def test_openai(address):
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key=KEY)
    assert {one.id for one in client.models.list()} == {"small", "plain", "masked", "names"}
    asked = {
        "model": "small",
        "messages": [{"role": "user", "content": "Where?"}],
        "max_tokens": 8,
        "seed": 1,
    }
    whole = client.chat.completions.create(**asked)
    usage = {"include_usage": True}
    parts = list(client.chat.completions.create(stream=True, stream_options=usage, **asked))
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == whole.choices[0].message.content
    assert parts[-1].usage == whole.usage
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{address}/v1", api_key="wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="did you mean"):
        client.embeddings.create(model="smal", input="x")


CHAT = {"messages": [{"role": "user", "content": "Where?"}], "max_tokens": 8, "temperature": 0, "seed": 1}


def lines_of(*bodies):
    lines = [
        {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number, body in enumerate(bodies)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_openai_has_a_file_answered(address):
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key=KEY)
    content = lines_of({"model": "small"} | CHAT, {"model": "nobody"} | CHAT)
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert client.files.wait_for_processing(file.id, poll_interval=0.1).status == "processed"
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"for": "a test"},
    )
    while batch.status not in ("completed", "failed", "cancelled"):
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 2, 1, 1)
    answer = json.loads(client.files.content(batch.output_file_id).text)
    whole = client.chat.completions.create(model="small", **CHAT)
    assert answer["custom_id"] == "r0"
    assert answer["response"]["body"]["choices"] == whole.model_dump(exclude_unset=True)["choices"]
    wrong = json.loads(client.files.content(batch.error_file_id).text)
    assert wrong["response"]["body"]["error"]["code"] == "model_not_found"
    assert batch.id in {one.id for one in client.batches.list()}
    assert {file.id, batch.output_file_id} <= {one.id for one in client.files.list()}
    assert client.files.retrieve(file.id).filename == "in.jsonl"
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("in.jsonl", content), purpose="fine-tune")


def test_openai_asks_an_adapter(address):
    """Routes that its API has not are asked by the same client."""
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key=KEY)
    assert client.get("/adapters", cast_to=object)["data"][0] == {
        "id": "pirate",
        "object": "adapter",
        "served": False,
    }
    assert client.post("/adapters", cast_to=object, body={"model": "pirate"})["id"] == "pirate"
    assert "pirate" in {one.id for one in client.models.list()}
    said = [client.chat.completions.create(model=name, logprobs=True, **CHAT) for name in ("small", "pirate")]
    first, second = (one.choices[0].logprobs.content[0].logprob for one in said)
    assert first != second
    assert client.delete("/adapters/pirate", cast_to=object)["deleted"]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="pirate", **CHAT)


def test_litellm_has_a_file_answered(address):
    import litellm

    server = {"custom_llm_provider": "openai", "api_base": f"{address}/v1", "api_key": KEY}
    content = lines_of({"model": "small"} | CHAT)
    file = litellm.create_file(file=("in.jsonl", content), purpose="batch", **server)
    batch = litellm.create_batch(
        completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, **server
    )
    while batch.status not in ("completed", "failed", "cancelled"):
        time.sleep(0.1)
        batch = litellm.retrieve_batch(batch_id=batch.id, **server)
    answer = json.loads(litellm.file_content(file_id=batch.output_file_id, **server).text)
    assert answer["response"]["status_code"] == 200


def test_langchain(address):
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    chat = ChatOpenAI(model="small", base_url=f"{address}/v1", max_tokens=8, temperature=0, seed=1)
    whole = chat.invoke("Where is the ship?")
    assert "".join(part.content for part in chat.stream("Where is the ship?")) == whole.content
    assert whole.usage_metadata["output_tokens"] > 0
    vectors = OpenAIEmbeddings(model="small", base_url=f"{address}/v1", check_embedding_ctx_length=False)
    assert len(vectors.embed_documents(["a", "b"])[1]) == 32


def test_litellm(address):
    import litellm

    said = {"messages": [{"role": "user", "content": "Where?"}], "api_base": f"{address}/v1", "max_tokens": 6}
    answer = litellm.completion(model="openai/small", temperature=0, seed=1, **said)
    parts = litellm.completion(model="openai/small", temperature=0, seed=1, stream=True, **said)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == answer.choices[0].message.content
    with pytest.raises(litellm.exceptions.NotFoundError):
        litellm.completion(model="openai/nobody", **said)


class Place(BaseModel):
    """What instructor asks for."""

    place: Literal["harbour", "garden"]
    sure: bool


@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_instructor_gets_valid_objects_from_random_weights(address, mode):
    import instructor
    import openai

    client = instructor.from_openai(
        openai.OpenAI(base_url=f"{address}/v1", api_key=KEY), mode=instructor.Mode[mode]
    )
    answer = client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "Where is the ship?"}],
        response_model=Place,
        max_tokens=150,
        max_retries=0,
    )
    assert isinstance(answer, Place)


def test_schemathesis_finds_no_error_of_the_server(address, tmp_path):
    """Requests by `openapi.json`, good and bad: no 5xx, and no answer that is not described."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    options = {"header": f"Authorization: Bearer {KEY}", "max-examples": "10", "seed": "1", "checks": checks}
    given = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run", f"{address}/openapi.json", *given],
        cwd=tmp_path,  # it writes there what it learnt
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
