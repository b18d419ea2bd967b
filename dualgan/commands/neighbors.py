"""`dualgan neighbors`: the training images nearest to generated ones."""

from collections.abc import Sequence

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.real_images import real_images
from dualgan.commands.shared.verbs import command
from dualgan.metrics import find_extractor
from dualgan.metrics.extractors import ExtractorName
from dualgan.metrics.weights import named_by
from dualgan.networks.classes import class_names, same_class
from dualgan.pictures.figures import MAX_ROWS
from dualgan.studies.neighbors import SPACES, Space, check_search, draw_neighbors, find_neighbors
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import few_seeds, find_device
from dualgan.weights.checkpoints import load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: str,
    out: str,
    data: str | None = None,
    data_options: Sequence[str] = (),
    seeds: str = "0-7",
    k: int = 5,
    space: list[Space] | None = None,
    extractor: ExtractorName = "auto",
    weights: str | None = None,
    truncation_psi: float = 1.0,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Find the training images nearest to the averaged generator's images of chosen seeds: has it memorised?

    Args:
        out: File that ends in .png; indices, names and distances go to the .json file beside it.
        data: The training images: folder, zip, LMDB or packed set, configuration, or name of a data set (see below); by
            default those of the checkpoint's run.
        seeds: Numbers and ranges such as 0-7 or 1,5,10-12, each once, from 0 to 2^63 - 1.
        k: Neighbours per image and space.
        space: pixel, perceptual or both, the default.
        extractor: Network of the perceptual space; "auto" takes Inception-v3 where its weights are.
        weights: Weight file of the extractor.
    """
    path, numbers, spaces = study_path(out), few_seeds(seeds, MAX_ROWS), space or list(SPACES)
    check_search(numbers, k, spaces)
    if "perceptual" not in spaces and (extractor != "auto" or weights is not None):
        raise ValueError("extractor and weights have no effect without the perceptual space: leave them out")
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    labels = same_class(chosen_class(label, class_names(generator)), len(numbers))
    images = real_images(data, ckpt, generator.resolution, data_options)
    with named_by("--weights"):
        network = find_extractor(extractor, weights) if "perceptual" in spaces else None
    found = find_neighbors(
        generator, images, numbers, k, spaces, extractor=network, labels=labels, truncation_psi=truncation_psi
    )
    for name, nearest in found.spaces.items():
        print(f"{name}: {nearest.distances.min():.4g} to {nearest.distances.max():.4g}, {nearest.measure}")
    write_study(draw_neighbors(found), {"checkpoint": shown_name(ckpt), **found.as_dict()}, path)


main = command("neighbors", run, space={"nargs": "+", "choices": SPACES, "metavar": "SPACE"})
