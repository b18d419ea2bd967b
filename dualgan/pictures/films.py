"""Films: MP4 by PyAV, which brings FFmpeg, and GIF by Pillow. Frames are asked for one after the other."""

import errno
import math
import os
from collections.abc import Iterable
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dualgan.pictures import captions
from dualgan.pictures.figures import as_rgb
from dualgan.pictures.grids import enlarged, to_pil

SIDE = 480  # pixels; smaller frames are enlarged by whole factors
LONGEST_SIDE = 4096  # what players of H.264 take
FASTEST = {".mp4": 120, ".gif": 50}  # frames a second; browsers slow faster GIFs down
# Encoders of FFmpeg whose films MP4 can hold, with settings at which sharp edges stay sharp
CODECS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "17"},
    "libx265": {"crf": "20", "x265-params": "log-level=error"},
    "libsvtav1": {"crf": "25"},
    "libaom-av1": {"crf": "22", "cpu-used": "6"},
    "libopenh264": {},
    "mpeg4": {},
}
CODEC = "libx264"
_BITS_PER_PIXEL = 0.6  # of encoders without "crf"
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers of what players expect of colours
_COLOURS = 256  # of a frame of a GIF
_SAMPLED = 2**14  # pixels of a frame that its colours are chosen from


class Frame(NamedTuple):
    """A picture of a film, uint8 [H, W, 1 or 3], and a text below it."""

    image: np.ndarray
    caption: str = ""


class Layout(NamedTuple):
    """How a film's pictures are laid out: enlarged by `factor`, in frames of even sides `height` and `width`.

    The last `caption` rows of pixels are for a text.
    """

    factor: int
    height: int
    width: int
    caption: int = 0


def check_rate(fps: float, ending: str) -> None:
    """Refuse a rate that players do not keep in a file that ends in .mp4 or .gif.

    Raises:
        ValueError: It is out of range.
    """
    if not 1 <= fps <= FASTEST[ending]:
        raise ValueError(f"fps {fps:g} is out of range: a {ending} file has 1 to {FASTEST[ending]} frames a second")


def check_codec(codec: str) -> None:
    """Refuse an encoder that is not there.

    Raises:
        ValueError: PyAV is not installed, or its FFmpeg has no such encoder.
    """
    av = _pyav()
    if codec not in CODECS:
        raise ValueError(f"codec {codec!r} {_what_else(av, codec)}: expected {', '.join(CODECS)}")
    if not _has_encoder(av, codec):
        there = [name for name in CODECS if _has_encoder(av, name)]
        instead = f"take {' or '.join(there)}" if there else "write a .gif file"
        raise ValueError(f"codec {codec!r} is not in the FFmpeg that PyAV {av.__version__} has brought: {instead}")


def _pyav() -> Any:
    try:
        return import_module("av")
    except ImportError as error:
        raise ValueError(
            "MP4 needs the package PyAV, which is not installed: pip install 'dualgan[video]', or write a .gif file"
        ) from error


def _has_encoder(av: Any, codec: str) -> bool:
    return _find(av, codec, "w") is not None


def _find(av: Any, codec: str, mode: str) -> Any:
    """FFmpeg's encoder ("w") or decoder ("r") of a name; None where it has none."""
    try:
        return av.codec.Codec(codec, mode)
    except ValueError:  # PyAV's UnknownCodecError is one
        return None


def _what_else(av: Any, codec: str) -> str:
    """What a name is that stands for none of our encoders."""
    encoder, decoder = (_find(av, codec, mode) for mode in "wr")
    if (found := encoder or decoder) is None:
        return "is unknown"
    if found.type != "video":
        return f"is a codec for {'sound' if found.type == 'audio' else f'{found.type}s'}, not for pictures"
    if encoder is None:
        return "can only be read, not written"
    return "is none that films are written with"


def kept_rate(fps: float, ending: str) -> float:
    """Frames a second that a file keeps: GIF counts whole hundredths of a second."""
    return 100 / round(100 / fps) if ending == ".gif" else fps


def layout(height: int, width: int, captioned: bool) -> Layout:
    """How pictures [height, width] are shown.

    Raises:
        ValueError: Players would not take such frames.
    """
    factor = max(1, SIDE // max(height, width))
    caption = captions.HEIGHT if captioned else 0
    high, wide = height * factor + caption, width * factor
    if max(high, wide) > LONGEST_SIDE:
        raise ValueError(
            f"frames of {wide} x {high} pixels are too large: players take up to {LONGEST_SIDE} a side. Film fewer "
            f"images at once"
        )
    return Layout(factor, high + high % 2, wide + wide % 2, caption)  # colour is kept for two by two pixels


def laid_out(frame: Frame, how: Layout) -> np.ndarray:
    """A frame with its picture enlarged and its caption below; uint8 [height, width, 3]."""
    picture = enlarged(as_rgb(frame.image), how.factor)
    below, right = how.height - picture.shape[0], how.width - picture.shape[1]
    page = np.pad(picture, ((0, below), (0, right), (0, 0)), mode="edge")
    if how.caption:
        page[-how.caption :] = captions.written(frame.caption, how.width, how.caption)
    return page


def save_mp4(frames: Iterable[np.ndarray], path: Path, fps: float, codec: str, height: int, width: int) -> None:
    """Write frames, uint8 [height, width, 3] with even sides; the encoder is opened before the first is asked for.

    Raises:
        ValueError: The encoder refuses size or rate.
        OSError: The file cannot be written.
    """
    av = _pyav()
    try:
        _encode(av, frames, path, fps, codec, height, width)
    except av.FFmpegError as error:
        if error.errno not in errno.errorcode:  # FFmpeg has numbers of its own beside the system's
            raise
        raise OSError(error.errno, os.strerror(error.errno)) from error


def _encode(av: Any, frames: Iterable[np.ndarray], path: Path, fps: float, codec: str, height: int, width: int) -> None:
    settings = CODECS[codec]
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=dict(settings))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if "crf" not in settings:
            stream.bit_rate = round(_BITS_PER_PIXEL * width * height * fps)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        try:
            context.open()
        except av.FFmpegError as error:
            raise ValueError(f"codec {codec!r} refuses {width} x {height} pixels at {fps:g} fps: {error}") from error
        for image in frames:
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(shown.reformat(format="yuv420p", dst_colorspace=_BT709)))
        container.mux(stream.encode(None))


def save_gif(frames: Iterable[np.ndarray], path: Path, fps: float, caption: int = 0) -> None:
    """Write frames as an endless GIF, whose times are whole hundredths of a second.

    Args:
        frames: uint8 [H, W, 1 or 3]; with captions [H, W, 3].
        path: The file.
        fps: Frames a second.
        caption: How many of the last rows of pixels are a text's, which keeps its shades.
    """
    images = (_with_text(frame, caption) if caption else _as_image(frame) for frame in frames)
    pause = round(1000 / kept_rate(fps, ".gif"))
    next(images).save(path, "GIF", save_all=True, append_images=images, duration=pause, loop=0)


def _as_image(frame: np.ndarray) -> Image.Image:
    return _in_colours(frame, _COLOURS) if frame.shape[-1] == 3 else to_pil(frame)


# Pillow's usual choice, the median cut, spends most on the many shades of a ground, and small red things turn brown
def _in_colours(picture: np.ndarray, most: int) -> Image.Image:
    """A picture, uint8 [H, W, 3], in colours far apart at first, then moved to the middle of their pixels."""
    every = max(1, math.isqrt(picture.shape[0] * picture.shape[1] // _SAMPLED))
    some = Image.fromarray(np.ascontiguousarray(picture[::every, ::every]))
    chosen = some.quantize(most, Image.Quantize.MAXCOVERAGE, kmeans=1)
    return Image.fromarray(picture).quantize(palette=chosen, dither=Image.Dither.NONE)


# To choose colours for pictures and texts together would tint the texts
def _with_text(page: np.ndarray, caption: int) -> Image.Image:
    """A frame in colours of its picture and the shades of texts."""
    own = _COLOURS - len(captions.SHADES)
    picture = _in_colours(page[:-caption], own)
    text = own + captions.shades(page[-caption:, :, 0])
    whole = Image.fromarray(np.concatenate([np.asarray(picture), text.astype(np.uint8)]), "P")
    colours = np.zeros((_COLOURS, 3), np.uint8)
    chosen = np.array(picture.getpalette()[: 3 * own], np.uint8).reshape(-1, 3)  # type: ignore[index]
    colours[: len(chosen)], colours[own:] = chosen, captions.SHADES[:, None]
    whole.putpalette(colours.tobytes())
    return whole
