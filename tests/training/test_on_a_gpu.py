"""What only a GPU can show (run with -m gpu), and the same steps on the CPU, so that the tests themselves are known to
run.

Numbers are compared in float64, or within what half precision and TF32 round, so that no setting of the GPU matters.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.posed_images import RealImages
from anifacegan.data.synthetic.surface.head import HeadGeometry, head_geometry
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.mesh_images import CHANNELS, FaceCodes, MeshImages
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.losses.imitation import offset_loss
from anifacegan.models.config import DiscriminatorConfig, FaceRegressorConfig
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.runtime.devices import allow_tf32
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.config import AdversarialConfig, DualConfig, Split
from anifacegan.training.image_imitation import ImageImitation, ImageLandmarks
from anifacegan.training.iteration import Iteration
from anifacegan.training.run import run
from anifacegan.training.weights import AdversarialWeights, ImageWeights
from tests.fixtures.photographs import write_photographs
from tests.fixtures.resumed_runs import photograph_config
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_bfm import write_photograph_set
from tests.fixtures.tiny_head import tiny_model, tiny_parts
from tests.fixtures.tiny_training_set import GENERATOR
from tests.fixtures.triangulated_sphere import triangulated_sphere

SIZE = 16
ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
DEVICES = ["cpu", pytest.param("cuda", marks=ON_GPU)]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_photographs(folder, 4, SIZE)
    return folder


@pytest.fixture(scope="module")
def head() -> HeadGeometry:
    model = tiny_model()
    return head_geometry(model, tiny_parts(model))


def iteration_losses(
    faces: Path, head: HeadGeometry, device: str, dtype: torch.dtype, precision: str = "float32"
) -> dict[str, float]:
    """Losses of an iteration with all terms of images, and with dual discrimination."""
    generator = small_generator(GENERATOR)
    with torch.no_grad():
        for sigma in generator.template.sigma_heads:  # opaque: only a surface has a geometry
            sigma.bias += 0.1
    dataset = FaceDataset(DataConfig(faces, SIZE, pitch_offset=0.1))
    network = FaceRegressor(FaceRegressorConfig(backbone="plain", size=SIZE, channels=(8,)))
    network.initialize(rng())
    torch.nn.init.normal_(network.backbone.head.weight, generator=rng(1))
    backend = "numba" if device == "cpu" else "torch"
    imitation = ImageImitation(
        ImageWeights(geometry=100.0, landmarks=10.0),
        FaceSurfaces(head, 12.0, backend),
        ImageLandmarks(network, FaceLandmarks(tiny_model(), "generator")),
    )
    discriminator = Discriminator(
        DiscriminatorConfig(size=SIZE, capacity=64, max_channels=8, start="kaiming"), CHANNELS
    ).initialize(rng())
    meshes = MeshImages(head, 12.0, backend)
    for module in (generator, imitation, discriminator, meshes):
        module.to(dtype=dtype)
    training = AdversarialTraining(
        generator,
        discriminator,
        RealImages(dataset, held_out=0, coefficients=dataset.load_coefficients()),
        AdversarialConfig(batch=2, split=Split(1, 0), deformation_steps=1, dual=DualConfig(enabled=True)),
        AdversarialWeights(),
        imitation,
        meshes=meshes,
    )
    generator.to(device)
    training.to(device)
    places = 0.05 * torch.randn(2, 9, 3, generator=rng(2), dtype=dtype).to(device)

    def point_losses() -> dict[str, torch.Tensor]:
        codes = (torch.ones(2, dim, device=device, dtype=dtype) for dim in (80, 64))
        return {"minimal": 1e4 * offset_loss(generator.deformation.bind(*codes)(places))}

    found = training.run_iteration(Iteration(0, 0, 0, precision), point_losses)  # type: ignore[arg-type]
    # the share of two images that are judged right jumps by a half
    return {name: value.item() for name, value in found.items() if "_right_" not in name}


@pytest.mark.parametrize("device", DEVICES)
def test_an_iteration_with_landmarks_geometry_and_meshes_has_the_cpus_losses(
    faces: Path, head: HeadGeometry, device: str
) -> None:
    expected = iteration_losses(faces, head, "cpu", torch.float64)
    found = iteration_losses(faces, head, device, torch.float64)
    assert expected.keys() >= {"landmarks", "geometry", "discriminator_r1", "generator_fake", "minimal"}
    assert all(value != 0 for value in expected.values())
    assert found == pytest.approx(
        expected, rel=1e-5, abs=1e-9
    )  # a pixel of the mesh's outline may go either way


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tf32", [False, True])
def test_half_precision_and_tf32_change_the_losses_by_a_few_percent(
    faces: Path, head: HeadGeometry, device: str, tf32: bool
) -> None:
    expected = iteration_losses(faces, head, "cpu", torch.float32)
    allow_tf32(tf32)
    try:
        found = iteration_losses(faces, head, device, torch.float32, "bfloat16")
    finally:
        allow_tf32(False)
    assert all(np.isfinite(value) for value in found.values())
    assert found == pytest.approx(expected, rel=0.1, abs=0.01) and found != expected


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_on_photographs(tmp_path: Path, device: str) -> None:
    """In float32 Adam's first steps blow rounding up."""
    write_photograph_set(tmp_path, SIZE)
    losses = []
    for kind in dict.fromkeys(["cpu", device]):
        config = photograph_config(tmp_path, tmp_path / kind)
        run(dataclasses.replace(config, device=kind))
        lines = (tmp_path / kind / "stats.jsonl").read_text().splitlines()
        losses.append([yaml.safe_load(line) for line in lines])
        assert (tmp_path / kind / "model" / "model.safetensors").is_file()
    for expected, found in zip(losses[0], losses[-1], strict=True):
        assert found == pytest.approx(expected, rel=0.02, abs=1e-3)


def sphere(vertices: int) -> FaceMesh:
    """A ball of a head's size, of as many vertices."""
    points, triangles = triangulated_sphere(vertices)
    return FaceMesh(
        name="ball",
        world_offset=np.zeros(3, np.float32),
        mean=points.numpy().reshape(-1),
        basis=np.zeros((3 * vertices, 144), np.float32),
        triangles=triangles.numpy().astype(np.int32),
        landmark_vertices=np.arange(68),
        eyes=(),
    )


@pytest.mark.parametrize(
    ("backend", "device", "vertices"),
    [
        ("torch", "cpu", 500),
        pytest.param("torch", "cuda", 35_709, marks=ON_GPU),
        pytest.param("nvdiffrast", "cuda", 35_709, marks=ON_GPU),
    ],
)
def test_surface_maps_at_bfms_size_are_the_cpus(backend: str, device: str, vertices: int) -> None:
    if backend == "nvdiffrast":
        pytest.importorskip("nvdiffrast.torch", reason="pip install diffrp-nvdiffrast")
    mesh, size = sphere(vertices), 128
    pose = torch.tensor([[0.1, 0.3], [-0.2, -0.5]])
    codes = (torch.zeros(2, 80), torch.zeros(2, 64), pose)
    expected = FaceSurfaces(mesh, 12.0, "numba")(*codes, size)
    found = FaceSurfaces(mesh, 12.0, backend).to(device)(*(value.to(device) for value in codes), size)
    both = (expected.share > 0) & (found.share.cpu() > 0)
    either = (expected.share > 0) | (found.share.cpu() > 0)
    assert both.sum() > 0.995 * either.sum() > 1000
    assert (found.x_mesh.cpu() - expected.x_mesh)[both].abs().max() < 1e-4
    images = MeshImages(mesh, 12.0, backend).to(device)
    faces = FaceCodes(*(value.to(device) for value in codes), torch.tensor([False, True], device=device))
    seen = images.images(faces, size).cpu()
    assert (seen - MeshImages(mesh, 12.0, "numba").images(
        FaceCodes(*codes, torch.tensor([False, True])), size
    )).abs().mean() < 1e-3  # fmt: skip
