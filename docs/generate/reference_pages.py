"""The pages of reference that the code itself can print: commands, encodings, the schema of a profile."""

from __future__ import annotations

import json
import re

from speedup import Profile
from speedup.cli import app
from speedup.listings import encoding_rows
from speedup.payloads import ENCODINGS
from speedup.units import show_bytes

CLI_HEAD = """\
# Command line

Generated from the command's own help by `docs/generate`. Standard output carries the result alone; progress, warnings
and errors go to standard error. `--json` prints one JSON document, whose `schema` names its kind and version. The
command ends with 0 when it answered ("use one worker" is an answer), 1 when a stated accuracy does not hold, 2 for bad
usage or a bad value, 3 for a bad file, 4 when software or a device is missing, 5 when a measurement was too unstable,
130 when it was interrupted.
"""

ENCODINGS_HEAD = """\
# Encodings

Generated from `speedup.payloads` by `docs/generate`; `speedup encodings PROFILE` prints the sizes for your network. The
bytes below are those of `{profile}` ({parameters:,} parameters). `up` names the encoding of gradients, `down` that of
weights; [what they make of four networks](payloads.md) is measured and estimated.

| name | for | lossy | sends | bytes | of 32-bit floats | source |
| --- | --- | --- | --- | ---: | ---: | --- |
"""

EXAMPLE = "squeezenet-xeon-b16"


def cli() -> str:
    """Return the page of all commands and their options."""
    printed = app.generate_docs()
    _, _, commands = printed.partition("**Commands**:\n")
    return f"{CLI_HEAD}\n## Commands\n{_plain(commands)}".rstrip() + "\n"


def _plain(text: str) -> str:
    """Return the text without the markup of another format that docstrings are written in."""
    return re.sub(r"(?<!`)``([^`\n]+)``(?!`)", r"`\1`", text.replace("```console", "```text"))


def encodings() -> str:
    """Return the page of all encodings."""
    load = Profile.load(EXAMPLE).workload
    head = ENCODINGS_HEAD.format(profile=EXAMPLE, parameters=load.parameters)
    rows = zip(encoding_rows(load), ENCODINGS.values(), strict=True)
    return head + "".join(
        f"| `{row['name']}` | {row['for']} | {row['lossy']} | {row['sends']} | {_bytes(row['payload_bytes'])} | "
        f"{row['share'] or '-'} | {kind.source} |\n"
        for row, kind in rows
    )


def _bytes(size: int | None) -> str:
    return "-" if size is None else show_bytes(size)


def profile_schema() -> str:
    """Return the JSON Schema of a profile file."""
    return json.dumps(Profile.json_schema(), indent=1) + "\n"
