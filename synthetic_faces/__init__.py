"""A small portrait painter: synthetic faces made of action units, identities, poses and lights.

Use ``tree.write_tree`` for a data set in AffectNet8's layout, ``actor.Actor``
for a film whose true labels are known, ``render.render_face`` for one face.

Read in this order: ``action_units`` (what the muscles do), ``identity`` (whose
face), ``shape`` (where every point then lies), ``canvas`` (anti-aliased fills
and strokes), ``relief`` (skin under light), ``features`` (eyes, brows, nose,
mouth, folds), ``hair`` (hair, ears, beard, glasses), ``body`` (neck and
shoulders), ``render`` (the painter, the pose, the image), and then ``actor``
and ``tree``. Of ``fer`` they import the labels and the errors only.

Face coordinates are used throughout: the origin lies between the eyes, x grows
to the right of the image, y downwards, and one unit is half the width of a
face (about 70 mm).
"""
