"""Which files are images: by their suffix where it says so, else by their first bytes."""

import warnings
from pathlib import PurePosixPath
from typing import BinaryIO

from PIL import Image

# Pillow goes by the content, not by the name. Left out are its decoders that start programs (PostScript, WMF), that
# only recognise a format, and those of measurements. HEIF is known to it after pillow_heif has registered itself.
_FORMATS = (
    "PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "QOI", "TGA", "PCX", "SGI", "ICO",
    "PSD", "DDS", "SUN", "HEIF",
)  # fmt: skip

_SUFFIXES = {
    "PNG": ".png .apng",
    "JPEG": ".jpg .jpeg .jpe .jfif .jif .mpo",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "GIF": ".gif",
    "TIFF": ".tif .tiff",
    "BMP": ".bmp",
    "DIB": ".dib",
    "JPEG2000": ".jp2 .j2k .jpc .jpf .jpx",
    "PPM": ".ppm .pgm .pbm .pnm .pfm",
    "QOI": ".qoi",
    "TGA": ".tga",
    "PCX": ".pcx",
    "SGI": ".sgi",
    "ICO": ".ico",
    "PSD": ".psd",
    "DDS": ".dds",
    "SUN": ".ras",
}
_FORMAT_OF = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

_PREFIX = 16  # bytes by which Pillow's decoders know their files
_RAW = ".dng .nef .nrw .cr2 .cr3 .arw .srf .sr2 .pef .srw .orf .rw2 .raf .3fr .iiq"
RAW = frozenset(_RAW.split())
"""Photographs as the sensor saw them. Many are TIFF files, of which Pillow would read the small preview."""

_OTHERS = ".heic .heif .hif .avif .jxl .svg .eps .ps .ai .wmf .emf .exr .hdr .xcf"
_PICTURES = frozenset(_OTHERS.split())

_SEQUENCES = frozenset({"PNG", "GIF", "TIFF", "WEBP", "AVIF", "MPO", "HEIF"})
_SINGLE = frozenset(_FORMATS) - _SEQUENCES - {"JPEG"}  # an MPO begins as a JPEG


def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read."""
    Image.init()
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN)


def trusted_suffixes() -> frozenset[str]:
    """Suffixes, in small letters, whose files are taken for images without a look at them."""
    known = formats()
    return frozenset(suffix for suffix, kind in _FORMAT_OF.items() if kind in known)


def suffix_of(name: str) -> str:
    """The suffix of a file's name in small letters, such as ".png", or nothing."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()


def why_not(suffix: str) -> str:
    """Why files of a suffix that names pictures are no images here; nothing for other suffixes."""
    if suffix in RAW:
        return "camera raw: only its preview could be read"
    return "Pillow here cannot read them" if suffix in _PICTURES or suffix in _FORMAT_OF else ""


def holds_image(file: BinaryIO) -> bool:
    """Whether the content of a file is an image; looks at its first bytes, and at its header if these promise one."""
    prefix = file.read(_PREFIX)
    likely = [kind for kind in formats() if (accept := Image.OPEN[kind][1]) is not None and accept(prefix) is True]
    if not likely:
        return False
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of too many pixels, which decoding refuses by name
            Image.open(file, formats=likely)
    except Image.DecompressionBombError:
        return True
    except Exception:  # headers of other files that begin alike make decoders raise many kinds
        return False
    return True


def may_hold_frames(name: str) -> bool:
    """Whether files of this name can hold several frames; those without a known suffix can."""
    return _FORMAT_OF.get(suffix_of(name)) not in _SINGLE


def count_frames(image: Image.Image) -> int:
    """Number of frames of an opened image file: pages of a TIFF, views of an MPO; layers and sizes are no frames."""
    if image.format not in _SEQUENCES:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # damaged behind the first frame
        return 1
