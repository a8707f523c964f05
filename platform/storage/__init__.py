"""Files of a study: the folder layout, ``study.json`` and the ledger, the only record that decides."""
