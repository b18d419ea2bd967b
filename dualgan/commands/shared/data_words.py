"""The words of a command line that name real images. What they mean is in `real_images`, which takes long to import."""

from collections.abc import Sequence

EPILOG = """The real images: --data takes a folder, a zip, an LMDB or a packed set, which are read like the images of \
the checkpoint's run; or a YAML file with a data section, a run's config.yaml or a shipped configuration; or the name \
of a data set as in 'dualgan fit' (--data SyntheticCLEVR). Without it they are those of the checkpoint's own run, or \
of the pretrained network's card. --data.KEY VALUE sets any option of the data set over all that, such as --data.root \
PATH, --data.num_channels 1 or --data.reference train ('dualgan fit --data.help NAME' lists them)."""


def split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part a command's own words from the --data.KEY VALUE options among them."""
    ours: list[str] = []
    of_data: list[str] = []
    waiting = False  # for an option's value
    for word in words:
        belongs = word.startswith("--data.") or (waiting and not word.startswith("--"))
        waiting = word.startswith("--data.") and "=" not in word
        (of_data if belongs else ours).append(word)
    return ours, of_data
