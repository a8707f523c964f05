"""From downloads to a prepared cohort: archives, downloads, extraction, ``build`` and the quality page."""
