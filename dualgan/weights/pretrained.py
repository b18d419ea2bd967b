"""Trained networks that come with the package, each with a card and a picture, found by name and without a network."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from dualgan.files.atomic import file_sha256
from dualgan.files.yaml_text import load_yaml

FOLDER = Path(__file__).parents[1] / "pretrained"
NETWORKS, CARD, PICTURE = ".safetensors", ".yaml", ".png"
CARD_ENTRIES = ("about", "license", "training", "commands", "scores", "scored", "weights", "picture", "data")
"""What a card says: in words what it is; under which terms; data, length, hours, machine and seed of the training; the
commands that repeat it; its scores by their names, and how they were measured; its file; its picture; and the real
images, as the data section of a configuration, which commands take for those of the network."""
SHOWPIECE = "showpiece"
"""What the card of one network says as well: it is shown to those who name none."""


@dataclass(frozen=True)
class Pretrained:
    """One of the trained networks.

    Attributes:
        name: Its name.
        file: Its networks, NAME.safetensors; card and picture lie beside it.
    """

    name: str
    file: Path

    @property
    def card_file(self) -> Path:
        """Its card, a configuration with a data section and more."""
        return self.file.with_suffix(CARD)

    @property
    def picture(self) -> Path:
        """Images of consecutive seeds."""
        return self.file.with_suffix(PICTURE)

    def card(self) -> dict[str, Any]:
        """The card's entries, all of `CARD_ENTRIES` among them.

        Raises:
            ValueError: The card is missing or damaged, or the file is another one than that of the card.
        """
        advice = "install dualgan anew"
        try:
            content = load_yaml(self.card_file.read_bytes())
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.card_file} is no card ({' '.join(str(error).split())}): {advice}") from error
        missing = [entry for entry in CARD_ENTRIES if not isinstance(content, dict) or not content.get(entry)]
        if missing:
            raise ValueError(f"{self.card_file} does not say {', '.join(missing)}: {advice}")
        if content["weights"]["sha256"] != (found := file_sha256(self.file)):
            raise ValueError(
                f"{self.file} is not the file of its card: its sha256 begins with {found[:16]}, expected "
                f"{content['weights']['sha256'][:16]}: {advice}"
            )
        card: dict[str, Any] = content
        return card


def pretrained_networks() -> dict[str, Pretrained]:
    """All of them by name."""
    return {path.stem: Pretrained(path.stem, path) for path in sorted(FOLDER.glob(f"*{NETWORKS}"))}


def showpiece() -> Pretrained | None:
    """The network for those who name none: that whose card says so, otherwise the first one; None where there is none.

    Raises:
        ValueError: A card is missing or damaged.
    """
    every = pretrained_networks().values()
    return next((one for one in every if one.card().get(SHOWPIECE) is True), next(iter(every), None))


def find_pretrained(place: str | os.PathLike[str]) -> Pretrained | None:
    """The network that a name stands for; None where it is no such name, or a file or a run's folder is there.

    What the user has goes before what we ship. A folder without checkpoints, such as one of images that were generated
    with the network, is no run's.
    """
    found = pretrained_networks().get(os.fspath(place))
    return None if found is not None and (Path(place).is_file() or _holds_checkpoints(Path(place))) else found


def _holds_checkpoints(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("*.ckpt", "checkpoints/*.ckpt"))


def networks_file(place: str | os.PathLike[str]) -> str:
    """The path of a file, where the name of a pretrained network may stand for one; anything else as it is."""
    found = find_pretrained(place)
    return os.fspath(place) if found is None else os.fspath(found.file)


def pretrained_of(file: str | os.PathLike[str]) -> Pretrained | None:
    """The pretrained network whose file this is; None for other files."""
    path = Path(file).resolve()
    return next((one for one in pretrained_networks().values() if one.file.resolve() == path), None)


def shown_name(file: str | os.PathLike[str]) -> str:
    """How results name a file: a pretrained network by its name, others by their path."""
    found = pretrained_of(file)
    return os.fspath(file) if found is None else found.name


def known_names(place: str | os.PathLike[str]) -> str:
    """The end of a message about a file that is not there: which names there are, and the closest one."""
    if not (names := list(pretrained_networks())):
        return ""
    close = get_close_matches(Path(place).name.lower(), names, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f", or the name of a pretrained network: {', '.join(names)}{hint}"
