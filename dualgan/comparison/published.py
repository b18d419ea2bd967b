"""The published row that a run stands beside, found by the run's configuration."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dualgan.comparison.texts import as_text
from dualgan.files.yaml_text import flatten
from dualgan.runs.reading import Run, setting

_SETS = {"FFHQ": "FFHQ", "CLEVR": "CLEVR", "CelebA": "CelebA", "AnimalFace": "Animal Face"}
_LSUN = {"bedroom": "LSUN Bedroom", "church_outdoor": "LSUN Church", "horse": "LSUN Horse"}


@dataclass(frozen=True)
class Setting:
    """What tells the rows of the published tables apart.

    Attributes:
        images: Name of the data set.
        subset: Number of training images; None for all.
        in_g: Attention module of the generator with its resolution; None without one. `in_d` is the discriminator's.
    """

    images: str
    resolution: int
    subset: int | None = None
    loss: str = "NonSaturating"
    in_g: str | None = None
    in_d: str | None = None

    def __str__(self) -> str:
        """The setting in words."""
        count = "" if self.subset is None else f", {self.subset:,} images"
        modules = [f"{module} in {player}" for player, module in (("G", self.in_g), ("D", self.in_d)) if module]
        parts = ", ".join(["StyleGAN2", *modules, self.loss])
        return f"{self.images} {self.resolution}x{self.resolution}{count}: {parts}"


@dataclass(frozen=True)
class PublishedRow:
    """A row of the published tables, for one data set: which tables, what was trained, and the figures by metric."""

    where: str
    setting: Setting
    scores: dict[str, float]


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
        for row in table["rows"]:
            conditions = {name: row[name] for name in ("loss", "in_g", "in_d") if name in row}
            figures = {name: row[name] for name in document()["protocols"] if name in row}
            for k, images in enumerate(table["sets"]):
                scores = {name: values[k] for name, values in figures.items() if values[k] is not None}
                if scores:
                    setting_ = Setting(images, table["resolution"], table["subset"], **conditions)
                    rows.append(PublishedRow(row["where"], setting_, scores))
    return rows


def setting_of(config: dict[str, Any]) -> Setting | None:
    """A configuration in the terms of the published tables; None where it is outside of them."""
    data = setting(config, "data", "init_args")
    images, resolution = _images(config), setting(data, "resolution")
    if images is None or not isinstance(resolution, int) or setting(data, "split") not in (None, "train"):
        return None
    for player in ("generator", "discriminator"):
        if _class_name(setting(config, "model", player)) not in (None, f"StyleGAN2{player.title()}"):
            return None
    subset = setting(data, "subset")
    if setting(data, "use_labels") or (isinstance(subset, float) and subset < 1):
        return None  # no published row is conditional, or on a fraction of a set
    return Setting(
        images,
        resolution,
        subset=int(subset) if isinstance(subset, int | float) and subset != 1.0 else None,
        loss=_class_name(setting(config, "model", "loss")) or "NonSaturating",
        in_g=_attention(config, "generator"),
        in_d=_attention(config, "discriminator"),
    )


def _class_name(chosen: Any) -> str | None:
    path = chosen.get("class_path") if isinstance(chosen, dict) else chosen
    return path.rpartition(".")[2] if isinstance(path, str) else None


def _images(config: dict[str, Any]) -> str | None:
    data_class = _class_name(setting(config, "data"))
    if data_class == "LSUN":
        return _LSUN.get(str(setting(config, "data", "init_args", "category")))
    return _SETS.get(str(data_class))


def _attention(config: dict[str, Any], player: str) -> str | None:
    module = setting(config, "model", player, "init_args", "attention")
    name = _class_name(module)
    if name is None:
        return None
    if name == "ReferenceAttention":
        name += f" {setting(module, 'init_args', 'sources') or 'eq8'}"
    return f"{name}@{setting(config, 'model', player, 'init_args', 'attention_resolution')}"


def published_row(run: Run) -> PublishedRow | None:
    """The row with the run's data set, loss and attention; of several, that with the nearest number of images.

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
    found += _different(document()["training"], flatten(run.config))
    mirror = setting(run.config, "data", "init_args", "mirror")
    found += _different({"mirror": own.images == "FFHQ"}, {} if mirror is None else {"mirror": mirror})
    if run.kimg is not None and run.total_kimg is not None and run.kimg < run.total_kimg:
        found.append(f"trained for {run.kimg:g} of {run.total_kimg:g} kimg so far")
    if not run.scored:
        return [*found, "not evaluated yet"]
    return found + _different(document()["evaluation"], run.provenance)


def _different(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [
        f"{name.removeprefix('model.').replace('init_args.', '')} {as_text(found[name])} instead of {as_text(value)}"
        for name, value in expected.items()
        if name in found and as_text(found[name]) != as_text(value)
    ]
