"""`dualgan spectra`: mean power spectra of real and generated images."""

from collections.abc import Sequence

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.real_images import real_images
from dualgan.commands.shared.verbs import FILES, command
from dualgan.evaluation.images import check_evaluation
from dualgan.pictures.figures import MAX_ROWS
from dualgan.studies.neighbors import check_data
from dualgan.studies.spectra import check_num, draw_spectra, study_spectra
from dualgan.terminal.options import find_device, run_names
from dualgan.weights.checkpoints import load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: list[str],
    out: str,
    data: str | None = None,
    data_options: Sequence[str] = (),
    num: int | None = None,
    seed: int = 0,
    truncation_psi: float = 1.0,
    device: str = "auto",
) -> None:
    """Draw the mean power spectra of real and of each checkpoint's generated images, and how they differ.

    Args:
        ckpt: Checkpoints of runs on the same data; each is a row of the figure.
        out: File that ends in .png; curves and distances go to the .json file beside it.
        data: The real images: folder, zip, LMDB or packed set, configuration, or name of a data set (see below); by
            default those of the first checkpoint's run.
        num: Images of a kind; by default all real ones, but not more than 5000, and as many generated ones.
        seed: Seed of the latents.
    """
    path, place = study_path(out), find_device(device)
    check_num(num)
    check_evaluation(seed)
    names = run_names(ckpt)
    if len(names) > MAX_ROWS:
        raise ValueError(f"{len(names)} checkpoints: a figure has room for {MAX_ROWS}, draw several")
    generators = dict(zip(names, map(load_generator, ckpt), strict=True))
    images = real_images(data, ckpt[0], next(iter(generators.values())).resolution, data_options)
    for generator in generators.values():
        check_data(images, generator)
    studies = {}
    for name, generator in generators.items():
        found = study_spectra(generator.to(place), images, num, seed=seed, truncation_psi=truncation_psi)
        print(f"{name}: distance {found.distance:.2f} dB, upper half of frequencies {found.high:+.2f} dB")
        studies[name] = found
    settings = {"data_fingerprint": images.reference_set().fingerprint, "seed": seed, "truncation_psi": truncation_psi}
    numbers = [
        {"checkpoint": shown_name(file), **found.as_dict()} for file, found in zip(ckpt, studies.values(), strict=True)
    ]
    write_study(draw_spectra(studies), settings | {"checkpoints": numbers}, path)


main = command("spectra", run, ckpt={**FILES, "required": True})
