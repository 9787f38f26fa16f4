"""The code blocks of a Markdown page, and how to run them in order."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NOT_RUN = "<!-- not run:"
_BLOCK = re.compile(
    r'^(?P<mark><!-- not run: [^\n]+ -->\n)?```(?P<language>\w+)?(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block; title: the file that it is written to, or ""; runs: False where the page says "not run"."""

    language: str
    title: str
    code: str
    runs: bool


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") == 2 * len(_BLOCK.findall(text)), f"a fence of {page.name} has an unknown form"
    return [
        Block(match["language"] or "", match["title"] or "", match["code"], match["mark"] is None)
        for match in _BLOCK.finditer(text)
    ]


def commands_of(code: str) -> Iterator[list[str]]:
    """The words of each command of a bash block; a backslash continues a line, # starts a comment."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def run_page(page: Path, mvg: Callable[[list[str]], None], install: Callable[[Path], None]) -> int:
    """Run a page's blocks in the current folder; returns how many ran.

    Python blocks share one namespace. Each line of a bash block is a command, run by `mvg(words)`. A block with
    a title is written to that file; one below src/mvg is then handed to `install`.
    """
    namespace: dict[str, object] = {"__name__": "page"}
    ran = 0
    for block in blocks_of(page):
        if not block.runs or not block.language:
            continue
        ran += 1
        if block.title:
            path = Path(block.title)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            if block.title.startswith("src/mvg/"):
                install(path)
        elif block.language == "python":
            exec(compile(block.code, f"{page.name}, block {ran}", "exec"), namespace)
        elif block.language == "bash":
            for words in commands_of(block.code):
                assert words[0] == "mvg", f"{page.name}: '{words[0]}' is not run by this test; mark the block"
                mvg(words[1:])
        else:
            assert block.language in ("json", "toml"), f"{page.name}: a block of {block.language}"
    return ran
