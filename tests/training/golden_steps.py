"""The losses of ten steps of three shipped configurations, narrow and in float64: what a refactoring must not change.

In float64 they are the same on every CPU but for the last digits. After a change that is meant to change them:

    python -m tests.training.golden_steps
"""

import csv
import json
import os
import sys
import tempfile
from pathlib import Path

from dualgan.cli.main import main

GOLDEN = Path(__file__).parents[1] / "golden" / "ten_steps.json"
PLAYERS = "--model.generator StyleGAN2Generator --model.discriminator StyleGAN2Discriminator"
NARROW = (
    "--model.generator.channel_base 256 --model.generator.channel_max 16 --model.generator.z_dim 16 "
    "--model.generator.w_dim 16 --model.generator.mapping_layers 2 "
    "--model.discriminator.channel_base 256 --model.discriminator.channel_max 16"
)
DATA = (
    "--data SyntheticCLEVR --data.num_images 32 --data.batch_size 8 --data.num_val 8 --data.resolution 32 "
    "--data.subset null --data.num_workers 0"
)
RUN = (
    "--trainer.max_steps 10 --trainer.log_every_n_steps 1 --trainer.precision 64-true --trainer.accelerator cpu "
    "--model.d_reg_interval 4 --model.warmup_kimg 0.04 --wandb.mode disabled --samples.rows 1 --samples.columns 1 "
    "--quality.num_fake 8 --seed_everything 3"
)
CONFIGS = {
    "clevr_demo": f"--config clevr_demo.yaml {NARROW} {DATA} {RUN}",
    "church_contr": f"--config church_contr.yaml {PLAYERS} {NARROW} {DATA} {RUN}",
    "bedroom_128+g_san32+d_ref8": (
        f"--config bedroom_128.yaml --config g_san32.yaml --config d_ref8.yaml {NARROW} {DATA} {RUN} "
        f"--model.warmup_kimg null"
    ),
}


def losses(name: str, folder: Path, more: str = "") -> list[dict[str, float]]:
    """Every loss of every step; `more` words may overrule those of the configuration, such as the device."""
    assert main(["fit", *CONFIGS[name].split(), *more.split(), "--run_dir", os.fspath(folder)]) == 0
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [{key: float(value) for key, value in row.items() if value and "loss/" in key} for row in rows]
    return [row for row in found if row]


if __name__ == "__main__":
    recorded = {}
    with tempfile.TemporaryDirectory() as runs:
        for number, config in enumerate(CONFIGS):
            recorded[config] = losses(config, Path(runs) / str(number))
    GOLDEN.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {GOLDEN}", file=sys.stderr)
