"""Adversarial losses at their known optima, and the directions they pull."""

import math

import pytest
import torch

from trainers.losses import gan


def test_values_of_undecided_and_perfect_discriminators_in_single_precision() -> None:
    half, one, zero = torch.full((2, 1, 4, 4), 0.5), torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    assert float(gan.lsgan_discriminator(half, half)) == 0.25
    assert float(gan.lsgan_discriminator(one, zero)) == 0
    assert float(gan.lsgan_discriminator(zero, one)) == 1
    assert float(gan.lsgan_generator(half)) == 0.25 and float(gan.lsgan_generator(one)) == 0
    assert float(gan.classifier(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(gan.classifier_generator(zero)) == pytest.approx(math.log(2))
    scores = torch.full((4096,), 0.1, dtype=torch.bfloat16)
    for loss in (gan.lsgan_generator(scores), gan.classifier(scores, scores)):
        assert loss.dtype == torch.float32
    assert float(gan.lsgan_generator(scores)) == pytest.approx((float(scores[0]) - 1) ** 2, rel=1e-6)


@pytest.mark.parametrize("p_real", [0.2, 0.5, 0.9])
def test_the_optimal_least_squares_score_is_the_share_of_real_images_and_the_logit_its_log_odds(
    p_real: float,
) -> None:
    """At densities p and q, p (D - 1)^2 + q D^2 is least for D = p / (p + q) (Mao et al. 2017)."""
    score = torch.tensor(p_real, dtype=torch.float64, requires_grad=True)
    loss = p_real * gan.lsgan_discriminator(score, torch.tensor(0))
    loss = loss + (1 - p_real) * gan.lsgan_discriminator(torch.tensor(1), score)
    (gradient,) = torch.autograd.grad(loss, score)
    assert float(gradient) == pytest.approx(0, abs=1e-7)
    # The optimal classifier's logit is the log odds, and its loss the binary entropy.
    logit = torch.tensor(math.log(p_real / (1 - p_real)), requires_grad=True)
    nothing = torch.tensor(1e4)
    loss = p_real * gan.classifier(logit, -nothing) + (1 - p_real) * gan.classifier(nothing, logit)
    (gradient,) = torch.autograd.grad(loss, logit)
    assert float(gradient) == pytest.approx(0, abs=1e-6)
    entropy = -p_real * math.log(p_real) - (1 - p_real) * math.log(1 - p_real)
    assert float(loss.detach()) == pytest.approx(entropy, rel=1e-5)


@pytest.mark.parametrize("score", [-3.0, 0.0, 0.4, 0.9])
def test_generators_raise_fake_scores_and_discriminators_separate_them(score: float) -> None:
    for loss in (gan.lsgan_generator, gan.classifier_generator):
        fake = torch.full((4, 1, 2, 2), score, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(fake), fake)
        assert bool((gradient < 0).all())
    for both in (gan.lsgan_discriminator, gan.classifier):
        real, fake = (torch.full((n,), 0.4, requires_grad=True) for n in (4, 6))
        raised, lowered = torch.autograd.grad(both(real, fake), (real, fake))
        assert bool((raised < 0).all()) and bool((lowered > 0).all())
    hopeless = torch.tensor([-50.0], requires_grad=True)  # the non-saturating loss does not vanish
    assert float(torch.autograd.grad(gan.classifier_generator(hopeless), hopeless)[0]) == pytest.approx(-1)


def test_r1_is_half_the_squared_gradient_of_a_linear_and_of_a_quadratic_score() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    w = torch.randn(7, dtype=torch.float64, requires_grad=True)
    penalty = gan.r1(x @ w, x)
    (gradient,) = torch.autograd.grad(penalty, w)
    assert torch.allclose(gradient, w)
    assert float(penalty.detach()) == pytest.approx(0.5 * float(w.detach().square().sum()), rel=1e-5)
    a = torch.randn(7, 7, dtype=torch.float64)
    a = a + a.T
    expected = 0.5 * (x @ a).square().sum(1).mean()
    penalty = gan.r1(0.5 * ((x @ a) * x).sum(1), x)
    assert float(penalty.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    # Logits that each see a patch of their own: n of them are as n images of one.
    torch.manual_seed(0)
    score = torch.nn.Conv2d(3, 1, 4, stride=4)
    for size in (4, 16, 32):
        images = torch.randn(2, 3, size, size, requires_grad=True)
        expected = 0.5 * float(score.weight.detach().square().sum())
        assert float(gan.r1(score(images), images).detach()) == pytest.approx(expected, rel=1e-5)
