"""The order of studies in a list: what needs a look first, what is done last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mvg.server.index import Index, Query, Work
from mvg.server.scanning import StudyFile

WORKS = {
    "a done, bad": Work("done", 0.2),
    "b answered, good": Work("answered", 0.9),
    "c new": Work("new", None),
    "d answered, bad": Work("answered", 0.4),
    "e correcting": Work("correcting", 0.7),
    "f done, good": Work("done", 0.95),
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Six studies of a task."""
    index = Index(tmp_path / "index.sqlite")
    files = {name: StudyFile(f"{name}.nii", ".nii", 10, 1.0, None, None) for name in WORKS}
    index.replace_studies(files.values())
    for name, work in WORKS.items():
        index.set_work("t", files[name].id, work)
    yield index
    index.close()


def listed(index: Index, **query: object) -> list[str]:
    return [row.file.path[0] for row in index.studies(Query("t", **query))]  # type: ignore[arg-type]


def test_the_worst_estimate_comes_first_and_done_comes_last(index: Index) -> None:
    assert listed(index, sort="quality") == ["d", "e", "b", "c", "a", "f"]
    assert listed(index, sort="quality", order="desc") == ["b", "e", "d", "c", "f", "a"]


def test_pages_go_on_in_that_order(index: Index) -> None:
    pages = [listed(index, sort="quality", offset=offset, limit=2) for offset in (0, 2, 4)]
    assert pages == [["d", "e"], ["b", "c"], ["a", "f"]]


def test_what_is_being_corrected_comes_before_what_is_answered_new_and_done(index: Index) -> None:
    assert listed(index, sort="state") == ["e", "b", "d", "c", "a", "f"]


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"no database" * 1000)
    index = Index(path)
    assert index.studies(Query()) == []
    index.replace_studies([StudyFile("a.nii", ".nii", 10, 1.0, None, None)])
    assert [row.file.path for row in index.studies(Query())] == ["a.nii"]
    index.close()
