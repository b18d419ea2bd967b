"""Ray tracer for batches of CLEVR-like scenes, in NumPy.

Every object is convex, so a ray meets it on one interval and the entry point is all that is needed. A cheap test with
bounding spheres, two small matrix products, picks the (ray, object) pairs worth intersecting; pairs of all images and
objects of one shape are then intersected together. Only NumPy is imported: worker processes start quickly.
"""

# B scenes, O objects per scene (padded), P rays per scene, K picked (ray, object) pairs; float32 throughout

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualgan.data.render.scene import LIGHTS, SHAPES, TAN_HALF_VIEW, Scene, camera_axes

RENDERER_VERSION = 1  # part of the cache key: raise it with every change that moves a pixel

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Surface = tuple[Float, Float, Bool]

GROUND = -1  # "object" index of a ray that meets the ground or, above the horizon, the background
_EPSILON = np.float32(2e-3)
_FAR = np.float32(60.0)
_RAYS_AT_ONCE = 1 << 16  # measured: fewer lose time in calls, more gain nothing and need memory

_LIGHT_POWER = (0.95, 0.22, 0.28)  # key, fill, back; at the unjittered distance
_LIGHT_SIZE = 0.55  # half side of the square lamps, which makes shadows soft
_AMBIENT_SKY, _AMBIENT_GROUND = 0.27, 0.13
_GROUND_ALBEDO = 0.30
_SKY_LOW, _SKY_HIGH = 0.22, 0.62  # what a mirror sees near the horizon and overhead
_MIRROR = 0.80


@dataclass(frozen=True)
class _Geometry:
    """Scenes as arrays: the padded objects have radius 0 and stand far away, where no ray picks them."""

    center: Float  # [B, O, 3]
    bound: Float  # [B, O] squared radius of the bounding sphere
    radius: Float  # [B, O]
    half_height: Float  # [B, O]
    cos: Float  # [B, O]
    sin: Float  # [B, O]
    shape: Int  # [B, O] index into SHAPES
    metal: Bool  # [B, O]
    albedo: Float  # [B, O, 3] linear
    lights: Float  # [B, L, 3]


def render(scenes: Sequence[Scene], resolution: int, samples: int = 2) -> NDArray[np.uint8]:
    """Render scenes to images [N, resolution, resolution, 3], uint8 sRGB.

    `samples` is the side of the grid of rays per pixel.
    """
    side = resolution * samples
    rows = max(samples, min(side, _RAYS_AT_ONCE // side // samples * samples))
    step = max(1, _RAYS_AT_ONCE // (rows * side))
    images = np.empty((len(scenes), resolution, resolution, 3), np.uint8)
    for first in range(0, len(scenes), step):
        batch = scenes[first : first + step]
        geometry = _geometry(batch)
        for top in range(0, side, rows):
            height = min(rows, side - top)
            color = _render_rows(batch, geometry, side, top, height)
            pixels = color.reshape(len(batch), 3, height // samples, samples, resolution, samples).mean((3, 5))
            images[first : first + step, top // samples : (top + height) // samples] = _to_srgb(pixels)
    return images


def _geometry(scenes: Sequence[Scene]) -> _Geometry:
    width = max(len(scene.objects) for scene in scenes)
    table = np.zeros((len(scenes), width, 13), np.float32)
    table[..., 0:3] = (0, 0, -1e4)
    for row, scene in zip(table, scenes, strict=True):
        for slot, thing in zip(row, scene.objects, strict=False):
            kind = SHAPES.index(thing.shape)
            half = thing.half_height
            bound = {"sphere": thing.radius**2, "cube": 3 * half**2, "cylinder": thing.radius**2 + half**2}[thing.shape]
            turn = (np.cos(thing.rotation), np.sin(thing.rotation))
            slot[:] = (*thing.center, bound, thing.radius, half, *turn, kind, thing.material == "metal", *thing.rgb)
    albedo = (table[..., 10:13] / 255) ** 2.2
    lights = np.asarray([scene.lights for scene in scenes], np.float32)
    center, (bound, radius, half, cos, sin) = table[..., :3], np.moveaxis(table[..., 3:8], -1, 0)
    shape, metal = table[..., 8].astype(np.int64), table[..., 9] > 0
    return _Geometry(center, bound, radius, half, cos, sin, shape, metal, albedo.astype(np.float32), lights)


def _render_rows(scenes: Sequence[Scene], geometry: _Geometry, side: int, top: int, height: int) -> Float:
    """Linear colour [B, 3, height * side] of some rows of the grid of rays."""
    u = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    u, v = (grid.reshape(-1) for grid in np.meshgrid(u, u[top : top + height]))
    axes = np.asarray([camera_axes(scene.camera) for scene in scenes], np.float32)  # [B, 3 axes, 3]
    in_camera = np.stack([u * TAN_HALF_VIEW, -v * TAN_HALF_VIEW, np.ones_like(u)]).astype(np.float32)
    direction = _normalize(axes.transpose(0, 2, 1) @ in_camera)
    origin = np.asarray([scene.camera for scene in scenes], np.float32)[:, :, None]
    color = _trace(geometry, origin, direction, _lamp_offsets(side, top, height), bounces=1)
    # A lens darkens its corners.
    color *= (1 - 0.16 * (u * u + v * v) ** 1.5).astype(np.float32)
    return color


def _lamp_offsets(side: int, top: int, height: int) -> Float:
    """Point of the square lamps that each ray looks at, [2, height * side]; neighbouring rays differ most."""
    bayer = np.zeros((1, 1), np.int64)
    for _ in range(3):
        bayer = np.block([[4 * bayer, 4 * bayer + 2], [4 * bayer + 3, 4 * bayer + 1]])
    tile = bayer[(np.arange(height) + top)[:, None] % 8, np.arange(side) % 8].reshape(-1)
    # Hammersley's set in the order of the dither matrix: every 2x2 block of rays covers the lamp.
    first, second = (tile + 0.5) / 64, (tile * 0.61803399 + 0.3) % 1
    return (_LIGHT_SIZE * (2 * np.stack([first, second]) - 1)).astype(np.float32)


def _trace(geometry: _Geometry, origin: Float, direction: Float, lamp: Float, bounces: int) -> Float:
    """Colour [B, 3, P] that rays see. `origin` is [B, 3, P] or [B, 3, 1]; `lamp` [2, P] or [B, 2, P]."""
    distance, hit = _nearest(geometry, origin, direction)
    point = origin + distance[:, None] * direction
    solid = hit != GROUND
    surface = _surface(geometry, point, hit, solid)
    color = _shade(geometry, point, surface, direction, lamp)
    _blend_background(color, direction, distance, solid)
    if surface[2].any():
        _add_reflections(color, geometry, point, surface, direction, lamp, bounces)
    return color


# --- geometry ---


def _nearest(geometry: _Geometry, origin: Float, direction: Float) -> tuple[Float, Int]:
    """Distance to the first surface and the object's index, both [B, P]."""
    down = np.minimum(direction[:, 2], -1e-6)
    distance = np.minimum(-origin[:, 2] / down, _FAR)
    hit = np.full(distance.shape, GROUND, np.int64)
    scene, thing, ray = _indices(_candidates(geometry, origin, direction))
    entry = _entry(geometry, scene, thing, *_pair_rays(origin, direction, scene, ray))
    order = np.argsort(-entry, kind="stable")  # later assignments win: the nearest comes last
    order = order[entry[order] < distance[scene[order], ray[order]]]
    distance[scene[order], ray[order]] = entry[order]
    hit[scene[order], ray[order]] = thing[order]
    return distance, hit


def _candidates(geometry: _Geometry, origin: Float, direction: Float) -> Bool:
    """Which rays may meet which object's bounding sphere, [B, O, P]."""
    center = geometry.center
    along = center @ direction - (origin * direction).sum(1, keepdims=True)
    np.maximum(along, 0, out=along)
    # |c - o|^2 - R^2, negative when the ray starts inside the sphere
    outside = center @ origin
    outside *= -2
    outside += ((center * center).sum(2) - geometry.bound)[:, :, None]
    outside += (origin * origin).sum(1, keepdims=True)
    picked: Bool = along * along > outside
    return picked


def _indices(picked: Bool) -> tuple[Int, Int, Int]:
    # Half the time of np.nonzero, which walks a three-dimensional mask slowly.
    row, ray = np.divmod(np.flatnonzero(picked), picked.shape[2])
    scene, thing = np.divmod(row, picked.shape[1])
    return scene, thing, ray


def _pair_rays(origin: Float, direction: Float, scene: Int, ray: Int) -> tuple[Float, Float]:
    """Origins and directions [3, K] of the picked rays."""
    start = origin[scene, :, ray if origin.shape[2] > 1 else 0]
    return start.T, direction[scene, :, ray].T


def _entry(geometry: _Geometry, scene: Int, thing: Int, origin: Float, direction: Float) -> Float:
    """Distance [K] at which each ray enters its object, infinite where it misses or starts inside."""
    shape = geometry.shape[scene, thing]
    entry = np.empty(len(scene), np.float32)
    for kind, intersect in enumerate((_enter_sphere, _enter_cube, _enter_cylinder)):
        chosen = np.flatnonzero(shape == kind)
        pair = (scene[chosen], thing[chosen])
        local = _to_object(geometry, pair, origin[:, chosen] - geometry.center[pair].T)
        turned = _to_object(geometry, pair, direction[:, chosen])
        near, far = intersect(local, turned, geometry.radius[pair], geometry.half_height[pair])
        entry[chosen] = np.where((near <= far) & (near > _EPSILON), near, np.inf)
    return entry


def _to_object(geometry: _Geometry, pair: tuple[Int, Int], vector: Float, back: bool = False) -> Float:
    """Rotate vectors [3, K] into their objects' axes, or `back` into the world's."""
    cos, sin = geometry.cos[pair], -geometry.sin[pair] if back else geometry.sin[pair]
    return np.stack([cos * vector[0] + sin * vector[1], cos * vector[1] - sin * vector[0], vector[2]])


# |o + t d|^2 = r^2
def _enter_sphere(origin: Float, direction: Float, radius: Float, half: Float) -> tuple[Float, Float]:
    b = (origin * direction).sum(0)
    root = b * b - (origin * origin).sum(0) + radius * radius
    return _interval(-b, root)


# |o_k + t d_k| = half for each axis k
def _enter_cube(origin: Float, direction: Float, radius: Float, half: Float) -> tuple[Float, Float]:
    near, far = _slab(origin, direction, half)
    return near.max(0), far.min(0)


# (o_x + t d_x)^2 + (o_y + t d_y)^2 = r^2, cut by two planes
def _enter_cylinder(origin: Float, direction: Float, radius: Float, half: Float) -> tuple[Float, Float]:
    a = np.maximum((direction[:2] ** 2).sum(0), 1e-9)
    b = (origin[:2] * direction[:2]).sum(0) / a
    side_near, side_far = _interval(-b, b * b - ((origin[:2] ** 2).sum(0) - radius * radius) / a)
    cap_near, cap_far = _slab(origin[2], direction[2], half)
    return np.maximum(side_near, cap_near), np.minimum(side_far, cap_far)


def _interval(middle: Float, root: Float) -> tuple[Float, Float]:
    half_length = np.sqrt(np.maximum(root, 0))
    return np.where(root > 0, middle - half_length, np.inf), middle + half_length


def _slab(origin: Float, direction: Float, half: Float) -> tuple[Float, Float]:
    safe = np.where(np.abs(direction) < 1e-9, np.float32(1e-9), direction)
    first, second = (-half - origin) / safe, (half - origin) / safe
    return np.minimum(first, second), np.maximum(first, second)


# --- surfaces and light ---


def _surface(geometry: _Geometry, point: Float, hit: Int, solid: Bool) -> Surface:
    """Normal [B, 3, P], linear albedo [B, 3, P] and whether it is a mirror [B, P]."""
    normal, albedo = np.zeros_like(point), np.full_like(point, _GROUND_ALBEDO)
    normal[:, 2] = 1
    metal = np.zeros(solid.shape, np.bool_)
    scene, ray = np.nonzero(solid)
    pair = (scene, hit[scene, ray])
    normal[scene, :, ray] = _normals(geometry, pair, point[scene, :, ray].T).T
    albedo[scene, :, ray] = geometry.albedo[pair]
    metal[scene, ray] = geometry.metal[pair]
    return normal, albedo, metal


def _normals(geometry: _Geometry, pair: tuple[Int, Int], point: Float) -> Float:
    """Outward normals [3, K] at surface points [3, K]."""
    shape, half = geometry.shape[pair], geometry.half_height[pair]
    local = _to_object(geometry, pair, point - geometry.center[pair].T) / half
    round_side = np.hypot(local[0], local[1])
    cap = np.abs(local[2]) > round_side
    face = np.abs(local) == np.abs(local).max(0)
    cube, cylinder = np.where(face, np.sign(local), 0), np.where([cap, cap, ~cap], 0, local)
    cylinder[2] = np.where(cap, np.sign(local[2]), 0)
    outward = np.choose(shape, [local, cube, cylinder])
    return _normalize(_to_object(geometry, pair, outward, back=True), axis=0)


def _shade(geometry: _Geometry, point: Float, surface: Surface, direction: Float, lamp: Float) -> Float:
    """Light [B, 3, P] that surfaces send back by themselves: ambient, diffuse and highlights, without reflections."""
    normal, albedo, metal = surface
    up = 0.5 + 0.5 * normal[:, 2]
    diffuse = _AMBIENT_GROUND + (_AMBIENT_SKY - _AMBIENT_GROUND) * up
    shine = np.zeros_like(diffuse)
    ground = ~metal & (point[:, 2] < _EPSILON)
    start = point + _EPSILON * normal
    for number, power in enumerate(_LIGHT_POWER):
        to_light = geometry.lights[:, number, :, None] - start
        to_lamp = to_light.copy()  # only shadows see the lamp's size: shading with it would show the dither pattern
        to_lamp[:, :2] += lamp
        distance = np.sqrt((to_light * to_light).sum(1))
        to_light /= distance[:, None]
        cosine = (normal * to_light).sum(1)
        lit = (cosine > 0) & ~_shadowed(geometry, start, _normalize(to_lamp), cosine > 0)
        reach = float(np.square(LIGHTS[number]).sum())
        strength = np.where(lit, power * reach / (distance * distance), 0).astype(np.float32)
        diffuse += strength * cosine
        halfway = to_light - direction
        highlight = (normal * halfway).sum(1) ** 2 / (halfway * halfway).sum(1)
        shine += strength * np.where(metal, 1.6 * highlight**90, 0.10 * highlight**16) * ~ground
    keep = np.where(metal, 1 - _MIRROR, 1).astype(np.float32)
    color: Float = albedo * (keep * diffuse)[:, None] + shine[:, None]
    return color


def _shadowed(geometry: _Geometry, point: Float, to_light: Float, facing: Bool) -> Bool:
    """Whether something stands between points and a light, [B, P]. No object is higher than a light."""
    scene, thing, ray = _indices(_candidates(geometry, point, to_light) & facing[:, None])
    blocked = np.isfinite(_entry(geometry, scene, thing, *_pair_rays(point, to_light, scene, ray)))
    shadow = np.zeros(facing.shape, np.bool_)
    shadow[scene[blocked], ray[blocked]] = True
    return shadow


def _blend_background(color: Float, direction: Float, distance: Float, solid: Bool) -> None:
    """Let the ground fade into the backdrop with distance, in place."""
    height = np.clip(direction[:, 2], 0, 1)
    backdrop = _SKY_LOW + (_SKY_HIGH - _SKY_LOW) * height
    fade = np.where(solid, 0, np.clip((distance - 9) / 22, 0, 1)).astype(np.float32)
    color += fade[:, None] * (backdrop[:, None] - color)


def _add_reflections(
    color: Float, geometry: _Geometry, point: Float, surface: Surface, direction: Float, lamp: Float, bounces: int
) -> None:
    """Add what metal mirrors to `color`, in place. After the last bounce it mirrors an even gray room."""
    normal, albedo, metal = surface
    tint = _MIRROR * (0.12 + 0.88 * albedo)
    if bounces == 0:
        color += np.where(metal[:, None], tint * np.float32(0.3), 0)
        return
    # Rays of metal first, cut to the longest row: the rows stay rectangular and surplus rays are dropped at the end.
    order = np.argsort(~metal, axis=1, kind="stable")[:, : int(metal.sum(1).max())]
    chosen = np.take_along_axis(metal, order, 1)
    pick = order[:, None]
    start, outward, ray = (np.take_along_axis(values, pick, 2) for values in (point, normal, direction))
    mirrored = ray - 2 * (ray * outward).sum(1, keepdims=True) * outward
    lamps = np.take_along_axis(np.broadcast_to(lamp, (len(color), *lamp.shape[-2:])), pick, 2)
    seen = _trace(geometry, start + _EPSILON * outward, mirrored, lamps, bounces - 1)
    scene, slot = np.nonzero(chosen)
    target = order[scene, slot]
    color[scene, :, target] += tint[scene, :, target] * seen[scene, :, slot]


def _normalize(vector: Float, axis: int = 1) -> Float:
    length: Float = np.sqrt((vector * vector).sum(axis, keepdims=True))
    return vector / length


def _to_srgb(linear: Float) -> NDArray[np.uint8]:
    """Gamma-encode [B, 3, H, W] into uint8 [B, H, W, 3]."""
    encoded = np.clip(linear, 0, 1) ** np.float32(1 / 2.2)
    return (encoded * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)
