"""Embedding of a small model in larger networks that compute the same functions, to measure full-size networks.

The cost of an image depends on the sizes of the networks and on where the manifolds are opaque. Random full-size
networks have no opaque face, so a trained model's weights become a part of larger networks:

- a wider layer has the old units, and new ones with random weights that no old unit reads;
- a deeper template passes the old last layer through its added layers: since sin(x) is close to x for small x,
  ``sin(h / 100)`` passes three layers with a relative error of 2e-5.

Only the fields that rays evaluate grow; mapping networks, alignment and priors keep their sizes.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from anifacegan.models.config import GeneratorConfig
from anifacegan.models.deformation import DeformationField
from anifacegan.models.generator import Generator
from anifacegan.models.manifolds import ManifoldField
from anifacegan.models.siren import FREQUENCY_SHIFT, MappingNetwork
from anifacegan.runtime.errors import InputError

SMALL = 0.01
"""Factor of a unit that passes through added layers, so small that its sine is nearly the unit itself."""


def grown_generator(old: Generator, rng: torch.Generator, full: GeneratorConfig | None = None) -> Generator:
    """Embed a generator in networks, manifolds and ray samples as many as those of ``full`` (None: the paper's).

    If ``full`` has another number of manifolds, their levels are interpolated between the old ones, from the outermost
    to the innermost.

    Raises:
        InputError: the old networks are larger than the new ones.
    """
    full = full or GeneratorConfig()
    config = replace(
        old.config,
        template=replace(
            old.config.template, hidden_dim=full.template.hidden_dim, layers=full.template.layers
        ),
        deformation=replace(
            old.config.deformation, hidden_dim=full.deformation.hidden_dim, layers=full.deformation.layers
        ),
        manifolds=replace(
            full.manifolds, levels=_spread(old.manifolds.levels, full.manifolds.manifold_count)
        ),
        ray_sampling=replace(
            full.ray_sampling,
            fov_deg=old.config.ray_sampling.fov_deg,
            background_z=old.config.ray_sampling.background_z,
        ),
    )
    _check_fits(old.config, config)
    new = Generator(config).initialize(rng).to(old.device)
    with torch.no_grad():
        _grow_template(new, old)
        _grow_deformation(new.deformation, old.deformation)
        _grow_manifolds(new.manifolds, old.manifolds)
        for name in ("alignment", "identity_prior", "expression_prior"):
            part = getattr(old, name)
            if part is not None:
                getattr(new, name).load_state_dict(part.state_dict())
    return new.eval().requires_grad_(False)


def _spread(levels: Tensor, count: int) -> tuple[float, ...]:
    """Interpolate ``count`` levels between the given ones."""
    place = torch.linspace(0, len(levels) - 1, count, dtype=torch.float64)
    lower = place.long().clamp(max=len(levels) - 2)
    old = levels.cpu().double()
    return tuple(torch.lerp(old[lower], old[lower + 1], place - lower).tolist())


def _check_fits(old: GeneratorConfig, new: GeneratorConfig) -> None:
    for field in ("template", "deformation", "manifolds"):
        small, large = getattr(old, field), getattr(new, field)
        deeper = small.layers <= large.layers if field == "template" else small.layers == large.layers
        if small.hidden_dim > large.hidden_dim or not deeper:
            raise InputError(
                f"{field} of {small.layers} layers of {small.hidden_dim} units does not fit into "
                f"{large.layers} layers of {large.hidden_dim}"
            )


def _grow_template(new_generator: Generator, old_generator: Generator) -> None:
    new, old = new_generator.template, old_generator.template
    wide, narrow = new.config.hidden_dim, old.config.hidden_dim
    deep, shallow = new.config.layers, old.config.layers
    for k, layer in enumerate(old.layers):
        _put(new.layers[k].linear, layer.linear)
    for k in range(shallow, deep):
        factor = (SMALL if k == shallow else 1.0) / FREQUENCY_SHIFT  # binding multiplies by the frequency
        _pass_on(new.layers[k].linear, narrow, factor)
    _put(new.colour_layer.linear, old.colour_layer.linear)
    if deep > shallow:
        new.colour_layer.linear.weight[:narrow, 3 : 3 + narrow] /= SMALL
    if old.planes is not None:
        new.planes.load_state_dict(old.planes.state_dict())
        new_generator.mean_mix.copy_(old_generator.mean_mix)
        _move_features(new.layers[1].linear, old.layers[1].linear, narrow, wide)
        _move_features(new.colour_layer.linear, old.colour_layer.linear, 3 + narrow, 3 + wide)
    for heads, old_heads in ((new.sigma_heads, old.sigma_heads), (new.rgb_heads, old.rgb_heads)):
        for k, head in enumerate(heads):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
            if k < len(old_heads) - 1:
                _put(head, old_heads[k])
    # The old last layer's density is read at its old place, and its colour after the new colour layer.
    _put(new.sigma_heads[shallow - 2], old.sigma_heads[-1])
    _put(new.rgb_heads[-1], old.rgb_heads[-1])
    new.latent_scale.copy_(old.latent_scale)

    old_units = _places(wide, narrow, [*range(shallow), deep])  # layers, and the colour layer
    passed = _places(wide, narrow, range(shallow, deep))
    _grow_mapping(new.mapping, old.mapping, old_units, passed)
    new_generator.mean_frequencies.fill_(FREQUENCY_SHIFT)
    new_generator.mean_phases.zero_()
    new_generator.mean_frequencies[:, old_units] = old_generator.mean_frequencies
    new_generator.mean_phases[:, old_units] = old_generator.mean_phases


def _grow_deformation(new: DeformationField, old: DeformationField) -> None:
    for layer, old_layer in zip(new.layers, old.layers, strict=True):
        _put(layer.linear, old_layer.linear)
    _put(new.head, old.head)
    old_units = _places(new.config.hidden_dim, old.config.hidden_dim, range(old.config.layers))
    _grow_mapping(new.mapping, old.mapping, old_units, old_units[:0])


def _grow_manifolds(new: ManifoldField, old: ManifoldField) -> None:
    for layer, old_layer in zip(new.hidden, old.hidden, strict=True):
        _put(layer, old_layer)
    _put(new.output, old.output)


def _grow_mapping(new: MappingNetwork, old: MappingNetwork, old_units: Tensor, passed: Tensor) -> None:
    """Put the old units' frequencies and phases at their new places; passed units get frequency 30 and phase 0."""
    new.hidden.load_state_dict(old.hidden.state_dict())
    for values, old_values in ((new.output.weight, old.output.weight), (new.output.bias, old.output.bias)):
        halves, old_halves = values.chunk(2), old_values.chunk(2)  # frequencies, phases
        for half, old_half in zip(halves, old_halves, strict=True):
            half[old_units] = old_half
            half[passed] = 0.0


def _places(wide: int, narrow: int, layers: range | list[int]) -> Tensor:
    """Indices of the first ``narrow`` of ``wide`` units of some of the layers whose units are concatenated."""
    return torch.cat([torch.zeros(0, dtype=torch.long), *(torch.arange(narrow) + wide * k for k in layers)])


def _move_features(new: nn.Linear, old: nn.Linear, before: int, now: int) -> None:
    """Move the weights of a layer's mixed features, which follow its other inputs, from column ``before`` to
    ``now``."""
    features = old.weight[:, before:]
    new.weight[: len(features), before : before + features.shape[1]] = 0
    new.weight[: len(features), now:] = features


def _put(new: nn.Linear, old: nn.Linear) -> None:
    """Copy an old layer into the upper left block of a larger one; its units read no new ones."""
    rows, columns = old.weight.shape
    new.weight[:rows] = 0.0
    new.weight[:rows, :columns] = old.weight
    if old.bias is not None:
        new.bias[:rows] = old.bias


def _pass_on(new: nn.Linear, count: int, factor: float) -> None:
    """Make the first ``count`` units pass through, times ``factor``."""
    new.weight[:count] = 0.0
    new.weight[:count, :count] = factor * torch.eye(count, device=new.weight.device)
    new.bias[:count] = 0.0
