"""Random CLEVR-like scenes: which objects stand where, and from where they are seen and lit.

A scene is a pure function of (seed, index). Lengths are CLEVR's Blender units; z points up and the ground is z = 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Shape = Literal["sphere", "cube", "cylinder"]
Size = Literal["large", "small"]
Material = Literal["rubber", "metal"]
Vector = tuple[float, float, float]
T = TypeVar("T")

SHAPES: tuple[Shape, ...] = ("sphere", "cube", "cylinder")
SIZES: dict[Size, float] = {"large": 0.7, "small": 0.35}
MATERIALS: tuple[Material, ...] = ("rubber", "metal")
COLORS: dict[str, tuple[int, int, int]] = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
MIN_OBJECTS, MAX_OBJECTS = 3, 10

CAMERA: Vector = (7.3, -6.6, 5.6)
CAMERA_JITTER = 0.5
TARGET: Vector = (0.0, 0.0, 0.3)
# Key, fill and back light.
LIGHTS: tuple[Vector, ...] = ((1.5, -8.0, 8.0), (8.0, 3.0, 6.0), (-5.0, 4.0, 7.5))
LIGHT_JITTER = 1.0
TAN_HALF_VIEW = 0.35

_EXTENT = 3.0  # objects stand in the square |x|, |y| < 3
_GAP = 0.12  # smallest distance between two footprints
_MARGIN = 0.88  # an object's centre projects into this part of the picture
_TRIES = 80


@dataclass(frozen=True)
class Object:
    """One object on the ground. `rotation` turns it around the vertical axis, in radians."""

    shape: Shape
    size: Size
    material: Material
    color: str
    x: float
    y: float
    rotation: float

    @property
    def radius(self) -> float:
        """Radius of the circle that encloses the footprint."""
        return SIZES[self.size]

    @property
    def half_height(self) -> float:
        """Half of the height; a cube is inscribed in the footprint circle, so its half side is radius / sqrt 2."""
        return self.radius / math.sqrt(2) if self.shape == "cube" else self.radius

    @property
    def center(self) -> Vector:
        """Centre of the object, which rests on the ground."""
        return (self.x, self.y, self.half_height)

    @property
    def rgb(self) -> tuple[int, int, int]:
        """CLEVR's colour, 0 to 255."""
        return COLORS[self.color]


@dataclass(frozen=True)
class Scene:
    """Objects, camera position and the positions of key, fill and back light."""

    objects: tuple[Object, ...]
    camera: Vector
    lights: tuple[Vector, ...]

    def project(self, point: Vector) -> tuple[float, float]:
        """Picture coordinates (u to the right, v downwards) of a point; both in [-1, 1] inside the picture."""
        right, up, forward = camera_axes(self.camera)
        offset = [p - c for p, c in zip(point, self.camera, strict=True)]
        depth = _dot(forward, offset) * TAN_HALF_VIEW
        return _dot(right, offset) / depth, -_dot(up, offset) / depth


def camera_axes(camera: Vector) -> tuple[Vector, Vector, Vector]:
    """Orthonormal right, up and forward axes of a camera that looks at TARGET without roll."""
    x, y, z = (t - c for t, c in zip(TARGET, camera, strict=True))
    length, ground = math.sqrt(x * x + y * y + z * z), math.hypot(x, y)
    forward = (x / length, y / length, z / length)
    right = (y / ground, -x / ground, 0.0)
    up = (right[1] * forward[2], -right[0] * forward[2], right[0] * forward[1] - right[1] * forward[0])
    return right, up, forward


def sample_scene(seed: int, index: int) -> Scene:
    """Return scene `index` of the endless set `seed` (both non-negative)."""
    uniform = _uniforms(seed, index)
    camera = _jitter(CAMERA, CAMERA_JITTER, uniform)
    lights = tuple(_jitter(light, LIGHT_JITTER, uniform) for light in LIGHTS)
    count = MIN_OBJECTS + int(uniform() * (MAX_OBJECTS - MIN_OBJECTS + 1))
    empty = Scene((), camera, lights)
    objects: tuple[Object, ...] | None = None
    while objects is None:  # a crowded start can leave no room: begin again with fresh numbers
        objects = _place_objects(count, empty, uniform)
    return Scene(objects, camera, lights)


def _place_objects(count: int, empty: Scene, uniform: Callable[[], float]) -> tuple[Object, ...] | None:
    placed: list[Object] = []
    while len(placed) < count:
        shape, size = _pick(SHAPES, uniform), _pick(tuple(SIZES), uniform)
        material, color = _pick(MATERIALS, uniform), _pick(tuple(COLORS), uniform)
        rotation = 2 * math.pi * uniform()
        for _ in range(_TRIES):
            x, y = (_EXTENT * (2 * uniform() - 1) for _ in range(2))
            candidate = Object(shape, size, material, color, x, y, rotation)
            if _fits(candidate, placed, empty):
                placed.append(candidate)
                break
        else:
            return None
    return tuple(placed)


def _fits(candidate: Object, placed: list[Object], empty: Scene) -> bool:
    if max(map(abs, empty.project(candidate.center))) > _MARGIN:
        return False
    return all(
        math.hypot(candidate.x - other.x, candidate.y - other.y) > candidate.radius + other.radius + _GAP
        for other in placed
    )


def _uniforms(seed: int, index: int) -> Callable[[], float]:
    # Raw Philox words and not Generator methods: NumPy may change the latter's streams between versions.
    bits = np.random.Philox(np.random.SeedSequence([seed, index]))
    buffer: list[int] = []

    def uniform() -> float:
        if not buffer:
            buffer.extend(bits.random_raw(256).tolist())
        return (buffer.pop() >> 11) * 2.0**-53

    return uniform


def _pick(choices: tuple[T, ...], uniform: Callable[[], float]) -> T:
    return choices[int(uniform() * len(choices))]


def _jitter(position: Vector, amount: float, uniform: Callable[[], float]) -> Vector:
    x, y, z = (p + amount * (2 * uniform() - 1) for p in position)
    return x, y, z


def _dot(a: Vector, b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
