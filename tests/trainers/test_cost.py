"""Operations of a step against torch's own counter, closed forms and the mean over refinement steps."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from trainers.bounds import training
from trainers.cost import Counter, bound_of, step_flops
from trainers.methods import cut, sdedit, unsb
from trainers.references.config import ReferenceConfig

REFERENCES = ReferenceConfig(crop=32, teacher_widths=(16, 16), teacher_layers=1, teacher_attention=True)
SMALL: dict[str, Any] = {"generator_width": 8, "generator_blocks": 1, "discriminator_width": 8, "crop": 32}


def test_operations_are_those_of_torchs_counter_and_of_a_convolutions_closed_form() -> None:
    config = bound_of("cut", cut.Config(**SMALL), REFERENCES)
    assert config is not None
    totals = []
    for counter in (Counter(), FlopCounterMode(display=False)):
        with torch.device("meta"), counter:
            training.build_network(config)(torch.zeros(2, 3, 32, 32)).sum().backward()
        totals.append(counter.flops if isinstance(counter, Counter) else counter.get_total_flops())
    assert totals[0] == totals[1] > 0
    with Counter() as counter:
        torch.nn.functional.conv2d(torch.ones(2, 3, 10, 12), torch.ones(5, 3, 3, 3))
    assert counter.flops == 2 * (2 * 5 * 8 * 10) * (3 * 3 * 3)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_step_at_the_middle_refinement_steps_has_the_mean_operations(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = unsb.Config(refinement_steps=steps, latent=8, **SMALL)
    counted, again = (step_flops("unsb", config, REFERENCES) for _ in range(2))
    every = []
    for k in range(steps):
        monkeypatch.setattr(unsb.Method, "step_forms", lambda self, k=k: [partial(self._step_at, k)])
        every.append(step_flops("unsb", config, REFERENCES))
    assert counted == again == pytest.approx(sum(every) / steps, rel=1e-12)
    assert every == sorted(set(every))


@pytest.mark.parametrize(("method", "module"), [("unsb", unsb), ("cut", cut)])
def test_the_bound_has_a_share_of_the_trials_operations(method: str, module: Any) -> None:
    references = ReferenceConfig(**{**REFERENCES.__dict__, "bound": 0.5})
    config = module.Config(steps=10_000, batch_size=2, accumulate=3, **SMALL)
    bound = bound_of(method, config, references)
    assert bound is not None
    with torch.device("meta"), Counter() as counter:
        training.build_network(bound)(torch.zeros(2, 3, 32, 32)).sum().backward()
    whole = step_flops(method, config, references) * config.steps
    assert bound.steps * counter.flops == pytest.approx(0.5 * whole, rel=0.01)  # the ratio is rounded
    assert bound_of(method, config, ReferenceConfig(bound=0)) is None
    assert bound_of("sdedit", sdedit.Config(), references) is None
