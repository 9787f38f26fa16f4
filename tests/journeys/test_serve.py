"""`mvg serve`: what cannot be served is said in one line, before anything is written."""

import socket
from pathlib import Path

import pytest

from mvg.app.demo.studies import write_demo_studies
from mvg.server.scanning import scan
from tests.journeys.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing",), "no folder 'missing'"), ((".", "--host", "0.0.0.0"), "add --token new"),
        ((".", "--token", "short"), "16 or more"), ((".", "--demo"), "--demo and a folder"),
        ((".", "--port", "70000"), "equal to 65535"), ((".", "--weights", "none", "--host", "192.168.0.1"), "a token"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(
    run: Run, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("serve", "--no-browser", *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken(run: Run, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = run("serve", tmp_path, "--no-browser", "--port", other.getsockname()[1])
    assert result.code == 2
    assert "choose another with --port" in result.err
    assert not list(tmp_path.iterdir())


def test_unknown_weights_are_named_before_the_server_starts(run: Run, tmp_path: Path) -> None:
    result = run("serve", tmp_path, "--no-browser", "--port", 0, "--weights", "none-such")
    assert result.code == 2
    assert "none-such" in result.err
    assert not list(tmp_path.iterdir())


def test_the_demo_has_studies_and_labels_beside_one(tmp_path: Path) -> None:
    write_demo_studies(tmp_path / "demo")
    studies = scan(tmp_path / "demo")
    assert [study.path for study in studies if study.labels] == ["brain-upper.nii.gz"]
    assert len(studies) == 5
