"""The restoration of degraded 3 T slices, in every method that offers it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.methods.helpers import SMALL, Updates, batch, built, images
from trainers.config import canonical, rebuild
from trainers.data.batch import Batch
from trainers.data.neighbours import parted, surrounded
from trainers.methods import cut, cyclegan, reggan, unsb
from trainers.methods.base import RESTORER, translate_rows

UNSB = {"latent": 8, "nce_patches": 16, "lambda_DMD": 0.0, "lambda_cls": 0.0, "refinement_steps": 3}
SETTINGS: list[tuple[Any, dict[str, Any]]] = [
    (unsb, UNSB),
    (cut, {"nce_patches": 16}),
    (cyclegan, {"pool_size": 0}),
    (reggan, {"registration_width": 4, "registration_levels": 3}),
]


def degraded() -> Batch:
    """A batch with degraded slices, and 3 T brains that cover half of theirs."""
    plain = batch(1)
    half = plain.target_mask.clone()
    half[:, :, :16] = False
    return replace(plain, target_mask=half, degraded=images(2, 32, 9), restored=images(2, 32, 11))


def step(module: Any, settings: dict[str, Any], given: Batch) -> tuple[Updates, dict[str, Tensor], list[Any]]:
    """The losses of one step of a fresh method, what it logs, and each input and output of G."""
    method, updates, passes = built(module, **SMALL, **settings), Updates(), []
    method.networks["G"].register_forward_hook(lambda _, given, out: passes.append((given, out.detach())))
    torch.manual_seed(3)
    return updates, method.step(given, 1, updates), passes


@pytest.mark.parametrize(("module", "settings"), SETTINGS)
def test_it_adds_the_weighted_squared_error_in_the_3_t_brain_and_nothing_else(
    module: Any, settings: dict[str, Any]
) -> None:
    given = degraded()
    with_term, logs, passes = step(module, {**settings, "lambda_restore": 7.0}, given)
    restored = passes[-2 if module is reggan else -1][1][-2:]  # RegGAN translates once more
    error = (restored - given.restored)[:, :, :, 16:].square().mean()
    assert float(logs["G_restore"]) == pytest.approx(7 * float(error), rel=1e-5)
    without, plain, _ = step(module, {**settings, "lambda_restore": 0.0}, replace(given, degraded=None))
    assert "G_restore" not in plain and plain.keys() == logs.keys() - {"G_restore"}
    for name in plain:
        if module is unsb:  # one pass for both kinds of slices: sums are rounded otherwise
            torch.testing.assert_close(plain[name], logs[name], rtol=1e-4, atol=1e-6, msg=name)
        else:
            assert torch.equal(plain[name], logs[name]), name
    (generator,) = [names for names in without.losses if "G" in names]
    added = (with_term.losses[generator] - without.losses[generator]).detach()
    assert float(added) == pytest.approx(float(logs["G_restore"]), rel=1e-4)


def test_unsb_restores_at_the_drawn_step_of_a_bridge_that_starts_from_the_degraded_slice() -> None:
    given, found = degraded(), set()
    for seed in range(12):
        method, passes = built(unsb, **SMALL, **UNSB, lambda_restore=1.0), []
        method.generator.register_forward_hook(lambda _, given, out, passes=passes: passes.append(given))
        torch.manual_seed(seed)
        method.step(given, 1, Updates())
        k = int(passes[-1][1][0])
        found.add(k)
        # k passes lead both bridges there, with the same draws; the last also has the 3 T identities.
        steps = [[i] * 4 for i in range(k)] + [[k, k, 0, 0, k, k]]
        assert [index.tolist() for _, index, _ in passes] == steps
        assert torch.equal(passes[0][0][-2:], given.degraded)
        assert torch.equal(passes[-1][0][-2:], given.degraded) == (k == 0)
        assert all(torch.equal(z[:2], z[-2:]) for *_, z in passes)
    assert found == {0, 1, 2}


@pytest.mark.parametrize(("module", "settings"), SETTINGS)
def test_trials_from_before_it_existed_keep_their_key_and_their_meaning(
    module: Any, settings: dict[str, Any]
) -> None:
    before = module.Config(
        **settings, lambda_restore=0.0, restore_first=False, restore_detail=0.0, restore_neighbours=False
    )
    assert "restore" not in canonical(before) and not before.restores
    assert rebuild(module.Config, settings) == before != module.Config(**settings)
    assert module.Config(**settings).restores


def test_batches_and_slices_are_restored_first_but_not_as_published() -> None:
    drawn = degraded()
    assert drawn.degraded is not None
    given = replace(drawn, source=surrounded(drawn.source), degraded=surrounded(drawn.degraded))
    first, published = (built(unsb, **SMALL, **UNSB, lambda_restore=weight) for weight in (1.0, 0.0))
    restorer = first.averaged[RESTORER]
    restorer.weight.mul_(0.5)
    restorer.gain.add_(0.5)
    assert restorer.detail == first.config.restore_detail > 0
    prepared = first.prepared(given)
    assert torch.equal(prepared.restored, restorer.detailed(given.target))
    assert torch.equal(prepared.source, restorer(given.source)) and prepared.target is given.target
    assert torch.equal(prepared.degraded, restorer(given.degraded))
    plain = published.prepared(given)
    assert torch.equal(plain.source, parted(given.source)[0]) and RESTORER not in published.averaged
    assert plain.degraded is not None and torch.equal(plain.degraded, parted(given.degraded)[0])
    rows = images(5, 32, 13)
    for subjects in (None, [(0, 2), (2, 5)]):
        restored = restorer(surrounded(rows, subjects))
        whole = next(iter(first.translate(first.averaged, first.config, restored, 0)))
        for chunk in (None, 2):
            how = first, first.averaged, first.config, rows, 0, 1, chunk, subjects
            torch.testing.assert_close(translate_rows(*how)[0], whole)


def test_a_trial_may_restore_without_neighbours_as_earlier_ones_did() -> None:
    alone = built(unsb, **SMALL, **UNSB, restore_neighbours=False)
    with_them = built(unsb, **SMALL, **UNSB)
    assert rebuild(unsb.Config, {"lambda_restore": 1.0, "restore_first": True}).restore_neighbours is False
    rows = images(3, 32, 13)
    for method in (alone, with_them):
        torch.nn.init.normal_(method.averaged[RESTORER].weight, std=0.1)
    same, other = (m.averaged[RESTORER](surrounded(rows)) for m in (alone, with_them))
    assert torch.equal(same, alone.averaged[RESTORER](rows))
    assert not torch.allclose(other, with_them.averaged[RESTORER](rows), atol=1e-3)


@pytest.mark.parametrize(("module", "settings"), SETTINGS)
def test_the_restorer_is_no_average_of_a_trained_network(module: Any, settings: dict[str, Any]) -> None:
    method = built(module, **SMALL, **settings)
    before = method.averaged[RESTORER].weight.clone()
    method.average(0.5)
    assert torch.equal(method.averaged[RESTORER].weight, before) and RESTORER not in method.networks
