"""Films as files: what is written comes back, and what cannot be written is told before the first frame."""

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from dualgan import load_generator
from dualgan.networks.sampling import generate
from dualgan.pictures import films
from dualgan.pictures.films import (
    CODEC,
    CODECS,
    LONGEST_SIDE,
    Frame,
    check_codec,
    check_rate,
    kept_rate,
    laid_out,
    layout,
    save_gif,
    save_mp4,
)
from dualgan.pictures.grids import grid

COLOURS = ((200, 30, 40), (20, 180, 60), (40, 60, 210), (128, 128, 128))


def plain(height: int = 64, width: int = 96) -> list[np.ndarray]:
    """A frame of each colour."""
    return [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]


def played(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def available(codec: str) -> bool:
    try:
        check_codec(codec)
    except ValueError:
        return False
    return True


def test_the_usual_encoder_is_there() -> None:
    assert available(CODEC)


@pytest.mark.parametrize("codec", CODECS)
def test_mp4_has_every_frame_in_its_colour_and_at_its_time(codec: str, tmp_path: Path) -> None:
    if not available(codec):
        pytest.skip(f"this FFmpeg has no {codec}")
    path = tmp_path / "film.mp4"
    save_mp4(plain(), path, 12.5, codec, 64, 96)
    frames = played(path)
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 4
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame.reshape(-1, 3).mean(axis=0) - colour).max() < 6
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(25, 2)
        assert stream.pix_fmt == "yuv420p"  # what browsers show


def test_gif_has_every_frame_and_runs_for_ever(tmp_path: Path) -> None:
    save_gif(plain(), tmp_path / "film.gif", 20)
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == 4  # type: ignore[attr-defined]
        assert (gif.info["duration"], gif.info["loop"]) == (50, 0)
        for k, colour in enumerate(COLOURS):
            gif.seek(k)
            assert np.abs(np.asarray(gif.convert("RGB")).reshape(-1, 3).mean(axis=0) - colour).max() < 4


@pytest.mark.parametrize("width", [480, 37])
def test_gif_keeps_the_shades_of_texts_beside_pictures_of_many_colours(width: int, tmp_path: Path) -> None:
    how = layout(65, width, True)
    noise = np.random.default_rng(0).integers(0, 255, (3, 65, width, 3), np.uint8)
    pages = [laid_out(Frame(image, text), how) for image, text in zip(noise, ("psi 0.25", "", "psi"), strict=True)]
    save_gif(pages, tmp_path / "film.gif", 20, how.caption)
    with Image.open(tmp_path / "film.gif") as gif:
        for k, page in enumerate(pages):
            gif.seek(k)
            shown = np.asarray(gif.convert("RGB"))
            assert shown.shape == page.shape
            assert (shown[-how.caption :] == page[-how.caption :]).all()
            assert np.abs(shown.astype(int) - page).mean() < 25


@pytest.mark.parametrize("caption", [False, True])
def test_gif_keeps_the_hues_of_small_things_on_a_ground_of_many_grays(caption: bool, tmp_path: Path) -> None:
    scenes = grid(torch.cat(list(generate(load_generator("clevr32-san-contr"), range(6)))))
    how = layout(scenes.shape[0], scenes.shape[1], caption)
    page = laid_out(Frame(scenes, "psi 1" if caption else ""), how)
    save_gif([page], tmp_path / "film.gif", 20, how.caption)
    with Image.open(tmp_path / "film.gif") as gif:
        away = np.abs(np.asarray(gif.convert("RGB")).astype(int) - page).max(axis=-1)
    assert away.max() < 80
    assert (away > 30).mean() < 0.002


def test_gray_gif(tmp_path: Path) -> None:
    save_gif([np.full((8, 8, 1), value, np.uint8) for value in (0, 200)], tmp_path / "film.gif", 10)
    with Image.open(tmp_path / "film.gif") as gif:
        gif.seek(1)
        assert np.asarray(gif.convert("L")).mean() == 200


def test_rates_that_files_keep() -> None:
    assert kept_rate(30, ".mp4") == 30
    assert kept_rate(30, ".gif") == pytest.approx(100 / 3)
    assert kept_rate(50, ".gif") == 50
    for fps, ending in ((0, ".mp4"), (float("nan"), ".gif"), (60, ".gif"), (121, ".mp4")):
        with pytest.raises(ValueError, match=f"fps {fps:g} is out of range: a {ending} file"):
            check_rate(fps, ending)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 64), (15, 11), (480, 480), (700, 301)])
@pytest.mark.parametrize("caption", ["", "12.8 kimg"])
def test_frames_are_enlarged_by_whole_factors_to_even_sides(height: int, width: int, caption: str) -> None:
    how = layout(height, width, bool(caption))
    image = np.random.default_rng(0).integers(0, 255, (height, width, 1), np.uint8)
    page = laid_out(Frame(image, caption), how)
    assert page.shape == (how.height, how.width, 3)
    assert page.shape[0] % 2 == page.shape[1] % 2 == 0
    factor = how.factor
    assert factor == 1 or max(height, width) * factor <= films.SIDE
    assert (page[: height * factor : factor, : width * factor : factor] == image).all()
    if caption:
        assert page[-20:].min() < 100 < page[-20:].max()


def test_frames_too_large_for_players() -> None:
    with pytest.raises(ValueError, match=f"frames of {LONGEST_SIDE + 2} x 64 pixels are too large"):
        layout(64, LONGEST_SIDE + 2, False)


def test_unknown_and_missing_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="codec 'h266' is unknown: expected libx264"):
        check_codec("h266")
    for codec, expected in {
        "aac": "'aac' is a codec for sound, not for pictures",
        "mov_text": "is a codec for subtitles, not for pictures",
        "eatgv": "can only be read, not written",
        "mjpeg": "is none that films are written with",
    }.items():
        with pytest.raises(ValueError, match=f"{expected}: expected libx264"):
            check_codec(codec)
    monkeypatch.setitem(CODECS, "libnowhere", {})
    with pytest.raises(ValueError, match=f"codec 'libnowhere' is not in the FFmpeg .* take {CODEC}"):
        check_codec("libnowhere")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"MP4 needs the package PyAV.*pip install 'dualgan\[video\]'"):
        check_codec(CODEC)


def test_an_encoder_that_refuses_asks_for_no_frame(tmp_path: Path) -> None:
    asked: list[int] = []

    def asked_for() -> Iterator[np.ndarray]:
        for k, frame in enumerate(plain(64, 63)):
            asked.append(k)
            yield frame

    with pytest.raises(ValueError, match="codec 'libx264' refuses 63 x 64 pixels"):
        save_mp4(asked_for(), tmp_path / "film.mp4", 30, CODEC, 64, 63)
    assert not asked
