"""Cohort sources: each module besides ``base`` is one; import ``base`` to find a source by name."""
