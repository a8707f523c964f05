"""``python -m platform.prepare``: a cohort, from downloads to slices to a page to look at; its references.

With ``--cohort`` a cohort is prepared by itself, real scans with a quality report; with ``--space`` or
``--study`` what that search needs. What the distances see on it is printed: without references those that
need none.
"""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from platform import cli
from platform.cohorts.export import export_scans, require_exportable
from platform.execution.machine import prefers_cluster
from platform.spaces.loader import find_space, load_chosen
from platform.storage.layout import Storage
from platform.storage.saved_study import load_saved
from platform.study.settings import CohortChoice, Resources
from platform.study.study import Study
from typing import Any

from trainers.cohorts.base import find_source, source_names
from trainers.config import FieldError, FieldType, build, field_types
from trainers.data import store
from trainers.errors import InputError
from trainers.metrics.names import VERSION

SPLITS = (*store.SPLITS, store.SHIFTED)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; a chosen cohort's settings are options of it."""
    parser = cli.parser("prepare", "--cohort folder --root my_bids/")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cohort", metavar="SOURCE", help=f"a cohort alone: {', '.join(source_names())}")
    what.add_argument("--space", help="YAML search space: a path, or a file of search_spaces/")
    what.add_argument("--study", metavar="NAME", help="a study that was started")
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    cli.add_storage(parser, "of cohorts, references and studies")
    parser.add_argument("--address", help="a running Ray cluster (default: Ray is started on this machine)")
    parser.add_argument(
        "--export",
        metavar="DIR",
        help="write a split's phantom scans as NIfTI, brain-extracted, as a BIDS data set",
    )
    parser.add_argument("--split", choices=SPLITS, help="which split to export (default: test)")
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--cohort")
    chosen = first.parse_known_args(argv)[0].cohort
    if chosen is not None:
        _add_settings(parser, chosen)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    study: Study | None = None
    measures = VERSION
    if options.cohort:
        choice = chosen_cohort(options)
    storage = Storage.open(options.storage, options.single_driver)
    if not options.cohort:
        study, measures = chosen_study(options, storage)
        choice = study.cohort
    source = find_source(choice.source)
    if options.export and source.native_volumes is None:
        raise FieldError("--export", choice.source, "phantom, whose scans are nowhere else")
    if options.split == store.SHIFTED and not getattr(choice.config, store.SHIFTED, 0):
        raise FieldError(
            "--split", options.split, f"{', '.join(store.SPLITS)}: this cohort has no such split"
        )
    if options.export:
        require_exportable(Path(options.export))

    # Late: Ray takes seconds to import, for which a wrong option need not wait.
    from platform.cohorts.archives import acquire
    from platform.cohorts.build import prepare_cohort, prepare_references
    from platform.cohorts.measurable import require_measurable
    from platform.cohorts.sensitivity import show_patch_sensitivity, show_sensitivity
    from platform.execution import cluster
    from platform.reporting.console import console

    from trainers.metrics.judge import Judge
    from trainers.places import mounts
    from trainers.references.config import ReferenceConfig
    from trainers.references.store import References

    for archive in source.archives:
        acquire(archive, Path(choice.config.root), console)
    cluster.start_ray(options.address, study.resources if study else Resources())
    path = prepare_cohort(choice, storage.root, console)
    console.print(f"cohort: {mounts.shown(path)}")
    cohort = store.Cohort.open(path)
    if options.export:
        split, folder = options.split or "test", Path(options.export)
        for file in export_scans(source, choice.config, cohort, split, folder):
            console.print(file)
    if study:
        require_measurable(study, cohort, "val", study.metrics)
        references = prepare_references(study, path, storage.root, console, measures)
        console.print(f"references: {mounts.shown(references)}")
        show_sensitivity(storage, Judge.of(cohort, References.open(references), "val", measures))
    else:
        show_patch_sensitivity(storage, cohort, ReferenceConfig().channels)


def chosen_study(options: argparse.Namespace, storage: Storage) -> tuple[Study, int]:
    """The study of ``--study`` or of ``--space``, and the version of its measures."""
    if options.study:
        saved = load_saved(storage.existing(options.study))
        return saved.study, saved.facts.measures
    on_cluster = prefers_cluster(options.profile, options.address)
    return load_chosen(find_space(options.space), options.profile, on_cluster), VERSION


def chosen_cohort(options: argparse.Namespace) -> CohortChoice:
    """The cohort of ``--cohort`` and its settings; raises FieldError for a wrong one."""
    config = find_source(options.cohort).config
    given = {f.name: value for f in fields(config) if (value := getattr(options, f.name, None)) is not None}
    if "root" in field_types(config) and "root" not in given:
        raise InputError(f"--root: is missing; allowed: where the scans of {options.cohort} are")
    return CohortChoice(options.cohort, build(config, given))


def _add_settings(parser: argparse.ArgumentParser, source: str) -> None:
    group = parser.add_argument_group(f"settings of {source}")
    for name, kind in field_types(find_source(source).config).items():
        group.add_argument(
            f"--{name.replace('_', '-')}", type=_reader(kind), metavar=name.upper(), help=str(kind)
        )


def _reader(kind: FieldType) -> Any:
    """Text as the type that a setting's check expects; what it cannot be stays text, for that check."""

    def read(text: str) -> Any:
        if kind.kind is bool:
            return {"true": True, "false": False}.get(text.lower(), text)
        try:
            return kind.kind(text)
        except ValueError:
            return text

    return read


if __name__ == "__main__":
    cli.run(main)
