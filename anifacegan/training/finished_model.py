"""The finished model of a training run: averaged weights with a card that says how they came about."""

from pathlib import Path
from typing import Any

import torch

from anifacegan.face_model.expressions import PRESETS
from anifacegan.models.checkpoints import Checkpoint, ModelCard, save_checkpoint
from anifacegan.runtime.typed_config import plain
from anifacegan.training.config import TrainConfig
from anifacegan.training.sources import TrainingSource
from anifacegan.training.state import State


def write_model(config: TrainConfig, state: State, source: TrainingSource, folder: Path) -> Path:
    """Write the averaged weights of a training run as a model folder; return ``folder``.

    The folder also has the mean appearance that truncation needs, card.yaml, named expressions, and the map from
    attributes of synthetic people (such as hair) to latents.

    Args:
        config: options of the run.
        state: networks of the run; its averaged weights are moved to the CPU.
        source: data set and face model of the run.
        folder: model folder to write.
    """
    generator = state.average.cpu()
    generator.set_truncation_mean(torch.Generator().manual_seed(config.schedule.seed))
    basis = source.units()
    card = ModelCard(
        name=config.name,
        face_model=source.mesh.name,
        pitch_offset=config.data.pitch_offset,
        expression_units=() if basis is None else basis.names,
        presets={} if basis is None else PRESETS,
        licence=licence(config, state.facts, source),
        training={
            "stage": training_summary(config, source, state.step),
            "steps": state.step,
            "seed": config.schedule.seed,
            "facts": state.facts,
            "config": plain(config),
        },
    )
    appearance = {}
    if source.synthetic:
        assert source.synthetic_renderer is not None
        appearance = source.synthetic_renderer.prior.to_arrays()
    save_checkpoint(folder, Checkpoint(generator, card, basis, appearance))
    return folder


def licence(config: TrainConfig, facts: dict[str, Any], source: TrainingSource) -> str:
    """Return the licence of the finished model; an empty text where it depends on data that the user brought.

    The licences of the user's images, face model and coefficients, and of priors fitted to them, are not known here.
    ``facts`` say where the weights before the first step come from.
    """
    named_priors = [facts[name] for name in ("identity_prior", "expression_prior") if name in facts]
    priors_known = all(prior.get("licence", True) for prior in named_priors)
    if not source.synthetic or config.real is not None or not priors_known:
        return ""
    if config.initial_model is not None:
        return facts["initial_model"]["licence"]
    return "MIT; trained on renders of the open face model, whose data is CC0"


def training_summary(config: TrainConfig, source: TrainingSource, step: int) -> str:
    """Return a description, for the model's card.yaml, of what this run did up to ``step``. How an initial model was
    trained is not part of it.
    """
    done, schedule = [], config.schedule
    paired = min(step, schedule.paired_steps)
    adversarial = step - paired
    warmup = min(adversarial, config.adversarial.discriminator_warmup)
    if config.initial_model is not None:
        done.append(f"from {config.initial_model}")
    if paired > schedule.warm_up_deform:
        done.append("photometric warm start on paired synthetic renders")
    elif paired:
        done.append(f"{paired} steps of the deformation on the face model's mesh")
    if adversarial > warmup:
        images = "the same renders" if source.synthetic else str(config.data.path)
        if config.real is not None:
            images = str(config.real.path)
        after = f", after {warmup} of the discriminator only" if warmup else ""
        anchored = ", with paired renders" if config.adversarial.paired_rays else ""
        done.append(f"{adversarial - warmup} adversarial steps on {images}{after}{anchored}")
    elif config.initial_model is None:
        done.append("no adversarial training yet")
    return "; ".join(done)
