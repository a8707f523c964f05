"""From a YAML file to a Study; every error has its file, line and key. Others import ``loader`` alone."""
