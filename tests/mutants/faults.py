"""Faults to plant, one at a time, in copies of the source, and the tests that must notice each of them."""

from dataclasses import dataclass

STEP, LOOP = "tests/trainers/methods/test_step.py", "tests/trainers/test_loop.py"
UNSB = "tests/trainers/methods/test_unsb.py"
AVERAGED, GRADED, PAIRS = (
    f"{UNSB}::test_{name}"
    for name in (
        "averaged_weights_are_their_closed_form_with_its_warm_up",
        "every_refinement_step_is_graded_equally_often_at_its_own_state",
        "the_energys_own_pairs_are_its_own_and_its_cross_pairs_the_next_samples",
    )
)
DMD, BRIDGE, NCE = (f"tests/trainers/losses/test_{name}.py" for name in ("dmd", "bridge", "nce"))
RESTORATION = "tests/trainers/methods/test_restoration.py"
RESTORER = "tests/trainers/references/test_restorer.py"
RESUMED = "test_milestones_change_no_weight_and_a_resumed_trial_continues_as_if_uninterrupted"
MICRO = "test_gradients_of_two_micro_batches_are_the_mean_of_each"
KERNEL = "test_kernel_distance_is_the_double_sum_for_unequal_sizes_and_unbiased"
DRAWN = "test_every_micro_batch_and_every_step_has_its_own_draws_and_each_network_its_own_rate"
SCALES = "test_ms_ssim_equals_pytorch_msssim_also_for_odd_sides"


@dataclass(frozen=True)
class Fault:
    """One change of one file."""

    breaks: str
    """In words."""
    file: str
    text: str
    """Occurs once in the file."""
    replacement: str
    test: str
    """File or node that must fail."""


FAULTS = (
    # Methods and the loop.
    Fault(
        "averaged weights: decay and its complement exchanged",
        *("trainers/methods/base.py", "mean.lerp_(value, 1 - decay)", "mean.lerp_(value, decay)", AVERAGED),
    ),
    Fault(
        "averaged weights: no warm-up",
        *("trainers/loop.py", "min(config.ema_decay, (1 + self.step) / (10 + self.step))"),
        *("config.ema_decay", AVERAGED),
    ),
    Fault(
        "the rollout returns its input",
        *("trainers/methods/unsb.py", "if k == 0:", "if k >= 0:", GRADED),
    ),
    Fault(
        "the rollout's last step is without noise",
        *(
            "trainers/methods/unsb.py",
            "self.grid, k - 1, noise[-1], self",
            "self.grid, k - 1, None, self",
            GRADED,
        ),
    ),
    Fault(
        "k is 0 at the graded pass",
        *("trainers/methods/unsb.py", "torch.full((size,), k,", "torch.full((size,), 0,", GRADED),
    ),
    Fault(
        "energy: the cross pair is the own",
        *("trainers/methods/unsb.py", "pair.roll(1, 0)", "pair.roll(0, 0)", PAIRS),
    ),
    Fault(
        "energy of noisy pairs: the cross pair is the own",
        *("trainers/networks/energy.py", "noisy.roll(1, 0)", "noisy.roll(0, 0)"),
        "tests/trainers/networks/test_energy.py",
    ),
    Fault(
        "PatchNCE of identities is within the source's masks",
        "trainers/methods/unsb.py",
        "torch.cat((batch.source_mask, batch.target_mask)) if",
        *("torch.cat((batch.source_mask, batch.source_mask)) if", STEP),
    ),
    Fault(
        "CUT: PatchNCE of identities is within the source's masks",
        *("trainers/methods/cut.py", "torch.cat((masks, batch.target_mask))", "torch.cat((masks, masks))"),
        STEP,
    ),
    Fault(
        "lambda_DMD has no warm-up",
        *("trainers/methods/unsb.py", "ramp * c.lambda_DMD", "c.lambda_DMD", STEP),
    ),
    Fault(
        "the critic learns real slices as if they were translations",
        "trainers/methods/unsb.py",
        *(
            "logs |= self._update_critic(batch.target, fake.detach()",
            "logs |= self._update_critic(batch.target, batch.target",
            STEP,
        ),
    ),
    Fault(
        "restoration: the degraded slice is its own target",
        *("trainers/methods/base.py", "goal, batch.target_mask, power=2"),
        *("batch.degraded, batch.target_mask, power=2", RESTORATION),
    ),
    Fault(
        "restoration: regresses onto 3 T without the detail of the restorations it starts from",
        *("trainers/methods/base.py", "restored=restore.detailed(batch.target)", "restored=batch.target"),
        RESTORATION,
    ),
    Fault(
        "restoration: regresses onto plain 3 T whatever the batch says",
        *("trainers/methods/base.py", "if batch.restored is None else batch.restored", "", RESTORATION),
    ),
    Fault(
        "restorer: the detail's gain is inverted",
        *("trainers/references/restorer.py", "(real / own).sqrt()", "(own / real).sqrt()", RESTORER),
    ),
    Fault(
        "restorer: all of the detail whatever the share",
        *("trainers/references/restorer.py", "self.detail * (self.gain - 1)", "(self.gain - 1)", RESTORER),
    ),
    Fault(
        "restorer: wide means count the background",
        *("trainers/references/restorer.py", "/ share * brain", "* brain", RESTORER),
    ),
    Fault(
        "restorer: the ridge pulls to zero",
        *("trainers/references/restorer.py", "right + ridge @ start", "right", RESTORER),
    ),
    Fault(
        "neighbours: the first slice of a subject has the last of the one before",
        *("trainers/data/neighbours.py", "torch.maximum(own - 1, first.repeat_interleave(count))"),
        *("(own - 1).clamp(min=0)", "tests/trainers/data/test_neighbours.py"),
    ),
    Fault(
        "degrader: a slice is its own neighbour",
        *("trainers/data/degrader.py", "[row, *self.planes.around(row)]", "[row, row, row]"),
        "tests/trainers/data/test_degrader.py",
    ),
    Fault(
        "validation: neighbours of other subjects",
        *("trainers/loop.py", "            subjects=judge.subjects,\n", ""),
        "tests/trainers/test_evaluate.py::test_only_the_requested_split_is_opened",
    ),
    Fault(
        "the learning rate never falls",
        *("trainers/loop.py", "return min(1.0, left / (1 - config.constant_part))", "return 1.0"),
        f"{LOOP}::test_learning_rate_schedules_are_their_closed_forms",
    ),
    Fault(
        "rungs are rounded down",
        *(
            "trainers/loop.py",
            "math.ceil(i * config.steps / config.rungs)",
            "i * config.steps // config.rungs",
        ),
        f"{LOOP}::test_rungs_are_equally_spaced_and_milestones_are_added",
    ),
    Fault(
        "gradients of micro-batches are summed, not averaged",
        *("trainers/loop.py", "loss * self.weight, parameters", "loss, parameters"),
        f"{LOOP}::{MICRO}",
    ),
    Fault(
        "a resumed trial starts with fresh optimisers",
        *("trainers/checkpoint.py", "_load_optimizer(optimizer, select_prefix(tensors, name))"),
        *("_load_optimizer(optimizer, {})", f"{LOOP}::{RESUMED}"),
    ),
    Fault(
        "every step draws the same random numbers",
        *(
            "trainers/loop.py",
            "str(config.seed), str(self.step)",
            'str(config.seed), "0"',
            f"{LOOP}::{DRAWN}",
        ),
    ),
    Fault(
        "every micro-batch of a step is the same",
        *(
            "trainers/loop.py",
            "config.seed, self.step, rank, micro",
            "config.seed, self.step, rank, 0",
            f"{LOOP}::{DRAWN}",
        ),
    ),
    Fault(
        "every network has the generator's learning rate",
        *("trainers/loop.py", 'rate * group["initial_lr"]', "rate * config.lr", f"{LOOP}::{DRAWN}"),
    ),
    Fault(
        "the last weights are validated, not the averaged ones",
        *(
            "trainers/loop.py",
            "            method.averaged,\n",
            "            method.networks,\n",
        ),
        f"{LOOP}::test_the_averaged_weights_are_validated",
    ),
    Fault(
        "a translation is the bridge's state, not its prediction",
        *(
            "trainers/methods/unsb.py",
            "for _, xhat in bridge.predictions(",
            "for xhat, _ in bridge.predictions(",
            STEP,
        ),
    ),
    Fault(
        "the discriminator learns translations as if they were 3 T slices",
        *(
            "trainers/methods/unsb.py",
            "self.discriminator(torch.cat((real, fake))",
            "self.discriminator(torch.cat((fake, real))",
            GRADED,
        ),
    ),
    Fault(
        "the critic's classifier: real and fake exchanged",
        *(
            "trainers/methods/unsb.py",
            "gan.classifier(logit_real, logit_fake)",
            "gan.classifier(logit_fake, logit_real)",
            STEP,
        ),
    ),
    Fault(
        "a ratio is to the term's own norm",
        *(
            "trainers/methods/unsb.py",
            'self.norms.quotient(term, "G_GAN")',
            "self.norms.quotient(term, term)",
        ),
        f"{UNSB}::test_a_ratio_weights_its_term_by_the_norms_of_gradients",
    ),
    Fault(
        "running norms: the quotient is inverted",
        "trainers/networks/running_norms.py",
        *("(of_reference / of_name.clamp_min(1e-30))", "(of_name / of_reference.clamp_min(1e-30))"),
        "tests/trainers/networks/test_running_norms.py",
    ),
    Fault(
        "lambda_cls has no warm-up",
        *("trainers/methods/unsb.py", "ramp * c.lambda_cls", "c.lambda_cls", STEP),
    ),
    # Losses.
    Fault(
        "DMD: the direction's sign",
        *("trainers/losses/dmd.py", "inside, (mu_fake - mu_real) /", "inside, (mu_real - mu_fake) /", DMD),
    ),
    Fault(
        "DMD: the direction is not zero outside the brain",
        *(
            "trainers/losses/dmd.py",
            "return torch.where(inside, (mu_fake",
            "return torch.where(inside | True, (mu_fake",
            DMD,
        ),
    ),
    Fault(
        "DMD: the normaliser counts the background's errors",
        *(
            "trainers/losses/dmd.py",
            "torch.where(inside, (x - mu_real).abs(), 0.0)",
            "(x - mu_real).abs()",
            DMD,
        ),
    ),
    Fault(
        "DMD: the velocity's sign",
        *(
            "trainers/losses/dmd.py",
            "return alpha * noise - sigma * x",
            "return alpha * noise + sigma * x",
            DMD,
        ),
    ),
    Fault(
        "the bridge's deviation is its variance",
        "trainers/losses/bridge.py",
        *("math.sqrt(tau * s * (1 - s) * (1 - grid[i]))", "tau * s * (1 - s) * (1 - grid[i])", BRIDGE),
    ),
    Fault(
        "the time grid is even, not harmonic",
        *("trainers/losses/bridge.py", "sum(1 / j for j in range(1, i + 1))", "float(i)", BRIDGE),
    ),
    Fault(
        "the predicted drift acts for the time that has passed",
        *("trainers/networks/bridge_generator.py", "1 - torch.tensor(times)", "torch.tensor(times)"),
        "tests/trainers/networks/test_bridge_generator.py",
    ),
    Fault(
        "the transport cost's sign",
        "trainers/losses/bridge.py",
        *(
            "return (x.float() - xhat.float()).square().mean()",
            "return -(x.float() - xhat.float()).square().mean()",
            BRIDGE,
        ),
    ),
    Fault(
        "the entropy has no time factor",
        "trainers/losses/bridge.py",
        *("return w_cost, -tau * w_ent * (1 - time)", "return w_cost, -tau * w_ent", BRIDGE),
    ),
    Fault(
        "the energy's normaliser has the wrong sign",
        *(
            "trainers/losses/bridge.py",
            ".mean() + normaliser + normaliser**2",
            ".mean() - normaliser + normaliser**2",
            BRIDGE,
        ),
    ),
    Fault(
        "PatchNCE: the positive is the next position",
        *("trainers/losses/nce.py", "- logits.diagonal(", "- logits.roll(1, -1).diagonal(", NCE),
    ),
    Fault(
        "PatchNCE: logits are times the temperature",
        *("trainers/losses/nce.py", ".float()) / temperature", ".float()) * temperature", NCE),
    ),
    Fault(
        "least-squares GAN: real and fake exchanged",
        "trainers/losses/gan.py",
        "(real.float() - 1).square().mean() + fake.float()",
        *("real.float().square().mean() + (fake.float() - 1)", "tests/trainers/losses/test_gan.py"),
    ),
    Fault(
        "ASP: the boundary gate is inverted",
        *(
            "trainers/losses/asp.py",
            "torch.sigmoid((delta - distance) / s) /",
            "torch.sigmoid((distance - delta) / s) /",
        ),
        "tests/trainers/losses/test_asp.py",
    ),
    Fault(
        "a squared error is absolute",
        *(
            "trainers/losses/regression.py",
            ".abs().pow(power)",
            ".abs()",
            "tests/trainers/losses/test_regression.py",
        ),
    ),
    Fault(
        "inner edges: those that the input supports cost too",
        *("trainers/losses/inner_edges.py", "(x, mask) - OUTPUT_STEP) * free", "(x, mask) - OUTPUT_STEP)"),
        "tests/trainers/losses/test_inner_edges.py::test_descent_removes_an_invented_disc_and_leaves_the_step",
    ),
    # Measures.
    Fault(
        "PSNR counts what is outside the region",
        *(
            "trainers/metrics/paired.py",
            "(x.double() - y.double()).square(), region)",
            "(x.double() - y.double()).square(), None)",
        ),
        "tests/trainers/metrics/test_paired.py",
    ),
    Fault(
        "MS-SSIM: the scales' weights from coarse to fine",
        *(
            "trainers/metrics/paired.py",
            "means.new_tensor(BETAS[:scales])",
            "means.new_tensor(BETAS[:scales][::-1])",
        ),
        f"tests/trainers/metrics/test_paired.py::{SCALES}",
    ),
    Fault(
        "the Frechet distance of features lacks the covariances' product",
        *(
            "trainers/metrics/frechet.py",
            "pool_factor.square().sum() - 2 * trace",
            "pool_factor.square().sum()",
        ),
        "tests/trainers/metrics/test_frechet.py",
    ),
    Fault(
        "the Frechet distance of moments lacks the covariances' product",
        *("trainers/metrics/moments.py", "_trace(b.covariance) - 2 * trace", "_trace(b.covariance)"),
        "tests/trainers/metrics/test_moments.py",
    ),
    Fault(
        "KID is biased: a row's similarity to itself counts",
        "trainers/metrics/frechet.py",
        "return (total - own.sum()) / own.new_tensor(len(x) * (len(x) - 1))",
        *("return total / own.new_tensor(len(x) ** 2)", f"tests/trainers/metrics/test_frechet.py::{KERNEL}"),
    ),
    Fault(
        "the jackknife's error has n in the place of n - 1",
        *(
            "trainers/metrics/resampling.py",
            "spread.square().mean() * (len(spread) - 1)",
            "spread.square().mean() * len(spread)",
        ),
        "tests/trainers/metrics/test_moments.py",
    ),
    # The front and statistics.
    Fault(
        "a point equal in one objective and worse in another is on the front",
        *("platform/pareto/dominance.py", "self._zs[after - 1] <= z", "self._zs[after - 1] < z"),
        "tests/platform/pareto/test_dominance.py",
    ),
    Fault(
        "equal points dominate one another",
        "platform/stats/confidence.py",
        "np.all(other <= own, axis=1) & np.any(other < own, axis=1)",
        *("np.all(other <= own, axis=1)", "tests/platform/stats/test_confidence.py"),
    ),
    Fault(
        "hypervolume counts points beyond the reference",
        "platform/pareto/dominance.py",
        "return _volume(points[np.all(points < corner, axis=1)], corner)",
        *("return _volume(points, corner)", "tests/platform/pareto/test_dominance.py"),
    ),
    Fault(
        "candidates that violate a constraint are on the front",
        *(
            "platform/pareto/front.py",
            "rows = np.flatnonzero(self.feasible)",
            "rows = np.arange(len(self.candidates))",
        ),
        "tests/platform/pareto/test_front.py",
    ),
    Fault(
        "Student's t over n in the place of n - 1 subjects",
        *("platform/stats/confidence.py", "np.array([n - 1.0 if n > 1", "np.array([float(n) if n > 1"),
        "tests/platform/stats/test_confidence.py",
    ),
    Fault(
        "a confirmation ranks by the searched seed too",
        *("platform/confirmation/scoring.py", "for c in finished if not c.searched]", "for c in finished]"),
        "tests/platform/confirmation/test_ranking.py",
    ),
    Fault(
        "a confirmation trains with the searched seed again",
        "platform/confirmation/retraining.py",
        *("for seed in count() if seed != used)", "for seed in count())"),
        "tests/platform/confirmation/test_retraining.py",
    ),
    # The scheduler and the study.
    Fault(
        "a rung prefers the trials of the last front",
        "platform/schedulers/ranking.py",
        *(
            'order = np.argsort(of_set, kind="stable")',
            'order = np.argsort(-of_set, kind="stable")',
        ),
        "tests/platform/schedulers/test_ranking.py",
    ),
    Fault(
        "of a front, the trials that add least hypervolume come first",
        *("platform/pareto/selection.py", "queue = [(-_gain(", "queue = [(_gain("),
        "tests/platform/pareto/test_selection.py",
    ),
    Fault(
        "a result counts at the level below its own",
        *(
            "platform/schedulers/base.py",
            "for level in self.levels if level <= step), default",
            "for level in self.levels if level < step), default",
        ),
        "tests/platform/schedulers/test_asha.py",
    ),
    Fault(
        "trials that failed keep their place at a level",
        *(
            "platform/schedulers/base.py",
            "self.results[level] = self.results[level].without(trial)",
            "pass",
        ),
        "tests/platform/schedulers/test_asha.py",
    ),
    Fault(
        "a study is over while trials run",
        *(
            "platform/orchestration/orchestrator.py",
            "if self._waiting or (self.running and not self.ending):",
            "if self._waiting:",
        ),
        "tests/platform/orchestration/test_orchestrator.py::test_a_study_is_not_over_while_a_trial_runs",
    ),
)
