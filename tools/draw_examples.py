"""Draw the example pictures of a page of the documentation again, and write down what the commands print.

A block of code that begins with `$ dualgan ...` and is followed by a picture `![...](images/.../NAME)` is an example
where the command writes NAME. Each is run in an empty folder, all in one process.

    python tools/draw_examples.py                            # docs/studies.md
    python tools/draw_examples.py docs/studies.md --only mix spectra
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from dualgan.cli.main import main as dualgan

PAGE = Path(__file__).parents[1] / "docs" / "studies.md"
EXAMPLE = re.compile(
    r"```\n\$ dualgan (?P<words>.*)\n(?P<said>(?:(?!```).*\n)*)```\n\n!\[[^\]]*\]\((?P<picture>images/[^)]+)\)"
)


class Example(NamedTuple):
    """A command on a page.

    Attributes:
        words: What follows `dualgan`.
        said: What it prints, as the page has it.
        picture: The file that the page shows, beside the page.
    """

    words: list[str]
    said: str
    picture: str


def examples(text: str) -> list[Example]:
    """The examples of a page."""
    found = EXAMPLE.finditer(text)
    return [Example(shlex.split(match["words"]), match["said"], match["picture"]) for match in found]


def draw(example: Example, beside: Path) -> str:
    """Run a command and put its picture beside a page; returns what it prints."""
    said, before = io.StringIO(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        os.chdir(folder)
        try:
            code = dualgan([*example.words, "--device", "cpu"])
            assert code == 0, example.words
            place = beside / example.picture
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place.name, place)
        finally:
            os.chdir(before)
    return said.getvalue()


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("page", type=Path, nargs="?", default=PAGE)
    parser.add_argument("--only", nargs="+", metavar="VERB")
    args = parser.parse_args()
    page = args.page.resolve()
    for example in examples(page.read_text(encoding="utf-8")):
        if args.only and example.words[0] not in args.only:
            continue
        said = draw(example, page.parent)
        command = f"```\n$ dualgan {shlex.join(example.words)}\n"
        text = page.read_text(encoding="utf-8")
        assert command + example.said in text
        page.write_text(text.replace(command + example.said, command + said), encoding="utf-8")
        print(f"{example.picture}: {(page.parent / example.picture).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
