"""`dualgan weights`: the weight files that metrics use."""

from dualgan.commands.shared.verbs import command
from dualgan.metrics.weights import WEIGHTS, WeightFile, fetch, file_hash


def run(download: str | None = None) -> None:
    """List the weight files that metrics use: where they are looked for, whether they are there, and their hashes.

    Args:
        download: Fetch the missing file of this name first, or "all" of them, which are several GB.
    """
    for name in _chosen(download):
        fetch(name)
    for weights in WEIGHTS.values():
        print(_describe(weights))


def _chosen(download: str | None) -> list[str]:
    if download is None:
        return []
    if download == "all":
        return [name for name, weights in WEIGHTS.items() if weights.installed is None]
    if download not in WEIGHTS:
        raise ValueError(f"weights {download!r} do not exist: choose all, {', '.join(WEIGHTS)}.")
    return [download]


def _describe(weights: WeightFile) -> str:
    path = weights.path
    terms = f"{weights.use}; license {weights.license or 'not stated by the publisher'}"
    if not path.is_file():
        return f"{weights.name}: MISSING ({terms})\n  looked for {path}\n  published at {weights.url}"
    found = file_hash(path)
    state = "found" if found.startswith(weights.sha256[:16]) else f"OTHER FILE, expected sha256 {weights.sha256[:16]}"
    return f"{weights.name}: {state} ({terms})\n  {path}, {path.stat().st_size / 1e6:.2f} MB, sha256 {found}"


main = command("weights", run)
