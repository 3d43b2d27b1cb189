"""Hair of the head: where strands can grow, which is the same for everyone, and the strands of one person."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from anifacegan.data.synthetic.looks.appearance import Hair
from anifacegan.data.synthetic.strands.bristles import bristles
from anifacegan.data.synthetic.strands.combing import (
    KNOT,
    PARTING_REACH,
    PARTING_WIDTH,
    CombFields,
    comb_fields,
)
from anifacegan.data.synthetic.strands.growth import (
    Curls,
    WalkedStrands,
    grow,
    walk_numbers,
    walk_paths,
)
from anifacegan.data.synthetic.strands.hair_line import HairLine, WornLine, hair_line
from anifacegan.data.synthetic.strands.head_chart import HeadChart, chart_values, head_chart
from anifacegan.data.synthetic.strands.lengths import HairRegions, hair_regions, strand_lengths
from anifacegan.data.synthetic.strands.roots import (
    Roots,
    StrandNoise,
    opacity,
    scatter_roots,
    shaded,
    skin_triangles,
    strand_noise,
    tangent,
)
from anifacegan.data.synthetic.strands.strands import CASTING, LEAST_COVER, Strands
from anifacegan.data.synthetic.strands.styles import HairStyle, blended_style
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.geometry.conventions import BACKGROUND_Z, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import unit

STRANDS, CLUMPS, STUBBLE, TAIL = 22_000, 1_100, 45_000, 1_800
"""Numbers of long strands, of clumps (groups of neighbours) that they join, of short hairs between them, and of strands
of tied hair behind the head."""
FINEST_POINTS, COARSEST_POINTS = 36, 5
"""Largest and smallest number of points of a long strand."""
POINT_SPACING, POINTS_A_TURN = 0.15, 6.5
"""Distance of points on straight hair, model units, and number of points for each turn of a curl."""
IN_FRINGE = 0.5
"""Weight of a root in the region of a fringe from which its strand can belong to a fringe."""
EAR = 0.25
"""Weight of a vertex in the face model's mask of the ears from which it belongs to an ear."""
STUBBLE_POINTS, STUBBLE_WIDTH_MM = 3, 0.15
TAIL_RADIUS = 0.05
FARTHEST_BACK, STUBBLE_BEHIND = 0.35, 0.15
"""Distances behind the background plane, model units: of a root of the mean head from which it is behind the plane in
everyone, and of a root of a person from which short hair is hidden by the plane."""
MARGIN = 0.03
"""Distance of a strand's path behind the background plane, model units, from which a strand without curls is hidden."""


@dataclass(frozen=True)
class HairRoots:
    """Roots of one kind of hair of the head (long strands or short hairs), with what is fixed for each."""

    roots: Roots
    """The roots as points of the mesh, for any head."""
    noise: StrandNoise
    """Random numbers of the strands."""
    places: Float[np.ndarray, "root 3"]
    """Positions of the roots on the mean head, model units."""
    regions: HairRegions
    """Parts of the head to which the roots belong."""

    def select(self, index: Int[np.ndarray, " selected"]) -> "HairRoots":
        """Return the roots with the given indices."""
        return HairRoots(
            self.roots.select(index), self.noise.select(index), self.places[index], self.regions.select(index)
        )


@dataclass(frozen=True)
class ScalpHair:
    """What is the same for everyone about the hair of the head: where strands can grow, and in which directions hair
    can be combed.
    """

    chart: HeadChart
    """Grid of directions from the middle of the skull to the surface of the head."""
    skull: HeadChart
    """Grid of directions from the middle of the skull to the surface of the head without ears."""
    comb: CombFields
    """Directions in which hair can be combed."""
    line: HairLine
    """The hair line, and where hair styles change it."""
    strands: HairRoots
    """Roots of the long strands; the first ``CLUMPS`` strands each lead a clump (a group of neighbours)."""
    leading: HairRoots
    """Roots of the strands that lead clumps."""
    leader: Int[np.ndarray, " strand"]
    """Index in ``leading`` of the clump that each long strand joins: that of the nearest root."""
    in_fringe: Bool[np.ndarray, " strand"]
    """Whether each long strand can belong to a fringe over the forehead."""
    stubble: HairRoots
    """Roots of the short hairs between the long strands."""
    tail: StrandNoise
    """Random numbers of the strands of tied hair behind the head."""
    plane_z: float
    """Coordinate z of the background plane, model units; hair behind it is never seen."""


def prepare_scalp_hair(head: HeadGeometry) -> ScalpHair:
    """Lay out, on the mean head and with a fixed seed, where hair of the head can grow."""
    mean = head.mean.reshape(-1, 3)
    skin = skin_triangles(head)
    line = hair_line(head)
    chart = head_chart(mean, skin, line.distance > 0)
    off_ears = (head.parts.ears_mask[skin] < EAR).all(axis=1)
    skull = head_chart(mean, skin[off_ears], line.distance > 0)
    rng = np.random.default_rng(1)

    def scattered(count: int) -> HairRoots:
        roots = scatter_roots(mean, skin, line.root_density(), count, rng)
        places = roots.at(mean)
        return HairRoots(roots, strand_noise(places, rng), places, hair_regions(places, chart.centre))

    plane_z = float((BACKGROUND_Z - head.world_offset[2]) / WORLD_PER_MODEL_UNIT)
    strands, stubble = scattered(STRANDS), scattered(STUBBLE)
    stubble = stubble.select(np.flatnonzero(stubble.places[:, 2] > plane_z - FARTHEST_BACK))
    return ScalpHair(
        chart=chart,
        skull=skull,
        comb=comb_fields(chart, mean),
        line=line,
        strands=strands,
        leading=strands.select(np.arange(CLUMPS)),
        leader=cKDTree(strands.places[:CLUMPS]).query(strands.places)[1].astype(np.int32),
        in_fringe=strands.regions.fringe > IN_FRINGE,
        stubble=stubble,
        tail=strand_noise(rng.normal(0, 0.2, (TAIL, 3)).astype(np.float32), rng),
        plane_z=plane_z,
    )


def grow_scalp_hair(
    scalp: ScalpHair,
    hair: Hair,
    neutral: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
) -> list[Strands]:
    """Grow a person's hair of the head: long strands, short hairs between them, and tied hair, as far as there are any.

    Args:
        scalp: what is the same for everyone, see :func:`prepare_scalp_hair`.
        hair: the person's hair.
        neutral, normals: vertices and unit normals of the person's head with a neutral expression, model units.
    """
    style = blended_style(hair)
    line = scalp.line.worn(style)
    surface = neutral, normals
    skull, hull = scalp.skull.radii(neutral), scalp.chart.hull(neutral)
    reach = (skull + style.over_ears * (np.maximum(hull, skull) - skull))[..., None]
    fringes = (0.0, style.fringe) if style.fringe > LEAST_COVER else (0.0,)
    combs = [scalp.comb.combed(style, hair.parting, fringe) for fringe in fringes]
    charts = np.stack([np.concatenate([reach, comb], axis=-1) for comb in combs])
    kinds = (
        _long_strands(scalp, line, hair, surface, charts),
        _stubble(scalp, line, hair, surface, charts[0]),
        _tail(scalp, style, hair, charts[:1]),
    )
    return [strands for strands in kinds if strands is not None]


Surface = tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 3"]]
"""Vertices and unit normals of a head."""
Charts = Float[np.ndarray, "comb row column 5"]
"""For one or two ways of combing, at each node of the grid of directions: distance of the head's surface from the
centre, direction of combing (3), and its least influence on strands. The second way, if any, is that of a fringe."""


def _long_strands(
    scalp: ScalpHair, line: WornLine, hair: Hair, surface: Surface, charts: Charts
) -> Strands | None:
    """Grow the long strands that may be seen, and those that cast shadows."""
    everyone, style = scalp.strands, line.style
    cover = line.cover(everyone.roots, everyone.noise, style.density)
    shown = np.flatnonzero(cover > LEAST_COVER)
    lengths = _lengths(everyone.select(shown), line, hair)
    casts = shown % CASTING == 0
    possible = (_ahead(scalp, everyone.roots.select(shown), surface) + lengths > 0) | casts
    shown, lengths, casts = shown[possible], lengths[possible], casts[possible]
    if len(shown) == 0:
        return None
    numbers, centre = walk_numbers(style), scalp.chart.centre
    combed = scalp.in_fringe.astype(np.int64) * (len(charts) - 1)
    led = _walked(scalp, scalp.leading, _lengths(scalp.leading, line, hair), style, hair, surface, charts[0])
    walked = _walked(scalp, everyone.select(shown), lengths, style, hair, surface, charts[0])
    leaders = walk_paths(led, combed[:CLUMPS], numbers, charts, centre)
    paths = walk_paths(walked, combed[shown], numbers, charts, centre)

    leader = scalp.leader[shown]
    farthest = np.maximum(paths[:, :, 2].max(axis=1), leaders[:, :, 2].max(axis=1)[leader])
    grown = np.flatnonzero((farthest + MARGIN + 1.25 * style.curl_radius > scalp.plane_z) | casts)
    number = shown[grown]
    noise = everyone.noise.select(number)
    points = np.empty((len(grown), _point_count(style), 3), np.float32)
    grow(
        paths,
        (grown, lengths[grown], walked.layers[grown], combed[number]),
        _curls(style, leader[grown], noise, scalp.leading.noise),
        leaders,
        led.lengths,
        charts,
        centre,
        np.float32(style.tip_detail),
        points,
    )
    rgb = shaded(hair.rgb, noise.shade)
    return Strands(
        points, rgb, cover[number], number, style.width_mm, style.absorption, style.shine, on_scalp=True
    )


def _ahead(scalp: ScalpHair, roots: Roots, surface: Surface) -> Float[np.ndarray, " root"]:
    """Return how far roots lie before the background plane, model units."""
    return roots.at(np.ascontiguousarray(surface[0][:, 2])) - np.float32(scalp.plane_z)


def _lengths(grown: HairRoots, line: WornLine, hair: Hair) -> Float[np.ndarray, " root"]:
    """Compute the lengths of a person's long strands."""
    distance = grown.roots.at(line.distance)
    return strand_lengths(line.style, grown.regions, distance, grown.noise, hair.length)


def _curls(
    style: HairStyle, leader: Int[np.ndarray, " strand"], noise: StrandNoise, of_clump: StrandNoise
) -> Curls:
    """Collect how strands join their clumps and curl."""
    apart = (1 - style.curl_together) * (noise.phase - 0.5)
    return Curls(
        leader=leader,
        pull=(style.clump * (0.6 + 0.4 * noise.rank)).astype(np.float32),
        radius=(style.curl_radius * (0.75 + 0.5 * of_clump.layer[leader])).astype(np.float32),
        turns=(2 * np.pi * style.curl_turns * (0.8 + 0.4 * of_clump.length[leader])).astype(np.float32),
        phase=(2 * np.pi * (of_clump.phase[leader] + apart)).astype(np.float32),
        axis=unit(of_clump.stray)[leader],
    )


def _walked(
    scalp: ScalpHair,
    grown: HairRoots,
    lengths: Float[np.ndarray, " root"],
    style: HairStyle,
    hair: Hair,
    surface: Surface,
    chart: Float[np.ndarray, "row column 5"],
) -> WalkedStrands:
    """Collect what strands bring for their walk."""
    vertices, normals = surface
    noise = grown.noise
    starts, upright = grown.roots.at(vertices), grown.roots.unit_at(normals)
    # at the parting itself the comb's two sides cancel, so a root there reads the comb beside it
    from_parting = (starts[:, 0] - np.float32(PARTING_REACH * hair.parting)) / np.float32(PARTING_WIDTH)
    beside = starts.copy()
    beside[:, 0] += np.float32(1.5 * PARTING_WIDTH) * np.tanh(5 * from_parting) * np.exp(-(from_parting**2))
    wish = chart_values(chart, scalp.chart.centre, beside)[:, 1:4]
    stray = (style.spread * noise.stray + 0.5 * style.wild * noise.drift).astype(np.float32)
    lean = np.float32(style.root_lean)
    direction = unit((1 - lean) * upright + lean * tangent(wish, upright) + np.float32(0.5) * stray)
    layer = (style.volume * (0.15 + 0.85 * noise.layer)).astype(np.float32)
    return WalkedStrands(starts, direction, lengths, layer, stray)


def _point_count(style: HairStyle) -> int:
    """Return the number of points that show a style's length and curls."""
    longest = max(style.length_top, style.length_front, style.length_sides)
    turns = style.curl_turns * longest * min(1.0, style.curl_radius / 0.01)
    count = COARSEST_POINTS + longest / POINT_SPACING + POINTS_A_TURN * turns
    return round(min(max(count, COARSEST_POINTS), FINEST_POINTS))


def _stubble(
    scalp: ScalpHair, line: WornLine, hair: Hair, surface: Surface, chart: Float[np.ndarray, "row column 5"]
) -> Strands | None:
    everyone, style = scalp.stubble, line.style
    cover = line.cover(everyone.roots, everyone.noise, style.stubble)
    shown = np.flatnonzero(cover > LEAST_COVER)
    shown = shown[_ahead(scalp, everyone.roots.select(shown), surface) > -STUBBLE_BEHIND]
    if len(shown) == 0:
        return None
    grown = everyone.select(shown)
    noise = grown.noise
    starts, upright = grown.roots.at(surface[0]), grown.roots.unit_at(surface[1])
    wish = chart_values(chart, scalp.chart.centre, starts)[:, 1:4] + np.float32(0.25) * noise.stray
    lengths = (style.stubble_length * (0.5 + noise.length)).astype(np.float32)
    rise = (0.9 - 0.5 * style.root_lean + 0.3 * noise.layer).astype(np.float32)
    points = bristles(
        starts,
        upright,
        unit(tangent(wish, upright)),
        lengths,
        rise,
        np.float32(0.2) * noise.drift,
        STUBBLE_POINTS,
    )
    rgb = shaded(hair.rgb, noise.shade)
    return Strands(points, rgb, cover[shown], shown, STUBBLE_WIDTH_MM, 2.0, 0.4 * style.shine, on_scalp=False)


def _tail(scalp: ScalpHair, style: HairStyle, hair: Hair, charts: Charts) -> Strands | None:
    cover = opacity(np.full(len(scalp.tail.rank), style.tail, np.float32), scalp.tail.rank)
    shown = np.flatnonzero(cover > LEAST_COVER)
    if len(shown) == 0:
        return None
    noise = scalp.tail.select(shown)
    starts = np.float32(KNOT) + np.float32([0, 0, -0.04]) + np.float32(TAIL_RADIUS) * noise.stray
    walked = WalkedStrands(
        starts.astype(np.float32),
        unit(np.float32([0, 0.25, -1]) + np.float32(0.25) * noise.stray),
        (style.tail_length * (1 - 0.35 * noise.length)).astype(np.float32),
        (0.10 * noise.layer).astype(np.float32),
        np.float32(0.06) * noise.stray,
    )
    numbers = tuple(np.float32(number) for number in (0.12, 0.10, 1.5, 0.2, 0.0, 0.0, 0.0))
    still = charts.copy()
    still[..., 1:] = 0
    combed = np.zeros(len(shown), np.int64)
    points = walk_paths(walked, combed, numbers, still, scalp.chart.centre)
    rgb = shaded(hair.rgb, noise.shade)
    return Strands(
        points, rgb, cover[shown], shown, style.width_mm, style.absorption, style.shine, on_scalp=True
    )
