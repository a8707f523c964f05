"""The exception for wrong input by the user."""


class InputError(ValueError):
    """Wrong input; the message is one line that names the file or key, the value and what is allowed."""
