"""`dualgan prepare`: images of any kind into a packed set."""

import time
from typing import Any, Literal

from dualgan.commands.shared.verbs import POSITIONAL, SWITCH, arguments
from dualgan.data.files.decoding import ResizeFilter
from dualgan.data.packed import Manifest, verify
from dualgan.data.packed.preparing import prepare


def run(
    src: str,
    out: str,
    resolution: int = 256,
    filter: ResizeFilter = "lanczos",
    crop: Literal["center", "none", "celeba", "lsun"] = "center",
    num_channels: Literal[1, 3] | None = None,
    workers: int | None = None,
    shard_mb: int = 64,
    skip_bad_images: bool = False,
    enlarge: bool = False,
    value_range: tuple[float, float] | None = None,
    all_frames: bool = False,
) -> None:
    """Check all images of a source, and write them cropped and resized into a folder that loads without decoding.

    Args:
        src: Folder or zip of images, or any other source that dualgan reads.
        out: Folder to make. It appears when all images are packed; OUT.partial keeps what a stopped run has done, and
            the same command goes on from there.
        resolution: Height and width of the images, 8 to 1024; StyleGAN2 takes powers of two.
        filter: Pillow's filter for resizing. It changes metrics: compare numbers of one filter only.
        crop: Square that is kept: "center" the largest centred one, "none" the whole image, which must be square,
            "celeba" the 128x128 around the face of an aligned CelebA image. "lsun" is the LSUN protocol of the GAN
            literature, another name for "center".
        num_channels: 3 packs all images as colour, 1 as gray; found out from the files by default.
        workers: Processes that pack; one per CPU by default.
        shard_mb: Largest size of a file in MB.
        skip_bad_images: Leave out images that cannot be decoded or cropped.
        enlarge: Take images that are smaller than the resolution, and enlarge them.
        value_range: The values that become black and white, in the files' own units, such as "[0, 4095]"; the full
            range of their type by default.
        all_frames: Take all frames of a file as images of their own, not the first.
    """
    start = time.monotonic()
    cropped: Literal["center", "none", "celeba"] = "center" if crop == "lsun" else crop
    made = prepare(
        src, out, resolution, filter, cropped, num_channels, workers, shard_mb, skip_bad_images, enlarge,
        value_range, all_frames,
    )  # fmt: skip
    seconds = time.monotonic() - start
    if made.existed:
        print(f"'{out}' is there already, made of the same images: {describe(made.manifest)}")
        return
    print(f"Packed '{src}' into '{out}' in {seconds:.1f} s: {describe(made.manifest)}")
    if names := made.manifest.class_names:
        print(f"Kept the labels, {len(names)} classes")
    if made.left_out:
        print(f"Left out {made.left_out} images, listed with their problems in '{out}.problems.txt'")
    if made.enlarged:
        print(f"Enlarged {made.enlarged} images, listed in '{out}.problems.txt'")


def describe(manifest: Manifest) -> str:
    """Number, form, size and fingerprint of a packed set in one line."""
    size = sum(file.bytes for file in manifest.files) / 1e9
    return (
        f"{manifest.count} images of {manifest.resolution}x{manifest.resolution}, "
        f"{'colour' if manifest.num_channels == 3 else 'gray'}, {manifest.resize_filter}, crop {manifest.crop}, "
        f"{len(manifest.shards)} shards, {size:.3g} GB, fingerprint {manifest.fingerprint}"
    )


def check(root: str) -> None:
    """Compare all files of a packed set with their checksums."""
    print(f"'{root}' is whole: {describe(verify(root))}")


def main(words: list[str]) -> None:
    """Run the command with the words of the command line."""
    checking = "Make nothing: compare all files of a packed set (a folder or URL) with their checksums."
    forms: dict[str, Any] = {"src": POSITIONAL, "out": POSITIONAL, "skip_bad_images": SWITCH, "enlarge": SWITCH}
    forms["all_frames"] = SWITCH
    given = arguments("prepare", run, words, **forms, verify={"metavar": "SET", "help": checking})
    if (root := given.pop("verify")) is not None:
        if words not in (["--verify", root], [f"--verify={root}"]):
            raise ValueError("--verify takes nothing else: 'dualgan prepare --verify SET'.")
        check(root)
        return
    if given["out"] is None:
        raise ValueError("prepare needs a source and a target: 'dualgan prepare SRC OUT', '--help' lists every option.")
    run(**given)
