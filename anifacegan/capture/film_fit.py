"""From a film to a sequence of face coefficients of one person.

The face is tracked through all frames; the fits of some frames, spread over the film, give the person's identity; then
every frame's pose, crop and expression are fitted with that identity and smoothed over time; texture and light follow
from frontal frames. All of it rests on landmarks alone: an identity that the face regressor R has a part in made brows
and pucker worse, and R itself costs more time than the rest. The long steps work on chunks of frames and leave their
results in a folder, so a film that was interrupted goes on where it was.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from tqdm import tqdm

from anifacegan.capture.crop import Crop, Photograph
from anifacegan.capture.face_fitter import (
    LARGEST_ERROR_PX,
    MOST_NUMBER,
    WIDEST_YAW,
    FaceFitter,
    FittedFace,
    require_plausible,
    shared_identity,
)
from anifacegan.capture.film_files import Film, NoFaceError
from anifacegan.capture.film_landmarks import FaceTracker, Part
from anifacegan.capture.film_smoothing import accelerations, bridged_normal, bridged_unknowns, smoothed
from anifacegan.capture.film_work import MARK_FILE, kept_array, opened_work_folder, save_array
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.landmarks import DetectedFace, Landmarks
from anifacegan.capture.light import Colours
from anifacegan.capture.person_fit import PLACE, POSE, UNITS, PersonFitter, Reference
from anifacegan.geometry.conventions import LIGHT_DIM, TEX_DIM
from anifacegan.runtime.arguments import whole_number
from anifacegan.runtime.cpu import one_blas_thread
from anifacegan.runtime.errors import InputError

LANDMARKS, FITS = "landmarks", "fits"
"""Names of the files of a work folder before the number of a chunk's first frame."""
CHUNK_FRAMES = 250
"""Number of frames whose results are kept in one file; the tracker starts anew at each chunk."""
OVERLAP_FRAMES = 60
"""Frames on both sides of a chunk that are smoothed with it: farther ones do not matter."""
IDENTITY_FRAMES, KEY_FRAMES, COLOUR_FRAMES = 16, 8, 2
"""Number of frames that give the identity; whose faces' pixels are kept; and, of these, that give texture and light."""


@dataclass(frozen=True)
class LostFrames:
    """A run of frames without a fit, which were bridged."""

    first: int
    """First frame, from 0."""
    last: int
    """Last frame."""
    reason: str
    """Why they have no fit."""


@dataclass(frozen=True)
class FittedFilm:
    """A film's face: one identity, and pose, crop and expression of every frame."""

    film: Film
    """The film."""
    z_id: Float[np.ndarray, "80"]
    """Identity coefficients."""
    colours: Colours
    """Texture and light: means over some frames."""
    pose: Float[np.ndarray, "frame 2"]
    """Pitch and yaw of the generator's camera, radians."""
    crops: tuple[Crop, ...]
    """What the generator's camera sees of each frame."""
    strengths: Float[np.ndarray, "frame unit"]
    """Strengths of the fitted action units."""
    z_exp: Float[np.ndarray, "frame 64"]
    """Expression coefficients of these strengths."""
    landmarks: Float[np.ndarray, "frame 478 2"]
    """Detected landmarks, pixels of the frames; nan where no face was found."""
    error_px: Float[np.ndarray, " frame"]
    """Root mean square distance of landmarks and fit before smoothing, pixels of a crop of 256; nan in lost frames."""
    lost: tuple[LostFrames, ...]
    """Frames without a fit."""

    def frame(self, k: int, fitter: FaceFitter) -> FittedFace:
        """Return frame ``k`` as a fitted face, as of a photograph."""
        pitch, yaw = self.pose[k].tolist()
        fit = LandmarkFit(
            pitch=pitch,
            yaw=yaw,
            crop=self.crops[k],
            z_id=self.z_id,
            strengths=self.strengths[k],
            z_exp=self.z_exp[k],
            error_px=float(self.error_px[k]),
            normal=np.zeros((0, 0)),
        )
        return FittedFace(DetectedFace(self.landmarks[k]), fit, self.colours, fitter.lm68(fit))


@dataclass(frozen=True)
class _FacePixels:
    """The part of a frame around its face, of which more than the face's crop is kept."""

    pixels: Photograph
    """The part."""
    left: int
    """Its first column in the frame."""
    top: int
    """Its first row in the frame."""

    @classmethod
    def of(cls, frame: Photograph, points: Landmarks) -> "_FacePixels":
        part = Part.around(points, frame.shape)
        pixels = frame[part.top : part.bottom, part.left : part.right]
        return cls(pixels.copy(), part.left, part.top) if pixels.size else cls(frame, 0, 0)

    def place(self, crop: Crop) -> Crop:
        """Return a crop of the frame as one of the part."""
        return replace(crop, x=crop.x - self.left, y=crop.y - self.top)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep PyTorch and BLAS on one thread: all matrices are so small that threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_blas_thread():
            yield
    finally:
        torch.set_num_threads(threads)


@_single_threaded()
def fit_film(
    fitter: FaceFitter, film: Film, work: Path | str, *, number: int | None = None, quiet: bool = False
) -> FittedFilm:
    """Fit the face model to every frame of a film of one person.

    Args:
        fitter: finds and fits faces.
        film: the film.
        work: folder for intermediate results; if an earlier run left some of the same film there, it goes on.
        number: which face to follow: 1 is the largest, also for None.
        quiet: whether to show no progress.

    Raises:
        InputError: no face, or none of this number (NoFaceError), or none that can be fitted; the film cannot be read
            to its end; or ``work`` belongs to another film, or cannot be written.
    """
    number = 1 if number is None else whole_number("number", number, 1, MOST_NUMBER)
    if not isinstance(film, Film):
        raise InputError(f"film is a {type(film).__name__}, expected what open_film returns")
    work = opened_work_folder(fitter, film, number, work)
    landmarks, keys = _tracked(fitter, film, work, number, quiet)
    found = np.isfinite(landmarks[:, 0, 0])
    if not found.any():
        raise NoFaceError(
            f"{film.path}: no face found in any of {len(film)} frames, expected a film of a face"
        )
    z_id = _identity(fitter, film, landmarks[found])
    reference = Reference.of(landmarks[found])
    person = PersonFitter(fitter.fitter, z_id, reference)
    unknowns, errors = _fitted(person, landmarks, found, work, quiet)
    reasons = np.select(
        [~found, np.abs(unknowns[:, 1]) > WIDEST_YAW, errors > LARGEST_ERROR_PX],
        ["no face found", "the head is turned too far", "no face of the model explains the landmarks"],
        default="",
    )
    fitted = reasons == ""
    if not fitted.any():
        raise InputError(f"{film.path}: no frame could be fitted ({reasons[found][0]})")
    rows = _smoothed(film, unknowns, fitted, work, accelerations(fitter.fitter.points.units.names))
    errors[~fitted] = np.nan
    result = FittedFilm(
        film=film,
        z_id=z_id,
        colours=Colours(np.zeros(TEX_DIM), np.zeros(LIGHT_DIM), float("nan")),
        pose=rows[:, POSE],
        crops=tuple(reference.crop(place) for place in rows[:, PLACE]),
        strengths=rows[:, UNITS],
        z_exp=rows[:, UNITS] @ fitter.fitter.points.units.to_exp.T,
        landmarks=landmarks,
        error_px=errors,
        lost=_runs(reasons),
    )
    return replace(result, colours=_colours(fitter, result, {k: keys[k] for k in keys if fitted[k]}))


def work_files(film: Film) -> list[str]:
    """Return the names of all files that the fit of a film keeps in its work folder."""
    starts = [chunk.start for chunk in _chunks(len(film))]
    return [MARK_FILE, *(_chunk_file(kind, start) for start in starts for kind in (LANDMARKS, FITS))]


def _chunk_file(kind: str, start: int) -> str:
    return f"{kind}-{start:06d}.npy"


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK_FRAMES, count)) for start in range(0, count, CHUNK_FRAMES))


def _tracked(
    fitter: FaceFitter, film: Film, work: Path, number: int, quiet: bool
) -> tuple[Float[np.ndarray, "frame 478 2"], dict[int, _FacePixels]]:
    """Read all landmarks, nan where no face is found, and keep the pixels around the face in the key frames: the
    first frame with a face from each of several evenly spread ones on."""
    targets = [int(k) for k in np.linspace(0, max(0, len(film) - 1), KEY_FRAMES + 1)[:-1]]
    all_landmarks: list[np.ndarray] = []
    keys: dict[int, _FacePixels] = {}
    with closing(film.frames()) as frames, tqdm(**_bar(film, "tracking", quiet)) as progress:
        with closing(FaceTracker(fitter.detector, number, film.path)) as tracker:
            for chunk in _chunks(len(film)):
                file = work / _chunk_file(LANDMARKS, chunk.start)
                rows = np.full((chunk.stop - chunk.start, 478, 2), np.nan, np.float32)
                known = kept_array(file, rows.shape, rows.dtype)
                tracker.start_anew()
                for k, row in enumerate(range(chunk.start, chunk.stop)):
                    frame = next(frames)
                    points = known[k] if known is not None else None
                    if known is None:
                        points = tracker.landmarks(frame, int(film.milliseconds[row]))
                    if points is not None and np.isfinite(points).all():
                        rows[k] = points
                        if targets and row >= targets[0]:
                            targets.pop(0)
                            keys[row] = _FacePixels.of(frame, points)
                    progress.update()
                if known is None:
                    save_array(file, rows)
                tracker.last = _last_found(rows, tracker.last)
                all_landmarks.append(rows)
    return np.concatenate(all_landmarks).astype(np.float64), keys


def _last_found(rows: np.ndarray, before: Landmarks | None) -> Landmarks | None:
    found = np.flatnonzero(np.isfinite(rows[:, 0, 0]))
    return rows[found[-1]].astype(np.float64) if len(found) else before


def _identity(
    fitter: FaceFitter, film: Film, landmarks: Float[np.ndarray, "frame 478 2"]
) -> Float[np.ndarray, "80"]:
    """Fit some frames alone; return their common identity."""
    selected = np.unique(np.linspace(0, len(landmarks) - 1, IDENTITY_FRAMES).round().astype(int))
    fits, refused = [], []
    for points in landmarks[selected]:
        fit = fitter.fitter.fit(points)
        try:
            require_plausible(fit, film.path)
            fits.append(fit)
        except InputError as error:
            refused.append(error)
    if not fits:
        raise refused[0]
    return shared_identity(fits)


def _colours(fitter: FaceFitter, fitted: FittedFilm, keys: dict[int, _FacePixels]) -> Colours:
    """Return the means of texture and light over the most frontal key frames."""
    frontal = sorted(keys, key=lambda k: abs(float(fitted.pose[k, 1])))[:COLOUR_FRAMES]
    fits = {k: fitted.frame(k, fitter).fit for k in frontal}
    moved = {k: replace(fit, crop=keys[k].place(fit.crop)) for k, fit in fits.items()}
    found = [fitter.colours(moved[k], keys[k].pixels) for k in frontal]
    if not found:
        return fitted.colours
    means = (np.mean([getattr(one, name) for one in found], axis=0) for name in ("tex", "gamma", "error"))
    tex, gamma, error = means
    return Colours(tex, gamma, float(error))


def _fitted(
    person: PersonFitter,
    landmarks: Float[np.ndarray, "frame 478 2"],
    found: Bool[np.ndarray, " frame"],
    work: Path,
    quiet: bool,
) -> tuple[Float[np.ndarray, "frame n"], Float[np.ndarray, " frame"]]:
    """Fit every frame; return unknowns and errors. The precisions, which are large, stay in the work folder."""
    count = UNITS.start + len(person.points.units.names)
    unknowns, errors = np.zeros((len(landmarks), count)), np.full(len(landmarks), np.nan)
    with tqdm(
        total=len(landmarks), unit="frame", desc="fitting", disable=True if quiet else None
    ) as progress:
        for chunk in _chunks(len(landmarks)):
            file = work / _chunk_file(FITS, chunk.start)
            size = chunk.stop - chunk.start
            rows = np.zeros((size, count + 2, count))  # unknowns, error, precision
            kept = kept_array(file, rows.shape, rows.dtype)
            if kept is not None and np.isfinite(kept).all():
                rows = kept
            else:
                selected = found[chunk]
                if selected.any():
                    fits = person.fit(landmarks[chunk][selected])
                    rows[selected, 0], rows[selected, 2:] = fits.unknowns, fits.normal
                    rows[selected, 1] = fits.error_px[:, None]
                save_array(file, rows)
            unknowns[chunk] = rows[:, 0]
            errors[chunk] = np.where(found[chunk], rows[:, 1, 0], np.nan)
            progress.update(size)
    return unknowns, errors


def _smoothed(
    film: Film,
    unknowns: Float[np.ndarray, "frame n"],
    fitted: Bool[np.ndarray, " frame"],
    work: Path,
    acceleration: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "frame n"]:
    """Bridge lost frames and smooth chunk by chunk, as the whole film's precisions would not fit into memory."""
    unknowns = bridged_unknowns(unknowns, fitted, film.times)
    starts = [chunk.start for chunk in _chunks(len(film))]
    parts = []
    for chunk in _chunks(len(film)):
        low, high = max(0, chunk.start - OVERLAP_FRAMES), min(len(film), chunk.stop + OVERLAP_FRAMES)
        selected = fitted[low:high]
        if not selected.any():
            parts.append(unknowns[chunk])
            continue
        near = [start for start in starts if start < high and start + CHUNK_FRAMES > low]
        rows = np.concatenate([np.load(work / _chunk_file(FITS, start))[:, 2:] for start in near])
        normal = bridged_normal(rows[low - near[0] : high - near[0]], selected)
        window = smoothed(unknowns[low:high], normal, film.times[low:high], acceleration)
        parts.append(window[chunk.start - low : chunk.stop - low])
    return np.concatenate(parts)


def _runs(reasons: np.ndarray) -> tuple[LostFrames, ...]:
    """Return the runs of frames with the same reason."""
    ends = np.flatnonzero(reasons[1:] != reasons[:-1]) + 1
    starts, stops = np.concatenate([[0], ends]), np.concatenate([ends, [len(reasons)]])
    return tuple(
        LostFrames(int(start), int(stop) - 1, str(reasons[start]))
        for start, stop in zip(starts, stops, strict=True)
        if reasons[start]
    )


def _bar(film: Film, what: str, quiet: bool) -> dict[str, object]:
    return {"total": len(film), "unit": "frame", "desc": what, "disable": True if quiet else None}
