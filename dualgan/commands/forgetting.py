"""`dualgan forgetting`: the weights of FakeCLR's negatives by their age."""

from dualgan.commands.shared.outputs import png_path, write_study
from dualgan.commands.shared.verbs import command
from dualgan.studies.forgetting import draw_forgetting, study_forgetting


def run(
    out: str, queue_sizes: list[int] | None = None, temperatures: list[float] | None = None, batch_size: int = 50
) -> None:
    """Draw FakeCLR's forgetting factor over the queue (Fig. 2 of its supplement); needs neither data nor checkpoint.

    Args:
        out: File that ends in .png; the numbers go to a .json beside it.
        queue_sizes: A panel for each, 200 and 1000 by default.
        temperatures: A curve for each, 0.001 0.01 0.1 1 by default.
        batch_size: Keys that each step adds.
    """
    path = png_path(out)
    curves = study_forgetting(queue_sizes or [200, 1000], temperatures or [0.001, 0.01, 0.1, 1.0], batch_size)
    write_study(draw_forgetting(curves), {"curves": curves}, path)


main = command(
    "forgetting", run, queue_sizes={"nargs": "+", "type": int, "metavar": "K"},
    temperatures={"nargs": "+", "type": float, "metavar": "T"},
)  # fmt: skip
