"""The example of docs/datasets.md."""

from pathlib import Path

import pytest

from dualgan.data import FileImages, ImageDataModule


def test_the_example_of_a_new_set_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageDataModule, "registry", dict(ImageDataModule.registry))
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    names: dict[str, type[FileImages]] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    with pytest.raises(
        ValueError, match=r"data/flowers'.*Flowers: 8,189 photographs.*robots\.ox.*Licence: none stated"
    ):
        names["Flowers"](root="data/flowers").prepare_data()
