"""``python -m platform.translate MODEL --t1 t1.nii.gz --t2 t2.nii.gz -o out/``: 64 mT scans to 3 T-like ones.

Research use only: the outputs are synthetic and not for diagnosis. Scans may be NIfTI files, DICOM series
(folders) or a BIDS folder.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from platform import cli
from platform.translation.options import as_bids_app, require_consistent

from trainers.errors import InputError

BRAIN_MASKS = ("auto", "template", "hd-bet", "synthstrip", "given")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("translate", "models:/asp_dmd@champion --t1 t1.nii.gz --t2 t2.nii.gz -o out/")
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WHAT",
        help="MODEL: models:/NAME@ALIAS, models:/NAME/VERSION or a model's folder; "
        "or as a BIDS app: BIDS OUT participant|group",
    )
    parser.add_argument("--model", default="", help="of a BIDS app")
    parser.add_argument(
        "--participant-label",
        "--participant_label",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="of --bids: these subjects alone",
    )
    for contrast in ("T1", "T2"):
        option, low = f"--{contrast.lower()}", f"{contrast}w scan at 64 mT: a NIfTI file or a DICOM folder"
        again = f"{low}; again for views in other planes, which are fused"
        parser.add_argument(option, type=Path, action="append", default=[], help=again)
        parser.add_argument(
            f"{option}-reference", type=Path, help=f"paired 3 T {contrast}w NIfTI, for the PSNR"
        )
    parser.add_argument("--bids", type=Path, metavar="DIR", help="a BIDS folder: all its 64 mT visits")
    parser.add_argument(
        "--subject",
        default="",
        metavar="LABEL",
        help="names the outputs (default: the scan's own, or a hash)",
    )
    parser.add_argument(
        "--series",
        action="append",
        default=[],
        metavar="[T1=|T2=]NAME",
        help="of a DICOM folder with several series: its name or number",
    )
    parser.add_argument(
        "--filter", default="", metavar="ENTITY=VALUE,...", help="which scans of --bids, as acq=AXI,run=2"
    )
    parser.add_argument("--filters", default="", metavar="JSON", help="a file that says so for each contrast")
    parser.add_argument(
        "--views",
        choices=("axial", "all"),
        default="",
        help="of --bids, where scans differ in their plane alone: all are fused (default: axial)",
    )
    parser.add_argument(
        "--field-strength", type=float, metavar="TESLA", help="of scans of which no sidecar or name says it"
    )
    parser.add_argument(
        "--force", action="store_true", help="with --bids: also visits whose scans may be of two people"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the translated scans")
    parser.add_argument(
        "--brain-mask",
        choices=BRAIN_MASKS,
        default="auto",
        help="how brains are found; given: by --mask, or the scans are brain-extracted (default: auto)",
    )
    parser.add_argument("--mask", type=Path, help="brain mask on the grid of T1, or of T2 alone")
    parser.add_argument(
        "--uncertainty", type=int, metavar="DRAWS", help="also map the spread over so many latents"
    )
    parser.add_argument(
        "--check", action="store_true", help="also say what has vanished of the scan's lesions, or appeared"
    )
    cli.add_storage(parser, "of the default MLflow", writes=False)
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    return as_bids_app(parser.parse_args(argv))


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    if options.level == "group":
        from platform.reporting.console import console
        from platform.translation import group

        for path in group.write(options.output):
            console.print(path)
        return
    require_consistent(options)

    # Late: torch and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.models.registry import fetch
    from platform.translation.batch import output_folder, planned, translate_all
    from platform.translation.visit import TranslationSettings

    from trainers.export import Translator

    references = {c: path for c in ("T1", "T2") if (path := getattr(options, f"{c.lower()}_reference"))}
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        model = stack.enter_context(fetch(options.model, options.tracking, options.storage))
        stack.enter_context(output_folder(options.output, options.bids))
        jobs, selection = planned(options, Path(work))
        translator = Translator.open(model.folder)
        chosen = options.model, model.version, options.brain_mask, options.uncertainty or 1
        how = bool(options.bids), options.force, options.field_strength, options.check
        settings = TranslationSettings(*chosen, references, *how)
        failed = translate_all(settings, jobs, translator, options.bids, selection)
    if failed:
        raise InputError(f"{failed} of {len(jobs)} visits were not translated; the lines above say why")


if __name__ == "__main__":
    cli.run(main)
