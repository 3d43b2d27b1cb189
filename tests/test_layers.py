"""Imports go one way: every module has a line in LAYERS, and imports only from lines above its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "anifacegan"

LAYERS = """
    shapes errors allocation mesh_normals resampling peak_memory threads
    command_line atomic_files devices pictures
    distribution
    output_folder
    coefficients expressions codes cameras
    rays lighting torch_rasterizer march cores blas_threads
    rasterizer
    antialiasing morphable
    open_face.components open_face.makehuman open_face.occlusion open_face.subdivision open_face.surface
    open_face.identity open_face.topology
    open_face.expression open_face.expression_sampler open_face.head_view
    open_face.albedo_fields open_face.landmarks
    open_face.albedo open_face.hair
    open_face.build
    people face_mesh
    head_geometry
    head_shading
    synthetic data
    studio_pool
    imitation_points surfaces seen_vertices crop_fit
    models.field_loops
    models.film models.compositing models.latents
    models.alignment models.deformation models.discriminator models.manifolds models.template
    models.reconstruction_trunks
    models.generator models.reconstruction
    degradations compilation models.growth models.fast_fields
    exact_renderer visible_renderer
    losses.adversarial losses.geometry losses.imitation losses.landmarks losses.photometric losses.total
    warm_start optimisation
    checkpoints released snapshots run_log
    reconstruction_files prior_files
    training_faces real_pictures views
    paired_data prior_faces
    previews
    face_surfaces image_gradients
    adversarial_gradients
    imitation_pictures
    adversarial
    training
    config prior_run
    continuation
    durable_run training_source
    training_run
    training_benchmark
    reconstruction_data
    reconstruction_training
    reconstruction_report
    reconstruction_run
    tasks
    rendered expression_reader
    library
    layered manifold_charts
    playback sheets inverse_deformation trajectories
    torch_playback
    players
    avatar_player sheet_meshes sheet_textures
    posed_vertices seen_cells
    skin_stretch
    baking
    still_baking
    reference_renderer
    visible_surface
    metrics.face_detector
    metrics.asked metrics.bootstrap metrics.embedders metrics.judge metrics.samples
    metrics.detection metrics.disentanglement metrics.frechet metrics.identity metrics.inception metrics.smoothness
    metrics.recognition
    metrics.deformation_error metrics.expression_control metrics.settings metrics.view_consistency
    metrics.gallery
    metrics.evaluation
    ablation metrics.command metrics.comparison metrics.side_by_side
    film_renderer
    bake_benchmark playback_benchmark render_benchmark
    film_plan
    rendering metrics.comparison_run
    figures.settings
    figures.painting figures.surface_mesh
    figures.command figures.slices
    figures.ablation figures.driving
    figures.expression_views figures.expressions figures.identities figures.interpolation
    figures.disentanglement figures.truncation
    figures.deformation figures.depth_normals figures.manifolds figures.mesh
    figures.catalogue
"""
DEPTH = {name: depth for depth, line in enumerate(LAYERS.strip().splitlines()) for name in line.split()}
SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text()
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}


def own_imports(source: str) -> Iterator[str]:
    """Modules of this package that a source text imports, at the top or inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write 'from anifacegan. ...', not a relative import"
            module = node.module or ""
            from_a_file = module.removeprefix("anifacegan.") in SOURCES
            names = [module] if from_a_file else [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.partition(".")[2] for name in names if name.partition(".")[0] == "anifacegan")


def misplaced_imports(module: str, source: str) -> list[str]:
    """One line for each import of a module that has no place, or a place not above the importing module's."""
    return [
        f"{module} must not import {target or 'anifacegan'}"
        for target in own_imports(source)
        if target not in DEPTH or DEPTH[target] >= DEPTH[module]
    ]


@pytest.mark.parametrize("module", SOURCES)
def test_imports_go_one_way(module: str) -> None:
    assert module in DEPTH, f"give {module} a place in LAYERS"
    assert misplaced_imports(module, SOURCES[module]) == []


def test_every_place_is_taken() -> None:
    assert sorted(DEPTH.keys() - SOURCES.keys()) == [], "LAYERS names modules that do not exist"


@pytest.mark.parametrize(
    "source",
    [
        "from anifacegan.library import load_model",
        "from anifacegan import library",
        "import anifacegan.library",
        "import anifacegan",
        "from anifacegan.shapes import BOX",  # a module does not import its own line
        "def late():\n    from anifacegan.library import load_model",
    ],
)
def test_an_import_the_wrong_way_is_found(source: str) -> None:
    assert len(misplaced_imports("errors", source)) == 1


@pytest.mark.parametrize(
    "source", ["from anifacegan.shapes import BOX", "from anifacegan import shapes", "import torch"]
)
def test_an_import_the_right_way_is_left_alone(source: str) -> None:
    assert misplaced_imports("library", source) == []


def test_a_relative_import_is_found() -> None:
    with pytest.raises(AssertionError, match="relative"):
        misplaced_imports("library", "from .shapes import BOX")
