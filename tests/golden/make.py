"""Make the golden set: a small random model in the authors' layout, and its images by the brute-force renderer.

    python -m tests.golden.make OUT

The set in this folder was made once and is never replaced (see README.md); OUT must not exist.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rays import image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import (
    CoefficientVAEConfig,
    DeformationConfig,
    GeneratorConfig,
    ManifoldConfig,
    TemplateConfig,
)
from anifacegan.models.generator import Generator
from anifacegan.models.released import load_released
from anifacegan.runtime.errors import InputError, exit_on_input_error
from benchmarks.brute_force_renderer import _manifold_points, brute_force_colours
from tests.fixtures.released_layout import write_averages, write_released

SEED, PSI, SIZE = 16, 0.7, 12
CASES = ((0.0, 0.0, 0.0), (1.0, 0.15, -0.35), (-1.0, -0.2, 0.5))
"""Strength of the expression, pitch and yaw of each image, radians from frontal."""
PARTS = ("colours", "depth", "distances", "template_points", "identity", "expression")
"""Results with a tolerance: their largest change when all weights change by ROUNDING."""
ROUNDING = 4 * math.sqrt(160) * 2.0**-24
"""A float32 sum of n products errs by as much as if its weights were wrong by n u at most, u = 2^-24,
and by 4 sqrt(n) u with a probability near 1 (Higham and Mary 2019). The longest sum, of the mapping network,
has 160 products."""
MOVED = 8
"""Number of draws of the signs of these errors."""
SMALL = GeneratorConfig(
    template=TemplateConfig(hidden_dim=16, layers=4, mapping_dim=16, mapping_layers=2),
    deformation=DeformationConfig(hidden_dim=12, layers=2, mapping_dim=8, mapping_layers=1),
    manifolds=ManifoldConfig(hidden_dim=24, layers=2),
    identity_prior=CoefficientVAEConfig(hidden_dim=16, layers=2, latent_dim=8),
    expression_prior=CoefficientVAEConfig(hidden_dim=16, layers=2, latent_dim=8),
    radiance_offset_gain=1 / WORLD_PER_NETWORK_UNIT,
)
"""Layer sizes differ from the released model's; settings that the tensors do not determine are as released."""


@torch.no_grad()
def make(folder: Path) -> None:
    """Write the weights in the released layout, and expected.npz in double precision rounded to single.

    Raises:
        InputError: the folder exists.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists, expected a new folder; a golden set is never made again")
    rng = torch.Generator().manual_seed(SEED)
    generator = random_generator(rng)
    write_released(folder, generator, vaes_in_folder=True)
    write_averages(folder, generator)
    draws = {
        "identity_latent": torch.randn(1, SMALL.identity_prior.latent_dim, generator=rng),
        "expression_latent": torch.randn(1, SMALL.expression_prior.latent_dim, generator=rng),
        "z_exp": torch.randn(1, 64, generator=rng),
        "z_noise": torch.randn(1, 80, generator=rng),
        "z_id": torch.randn(1, 80, generator=rng),
    }
    seen = brute_force_results(load_released(folder).double(), draws)
    moved = [brute_force_results(with_moved_weights(folder, seed), draws) for seed in range(MOVED)]
    if not all(torch.equal(other["hit"], seen["hit"]) for other in moved):
        raise InputError(
            f"seed {SEED}: rounding decides whether a ray meets a manifold, expected another seed"
        )
    content = seen | draws
    for name in PARTS:
        changes = [(other[name] - seen[name]).abs().max() for other in moved]
        content[f"tolerance_{name}"] = torch.stack(changes).max()
    content |= {"psi": torch.tensor(PSI), "cases": torch.tensor(CASES, dtype=torch.float64)}
    np.savez_compressed(folder / "expected.npz", **{name: tensor.numpy() for name, tensor in content.items()})


def random_generator(rng: torch.Generator) -> Generator:
    """Make a generator with random weights whose expressions and colours are visible."""
    generator = Generator(SMALL).initialize(rng)
    with torch.no_grad():
        generator.deformation.head.weight.normal_(0, 0.001, generator=rng)
        for head in generator.template.rgb_heads:
            head.weight.mul_(8.0)
        for head in generator.template.sigma_heads:
            head.weight.mul_(40.0)
    generator.set_truncation_mean(rng, count=64)
    return generator.requires_grad_(False)


def with_moved_weights(folder: Path, seed: int) -> Generator:
    """Load the written model in double precision and change each weight by the rounding error of the longest sum."""
    generator, rng = load_released(folder).double(), torch.Generator().manual_seed(seed)
    for parameter in generator.parameters():
        sign = 2 * torch.randint(0, 2, parameter.shape, generator=rng).double() - 1
        parameter.mul_(1 + ROUNDING * sign)
    return generator


@torch.no_grad()
def brute_force_results(generator: Generator, draws: dict[str, Tensor]) -> dict[str, Tensor]:
    """Render all cases in the precision of ``generator``, rounded to float32.

    colours (C, 7, SIZE, SIZE) are rgb, opacity of the head and its premultiplied rgb; depth and distances are in
    world units. For each ray and manifold: hit, distance, and the template point at which the radiance is read.
    """
    dtype = generator.mean_phases.dtype
    values = {name: tensor.to(dtype) for name, tensor in draws.items()}
    cases = []
    for strength, pitch, yaw in CASES:
        fields = generator.condition(
            Latents(values["z_id"], strength * values["z_exp"], values["z_noise"]), PSI
        )
        angles = torch.tensor([[pitch, yaw]], dtype=dtype)
        rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=SIZE)
        template, t, hit = _manifold_points(fields, rays.origins[0], rays.directions[0])
        image = brute_force_colours(fields, rays).T.reshape(8, SIZE, SIZE)
        t, template = torch.where(hit, t, 0.0), torch.where(hit[..., None], template, 0.0)
        cases.append((image[:7], image[7:], hit, t, template))
    names = ("colours", "depth", "hit", "distances", "template_points")
    seen = {name: torch.stack(parts) for name, parts in zip(names, zip(*cases, strict=True), strict=True)}
    seen["identity"] = generator.identity_prior.decode(values["identity_latent"])
    seen["expression"] = generator.expression_prior.decode(values["expression_latent"])
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in seen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="new folder")
    with exit_on_input_error():
        make(parser.parse_args().out)


if __name__ == "__main__":
    main()
