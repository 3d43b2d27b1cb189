"""Writes one image of each person, with a random pose and expression: sets of images for FID and similar metrics."""

import dataclasses
import json
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from anifacegan.avatars.config import SUFFIX
from anifacegan.cli.render.cameras import LABELS, frame_camera
from anifacegan.cli.render.config import RenderConfig
from anifacegan.models.latent_files import write_people
from anifacegan.models.latent_sampling import PosedLatents, sample_posed_latents
from anifacegan.rendering.camera_files import eg3d_label
from anifacegan.rendering.images import straight_alpha, to_bytes, write_png
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MANIFEST, filled_when_complete, require_room
from anifacegan.runtime.resources import located_model
from anifacegan.runtime.seeds import expanded_seeds

LATENTS = "latents.npz"


def write_stills(config: RenderConfig) -> list[dict[str, Any]]:
    """Render one image of each seed into the output folder, with latents, manifest.json and, with the option cameras,
    EG3D's dataset.json; return the images' entries in the manifest.

    A seed gives the person that it gives elsewhere, and its pose and expression do not depend on the other seeds.

    Raises:
        InputError: the model cannot be used, colours are not finite, or the folder cannot be written.
    """
    path = located_model(config.model, "a model folder")
    if path.suffix == SUFFIX:
        raise InputError(f"stills are of random people, but {path} is a baked avatar, which is one person")
    seeds = expanded_seeds(config.seeds)
    digits = len(str(max(seeds)))
    files = {seed: f"seed{seed:0{digits}}.png" for seed in seeds}
    others = [MANIFEST, LATENTS, *([LABELS] if config.cameras else [])]
    require_room(config.out, [*others, *files.values()], config.overwrite)
    model = load_model(path, select_device(config.device))
    entries, latents = [], []
    with filled_when_complete(config.out, config.overwrite, whole=True) as folder:
        for seed in tqdm(seeds, unit="image", disable=None):
            drawn = _drawn(model, config, seed)
            latents.append((drawn.latents.z_id, drawn.latents.z_noise))
            pitch, yaw = (float(angle) for angle in drawn.pose[0])
            entry = {
                "file": files[seed],
                "seed": seed,
                "yaw": round(yaw, 6),
                "pitch": round(pitch, 6),
            }
            entry["z_exp"] = [round(float(x), 5) for x in drawn.latents.z_exp[0]]
            write_png(folder / entry["file"], _pixels(model, config, drawn, yaw=yaw, pitch=pitch))
            if config.cameras:
                entry["camera"] = frame_camera(config, model, yaw=yaw, pitch=pitch).description()
            entries.append(entry)
        write_people(folder / LATENTS, *(torch.cat(part) for part in zip(*latents, strict=True)))
        if config.cameras:
            labels = [
                [
                    entry["file"],
                    eg3d_label(frame_camera(config, model, yaw=entry["yaw"], pitch=entry["pitch"])),
                ]
                for entry in entries
            ]
            (folder / LABELS).write_text(json.dumps({"labels": labels}) + "\n")
        facts = {"name": model.card.name, "folder": str(config.model), "face_model": model.card.face_model}
        manifest = {
            "model": facts,
            "settings": dataclasses.asdict(config) | {"psi": config.truncation},
            "stills": entries,
            "latents": LATENTS,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str) + "\n")
    return entries


@torch.inference_mode()
def _drawn(model: Model, config: RenderConfig, seed: int) -> PosedLatents:
    """Draw the person of a seed, then, from the same generator, the expression and the pose."""
    rng = torch.Generator().manual_seed(seed)
    return sample_posed_latents(model.generator, torch.zeros(0, 2), config.views, [rng])


def _pixels(
    model: Model, config: RenderConfig, drawn: PosedLatents, *, yaw: float, pitch: float
) -> np.ndarray:
    latents = drawn.latents
    z_exp = latents.z_exp[0].cpu().numpy()
    face = model.face(latents=(latents.z_id, latents.z_noise), expression=z_exp, psi=config.truncation)
    image = face.image(yaw=yaw, pitch=pitch, size=config.size, antialias=config.antialias)
    if not image.rgb.isfinite().all():
        raise InputError(f"{config.model}: colours are not finite; weights or latents are broken")
    return to_bytes(
        straight_alpha(image.foreground_rgb, image.foreground) if config.transparent else image.rgb
    )
