"""`dualgan import`: official StyleGAN2 networks as ours."""

import json
from pathlib import Path
from typing import Any

import yaml

from dualgan.commands.export import export_safetensors
from dualgan.commands.shared.verbs import POSITIONAL, command
from dualgan.files.atomic import write_json
from dualgan.files.targets import file_to_write
from dualgan.weights.checkpoints import read_networks

FROM_DATA = ("resolution", "num_channels", "num_classes")  # settings that the data decide in a training


def run(file: str | None, out: str) -> None:
    """Turn an official StyleGAN2 .pkl file into a .safetensors file, without running anything in it.

    Args:
        file: .pkl file of StyleGAN2-ADA (PyTorch) or of the StyleGAN3 repository.
        out: File to write, which ends in .safetensors. Its description and a configuration for fine-tuning lie
            beside it.
    """
    if file is None:
        raise ValueError("import needs a .pkl file: 'dualgan import FILE.pkl --out FILE.safetensors'")
    source = Path(file)
    if source.suffix != ".pkl":
        raise ValueError(f"{file} is no .pkl file: our own files need no import, every command reads them")
    path = file_to_write(out, [".safetensors"], beside=[".yaml"])
    content = read_networks(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = export_safetensors(content, path, source, "all")
    beside, config = path.with_name(f"{path.name}.json"), path.with_suffix(".yaml")
    write_json(beside, header)
    config.write_text(configuration(header, path), encoding="utf-8")
    for name, reason in header["left_out"].items():
        print(f"Left out the {name}: {reason}")
    print(f"Wrote {path}, {beside.name} and {config.name}. Try next:")
    size = header["generator"]["init_args"]["resolution"]
    print(f"  dualgan generate --ckpt {path} --seeds 0-63 --truncation_psi 0.7 --out images --grid")
    print(f"  dualgan fit --config {config} --data ImageFolder --data.root IMAGES --data.resolution {size}")


def configuration(header: dict[str, Any], path: Path) -> str:
    """YAML for `dualgan fit` with the networks of an imported file."""
    model = {}
    for name in ("generator", "discriminator"):
        if name in header:
            settings = {k: v for k, v in header[name]["init_args"].items() if v is not None and k not in FROM_DATA}
            model[name] = {"class_path": header[name]["class_name"], "init_args": settings}
    comment = f"# Fine-tuning of {json.dumps(header['provenance']['source'])}\n"
    return comment + yaml.safe_dump({"init_from": str(path), "model": model}, sort_keys=False)


main = command("import", run, file=POSITIONAL)
