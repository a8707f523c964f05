"""Where a study's files are kept beyond one machine: object stores, and folders that are copies of them."""
