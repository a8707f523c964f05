"""``python -m platform.promote STUDY``: register the best translator of a study and set an alias to it."""

import argparse
import re
from collections.abc import Sequence
from platform import cli
from platform.confirmation.picks import CHOICES, confirmed_tags, confirmed_values, pick, require_form
from platform.storage.layout import Storage
from platform.storage.saved_study import load_saved
from platform.tracking import store

from trainers.errors import InputError

ALIAS = re.compile(r"[\w-]{1,255}")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("promote", "asp_dmd --pick knee --alias champion")
    parser.add_argument("study", help="the study's name")
    parser.add_argument("--pick", default="knee", help=f"{CHOICES} (default: knee)")
    parser.add_argument("--alias", default="champion", help="alias to set (default: champion)")
    parser.add_argument("--model", help="registered model's name (default: the study's)")
    cli.add_storage(parser, "of the study", writes=False)
    parser.add_argument("--tracking", help="MLflow (default: the study's)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    require_alias(options.alias)
    require_model(options.model or "")
    require_form(options.pick)
    if options.tracking is not None:
        store.require_known(options.tracking)
    storage = Storage.at(options.storage)
    folder = storage.existing(options.study)

    # Late: torch and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.models import registry
    from platform.pareto.selection import saved_front
    from platform.reporting.console import console

    saved = load_saved(folder)
    study, chosen = saved.study, pick(options.pick, saved_front(saved), folder)
    uri = cli.tracking(options, storage.tracking_of(saved.facts.tracking))
    name = options.model or study.name
    tags, confirmed = confirmed_tags(folder, chosen), confirmed_values(folder, chosen)
    registered = registry.register_candidate(study, storage, chosen, uri, name, tags, confirmed)
    version, lesions = registered
    registry.set_alias(uri, name, options.alias, version)
    scores = ", ".join(f"{o.name} {chosen.values[o.name]:.4g}" for o in study.objectives)
    origin = f"trial {chosen.trial} at {chosen.steps} steps ({scores})"
    console.print(f"models:/{name}@{options.alias} is version {version}: {origin}")
    console.print(lesions)


def require_alias(alias: str) -> None:
    """Raises InputError for an alias that MLflow would refuse, which it does only after the registration."""
    if not ALIAS.fullmatch(alias) or re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        allowed = "letters, digits, - and _, but not latest or v and a number, which name versions"
        raise InputError(f"--alias: {alias!r} is not allowed; allowed: {allowed}")


def require_model(name: str) -> None:
    """Raises InputError for a name that no search for versions can hold, as it is quoted there."""
    if "'" in name:
        raise InputError(f"--model: {name!r} is not allowed; allowed: a name without '")


if __name__ == "__main__":
    cli.run(main)
