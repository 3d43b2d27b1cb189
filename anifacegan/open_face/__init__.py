"""Builds the open face model from MakeHuman's and Face Units' CC0 data.

In the order of the data: ``makehuman`` reads the files; ``subdivision`` and ``topology`` make a dense head of them;
``identity`` and ``expression`` sample people and faces and find their bases; ``head_view``, ``occlusion``,
``albedo_fields`` and ``albedo`` paint them; ``landmarks`` and ``hair`` mark and dress them; ``build`` runs it all and
writes the file that :mod:`anifacegan.morphable` loads.

Lengths are MakeHuman's, 1 = 1 dm with the floor at y = 0, until ``build`` moves the origin into the face. The same
lengths are then the model units.
"""
