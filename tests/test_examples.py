"""Example pictures of the documentation: studies have one, of a network that comes along, and can be drawn anew."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from dualgan.weights.pretrained import pretrained_networks
from tests import shipping
from tests.conftest import ENTRY

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = {
    "studies.md": {"samples", "neighbors", "interpolate", "video", "mix", "directions", "project", "tsne", "spectra"},
    "attention.md": {"attention"},
}
MOST = 400_000  # bytes of a picture: every clone of the repository has all of them


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return shipping.tool("draw_examples")


@pytest.mark.parametrize("page", EXAMPLES)
def test_pages_show_what_their_commands_write(tool: ModuleType, page: str) -> None:
    found = {example.words[0]: example for example in tool.examples((DOCS / page).read_text())}
    assert found.keys() == EXAMPLES[page]
    for example in found.values():
        given = dict(zip(example.words, example.words[1:], strict=False))
        assert given["--ckpt"] in pretrained_networks()
        picture = DOCS / example.picture
        assert picture.name == given["--out"]
        assert picture.stat().st_size < MOST
        assert given["--out"] in example.said


def test_pictures_and_output_are_brought_up_to_date(
    tool: ModuleType, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, name = tmp_path / "page.md", "images/some/sheet.png"
    command = f"$ dualgan samples --ckpt {ENTRY} --rows 1 --columns 2 --out sheet.png"
    form = f"Before.\n\n```\n{command}\n{{}}\n```\n\n![A sheet]({name})\n\nAfter.\n"
    page.write_text(form.format("Old words"))
    monkeypatch.setattr(sys, "argv", ["draw_examples.py", str(page), "--only", "samples"])
    tool.main()
    assert page.read_text() == form.format("Wrote 1 rows of 2 images to sheet.png")
    with Image.open(tmp_path / name) as image:
        assert image.width == 2 * image.height
