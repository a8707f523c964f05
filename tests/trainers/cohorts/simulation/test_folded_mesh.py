import numpy as np
import pytest

from trainers.cohorts.simulation import folded_mesh
from trainers.cohorts.simulation.anatomy import data_folder
from trainers.errors import InputError

CORNERS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
FACES = np.array([[x, y, z] for x in (0, 1) for y in (2, 3) for z in (4, 5)])


@pytest.mark.parametrize("radius", [3.5, 7.3])
def test_an_octahedron_holds_the_voxels_whose_coordinates_sum_to_less_than_its_radius(radius: float) -> None:
    shape, centre = (20, 21, 22), np.array([9.0, 10, 11])
    found = folded_mesh.inside(centre + radius * CORNERS, FACES, shape)
    away = np.abs(np.indices(shape) - centre[:, None, None, None]).sum(0)
    np.testing.assert_array_equal(found, away < radius)


def test_two_crossings_on_a_line_leave_the_gap_between_two_bodies_outside() -> None:
    vertices = np.concatenate([5 + 3.2 * CORNERS, 15 + 3.2 * CORNERS])
    vertices[6:, 1:] -= 10  # both on the same lines along x
    found = folded_mesh.inside(vertices, np.concatenate([FACES, FACES + 6]), (20, 11, 11))
    assert found[5, 5, 5] and found[15, 5, 5] and not found[10, 5, 5] and not found[19, 5, 5]


def test_meshes_are_bundled_and_a_missing_one_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(folded_mesh.mesh_hashes()) == 4 and data_folder().is_dir()
    monkeypatch.setattr(folded_mesh, "data_folder", lambda: data_folder() / "nowhere")
    with pytest.raises(InputError, match=r"white_left\.gii\.gz: missing from the installed nilearn"):
        folded_mesh.mesh_files()
