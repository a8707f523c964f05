"""Image processing of one visit: reading, brain extraction, registration, working slices."""
