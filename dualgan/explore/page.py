"""The page itself, in Gradio: controls, pictures, and what happens between them. It computes nothing.

Import it within `serving.surroundings` only: Gradio reads the environment when it is imported.
"""

import html
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import gradio as gr
import numpy as np

from dualgan.explore.directions import SLIDERS
from dualgan.explore.drawing import as_fraction, as_url
from dualgan.explore.forms import DRAWN, read_keyframes, read_settings
from dualgan.explore.settings import MOST_TRUNCATION
from dualgan.explore.studio import Panel, Studio, positions
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
    "css": ".picture img { image-rendering: pixelated } .said p { margin: 0.2em 0 }",
}


class Controls:
    """The form: components by the names of what they set, of which those without effect are hidden and explained."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.parts: dict[str, Any] = {}
        self.sliders: list[Any] = []
        self._basics()
        self._mixing()
        self._walk()
        self._directions()
        self.parts["reference"] = gr.Number(
            0, label="Reference image", info="Its number among the real images", step=1, visible=self._can("reference")
        )
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
            info="1 for none, 0 for the mean image", visible=self._can("truncation"), elem_id="psi",
        )  # fmt: skip
        self.parts["cutoff"] = gr.Slider(
            0, layers, layers, step=1, label="Truncated layers", info="The first ones, from coarse to fine",
            visible=self._can("truncation"), elem_id="cutoff",
        )  # fmt: skip
        self.parts["noise_mode"] = gr.Radio(
            [(mode, mode) for mode in ("const", *(mode for mode in NOISE_MODES if mode != "const"))],
            value="const", label="Noise", visible=self._can("noise"),
        )  # fmt: skip
        self._explain("truncation", "Truncation")
        self._explain("noise", "Noise")

    def _mixing(self) -> None:
        with gr.Accordion("Style mixing", open=False):
            can = self._can("mixing")
            self.parts["other_seed"] = gr.Number(1, label="Second seed", step=1, visible=can, elem_id="other")
            self.parts["mixed"] = gr.CheckboxGroup(
                [(str(k), k) for k in range(self.studio.layers)], label="Layers with the style of the second seed",
                info="0 is the coarsest", visible=can, elem_id="mixed",
            )  # fmt: skip
            self._explain("mixing", "Style mixing")

    def _walk(self) -> None:
        with gr.Accordion("Walk", open=False):
            self.parts["keyframes"] = gr.Textbox(
                "", label="Keyframe seeds", info="Such as 0,5,9; empty for no walk", elem_id="keyframes"
            )
            self.parts["position"] = gr.Slider(0, 1, 0, step=0.005, label="Position", elem_id="position")
            self.parts["space"] = gr.Radio(
                [("great circles in z", "z"), ("straight lines in w", "w")], value="z", label="Path",
                visible=self._can("mixing"),
            )  # fmt: skip
            with gr.Row():
                self.play, self.stop = gr.Button("Play"), gr.Button("Stop")

    def _directions(self) -> None:
        with gr.Accordion("Directions", open=False):
            for name in self.studio.directions[:SLIDERS]:
                self.sliders.append(
                    gr.Slider(-5, 5, 0, step=0.05, label=name, info="Deviations of w", elem_classes="direction")
                )
            if (found := len(self.studio.directions)) > SLIDERS:
                gr.Markdown(f"The first {SLIDERS} of {found} directions have sliders.", elem_classes="said")
            self._explain("directions", "Directions")

    def _explain(self, ability: str, what: str) -> None:
        if reason := self.studio.lacks(ability):
            gr.Markdown(html.escape(f"{what}: {reason}."), elem_classes="said")

    @property
    def inputs(self) -> list[Any]:
        """All components, whose values `read` takes in this order."""
        return [*self.parts.values(), *self.sliders, self.point]

    @property
    def triggers(self) -> list[Any]:
        """What the user may do that changes the picture."""
        moved = [part.input for part in (*self.parts.values(), *self.sliders)]
        return moved + [part.release for part in (*self.parts.values(), *self.sliders) if isinstance(part, gr.Slider)]

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
        with gr.Row():
            for k, (name, explorer) in enumerate(studio.explorers.items()):
                with gr.Column():
                    self.images.append(_image(name, f"picture{k}"))
                    self.texts.append(gr.Markdown("", elem_id=f"said{k}", elem_classes="said"))
                    self.references.append(
                        _image(f"Reference image of {name}", f"reference{k}", not explorer.lacks.reference)
                    )

    @property
    def outputs(self) -> list[Any]:
        """All components, which `filled` gives values for."""
        return [*self.images, *self.references, *self.texts]

    def filled(self, panels: Sequence[Panel]) -> list[Any]:
        """Values of the components."""
        texts = ["\n\n".join(html.escape(line) for line in panel.text) for panel in panels]
        shown = [*(panel.picture for panel in panels), *(panel.reference for panel in panels)]
        return [*map(_as_file, shown), *texts]


def build(studio: Studio) -> Any:
    """The page of some networks."""
    with gr.Blocks(title="dualgan explore", analytics_enabled=False) as page:
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                controls = Controls(studio)
                with gr.Row():
                    clear = gr.Button("Clear the map", visible=not studio.lacks("attention"), elem_id="clear")
                    save = gr.Button("Save", visible=studio.out is not None, elem_id="save")
            with gr.Column(scale=2):
                pictures = Pictures(studio)
        _connect(page, studio, controls, pictures, clear, save)
    return page


def _connect(page: gr.Blocks, studio: Studio, controls: Controls, pictures: Pictures, clear: Any, save: Any) -> None:
    usual: dict[str, Any] = {
        "preprocess": False, "postprocess": False, "show_progress": "hidden", "api_visibility": "private",
        "concurrency_id": "networks",
    }  # fmt: skip
    last: dict[str, Any] = {**usual, "trigger_mode": "always_last"}

    @_in_words
    def update(*values: Any) -> list[Any]:
        return pictures.filled(studio.show(*controls.read(values)))

    @_in_words
    def add_references(*values: Any) -> list[Any]:
        return pictures.filled(studio.show(*controls.read(values)))[len(pictures.images) :]

    @_in_words
    def save_files(*values: Any) -> None:
        settings, _ = controls.read(values)
        gr.Info(html.escape("Saved " + ", ".join(map(str, studio.save(settings)))))

    def clicked(side: int) -> Callable[..., list[Any]]:
        def choose(event: gr.SelectData, *values: Any) -> list[Any]:
            point = as_fraction(event.index, side)
            settings, _ = controls.read(values)
            return [point, *pictures.filled(studio.show(settings, point))]

        return _in_words(choose)

    def play(*values: Any) -> Iterator[list[Any]]:
        where = list(controls.parts).index("position")
        keyframes = _in_words(read_keyframes)(values[list(controls.parts).index("keyframes")])
        if len(keyframes) < 2:
            raise gr.Error("Give two or more keyframe seeds, such as 0,5,9", print_exception=False)
        for position in positions(len(keyframes)):
            yield [position, *update(*values[:where], position, *values[where + 1 :])]

    gr.on(controls.triggers, update, controls.inputs, pictures.outputs, **last)
    first = page.load(update, controls.inputs, pictures.outputs, **last)
    if not studio.lacks("reference"):
        late = [*pictures.references, *pictures.texts]
        opened = first.then(studio.wait_for_references, None, None, **{**usual, "concurrency_id": "references"})
        opened.then(add_references, controls.inputs, late, **usual)
    for image, side in zip(pictures.images, studio.sides(), strict=True):
        image.select(clicked(side), controls.inputs, [controls.point, *pictures.outputs], **usual)
    clear.click(lambda: None, None, controls.point, **usual).then(update, controls.inputs, pictures.outputs, **usual)
    played = [controls.parts["position"], *pictures.outputs]
    playing = controls.play.click(play, controls.inputs, played, **{**usual, "concurrency_id": "walk"})
    controls.stop.click(None, cancels=[playing])
    save.click(save_files, controls.inputs, None, **usual)


def _image(label: str, name: str, visible: bool = True) -> gr.Image:
    return gr.Image(
        label=label, elem_id=name, elem_classes="picture", format="png", interactive=False, sources=[], visible=visible,
        buttons=["download", "fullscreen"],
    )  # fmt: skip


def _as_file(picture: np.ndarray | None) -> dict[str, Any] | None:
    """A picture as the browser takes it, which need not fetch it once more: files would double the way."""
    return None if picture is None else {"url": as_url(picture), "orig_name": "picture.png", "mime_type": "image/png"}


def _in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the page show as a message what goes wrong; what is no mistake of the user's is also told on the terminal."""

    @wraps(function)
    def told(*values: Any) -> Any:
        try:
            return function(*values)
        except ValueError as error:
            raise _message(str(error)) from None
        except OSError as error:
            raise _message(in_words(error)) from None
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            said = (str(error).splitlines() or [""])[0]
            raise _message(f"{type(error).__name__}: {said}. The terminal says more") from None

    return told


def _message(text: str) -> gr.Error:
    return gr.Error(html.escape(text), print_exception=False)
