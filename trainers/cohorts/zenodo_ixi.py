"""The paper's cohort: 64 mT and paired 3 T scans from Zenodo, unpaired 3 T ones of IXI's Hammersmith site.

``python -m platform.prepare --cohort zenodo+ixi --root DATA`` downloads the archives.
"""

from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts.base import CohortSource, Mapper
from trainers.cohorts.scans import ixi, pipeline, zenodo
from trainers.cohorts.scans.visits import Selection


@dataclass(frozen=True, kw_only=True)
class ZenodoIxiConfig(pipeline.ScansConfig):
    """Settings of the paper's cohort: ``root`` holds the unpacked archives."""


def prepare(config: ZenodoIxiConfig, root: Path, mapper: Mapper = map) -> Path:
    """Build the cohort under the storage ``root``, or find it there; returns its folder."""
    place = Path(config.root).resolve()
    visits = [*zenodo.visits(place / "zenodo"), *ixi.visits(place / "ixi")]
    return pipeline.prepare("zenodo+ixi", config, Selection(visits), root, mapper)


SOURCE = CohortSource("zenodo+ixi", ZenodoIxiConfig, prepare, archives=("zenodo", "ixi"))
