"""Attention in either player, chosen in a configuration or on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dualgan import load_generator
from tests.conftest import TINY, RunCLI, words

CHOSEN = (
    "model: {generator: {class_path: StyleGAN2Generator, init_args: {attention: ATTENTION, attention_resolution: 8}}}"
)


@pytest.fixture
def chosen(in_empty_folder: Path) -> Callable[[str], tuple[str, ...]]:
    """Words that choose an attention, given as YAML, in a configuration."""

    def write(attention: str) -> tuple[str, ...]:
        (in_empty_folder / "mine.yaml").write_text(CHOSEN.replace("ATTENTION", attention))
        return (*TINY, "--config", "mine.yaml")

    return write


Chosen = Callable[[str], tuple[str, ...]]


def printed_attention(run_cli: RunCLI, *given: object) -> dict[str, Any]:
    config = yaml.safe_load(run_cli.succeeds("fit", *given, "--print_config"))
    attention: dict[str, Any] = config["model"]["generator"]["init_args"]["attention"]
    return attention


@pytest.mark.parametrize("name", ["SAN", "SAGAN", "DFN", "VT"])
@pytest.mark.parametrize("form", ["{}", "{{class_path: {}}}"], ids=["short", "class_path"])
def test_chosen_by_its_name(name: str, form: str, run_cli: RunCLI, chosen: Chosen) -> None:
    found = printed_attention(run_cli, *chosen(form.format(name)))
    assert found["class_path"] == f"dualgan.networks.attention.{name}"
    assert found["init_args"]["normalize"] is False


def test_options_come_from_the_configuration_and_from_words(run_cli: RunCLI, chosen: Chosen) -> None:
    given = chosen("{class_path: SAN, init_args: {footprint: 5}}")
    assert printed_attention(run_cli, *given)["init_args"]["footprint"] == 5
    given = (*given, "--model.generator.attention.footprint", "3")
    assert printed_attention(run_cli, *given)["init_args"]["footprint"] == 3


def test_a_run_with_attention_trains_and_its_checkpoint_makes_the_same_images(
    run_cli: RunCLI, chosen: Chosen, in_empty_folder: Path
) -> None:
    given = chosen("{class_path: SAN, init_args: {footprint: 5}}")
    run_cli.succeeds("fit", *given, "--trainer.max_steps", 1, "--run_dir", "run")
    G = load_generator(in_empty_folder / "run" / "checkpoints" / "last.ckpt")
    assert G.describe()["init_args"]["attention"] == {
        "class_name": "SAN",
        "init_args": {"footprint": 5, "normalize": False},
    }
    assert G(torch.randn(1, 16)).isfinite().all()


REFUSED = {
    "SAM": ["'SAM'", "expected one of DFN, SAGAN, SAN, VT"],
    "ReferenceAttention": ["'ReferenceAttention'", "SAN"],
    "{class_path: SAN, init_args: {footprnt: 5}}": ["attention.footprnt", "attention.footprint"],
    "{class_path: SAN, init_args: {footprint: 17}}": ["footprint 17", "8 x 8", "15"],
    "{class_path: SAN, init_args: {footprint: wide}}": ["footprint", "wide", "int"],
    "null": ["attention_resolution 8", "SAN"],
}


@pytest.mark.parametrize("given", REFUSED)
def test_refused_with_what_was_given_and_what_is_expected(given: str, run_cli: RunCLI, chosen: Chosen) -> None:
    error = run_cli.fails("fit", *chosen(given))
    for text in REFUSED[given]:
        assert text in error
    for noise in ("<class", "NoneType", "Namespace", "Parser key"):
        assert noise not in error


def test_a_resolution_the_generator_does_not_have_is_answered_with_those_it_has(run_cli: RunCLI) -> None:
    error = run_cli.fails(
        "fit", *TINY, *words("--model.generator.attention SAN --model.generator.attention_resolution 16")
    )
    assert "attention_resolution 16" in error
    assert "resolution 8" in error


REFERENCE = words(
    "--model.discriminator.attention ReferenceAttention --model.discriminator.attention_resolution 8 "
    "--model.discriminator.attention.footprint 3"
)


def test_reference_attention_trains_and_scores_with_no_further_setting(run_cli: RunCLI) -> None:
    run_cli.succeeds("fit", *TINY, *REFERENCE, "--trainer.max_steps", 1, "--run_dir", "run")
    assert "loss/discriminator" in run_cli.succeeds("validate", "--config", "run/config.yaml")


def test_sources_come_from_a_configuration(run_cli: RunCLI, in_empty_folder: Path) -> None:
    chosen = "attention: {class_path: ReferenceAttention, init_args: {sources: eq1}}, attention_resolution: 8"
    (in_empty_folder / "mine.yaml").write_text(
        f"model: {{discriminator: {{class_path: StyleGAN2Discriminator, init_args: {{{chosen}}}}}}}"
    )
    config = yaml.safe_load(run_cli.succeeds("fit", *TINY, "--config", "mine.yaml", "--print_config"))
    attention = config["model"]["discriminator"]["init_args"]["attention"]
    assert attention["class_path"] == "dualgan.networks.attention.ReferenceAttention"
    assert attention["init_args"] == {"sources": "eq1", "footprint": 7, "normalize": False}


REFUSED_IN_D = {
    "--attention SAM": ["'SAM'", "DFN, ReferenceAttention, SAGAN, SAN, VT"],
    "--attention [SAN,ReferenceAttention] --attention_resolution 8": ["a single one of", "ReferenceAttention"],
    "--attention ReferenceAttention --attention_resolution 8 --attention.sources eq3": [
        "sources",
        "eq3",
        "one of eq8, eq1, eq2.",
    ],
    "--attention ReferenceAttention --attention_resolution 16": ["attention_resolution 16", "resolution 8"],
    "--attention ReferenceAttention": ["attention_resolution None", "8"],
}


@pytest.mark.parametrize("given", REFUSED_IN_D)
def test_what_a_discriminator_cannot_have_is_refused(given: str, run_cli: RunCLI) -> None:
    error = run_cli.fails("fit", *TINY, *words(given.replace("--", "--model.discriminator.")))
    for text in REFUSED_IN_D[given]:
        assert text in error
    for noise in ("<class", "NoneType", "collections.abc", "PatchwiseAttention", "SelfAttention"):
        assert noise not in error
