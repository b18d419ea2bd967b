"""`dualgan explore`: a page to play with trained networks."""

import gc
import sys
import time
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any

import torch

from dualgan.commands.shared.verbs import FILES, SWITCH, command
from dualgan.explore.directions import assigned
from dualgan.explore.engine import Explorer, References
from dualgan.explore.references import OpenedBeside, RealImages
from dualgan.explore.serving import (
    PORT,
    check_gradio,
    check_port,
    launch,
    open_browser,
    surroundings,
    terminated_in_order,
    wait,
)
from dualgan.explore.studio import MOST_NETWORKS, Studio
from dualgan.files.targets import folder_to_write
from dualgan.networks import Discriminator, Generator
from dualgan.runtime.garbage import not_collected
from dualgan.runtime.private_parts import no_stubs_of_gradio
from dualgan.terminal.options import find_device, run_names
from dualgan.weights.checkpoints import discriminator_of, generator_of, read_networks
from dualgan.weights.pretrained import showpiece

GRACE = 0.5  # seconds for a walk that is played to end, or Gradio would wait five for its connection


def run(
    ckpt: list[str] | None = None,
    directions: list[str] | None = None,
    data: str | None = None,
    data_options: Sequence[str] = (),
    out: str = "explored",
    port: int = PORT,
    share: bool = False,
    browser: bool = False,
    device: str = "auto",
) -> None:
    """Serve a page to play with the averaged generator: seeds, truncation, mixing, walks, directions, attention.

    Args:
        ckpt: One checkpoint, or two side by side at the same seeds: files, folders of runs, or names of pretrained
            networks; by default the showpiece of 'dualgan pretrained'.
        directions: Files of 'dualgan directions' for the sliders of these checkpoints; by default sliders move along
            the principal components of w.
        data: The real images for a discriminator with reference attention: folder, zip, LMDB or packed set,
            configuration, or name of a data set (see below); by default those of each checkpoint's own run.
        out: Folder for pictures and latents that are saved; nothing there is replaced.
        port: Of the page's address on this machine, http://127.0.0.1:PORT; 0 for any that is free.
        share: Also give the page a public address, on Gradio's servers, for whoever knows it. Nothing can be saved
            then.
        browser: Open the page in the browser.
    """
    check_gradio()
    free, folder = check_port(port), None if share else folder_to_write(out)
    files = ckpt or [_showpiece()]
    if len(files) > MOST_NETWORKS:
        raise ValueError(f"{len(files)} checkpoints: the page has room for 1 or {MOST_NETWORKS} side by side")
    names, place = run_names(files), find_device(device)
    explorers = _explorers(dict(zip(names, files, strict=True)), place, directions or (), data, data_options)
    if (data is not None or data_options) and not any(one.references for one in explorers):
        raise ValueError("data was given, and no discriminator here looks at real images: leave it out")
    studio = Studio(explorers, folder)
    Thread(target=studio.warm_up, daemon=True).start()  # Gradio takes a second or two to come
    with terminated_in_order(), surroundings():
        with not_collected(), no_stubs_of_gradio():
            from dualgan.explore.page import LOOKS, build

        page = build(studio, share)
        address = launch(page, LOOKS, free, share)
        gc.freeze()  # all that is here stays: no picture is to wait until the collector has looked through it
        try:
            print(f"{' and '.join(names)}: {address} (Ctrl-C ends it)", flush=True)
            if browser and not open_browser(address):
                print(f"No browser was found here: open {address} in one yourself.", file=sys.stderr)
            wait()
        finally:
            studio.closed.set()
            time.sleep(GRACE)
            page.close(verbose=False)


def _showpiece() -> str:
    found = showpiece()
    if found is None:
        raise ValueError(
            "no trained networks come with this version of dualgan: name a checkpoint, --ckpt RUN/checkpoints/last.ckpt"
        )
    return str(found.file)


def _explorers(
    files: Mapping[str, str], place: torch.device, directions: Sequence[str], data: str | None, options: Sequence[str]
) -> list[Explorer]:
    """Look into the networks of some checkpoints, by their names."""
    read = {name: read_networks(file) for name, file in files.items()}
    generators = {name: generator_of(networks).to(place) for name, networks in read.items()}
    found = assigned(directions, generators)
    explorers = []
    for name, generator in generators.items():
        discriminator = _discriminator(read[name], place)
        looks = isinstance(discriminator, Discriminator) and discriminator.takes_reference
        references = _references(files[name], data, options, generator) if looks else None
        explorers.append(Explorer(name, generator, discriminator, references, found[name]))
    return explorers


def _discriminator(networks: dict[str, Any], place: torch.device) -> Discriminator | str:
    """The discriminator, or why there is none."""
    try:
        return discriminator_of(networks).to(place)
    except ValueError as error:
        return str(error)


def _references(file: str, data: str | None, options: Sequence[str], generator: Generator) -> References:
    """The real images of a checkpoint, which are opened beside the page; what the user has named must exist."""

    def open_images() -> RealImages:
        # Lightning, which comes with data, takes seconds to import, for which the first picture need not wait
        from dualgan.commands.shared.reference_images import reference_images

        return reference_images(data, file, generator, options)

    if data is not None or options:
        from dualgan.commands.shared.real_images import real_section

        real_section(data, file, generator.resolution, options)
    return OpenedBeside(open_images)


main = command("explore", run, ckpt=FILES, directions=FILES, share=SWITCH, browser=SWITCH)
