"""Shards hold the slices of the store, wherever they lie, and no wrong or half-written one is ever read."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import webdataset
from moto.core import set_initial_no_auth_action_count

from mvg.data import Store, prepare, shards
from mvg.data.shards import write_shards
from mvg.errors import FileError
from tests.data.folders import contents_of, make_ct, write_description
from tests.object_store import object_store

SMALL = 40_000  # bytes of a shard: several shards for the slices of a test


@pytest.fixture
def store(heads: Path, tmp_path: Path) -> Path:
    """A store of two sets, of which one has image targets, and one a case without labels."""
    (heads / "labelsTr/pat2.nii.gz").unlink()
    prepare([heads, make_ct(tmp_path / "pairs", target=True)], tmp_path / "store")
    return tmp_path / "store"


def assert_equal_slices(one: Store, two: Store) -> None:
    assert list(one.sets) == list(two.sets)
    for name, stored in one.sets.items():
        other = two.sets[name]
        assert (other.rows, other.card, other.side) == (stored.rows, stored.card, stored.side)
        for number in range(len(stored)):
            for layer in ("images", "labels", "target"):
                mine, theirs = getattr(stored[number], layer), getattr(other[number], layer)
                assert (mine is None) == (theirs is None)
                assert mine is None or (mine.dtype == theirs.dtype and np.array_equal(mine, theirs))


def test_shards_hold_the_slices_of_the_store(store: Path, tmp_path: Path) -> None:
    write_shards(store, tmp_path / "shards", SMALL)
    assert len(list(tmp_path.glob("shards/heads/*.tar"))) > 1
    streamed = Store.open(tmp_path / "shards")
    assert_equal_slices(Store.open(store), streamed)
    copy = pickle.loads(pickle.dumps(streamed.sets["heads"]))
    assert np.array_equal(copy[3].images, streamed.sets["heads"][3].images)


def test_the_programs_of_webdataset_read_them(store: Path, tmp_path: Path) -> None:
    write_shards(store, tmp_path / "shards", SMALL)
    stored = Store.open(store).sets["heads"]
    urls = sorted(str(path) for path in tmp_path.glob("shards/heads/*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
    assert [int(sample["__key__"]) for sample in samples] == list(range(len(stored)))
    for row, sample in zip(stored.rows, samples, strict=True):
        assert np.array_equal(sample["images.npy"], stored.images[row.number])
        assert (sample["json"]["case"], sample["json"]["index"]) == (row.case, row.index)


def test_the_same_store_gives_the_same_bytes_and_complete_shards_stay(store: Path, tmp_path: Path) -> None:
    write_shards(store, tmp_path / "one", SMALL)
    write_shards(store, tmp_path / "two", SMALL)
    assert contents_of(tmp_path / "one") == contents_of(tmp_path / "two")
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("one/*/*"))]
    write_shards(store, tmp_path / "one", SMALL)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("one/*/*"))] == before


def test_shards_of_an_older_store_are_replaced(store: Path, heads: Path, tmp_path: Path) -> None:
    write_shards(store, tmp_path / "shards", SMALL)
    write_description(heads, labels={"one": 1, "two": 2}, patient=".")
    prepare([heads], store)
    write_shards(store, tmp_path / "shards", SMALL)
    assert_equal_slices(Store.open(store), Store.open(tmp_path / "shards"))


def test_an_interrupted_writer_leaves_no_set_and_goes_on(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shards.write_bytes

    def interrupted(address: Path, content: bytes) -> None:
        if address.name == "00001.tar":
            raise KeyboardInterrupt
        original(address, content)

    monkeypatch.setattr(shards, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(store, tmp_path / "shards", SMALL)
    with pytest.raises(FileError, match="holds no prepared set"):
        Store.open(tmp_path / "shards")
    monkeypatch.undo()
    write_shards(store, tmp_path / "shards", SMALL)
    assert_equal_slices(Store.open(store), Store.open(tmp_path / "shards"))


@pytest.mark.parametrize("damage", ["a flipped bit", "a cut", "an older shard"])
def test_damaged_shards_are_refused(store: Path, tmp_path: Path, damage: str) -> None:
    write_shards(store, tmp_path / "shards", SMALL)
    first, second = sorted(tmp_path.glob("shards/heads/*.tar"))[:2]
    content = bytearray(first.read_bytes())
    content[5000] ^= 1
    first.write_bytes(
        {"a flipped bit": content, "a cut": content[:3000], "an older shard": second.read_bytes()}[damage]
    )
    stored = Store.open(tmp_path / "shards").sets["heads"]
    with pytest.raises(FileError, match=r"slice 0 in .*00000\.tar' is damaged"):
        stored[0]


def test_a_missing_shard_and_a_store_that_is_none_are_refused(store: Path, tmp_path: Path) -> None:
    write_shards(store, tmp_path / "shards", SMALL)
    next(tmp_path.glob("shards/heads/00000.tar")).unlink()
    with pytest.raises(FileError, match=r"00000\.tar' cannot be used \(there is no such file\)"):
        Store.open(tmp_path / "shards").sets["heads"][0]
    with pytest.raises(FileError, match="holds no prepared set"):
        write_shards(tmp_path / "nothing", tmp_path / "other")
    with pytest.raises(FileError, match="is the store itself"):
        write_shards(store, store)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new bucket on a local server that speaks S3's protocol."""
    with object_store("shards-of-a-test", monkeypatch):
        yield "s3://shards-of-a-test"


def test_shards_in_an_object_store(store: Path, bucket: str) -> None:
    write_shards(store, f"{bucket}/deep/folder", SMALL)
    assert_equal_slices(Store.open(store), Store.open(f"{bucket}/deep/folder/"))


def test_a_bucket_that_is_missing_is_an_error_without_credentials(store: Path, bucket: str) -> None:
    with pytest.raises(FileError, match=r"'s3://another-bucket/heads/00000\.tar' cannot be used") as caught:
        write_shards(store, "s3://another-bucket")
    assert "of-a-test" not in str(caught.value)
    assert json.dumps(str(caught.value)).count("\\n") == 0


def test_a_bucket_without_rights_is_an_error_without_credentials(
    store: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(store, bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another-key-of-a-test")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    refuse = set_initial_no_auth_action_count(0)  # from now on the server knows who may do what: nobody
    for action in (lambda: Store.open(bucket), lambda: write_shards(store, f"{bucket}/another")):
        with pytest.raises(FileError, match=rf"'{bucket}.*' cannot be used \(access is denied\)") as caught:
            refuse(action)()
        assert "of-a-test" not in str(caught.value).replace(bucket, "")
        assert "\n" not in str(caught.value)


def test_a_protocol_without_a_package_is_an_error(store: Path) -> None:
    with pytest.raises(FileError, match="no package here opens 'nonsense://'"):
        Store.open("nonsense://somewhere")
