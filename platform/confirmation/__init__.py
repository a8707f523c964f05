"""The candidates of a front again: with new seeds (``run``), and on the test split (``test_split``)."""
