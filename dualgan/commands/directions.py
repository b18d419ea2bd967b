"""`dualgan directions`: directions in w, what they do, and a file of them."""

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.verbs import command
from dualgan.networks.classes import class_names
from dualgan.pictures.figures import MAX_ROWS
from dualgan.runtime.seeding import SEEDS
from dualgan.studies.direction_sheet import check_rows, draw_directions, steps_of, walk_directions
from dualgan.studies.directions import Method, check_search, find_directions
from dualgan.studies.styles import W_SAMPLES
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_cutoff, few_seeds, find_device, parse_layers
from dualgan.weights.checkpoints import load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: str,
    out: str,
    method: Method = "pca",
    num: int = 8,
    layers: str | None = None,
    seeds: str = "0,1",
    strength: float = 3.0,
    steps: int = 7,
    seed: int = 0,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Find directions in w along which the averaged generator's images change, and draw what each does.

    Args:
        ckpt: Checkpoint of a run whose generator has a mapping network.
        out: File that ends in .png; the directions go to the .safetensors file beside it, and their shares to the .json
            file.
        method: "pca" takes the principal components of w (GANSpace), "sefa" those of the weights that read it (SeFa).
        num: How many, the strongest first.
        layers: Layers that are moved, such as 0-3 or 0,2,5-7, from 0, the coarsest, on; "sefa" looks at the weights of
            these. By default all.
        seeds: What they are drawn on: numbers and ranges such as 0-3 or 1,5,10-12, each once, from 0 to 2^63 - 1.
        strength: How far the outermost images are moved, in standard deviations of w.
        steps: Images in a row, an odd number: the one in the middle is the seed's own.
        seed: Seed of the samples of w.
        label: Class whose w are sampled and drawn, for a conditional generator: its name in the data set, or its number
            from 0 on. By default each seed draws a class.
    """
    path, numbers = study_path(out, ".safetensors"), few_seeds(seeds, MAX_ROWS)
    strengths, chosen = steps_of(strength, steps), None if layers is None else parse_layers(layers)
    check_search(method, num)
    check_rows(num, numbers)
    check_cutoff(truncation_cutoff, [truncation_psi])
    if not 0 <= seed < SEEDS // W_SAMPLES:
        raise ValueError(f"seed {seed} is out of range: expected 0 to {SEEDS // W_SAMPLES - 1}")
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    number = chosen_class(label, class_names(generator))
    found = find_directions(generator, method, num, chosen, label=number, seed=seed)
    images = walk_directions(
        generator,
        found,
        numbers,
        strengths,
        label=number,
        truncation_psi=truncation_psi,
        truncation_cutoff=truncation_cutoff,
    )
    whole = "the variance of w" if method == "pca" else "the squared weights"
    print(f"Parts of {whole}: " + ", ".join(f"{n} {s:.1%}" for n, s in zip(found.names, found.shares, strict=True)))
    truncation = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    drawn = {"seeds": numbers, "strengths": strengths, "label": label, "seed": seed, **truncation}
    figure = draw_directions(images, found, numbers, strengths)
    write_study(figure, {"checkpoint": shown_name(ckpt), **found.as_dict(), **drawn}, path)
    found.save(path.with_suffix(".safetensors"))
    print(f"Wrote {path.with_suffix('.safetensors')}")


main = command("directions", run)
