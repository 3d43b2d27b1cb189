"""Quality of the shipped demo model on people it was not trained on."""

from pathlib import Path

import pytest
import torch

from anifacegan.cli.render.config import RenderConfig
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rays import pixel_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.rendering.model import Model, load_model
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.typed_config import from_plain, read_config
from anifacegan.training.config import TrainConfig
from tests.fixtures.loaded_scripts import load_script

FOLDER = Path(__file__).parents[2] / "checkpoints" / "demo"
CONFIGS = FOLDER.parents[1] / "configs"
SEEDS = (101, 102, 103)


@pytest.fixture(scope="module")
def demo() -> Model:
    return load_model(FOLDER)


def landmarks_of(face_model, z_id: torch.Tensor, z_exp: torch.Tensor) -> torch.Tensor:
    """(B, 68, 3) world points of the morphable model's landmarks."""
    return face_model.to_world(face_model.landmarks(face_model.shape(z_id, z_exp)))


def test_the_model_belongs_in_a_repository(demo: Model) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 20e6
    assert demo.card.licence and demo.card.training["steps"] > 0
    assert set(demo.card.presets) == set(PRESETS)


def test_the_cards_command_gives_its_configuration(demo: Model) -> None:
    start = "python train.py --config configs/demo.yaml "
    command = demo.card.training["command"]
    assert command.startswith(start)
    options = [
        "--config",
        str(FOLDER.parents[1] / "configs" / "demo.yaml"),
        *command.removeprefix(start).split(),
    ]
    target = from_plain(TrainConfig, demo.card.training["config"], "card.yaml")
    assert read_config(TrainConfig, options, "train.py") == target


def test_a_shipped_expression_is_found_from_any_folder(
    demo: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command line finds it."""
    monkeypatch.chdir(tmp_path)
    assert torch.allclose(demo.expression("mat/smile.mat"), demo.expression("smile"), atol=1e-5)


@torch.no_grad()
def test_zero_expression_is_neutral(demo: Model, face_model) -> None:
    """Millimetres are 0.001 world: a neutral face moves by less than half of one."""
    z_id = torch.cat([demo.person(seed)[0] for seed in SEEDS])
    neutral = torch.zeros(len(SEEDS), 64)
    offset = demo.generator.deformation.bind(z_id, neutral)(landmarks_of(face_model, z_id, neutral))
    assert offset.norm(dim=-1).mean() < 5e-4


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_an_expression_moves_the_landmarks_back_to_neutral(demo: Model, face_model, name: str) -> None:
    """The deformation carries landmarks that an expression moves most of the way back, and leaves the others.

    A blink is the hardest: the upper lid comes to lie on the lower one, which stays.
    """
    z_id = torch.cat([demo.person(seed)[0] for seed in SEEDS])
    z_exp = demo.expression(name).expand(len(SEEDS), -1)
    expressive = landmarks_of(face_model, z_id, z_exp)
    target = landmarks_of(face_model, z_id, torch.zeros_like(z_exp)) - expressive
    error = (demo.generator.deformation.bind(z_id, z_exp)(expressive) - target).norm(dim=-1)
    moved = target.norm(dim=-1) > 0.002
    assert error[moved].mean() < 0.45 * target.norm(dim=-1)[moved].mean()
    assert error[~moved].mean() < 0.0015  # 2.5 % of the distance of the eyes


@torch.no_grad()
@pytest.mark.parametrize("yaw", [-0.35, 0.0, 0.35])
def test_the_rendered_surface_lies_on_the_posed_mesh(demo: Model, face_model, yaw: float) -> None:
    """Rays through the projected landmarks of nose and mouth see the surface where the mesh has it."""
    z_id, z_noise = demo.person(SEEDS[0])
    latents = Latents(z_id, demo.expression("smile=0.5"), z_noise)
    points = landmarks_of(face_model, latents.z_id, latents.z_exp)[:, 27:36]
    pitch, yaw_rad = torch.zeros(1), torch.tensor([yaw])
    pixels = orbit_camera(yaw=yaw_rad, pitch=pitch, size=256).project(points)
    x_px, y_px = pixels.unbind(-1)
    rays = pixel_rays(yaw=yaw_rad, pitch=pitch, x_px=x_px, y_px=y_px, size=256)
    expected = (points - rays.origins).norm(dim=-1)
    seen = render_rays(demo.generator.condition(latents, 0.7), rays)
    assert seen.foreground.min() > 0.9
    assert (seen.depth - expected).abs().median() < 0.004  # two manifolds


def test_a_head_stands_before_its_background(demo: Model) -> None:
    image = demo.face(SEEDS[1]).image(size=33)
    assert image.foreground[0, 12:28, 12:20].mean() > 0.95
    assert image.foreground[0, :12, :2].mean() < 0.3


def test_render_sh_shows_the_first_seeds_of_its_line_up(demo: Model, face_model) -> None:
    """Nobody has picked the five people by their looks."""
    config = read_config(RenderConfig, ["--config", str(CONFIGS / "render_smile.yaml")], "render.py")
    assert list(config.seeds) == load_script("draw_seeds").first_seeds(demo, load_head_parts(), 5)


def test_people_differ_and_a_seed_is_a_person(demo: Model) -> None:
    first, again, other = (demo.face(seed).render(size=24) for seed in (SEEDS[0], SEEDS[0], SEEDS[2]))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.02
