"""How words of the command line become the arguments of a function, whose docstring explains them."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from docstring_parser import parse

from dualgan.commands.shared.data_words import EPILOG, split_options
from dualgan.runs.folder import last_of
from dualgan.runtime.private_parts import actions_of
from dualgan.terminal.messages import ParagraphParser
from dualgan.weights.checkpoints import NETWORK_FILES
from dualgan.weights.pretrained import networks_file

# Forms of options in argparse's words.
SWITCH: Mapping[str, Any] = {"action": "store_true"}
POSITIONAL: Mapping[str, Any] = {"nargs": "?"}
FILES: Mapping[str, Any] = {"nargs": "+", "metavar": "FILE"}

# Parameters that mean the same in most verbs: where a docstring leaves them out, this is their help.
USUAL = {
    "ckpt": "Checkpoint of a run, for instance runs/clevr_demo/checkpoints/last.ckpt, or the folder of the run, for "
    "its last one; or the name of a pretrained network ('dualgan pretrained' lists them).",
    "data": "The real images: folder, zip, LMDB or packed set, configuration, or name of a data set (see below); by "
    "default those of the checkpoint's run or of the pretrained network's card.",
    "truncation_psi": "1 for none; smaller values trade variety for quality.",
    "truncation_cutoff": "Truncate only so many layers, the first and coarsest ones; all by default.",
    "label": "Class to generate, for a conditional generator: its name in the data set, or its number from 0 on; where "
    "names are numbers themselves, a number is a name. By default each seed draws a class.",
    "device": '"cpu", "cuda", "cuda:1", "mps", ...; "auto" takes a GPU where one works, CUDA or Apple\'s, and says so.',
}

Run = Callable[..., None]


def command(verb: str, run: Run, **forms: Any) -> Callable[[list[str]], None]:
    """The `main` of a verb, which calls `run` with the words of the command line; `forms` as for `arguments`."""
    return lambda words: run(**arguments(verb, run, words, **forms))


def arguments(
    verb: str, run: Run, words: list[str], epilog: str = "", no_options: Collection[str] = (), **forms: Any
) -> dict[str, Any]:
    """Read the words of the command line.

    Where `run` takes `data_options`, these are the words --data.KEY VALUE, and --help says how real images are named.

    Args:
        verb: Name of the verb.
        run: Its parameters are the options, with their types and defaults.
        words: What follows the verb.
        epilog: More at the end of --help.
        no_options: Parameters of `run` that no words give.
        forms: Settings of argparse for options that are no plain --NAME VALUE, in the order of --help.

    Raises:
        ValueError: The words do not fit.
    """
    docstring = parse(inspect.getdoc(run) or "")
    helps = USUAL | {param.arg_name: " ".join((param.description or "").split()) for param in docstring.params}
    given: dict[str, Any] = {}
    if takes_data := "data_options" in inspect.signature(run).parameters:
        words, given["data_options"] = split_options(words)
    parser = ParagraphParser(prog=f"dualgan {verb}", description=docstring.short_description, allow_abbrev=False)
    parser.add_function_arguments(run, as_positional=False, skip={*forms, *given, *no_options}, as_group=False)
    for name, form in forms.items():
        dashes = "" if form.get("nargs") in ("?", "*") else "--"
        parser.add_argument(f"{dashes}{name}", **form)
    for action in actions_of(parser):
        action.help = action.help or helps.get(action.dest)
    parser.epilog = " ".join([EPILOG, epilog] if takes_data else [epilog]).strip() or None
    given |= parser.parse_args(words).as_dict()
    if given.get("ckpt"):
        ckpt = given["ckpt"]
        given["ckpt"] = [_networks_of(one) for one in ckpt] if isinstance(ckpt, list) else _networks_of(ckpt)
    return given


def _networks_of(place: str) -> str:
    """The file that a word for --ckpt stands for."""
    return networks_file(last_of(place, f"a {NETWORK_FILES}"))
