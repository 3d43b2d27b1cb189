"""Groups of the generator's weights that learn at a rate of their own."""

from torch import nn

from anifacegan.models.generator import Generator

FIELDS = ("template", "deformation", "manifolds")
"""Names of the generator's fields, in the order of the optimizers' parameter groups."""
SHADING = "shading"
"""Name of the group of the shading field, which is the last one."""
PLANES = "planes"
"""Name of the group of the template's feature planes; it follows those of the fields."""


def weight_groups(generator: Generator) -> dict[str, list[nn.Parameter]]:
    """Return the weights that training changes, by the name of their group.

    Each field that learns is a group. The template's feature planes are a group of their own: a texel is rarely read,
    so they learn at a larger rate. The shading field is the last group, where there is one.
    """
    planes = generator.template.planes
    tables = [] if planes is None else planes.tables()
    among_tables = {id(table) for table in tables}
    groups = {
        name: [
            weight for weight in generator.get_submodule(name).parameters() if id(weight) not in among_tables
        ]
        for name in FIELDS
    }
    if tables:
        groups[PLANES] = tables
    if generator.shading is not None:
        groups[SHADING] = list(generator.shading.parameters())
    return groups
