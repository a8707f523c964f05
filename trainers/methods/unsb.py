"""UNSB and its variants by weights: UNSB, +ASP, +DMD2, and the full method (METHOD.md sections 1, 2 and 5).

lambda_ASP = lambda_DMD = lambda_cls = 0 is UNSB; ASP or DMD2 above zero is that variant; both, the full one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from trainers.config import FieldError, Range
from trainers.data.batch import Batch
from trainers.losses import asp, bridge, dmd, gan, inner_edges, nce, term_gradients
from trainers.methods import base
from trainers.networks.bridge_generator import BridgeGenerator
from trainers.networks.denoiser import TRAIN_STEPS, schedule
from trainers.networks.discriminator import PatchNet
from trainers.networks.energy import NoisyPairEnergy
from trainers.networks.patch_projection import Projection
from trainers.networks.resnet import Norm, nce_channels, nce_layers
from trainers.networks.running_norms import RunningNorms
from trainers.references.config import ReferenceConfig

Fraction = Annotated[float, Range(0, 1)]
RATIOS = {
    "G_DMD": ("dmd_ratio", "lambda_DMD"),
    "G_ASP": ("asp_ratio", "lambda_ASP"),
    "G_ent": ("ent_ratio", "w_ent"),
}
"""Terms of the generator's loss with two settings of which one weights them."""


@dataclass(frozen=True, kw_only=True)
class Config(base.RestoringConfig):
    """Settings of one trial; symbols as in METHOD.md section 5.2."""

    refinement_steps: Annotated[int, Range(1, 8)] = 5
    """T, the bridge's trained steps; any number up to it can be used to translate."""
    tau: Annotated[float, Range(1e-4, 0.1)] = 0.01
    """Bridge variance."""
    lambda_GAN: base.Weight = 1.0
    lambda_SB: base.Weight = 1.0
    lambda_NCE: base.Weight = 1.0
    lambda_ASP: base.Weight = 1.0
    lambda_DMD: base.Weight = 0.5
    lambda_cls: base.Weight = 3e-3
    """Of DMD2's auxiliary classifier in the generator's loss."""
    dmd_ratio: base.Weight = 0.0
    asp_ratio: base.Weight = 0.0
    ent_ratio: base.Weight = 0.0
    """Instead of lambda_DMD, lambda_ASP and w_ent, which are then 0: the norm of the term's gradient at the
    output over the GAN term's, both as running means. 0: off."""
    critic_cls: base.Weight = 1e-2
    """Of the classifier's loss in the critic's; above 1e-2 it damages the critic."""
    w_cost: base.Weight = 1.0
    w_ent: base.Weight = 1.0
    """Transport cost and entropy within L_SB."""
    sb_form: Literal["code", "paper"] = "code"
    """L_SB as in the official code: tau scales the cost too, which is a mean over the crop. Or as in the
    paper: tau scales the entropy alone, and the cost is the squared norm over the brain's values; the entropy
    is that of the pair with noise, as without it the estimate is at its limit."""
    w_tri: base.Weight = 1.0
    w_bnd: base.Weight = 1.0
    """Trimap and boundary terms within L_ASP."""
    w_in: base.Weight = 0.0
    """Edges inside the brain that the input does not have, within L_ASP; farther than delta / 2 from all of
    its edges, which are dense there."""
    nce_idt: bool = True
    """PatchNCE also between a 3 T slice and its own translation."""
    nce_patches: Annotated[int, Range(8, 4096)] = 256
    tau_m: Annotated[float, Range(0.001, 0.9)] = 0.08
    T_m: Annotated[float, Range(0.001, 0.5)] = 0.03
    t_f: Annotated[float, Range(0.5, 0.999)] = 0.9
    t_b: Annotated[float, Range(0.001, 0.499)] = 0.1
    delta: Annotated[float, Range(0.25, 16)] = 2.0
    s: Annotated[float, Range(0.05, 4)] = 0.5
    """ASP's mask, trimap and boundary thresholds; delta and s in pixels."""
    asp_warm_up: Fraction = 0.05
    dmd_warm_up: Fraction = 0.1
    """Fractions of training before the boundary term and lambda_DMD ramp up; the critic learns meanwhile."""
    dmd_t_max: Annotated[float, Range(0.05, 1)] = 0.98
    """Largest diffusion time of the distribution matching, as a fraction; the smallest is 0.02."""
    critic_updates: Annotated[int, Range(1, 20)] = 1
    critic_lr: Annotated[float, Range(1e-7, 1e-2)] = 5e-5
    """TTUR in both senses: updates per generator step, and a separate learning rate."""
    critic_step_cond: bool = True
    """Condition the critic on the refinement step, as in equation 6a."""
    generator: Literal["residual", "drift", "image", "legacy"] = "residual"
    """Predicts a change to the state, the same whatever time remains; the bridge's drift, which acts for the
    time that remains; or an image."""
    generator_width: base.Width = 64
    generator_blocks: Annotated[int, Range(1, 32)] = 9
    generator_patch: base.Patch = 1
    generator_norm: Norm = "slice"
    discriminator_width: base.Width = 64
    discriminator_norm: bool = False
    """Instance norms in D and E, as the official networks have. They hide the intensities, by
    which field strengths differ: with them D stayed at chance three times as long on the phantom."""
    latent: Annotated[int, Range(1, 1024)] = 256

    EARLIER: ClassVar[dict[str, Any]] = {
        **{"sb_form": "code", "dmd_ratio": 0.0, "asp_ratio": 0.0, "ent_ratio": 0.0},
        **{"generator_patch": 1, "generator_norm": "slice", "w_in": 0.0},
    }
    """What the settings meant that did not exist from the start: see ``trainers.config.plain_values``."""

    def __post_init__(self) -> None:
        """Raises InputError where ASP's thresholds leave no background, or a ratio is not one of two."""
        self.thresholds()
        for ratio, weight in RATIOS.values():
            value = getattr(self, ratio)
            if value and getattr(self, weight):
                raise FieldError(ratio, value, f"0, or {weight}: 0, as either weights the term")
            if value and not self.lambda_GAN:
                raise FieldError(ratio, value, "0, or lambda_GAN above 0, to whose term the ratio is")

    def thresholds(self) -> asp.Thresholds:
        """ASP's six thresholds."""
        return asp.Thresholds(self.tau_m, self.T_m, self.t_f, self.t_b, self.delta, self.s)

    @property
    def uses_teacher(self) -> bool:
        """Whether DMD2 takes part."""
        return self.lambda_DMD > 0 or self.lambda_cls > 0 or self.dmd_ratio > 0

    @property
    def estimates_entropy(self) -> bool:
        """Whether the energy network takes part."""
        return (self.lambda_SB > 0 and self.w_ent > 0) or self.ent_ratio > 0

    @property
    def ratios(self) -> dict[str, float]:
        """The terms that are weighted by their gradient's norm relative to the GAN term's."""
        return {term: getattr(self, ratio) for term, (ratio, _) in RATIOS.items() if getattr(self, ratio)}


class Method(base.Method):
    """Networks G, F (PatchNCE heads), D, E (energy) and, where DMD2 takes part, C (critic, classifier)."""

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config, self.teacher = config, context.teacher
        self.grid = bridge.time_grid(config.refinement_steps)
        self.nce_layers = nce_layers(config.generator_blocks)
        norm, narrow = config.discriminator_norm, config.discriminator_width
        generator = self.translators(config, context.config)["G"]
        assert isinstance(generator, BridgeGenerator)
        self.generator = generator
        self.heads = Projection(nce_channels(config.generator_width), 256)
        self.discriminator = PatchNet(channels=3, width=narrow, norm=norm)
        self.networks = {"G": self.generator, "F": self.heads, "D": self.discriminator}
        if config.estimates_entropy:
            self.energy: PatchNet | NoisyPairEnergy = (
                NoisyPairEnergy(width=narrow, norm=norm)
                if config.sb_form == "paper"
                else PatchNet(channels=12, width=narrow, norm=norm)
            )
            self.networks["E"] = self.energy
        if config.uses_teacher:
            self.critic = self.teacher.critic(config.refinement_steps * config.critic_step_cond, config.crop)
            self.networks["C"] = self.critic
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), config.lr, (0.5, 0.999))
            for name, net in self.networks.items()
            if name != "C"
        }
        if config.ratios:
            self.norms = RunningNorms(["G_GAN", *config.ratios])
            self.networks["norms"] = self.norms
        if config.uses_teacher:
            self.optimizers["C"] = torch.optim.AdamW(
                self.critic.parameters(), config.critic_lr, (0.9, 0.999), weight_decay=0.01
            )
        self.alpha, self.sigma = schedule()
        self.finish_build(context)

    def to(self, device: torch.device) -> None:
        """Move the networks, the teacher and the noise schedule."""
        super().to(device)
        self.teacher.to(device)
        self.alpha, self.sigma = self.alpha.to(device), self.sigma.to(device)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """D, then E, then the critic, then G with F, all on the same predictions at one random step k."""
        k = int(torch.randint(self.config.refinement_steps, (), device="cpu"))
        return self._step_at(k, batch, step, minimise)

    def step_forms(self) -> list[base.Step]:
        """At the middle k, or the middle two: operations rise by as much with each k."""
        last = self.config.refinement_steps - 1
        return [partial(self._step_at, k) for k in sorted({last // 2, (last + 1) // 2})]

    def _step_at(self, k: int, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        c = self.config
        x0, size = batch.source, len(batch.source)
        starts = x0 if batch.degraded is None else torch.cat((x0, batch.degraded))
        states, at_k = self._rollout(starts, k, size), torch.full((size,), k, device=x0.device)
        state, z = states[:size], self._latent(1, x0)[0]
        out, restored = self._graded(states, batch.target, at_k, z)
        fake = out[:size]
        logs = self._update_discriminator(batch.target, fake.detach(), at_k, minimise)
        if c.estimates_entropy:
            logs |= self._update_energy(state, fake.detach(), at_k, minimise)
        if c.uses_teacher:
            logs |= self._update_critic(batch.target, fake.detach(), at_k, minimise)
        terms = {"G_GAN": gan.lsgan_generator(self.discriminator(fake, at_k))}
        terms |= self._bridge_terms(state, fake, at_k, batch.source_mask)
        terms["G_NCE"] = self._contrast(batch, out, z)
        if c.lambda_ASP or c.asp_ratio:
            terms["G_ASP"] = self._structure_loss(x0, fake, batch.source_mask, step)
        if c.uses_teacher:
            terms |= self._distribution_terms(fake, at_k, batch.source_mask)
        weights, outputs = self._weights(step, k), dict.fromkeys(terms, out)
        if len(restored):
            outputs["G_restore"] = restored
            terms["G_restore"] = c.restoration(restored, batch)
        if term_gradients.due(step):
            norms = term_gradients.gradient_norms(terms, outputs, size)
            if c.ratios:
                self.norms.update(norms)
            logs |= term_gradients.logged(norms, weights)
        losses = {name: weights[name] * term for name, term in terms.items()}
        minimise(("G", "F"), torch.stack(list(losses.values())).sum())
        return (
            logs
            | {name: loss.detach() for name, loss in losses.items()}
            | {"output_mean": fake.detach().mean()}
        )

    def _weights(self, step: int, k: int) -> dict[str, float | Tensor]:
        """Of each term of the generator's loss."""
        c = self.config
        of_sb = bridge.paper_weights if c.sb_form == "paper" else bridge.code_weights
        cost, entropy = (c.lambda_SB * w for w in of_sb(self.grid[k], c.tau, c.w_cost, c.w_ent))
        ramp = dmd.warm_up(step, c.steps, c.dmd_warm_up)
        weights: dict[str, float | Tensor] = {"G_GAN": c.lambda_GAN, "G_SB": cost, "G_ent": entropy}
        weights |= {"G_NCE": c.lambda_NCE, "G_ASP": c.lambda_ASP}
        weights |= {"G_DMD": ramp * c.lambda_DMD, "G_cls": ramp * c.lambda_cls}
        weights |= {"G_restore": 1.0}  # weighted already
        scales = {"G_DMD": ramp, "G_ASP": 1.0, "G_ent": -(1 - self.grid[k])}
        for term, ratio in c.ratios.items():
            weights[term] = scales[term] * ratio * c.lambda_GAN * self.norms.quotient(term, "G_GAN")
        return weights

    @staticmethod
    def translators(config: Config, references: ReferenceConfig) -> dict[str, nn.Module]:
        """The generator."""
        times = bridge.time_grid(config.refinement_steps)[:-1]
        return {
            "G": BridgeGenerator(latent=config.latent, times=times, **base.generator_shape(config)),
            **base.restoring(config, references),
        }

    @staticmethod
    @torch.no_grad()
    def translate(
        networks: Mapping[str, nn.Module], config: Config, source: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Equations 3 and 4 with eps = 0 and one seeded latent for every slice and step."""
        steps, grid = config.refinement_steps, bridge.time_grid(config.refinement_steps)
        z = torch.randn(1, config.latent, generator=torch.Generator().manual_seed(seed)).to(source.device)
        latents = z.expand(steps, len(source), -1)
        for _, xhat in bridge.predictions(networks["G"], source, latents, grid, None, config.tau):
            yield xhat

    @torch.no_grad()
    def _rollout(self, starts: Tensor, k: int, size: int) -> Tensor:
        """States at step ``k`` of bridges from slices, every ``size`` of them with the same draws."""
        if k == 0:
            return starts
        count, some = len(starts) // size, starts[:size]
        noise = [torch.randn_like(some).repeat(count, 1, 1, 1) for _ in range(k)]
        latents = self._latent(k, some).repeat(1, count, 1)
        *_, (x, xhat) = bridge.predictions(self.generator, starts, latents, self.grid, noise, self.config.tau)
        return bridge.bridge_step(x, xhat, self.grid, k - 1, noise[-1], self.config.tau)

    def _graded(self, states: Tensor, target: Tensor, k: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """In one pass: predictions from 64 mT states and then 3 T identities; those from degraded states.

        With the same latents ``z`` for each; either may be left out, and then has no rows.
        """
        size, identity = len(k), target if self.config.nce_idt else target[:0]
        images = torch.cat((states[:size], identity, states[size:]))
        steps = torch.cat((k, torch.zeros_like(k[: len(identity)]), k[: len(states) - size]))
        out = self.generator(images, steps, z.repeat(len(images) // size, 1))
        return out[: size + len(identity)], out[size + len(identity) :]

    def _latent(self, steps: int, like: Tensor) -> Tensor:
        return torch.randn(steps, len(like), self.config.latent, device=like.device)

    def _update_discriminator(
        self, real: Tensor, fake: Tensor, k: Tensor, minimise: base.Minimise
    ) -> dict[str, Tensor]:
        logits_real, logits_fake = self.discriminator(torch.cat((real, fake)), torch.cat((k, k))).chunk(2)
        loss = gan.lsgan_discriminator(logits_real, logits_fake)
        minimise(("D",), loss)
        return {"D": loss.detach()}

    def _energies(self, state: Tensor, xhat: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """E of each pair with itself, or a noisy copy, and with the pair of the next sample of the batch."""
        pair = torch.cat((state, xhat), 1)
        if isinstance(self.energy, NoisyPairEnergy):
            noisy: tuple[Tensor, Tensor] = self.energy(pair, k)
            return noisy
        both = torch.cat((torch.cat((pair, pair), 1), torch.cat((pair, pair.roll(1, 0)), 1)))
        own, cross = bridge.bounded(self.energy(both, torch.cat((k, k)))).chunk(2)
        return own, cross

    def _update_energy(
        self, state: Tensor, fake: Tensor, k: Tensor, minimise: base.Minimise
    ) -> dict[str, Tensor]:
        own, cross = self._energies(state, fake, k)
        loss, information = bridge.energy_loss(own, cross), bridge.entropy(own, cross).detach()
        if isinstance(self.energy, NoisyPairEnergy):
            minimise(("E",), loss + bridge.keep_information(self.energy.log_ratio, information))
        else:
            minimise(("E",), loss)
        return {"E": loss.detach(), "information": information}

    def _bridge_terms(self, state: Tensor, fake: Tensor, at_k: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L_SB's transport cost and, where it is estimated, entropy."""
        paper = self.config.sb_form == "paper"
        cost = bridge.brain_cost(state, fake, mask) if paper else bridge.transport_cost(state, fake)
        if not self.config.estimates_entropy:
            return {"G_SB": cost}
        return {"G_SB": cost, "G_ent": bridge.entropy(*self._energies(state, fake, at_k))}

    def _contrast(self, batch: Batch, out: Tensor, z: Tensor) -> Tensor:
        """PatchNCE of the translation against its source, and of the 3 T identity against itself."""
        key_images = torch.cat((batch.source, batch.target)) if self.config.nce_idt else batch.source
        masks = (
            torch.cat((batch.source_mask, batch.target_mask)) if self.config.nce_idt else batch.source_mask
        )
        latent = torch.cat((z, z)) if self.config.nce_idt else z
        zero = torch.zeros(len(out), dtype=torch.long, device=out.device)
        generator, depth = self.generator, self.nce_layers[-1] - 2
        queries = generator.encode(out, zero, latent, depth)
        with torch.no_grad():
            keys = generator.encode(key_images, zero, latent, depth)
        chosen, count = self.nce_layers, self.config.nce_patches
        return nce.multi_layer(
            [queries[i] for i in chosen], [keys[i] for i in chosen], masks, self.heads, count
        )

    def _structure_loss(self, x0: Tensor, fake: Tensor, mask: Tensor, step: int) -> Tensor:
        """L_ASP: the silhouette's trimap and boundary, and the edges inside the brain."""
        c, thresholds = self.config, self.config.thresholds()
        kept = asp.structure(asp.intensity(x0), thresholds)
        image = asp.intensity(fake)
        ramp = dmd.warm_up(step, c.steps, c.asp_warm_up)
        trimap, edges = asp.trimap_loss(image, kept, thresholds), asp.boundary_loss(image, kept, thresholds)
        losses = c.w_tri * trimap + ramp * c.w_bnd * edges
        if c.w_in:
            free = inner_edges.unsupported(x0, mask, c.delta / 2, c.s)
            losses = losses + ramp * c.w_in * inner_edges.inner_edge_loss(fake, mask, free)
        return torch.mean(losses)

    def _noisy(self, image: Tensor, low: float, high: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(x_t, t, eps, alpha, sigma) at a uniform t of [low, high) of the diffusion's time."""
        t = torch.randint(int(low * TRAIN_STEPS), int(high * TRAIN_STEPS), (len(image),), device=image.device)
        alpha, sigma = self.alpha[t][:, None, None, None], self.sigma[t][:, None, None, None]
        noise = torch.randn_like(image)
        return dmd.diffuse(image, noise, alpha, sigma), t, noise, alpha, sigma

    def _update_critic(
        self, real: Tensor, fake: Tensor, k: Tensor, minimise: base.Minimise
    ) -> dict[str, Tensor]:
        """Denoise the fakes and classify them against real slices, both in one pass of the noisy fake."""
        critic, loss = self.critic, fake.new_zeros(())
        for _ in range(self.config.critic_updates):
            noisy, t, noise, alpha, sigma = self._noisy(fake, 0, 1)
            encoded = critic.encode(noisy, t, k)
            v = critic.decode(encoded)
            noisy_real, t_real, *_ = self._noisy(real, 0, 1)
            logit_real = critic.classify(critic.encode(noisy_real, t_real, k).bottleneck)
            logit_fake = critic.classify(encoded.bottleneck)
            loss = (v.float() - dmd.velocity(fake, noise, alpha, sigma)).square().mean()
            loss = loss + self.config.critic_cls * gan.classifier(logit_real, logit_fake)
            minimise(("C",), loss)
        return {"C": loss.detach()}

    def _distribution_terms(self, fake: Tensor, k: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Equation 6a and the classifier's term: gradient through the critic's encoder only for its logit."""
        c, critic = self.config, self.critic
        noisy, t, _, alpha, sigma = self._noisy(fake, 0.02, c.dmd_t_max)
        encoded = critic.encode(noisy, t, k)
        with torch.no_grad():
            v_fake = critic.decode(encoded)
            v_real = self.teacher(noisy, t)
            mu_fake = dmd.clean_from_velocity(noisy, v_fake.float(), alpha, sigma)
            mu_real = dmd.clean_from_velocity(noisy, v_real.float(), alpha, sigma)
            direction = dmd.dmd_direction(fake.float(), mu_real, mu_fake, mask)
        terms = {"G_DMD": dmd.dmd_loss(fake.float(), direction, mask)}
        if c.lambda_cls:
            terms["G_cls"] = gan.classifier_generator(critic.classify(encoded.bottleneck))
        return terms
