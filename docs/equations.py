"""A hook of the documentation site: equations become MathML when the site is built, so that no script is fetched."""

import re
from html import unescape

from latex2mathml.converter import convert

_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(html: str, **_: object) -> str:
    """Replace each equation that the Markdown extension `arithmatex` marked. LaTeX that cannot be read raises."""
    return _EQUATION.sub(_mathml, html)


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match.group(2) == "[" else "inline"
    return convert(unescape(match.group(3)).strip(), display=display)
