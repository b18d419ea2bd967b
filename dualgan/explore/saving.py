"""Files of what the page shows: the picture, and the latents it is made of."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save

from dualgan.explore.engine import Explorer, Shown
from dualgan.explore.settings import Settings
from dualgan.files.atomic import naming, write_whole
from dualgan.pictures.grids import png
from dualgan.studies.films import network_of_latents
from dualgan.terminal.console import printable

FORM = "explored{:04d}"


def save_shown(folder: Path, settings: Settings, shown: Sequence[tuple[Explorer, Shown]]) -> list[Path]:
    """Write NAME.png and NAME.safetensors for every network under the next free name; nothing is replaced.

    The latents are `ws` [1, L, W], which `generator.synthesis(ws, noise_mode=...)` takes, and without a mapping network
    `styles`; the file's metadata say settings, checkpoint, a digest of its mapping network, and class.

    Returns:
        The files.

    Raises:
        OSError: They cannot be written.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    number, written = _free(folder), []
    for k, (explorer, one) in enumerate(shown, start=1):
        stem = FORM.format(number) + (f"-{k}" if len(shown) > 1 else "")
        about = {
            "checkpoint": printable(explorer.name),
            "network": network_of_latents(explorer.generator),
            "settings": json.dumps(asdict(settings)),
            "label": "" if one.made_of.label is None else str(one.made_of.label),
        }
        name = "ws" if explorer.space.mapped is not None else "styles"
        tensors = {name: one.made_of.styles.cpu().contiguous()}
        for ending, content in ((".png", png(one.image)), (".safetensors", save(tensors, metadata=about))):
            write_whole(folder / (stem + ending), content)
            written.append(folder / (stem + ending))
    return written


def _free(folder: Path) -> int:
    """The number after the largest one that is there."""
    begin = len(FORM.partition("{")[0])
    digits = (path.stem[begin:].partition("-")[0] for path in folder.glob(FORM.partition("{")[0] + "*"))
    return 1 + max((int(word) for word in digits if word.isdecimal()), default=0)
