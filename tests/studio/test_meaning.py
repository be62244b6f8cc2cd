"""The Meaning view: exact distances, honest groups, every sentence with its way back."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from headstart.corpus.occurrences import occurrences
from headstart.errors import HeadstartError
from headstart.folder import write_manifest
from headstart.models.observe import observe
from headstart.studio import frames
from headstart.studio.spread import distances, groups, mean_distance, plane, telling
from headstart.training.restore import load_any

API = "/api/v1"


def frame(answer):
    assert answer.status_code == 200, answer.text
    return frames.decode(answer.content)


@pytest.fixture(scope="module")
def corpus(studio_root, documents):
    """A corpus folder of the sample books."""
    folder = studio_root / "books"
    if not folder.exists():
        (folder / "documents").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(documents), folder / "documents" / "00000.parquet")
        write_manifest(folder, "corpus", 1, {})
    return folder


def test_occurrences_are_whole_words_and_a_fair_sample(corpus, documents) -> None:
    every = occurrences(corpus, "time", 10_000)
    assert every.count == len(every.sample) > 20
    assert all(one.sentence[one.start : one.end].lower() == "time" for one in every.sample)
    texts = {one["id"]: one["text"] for one in documents}
    assert all(one.sentence in texts[one.document] for one in every.sample)
    some = occurrences(corpus, "time", 8, seed=3)
    assert some.count == every.count
    assert len(some.sample) == 8
    assert {one.sentence for one in some.sample} <= {one.sentence for one in every.sample}
    assert occurrences(corpus, "time", 8, seed=3) == some
    drawn = {one.sentence for seed in range(40) for one in occurrences(corpus, "time", 8, seed).sample}
    # As many different ones as forty fair samples of eight have: each misses one in 1 - 8 / N cases.
    expected = every.count * (1 - (1 - 8 / every.count) ** 40)
    assert len(drawn) == pytest.approx(expected, rel=0.1)
    with pytest.raises(HeadstartError, match="no word"):
        occurrences(corpus, " ", 5)


def test_the_embedding_holds_one_point_and_layers_part_it(studio, studio_root, masked_run, corpus) -> None:
    asked = {
        "states": ["masked/snapshots/step-0", "masked/model"],
        "word": "time",
        "corpus": "books",
        "most": 40,
    }
    fields, found = frame(studio.post(f"{API}/meaning", json=asked))
    count = len(fields["occurrences"])
    assert found["places"].shape == (2, 3, count, 2)
    small = [one["sentence"][one["start"] - 1 : one["end"]] == " time" for one in fields["occurrences"]]
    loaded = load_any(studio_root / "masked")
    vectors = []
    for one in fields["occurrences"]:
        ids, spans = loaded.tokenizer.encode_spans(one["sentence"])
        framed = loaded.tokenizer.with_special(list(ids))[0]
        at = [n + 1 for n, (a, b) in enumerate(spans) if a < one["end"] and b > one["start"]]
        seen = observe(loaded.model, torch.tensor([framed]), want=("states",))
        vectors.append(seen.states["encoder.1"][0, at].mean(0).numpy())
    units = np.array(vectors, np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    apart = 1 - units @ units.T
    assert found["spread"][1, 2] == pytest.approx(apart.sum() / (count * (count - 1)), abs=1e-4)
    near = found["near"][1, 2, 0]
    np.testing.assert_allclose(found["apart"][1, 2, 0], apart[0, near], atol=1e-5)
    np.fill_diagonal(apart, 9)
    assert found["apart"][1, 2, 0][0] == pytest.approx(apart[0].min(), abs=1e-5)
    # The same token gives the same row of the embedding, wherever it stands.
    one_point = found["places"][1, 0][np.array(small)]
    assert np.abs(one_point - one_point[0]).max() < 1e-6
    assert found["spread"][1, 2] > found["spread"][1, 0]


def test_own_sentences_land_among_them_and_few_are_refused(studio, masked_run, corpus) -> None:
    own = "There was no time left for the two cities."
    asked = {"states": ["masked"], "word": "time", "corpus": "books", "most": 10, "own": [own, "Without it."]}
    fields, _ = frame(studio.post(f"{API}/meaning", json=asked))
    assert fields["own"] == 1
    assert fields["occurrences"][-1]["sentence"] == own
    answer = studio.post(f"{API}/meaning", json=asked | {"word": "zyzzyva"})
    assert "at least 5" in answer.json()["error"]["message"]


def test_distances_groups_and_words_that_tell() -> None:
    random = np.random.default_rng(0)
    middles = np.eye(3, 16)
    cloud = np.concatenate([middles[n] + 0.1 * random.normal(size=(20, 16)) for n in range(3)])
    labels = groups(cloud)
    assert len(set(labels.tolist())) == 3
    assert all(len(set(labels[20 * n : 20 * n + 20].tolist())) == 1 for n in range(3))
    assert set(groups(random.normal(size=(60, 64))).tolist()) == {0}
    a, b = cloud[0], cloud[30]
    exact = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert distances(cloud)[0, 30] == pytest.approx(exact)
    assert mean_distance(np.ones((5, 4))) == pytest.approx(0, abs=1e-12)
    places, kept = plane(cloud[None])
    assert places.shape == (1, 60, 2)
    assert 0.5 < kept <= 1
    texts = [["water", "the", "rock"]] * 5 + [["clock", "the", "steel"]] * 5
    first, second = telling(texts, [0] * 5 + [1] * 5, 2)
    assert set(first) == {"water", "rock"}
    assert set(second) == {"clock", "steel"}


def test_the_model_in_the_box_is_there_with_nothing(studio, tmp_path) -> None:
    """Every studio lists it, so that views open on a machine that has nothing."""
    from starlette.testclient import TestClient

    from headstart.studio.app import create

    guard = create([tmp_path], 8123)
    headers = {"authorization": f"Bearer {guard.token}"}
    with TestClient(guard, base_url="http://127.0.0.1:8123", headers=headers) as client:
        listed = client.get(f"{API}/folders").json()
    found = [(one["at"], one["kind"], one["architecture"]) for one in listed]
    assert ("model:headstart-mini", "model", "encoder") in found
    assert all(at.startswith(("model:", "samples:", "sample:")) for at, _, _ in found)
    texts = [f"The spring number {n} broke." for n in range(6)]
    asked = {"states": ["model:headstart-mini"], "word": "spring", "own": texts}
    fields, found = frame(studio.post(f"{API}/meaning", json=asked))
    assert len(fields["occurrences"]) == 6
    assert found["spread"][0, 0] == pytest.approx(0, abs=1e-6)
