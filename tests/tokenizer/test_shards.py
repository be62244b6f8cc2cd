"""Token shards: every token is there once, and documents keep their borders."""

import itertools
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.tokenizer import shards
from headstart.tokenizer.shards import ShardRecipe, TokenRows, encode, is_heldout

EVERYTHING = ShardRecipe(heldout_share=0.1, heldout_overlap=1)
"""Held-out documents stay in their split, whatever of them the training text repeats."""


def stream(documents, tokenizer, share: float, heldout: bool) -> tuple[list[int], list[int]]:
    """What the shards of a split have to hold: ids, and the number of each id's document."""
    rows = [
        [0, *tokenizer.encode(document["text"]), 1]
        for document in documents
        if is_heldout(document["id"], share) == heldout
    ]
    ids = list(itertools.chain.from_iterable(rows))
    return ids, list(itertools.chain.from_iterable([number] * len(row) for number, row in enumerate(rows)))


@pytest.mark.parametrize("length", [8, 63, 64])
def test_rows_cover_the_stream_and_borders_are_where_documents_end(
    tmp_path, documents, tokenizer, length
) -> None:
    documents = documents[:400]
    encode(documents, tokenizer, EVERYTHING.model_copy(update={"shard_tokens": 10**9}), tmp_path / "t")
    for split in ("train", "heldout"):
        ids, numbers = stream(documents, tokenizer, 0.1, split == "heldout")
        rows = TokenRows(tmp_path / "t", split, length)
        assert len(rows) == len(ids) // length
        read, segments = rows.read(np.arange(len(rows)))
        assert read.dtype == segments.dtype == np.int64
        assert read.reshape(-1).tolist() == ids[: read.size]
        borders = np.diff(np.array(numbers[: read.size]).reshape(read.shape), axis=1) != 0
        np.testing.assert_array_equal(np.diff(segments, axis=1) != 0, borders)
        assert borders.any()


def test_several_shards_hold_the_same_as_one(tmp_path, documents, tokenizer) -> None:
    documents = documents[:400]
    fields = encode(
        documents, tokenizer, ShardRecipe(heldout_share=0.1, shard_tokens=3000), tmp_path / "many"
    )
    assert fields["splits"]["train"]["shards"] > 5
    ids, _ = stream(documents, tokenizer, 0.1, heldout=False)
    files = sorted((tmp_path / "many").glob("train-*.npy"))
    assert np.concatenate([np.load(file) for file in files]).tolist() == ids
    rows = TokenRows(tmp_path / "many", "train", 50)
    whole = [
        np.load(file)[start : start + 50] for file in files for start in range(0, len(np.load(file)) - 49, 50)
    ]
    assert len(rows) == len(whole)
    order = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_array_equal(rows.read(order)[0], np.array(whole)[order])


def test_manifest_counts(tokens, documents, tokenizer) -> None:
    manifest = read_json(tokens / "manifest.json")
    splits, leaked = manifest["splits"].values(), manifest["leaked"]
    assert sum(split["documents"] for split in splits) + leaked["documents"] == len(documents)
    size = sum(len(document["text"].encode()) for document in documents)
    assert sum(split["bytes"] for split in splits) + leaked["bytes"] == size
    assert manifest["tokenizer_sha256"] == tokenizer.sha256
    for split in splits:
        for unit in ("documents", "bytes", "tokens"):
            assert sum(counts[unit] for counts in split["domains"].values()) == split[unit]


def test_heldout_is_the_same_for_any_order(tmp_path, documents, tokenizer) -> None:
    documents = documents[:300]
    recipe = ShardRecipe(heldout_share=0.2, heldout_overlap=1)
    encode(documents, tokenizer, recipe, tmp_path / "a")
    encode(documents[::-1], tokenizer, recipe, tmp_path / "b")

    def ids(folder: str, split: str) -> set[str]:
        tables = (tmp_path / folder).glob(f"{split}-*.documents.parquet")
        return {name for table in tables for name in shards.pq.read_table(table)["id"].to_pylist()}

    assert ids("a", "heldout") == ids("b", "heldout")
    assert ids("a", "train") == ids("b", "train")
    assert not ids("a", "train") & ids("a", "heldout")
    assert ids("a", "train") | ids("a", "heldout") == {document["id"] for document in documents}


def test_heldout_share_is_kept_and_grows_by_addition() -> None:
    names = [f"document {number}" for number in range(20_000)]
    small = {name for name in names if is_heldout(name, 0.01)}
    large = {name for name in names if is_heldout(name, 0.1)}
    assert small < large
    assert abs(len(large) / len(names) - 0.1) < 0.01  # five standard deviations
    assert not any(is_heldout(name, 0.0) for name in names[:100])
    assert all(is_heldout(name, 1.0) for name in names[:100])


class Wide:
    """Stands in for a tokenizer with more ids than 16 bits hold."""

    sha256 = "x"
    config: dict[str, str] = {}
    definition: dict[str, str] = {}
    opening: list[int] = []
    closing: list[int] = []

    def __init__(self, vocab_size: int, path) -> None:
        self.vocab_size, self.path = vocab_size, path

    def encode_arrays(self, texts: list[str]) -> list[np.ndarray]:
        return [np.full(30, self.vocab_size - 1, np.uint32) for _ in texts]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_ids_fit_their_type(tmp_path, tokenizer, documents, vocab_size, dtype) -> None:
    recipe = ShardRecipe(heldout_share=0.5, heldout_overlap=1)
    encode(documents[:20], Wide(vocab_size, tokenizer.path), recipe, tmp_path / "t")
    assert np.load(tmp_path / "t" / "train-00000.npy").dtype == dtype
    ids, _ = TokenRows(tmp_path / "t", "train", 16).read(np.array([0]))
    assert ids.max() == vocab_size - 1


def test_an_error_on_the_way_leaves_no_folder(tmp_path, documents, tokenizer) -> None:
    def failing():
        yield from documents[:600]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        encode(failing(), tokenizer, ShardRecipe(shard_tokens=100), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_split_without_documents_is_refused(tmp_path, documents, tokenizer, share) -> None:
    """And the refusal names a share that leaves one."""
    with pytest.raises(HeadstartError, match="no document is left") as refused:
        encode(documents[:10], tokenizer, ShardRecipe(heldout_share=share), tmp_path / "t")
    assert not (tmp_path / "t").exists()
    named = float(str(refused.value).rpartition("=")[2])
    splits = encode(documents[:10], tokenizer, ShardRecipe(heldout_share=named), tmp_path / "t")["splits"]
    assert splits["heldout" if share == 0 else "train"]["documents"] == 1


def test_one_document_cannot_be_on_both_sides(tmp_path, documents, tokenizer) -> None:
    with pytest.raises(HeadstartError, match=r"give more text$"):
        encode(documents[:1], tokenizer, ShardRecipe(), tmp_path / "t")


def test_too_short_for_one_row(tokens) -> None:
    with pytest.raises(HeadstartError, match="shorter than one row"):
        TokenRows(tokens, "heldout", 10**6)


def test_no_tokens_folder(tmp_path) -> None:
    with pytest.raises(HeadstartError, match="there is no tokens folder"):
        TokenRows(tmp_path / "none", "train", 8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text() | st.sampled_from(["", "<|none|>", "a<|none|>b", "\ud800x", " " * 3000]), max_size=6
    )
)
def test_what_goes_into_shards_comes_out_of_decode(tmp_path_factory, tokenizer, texts: list[str]) -> None:
    texts = [*texts, "kept", "held out"]
    documents = [{"id": str(number), "text": text, "domain": "d"} for number, text in enumerate(texts)]
    share = 0.3
    sides = [is_heldout(document["id"], share) for document in documents]
    assume(any(sides) and not all(sides))
    folder = tmp_path_factory.mktemp("shards") / "t"
    encode(documents, tokenizer, ShardRecipe(heldout_share=share, heldout_overlap=1, shard_tokens=50), folder)
    for text, ids in zip(texts, tokenizer.encode_arrays(texts), strict=True):
        assert ids.tolist() == tokenizer.encode(text)
    found = {}
    for path in folder.glob("*.npy"):
        ids = np.load(path)
        rows = shards.pq.read_table(path.with_suffix(".documents.parquet")).to_pylist()
        for row in rows:
            found[row["id"]] = tokenizer.decode(ids[row["start"] : row["start"] + row["tokens"]].tolist())
    assert found == {d["id"]: d["text"].encode(errors="replace").decode() for d in documents}


@pytest.fixture
def copied(tokens, tmp_path):
    """A tokens folder that may be damaged."""
    shutil.copytree(tokens, tmp_path / "tokens")
    return tmp_path / "tokens"


def test_ids_beyond_the_vocabulary_are_a_sentence(copied) -> None:
    ids = np.load(copied / "train-00000.npy")
    ids[5] = 60_000
    np.save(copied / "train-00000.npy", ids)
    rows = TokenRows(copied, "train", 16)
    with pytest.raises(HeadstartError, match="holds the id 60,000, but its tokenizer has"):
        rows.read(np.array([0]))
    with pytest.raises(HeadstartError, match="holds the id 60,000"):
        rows.beginning(100)


@pytest.mark.parametrize(
    "change",
    [
        {"splits": {}},
        {"splits": None},
        {"splits": []},
        {"vocab_size": "x"},
        {"splits": {"train": {"shards": "1"}, "heldout": {}}},
    ],
)
def test_a_manifest_that_says_something_else_is_a_sentence(copied, change) -> None:
    write_json(copied / "manifest.json", read_json(copied / "manifest.json") | change)
    with pytest.raises(HeadstartError, match=r"manifest\.json"):
        TokenRows(copied, "train", 16)


@pytest.mark.parametrize("column", ["start", "tokens", "domain"])
def test_documents_that_do_not_fit_the_shard_are_a_sentence(copied, column) -> None:
    path = copied / "train-00000.documents.parquet"
    table = pq.read_table(path)
    numbers = table["start" if column == "domain" else column].to_numpy()
    changed = pa.array(["elsewhere"] * len(table)) if column == "domain" else pa.array(numbers + 1)
    pq.write_table(table.set_column(table.column_names.index(column), column, changed), path)
    with pytest.raises(HeadstartError, match="encode again"):
        TokenRows(copied, "train", 16)


def test_an_empty_shard_is_a_sentence(copied) -> None:
    (copied / "train-00000.npy").write_bytes(b"")
    with pytest.raises(HeadstartError, match="encode again"):
        TokenRows(copied, "train", 16)
