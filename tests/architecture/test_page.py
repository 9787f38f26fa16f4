"""The page of the workbench: what its files may hold, how long they are, and how much is sent."""

import gzip
import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

PAGE = ROOT / "src" / "mvg" / "server" / "page"
MOST_LINES, LONGEST_LINE = 300, 200
MOST_BYTES = 3 * 2**20  # gzipped, all files together

_INLINE = re.compile(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
_MARKUP = re.compile(r"\.(?:innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|\beval\(|new Function\(")
_ELSEWHERE = re.compile(r"""(?:src|href|from|import|url)\s*[=(]?\s*["'(]\s*(?:https?:)?//""", re.IGNORECASE)
_IMPORT = re.compile(r"""(?:from|import)\s+["'](\.[^"']+)["']""")


def sources(*suffixes: str) -> list[Path]:
    """Our files of the page; what is vendored is left alone."""
    files = [path for path in PAGE.rglob("*") if path.suffix in suffixes]
    return [path for path in files if "vendor" not in path.relative_to(PAGE).parts]


def offenders(pattern: re.Pattern[str], *suffixes: str) -> dict[str, list[str]]:
    matches = {path.name: pattern.findall(path.read_text(encoding="utf-8")) for path in sources(*suffixes)}
    return {name: texts for name, texts in matches.items() if texts}


def test_nothing_is_inline_and_no_markup_is_made_of_strings() -> None:
    """The content security policy refuses the first; names of files and labels must not become code by the second."""
    assert offenders(_INLINE, ".html", ".svg") == {}
    assert offenders(_MARKUP, ".js") == {}


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert offenders(_ELSEWHERE, ".html", ".js", ".css") == {}


def test_modules_are_short() -> None:
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in sources(".js")}
    assert {name: len(text) for name, text in lines.items() if len(text) > MOST_LINES} == {}
    assert {name for name, text in lines.items() if max(map(len, text)) > LONGEST_LINE} == set()


def test_modules_say_what_they_are_for() -> None:
    assert {path.name for path in sources(".js") if not path.read_text(encoding="utf-8").startswith("// ")} == set()


def test_every_import_exists() -> None:
    imports = {path: _IMPORT.findall(path.read_text(encoding="utf-8")) for path in sources(".js")}
    missing = [
        (path.name, name) for path, names in imports.items() for name in names if not (path.parent / name).is_file()
    ]
    assert missing == []


def test_the_page_is_small() -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= MOST_BYTES


def test_what_is_vendored_has_its_license() -> None:
    folders = [path for path in (PAGE / "vendor").iterdir() if path.is_dir()]
    assert folders
    assert {path.name for path in folders if not (path / "LICENSE").is_file()} == set()


class TestTheRulesBite:
    @pytest.mark.parametrize("text", ['<p style="color: red">', '<a onclick="go()">', "<script>1</script>", "<style>"])
    def test_inline(self, text: str) -> None:
        assert _INLINE.search(text)
        assert not _INLINE.search('<script type="module" src="main.js"></script>')

    @pytest.mark.parametrize("text", ["a.innerHTML = b", "eval(text)", "new Function(text)"])
    def test_markup(self, text: str) -> None:
        assert _MARKUP.search(text)

    @pytest.mark.parametrize("text", ['src="https://a.b/c.js"', 'from "//a.b"', 'url("http://a.b/c.woff2")'])
    def test_elsewhere(self, text: str) -> None:
        assert _ELSEWHERE.search(text)
        assert not _ELSEWHERE.search('xmlns="http://www.w3.org/2000/svg"')
