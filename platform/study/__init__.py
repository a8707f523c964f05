"""What a study is: dimensions, settings, budget, criteria, observations; no files, no Ray."""
