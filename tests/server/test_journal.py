"""The journal: what is appended is there, what a crash cut is not, and damage loses nothing before it."""

from pathlib import Path

import pytest

from mvg.server.journal import Journal


def test_entries_in_their_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a" / "journal.jsonl")
    assert journal.entries() == []
    for number in range(3):
        journal.append({"op": "correct", "number": number})
    journal.close()
    journal.append({"op": "undo"})
    assert [entry.get("number") for entry in Journal(journal.path).entries()] == [0, 1, 2, None]


@pytest.mark.parametrize("cut", [1, 5, 19])
def test_a_line_that_was_cut_is_no_entry(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"number": 1})
    size = journal.path.stat().st_size
    journal.append({"number": 2222222222})
    journal.close()
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: len(content) - cut])
    again = Journal(journal.path)
    assert again.entries() == [{"number": 1}]
    assert journal.path.stat().st_size == size
    again.append({"number": 3})
    assert again.entries() == [{"number": 1}, {"number": 3}]
    assert not list(tmp_path.glob("*.damaged"))


def test_what_follows_damage_is_kept_beside(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.path.write_bytes(b'{"number":1}\n\x00\x00junk\n{"number":2}\n')
    assert journal.entries() == [{"number": 1}]
    assert journal.path.with_suffix(".damaged").read_bytes() == b'\x00\x00junk\n{"number":2}\n'


def test_an_entry_that_could_not_be_written_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"number": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            journal.append({"number": 2})
    journal.append({"number": 3})
    assert journal.entries() == [{"number": 1}, {"number": 3}]
