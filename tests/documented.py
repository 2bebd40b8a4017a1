"""The commands that the README and the hand-written pages show, in blocks of ``console``.

A command's output stands under it; three dots at its end stand for the lines that are left out. A comment before the
block says why it is not run, ``<!-- not run: needs a cluster -->``, and may name files that stand in for what it would
have written: ``<!-- not run: takes a minute; lab.json = data/profiles/squeezenet.json -->``. ``$ cat FILE`` makes the
file that it shows.

After a change of what commands print, ``python tests/documented.py`` writes their output into the pages anew.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATED = runpy.run_path(str(ROOT / "docs" / "generate"))["PAGES"]
DOTS = "..."
README_NOT_RUN = {
    "make": "installs, and takes minutes",
    "pip": "installs",
    "speedup calibrate": "measures for minutes",
    "speedup compare PROFILE": "its words stand for files",
    "speedup explore": "opens a browser",
    "speedup fit": "needs files of the reader's; the how-to pages have some",
    "speedup predict": "needs profiles that were measured here",
    "speedup recommend PROFILE": "its words stand for files",
    "speedup recommend squeezenet --network lab.json": "needs a measured link",
    "speedup report": "has tests of its own, in a browser",
    "speedup run": "needs a cluster",
    "speedup testbed": "takes minutes, and needs to be allowed to make network namespaces",
    "speedup train": "needs the images of MNIST, and minutes",
    "speedup transport": "needs a cluster",
    "speedup validate": "takes minutes; the tests of validation do the same",
}
"""By their beginnings, the commands of the README that show no output and are not run; it has no comments for that."""
_BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^>]*?) -->\n)?```console\n(?P<body>.*?)```", flags=re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", flags=re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command as a page shows it; ``why_not`` says why it is not run, ``stands_in`` what it leaves all the same."""

    page: Path
    line: str
    output: str
    why_not: str = ""
    stands_in: tuple[tuple[str, str], ...] = ()

    @property
    def makes(self) -> str | None:
        """Name of the file that it shows and so makes."""
        return self.line.removeprefix("cat ") if self.line.startswith("cat ") else None


def pages() -> list[Path]:
    """Return the pages that were written by hand, and show commands."""
    written = [path for path in ROOT.glob("docs/**/*.md") if str(path.relative_to(ROOT / "docs")) not in GENERATED]
    return [path for path in [ROOT / "README.md", *sorted(written)] if "```console" in path.read_text()]


def commands(page: Path) -> list[Command]:
    """Return the commands of a page, in their order."""
    found = [command for block in _BLOCK.finditer(page.read_text()) for command in _of_block(page, block)]
    return [_as_readme(one) for one in found] if page.name == "README.md" else found


def _as_readme(command: Command) -> Command:
    """Return a command of the README with the reason why it is not run, if there is one."""
    reasons = (why for start, why in README_NOT_RUN.items() if command.line.startswith(start) and not command.output)
    return replace(command, why_not=command.why_not or next(reasons, ""))


def _of_block(page: Path, block: re.Match[str]) -> list[Command]:
    why, *files = (part.strip() for part in (block["why"] or "").split(";"))
    stands_in = tuple((name.strip(), source.strip()) for name, _, source in (one.partition("=") for one in files))
    _, *parts = _COMMAND.split(block["body"])
    lines = (line.replace("\\\n", " ") for line in parts[::2])
    return [Command(page, *found, why, stands_in) for found in zip(lines, parts[1::2], strict=True)]


def shown(output: str, printed: str) -> str:
    """Return the part of what was printed that a page shows, in the place of its output."""
    if not output.rstrip().endswith(DOTS):
        return printed.rstrip()
    return "\n".join([*printed.splitlines()[: output.rstrip().count("\n")], DOTS])


def run(command: Command, folder: Path) -> str:
    """Run a command in a folder, and return what it printed."""
    python = shlex.quote(sys.executable)
    line = re.sub(r"^python(?= )", python, re.sub(r"^(?=speedup )", f"{python} -m ", command.line))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPEEDUP_STORE": str(folder / "store")}
    return subprocess.run(
        line, shell=True, cwd=folder, env=environment, text=True, check=True, capture_output=True
    ).stdout


def play(page: Path, folder: Path) -> list[tuple[Command, str]]:
    """Do in a folder what a page says, and return the commands that were run with what they printed."""
    done = []
    for command in commands(page):
        for name, source in command.stands_in:
            shutil.copy(ROOT / source, folder / name)
        if command.makes:
            (folder / command.makes).write_text(command.output)
        elif not command.why_not:
            done.append((command, run(command, folder)))
    return done


def main() -> None:
    """Write what commands print into the pages that show it."""
    for page in pages():
        if page.name == "README.md":
            continue
        text = page.read_text()
        with tempfile.TemporaryDirectory() as folder:
            for command, printed in play(page, Path(folder)):
                if command.output.strip() not in {"", DOTS}:
                    new = f"$ {command.line}\n{shown(command.output, printed)}\n"
                    text = text.replace(f"$ {command.line}\n{command.output}", new)
        page.write_text(text)


if __name__ == "__main__":
    main()
