"""The page in headless Chromium, served by the command as a user starts it."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from dualgan.explore.serving import QUEUED
from dualgan.studies.directions import find_directions
from dualgan.weights.checkpoints import load_generator
from tests.backbones import BACKBONES
from tests.browser import BROWSER, NO_BROWSER, ended_after_patience, new_page
from tests.browser import chromium as started_chromium
from tests.conftest import ENTRY, process_environment
from tests.tiny import attending_gan, tiny_gan, train

pytestmark = [
    pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed: pip install 'dualgan[explore]'"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright, which drives the browser, is missing"),
    pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER),
]

POSITION = "#position input[type=range]"


@dataclass
class Served:
    """A page that is being served."""

    process: "subprocess.Popen[str]"
    address: str
    log: Path
    out: Path


@contextmanager
def serving(
    folder: Path, names: str, *words: object, start: Sequence[str] = ("-m", "dualgan"), end: signal.Signals = SIGINT
) -> Iterator[Served]:
    """Serve a page of networks with these names in a process of its own, which then is ended and leaves nothing."""
    log, temporary = folder / "log", folder / "temporary"
    temporary.mkdir()
    environment = process_environment(
        DUALGAN_CACHE=str(folder / "cache"), PATH=str(folder / "empty"), TMPDIR=str(temporary)
    )
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        environment.pop(name, None)
    given = ["explore", *map(str, words), "--port", "0", "--out", "out", "--device", "cpu"]
    # who runs the tests in the background may have left them without Ctrl-C, and a child would be, too
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *start, *given], preexec_fn=listens,
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        with ended_after_patience(process):
            line = process.stdout.readline()
        found = re.search(rf"^{names}: (https?://\S+/)", line)
        assert found, f"{line}\n{log.read_text()}"
        yield Served(process, found[1], log, folder / "out")
    finally:
        process.send_signal(end)
        process.stdout.close()
        with ended_after_patience(process):
            ended = process.wait()
    assert ended == 128 + end
    assert "Traceback" not in log.read_text()
    assert not list(temporary.iterdir())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two networks side by side, the first with attention in both players, with real images."""
    folder = tmp_path_factory.mktemp("explore")
    for name, gan in (("attending", attending_gan(16)), ("plain", tiny_gan(16))):
        train(gan, steps=1).save_checkpoint(folder / f"{name}.ckpt")
    find_directions(load_generator(folder / "attending.ckpt"), "sefa", 10).save(folder / "ways.safetensors")
    (folder / "real").mkdir()
    draw = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / "real" / f"{k}.png")
    networks = ("--ckpt", "attending.ckpt", "plain.ckpt", "--directions", "ways.safetensors")
    with serving(folder, "attending and plain", *networks, "--data", "real", "--browser") as page:
        yield page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with started_chromium() as browser:
        yield browser


@pytest.fixture
def page(served: Served, chromium: Any) -> Iterator[Any]:
    """The page with its first pictures; nothing on it comes from elsewhere."""
    opened = new_page(chromium, viewport={"width": 1500, "height": 1200})
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(served.address)
    opened.wait_for_selector("#picture1 img")
    yield opened
    opened.close()
    assert asked
    assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []


def source(page: Any, name: str) -> str:
    """Where a picture comes from, which another picture does not."""
    found = page.locator(f"#{name} img").get_attribute("src")
    assert isinstance(found, str)
    return found


def changed(page: Any, name: str, act: Callable[[], Any]) -> None:
    """Do something, and wait until a picture is another one."""
    before = source(page, name)
    act()
    other = "([name, before]) => document.querySelector(`#${name} img`).src !== before"
    page.wait_for_function(other, arg=[name, before])


def open_part(page: Any, name: str) -> None:
    """Open a part of the form and wait until what is entered there stays: Gradio writes its values once more."""
    page.get_by_text(name, exact=True).click()
    page.evaluate(
        """() => new Promise(done => {
            const frames = left => left ? requestAnimationFrame(() => frames(left - 1)) : done();
            setTimeout(() => frames(3), 500);
        })"""
    )


def test_real_images_come_to_a_page_that_did_not_wait_for_them(page: Any) -> None:
    """The first page of its server, before anything is touched."""
    page.wait_for_selector("#reference0 img")
    page.wait_for_selector("#said0 >> text=D's logit")
    assert source(page, "reference0") != source(page, "picture0")
    assert "No logit" not in page.locator("#said0").inner_text()


def test_nothing_lies_on_a_picture(page: Any) -> None:
    page.wait_for_selector("#reference0 img")
    for name in ("picture0", "picture1", "reference0"):
        top = page.locator(f"#{name} img").bounding_box()["y"]
        parts = [page.locator(f"#{name} {part}").first.bounding_box() for part in ("label", ".icon-button-wrapper")]
        assert all(part["y"] + part["height"] <= top for part in parts)


def test_a_slider_changes_both_pictures(page: Any) -> None:
    before = [source(page, name) for name in ("picture0", "picture1")]
    changed(page, "picture0", lambda: page.locator("#psi input[type=range]").fill("0.3"))
    page.wait_for_function("before => document.querySelector('#picture1 img').src !== before", arg=before[1])
    changed(page, "picture0", lambda: page.locator("#psi input[type=range]").fill("1"))
    assert source(page, "picture0") == before[0]  # named by its content


def test_a_seed_changes_the_picture_and_the_logit(page: Any) -> None:
    page.wait_for_selector("#said0 >> text=D's logit")
    said, before = page.locator("#said0").inner_text(), source(page, "picture0")
    changed(page, "picture0", lambda: page.locator("#seed input").fill("7"))
    page.wait_for_function("before => document.querySelector('#said0').innerText !== before", arg=said)
    assert re.match(r"D's logit [+-]\d", page.locator("#said0").inner_text())
    changed(page, "picture0", lambda: page.locator("#seed input").fill("0"))
    assert source(page, "picture0") == before


def test_a_click_draws_a_map_that_stays_until_it_is_cleared(page: Any) -> None:
    plain, reference = source(page, "picture0"), source(page, "reference0")
    changed(page, "picture0", lambda: page.locator("#picture0 img").click(position={"x": 100, "y": 150}))
    page.wait_for_selector("#said0 >> text=SAN at 8 x 8 from")
    assert source(page, "reference0") != reference
    assert page.locator("#said1 >> text=No attention map").count() == 1
    changed(page, "picture0", lambda: page.locator("#psi input[type=range]").fill("0.5"))
    assert "SAN at 8 x 8" in page.locator("#said0").inner_text()
    changed(page, "picture0", lambda: page.locator("#clear").click())
    page.locator("#psi input[type=range]").fill("1")
    page.wait_for_function("plain => document.querySelector('#picture0 img').src === plain", arg=plain)
    assert "SAN at" not in page.locator("#said0").inner_text()


def refused(page: Any) -> list[str]:
    """What stands below the pictures of something that was refused."""
    return [text.strip() for text in page.locator(".block.refused").all_inner_texts()]


def wait_for_refusal(page: Any, says: str) -> None:
    for k in range(2):
        page.wait_for_selector(f"#refused{k} >> text={says}")


def wait_for_none(page: Any) -> None:
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.block.refused')].some(part => part.innerText.trim())"
    )
    assert not any(part.is_visible() for part in page.locator(".block.refused").all())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("seed", "-1", "seed -1 is out of range"),
        ("seed", "1e20", "seed 100000000000000000000 is too large for this field"),
        ("seed", "", "seed is missing"),
        ("other", "-3", "second seed -3 is out of range"),
        ("psi", "", "truncation psi is missing"),  # what NaN is to a browser
        ("psi", "99", "truncation psi 99 is out of range: expected -2 to 2"),
        ("cutoff", "77", "truncated layers 77 is out of range: expected 0 to 6"),
        ("position", "3", "position 3 is out of range: expected 0 to 1"),
        ("seed", "9007199254740993", "is too large for this field, which rounds from 2^53 on"),
        ("reference", "99", "reference 99 does not exist: there are real images 0 to 5"),
    ],
)
def test_a_wrong_value_is_said_below_the_pictures_until_a_right_one_comes(
    name: str, value: str, says: str, page: Any, served: Served
) -> None:
    page.wait_for_selector("#reference0 img")
    for closed in ("Style mixing", "Walk"):
        open_part(page, closed)
    page.wait_for_function("() => document.querySelector('#said0').innerText.startsWith(\"D's logit\")")
    before, said = source(page, "picture0"), page.locator("#said0").inner_text()
    field = page.locator(f"#{name} input[type=number]")
    right = field.input_value()
    field.fill(value)
    wait_for_refusal(page, says)
    assert all(text.endswith("The picture is still that of the settings before.") for text in refused(page))
    assert source(page, "picture0") == before
    # Gradio's own word on an event that has not ended stands there, too
    page.wait_for_function("said => document.querySelector('#said0').innerText === said", arg=said)
    assert page.locator(".toast-body").count() == 0
    assert "Traceback" not in page.content()
    assert "Traceback" not in served.log.read_text()
    field.fill(right)
    wait_for_none(page)


def test_many_wrong_values_are_one_message(page: Any) -> None:
    for seed in range(-9, 0):
        page.locator("#seed input").fill(str(seed))
    wait_for_refusal(page, "seed -1 is out of range")
    assert page.locator(".toast-body").count() == 0
    assert all(text.count("out of range") == 1 for text in refused(page))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("5", "1 keyframe: a walk leads through 2 to 32 seeds"),
        ("nan", "keyframes 'nan': expected numbers and ranges"),
        (f"1,{2**63}", f"{2**63} is too large"),
        ("0-40", "41 keyframes: a walk leads through 2 to 32 seeds"),
    ],
)
def test_a_walk_that_is_none_is_said_however_it_is_entered(value: str, says: str, page: Any) -> None:
    open_part(page, "Walk")
    keyframes = page.locator("#keyframes textarea, #keyframes input")
    keyframes.fill(value)  # at once, as from the clipboard
    wait_for_refusal(page, says)
    assert all(says in text for text in refused(page))
    page.get_by_role("button", name="Play").click()
    page.wait_for_selector(f"#refused0 >> text=Not played: {says if value == '5' else ''}")
    keyframes.fill("5,5")
    page.wait_for_selector("#said0 >> text=On a walk: the seed has no effect")
    wait_for_none(page)
    keyframes.fill("")
    page.wait_for_function("() => !document.querySelector('#said0').innerText.includes('On a walk')")
    # a field of text rounds nothing
    changed(page, "picture0", lambda: keyframes.press_sequentially(f"{2**53 + 1},4"))
    wait_for_none(page)


def test_no_walk_is_not_played(page: Any) -> None:
    open_part(page, "Walk")
    page.get_by_role("button", name="Play").click()
    wait_for_refusal(page, "Not played: there is no walk to play: give two or more keyframe seeds")
    assert page.locator(POSITION).input_value() == "0"


@pytest.mark.parametrize(("typed", "becomes"), [("3", "2"), ("", "0")])
def test_a_number_that_its_field_mends_is_drawn(typed: str, becomes: str, page: Any) -> None:
    field = page.locator("#psi input[type=number]")
    field.fill(typed)
    field.blur()
    page.wait_for_function("value => document.querySelector('#psi input[type=range]').value === value", arg=becomes)
    wait_for_none(page)
    assert field.input_value() == becomes
    shown = source(page, "picture0")
    changed(page, "picture0", lambda: page.locator("#psi input[type=range]").fill("1"))
    page.locator("#psi input[type=range]").fill(becomes)
    page.wait_for_function("shown => document.querySelector('#picture0 img').src === shown", arg=shown)


def test_a_move_is_one_request(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = -1
    while before != len(asked):  # the page asks for what its first picture left out
        before = len(asked)
        page.wait_for_timeout(1000)
    asked.clear()
    changed(page, "picture0", lambda: page.locator("#psi input[type=range]").fill("0.4"))
    page.wait_for_timeout(500)
    (url,) = (url for url in asked if not url.startswith(("data:", "blob:")))
    assert "queue/join" in url


def test_a_walk_is_played(page: Any) -> None:
    changed(page, "picture0", lambda: page.locator("#seed input").fill("3"))
    end = source(page, "picture0")
    open_part(page, "Walk")
    changed(page, "picture0", lambda: page.locator("#keyframes textarea, #keyframes input").fill("0,3"))
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{POSITION}').value === '1'")
    # a walk ends at its last keyframe
    page.wait_for_function("end => document.querySelector('#picture0 img').src === end", arg=end)
    wait_for_none(page)
    assert source(page, "picture0") == end
    page.locator("#keyframes textarea, #keyframes input").fill("")
    changed(page, "picture0", lambda: page.locator("#seed input").fill("4"))
    page.locator("#seed input").fill("3")
    page.wait_for_function("end => document.querySelector('#picture0 img').src === end", arg=end)
    wait_for_none(page)


def test_what_is_moved_while_a_walk_is_played_counts(page: Any) -> None:
    open_part(page, "Walk")
    page.locator("#keyframes textarea, #keyframes input").fill("0-9")
    changed(page, "picture0", lambda: page.get_by_role("button", name="Play").click())
    psi = page.locator("#psi input[type=range]")
    psi.fill("0.3")
    page.wait_for_function(f"() => document.querySelector('{POSITION}').value === '1'")
    page.wait_for_timeout(500)  # as long as something that was drawn late would take to come
    end = source(page, "picture0")
    changed(page, "picture0", lambda: psi.fill("0.8"))
    changed(page, "picture0", lambda: psi.fill("0.3"))
    assert source(page, "picture0") == end
    wait_for_none(page)


def stopped_at(page: Any) -> float:
    """Stop the walk, and wait until nothing moves any more; where it is then, 1 at its end."""
    page.get_by_role("button", name="Stop").click()
    shown, quiet = "", 0
    while quiet < 4:
        before, shown = shown, page.locator(POSITION).input_value() + source(page, "picture0")
        quiet = quiet + 1 if shown == before else 0
        page.wait_for_timeout(500)
    return float(page.locator(POSITION).input_value())


def test_a_walk_is_stopped(page: Any) -> None:
    open_part(page, "Walk")
    page.locator("#keyframes textarea, #keyframes input").fill("0-31")
    for _ in range(2):
        changed(page, "picture0", lambda: page.get_by_role("button", name="Play").click())
        assert 0 <= stopped_at(page) < 1
    assert page.get_by_text("Error", exact=True).count() == 0
    wait_for_none(page)


def test_play_begins_anew_what_is_played_or_has_just_been_stopped(page: Any) -> None:
    open_part(page, "Walk")
    page.locator("#keyframes textarea, #keyframes input").fill("0-31")
    play, stop = (page.get_by_role("button", name=name) for name in ("Play", "Stop"))
    play.click()
    for earlier in ([], [stop]):
        page.wait_for_function(f"() => document.querySelector('{POSITION}').value >= 0.1")
        for button in (*earlier, play):
            button.click()
        page.wait_for_function(f"() => document.querySelector('{POSITION}').value < 0.1")
    assert 0 <= stopped_at(page) < 1
    wait_for_none(page)


def test_a_slider_moves_along_a_direction_of_its_network(page: Any) -> None:
    open_part(page, "Directions")
    page.wait_for_selector("text=The first 8 of 10 have sliders.")
    sliders = page.locator(".block.direction")
    assert sliders.count() == 8
    boxes = [one.bounding_box() for one in sliders.all()]
    assert all(boxes[k]["y"] == boxes[k + 1]["y"] and boxes[k]["x"] < boxes[k + 1]["x"] for k in range(0, 8, 2))
    assert boxes[-1]["y"] + boxes[-1]["height"] - boxes[0]["y"] < 400
    plain = source(page, "picture1")
    changed(page, "picture0", lambda: page.locator(".direction input[type=range]").nth(1).fill("3"))
    page.wait_for_selector("#said1 >> text=A direction has no effect here: no directions of it were given.")
    assert source(page, "picture1") == plain
    changed(page, "picture0", lambda: page.locator("#back").click())
    assert {one.input_value() for one in page.locator(".direction input[type=range]").all()} == {"0"}


def test_of_two_networks_it_is_said_which_cannot_do_what(page: Any) -> None:
    said = page.locator("#limits").inner_text()
    for line in (
        "What these networks cannot do",
        "Classes (both): it was trained without labels.",
        "Attention maps (plain): this generator has no attention, so there is no map to draw.",
        "Directions (plain): no directions of it were given.",
        "Reference image (plain): the discriminator has no reference attention.",
    ):
        assert said.count(line) == 1


def test_what_cannot_be_done_is_explained(chromium: Any, tmp_path: Path) -> None:
    train(BACKBONES["R3GAN"].gan(), steps=1).save_checkpoint(tmp_path / "other.ckpt")
    with serving(tmp_path, "other", "--ckpt", "other.ckpt") as alone:
        page = new_page(chromium)
        page.goto(alone.address)
        page.wait_for_selector("#picture0 img")
        said = page.locator("#limits").inner_text()
        for line in (
            "Truncation, style mixing, walks through w, directions: R3GANGenerator has no mapping network.",
            "Noise: this R3GANGenerator was built without noise.",
            "Classes: it was trained without labels.",
            "Reference image: the discriminator has no reference attention.",
            "Attention maps: this generator has no attention, so there is no map to draw.",
        ):
            assert page.locator("body").inner_text().count(line) == said.count(line) == 1
        for closed in ("Style mixing", "Directions"):
            assert not any(part.is_visible() for part in page.get_by_text(closed, exact=True).all())
        for hidden in ("#psi", "#cutoff", "#mixed", "#clear", ".direction"):
            assert not any(part.is_visible() for part in page.locator(hidden).all())
        page.close()


def test_of_one_network_saving_works_and_fails_in_words(chromium: Any, tmp_path: Path) -> None:
    train(tiny_gan(16), steps=1).save_checkpoint(tmp_path / "one.ckpt")
    with serving(tmp_path, "one", "--ckpt", "one.ckpt") as alone:
        page = new_page(chromium)
        errors: list[object] = []
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(alone.address)
        page.wait_for_selector("#picture0 img")
        page.wait_for_selector("#said0 >> text=D's logit")  # which the first picture did not wait for
        page.locator("#save").click()
        page.wait_for_selector("text=Saved in")
        shutil.rmtree(alone.out)
        alone.out.touch()
        page.locator("#save").click()
        page.wait_for_selector("#refused0 >> text=Not saved: out cannot be")
        open_part(page, "Directions")
        changed(page, "picture0", lambda: page.locator(".direction input[type=range]").first.fill("4"))
        changed(page, "picture0", lambda: page.locator("#back").click())
        assert errors == []
        page.close()


def test_it_opens_on_a_network_that_comes_with_the_package(
    chromium: Any, tmp_path: Path, tiny_entry: Callable[[], Path]
) -> None:
    code = (
        "import pathlib, sys, dualgan.weights.pretrained as shipped;"
        f"shipped.FOLDER = pathlib.Path({str(tiny_entry())!r});"
        "from dualgan.cli.main import main; sys.exit(main())"
    )
    with serving(tmp_path, ENTRY, start=("-c", code)) as alone:
        page = new_page(chromium)
        page.goto(alone.address)
        page.wait_for_selector("#picture0 img")
        assert ENTRY in page.content()
        open_part(page, "Directions")
        changed(page, "picture0", lambda: page.locator(".direction input[type=range]").first.fill("4"))
        page.close()


# Gradio's word that a stream of answers is over comes late, as it does on slow lines and busy machines
LATE = """
import asyncio, sys
from starlette.responses import StreamingResponse

begin = StreamingResponse.__init__

async def late(parts):
    async for part in parts:
        if "close_stream" in str(part):
            await asyncio.sleep(0.3)
        yield part

def begin_late(self, content, *args, **kwargs):
    begin(self, late(content) if hasattr(content, "__aiter__") else content, *args, **kwargs)

StreamingResponse.__init__ = begin_late
from dualgan.cli.main import main
sys.exit(main())
"""


def test_no_answer_is_lost_on_a_slow_line(chromium: Any, tmp_path: Path) -> None:
    train(attending_gan(16), steps=1).save_checkpoint(tmp_path / "slow.ckpt")
    with serving(tmp_path, "slow", "--ckpt", "slow.ckpt", start=("-c", LATE)) as slow:
        page = new_page(chromium)
        page.goto(slow.address)
        page.wait_for_selector("#picture0 img")
        for k in range(10):
            changed(page, "picture0", partial(page.locator("#psi input[type=range]").fill, f"0.{k}"))
        open_part(page, "Walk")
        page.locator("#keyframes textarea, #keyframes input").fill("0,3")
        page.get_by_role("button", name="Play").click()
        page.wait_for_function(f"() => document.querySelector('{POSITION}').value === '1'")
        page.close()


def test_saving_writes_picture_and_latents(page: Any, served: Served) -> None:
    page.locator("#save").click()
    page.wait_for_selector(f"text=Saved in {served.out.resolve()}: explored0001-1.png")
    page.wait_for_selector("text=The size is the network's own, 16 x 16 pixels.")
    assert {path.name for path in served.out.iterdir()} >= {"explored0001-1.png", "explored0001-2.safetensors"}
    assert load_file(served.out / "explored0001-1.safetensors")["ws"].shape == (1, 6, 16)


def test_what_is_gone_or_in_the_way_is_a_message(page: Any, served: Served) -> None:
    """After all that saves: the checkpoint goes, and a file takes the place of the folder."""
    shutil.rmtree(served.out, ignore_errors=True)
    served.out.touch()
    (served.out.parent / "attending.ckpt").unlink()
    changed(page, "picture0", lambda: page.locator("#seed input").fill("11"))  # networks are in memory
    page.locator("#save").click()
    wait_for_refusal(page, "Not saved: out cannot be")
    assert "Traceback" not in page.content()


def test_a_missing_browser_is_said(page: Any, served: Served) -> None:
    assert f"No browser was found here: open {served.address} in one yourself." in served.log.read_text()


def test_uploads_are_refused(page: Any, served: Served) -> None:
    file = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"}
    assert page.request.post(f"{served.address}gradio_api/upload", multipart={"files": file}).status == 403


LISTENING = """
import sys
def hear(event, args):
    if event in ("socket.connect", "socket.bind") and isinstance(args[1], tuple):
        print("bound to" if event == "socket.bind" else "connected to", args[1][0], file=sys.stderr)
    elif event == "socket.getaddrinfo":
        print("asked for", args[0], file=sys.stderr)
sys.addaudithook(hear)

import dualgan.commands.explore as command
launch = command.launch
def launch_with_a_tunnel(*words):
    import gradio.networking
    def tunnel(local_host, local_port, **_):
        print("tunnel to", local_host, file=sys.stderr)
        return f"https://{local_port}.example/"
    gradio.networking.setup_tunnel = tunnel
    return launch(*words)
command.launch = launch_with_a_tunnel
from dualgan.cli.main import main
sys.exit(main())
"""
"""The command in a process that tells whom it speaks to; the tunnel, which would reach out, leads nowhere."""


def joined(address: str, event: int, values: Sequence[Any], session: str) -> int:
    """Ask the server for an event, as a browser does; the HTTP status."""
    asked = {"fn_index": event, "data": list(values), "session_hash": session, "event_data": None}
    request = Request(
        f"{address}gradio_api/queue/join", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urlopen(request) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def answered(address: str, session: str) -> bool:
    """Wait for the end of the only event that was asked for; whether it went well."""
    with urlopen(f"{address}gradio_api/queue/data?session_hash={session}") as stream:
        told = (json.loads(line.removeprefix(b"data:")) for line in stream if line.startswith(b"data:"))
        return next(bool(one["success"]) for one in told if one["msg"] == "process_completed")


def test_it_speaks_with_this_machine_alone_and_lets_few_wait(tmp_path: Path) -> None:
    train(tiny_gan(16), steps=1).save_checkpoint(tmp_path / "plain.ckpt")
    # GRADIO_SHARE and the like are in tests/explore/test_serving.py
    with serving(tmp_path, "plain", "--ckpt", "plain.ckpt", start=("-c", LISTENING), end=SIGTERM) as alone:
        assert alone.address.startswith("http://127.0.0.1:")
        with urlopen(f"{alone.address}config") as answer:
            config = json.load(answer)
        parts = {part["id"]: part["props"] for part in config["components"]}
        asked = _of_button(config, "Play")
        (play,) = (one for one in config["dependencies"] if one["trigger_after"] == asked)
        values = [parts[part].get("value") for part in play["inputs"]]
        keyframes = [parts[part].get("elem_id") for part in play["inputs"]].index("keyframes")
        values[keyframes] = ",".join(map(str, range(32)))  # a film that is longer than this test
        assert joined(alone.address, asked, [None], "visitor0") == 200
        assert answered(alone.address, "visitor0")
        codes = [joined(alone.address, play["id"], values, f"visitor{k}") for k in range(QUEUED + 4)]
        assert set(codes[:QUEUED]) == {200}
        assert codes[-1] == 503
        spoken = alone.log.read_text().splitlines()
    assert "bound to 127.0.0.1" in spoken
    others = [line for line in spoken if line.startswith(("bound", "connected", "asked", "tunnel"))]
    assert {line.rsplit(" ", 1)[1] for line in others} == {"127.0.0.1"}, others
    assert not any("tunnel" in line for line in spoken)
    assert config["analytics_enabled"] is False


def _of_button(config: dict[str, Any], label: str) -> int:
    """The event of a button."""
    (button,) = (part["id"] for part in config["components"] if part["props"].get("value") == label)
    found = (one["id"] for one in config["dependencies"] if [button, "click"] in one["targets"])
    return int(next(found))


def test_a_public_address_is_asked_for_only_with_share(tmp_path: Path) -> None:
    train(tiny_gan(16), steps=1).save_checkpoint(tmp_path / "plain.ckpt")
    with serving(tmp_path, "plain", "--ckpt", "plain.ckpt", "--share", start=("-c", LISTENING)) as shared:
        assert shared.address.endswith(".example/")
        port = re.sub(r"\D", "", shared.address)
        with urlopen(f"http://127.0.0.1:{port}/config") as answer:
            config = json.load(answer)
        (save,) = (part["props"] for part in config["components"] if part["props"].get("elem_id") == "save")
        assert not save["visible"]
        spoken = shared.log.read_text().splitlines()
    assert "tunnel to 127.0.0.1" in spoken
    assert {line for line in spoken if line.startswith("bound")} == {"bound to 127.0.0.1"}
