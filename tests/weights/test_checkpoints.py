"""Checkpoint headers, and reading a generator back."""

from pathlib import Path
from typing import Any

import pytest
import torch

from dualgan import load_generator
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.classes import class_names, existing_classes
from dualgan.networks.sampling import drawn_classes
from dualgan.version import __version__
from dualgan.weights.checkpoints import (
    FORMAT_VERSION,
    MIGRATIONS,
    check_shapes,
    header,
    images_seen_in,
    read_checkpoint,
)

WIDTH: dict[str, Any] = {"channel_base": 64, "mapping_layers": 2}


def content(w_dim: int = 8, num_classes: int = 0) -> dict[str, Any]:
    torch.manual_seed(0)
    G = StyleGAN2Generator(8, 3, num_classes, z_dim=8, w_dim=w_dim, **WIDTH)
    D = StyleGAN2Discriminator(8, 3, num_classes, **WIDTH)
    return {
        "dualgan": header(G, D),
        "state_dict": {f"generator_ema.{name}": value for name, value in G.state_dict().items()},
    }


@pytest.mark.parametrize("num_classes", [0, 3])
def test_generator_comes_back_ready_to_use(num_classes: int, tmp_path: Path) -> None:
    made = content(num_classes=num_classes)
    torch.save(made, tmp_path / "a.ckpt")
    G = load_generator(tmp_path / "a.ckpt")
    assert not G.training
    assert not any(p.requires_grad for p in G.parameters())
    assert G.num_classes == num_classes
    for name, value in G.state_dict().items():
        assert torch.equal(value, made["state_dict"][f"generator_ema.{name}"])


class Trap:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("trapped"), "x"))


def test_code_in_a_file_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**content(), "extra": Trap()}, "a.ckpt")
    with pytest.raises(ValueError, match=r"cannot read a\.ckpt"):
        load_generator("a.ckpt")
    assert not Path("trapped").exists()


@pytest.mark.parametrize("state", [None, [1], {"generator_ema.x": 3}, {5: torch.zeros(1)}], ids=str)
def test_a_damaged_state_dict_is_named(state: Any, tmp_path: Path) -> None:
    torch.save(content() | {"state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged: its state_dict is no collection of tensors"):
        load_generator(tmp_path / "a.ckpt")


LIGHTNING = {"state_dict": {}, "pytorch-lightning_version": "2.1.0"}


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"state_dict": {}}, "not written by dualgan: expected"),
        ([1, 2], r"not written by dualgan \(it holds a list\)"),
        (LIGHTNING, "checkpoint of another program with PyTorch Lightning 2.1.0"),
        ({"weight": torch.zeros(2)}, "bare state_dict"),
        ({"dualgan": {"format_version": FORMAT_VERSION + 1, "version": "9.0"}}, "update dualgan"),
        ({"dualgan": {"format_version": 0, "version": "0.0.1"}}, f"it reads 1 to {FORMAT_VERSION}"),
        ({"dualgan": {"version": "0.1"}}, "not written by dualgan"),
    ],
)
def test_other_files_are_refused(made: Any, reason: str, tmp_path: Path) -> None:
    torch.save(made, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=reason) as error:
        read_checkpoint(tmp_path / "a.ckpt")
    assert "a.ckpt" in str(error.value)


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ckpt"
    torch.save(content(), whole)
    (tmp_path / "empty.ckpt").touch()
    (tmp_path / "cut.ckpt").write_bytes(whole.read_bytes()[:-1000])
    (tmp_path / "text.ckpt").write_text("hello")
    reasons = {"empty.ckpt": "an empty file", "cut.ckpt": "cut off", "text.ckpt": "cannot read", ".": "is a folder"}
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=reason):
            read_checkpoint(tmp_path / name)


def test_every_older_format_has_a_way_to_the_current_one() -> None:
    assert sorted(MIGRATIONS) == list(range(min(MIGRATIONS), FORMAT_VERSION))


def test_format_1_is_brought_to_the_current_one(format_1: Path) -> None:
    assert torch.load(format_1, weights_only=True)["dualgan"]["format_version"] == 1
    found = read_checkpoint(format_1)
    assert found["dualgan"]["format_version"] == FORMAT_VERSION
    assert found["run"] == {}
    with pytest.warns(UserWarning, match=r"after 2 steps up to 99\.0% too small"):
        assert load_generator(format_1).resolution == 8
    assert images_seen_in(format_1) == 16


def test_format_3_has_no_names_and_tells_the_classes_that_were_seen(format_3: Path) -> None:
    with pytest.warns(UserWarning, match=r"truncation takes it as it is stored, after 2 steps up to 99\.0% too small"):
        G = load_generator(format_3)
    assert class_names(G) == ["0", "1", "2"]
    assert existing_classes(G) == [0, 2]
    drawn = drawn_classes(G, range(50))
    assert drawn is not None
    assert set(drawn.tolist()) == {0, 2}
    stored = torch.load(format_3, weights_only=True)["state_dict"]
    own = {name: stored[f"generator_ema.mapping.{name}"] for name in ("w_avg", "w_shift_of_class")}
    assert isinstance(G, StyleGAN2Generator)
    assert torch.equal(G.mapping.mean_w(torch.arange(3)), own["w_avg"] + own["w_shift_of_class"])


@pytest.mark.parametrize(
    "classes", [["a", "b"], [["a", 1]], [["a", 1], ["b", -1]], [["a", 1], [2, 1]], {"a": 1, "b": 2}, "ab", 7], ids=str
)
def test_damaged_classes_are_named(classes: Any, tmp_path: Path) -> None:
    made = content(num_classes=2)
    made["dualgan"]["classes"] = classes
    torch.save(made, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged: its classes are no list of 2 names"):
        load_generator(tmp_path / "a.ckpt")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_unknown_network_class_is_refused(tmp_path: Path) -> None:
    made = content()
    made["dualgan"]["generator"]["class_name"] = "Popen"
    torch.save(made, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="unknown network 'Popen'"):
        load_generator(tmp_path / "a.ckpt")


def test_other_shapes_are_named() -> None:
    made, expected = content(w_dim=8), content(w_dim=16)["state_dict"]
    with pytest.raises(ValueError, match=r"does not fit .*\(8, 8\) in the file and \(16, 8\)"):
        check_shapes(made, expected)


@pytest.mark.parametrize(
    ("version", "advice"),
    [("0.0.1", r"dualgan 0\.0\.1 wrote it .* use dualgan 0\.0\.1, or rename them in MIGRATIONS"), (__version__, None)],
)
def test_unknown_keys_say_which_version_wrote_them_and_what_to_do(
    version: str, advice: str | None, tmp_path: Path
) -> None:
    made, expected = content(), content()["state_dict"]
    made["dualgan"]["version"] = version
    made["state_dict"]["generator_ema.mapping.old"] = made["state_dict"].pop("generator_ema.mapping.w_avg")
    torch.save(made, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"mapping\.old is superfluous") as reading:
        load_generator(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"mapping\.w_avg is missing") as resuming:
        check_shapes(made, expected)
    for error in (reading, resuming):
        assert ("MIGRATIONS" not in str(error.value)) if advice is None else error.match(advice)


def test_arguments_of_another_version_say_which(tmp_path: Path) -> None:
    made = content()
    made["dualgan"]["version"] = "0.0.1"
    made["dualgan"]["generator"]["init_args"]["old"] = 1
    torch.save(made, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"'old'.*dualgan 0\.0\.1 wrote it"):
        load_generator(tmp_path / "a.ckpt")


def test_a_migrated_file_says_which_format_it_had(format_1: Path) -> None:
    made = read_checkpoint(format_1)
    with pytest.raises(ValueError, match="format version 1, and this is"):
        check_shapes(made, {})
