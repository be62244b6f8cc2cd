"""Every task route answers what `Model.predict`, `fill_mask` and `embed` give."""

import base64
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_client import SETTINGS, Client

import headstart as hs
from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.interchange.sentence_vectors import SentenceVectors
from headstart.serving.app import Application
from headstart.serving.task_routes import TaskAnswer, units_before

TEXTS = ["The captain waits.", "A quiet garden 🌷 with chairs", "", "x " * 90]
CONTEXT = "The old ship waits in the harbour of Gdańsk 🌊. " * 6
QUESTION = {"question": "Where does the ship wait?", "context": CONTEXT}
CHOICE = {"question": "Where is the ship?", "options": ["in the harbour", "in the kitchen", "nowhere"]}


@pytest.mark.parametrize("name", ["sea", "topics", "stars"])
def test_classify(client, local, name):
    expected = local[name].predict(TEXTS)
    answer = client.post("/v1/classify", {"model": name, "input": TEXTS})
    assert TaskAnswer.model_validate(answer.json()).results == expected
    assert client.results("/v1/classify", {"model": name, "input": TEXTS[0]}) == local[name].predict(
        TEXTS[:1]
    )


def test_classify_pairs(client, local):
    expected = local["same"].predict([("a ship", "a boat"), ("a ship", "a chair")])
    pairs = [["a ship", "a boat"], ["a ship", "a chair"]]
    assert client.results("/v1/classify", {"model": "same", "input": pairs}) == expected
    objects = [{"text_a": first, "text_b": second} for first, second in pairs]
    assert client.results("/v1/classify", {"model": "same", "input": objects}) == expected
    assert client.results("/v1/classify", {"model": "same", "input": pairs[0]}) == local["same"].predict(
        [("a ship", "a boat")]
    )
    refused = client.problem("/v1/classify", {"model": "same", "input": "alone"})
    assert "pairs of texts" in refused["message"]


def test_tag(client, local):
    texts = [text for text in TEXTS if text]
    assert client.results("/v1/tag", {"model": "names", "input": texts}) == local["names"].predict(texts)
    words = [["New", "York", "🌊", "waits"]]
    assert client.results("/v1/tag", {"model": "names", "input": words}) == local["names"].predict(words)


@pytest.mark.parametrize(
    ("offsets", "cut"),
    [
        (
            "utf-16",
            lambda text, start, end: text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le"),
        ),
        ("bytes", lambda text, start, end: text.encode()[start:end].decode()),
        ("code-points", lambda text, start, end: text[start:end]),
    ],
)
def test_spans_count_what_is_asked(client, offsets, cut):
    text = "🌊 Żółć und 東京都 waits 🌷 in the long harbour. " * 8
    (result,) = client.results("/v1/tag", {"model": "names", "input": text, "offsets": offsets})
    assert result["entities"]
    assert all(cut(text, one["start"], one["end"]) == one["text"] for one in result["entities"])
    body = {"model": "reader", "question": "where?", "context": CONTEXT, "offsets": offsets}
    (result,) = client.results("/v1/answer", body)
    if "start" in result:
        assert cut(CONTEXT, result["start"], result["end"]) == result["answer"]


@given(st.text())
def test_units_before_each_character(text):
    for offsets, encoding, size in (("utf-16", "utf-16-le", 2), ("bytes", "utf-8", 1)):
        expected = [
            len(text[:place].encode(encoding, "surrogatepass")) // size for place in range(len(text) + 1)
        ]
        assert units_before(text, offsets).tolist() == expected


def test_answer(client, local):
    expected = local["reader"].predict([QUESTION])
    assert client.results("/v1/answer", {"model": "reader", **QUESTION}) == expected
    assert client.results("/v1/answer", {"model": "reader", "inputs": [QUESTION, QUESTION]}) == local[
        "reader"
    ].predict([QUESTION, QUESTION])


def test_choose(client, local):
    expected = local["quiz"].predict([CHOICE])
    assert client.results("/v1/choose", {"model": "quiz", **CHOICE}) == expected
    with_context = CHOICE | {"context": "It left the harbour."}
    assert client.results("/v1/choose", {"model": "quiz", "inputs": [with_context]}) == local["quiz"].predict(
        [with_context]
    )


def test_fill_mask(client, local):
    texts = ["The <mask> was <mask>.", "A <mask>."]
    results = client.results("/v1/fill-mask", {"model": "masked", "input": texts, "top_k": 3})
    for text, gaps in zip(texts, results, strict=True):
        found = [[(one["token"], one["probability"]) for one in gap] for gap in gaps]
        assert found == local["masked"].fill_mask(text, 3)
        tokenizer = local["masked"].loaded.tokenizer
        assert all(tokenizer.token_text(one["token_id"]) == one["token"] for gap in gaps for one in gap)
    assert "no <mask>" in client.problem("/v1/fill-mask", {"model": "masked", "input": "no gap"})["message"]


@pytest.mark.parametrize("name", ["sea", "topics", "stars", "vectors", "names", "reader", "quiz"])
def test_predict_is_the_same_for_every_task(client, local, name):
    inputs = {"reader": [QUESTION], "quiz": [CHOICE]}.get(name, ["The captain waits.", "A garden"])
    answer = client.post("/v1/predict", {"model": name, "inputs": inputs}).json()
    assert answer == {
        "model": name,
        "task": local[name].predictor.task,
        "results": local[name].predict(inputs),
    }
    assert client.results("/v1/predict", {"model": name, "inputs": inputs[0]}) == local[name].predict(
        inputs[:1]
    )


def test_embeddings_of_every_model(client, local):
    texts = ["The captain waits.", "A quiet garden", "word " * 100]
    for name, model in local.items():
        answer = client.post("/v1/embeddings", {"model": name, "input": texts}).json()
        found = np.array([one["embedding"] for one in answer["data"]], np.float32)
        assert np.array_equal(found, model.embed(texts)), name
        assert [one["index"] for one in answer["data"]] == [0, 1, 2]
        counted = sum(
            len(model.loaded.tokenizer.with_special(model.loaded.tokenizer.encode(t))[0]) for t in texts
        )
        assert answer["usage"] == {"prompt_tokens": counted, "total_tokens": counted}


@pytest.fixture(scope="module")
def sentences(tiny, tokenizer, tmp_path_factory):
    """A folder of sentence-transformers, which reads 16 tokens of a text, and a client that asks it."""
    vectors = SentenceVectors(max_tokens=16, prompts={"query": "ask: ", "plain": ""}, default_prompt="query")
    loaded = LoadedModel(tiny("headstart-encoder", seed=9), tokenizer, "features", vectors=vectors)
    folder = tmp_path_factory.mktemp("sentences") / "sentences"
    save_model(folder, loaded, "card")
    made = Client(Application({"sentences": folder}, SETTINGS))
    yield hs.load(folder), made
    made.close()


def test_no_end_of_a_text_is_left_out_in_silence(sentences):
    model, client = sentences
    long = ["The ship", "The captain waits in the harbour. " * 3]
    for path, body in (
        ("/v1/embeddings", {"input": long}),
        ("/v1/rerank", {"query": "ship", "documents": long}),
        ("/embed", {"inputs": long}),
        ("/rerank", {"query": "ship", "texts": long}),
        ("/embed", {"inputs": long, "truncate": True, "truncation_direction": "Left"}),
    ):
        refused = client.problem(path, body)
        assert refused["code"] in ("context_length_exceeded", "unsupported_value")
    found = client.post("/embed", {"inputs": long, "truncate": True}).json()
    assert np.array_equal(np.array(found, np.float32), model.embed(long))
    ranks = client.post("/rerank", {"query": "ship", "texts": long, "truncate": True}).json()
    assert {one["index"] for one in ranks} == {0, 1}


def test_the_prompt_before_a_text_is_counted(sentences):
    model, client = sentences
    tokenizer = model.loaded.tokenizer
    for name, said in ((None, "ask: "), ("query", "ask: "), ("plain", "")):
        body = {"input": ["The ship", "sea"], "prompt_name": name}
        answer = client.post("/v1/embeddings", body).json()
        read = [tokenizer.with_special(tokenizer.encode(said + text))[0] for text in body["input"]]
        assert answer["usage"]["prompt_tokens"] == sum(map(len, read))
        vectors = np.array([one["embedding"] for one in answer["data"]], np.float32)
        assert np.array_equal(vectors, model.embed(body["input"], name))
    refused = client.problem("/v1/embeddings", {"input": "The ship", "prompt_name": "querry"})
    assert "did you mean 'query'" in refused["message"]


@pytest.mark.parametrize("model", ["vectors", "sea", "masked"])
def test_a_prompt_that_a_model_has_not_is_refused(client, model):
    body = {"model": model, "input": "The ship", "prompt_name": "query"}
    assert "no prompt 'query'" in client.problem("/v1/embeddings", body)["message"]


def test_forms_of_embeddings(client, local):
    body = {"model": "vectors", "input": "The captain waits."}
    whole = np.array(client.post("/v1/embeddings", body).json()["data"][0]["embedding"], np.float32)
    coded = client.post("/v1/embeddings", body | {"encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(coded), "<f4"), whole)
    short = np.array(client.post("/v1/embeddings", body | {"dimensions": 4}).json()["data"][0]["embedding"])
    assert np.allclose(short, whole[:4] / np.linalg.norm(whole[:4]), atol=1e-6)
    assert client.problem("/v1/embeddings", body | {"dimensions": 4096})["param"] == "dimensions"
    tokenizer = local["vectors"].loaded.tokenizer
    ids = tokenizer.encode(body["input"])
    for given_ids in (ids, [ids], tokenizer.with_special(ids)[0]):
        found = client.post("/v1/embeddings", {"model": "vectors", "input": given_ids}).json()["data"][0][
            "embedding"
        ]
        assert np.array_equal(np.array(found, np.float32), whole)
    assert (
        "send the text" in client.problem("/v1/embeddings", {"model": "vectors", "input": [10**6]})["message"]
    )


def test_ids_that_are_no_usual_cut_are_refused(client, local):
    tokenizer = local["vectors"].loaded.tokenizer
    letters = [next(iter(tokenizer.encode(letter))) for letter in "the"]
    assert letters != tokenizer.encode("the")
    client.problem("/v1/embeddings", {"model": "vectors", "input": letters})


def test_rerank_by_cosine_and_by_a_model_of_pairs(client, local):
    documents = ["a ship in the harbour", "a chair", "the garden and the ship"]
    vectors = local["vectors"].embed(["ship", *documents])
    scores = vectors[1:] @ vectors[0]
    answer = client.post("/v1/rerank", {"model": "vectors", "query": "ship", "documents": documents}).json()
    order = [one["index"] for one in answer["results"]]
    assert order == np.argsort(-scores, kind="stable").tolist()
    assert np.allclose([one["relevance_score"] for one in answer["results"]], scores[order], atol=1e-6)

    pairs = local["same"].predict([("ship", document) for document in documents])
    body = {"model": "same", "query": "ship", "documents": [{"text": one} for one in documents], "top_n": 2}
    answer = client.post("/v1/rerank", body | {"return_documents": True}).json()
    assert answer["score"] == "probability of 'duplicate'"
    assert len(answer["results"]) == 2
    for one in answer["results"]:
        assert one["relevance_score"] == pairs[one["index"]]["probabilities"]["duplicate"]
        assert one["document"] == {"text": documents[one["index"]]}


@pytest.mark.parametrize("model", ["vectors", "same"])
def test_nothing_to_rank(client, model):
    for path, body in (("/v1/rerank", {"documents": []}), ("/rerank", {"texts": []})):
        refused = client.problem(path, {"model": model, "query": "ship"} | body)
        assert refused["code"] == "unsupported_value"


def test_bodies_of_text_embeddings_inference(client, local):
    texts = ["The captain waits.", "A garden"]
    found = client.post("/embed", {"model": "vectors", "inputs": texts, "truncate": True}).json()
    assert np.array_equal(np.array(found, np.float32), local["vectors"].embed(texts))
    assert client.post("/embed", {"model": "vectors", "inputs": texts[0]}).json() == found[:1]
    expected = local["sea"].predict(texts)

    def ranked(answer):
        return sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])

    many = client.post("/predict", {"model": "sea", "inputs": texts}).json()
    assert [[(one["label"], one["score"]) for one in each] for each in many] == [
        ranked(one) for one in expected
    ]
    assert client.post("/predict", {"model": "sea", "inputs": [[texts[0]], [texts[1]]]}).json() == many
    (single,) = local["sea"].predict(texts[:1])
    one = client.post("/predict", {"model": "sea", "inputs": texts[0]}).json()
    assert [(each["label"], each["score"]) for each in one] == ranked(single)
    pair = client.post("/predict", {"model": "same", "inputs": ["a ship", "a boat"]}).json()
    assert {each["label"] for each in pair} == {"different", "duplicate"}
    ranks = client.post(
        "/rerank", {"model": "vectors", "query": "ship", "texts": texts, "return_text": True}
    ).json()
    assert [one["score"] for one in ranks] == sorted((one["score"] for one in ranks), reverse=True)
    assert {one["text"] for one in ranks} == set(texts)
    assert client.get("/info?model=sea").json()["model_type"] == {
        "classifier": {"id2label": {"0": "home", "1": "sea"}}
    }


def test_a_model_is_asked_at_the_route_that_fits(client):
    refused = client.problem("/v1/tag", {"model": "sea", "input": "A ship."})
    assert (refused["code"], refused["param"]) == ("wrong_task", "model")
    assert "/v1/classify" in refused["message"]
    assert client.problem("/v1/classify", {"model": "causal", "input": "x"})["code"] == "wrong_task"


def test_requests_together_answer_as_each_alone(client, local):
    """Up to the rounding of a batch; the labels are the same."""
    texts = [f"The captain waits for number {number} " * (1 + number % 7) for number in range(48)]
    with ThreadPoolExecutor(12) as pool:
        found = list(
            pool.map(lambda text: client.results("/v1/classify", {"model": "sea", "input": text})[0], texts)
        )
    for text, answer in zip(texts, found, strict=True):
        (alone,) = local["sea"].predict([text])
        assert answer["label"] == alone["label"]
        assert answer["probability"] == pytest.approx(alone["probability"], abs=1e-5)


def test_one_bad_input_spoils_no_other_request(client, local):
    good, bad = {"model": "same", "input": [["a", "b"]]}, {"model": "same", "input": ["a"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: client.post("/v1/classify", body), [good, bad] * 8))
    assert [answer.status_code for answer in answers] == [200, 400] * 8
    expected = local["same"].predict([("a", "b")])[0]["probability"]
    assert all(
        answer.json()["results"][0]["probability"] == pytest.approx(expected, abs=1e-5)
        for answer in answers[::2]
    )


NAMES = ["text", "text_a", "text_b", "question", "context", "options", "messages", "role", "content", "x"]
LEAVES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12)
LEAVES |= st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(JSON, st.sampled_from(["sea", "same", "names", "reader", "quiz", "vectors", "topics"]))
def test_no_input_is_an_error_of_the_server(client, inputs, name):
    answer = client.post("/v1/predict", {"model": name, "inputs": inputs})
    assert answer.status_code in (200, 400), answer.text
