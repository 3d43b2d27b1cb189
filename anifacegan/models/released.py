"""Reader of the checkpoint that AniFaceGAN's authors released.

The released files differ from our checkpoints in three ways, which are converted here:

* names of tensors;
* units: with W(v) = v / 0.12, the released model evaluates its manifold predictor at ``W(W(x) + delta)`` and its
  template at ``W(x + delta)``. Our delta, in world units, is 0.12 times the released model's; the manifold predictor is
  then evaluated at ``x + delta`` and the template radiance at ``x + delta / 0.12`` (``radiance_offset_gain``). The
  outer W is folded into the first layer of the manifold predictor;
* padding: the released deformation field has four more inputs, always zero, and four more outputs, never used.

Sizes of the networks are inferred from the tensors.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.models.config import (
    CoefficientVAEConfig,
    DeformationConfig,
    GeneratorConfig,
    ManifoldConfig,
    TemplateConfig,
)
from anifacegan.models.generator import Generator
from anifacegan.models.latent_files import read_mean_film_parameters
from anifacegan.models.siren import FREQUENCY_SCALE, FREQUENCY_SHIFT
from anifacegan.runtime.errors import ConfigError, InputError, say_once
from anifacegan.runtime.tensor_files import check_ordinary, check_values, read_pytorch, state_dict_in
from anifacegan.runtime.torch_internals import without_random_numbers

PITCH_OFFSET = 0.1
"""Pitch of a frontal face in the released model's data set, radians."""
TRUNCATION_SEED = 0
"""Random seed of the people over whom the mean FiLM parameters for truncation are computed if ``averages.npz`` is
missing."""

_SIREN, _AVERAGES, _DIF = "generator.pth", "ema.pth", "dif.pth"
_MEANS = "averages.npz"
_EXPECTED = "AniFaceGAN's weights: generator.pth, ema.pth, dif.pth and two VAEs"


def released_folder(folder: Path) -> Path | None:
    """Return the folder of the released ``generator.pth``: this one, or ``checkpoints`` in it, as in the authors'
    repository; None for a model folder of ours."""
    places = (folder, folder / "checkpoints")
    return next((place for place in places if (place / _SIREN).is_file()), None)


def load_released(folder: Path) -> Generator:
    """Load the generator that AniFaceGAN's authors released, with its averaged weights if the folder contains
    ``ema.pth``; a line on standard error says if it does not.

    Raises:
        InputError: a file is missing or unreadable, or a tensor is missing or does not fit.
    """
    siren = _Tensors(folder / _SIREN)
    if (folder / _AVERAGES).is_file():
        siren.replace_by_average(folder / _AVERAGES)
    else:
        say_once(
            f"{folder}: holds no {_AVERAGES}, the averaged weights that the authors render with: the model has the raw "
            f"ones of {_SIREN}"
        )
    dif = _Tensors(folder / _DIF)
    identity = _Tensors(_vae_path(folder, "identity"))
    expression = _Tensors(_vae_path(folder, "expression"))

    try:
        config = _config(siren, dif, identity, expression)
    except ConfigError as error:
        raise InputError(f"{folder}: its networks are too large, {error}") from None
    with torch.device("meta"):
        expected = {name: tuple(p.shape) for name, p in Generator(config).state_dict().items()}
    state = (
        _template(siren, config.template, expected)
        | _manifolds(siren, config.manifolds, expected)
        | _deformation(dif, config.deformation, expected)
        | _vae(identity, "identity_prior", config.identity_prior, expected)
        | _vae(expression, "expression_prior", config.expression_prior, expected)
    )
    for tensors in (siren, dif, identity, expression):
        tensors.refuse_leftovers()

    generator = without_random_numbers(lambda: Generator(config))
    not_released = {"mean_frequencies", "mean_phases", "template.latent_scale"}
    generator.load_state_dict(state | {name: generator.state_dict()[name] for name in not_released})
    _set_truncation_mean(generator, folder / _MEANS)
    return generator


def released_files(folder: Path) -> dict[str, Path]:
    """Return the files that :func:`load_released` reads, by their names as the authors have them: those in
    ``pretrained_vaes`` with the folder, which may lie beside this one."""
    nested = [_vae_path(folder, name) for name in ("identity", "expression")]
    plain = [folder / name for name in (_SIREN, _AVERAGES, _DIF, _MEANS)]
    vaes = {path.name if path.parent == folder else "/".join(path.parts[-3:]): path for path in nested}
    return {path.name: path for path in plain if path.is_file()} | vaes


def _config(
    siren: "_Tensors", dif: "_Tensors", identity: "_Tensors", expression: "_Tensors"
) -> GeneratorConfig:
    """Infer the sizes of all networks from the shapes of their tensors."""
    return GeneratorConfig(
        template=TemplateConfig(
            hidden_dim=siren.matrix_shape("siren.network.0.layer.weight")[0],
            layers=siren.count(r"siren\.network\.(\d+)\.layer"),
            mapping_dim=siren.matrix_shape("siren.mapping_network.network.0.weight")[0],
            mapping_layers=siren.count(r"siren\.mapping_network\.network\.(\d+)") - 1,
        ),
        deformation=DeformationConfig(
            hidden_dim=dif.matrix_shape("network.0.layer.weight")[0],
            layers=dif.count(r"network\.(\d+)\.layer"),
            mapping_dim=dif.matrix_shape("mapping_network.network.0.weight")[0],
            mapping_layers=dif.count(r"mapping_network\.network\.(\d+)") - 1,
        ),
        manifolds=ManifoldConfig(
            hidden_dim=siren.matrix_shape("model_sample.network.0.weight")[0],
            layers=siren.count(r"model_sample\.network\.(\d+)"),
        ),
        identity_prior=_vae_config(identity),
        expression_prior=_vae_config(expression),
        radiance_offset_gain=1 / WORLD_PER_NETWORK_UNIT,
    )


class _Tensors:
    """Tensors of one released file, with a record of the tensors that have not been used yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors = state_dict_in(path, read_pytorch(path, _EXPECTED), _EXPECTED)
        self.unused = set(self.tensors)

    def count(self, pattern: str) -> int:
        """Count the layers whose name matches a pattern; a layer counts if its weight or its bias exists."""
        layers = {name.rpartition(".")[0] for name in self.tensors}
        found = sum(re.fullmatch(pattern, layer) is not None for layer in layers)
        if found == 0:
            raise InputError(f"{self.path}: no tensor is named like '{pattern}'; is this AniFaceGAN's file?")
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)

    def matrix_shape(self, name: str) -> tuple[int, int]:
        """Return rows and columns of a weight matrix."""
        if name not in self.tensors:
            raise InputError(f"{self.path}: tensor '{name}' is missing, expected shape (out, in)")
        if self.tensors[name].ndim != 2:
            raise InputError(f"{self.path}: tensor '{name}' has shape {self.shape(name)}, expected (out, in)")
        rows, columns = self.shape(name)
        return rows, columns

    def take(self, name: str, expected: tuple[int, ...]) -> Tensor:
        """Return a tensor as float32 and mark it as used, after checking its shape."""
        if name not in self.tensors:
            raise InputError(f"{self.path}: tensor '{name}' is missing, expected shape {expected}")
        if self.shape(name) != expected:
            raise InputError(
                f"{self.path}: tensor '{name}' has shape {self.shape(name)}, expected {expected}"
            )
        check_values(self.path, name, self.tensors[name])
        self.unused.discard(name)
        return self.tensors[name].float()

    def replace_by_average(self, path: Path) -> None:
        """Replace the tensors by torch_ema's averages, a list in the order of the parameters."""
        content = read_pytorch(path, "torch_ema's averages")
        averages = content.get("shadow_params") if isinstance(content, dict) else None
        names = list(self.tensors)
        if not isinstance(averages, list) or len(averages) != len(names):
            came = f"{len(averages)} averages" if isinstance(averages, list) else "no list 'shadow_params'"
            raise InputError(
                f"{path}: {came}, expected one for each of the {len(names)} tensors of {self.path.name}"
            )
        for name, average in zip(names, averages, strict=True):
            came = (
                f"shape {tuple(average.shape)}"
                if isinstance(average, Tensor)
                else f"a {type(average).__name__}"
            )
            if not isinstance(average, Tensor) or tuple(average.shape) != self.shape(name):
                raise InputError(f"{path}: the average of '{name}' has {came}, expected {self.shape(name)}")
            check_ordinary(path, name, average)
            self.tensors[name] = average

    def refuse_leftovers(self) -> None:
        """Raise InputError if a tensor has not been used."""
        if self.unused:
            name = min(self.unused)
            raise InputError(
                f"{self.path}: {len(self.unused)} unexpected tensors, the first is '{name}' of shape {self.shape(name)}"
            )


def _vae_path(folder: Path, name: str) -> Path:
    """Return a VAE's file: beside the others, or in ``pretrained_vaes``, in this folder or the one above."""
    nested = Path("pretrained_vaes") / name / "vae.pth"
    places = (folder / f"vae_{name}.pth", folder / nested, folder.resolve().parent / nested)
    return next((place for place in places if place.is_file()), places[1])


def _vae_config(vae: _Tensors) -> CoefficientVAEConfig:
    latent_dim, hidden_dim = vae.matrix_shape("fc_mu.weight")
    return CoefficientVAEConfig(hidden_dim, vae.count(r"encoder\.(\d+)\.0"), latent_dim)


def _renamed(
    source: _Tensors, names: dict[str, str], expected: dict[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Return weights and biases under our names, after checking their shapes."""
    return {
        f"{ours}.{kind}": source.take(f"{theirs}.{kind}", expected[f"{ours}.{kind}"])
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }


def _mapping_names(theirs: str, ours: str, hidden_layers: int) -> dict[str, str]:
    names = {f"{theirs}.network.{2 * k}": f"{ours}.hidden.{k}" for k in range(hidden_layers)}
    return names | {f"{theirs}.network.{2 * hidden_layers}": f"{ours}.output"}


def _template(siren: _Tensors, config: TemplateConfig, expected: dict) -> dict[str, Tensor]:
    names = {f"siren.network.{k}.layer": f"template.layers.{k}.linear" for k in range(config.layers)}
    names["siren.color_layer_sine.0.layer"] = "template.colour_layer.linear"
    for k in range(config.layers - 1):
        names[f"siren.output_sigma.{k}"] = f"template.sigma_heads.{k}"
        names[f"siren.output_color.{k}"] = f"template.rgb_heads.{k}"
    names |= _mapping_names("siren.mapping_network", "template.mapping", config.mapping_layers)
    return _renamed(siren, names, expected)


def _manifolds(siren: _Tensors, config: ManifoldConfig, expected: dict) -> dict[str, Tensor]:
    names = {f"model_sample.network.{2 * k}": f"manifolds.hidden.{k}" for k in range(config.layers)}
    names["model_sample.output_layer"] = "manifolds.output"
    state = _renamed(siren, names, expected)
    # Released: W (k u - c) + b for u = x / 0.12 + delta and k = 1 / 0.12. Ours: W' (u - c) + b'.
    k, centre = 1 / WORLD_PER_NETWORK_UNIT, torch.tensor(SPHERE_CENTRE, dtype=torch.float64)
    weight, bias = "manifolds.hidden.0.weight", "manifolds.hidden.0.bias"
    state[bias] = (state[bias].double() + (k - 1) * state[weight].double() @ centre).float()
    state[weight] = state[weight] * k
    return state


def _deformation(dif: _Tensors, config: DeformationConfig, expected: dict) -> dict[str, Tensor]:
    padded = 7
    first, head = "network.0.layer.weight", "final_layer"
    state = {
        "deformation.layers.0.linear.weight": dif.take(first, (config.hidden_dim, padded))[:, :3],
        "deformation.layers.0.linear.bias": dif.take("network.0.layer.bias", (config.hidden_dim,)),
        "deformation.head.weight": WORLD_PER_NETWORK_UNIT
        * dif.take(f"{head}.weight", (padded, config.hidden_dim))[:3],
        "deformation.head.bias": WORLD_PER_NETWORK_UNIT * dif.take(f"{head}.bias", (padded,))[:3],
    }
    names = {f"network.{k}.layer": f"deformation.layers.{k}.linear" for k in range(1, config.layers)}
    names |= _mapping_names("mapping_network", "deformation.mapping", config.mapping_layers)
    return state | _renamed(dif, names, expected)


def _vae(vae: _Tensors, ours: str, config: CoefficientVAEConfig, expected: dict) -> dict[str, Tensor]:
    names = {
        "fc_mu": f"{ours}.mean",
        "fc_var": f"{ours}.log_variance",
        "decoder_input": f"{ours}.decoder_input",
    }
    for part in ("encoder", "decoder"):
        names |= {f"{part}.{k}.0": f"{ours}.{part}.{k}.0" for k in range(config.layers)}
    names |= {f"final_layer.{k}": f"{ours}.output.{k}" for k in (0, 2)}
    return _renamed(vae, names, expected)


def _set_truncation_mean(generator: Generator, path: Path) -> None:
    """Set the mean FiLM parameters from ``averages.npz`` if it exists, else from 10,000 random people."""
    if not path.is_file():
        generator.set_truncation_mean(torch.Generator().manual_seed(TRUNCATION_SEED))
        return
    frequencies, phases = read_mean_film_parameters(path, generator.config.template.units)
    generator.mean_frequencies.copy_(
        frequencies * FREQUENCY_SCALE + FREQUENCY_SHIFT
    )  # the file holds raw outputs
    generator.mean_phases.copy_(phases)
