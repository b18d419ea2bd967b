"""convolutions.yaml: the plan of a run's convolutions, in its folder as soon as it is made."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from dualgan.files.atomic import write_whole
from dualgan.gan import GAN
from dualgan.networks.cpu.algorithms import DIRECT
from dualgan.networks.cpu.plan import Plan, read_plan
from dualgan.runs.folder import CONVOLUTIONS, run_folder
from dualgan.terminal.console import say

EXPLAINED = """\
# Which algorithm computes each convolution in the training steps of this run, as they were timed on this machine.
# A run that goes on keeps it. For another run with the same numbers to the last bit: --model.convolutions THIS_FILE
"""


class ConvolutionPlan(Callback):
    """Keeps the plan in the run's folder, alike on all ranks.

    A checkpoint may be older than the newest convolutions, those of a grown network for instance: a run that goes on
    from it finds them here, and computes them as before.
    """

    def __init__(self) -> None:
        self._written: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add what the folder of a run that goes on has, and give all ranks the plan of rank zero."""
        assert isinstance(pl_module, GAN)
        plan = pl_module.convolutions.plan
        if plan is None:
            return
        given, device = pl_module.convolutions.given, pl_module.device.type
        if given and device != "cpu":
            say(f"convolutions {pl_module.convolutions.setting!r} has no effect on {device}: leave it out.")
        path = run_folder(trainer) / CONVOLUTIONS
        if trainer.is_global_zero and trainer.ckpt_path and path.is_file():
            try:
                pl_module.convolutions.adopt(read_plan(path.read_bytes()), str(path))
            except ValueError as error:
                say(f"{path} is damaged and left aside: {error}")
        plan.chosen = trainer.strategy.broadcast(plan.chosen)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the plan down after the first step, and when it has grown; it may have nothing to choose."""
        assert isinstance(pl_module, GAN)
        convolutions = pl_module.convolutions
        plan = convolutions.plan
        if plan is None or pl_module.device.type != "cpu" or not trainer.is_global_zero:
            return
        if len(plan.chosen) == self._written:
            return
        if not self._written and len(plan.chosen) > convolutions.adopted:
            say(in_words(plan, convolutions.adopted))
        self._written = len(plan.chosen)
        write_whole(run_folder(trainer) / CONVOLUTIONS, (EXPLAINED + plan.text()).encode())


def in_words(plan: Plan, adopted: int) -> str:
    """What has been measured, and what won how often."""
    new = list(plan.chosen.values())[adopted:]
    counts = {"PyTorch's operator" if name == DIRECT else name: new.count(name) for name in (DIRECT, *sorted(set(new)))}
    fastest = ", ".join(f"{name} in {count}" for name, count in counts.items() if count)
    which = f"{len(new)} convolutions that the plan of this run did not have" if adopted else f"{len(new)} convolutions"
    return f"Timed {which}, in {plan.seconds:.1f} s: the fastest is {fastest} ({CONVOLUTIONS})."
