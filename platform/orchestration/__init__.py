"""One running study, from its first proposal to its report; ``run.run_search`` is the entry."""
