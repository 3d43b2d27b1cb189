"""Parts of the open face model's head: their labels and names, and the places of the gaps between the teeth."""

SKIN, EYE_LEFT, EYE_RIGHT, TONGUE, UPPER_TEETH, LOWER_TEETH = range(6)
"""Labels of the parts of the head, one for each vertex; left is the person's left, at +x."""
EYE_LABELS = (EYE_LEFT, EYE_RIGHT)
"""Labels of the eyeballs, that at +x first."""
PART_NAMES = ("skin", "left_eye", "right_eye", "tongue", "upper_teeth", "lower_teeth")
"""Name of each part, by its label."""

UPPER_TOOTH_WIDTHS = (0.088, 0.066, 0.076, 0.07, 0.068, 0.1, 0.1)
LOWER_TOOTH_WIDTHS = (0.056, 0.060, 0.068, 0.07, 0.07, 0.1, 0.1)
"""Widths of the teeth from the middle outward, in model units along an arch of radius TOOTH_ARCH_RADIUS."""
TOOTH_ARCH_RADIUS = 0.42
