"""The command line: `dualgan VERB`, where a verb trains, samples, looks into something or prepares data."""

import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

from dualgan.files.trouble import OF_DISKS, in_words, interrupt_behind, named_by
from dualgan.runtime.garbage import not_collected
from dualgan.terminal.configs import replaced_parts, resolve_configs
from dualgan.terminal.console import flush_output, show_what_can_be_shown
from dualgan.version import __version__

TRAINER_VERBS = {
    "fit": "train a GAN",
    "validate": "score a checkpoint: Frechet and kernel distance, losses",
    "test": "the same on the data's test images",
    "predict": "write N generated images to a folder or zip, on any number of devices",
}
COMMANDS = {
    "generate": "write images of chosen seeds from a checkpoint; needs neither data nor configuration",
    "attention": "draw where the generator's attention looks from some positions of its images",
    "evaluate": "measure FID, KID, precision, recall and more of a checkpoint, or of images of any model",
    "compare": "put runs side by side: a table, and a page with curves, samples, settings and published figures",
    "dashboard": "make a W&B workspace that shows a project's runs side by side",
    "explore": "serve a page to play with a generator: seeds, mixing, walks, directions, attention, D's logit",
    "samples": "write one sheet of uncurated samples, also row by row under several truncations or by class",
    "neighbors": "find the training images nearest to generated ones",
    "interpolate": "walk between latents and flag the steps where the image jumps",
    "video": "write films of walks between latents, of truncation, directions or a training, as MP4 or GIF",
    "mix": "draw images that take the styles of two seeds, some layers one and the others the other",
    "directions": "find directions in w along which images change, draw and save them",
    "project": "find the latents that reconstruct real images, with several checkpoints side by side",
    "tsne": "embed discriminator features of real and generated images, with their Frechet distance",
    "spectra": "draw mean power spectra of real and generated images, and their difference",
    "forgetting": "draw how FakeCLR weighs the keys of its queue by their age",
    "export": "write the networks of a checkpoint as safetensors, ONNX or torch.export",
    "import": "turn an official StyleGAN2 .pkl file into ours, without running anything in it",
    "inspect": "say what is in a folder or zip of images, find duplicates, draw a contact sheet",
    "weights": "list the weight files that metrics use and where they are, and fetch missing ones",
    "pretrained": "list the trained networks that come with dualgan, or show the card of one",
    "prepare": "check images of any kind and pack them into a folder that loads fast, also over a network",
}
CONFIG_COMMANDS = {
    "study": "train and score a table of configurations and seeds, one process per core or GPU, and sum it up",
    "complexity": "count parameters and multiply-adds of a configuration's networks",
}
VERBS = TRAINER_VERBS | COMMANDS | CONFIG_COMMANDS

SIGPIPE = 13  # which Windows does not know

OVERVIEW = f"""\
dualgan {__version__}: GANs with dual contrastive loss and attention

usage: dualgan VERB [options]      dualgan VERB --help explains each

""" + "\n".join(f"  {verb:<11} {text}" for verb, text in VERBS.items())


def main(args: Sequence[str] | None = None) -> int:
    """Run one verb in this process.

    Args:
        args: Words of the command line; None takes those of the process.

    Returns:
        The exit code: 0, 1 where the training failed, 2 for a mistake in the input, and 128 plus its number for a
        signal that stopped the program: 130 after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1, 141 where nobody reads
        the output any more.
    """
    show_what_can_be_shown()
    words = list(sys.argv[1:] if args is None else args)
    try:
        if words[:1] == ["--version"]:
            print(f"dualgan {__version__}", flush=True)
            return 0
        if not words or words[0] in ("-h", "--help"):
            print(OVERVIEW, flush=True)
            return 0
        if words[0] not in VERBS:
            return _complain(f"unknown verb {words[0]!r}: expected one of {', '.join(VERBS)}")
        return _run(words)
    except ValueError as error:
        return _complain(str(error))
    except BrokenPipeError:  # who read the output has ended, as `head` does: not worth a word
        return 128 + SIGPIPE
    except OSError as error:
        if named_by(error) is None and error.errno not in OF_DISKS:  # no file of the user's
            raise
        return _complain(in_words(error))
    except RuntimeError as error:
        if (stop := interrupt_behind(error)) is None:
            raise
        return _stopped(stop)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except SystemExit as stop:  # argument parsing has printed its message, or --help its text
        return stop.code if isinstance(stop.code, int) else 1


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _stopped(stop: KeyboardInterrupt) -> int:
    print(f"\nStopped. {getattr(stop, 'advice', '')}".rstrip(" "), file=sys.stderr)
    return int(getattr(stop, "exit_code", 130))


def _run(words: list[str]) -> int:
    with not_collected():
        from dualgan.runtime.process import flush_denormals, keep_freed_memory

    flush_denormals()
    keep_freed_memory()
    if words[0] in COMMANDS:
        module = f"{words[0]}_" if iskeyword(words[0]) else words[0]
        with not_collected():
            run: Callable[[list[str]], None] = import_module(f"dualgan.commands.{module}").main
        run(words[1:])
        return 0
    with not_collected():
        from pytorch_lightning.utilities import rank_zero_only

        from dualgan.cli.lightning import SECTIONS, parse_fit, run_trainer

    say = rank_zero_only(partial(print, file=sys.stderr))
    sections = ("model", "data", "trainer", "wandb", *SECTIONS)
    if words[0] in CONFIG_COMMANDS:
        import_module(f"dualgan.commands.{words[0]}").main(
            words[1:], lambda given: parse_fit(resolve_configs(given, sections))
        )
        return 0
    words = resolve_configs(words, sections)
    for sentence in replaced_parts(words):
        say(f"Note: {sentence}.")
    return run_trainer(words)


def entry_point() -> NoReturn:
    """What the console script runs."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # whose line of ours says it is no help
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has been obeyed: what libraries do at the end is not stopped
    flush_output()
    sys.exit(code)
