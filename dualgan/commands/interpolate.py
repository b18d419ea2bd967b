"""`dualgan interpolate`: walks between latents."""

from itertools import pairwise
from typing import Any

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.verbs import SWITCH, command
from dualgan.networks.classes import class_names
from dualgan.pictures.figures import MAX_ROWS
from dualgan.studies.interpolate import (
    THRESHOLD,
    check_paths,
    draw_interpolation,
    interpolate,
    save_animation,
)
from dualgan.studies.walks import LatentSpace
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_cutoff, few_seeds, find_device
from dualgan.weights.checkpoints import load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: str,
    out: str,
    seeds: str = "0-3",
    steps: int = 9,
    space: LatentSpace = "z",
    linear: bool = False,
    threshold: float = THRESHOLD,
    frames: int = 33,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Walk with the averaged generator from each seed to the next, and flag steps where the image jumps.

    Args:
        out: File that ends in .png; the scores go to the .json and an animation to the .gif beside it.
        seeds: Two or more, as numbers and ranges such as 0-3 or 1,5,10-12, from 0 to 2^63 - 1; 0,1,0 comes back.
        steps: Images on every path, both ends included.
        space: "z" walks great circles, "w" straight lines.
        linear: Walk straight lines in z.
        threshold: Steps whose score is higher are flagged; scores are mean absolute differences of pixel values from 0
            to 1, and smaller with more steps.
        frames: Frames of the animation on every path.
    """
    path, numbers = study_path(out, ".gif"), few_seeds(seeds, MAX_ROWS + 1, distinct=False)
    check_paths(numbers, steps, space, linear, threshold)
    if not 2 <= frames <= 256:
        raise ValueError(f"frames {frames} is out of range: a path has 2 to 256 frames")
    check_cutoff(truncation_cutoff, [truncation_psi])
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    truncation = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    settings: dict[str, Any] = {
        "linear": linear,
        "threshold": threshold,
        "label": chosen_class(label, class_names(generator)),
        **truncation,
    }
    walked = interpolate(generator, numbers, steps, space, **settings)
    for p, (first, last) in enumerate(pairwise(numbers)):
        scores = " ".join(
            f"{s:.3f}{'!' if jump else ''}" for s, jump in zip(walked.scores[p], walked.jumps[p], strict=True)
        )
        print(f"seed {first} to {last}: {scores}  largest over mean {walked.unevenness[p]:.2f}")
    print(f"{int(walked.jumps.sum())} of {walked.jumps.size} steps are jumps (score above {threshold:g})")
    drawn = {"label": label, **truncation}
    write_study(draw_interpolation(walked), {"checkpoint": shown_name(ckpt), **walked.as_dict(), **drawn}, path)
    save_animation(interpolate(generator, numbers, frames, space, **settings), path.with_suffix(".gif"))
    print(f"Wrote {path.with_suffix('.gif')}")


main = command("interpolate", run, linear=SWITCH)
