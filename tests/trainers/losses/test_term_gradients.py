"""Norms and shares of terms' gradients at an output, by closed forms."""

import pytest
import torch

from trainers.losses import term_gradients


def test_norms_are_those_of_the_terms_alone_at_the_rows_requested_and_the_graph_remains() -> None:
    weight = torch.tensor(1.0, requires_grad=True)
    output = weight * torch.ones(4, 3, 2, 2)
    terms = {"sum": output.sum(), "half": 0.5 * output[:2].square().sum(), "other": weight.square()}
    norms = term_gradients.gradient_norms(terms, dict.fromkeys(terms, output), rows=3)
    found = {name: float(norm) for name, norm in norms.items()}
    assert found == pytest.approx({"sum": 36**0.5, "half": 24**0.5, "other": 0})
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), weight)
    assert float(gradient) == 48 + 24 + 2


def test_shares_are_of_the_weighted_norms_and_leave_out_terms_that_are_off() -> None:
    norms = {name: torch.tensor(value) for name, value in {"a": 3.0, "b": 4.0, "c": 5.0}.items()}
    found = term_gradients.logged(norms, {"a": 2.0, "b": -0.5, "c": 0.0})
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"norm_a": 6, "norm_b": 2, "share_a": 0.75, "share_b": 0.25}
    )
    nothing = term_gradients.logged({"a": torch.tensor(0.0)}, {"a": 1.0})
    assert float(nothing["share_a"]) == 0 and term_gradients.logged(norms, dict.fromkeys("abc", 0.0)) == {}


def test_losses_are_measured_at_their_own_outputs_unless_their_weight_is_zero() -> None:
    first, second = (torch.ones(2, 3, 2, 2, requires_grad=True) for _ in range(2))
    losses = {"G_a": 3 * first.sum(), "G_b": second.sum(), "G_off": 0 * first.sum(), "D": first.sum()}
    outputs = {"G_a": first, "G_b": second, "G_off": first}
    assert term_gradients.measured(8, losses, outputs, {}) == {}
    found = term_gradients.measured(9, losses, outputs, {"G_off": 0.0, "G_a": 3.0})
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"norm_G_a": 3 * 24**0.5, "norm_G_b": 24**0.5, "share_G_a": 0.75, "share_G_b": 0.25}
    )


def test_one_step_in_ten_measures_none_of_the_first() -> None:
    assert [step for step in range(30) if term_gradients.due(step)] == [9, 19, 29]
