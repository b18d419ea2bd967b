import itertools
import math

import pytest

from dualgan.data.render.scene import COLORS, MATERIALS, SHAPES, sample_scene


def test_scene_is_a_function_of_seed_and_index() -> None:
    assert sample_scene(4, 9) == sample_scene(4, 9)
    assert sample_scene(4, 9) != sample_scene(4, 10)
    assert sample_scene(4, 9) != sample_scene(5, 9)


def test_scenes_show_everything_clevr_has() -> None:
    scenes = [sample_scene(0, index) for index in range(200)]
    objects = [thing for scene in scenes for thing in scene.objects]
    assert {len(scene.objects) for scene in scenes} == set(range(3, 11))
    assert {thing.shape for thing in objects} == set(SHAPES)
    assert {thing.material for thing in objects} == set(MATERIALS)
    assert {thing.color for thing in objects} == set(COLORS)
    assert {thing.radius for thing in objects} == {0.7, 0.35}


@pytest.mark.parametrize("index", range(20))
def test_objects_stand_apart_inside_the_view(index: int) -> None:
    scene = sample_scene(1, index)
    for a, b in itertools.combinations(scene.objects, 2):
        assert math.dist((a.x, a.y), (b.x, b.y)) > a.radius + b.radius
    for thing in scene.objects:
        assert max(map(abs, scene.project(thing.center))) < 0.9
        assert thing.center[2] == thing.half_height
