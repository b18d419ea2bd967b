"""Parts of libraries that promise nothing, in one place: what is used of them, why, and in which version it was read.

`tests/runtime/test_private_parts.py` says after an upgrade which of them is gone, and keeps others from creeping in.
"""

import inspect
from argparse import Action, ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

# Methods of LightningCLI (pytorch-lightning 2.6.6) that `dualgan.cli.lightning` overrides, with what its own would do.
LIGHTNING_CLI = {
    "_prepare_subcommand_parser": "explain --ckpt_path in Lightning's words",
    "_parse_ckpt_path": "lay a checkpoint's hyperparameters over the command line",
    "_set_seed": "draw the seed after it was passed on, and on every rank another one",
    "_prepare_subcommand_kwargs": "unpickle all that a checkpoint holds, and keep predictions in memory",
    "_run_subcommand": "train beside another training in the same folder",
}
LIGHTNING_CLI_USED = {"_parser": "the verb's parser, which writes config.yaml"}

# Used where they are: a function around each would say nothing more.
ELSEWHERE = {
    "torch._foreach_copy_": "one kernel for many tensors, as torch's optimizers do it; read in torch 2.14",
    "torch._foreach_lerp_": "the same for moving averages",
    "mkldnn._convolution_pointwise": "convolution and activation in one pass, as torch.compile's; read in torch 2.14",
    "mkldnn._convolution_pointwise_": "the same, added to what there is already",
    "efficientnet._blocks": "batch norms are folded into convolutions; read in efficientnet-lite-pytorch 0.1.0",
    "efficientnet._fc": "logits from features",
}


def leave_signals_alone(trainer: "Trainer") -> None:
    """Switch Lightning's handlers off: no public option does for all of them.

    Its requeueing of SLURM jobs writes checkpoints of its own, and its SIGTERM costs a broadcast and a stop of the
    device's queue at every step. Read in pytorch-lightning 2.6.6.
    """
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment):
        environment.auto_requeue = False
    connector: Any = trainer._signal_connector
    connector.register_signal_handlers = _nothing
    epoch_loop: Any = trainer.fit_loop.epoch_loop
    epoch_loop._broadcast_sigterm_tensor = _nothing


def count_steps_right(trainer: "Trainer") -> None:
    """Let the next row be logged under the number of its step.

    Lightning counts one too many after resuming between two epochs' ends. Read in pytorch-lightning 2.6.6.
    """
    loop = trainer.fit_loop.epoch_loop
    loop._batches_that_stepped = trainer.global_step
    loop.batch_progress.total.ready = loop.batch_progress.total.completed + 1


def actions_of(parser: ArgumentParser) -> list[Action]:
    """What a parser knows of its options: argparse has no public list of them. Read in Python 3.11."""
    return parser._actions


@contextmanager
def no_stubs_of_gradio() -> Iterator[None]:
    """Let Gradio be imported without writing .pyi files of all its components anew, which takes it a second every time.

    It leaves out components that lie in no file, so that here none of them does. Read in gradio 6.31; where it does not
    expect any, it writes them.
    """
    module: Any = inspect
    of_files = inspect.getfile

    def getfile(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError(f"{thing.__name__} needs no stub")
        return of_files(thing)

    if _leaves_out_what_has_no_file():
        module.getfile = getfile
    try:
        yield
    finally:
        module.getfile = of_files


def _leaves_out_what_has_no_file() -> bool:
    spec = find_spec("gradio")
    source = None if spec is None or spec.origin is None else Path(spec.origin).with_name("component_meta.py")
    return source is not None and source.is_file() and "except OSError" in source.read_text(encoding="utf-8")


def _nothing() -> None: ...
