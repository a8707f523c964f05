"""Loss functions as pure functions of tensors, one family a module."""
