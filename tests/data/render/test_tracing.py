import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dualgan.data.render.scene import CAMERA, COLORS, LIGHTS, SHAPES, Material, Object, Scene, Shape, sample_scene
from dualgan.data.render.tracing import render


def picture(*objects: Object, resolution: int = 64) -> NDArray[np.int64]:
    image: NDArray[np.int64] = render([Scene(objects, CAMERA, LIGHTS)], resolution)[0].astype(np.int64)
    return image


def one(shape: Shape = "sphere", material: Material = "rubber", color: str = "red", x: float = 0.0) -> Object:
    return Object(shape, "large", material, color, x, 0.0, rotation=0.4)


def changed(first: NDArray[np.int64], second: NDArray[np.int64], by: int = 12) -> NDArray[np.bool_]:
    difference: NDArray[np.int64] = np.abs(first - second).max(-1)
    return difference > by


def test_images_do_not_depend_on_their_batch() -> None:
    scenes = [sample_scene(0, index) for index in range(5)]
    together = render(scenes, 32).astype(int)
    alone = np.concatenate([render([scene], 32) for scene in scenes]).astype(int)
    assert together.shape == (5, 32, 32, 3)
    assert np.abs(together - alone).max() <= 1


def test_tall_pictures_are_made_in_strips_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render([sample_scene(0, 3)], 32).astype(int)
    monkeypatch.setattr("dualgan.data.render.tracing._RAYS_AT_ONCE", 64 * 10)
    assert np.abs(render([sample_scene(0, 3)], 32) - whole).max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", [color for color in COLORS if color != "gray"])
def test_rubber_has_its_colour_where_its_centre_projects(shape: Shape, color: str) -> None:
    thing = one(shape, color=color)
    u, v = Scene((thing,), CAMERA, LIGHTS).project(thing.center)
    seen = picture(thing)[int((v + 1) * 32), int((u + 1) * 32)] / 255
    wanted = np.array(thing.rgb) / 255
    cosine = (seen - seen.mean()) @ (wanted - wanted.mean())
    assert cosine / np.linalg.norm(seen - seen.mean()) / np.linalg.norm(wanted - wanted.mean()) > 0.97


def test_the_scenes_objects_are_where_the_picture_shows_them() -> None:
    for scene in (sample_scene(2, index) for index in range(4)):
        full = render([scene], 64)[0].astype(int)
        for number, thing in enumerate(scene.objects):
            others = scene.objects[:number] + scene.objects[number + 1 :]
            difference = changed(full, render([replace(scene, objects=others)], 64)[0].astype(int), by=3)
            assert difference.any(), thing


def test_objects_cast_shadows_on_the_gray_ground() -> None:
    empty, scene = picture(), picture(one("cube", color="blue"))
    assert np.ptp(empty, axis=-1).max() <= 3
    darker = (empty - scene).min(-1) > 10
    gray = np.ptp(scene, axis=-1) <= 12
    assert (darker & gray).sum() > 20


def test_metal_mirrors_its_neighbour_and_rubber_does_not() -> None:
    neighbour = Object("sphere", "large", "rubber", "yellow", 0.8, -1.6, 0.0)
    mirror = one(material="metal", color="gray")
    region = changed(picture(), picture(mirror), 25) & ~changed(picture(), picture(neighbour), 3)
    gain = {}
    for material in ("metal", "rubber"):
        thing = replace(mirror, material=material)
        before, after = picture(thing), picture(thing, neighbour)
        gain[material] = ((after - before)[..., 0] - (after - before)[..., 2])[region].max()
    assert gain["metal"] > 40
    assert gain["rubber"] < 10


def test_renderer_needs_neither_torch_nor_lightning() -> None:
    code = "import sys, dualgan.data.render.worker; print(*(name.partition('.')[0] for name in sys.modules))"
    modules = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert "numpy" in modules
    assert not {"torch", "lightning", "pytorch_lightning"} & modules
