"""Many systems trained and evaluated under the same conditions, and the report of it; start with ``run``."""
