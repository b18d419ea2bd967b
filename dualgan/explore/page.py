"""The page itself, in Gradio: controls, pictures, and what happens between them. It computes nothing.

Import it within `serving.surroundings` only: Gradio reads the environment when it is imported.
"""

import html
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from dualgan.explore.directions import SLIDERS
from dualgan.explore.drawing import as_fraction, as_url
from dualgan.explore.forms import DRAWN, read_settings
from dualgan.explore.limits import sentence
from dualgan.explore.presence import NEWEST, VISITORS, Presence
from dualgan.explore.settings import MOST_STRENGTH, MOST_TRUNCATION
from dualgan.explore.studio import Panel, Studio, positions_of
from dualgan.files.trouble import in_words
from dualgan.networks.noise import NOISE_MODES

LOOKS: dict[str, Any] = {
    # Gradio's own explanations are too pale to read
    "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        block_info_text_color="*neutral_600",
        body_text_color_subdued="*neutral_600",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_800",
    ),
    "css": """
.picture img { image-rendering: pixelated }
.block.picture { padding-top: 28px !important }  /* for name and buttons, which lie on the picture otherwise */
.picture .icon-button-wrapper { top: -26px }
.said p { margin: 0.2em 0 }
.limits p, .limits li { margin: 0.2em 0; font-size: 0.875rem; line-height: 1.35 }
.block.refused { padding: 0.3em 0.8em !important; border-left: 4px solid #b91c1c; background: #fef2f2 }
.block.refused p { margin: 0.2em 0; color: #7f1d1d; overflow-wrap: anywhere }
.block.refused:not(:has(p)) { display: none }
.direction { padding: 6px 10px !important }
@media (min-width: 768px) { .shown { position: sticky; top: 0; align-self: flex-start } }
""",
}
ABREAST = 2  # sliders of directions
BEFORE = "The picture is still that of the settings before."


class Controls:
    """The form: components by the names of what they set, of which those without effect are hidden.

    What is hidden, and why, is said once, below all of them.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.parts: dict[str, Any] = {}
        self.sliders: list[Any] = []
        self._basics()
        with gr.Row():
            maps = self._can("attention") or self._can("reference")
            self.clear = gr.Button("Clear the map", size="md", min_width=110, visible=maps, elem_id="clear")
            self.save = gr.Button("Save", size="md", min_width=110, visible=studio.out is not None, elem_id="save")
        self._mixing()
        self._walk()
        self._directions()
        self._limits()
        self.point = gr.State(None)  # row and column as parts of the picture, as long as there is a map

    def _can(self, ability: str) -> bool:
        return not self.studio.lacks(ability)

    def _basics(self) -> None:
        layers = max(self.studio.layers, 1)
        self.parts["seed"] = gr.Number(0, label="Seed", step=1, elem_id="seed")
        self.parts["label"] = gr.Dropdown(
            [DRAWN, *self.studio.classes], value=DRAWN, label="Class", visible=self._can("classes")
        )
        self.parts["truncation_psi"] = gr.Slider(
            -MOST_TRUNCATION, MOST_TRUNCATION, 1, step=0.01, label="Truncation psi",
            info="1 for none, 0 for the mean", visible=self._can("truncation"), elem_id="psi",
        )  # fmt: skip
        self.parts["cutoff"] = gr.Slider(
            0, layers, layers, step=1, label="Truncated layers", info="The first ones, coarse to fine",
            visible=self._can("truncation"), elem_id="cutoff",
        )  # fmt: skip
        self.parts["noise_mode"] = gr.Radio(
            [(mode, mode) for mode in ("const", *(mode for mode in NOISE_MODES if mode != "const"))],
            value="const", label="Noise", visible=self._can("noise"),
        )  # fmt: skip
        self.parts["reference"] = gr.Number(
            0, label="Reference image", info="Its number among the real images", step=1,
            visible=self._can("reference"), elem_id="reference",
        )  # fmt: skip

    def _mixing(self) -> None:
        with gr.Accordion("Style mixing", open=False, visible=self._can("mixing")):
            self.parts["other_seed"] = gr.Number(1, label="Second seed", step=1, elem_id="other")
            self.parts["mixed"] = gr.CheckboxGroup(
                [(str(k), k) for k in range(self.studio.layers)], label="Layers with the style of the second seed",
                info="0 is the coarsest", elem_id="mixed",
            )  # fmt: skip

    def _walk(self) -> None:
        with gr.Accordion("Walk", open=False):
            self.parts["keyframes"] = gr.Textbox(
                "", label="Keyframe seeds", info="Such as 0,5,9; empty for no walk", elem_id="keyframes"
            )
            self.parts["position"] = gr.Slider(
                0, 1, 0, step=0.005, label="Position", info="From the first keyframe to the last", elem_id="position"
            )
            self.parts["space"] = gr.Radio(
                [("great circles in z", "z"), ("straight lines in w", "w")], value="z", label="Path",
                visible=self._can("mixing"),
            )  # fmt: skip
            with gr.Row():
                self.play, self.stop = (
                    gr.Button("Play", size="md", min_width=110),
                    gr.Button("Stop", size="md", min_width=110),
                )

    def _directions(self) -> None:
        names = self.studio.directions
        with gr.Accordion("Directions", open=False, visible=self._can("directions")):
            more = f" The first {SLIDERS} of {len(names)} have sliders." if len(names) > SLIDERS else ""
            gr.Markdown(f"In standard deviations of w.{more}", elem_classes="said")
            for k in range(0, min(len(names), SLIDERS), ABREAST):
                with gr.Row(equal_height=True):
                    self.sliders += map(_direction, names[k : min(k + ABREAST, SLIDERS)])
            self.back = gr.Button("All back to 0", size="sm", elem_id="back")

    def _limits(self) -> None:
        if limits := self.studio.limits:
            these = "these networks" if len(self.studio.explorers) > 1 else "this network"
            lines = "\n".join(f"- {html.escape(line)}" for line in limits)
            gr.Markdown(f"**What {these} cannot do**\n\n{lines}", elem_id="limits", elem_classes="limits")

    @property
    def inputs(self) -> list[Any]:
        """All components, whose values `read` takes in this order."""
        return [*self.parts.values(), *self.sliders, self.point]

    @property
    def triggers(self) -> list[Any]:
        """What the user may do that changes the picture."""
        position = self.parts["position"]  # which a walk that is played moves as well
        parts = [part for part in (*self.parts.values(), *self.sliders) if part is not position]
        # a slider's number that is cut to its range, or a text that is pasted, is no input to Gradio, but a change
        moved = [part.change if isinstance(part, gr.Textbox | gr.Slider) else part.input for part in parts]
        return [*moved, position.input, position.release]

    def read(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """Settings, and the chosen point or None.

        Raises:
            ValueError: A value is missing or out of range.
        """
        named = dict(zip(self.parts, values, strict=False))
        strengths = values[len(self.parts) : -1]
        return read_settings(named | {"strengths": strengths}, self.studio.layers), values[-1]


class Pictures:
    """What the page shows of every network."""

    def __init__(self, studio: Studio) -> None:
        self.images: list[Any] = []
        self.references: list[Any] = []
        self.texts: list[Any] = []
        self.refusals: list[Any] = []
        with gr.Row():
            for k, (name, explorer) in enumerate(studio.explorers.items()):
                with gr.Column(min_width=240):
                    self.images.append(_image(name, f"picture{k}"))
                    self.refusals.append(gr.Markdown("", elem_id=f"refused{k}", elem_classes="refused"))
                    self.texts.append(gr.Markdown("", elem_id=f"said{k}", elem_classes="said"))
                    self.references.append(
                        _image(f"Reference image of {name}", f"reference{k}", not explorer.lacks.reference)
                    )

    @property
    def outputs(self) -> list[Any]:
        """All components, which `filled` gives values for."""
        return [*self.images, *self.references, *self.texts, *self.refusals]

    def filled(self, panels: Sequence[Panel]) -> list[Any]:
        """Values of the components: nothing is refused any more."""
        texts = ["\n\n".join(html.escape(line) for line in panel.text) for panel in panels]
        shown = [*(panel.picture for panel in panels), *(panel.reference for panel in panels)]
        return [*map(_as_file, shown), *texts, *[""] * len(panels)]

    def refusing(self, why: str) -> list[Any]:
        """Values that leave all components as they are, but for what says so below each picture."""
        others = len(self.outputs) - len(self.refusals)
        return [*[gr.skip()] * others, *[html.escape(why)] * len(self.refusals)]


@dataclass
class Live:
    """What the form of one visitor said last: Gradio gives an event that runs, such as a walk that is played, no news.

    Attributes:
        values: Of `Controls.inputs`.
        walk: That which is played, until Stop is pressed or Play once more.
        asked: How many walks were asked for since and have not begun.
        played: A picture of the walk has been shown, after which other events may have drawn an earlier one.
    """

    values: Sequence[Any] = ()
    walk: object | None = None
    asked: int = 0
    played: bool = False


class Answers:
    """What the page answers to what is done on it: values of components, whatever goes wrong."""

    def __init__(self, studio: Studio, controls: Controls, pictures: Pictures) -> None:
        self.studio, self.controls, self.pictures = studio, controls, pictures

    def draw(self, values: Sequence[Any], otherwise: str, scored: bool = True) -> list[Any]:
        """The picture of the form's values, or why there is none."""
        try:
            return self.pictures.filled(self.studio.show(*self.controls.read(values), scored))
        except Exception as error:
            return self.pictures.refusing(f"Not drawn: {_said(error)} {otherwise}")

    def begin(self, *values: Any) -> list[Any]:
        """The first picture, without D's logit, which comes with the next; where real images come then, with it."""
        return self.draw(values, "", scored=not self.studio.lacks("reference"))

    def update(self, *heard: Any) -> list[Any]:
        """The picture after a move."""
        *values, live = heard
        live.values = values
        return self.draw(values, BEFORE)

    def wait_for_the_rest(self, *refused: str) -> bool:
        """True as soon as there is all that the first picture left out; False where that was refused."""
        self.studio.wait_for_references()
        return not any(refused)

    def save_files(self, *values: Any) -> list[Any]:
        """Write picture and latents, and say where."""
        try:
            gr.Info(html.escape(_saved(self.studio.save(self.controls.read(values)[0]), self.studio)))
        except Exception as error:
            return self.pictures.refusing(f"Not saved: {_said(error)}")
        return self.pictures.refusing("")

    def clicked(self, side: int) -> Callable[..., list[Any]]:
        """What a click on a picture of `side` pixels answers: the point, and the maps of its attention."""

        def choose(event: gr.SelectData, *heard: Any) -> list[Any]:
            *values, live = heard
            try:
                point = as_fraction(event.index, side)
                live.values = [*values[:-1], point]
                return [point, *self.pictures.filled(self.studio.show(self.controls.read(values)[0], point))]
            except Exception as error:
                return [gr.skip(), *self.pictures.refusing(f"Not drawn: {_said(error)} {BEFORE}")]

        return choose

    def ask_to_play(self, live: Live) -> None:
        """End the walk that is played, for another one."""
        live.walk, live.asked = None, live.asked + 1

    def play(self, *heard: Any) -> Iterator[list[Any]]:
        """The pictures of a walk, as the form is meanwhile; none if it was stopped, or another asked for, already."""
        *values, live = heard
        alone, live.asked = live.asked == 1, max(live.asked - 1, 0)
        if not alone:
            return
        live.values, live.walk, live.played = values, (this := object()), False
        try:
            for position in positions_of(self.controls.read(live.values)[0]):
                if live.walk is not this or self.studio.closed.is_set():
                    return
                settings, point = self.controls.read(live.values)
                shown = self.studio.show(replace(settings, position=position), point)
                live.played = True
                yield [position, *self.pictures.filled(shown)]
        except Exception as error:
            yield [gr.skip(), *self.pictures.refusing(f"Not played: {_said(error)}")]
        finally:
            if live.walk is this:
                live.walk = None

    def stop_playing(self, live: Live) -> None:
        """End the walk with its next picture."""
        live.walk, live.asked = None, 0

    def draw_where_it_ended(self, *heard: Any) -> list[Any]:
        """The picture of the form after a walk that no other took the place of, instead of one that came late."""
        *values, live = heard
        ended = live.played and live.walk is None
        return self.draw(values, BEFORE) if ended else [gr.skip()] * len(self.pictures.outputs)


def build(studio: Studio, share: bool = False) -> Any:
    """The page of some networks, for one user or for all who `share` its address."""
    with gr.Blocks(title="dualgan explore", analytics_enabled=False) as page:
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                controls = Controls(studio)
            # pictures stay in sight of long forms, unless they are too many for a window
            with gr.Column(scale=2, elem_classes="shown" if studio.lacks("reference") else None):
                pictures = Pictures(studio)
        _connect(page, studio, controls, pictures)
        _keep(page, Presence(VISITORS if share else NEWEST, studio.closed))
    return page


def _connect(page: gr.Blocks, studio: Studio, controls: Controls, pictures: Pictures) -> None:
    usual: dict[str, Any] = {
        "preprocess": False, "postprocess": False, "show_progress": "hidden", "api_visibility": "private",
        "concurrency_id": "networks",
    }  # fmt: skip
    last: dict[str, Any] = {**usual, "trigger_mode": "always_last"}
    answers = Answers(studio, controls, pictures)

    # one event for moves and for what the first picture left out: what was asked for last is shown last
    there = gr.State(False)
    heard = [*controls.inputs, gr.State(Live())]
    gr.on([*controls.triggers, there.change], answers.update, heard, pictures.outputs, **last)
    first = page.load(answers.begin, controls.inputs, pictures.outputs, **last)
    if not studio.lacks("logit"):
        waiting = {**usual, "concurrency_id": "rest"}
        first.then(answers.wait_for_the_rest, pictures.refusals, there, **waiting)
    for image, side in zip(pictures.images, studio.sides(), strict=True):
        image.select(answers.clicked(side), heard, [controls.point, *pictures.outputs], **usual)
    cleared = controls.clear.click(lambda: None, None, controls.point, **usual)
    cleared.then(answers.update, heard, pictures.outputs, **usual)
    controls.back.click(lambda: dict.fromkeys(controls.sliders, 0), None, controls.sliders, **usual)
    played = [controls.parts["position"], *pictures.outputs]
    # Gradio would drop a click as long as another walk is played, or let it wait for that one's end
    at_once: dict[str, Any] = {**usual, "concurrency_id": "stop", "trigger_mode": "multiple"}
    asked = controls.play.click(answers.ask_to_play, heard[-1], None, **at_once)
    playing = asked.then(answers.play, heard, played, **{**at_once, "concurrency_id": "walk"})
    playing.then(answers.draw_where_it_ended, heard, pictures.outputs, **usual)
    # no cancelling, which leaves Gradio's "Error" in the page
    controls.stop.click(answers.stop_playing, heard[-1], None, **at_once)
    # all of them: Gradio takes what is returned for one alone as its value, a list and not what is in it
    controls.save.click(answers.save_files, controls.inputs, pictures.outputs, **usual)


def _keep(page: gr.Blocks, presence: Presence) -> None:
    """Let the stream of answers to a page last as long as the page."""
    page.load(
        presence.stay, preprocess=False, postprocess=False, show_progress="hidden", api_visibility="private",
        concurrency_id="presence", concurrency_limit=None,
    )  # fmt: skip


def _direction(name: str) -> gr.Slider:
    return gr.Slider(
        -MOST_STRENGTH, MOST_STRENGTH, 0, step=0.05, label=name, min_width=120, buttons=[], elem_classes="direction"
    )


def _image(label: str, name: str, visible: bool = True) -> gr.Image:
    return gr.Image(
        label=label, elem_id=name, elem_classes="picture", format="png", interactive=False, sources=[], visible=visible,
        buttons=["download", "fullscreen"],
    )  # fmt: skip


def _as_file(picture: np.ndarray | None) -> dict[str, Any] | None:
    """A picture as the browser takes it, which need not fetch it once more: files would double the way."""
    return None if picture is None else {"url": as_url(picture), "orig_name": "picture.png", "mime_type": "image/png"}


def _saved(files: Sequence[Path], studio: Studio) -> str:
    """A sentence on files: where they are, and that pictures are not enlarged there."""
    sizes = dict.fromkeys(one.generator.resolution for one in studio.explorers.values())
    own = " and ".join(f"{size} x {size}" for size in sizes)
    names = ", ".join(path.name for path in files)
    return f"Saved in {files[0].parent.resolve()}: {names}. The size is the network's own, {own} pixels."


def _said(error: Exception) -> str:
    """What went wrong, as a sentence; what is no mistake of the user's is also told on the terminal."""
    if isinstance(error, ValueError):
        return sentence(str(error))
    if isinstance(error, OSError):
        return sentence(in_words(error))
    traceback.print_exception(error, file=sys.stderr)
    said = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {sentence(said)} The terminal says more."
