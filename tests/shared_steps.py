"""Training steps in float64 on tiny networks and data, alone or as a worker: python shared_steps.py FOLDER DEVICE.

As a worker where RANK and its companions are set. Writes FOLDER/alone.pt, or FOLDER/worker_RANK.pt: for each kind of
steps the losses as they are reported, and the weights in the end.
"""

import copy
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from anifacegan.adversarial import AdversarialConfig, AdversarialGame
from anifacegan.adversarial_gradients import AdversarialWeights
from anifacegan.data import DataConfig, FaceDataset
from anifacegan.devices import with_tensors
from anifacegan.distribution import Workers, working_together
from anifacegan.face_surfaces import FaceSurfaces
from anifacegan.head_geometry import HeadGeometry, head_geometry
from anifacegan.image_gradients import Split
from anifacegan.imitation_pictures import PictureImitation, PictureWeights
from anifacegan.imitation_points import MeshSampler
from anifacegan.models.discriminator import Discriminator, DiscriminatorConfig
from anifacegan.paired_data import PairedBatch, PairedData
from anifacegan.prior_faces import add_prior_faces, draw_prior_faces
from anifacegan.real_pictures import RealPictures
from anifacegan.surfaces import Surfaces
from anifacegan.training import LossWeights, State, new_state, train
from tests.small_models import small_generator
from tests.tiny_head import tiny_model, tiny_parts
from tests.tiny_training_set import GENERATOR, SCHEDULE, packed, random_codes

ITEMS, SIZE, STEPS = 8, 16, 5
PAIRED = dataclasses.replace(
    SCHEDULE, warm_up_deform=1, near_surface=2, complete=2, batch=4, mesh_faces=4, gradient_limit=1e9, prior_faces=5
)
ADVERSARIAL = dataclasses.replace(PAIRED, warm_up_deform=0, near_surface=0, complete=0, adversarial=STEPS)
GAMES = {
    "alternating": AdversarialConfig(batch=4, split=Split(1, 100), r1_every=2, deformation_steps=1, lr_generator=1e-3),
    "together": AdversarialConfig(batch=4, split=Split(0, 0), deformation_steps=0, lr_generator=1e-3, paired_rays=8),
}


class FineData(PairedData):
    """Rays in float64."""

    def draw(self, batch: int, rays: int, rng: torch.Generator) -> PairedBatch:
        return with_tensors(super().draw(batch, rays, rng), lambda x: x.double() if x.is_floating_point() else x)


def data() -> PairedData:
    """Every picture with another share of background: terms that are divided by a count have other ones in shares."""
    images = torch.randint(0, 256, (ITEMS, SIZE, SIZE, 3), dtype=torch.uint8)
    steps = np.random.default_rng(0).integers(38_000, 42_000, (ITEMS, SIZE, SIZE)).astype(np.uint16)
    for item in range(ITEMS):
        steps[item, :, : 2 * item] = 0
    codes = random_codes(ITEMS)
    codes = dataclasses.replace(codes, pose=codes.pose.float())        # as the pixels are when rays are drawn
    return FineData(images, codes, Surfaces(steps, np.zeros((ITEMS, 1), np.uint8)), 12.0, held_out=1)


def head() -> HeadGeometry:
    model = tiny_model()
    return head_geometry(model, tiny_parts(model))


def mesh(whole: HeadGeometry) -> MeshSampler:
    """Every face with another share of its vertices seen."""
    shares = np.linspace(0.1, 1, ITEMS)[:, None]
    seen = packed(np.random.default_rng(1).random((ITEMS, len(whole.mean) // 3)) < shares)
    sampler = MeshSampler(whole, seen)
    for name in ("basis", "mean", "offset", "cumulative"):
        setattr(sampler, name, getattr(sampler, name).double())
    return sampler


def face_surfaces(whole: HeadGeometry) -> FaceSurfaces:
    return FaceSurfaces(whole, GENERATOR.march.fov_deg, "numba").double()


def played(
    state: State, config: AdversarialConfig, photographs: Path, surfaces: FaceSurfaces, workers: Workers
) -> State:
    """The state with a game, the term of the surface included."""
    judge = Discriminator(DiscriminatorConfig(size=SIZE, capacity=64, max_channels=8))
    judge.initialise(torch.Generator().manual_seed(0))
    real = RealPictures(FaceDataset(DataConfig(photographs, SIZE)), held_out=0)
    state.game = AdversarialGame(state.generator, judge, real, config, AdversarialWeights(), workers)
    state.game.imitation = PictureImitation(PictureWeights(geometry=100.0), surfaces, None)
    return state


def steps(
    kind: str,
    photographs: Path,
    whole: HeadGeometry,
    points: MeshSampler,
    surfaces: FaceSurfaces,
    device: str,
    workers: Workers,
) -> dict[str, object]:
    """Five steps; the losses of each, and the weights."""
    torch.manual_seed(0)
    generator = small_generator(GENERATOR)
    if kind in GAMES:
        for sigma in generator.template.sigma_heads:                   # opaque: only a surface has a geometry
            sigma.bias.data += 0.1
    state = new_state(generator, PAIRED)
    if kind in GAMES:
        played(state, GAMES[kind], photographs, surfaces, workers)
    state.to(device)
    losses: list[dict[str, float]] = []
    schedule = ADVERSARIAL if kind in GAMES else PAIRED
    faces, points = data(), copy.copy(points)                          # of which every kind of steps makes its own
    pool = draw_prior_faces(generator, faces, schedule.prior_faces, 0)
    add_prior_faces(faces, points, whole, pool, schedule.prior_share, SIZE)
    train(state, faces, points, schedule, LossWeights(), lambda _, values: losses.append(values), workers)
    weights = {
        f"{index}.{name}": value.cpu()
        for index, network in enumerate(state.networks())
        for name, value in network.state_dict().items()
    }
    return {"losses": losses, "weights": weights}


def main(folder: Path, device: str) -> None:
    whole = head()                                                     # before the default type changes
    points, surfaces = mesh(whole), face_surfaces(whole)
    torch.set_default_dtype(torch.float64)
    with working_together() as workers:
        workers.take_gpu(device)
        photographs, kinds = folder / "photographs", ("paired", *GAMES)
        found = {kind: steps(kind, photographs, whole, points, surfaces, device, workers) for kind in kinds}
        torch.save(found, folder / ("alone.pt" if workers.patient is None else f"worker_{workers.rank}.pt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
