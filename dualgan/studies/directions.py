"""Directions in w along which images change: principal components of w, or of what the layers read of it."""

# K directions, N images, L layers, D width of w

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors.torch import save
from torch import Tensor

from dualgan.files.atomic import write_whole
from dualgan.files.trouble import absent
from dualgan.networks import Generator
from dualgan.networks.mapping import MappedGenerator, with_mapping
from dualgan.runtime.devices import in_float64
from dualgan.studies.styles import checked_layers, in_layers, sample_w
from dualgan.weights.safetensors_file import read_tensors_and_texts

Method = Literal["pca", "sefa"]
METHODS: tuple[Method, ...] = ("pca", "sefa")
FORMAT_VERSION = 1
_KEY = "dualgan.directions"
_ADVICE = "Find them once more with 'dualgan directions'"


@dataclass(frozen=True)
class Directions:
    """Directions in the w of one network.

    Attributes:
        names: K of them, each once.
        vectors: float32 [K, D] on the CPU, as long as one standard deviation of w: `strength * vector` is added to w.
        layers: Layers that the directions are for, which are moved and no others.
        network: `w_digest` of the generator.
        method: How they were found.
        shares: Part of the whole that each stands for, from 0 to 1 [K]: of the variance of w, or of the squared weights
            of the layers.
        made_with: What the network was called, a file or a pretrained network's name; empty where that is not known.
    """

    names: tuple[str, ...]
    vectors: Tensor
    layers: tuple[int, ...]
    network: str
    method: Method
    shares: tuple[float, ...]
    made_with: str = ""

    def moved(self, ws: Tensor, strengths: Tensor) -> Tensor:
        """Styles along the directions: those of the layers are w + sum_k strength_k vector_k, the others as they were.

        Args:
            ws: [N, L, D] on any device.
            strengths: In standard deviations, [K] or one row per image [N, K].
        """
        shift = (strengths.to(self.vectors) @ self.vectors).to(ws)
        return torch.where(in_layers(self.layers, ws), ws + shift.reshape(-1, 1, ws.shape[2]), ws)

    def check_fits(self, generator: Generator, source: str = "these directions") -> None:
        """Refuse a generator whose w is another.

        Raises:
            ValueError: It has no mapping network, another one, or other layers.
        """
        mapped = with_mapping(generator, f"the use of {source}")
        if (found := w_digest(mapped)) != self.network:
            own = f"of {self.made_with!r}, " if self.made_with else ""
            raise ValueError(
                f"{source} belong to the mapping network {own}{self.network}, and that of this generator is {found}: "
                f"take {'that network' if own else 'the network they were made with'}, or find directions of this one "
                f"with 'dualgan directions'"
            )
        checked_layers(self.layers, mapped)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the vectors as plain data."""
        return {
            "format_version": FORMAT_VERSION,
            "method": self.method,
            "network": self.network,
            "layers": list(self.layers),
            "names": list(self.names),
            "shares": list(self.shares),
            "made_with": self.made_with,
        }

    def save(self, path: Path) -> None:
        """Write a safetensors file: the tensor "vectors", and in the text "dualgan.directions" the rest as JSON."""
        content = save({"vectors": self.vectors.contiguous()}, metadata={_KEY: json.dumps(self.as_dict())})
        write_whole(path, content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of `save`, which anyone may have written.

        Raises:
            ValueError: There is no such file, it holds something else, or it is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{absent(path, 'directions')}: expected a .safetensors file of 'dualgan directions'")
        tensors, texts = read_tensors_and_texts(path, _ADVICE)
        if _KEY not in texts:
            raise ValueError(f"{path} holds no directions: expected a .safetensors file of 'dualgan directions'")
        try:
            said, vectors = json.loads(texts[_KEY]), tensors["vectors"]
            if said["format_version"] != FORMAT_VERSION:
                raise ValueError(f"its format version is {said['format_version']!r}, expected {FORMAT_VERSION}")
            _check_content(said, vectors)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path} is damaged, or of another version: {missing}. {_ADVICE}") from error
        names, layers, shares = (tuple(said[name]) for name in ("names", "layers", "shares"))
        return cls(names, vectors, layers, said["network"], said["method"], shares, said.get("made_with", ""))


def _check_content(said: dict[str, Any], vectors: Tensor) -> None:
    """Refuse descriptions that do not fit the vectors.

    Raises:
        ValueError: One does not.
    """
    if vectors.ndim != 2 or vectors.dtype != torch.float32 or not vectors.isfinite().all():
        raise ValueError(f"its vectors are {vectors.dtype} {list(vectors.shape)}, expected finite float32 [K, D]")
    kinds: dict[str, type | tuple[type, ...]] = {"names": str, "layers": int, "shares": (int, float)}
    for name, kind in kinds.items():
        if not isinstance(said[name], list) or not all(isinstance(one, kind) for one in said[name]):
            raise ValueError(f"its {name} are {said[name]!r}")
    names, layers = said["names"], said["layers"]
    if not len(vectors) == len(set(names)) == len(names) == len(said["shares"]):
        raise ValueError(f"its {len(vectors)} vectors have {len(set(names))} names and {len(said['shares'])} shares")
    if not layers or min(layers) < 0 or sorted(set(layers)) != layers:
        raise ValueError(f"its layers are {layers!r}")
    if not isinstance(made_with := said.get("made_with", ""), str):  # older files do not say it
        raise ValueError(f"what it was made with is {made_with!r}")
    if said["method"] not in METHODS or not isinstance(said["network"], str):
        raise ValueError(f"its method is {said['method']!r} and its network {said['network']!r}")


def w_digest(generator: MappedGenerator) -> str:
    """What tells the w of a generator from that of others: 16 hexadecimal digits of its mapping network's weights.

    It is the same for a checkpoint and its exports, also those in half precision, which leave these weights alone; and
    for a generator that was fine-tuned with a frozen mapping network, whose directions mean the same.
    """
    found = hashlib.sha256()
    for name, weight in sorted(generator.mapping.named_parameters()):
        found.update(f"{name} {list(weight.shape)} ".encode())
        found.update(weight.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes())
    return found.hexdigest()[:16]


def find_directions(
    generator: Generator,
    method: Method = "pca",
    num: int = 8,
    layers: Sequence[int] | None = None,
    *,
    label: int | None = None,
    seed: int = 0,
) -> Directions:
    """Find directions without any training and without images.

    "pca" takes the principal components of w (Harkonen et al., "GANSpace", NeurIPS 2020). A vector is as long as the
    standard deviation of w along it. "sefa" takes the directions that move the styles of the layers most (Shen and
    Zhou, "Closed-Form Factorization of Latent Semantics in GANs", CVPR 2021). Their order is that of steps of one
    length, and they have one: the largest standard deviation that w has along any direction.

    Args:
        generator: Runs where its parameters are.
        method: "pca" or "sefa".
        num: How many, the strongest first; 1 to the width of w.
        layers: Layers to move, and with "sefa" those whose weights are looked at; all by default.
        label: Class whose w are sampled; by default all, drawn as seeds draw them.
        seed: Of the samples of w.

    Raises:
        ValueError: The generator has no mapping network or does not say how layers read w, or hold NaN; or method,
            number, layers or label do not fit.
    """
    check_search(method, num)
    mapped = with_mapping(generator, "finding directions")
    chosen = checked_layers(layers, mapped)
    if num > mapped.w_dim:
        raise ValueError(f"num {num} is above the {mapped.w_dim} dimensions of w: give at most as many")
    variances, components = principal_components(covariance(sample_w(mapped, seed, label)))
    deviations = variances.sqrt()
    if method == "sefa":
        variances, components = principal_components(weights_of_styles(mapped, chosen))
        deviations = deviations[:1].expand(len(components))
    vectors = (components * deviations[:, None])[:num].float()
    shares = (variances / variances.sum().clamp(min=1e-300))[:num].tolist()
    names = tuple(f"{method}{k}" for k in range(1, num + 1))
    return Directions(names, vectors, tuple(chosen), w_digest(mapped), method, tuple(shares))


def check_search(method: str, num: int) -> None:
    """Refuse a search that no generator can be asked for.

    Raises:
        ValueError: An unknown method, or no directions.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown: expected {' or '.join(METHODS)}")
    if num < 1:
        raise ValueError(f"num {num} is too small: give the number of directions, 1 or more")


def covariance(w: Tensor) -> Tensor:
    """W [N, D] -> [D, D], float64 on a device that has it."""
    rows = in_float64(w)
    deviations = rows - rows.mean(dim=0)
    return deviations.T @ deviations / len(rows)


# SeFa: the directions n of unit length with the largest |A n|^2 are the eigenvectors of A^T A
def weights_of_styles(generator: MappedGenerator, layers: Sequence[int]) -> Tensor:
    """A^T A [D, D] of the dense layers that read w in some layers, float64; A is all their weights, one below another.

    Raises:
        ValueError: The generator does not say which they are.
    """
    read = generator.affines()
    weights = [in_float64(affine.weight.detach()) * affine.weight_gain for layer in layers for affine in read[layer]]
    stacked = torch.cat(weights)
    return stacked.T @ stacked


def principal_components(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [D], largest first and not below 0, and unit eigenvectors [D, D], a row each; float64 on the CPU.

    The sign of a row, which is free, makes its largest component positive.

    Raises:
        ValueError: The matrix [D, D] is not finite.
    """
    if not matrix.isfinite().all():
        raise ValueError("this generator holds NaN or infinity: it has diverged. Take an earlier checkpoint")
    values, columns = torch.linalg.eigh(matrix.cpu())
    rows = columns.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return values.flip(0).clamp(min=0), rows * largest.sign()
