"""The L2 and L1 search of a hard-label attack: the boundary's normal is estimated, and the ray bent to it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.threat.norms import l2_norm, steepest_l2

from .rays import Rays
from .square import signs_of

_STARTS = 20  # images to set out from at most
_PROBES = 15  # queries an estimate
_COARSE = 4  # pixels a point of the grid on which every other probe is drawn
_REACH = 0.15  # how far they go from the boundary, as a part of the ray's length in L2
_KEPT = 0.5  # what an estimate keeps of the ones before
_BENDS = 7  # each half as strong as the one before
_GAIN = 0.005  # by which part a bent ray must be shorter
_PRECISE = 0.005  # part of a ray to which its end is searched


def search_normals(rays: Rays, draws: Draws) -> None:
    """Shorten each image's ray along estimates of the boundary's normal, until it ends inside the ball.

    HopSkipJump's estimate (Chen, Jordan, Wainwright 2020, equations 9 and 16): the mean of random directions,
    by whether a small step along them from the boundary fools, their mean answer taken off. Differs from the
    paper: the ray is bent towards the normal, as in GeoDA and SurFree (Rahmati et al. 2020; Maho, Furon, Le
    Merrer 2021), and must get shorter at once, because a step that is bisected afterwards costs more; an
    estimate takes few queries and goes on from the ones before, because the normal hardly turns between
    them; every other direction is smooth, because gradients of classifiers are (Li et al. 2020, QEBA); and
    the border of the ball is asked about first.

    Args:
        rays: the images' rays; takes what is found.
        draws: the images' random streams.
    """
    _set_out(rays, draws)
    normal = torch.zeros_like(rays.x)
    for turn in range(rays.budget):
        rows = rays.wanted(_PROBES + 1)
        rows = rows[rays.radius[rows].isfinite()]
        if len(rows) == 0:
            return
        estimate = _normal(rays, rows, draws.take(rows).stream(turn))
        normal[rows] = steepest_l2(estimate + _KEPT * normal[rows])
        bent = _bend(rays, rows, normal[rows])
        rays.shorten(bent, rays.radius[bent] / 2.0, _PRECISE)


def _set_out(rays: Rays, draws: Draws) -> None:
    """Rays to images of stripes or noise that are of another class, as far as the boundary."""
    for start in range(_STARTS):
        rows = rays.wanted()
        rows = rows[rays.radius[rows].isinf()]
        if len(rows) == 0:
            break
        _, c, h, w = rays.x.shape
        stream = draws.take(rows).stream(f"start {start}")
        stripes = (signs_of(stream.uniform((c, 1, w))).expand(-1, c, h, w) + 1.0) / 2.0
        points = stream.uniform((c, h, w)) if start % 2 else stripes
        rays.offer(rows, points - rays.x[rows], torch.ones(len(rows), device=points.device))
    known = rays.radius.isfinite().nonzero().flatten()
    rays.shorten(known, torch.zeros_like(rays.radius[known]), _PRECISE)


def _normal(rays: Rays, rows: Tensor, draws: Draws) -> Tensor:
    """An estimate of the normal at the ends of the rays, of any length, `(m, c, h, w)`."""
    origin = rays.examples()[rows]
    reach = _REACH * l2_norm(origin - rays.x[rows]).view(-1, 1, 1, 1)
    signed, plain, total = torch.zeros_like(origin), torch.zeros_like(origin), torch.zeros_like(reach)
    for probe in range(_PROBES):
        direction = steepest_l2(_noise(draws.stream(probe), origin, coarse=probe % 2 == 0))
        fell = rays.ask(rows, (origin + reach * direction).clamp(0.0, 1.0))
        answer = torch.where(fell, 1.0, -1.0).view(-1, 1, 1, 1)
        signed, plain, total = signed + answer * direction, plain + direction, total + answer
    mean = total / _PROBES
    return steepest_l2(torch.where(mean.abs() == 1.0, mean * plain, signed - mean * plain))


def _noise(draws: Draws, like: Tensor, *, coarse: bool) -> Tensor:
    """Standard normal draws in the shape of the images; coarse ones on a grid, smooth between its points."""
    c, *size = like.shape[1:]
    if not coarse or min(size) < _COARSE**2:
        return draws.normal((c, *size)).to(like)
    grid = draws.normal((c, *(length // _COARSE for length in size))).to(like)
    return F.interpolate(grid, size=size, mode="bilinear", align_corners=False)


def _bend(rays: Rays, rows: Tensor, normal: Tensor) -> Tensor:
    """Bend rays towards the normals `(m, c, h, w)`, less and less, until they are shorter; those that are."""
    length, strength = rays.radius[rows] * (1.0 - _GAIN), 1.0
    toward, origin = rays.threat.steepest(normal), rays.direction[rows].clone()
    left = torch.arange(len(rows), device=rows.device)
    for _ in range(_BENDS):
        left = left[rays.queries[rows[left]] < rays.budget]
        if len(left) == 0:
            break
        direction = origin[left] + strength * toward[left]
        size = rays.threat.distance(direction, torch.zeros_like(direction)).view(-1, 1, 1, 1)
        radius = length[left].clamp_min(rays.goal)
        fell = rays.offer(rows[left], direction / size.clamp_min(1e-12), radius)
        left, strength = left[~fell], strength / 2.0
    return rows[rays.radius[rows] <= length]
