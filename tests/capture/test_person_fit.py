"""Many frames at once are fitted as one alone with the same identity."""

import numpy as np

from anifacegan.capture.fit import LandmarkFitter
from anifacegan.capture.person_fit import POSE, UNITS, PersonFitter, Reference
from tests.capture.conftest import Motion


def test_frames_are_fitted_as_photographs_of_a_known_person(
    landmark_fitter: LandmarkFitter, motion: Motion
) -> None:
    rows = motion.landmarks[::13]
    reference = Reference.of(rows)
    fits = PersonFitter(landmark_fitter, motion.z_id, reference).fit(rows)
    for k, points in enumerate(rows):
        alone = landmark_fitter.fit(points, identity=motion.z_id)
        np.testing.assert_allclose(fits.unknowns[k, POSE], [alone.pitch, alone.yaw], atol=2e-3)
        np.testing.assert_allclose(fits.unknowns[k, UNITS], alone.strengths, atol=0.02)
        assert abs(fits.error_px[k] - alone.error_px) < 0.05
        crop = reference.crop(fits.unknowns[k, 2:6])
        np.testing.assert_allclose(
            [crop.x, crop.y, crop.side], [alone.crop.x, alone.crop.y, alone.crop.side], atol=0.1
        )
    names = landmark_fitter.points.units.names
    jaw = fits.unknowns[:, UNITS][:, names.index("jawOpen")]
    np.testing.assert_allclose(jaw, motion.strengths[::13, names.index("jawOpen")], atol=0.12)
