"""What training reads: the cohort store, its arrays and grid, slices, channels and batches."""
