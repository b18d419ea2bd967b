"""Networks that come with the package: their names, their files, and what every one that is shipped must have."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualgan import load_discriminator, load_generator
from dualgan.data import ImageDataModule
from dualgan.studies.samples import sample_sheet
from dualgan.weights.pretrained import (
    CARD_ENTRIES,
    PICTURE,
    SHOWPIECE,
    Pretrained,
    find_pretrained,
    pretrained_networks,
    showpiece,
)
from tests.conftest import ENTRY
from tests.shipping import tool

MAX_BYTES = 16_000_000
NEAR = 8  # of 255: other machines add in another order
SHIPPED = list(pretrained_networks().values())


def check_entry(entry: Pretrained) -> None:
    """What holds for every network that is shipped."""
    card = entry.card()
    assert card.keys() >= set(CARD_ENTRIES)
    assert card["training"]["hours"] >= 0
    assert {"kimg", "machine", "seed", "data_fingerprint"} <= card["training"].keys()
    assert all(isinstance(value, float) for value in card["scores"].values())
    assert card["commands"][0].startswith("dualgan fit ")
    assert card["commands"][1].startswith(f"dualgan evaluate --ckpt {entry.name} ")
    assert card["data"]["class_path"] in ImageDataModule.registry
    assert card["weights"]["difference"] <= 1 / 255
    G, D = load_generator(entry.name), load_discriminator(entry.name)
    assert {tensor.dtype for network in (G, D) for tensor in network.state_dict().values()} <= {
        torch.float32,
        torch.int64,
    }
    size = card["picture"]
    sheet = sample_sheet(G, size["rows"], size["columns"], seed=size["first_seed"])
    picture = np.asarray(Image.open(entry.picture)).reshape(sheet.shape)
    assert np.abs(picture.astype(int) - sheet.astype(int)).max() <= NEAR
    assert D.num_channels == G.num_channels
    assert D.resolution == G.resolution == card["data"]["init_args"]["resolution"]


@pytest.mark.parametrize("name", [entry.name for entry in SHIPPED])
def test_shipped_networks_are_what_their_cards_say(name: str) -> None:
    check_entry(pretrained_networks()[name])


@pytest.mark.parametrize("name", [entry.name for entry in SHIPPED])
def test_the_page_lists_shipped_networks(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "pretrained.md"
    assert tool().row(name, pretrained_networks()[name].card()["about"]) in page.read_text().splitlines()


def test_a_new_entry_is_what_its_card_says(pretrained: Path) -> None:
    check_entry(pretrained_networks()[ENTRY])


def test_the_showpiece_is_the_one_whose_card_says_so(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "two"
    shutil.copytree(pretrained, folder)
    for file in pretrained.glob(f"{ENTRY}.*"):
        shutil.copy(file, folder / f"first{file.suffix}")
    monkeypatch.setattr("dualgan.weights.pretrained.FOLDER", folder)
    by_default = showpiece()
    with (folder / f"{ENTRY}.yaml").open("a") as card:
        card.write("showpiece: true\n")
    chosen = showpiece()
    assert by_default is not None
    assert chosen is not None
    assert (by_default.name, chosen.name) == ("first", ENTRY)


def test_one_shipped_network_is_the_showpiece() -> None:
    assert len([entry.name for entry in SHIPPED if entry.card().get(SHOWPIECE)]) == 1


def test_shipped_networks_are_small() -> None:
    assert sum(entry.file.stat().st_size for entry in SHIPPED) <= MAX_BYTES
    assert tool().BUDGET == MAX_BYTES
    assert all(entry.picture.stat().st_size < 1_000_000 for entry in SHIPPED)


def test_a_name_loads_without_a_network_connection(pretrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    z = torch.randn(2, 16)
    by_path = load_generator(pretrained / f"{ENTRY}.safetensors")
    assert torch.equal(load_generator(ENTRY)(z, noise_mode="const"), by_path(z, noise_mode="const"))


def test_the_shipped_files_do_not_change_images(pretrained: Path, finished_run: Callable[[], Path]) -> None:
    z = torch.randn(64, 16)
    images = [
        load_generator(place)(z, noise_mode="const") for place in (ENTRY, finished_run() / "checkpoints/last.ckpt")
    ]
    assert 0 < (images[0] - images[1]).abs().max() / 2 <= 1 / 255


@pytest.mark.parametrize("place", [f"{ENTRY}/checkpoints/last.ckpt", f"{ENTRY}/last.ckpt", ENTRY])
def test_files_and_runs_of_that_name_go_before(place: str, pretrained: Path, in_empty_folder: Path) -> None:
    assert find_pretrained(ENTRY) is not None
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_bytes(b"mine")
    assert find_pretrained(ENTRY) is None
    with pytest.raises(ValueError, match=f"{ENTRY} is a folder|cannot read {ENTRY}"):
        load_generator(ENTRY)


def test_folders_of_images_of_that_name_do_not(pretrained: Path, in_empty_folder: Path) -> None:
    Path(ENTRY).mkdir()
    (Path(ENTRY) / "seed0.png").touch()
    assert load_generator(ENTRY).z_dim == 16


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tiny-cont", "did you mean 'tiny-contr'?"),
        ("TINY-CONTR", "did you mean 'tiny-contr'?"),
        ("runs/x/last.ckpt", f"network: {ENTRY}"),
    ],
)
def test_unknown_names_and_mistyped_files_show_the_names(name: str, hint: str, pretrained: Path) -> None:
    with pytest.raises(ValueError, match=r"no file at .* or the name of a pretrained network: tiny-contr") as error:
        load_generator(name)
    assert str(error.value).endswith(hint)


def test_no_names_are_shown_where_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dualgan.weights.pretrained.FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"last\.ckpt$"):
        load_generator("tiny-contr")


@pytest.mark.parametrize("damage", ["other file", "no card", "short card", "no YAML"])
def test_damaged_entries_are_noticed(
    damage: str, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(pretrained, folder)
    monkeypatch.setattr("dualgan.weights.pretrained.FOLDER", folder)
    entry = pretrained_networks()[ENTRY]
    if damage == "other file":
        with entry.file.open("ab") as file:
            file.write(b"x")
    elif damage == "no card":
        entry.card_file.unlink()
    else:
        entry.card_file.write_text("about: x\n" if damage == "short card" else "a: [")
    expected = {
        "other file": "sha256",
        "no card": "No such file",
        "short card": "license, training",
        "no YAML": "no card",
    }
    with pytest.raises(ValueError, match=expected[damage]) as error:
        entry.card()
    assert "install dualgan anew" in str(error.value)
    assert "\n" not in str(error.value)


def test_every_file_of_the_folder_belongs_to_a_network() -> None:
    for entry in SHIPPED:
        assert entry.picture.suffix == PICTURE
        assert entry.card_file.is_file()
    folder = {path.stem for one in SHIPPED[:1] for path in one.file.parent.iterdir()}
    assert folder <= {entry.name for entry in SHIPPED}
