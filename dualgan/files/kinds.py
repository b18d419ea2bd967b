"""What a file seems to be, from its first bytes: for messages about files that are not what was asked for."""

import zipfile
from pathlib import Path

TORCH_ZIP, PICKLE, SAFETENSORS = "a file of torch.save", "a pickle", "a safetensors file"

_BEGINNINGS = {
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"%PDF-": "a PDF",
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"\xfd7zXZ\0": "an xz file: unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it first",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x89HDF\r\n": "an HDF5 file, as Keras writes them",
    b"version https://git-lfs": "a pointer of Git LFS to a file: fetch the file itself with 'git lfs pull'",
}
_LONGEST = 512


def kind_of(path: Path) -> str | None:
    """A few words, such as "a PNG image", or None for content that is none of the known kinds.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST)
    if not start:
        return "an empty file"
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WebP image"
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return PICKLE
    # safetensors: the length of a JSON text in 8 bytes, then that text
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size:
        return SAFETENSORS
    if start[:1] == b"\x08" and start[2:3] in (b"\x12", b"\x3a"):  # protobuf: ir_version, then producer or graph
        return "an ONNX graph"
    found = next((kind for beginning, kind in _BEGINNINGS.items() if start.startswith(beginning)), None)
    return found or _kind_of_text(start)


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return "a zip file that is cut off or damaged"
    below = {name.partition("/")[2] or name for name in names}
    if any(name == "constants.pkl" or name.startswith("code/") for name in below):
        return "TorchScript, which is a program and never run"
    if any(name == "archive_format" or name.startswith("models/") for name in below) or "archive_format" in names:
        return "a program of torch.export (.pt2), which is never run"
    if "data.pkl" in below:
        return TORCH_ZIP
    if names and all(name.endswith(".npy") for name in names):
        return "arrays of NumPy (.npz)"
    return f"a zip file of {len(names):,} files" + (f", such as {names[0][:80]!r}" if names else "")


def _kind_of_text(start: bytes) -> str | None:
    try:
        text = start.decode("utf-8", errors="strict" if len(start) < _LONGEST else "ignore")
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character in "\r\n\t\f\ufeff" for character in text):
        return None
    if "<html" in text.lower() or "<!doctype" in text.lower():
        return "a web page, as a download without a login gives it"
    return "text"
