"""The methods, one a module; import ``base`` to find a method by name."""
