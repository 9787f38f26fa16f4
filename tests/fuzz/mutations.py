"""Damages to the bytes of a file."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

_ABSURD = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_NUMBERS = (b"-1", b"0", b"99999999999", b"1e308", b"nan", b"inf", b'"a"', b"[]", b"{}", b"null")
_HEADER = 400  # bytes at the beginning, where most formats keep sizes


@dataclass(frozen=True)
class Damaged:
    """The bytes of a damaged file; is_image: False where nothing of an image can be left in it."""

    content: bytes
    name: str
    is_image: bool = True


def mutate(content: bytes, generator: random.Random) -> Damaged:
    """One to three damages, or one that leaves no image at all."""
    if generator.random() < 0.1:
        name, change = generator.choice([*_DESTROYING.items()])
        return Damaged(change(content, generator), name, False)
    names = list[str]()
    for _ in range(generator.randint(1, 3)):
        name, change = generator.choice([*_DAMAGING.items()])
        content = change(content, generator)
        names.append(name)
    return Damaged(content, "+".join(names))


def flip_bits(content: bytes, generator: random.Random) -> bytes:
    """Single bits anywhere."""
    changed = bytearray(content)
    for _ in range(generator.choice((1, 4, 32))):
        if changed:
            changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def flip_header(content: bytes, generator: random.Random) -> bytes:
    """Single bits of the header."""
    return flip_bits(content[:_HEADER], generator) + content[_HEADER:]


def cut(content: bytes, generator: random.Random) -> bytes:
    """The end is missing."""
    return content[: int(len(content) * generator.uniform(0.3, 1))]


def absurd_number(content: bytes, generator: random.Random) -> bytes:
    """An integer of the header is absurdly large, zero or negative."""
    changed = bytearray(content)
    form = generator.choice(("<H", "<I", ">I", "<Q"))
    size = struct.calcsize(form)
    if len(changed) > size:
        at = generator.randrange(min(_HEADER, len(changed) - size))
        changed[at : at + size] = struct.pack(form, generator.choice(_ABSURD) & (256**size - 1))
    return bytes(changed)


def absurd_text(content: bytes, generator: random.Random) -> bytes:
    """A number in text is replaced."""
    digits = [at for at, byte in enumerate(content[:4000]) if 48 <= byte <= 57]
    if not digits:
        return content
    at = generator.choice(digits)
    end = at
    while end < len(content) and 48 <= content[end] <= 57:
        end += 1
    return content[:at] + generator.choice(_NUMBERS) + content[end:]


def swap_blocks(content: bytes, generator: random.Random) -> bytes:
    """Two blocks change their order."""
    if len(content) < 64:
        return content
    size = generator.choice((4, 16, 64))
    first, second = sorted(generator.sample(range(0, len(content) - size), 2))
    changed = bytearray(content)
    changed[first : first + size], changed[second : second + size] = (
        content[second : second + size], content[first : first + size],
    )  # fmt: skip
    return bytes(changed[: len(content)])


def repeat_block(content: bytes, generator: random.Random) -> bytes:
    """A block occurs many times."""
    at = generator.randrange(len(content) + 1)
    return content[:at] + content[at : at + 16] * generator.choice((2, 100)) + content[at:]


def nothing(content: bytes, generator: random.Random) -> bytes:
    """No byte at all."""
    return b""


def noise(content: bytes, generator: random.Random) -> bytes:
    """Random bytes alone."""
    return generator.randbytes(generator.choice((1, 200, len(content))))


def text(content: bytes, generator: random.Random) -> bytes:
    """A page of words, as a server sends for a file that it lacks."""
    return b"<html><body>404 not found</body></html>" * generator.choice((1, 100))


def stump(content: bytes, generator: random.Random) -> bytes:
    """The first bytes alone."""
    return content[: generator.randrange(min(len(content), 100))]


_Change = Callable[[bytes, random.Random], bytes]
_DAMAGING: dict[str, _Change] = {
    change.__name__: change
    for change in (flip_bits, flip_header, cut, absurd_number, absurd_text, swap_blocks, repeat_block)
}
_DESTROYING: dict[str, _Change] = {change.__name__: change for change in (nothing, noise, text, stump)}
