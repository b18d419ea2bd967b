"""`dualgan tsne`: discriminator features of real and generated images."""

from collections.abc import Sequence

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.real_images import real_images
from dualgan.commands.shared.verbs import FILES, command
from dualgan.studies.neighbors import check_data
from dualgan.studies.tsne import PERPLEXITY, check_study, draw_features, study_features
from dualgan.terminal.options import find_device, run_names
from dualgan.weights.checkpoints import load_discriminator, load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: list[str],
    out: str,
    data: str | None = None,
    data_options: Sequence[str] = (),
    num: int | None = None,
    points: int = 500,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Draw each checkpoint's discriminator features of real and generated images, with their Frechet distance (FDDF).

    Args:
        ckpt: Checkpoints of runs on the same data; each is a panel of the figure.
        out: File that ends in .png; FDDF and the points go to the .json file beside it.
        data: The real images: folder, zip, LMDB or packed set, configuration, or name of a data set (see below); by
            default those of the first checkpoint's run.
        num: Images of a kind for FDDF; compare numbers of equal counts only. By default all real images and 50000
            generated ones, as in 'dualgan evaluate', whose FDDF is the same.
        points: Images of a kind in the t-SNE.
        perplexity: Of t-SNE: how many neighbours count.
        seed: Seed of the latents, of reference images and of t-SNE.
    """
    path, place = study_path(out), find_device(device)
    check_study(num, points, seed, perplexity)
    names = run_names(ckpt)
    generators = [load_generator(file) for file in ckpt]
    discriminators = [load_discriminator(file) for file in ckpt]
    images = real_images(data, ckpt[0], generators[0].resolution, data_options)
    for generator in generators:
        check_data(images, generator)
    studies = {}
    for name, generator, discriminator in zip(names, generators, discriminators, strict=True):
        players = generator.to(place), discriminator.to(place)
        studies[name] = found = study_features(*players, images, num, points, seed=seed, perplexity=perplexity)
        print(f"{name}: FDDF {found.shown}{f' ({found.note})' if found.note else ''}")
    settings = {"data_fingerprint": images.reference_set().fingerprint, "seed": seed, "perplexity": perplexity}
    numbers = [
        {"checkpoint": shown_name(file), **study.as_dict()} for file, study in zip(ckpt, studies.values(), strict=True)
    ]
    write_study(draw_features(studies), settings | {"checkpoints": numbers}, path)


main = command("tsne", run, ckpt={**FILES, "required": True})
