"""The commands that the README and the hand-written pages show, in blocks of ``console``.

A command's output stands under it; a line of three dots there stands for any lines. A comment before the block says why
it is not run, ``<!-- not run: needs a cluster -->``, and which file stands in for what it would have written:
``<!-- not run: takes a minute; lab.json = data/profiles/squeezenet.json -->``. ``$ cat FILE`` makes the file shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^>]*?) -->\n)?```console\n(?P<body>.*?)```", flags=re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", flags=re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command as a page shows it; ``why_not`` says why it is not run, ``stands_in`` what files it leaves anyway."""

    page: Path
    line: str
    output: str
    why_not: str = ""
    stands_in: tuple[tuple[str, str], ...] = ()


def commands(page: Path) -> list[Command]:
    """Return the commands of a page, in their order."""
    return [command for block in BLOCK.finditer(page.read_text()) for command in _of_block(page, block)]


def _of_block(page: Path, block: re.Match[str]) -> list[Command]:
    why, *files = (part.strip() for part in (block["why"] or "").split(";"))
    stands_in = tuple(tuple(re.split(r"\s*=\s*", one)) for one in files)
    _, *parts = COMMAND.split(block["body"])
    lines = (line.replace("\\\n", " ") for line in parts[::2])
    return [Command(page, *found, why, stands_in) for found in zip(lines, parts[1::2], strict=True)]


def shows(output: str, printed: str) -> bool:
    """Return whether the output that a page shows is what was printed."""
    parts = re.split(r"^\.\.\.$", output.strip("\n"), flags=re.MULTILINE)
    return re.fullmatch(".*".join(re.escape(part.strip("\n")) for part in parts), printed.strip("\n"), re.DOTALL) is not None
