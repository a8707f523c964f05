"""Neighbouring slices: whose they are, and what a slice without one has instead."""

import torch

from trainers.data.neighbours import parted, rows_around, surrounded


def volume(*values: float) -> torch.Tensor:
    """A constant slice [3, 2, 2] a value."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 2, 2)


def test_a_neighbour_is_of_the_same_subject_and_a_slice_at_an_end_is_its_own() -> None:
    below, above = rows_around([(0, 3), (3, 4), (4, 6)])
    assert below.tolist() == [0, 0, 1, 3, 4, 4] and above.tolist() == [1, 2, 2, 3, 5, 5]
    assert all(not len(rows) for rows in rows_around([]))


def test_slices_keep_their_channels_and_have_the_mean_of_their_neighbours() -> None:
    slices = volume(0.0, 0.4, 0.2, 0.8)
    own, mean = parted(surrounded(slices))
    assert torch.equal(own, slices)
    torch.testing.assert_close(mean, volume(0.2, 0.1, 0.6, 0.5))
    torch.testing.assert_close(parted(surrounded(slices, [(0, 2), (2, 4)]))[1], volume(0.2, 0.2, 0.5, 0.5))


def test_a_neighbour_is_as_the_slice_where_it_is_black_in_every_channel() -> None:
    slices = volume(0.4, 0.2, 0.6).clone()
    slices[0, :, 0, 0] = -1
    slices[2, 0, 1, 1] = -1
    mean = parted(surrounded(slices))[1][1]
    torch.testing.assert_close(mean[:, 0, 0], torch.full((3,), 0.4))
    torch.testing.assert_close(mean[:, 1, 1], torch.tensor([-0.3, 0.5, 0.5]))


def test_a_slice_without_neighbours_is_its_own() -> None:
    slices = volume(0.4, 0.2)
    assert all(torch.equal(part, slices) for part in parted(slices))
