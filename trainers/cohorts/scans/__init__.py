"""From scan files to prepared visits and a cohort; sources import ``pipeline`` and ``visits``."""
