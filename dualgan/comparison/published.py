"""The published row that a run stands beside, found by the run's configuration."""

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dualgan.comparison.texts import as_text
from dualgan.files.yaml_text import flatten
from dualgan.runs.reading import Run, setting

_SETS = {"FFHQ": "FFHQ", "CLEVR": "CLEVR", "CelebA": "CelebA", "AnimalFace": "Animal Face", "CIFAR10": "CIFAR-10"}
_LSUN = {"bedroom": "LSUN Bedroom", "church_outdoor": "LSUN Church", "horse": "LSUN Horse"}
# Classes of G and D without "Generator" and "Discriminator"
_PAIRS = {("BigGAN", "UNet"): "U-Net GAN", ("StyleGAN2", "UNet"): "U-Net GAN on StyleGAN2's G"}


@dataclass(frozen=True)
class Setting:
    """What tells the rows of the published tables apart.

    Attributes:
        images: Name of the data set.
        subset: Number of training images; None for all.
        networks: Architecture of both players.
        classes: Whether the classes of the images are used.
        in_g: Attention module of the generator with its resolution; None without one. `in_d` is the discriminator's.
        augmentation: Its class, with its schedule unless that adapts; None without one.
        auxiliary: Classes of the auxiliary losses, with their presets; None without any.
    """

    images: str
    resolution: int
    subset: int | None = None
    loss: str = "NonSaturating"
    in_g: str | None = None
    in_d: str | None = None
    networks: str = "StyleGAN2"
    classes: bool = False
    augmentation: str | None = None
    auxiliary: str | None = None

    def __str__(self) -> str:
        """The setting in words."""
        count = "" if self.subset is None else f", {self.subset:,} images"
        modules = [f"{module} in {player}" for player, module in (("G", self.in_g), ("D", self.in_d)) if module]
        methods = [method for method in (self.augmentation, self.auxiliary) if method]
        parts = ", ".join([self.networks, *modules, *methods, self.loss])
        classes = " with classes" if self.classes else ""
        return f"{self.images} {self.resolution}x{self.resolution}{classes}{count}: {parts}"


_CONDITIONS = {field.name for field in fields(Setting)} - {"images", "resolution", "subset"}


@dataclass(frozen=True)
class PublishedRow:
    """A row of the published tables, for one data set.

    Attributes:
        where: Its tables; with the paper if that is another than the document's.
        setting: What was trained.
        scores: Figures by metric.
        training: Settings that it was trained with, by their dotted names in a run's configuration.
        evaluation: Those that it was measured with, as in the provenance of a run's numbers.
    """

    where: str
    setting: Setting
    scores: dict[str, float]
    training: dict[str, Any]
    evaluation: dict[str, Any]


@cache
def document() -> dict[str, Any]:
    """What published.yaml says: tables, their source, and the protocols that they were made by."""
    content: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    return content


@cache
def published_rows() -> list[PublishedRow]:
    """All rows."""
    rows = []
    for table in document()["tables"]:
        protocol = {part: flatten(table.get(part, document()[part])) for part in ("training", "evaluation")}
        common = {name: table[name] for name in _CONDITIONS if name in table}
        for row in table["rows"]:
            conditions = common | {name: row[name] for name in _CONDITIONS if name in row}
            figures = {name: row[name] for name in document()["protocols"] if name in row}
            for k, images in enumerate(table["sets"]):
                scores = {name: values[k] for name, values in figures.items() if values[k] is not None}
                if scores:
                    setting_ = Setting(images, table["resolution"], table["subset"], **conditions)
                    rows.append(PublishedRow(row["where"], setting_, scores, **protocol))
    return rows


def setting_of(config: dict[str, Any]) -> Setting | None:
    """A configuration in the terms of the published tables; None where it is outside of them."""
    data = setting(config, "data", "init_args")
    images, resolution = _images(config), setting(data, "resolution")
    if images is None or not isinstance(resolution, int) or setting(data, "split") not in (None, "train"):
        return None
    subset = setting(data, "subset")
    if isinstance(subset, float) and subset < 1:
        return None  # no published row is on a fraction of a set
    return Setting(
        images,
        resolution,
        subset=int(subset) if isinstance(subset, int | float) and subset != 1.0 else None,
        loss=_class_name(setting(config, "model", "loss")) or "NonSaturating",
        in_g=_attention(config, "generator"),
        in_d=_attention(config, "discriminator"),
        networks=_networks(config),
        classes=bool(setting(data, "use_labels")),
        augmentation=_method(setting(config, "model", "augmentation"), "schedule"),
        auxiliary=_auxiliary(config),
    )


def _class_name(chosen: Any) -> str | None:
    path = chosen.get("class_path") if isinstance(chosen, dict) else chosen
    return path.rpartition(".")[2] if isinstance(path, str) else None


def _images(config: dict[str, Any]) -> str | None:
    data_class = _class_name(setting(config, "data"))
    if data_class == "LSUN":
        return _LSUN.get(str(setting(config, "data", "init_args", "category")))
    return _SETS.get(str(data_class))


def _networks(config: dict[str, Any]) -> str:
    players = ("generator", "discriminator")
    names = [_class_name(setting(config, "model", player)) or f"StyleGAN2{player.title()}" for player in players]
    g, d = (name.removesuffix(player.title()) for name, player in zip(names, players, strict=True))
    return g if g == d else _PAIRS.get((g, d), f"{g} and {d}")


def _auxiliary(config: dict[str, Any]) -> str | None:
    chosen = setting(config, "model", "auxiliary") or []
    names = [_method(one, "preset") for one in (chosen if isinstance(chosen, list) else [chosen])]
    return ", ".join(sorted(filter(None, names))) or None


def _method(chosen: Any, variant: str) -> str | None:
    """Class with the variant that it is chosen in, such as "ADA linear"; what adapts is the class itself."""
    name, found = _class_name(chosen), setting(chosen, "init_args", variant)
    return name if name is None or found in (None, "adaptive") else f"{name} {found}"


def _attention(config: dict[str, Any], player: str) -> str | None:
    module = setting(config, "model", player, "init_args", "attention")
    name = _class_name(module)
    if name is None:
        return None
    if name == "ReferenceAttention":
        name += f" {setting(module, 'init_args', 'sources') or 'eq8'}"
    return f"{name}@{setting(config, 'model', player, 'init_args', 'attention_resolution')}"


def published_row(run: Run) -> PublishedRow | None:
    """The row with the run's data set, networks, loss and methods; of several, that with the nearest number of images.

    Resolution and number of images may differ: `deviations` says so.
    """
    own = setting_of(run.config)
    if own is None:
        return None

    def distance(row: PublishedRow) -> tuple[bool, bool, int]:
        apart = abs((row.setting.subset or 0) - (own.subset or 0))
        return row.setting.subset != own.subset, row.setting.resolution != own.resolution, apart

    rows = [r for r in published_rows() if replace(r.setting, resolution=own.resolution, subset=own.subset) == own]
    return min(rows, key=distance, default=None)


def deviations(run: Run, row: PublishedRow) -> list[str]:
    """Where a run's protocol is not that of the published row, in phrases like "batch_size 8 instead of 32"."""
    own = setting_of(run.config)
    assert own is not None
    expected = {"resolution": row.setting.resolution, "subset": row.setting.subset}
    found = _different(expected, {"resolution": own.resolution, "subset": own.subset})
    found += _different(row.training, flatten(run.config))
    mirror = setting(run.config, "data", "init_args", "mirror")
    if mirror is not None and "data.init_args.mirror" not in row.training:
        found += _different({"mirror": own.images == "FFHQ"}, {"mirror": mirror})
    if run.kimg is not None and run.total_kimg is not None and run.kimg < run.total_kimg:
        found.append(f"trained for {run.kimg:g} of {run.total_kimg:g} kimg so far")
    if not run.scored:
        return [*found, "not evaluated yet"]
    return found + _different(row.evaluation, run.provenance)


def _different(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    phrases = []
    for name, value in expected.items():
        shown, wanted = name, as_text(value)
        if name in found:
            own = as_text(found[name])
        elif f"{name}.class_path" in found:  # a number was expected
            own = "a schedule"
        elif found.get(number := name.partition(".init_args.")[0]) is not None:
            shown, own, wanted = number, as_text(found[number]), "a schedule"
        else:
            continue
        if own != wanted:
            phrases.append(f"{shown.removeprefix('model.').replace('init_args.', '')} {own} instead of {wanted}")
    return list(dict.fromkeys(phrases))
