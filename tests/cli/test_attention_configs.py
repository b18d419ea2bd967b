"""Shipped configurations with attention, sets of 30,000 images and overlays, through the real command line."""

import re
from pathlib import Path

import pytest
import torch

from dualgan.cli.lightning import parse_fit
from dualgan.commands.complexity import build
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.runs.folder import default_run_dir
from dualgan.terminal.configs import resolve_configs
from tests.conftest import NETWORKS, QUIET, RunCLI, words

ROOT = Path(__file__).parents[2]
SHIPPED = {path.stem: path for path in (ROOT / "configs").rglob("*.yaml")}
# Those of limited data are in test_limited_configs.py.
OVERLAYS = {
    path.stem
    for path in (ROOT / "configs" / "overlays").glob("*.yaml")
    if path.stem == "contr" or path.stem.startswith(("g_", "d_", "data_"))
}
LARGE = ("ffhq", "bedroom", "church", "horse", "clevr")
LIMITED = ("celeba_128", "animal_face_128", "bedroom_128", "church_128")
BEST = {"ffhq": 64, "bedroom": 32, "church": 32, "horse": 16, "clevr": 16}  # supplement, Table 2

# Rows of the paper's tables (S: of the supplement) as docs/configs.md names them
SIZES = ("1K", "5K", "10K", "30K", "50K", "100K")
PUBLISHED = {
    "3": {"StyleGAN2", "+ DFN", "+ VT", "+ SAGAN", "+ SAN"},
    "5": {"StyleGAN2", "+ self attn in D", "+ ref attn in D"},
    "S2": {f"SAN at {r}x{r}" for r in (8, 16, 32, 64, 128)},
    "S3": {"Eq. 1", "Eq. 2", "Eq. 8 in main"},
    "S4": {f"{size}, {method}" for size in SIZES for method in ("StyleGAN2", "+ ref attn")},
    "S6": {"8x8", "16x16", "32x32"},
    "S7": {
        "StyleGAN2, Adv",
        *(f"self-attn-G{d}, {loss}" for d in ("", " ref-attn-D") for loss in ("Adv", "Contr")),
    },
}

# Every overlay once: those of a line change different things, and so are tried together.
STACKS = [
    ("bedroom_128", "g_san8", "d_ref8", "data_1k"),
    ("celeba_128", "g_san16", "d_ref16", "data_5k", "contr"),
    ("animal_face_128", "g_san32", "d_ref32", "data_10k"),
    ("church_128", "g_san64", "d_ref8_eq1", "data_50k"),
    ("ffhq", "g_san128", "d_ref8_eq2", "data_100k"),
    ("horse", "g_dfn32", "d_san8"),
    ("clevr", "g_vt32"),
    ("bedroom", "g_sagan32"),
    ("church",),
]


def config_words(names: tuple[str, ...]) -> list[str]:
    return [word for name in names for word in ("--config", f"{name}.yaml")]


def layer(name: str) -> tuple[str, int]:
    """Module and resolution of an overlay such as g_san32."""
    found = re.fullmatch(r"[gd]_([a-z]+)(\d+)(_eq\d)?", name)
    assert found
    return {"san": "SAN", "sagan": "SAGAN", "dfn": "DFN", "vt": "VT", "ref": "ReferenceAttention"}[found[1]], int(
        found[2]
    )


# Parameters of a module less those of the 3x3 convolution of c channels in whose place it is
def patchwise(c: int) -> int:
    m, s = c // 4, 7
    projections = 2 * (c * m + m) + c * c + c
    first, second = (s * s + 1) * m * m + m, s * s * m * m + s * s * m
    return projections + first + second - 9 * c * c


def added(module: str, c: int) -> int:
    tokens, width, bottleneck = 16, 512, 56
    dense = width * width + width
    return {
        "SAN": patchwise(c),
        "ReferenceAttention": patchwise(c),
        "SAGAN": 2 * (c * c // 8) + 2 * (c * c // 2) + 1 - 9 * c * c,
        "DFN": c * bottleneck + bottleneck + bottleneck * 9 * c * c - 9 * c * c,
        "VT": c * tokens + 2 * c * width + 5 * dense + width * c + c - 9 * c * c,
    }[module]


def plain(resolution: int) -> int:
    """Parameters of G and D without attention."""
    with torch.device("meta"):
        networks = StyleGAN2Generator(resolution), StyleGAN2Discriminator(resolution)
    return sum(p.numel() for network in networks for p in network.parameters())


def test_parameters_of_the_modules_give_those_of_table_4() -> None:
    found = {module: plain(256) + added(module, 512) for module in ("SAN", "SAGAN", "DFN", "VT")}
    assert plain(256) == 48_768_547
    assert found == {"SAN": 48_431_651, "SAGAN": 46_736_932, "DFN": 178_558_555, "VT": 48_517_667}


def test_stacks_try_everything() -> None:
    tried = {name for stack in STACKS for name in stack}
    assert tried == {*LARGE, *LIMITED, *OVERLAYS}


@pytest.mark.parametrize("stack", STACKS, ids="+".join)
def test_networks_and_data_are_those_that_the_names_say(stack: tuple[str, ...], in_empty_folder: Path) -> None:
    config = parse_fit(resolve_configs(config_words(stack)))
    assert default_run_dir(config.config) == Path("runs") / "+".join(stack)

    small = stack[0].endswith("_128")
    resolution = 128 if small else 256
    data = config.data.init_args
    sizes = [int(name.removeprefix("data_").removesuffix("k")) for name in stack if name.startswith("data_")]
    expected = sizes[0] * 1000 if sizes else 30_000 if small else None
    assert (data.resolution, data.root, data.subset) == (resolution, f"data/{stack[0].removesuffix('_128')}", expected)
    assert data.reference == "full"
    loss = "DualContrastive" if "contr" in stack else "NonSaturating"
    assert config.model.loss.class_path.rpartition(".")[2] == loss
    assert (data.batch_size, config.model.total_kimg, config.model.r1_gamma) == (32, 25_000, 100)

    expected_parameters = plain(resolution)
    networks = build(config)
    for player, prefix in (("generator", "g_"), ("discriminator", "d_")):
        overlays = [name for name in stack if name.startswith(prefix)]
        arguments = networks[player].init_args
        assert arguments["resolution"] == resolution
        if not overlays:
            assert (arguments["attention"], arguments["attention_resolution"]) == (None, None)
            continue
        module, r = layer(overlays[0])
        assert (arguments["attention"]["class_name"], arguments["attention_resolution"]) == (module, r)
        if module == "ReferenceAttention":
            equation = next((eq for eq in ("eq1", "eq2") if eq in overlays[0]), "eq8")
            assert arguments["attention"]["init_args"]["sources"] == equation
        expected_parameters += added(module, min(16384 // r, 512))
    found = sum(p.numel() for network in networks.values() for p in network.parameters())
    assert found == expected_parameters


WRITTEN_OUT = {
    f"{name}{ending}": (name, *overlays)
    for name in LARGE
    for ending, overlays in {
        "_contr": ("contr",),
        "_attn": (f"g_san{BEST[name]}",),
        "_attn_contr": (f"g_san{BEST[name]}", "contr"),
    }.items()
}


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_a_file_that_is_written_out_is_its_set_with_overlays(name: str) -> None:
    stack = WRITTEN_OUT[name]
    assert f"# Written out: the same as {' '.join(config_words(stack))}\n" in SHIPPED[name].read_text()
    written, laid = (parse_fit(resolve_configs(config_words(names))) for names in ((name,), stack))
    for config in (written, laid):
        del config["config"]  # the names of the files
    assert written == laid


def test_every_shipped_file_is_a_set_an_overlay_or_written_out() -> None:
    folders = {path.stem for path in SHIPPED.values() if path.parent.name in ("overlays", "trainer", "backbones")}
    limited = {path.stem for path in SHIPPED.values() if path.parent.name == "limited"}
    assert limited >= set(LIMITED)
    assert set(SHIPPED) == {*LARGE, *limited, *WRITTEN_OUT, *folders, "clevr_demo", "clevr32"}


def documented() -> dict[tuple[str, str], tuple[list[float], list[str]]]:
    """(Table, row) -> FIDs and names of configurations, as docs/configs.md has them."""
    found = {}
    for line in (ROOT / "docs" / "configs.md").read_text().split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in PUBLISHED:
            names = re.findall(r"--config (\w+)\.yaml", cells[-1])
            assert (cells[0], cells[1]) not in found
            found[cells[0], cells[1]] = [float(cell) for cell in cells[2:-1]], names
    return found


def test_every_published_row_has_its_command() -> None:
    assert set(documented()) == {(table, row) for table, rows in PUBLISHED.items() for row in rows}
    for (table, row), (fids, names) in documented().items():
        sets = LARGE if table == "S2" else LIMITED
        assert len(fids) == len(sets), (table, row)
        assert names[0] == ("SET" if table == "S2" else "SET_128")
        assert set(names[1:]) <= OVERLAYS


def test_rows_with_the_same_published_numbers_have_the_same_command() -> None:
    by_fids: dict[tuple[float, ...], set[tuple[str, ...]]] = {}
    for fids, names in documented().values():
        by_fids.setdefault(tuple(fids), set()).add(tuple(names))
    # Table S7 prints Table 5's numbers for a generator with SAN: docs/configs.md says so.
    assert [names for names in by_fids.values() if len(names) > 1] == [
        {("SET_128", "d_ref8"), ("SET_128", "g_san32", "d_ref8")}
    ]


def published_fids(name: str) -> list[str]:
    """What docs/configs.md reports for a configuration: for an overlay alone, for all sets it is laid over."""
    if name in LIMITED:
        return [f"{documented()['3', 'StyleGAN2'][0][LIMITED.index(name)]:.2f}"]
    if name in OVERLAYS:
        return [f"{fid:.2f}" for fids, names in documented().values() if names[1:] == [name] for fid in fids]
    (row,) = (line for line in (ROOT / "docs" / "configs.md").read_text().split("\n") if f"/{name}.yaml` |" in line)
    return row.split(" | ")[3:4]


ROWS = {*LARGE, *LIMITED, *WRITTEN_OUT, *OVERLAYS}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_begins_with_its_table_and_what_the_paper_reports(name: str) -> None:
    comment = "".join(line for line in SHIPPED[name].read_text().split("\n") if line.startswith("#"))
    assert re.search(r"Tables? \d.*FID", comment)
    assert set(published_fids(name)) <= set(re.findall(r"\d+\.\d\d", comment))


def test_names_are_unique_and_found_with_and_without_their_folder(in_empty_folder: Path) -> None:
    assert len(SHIPPED) == len(list((ROOT / "configs").rglob("*.yaml")))
    for name in ("g_san32.yaml", "overlays/g_san32.yaml", "configs/overlays/g_san32.yaml"):
        assert resolve_configs(["fit", "--config", name])[-1] == str(SHIPPED["g_san32"])
    for name in ("limited/g_san32.yaml", "elsewhere/g_san33.yaml"):
        with pytest.raises(ValueError, match=r"did you mean 'g_san\d+\.yaml'"):
            resolve_configs(["fit", "--config", name])


SMALL = (
    *NETWORKS,
    *QUIET,
    *words("--data.resolution 8 --data.batch_size 4 --data.num_val 4 --trainer.max_steps 1"),
    *words("--trainer.precision 32-true --model.generator.attention_resolution 8"),
)


@pytest.mark.parametrize(
    "stack", [("church_attn_contr",), ("bedroom_128", "g_san32", "d_ref8", "data_1k")], ids="+".join
)
def test_trains(stack: tuple[str, ...], run_cli: RunCLI, photographs: Path, in_empty_folder: Path) -> None:
    subset = ["--data.subset", 8] if len(stack) > 1 else []
    run_cli.succeeds("fit", *config_words(stack), "--data.root", photographs, *SMALL, *subset)
    assert (in_empty_folder / "runs" / "+".join(stack) / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", LIMITED)
def test_missing_images_name_the_download_and_the_place(name: str, run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", "--config", f"{name}.yaml")
    for text in (f"data/{name.removesuffix('_128')}", "http", "licen"):
        assert text in error.lower()
