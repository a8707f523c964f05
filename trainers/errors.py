"""The one exception that means: the user's input is wrong, and here is how."""


class InputError(ValueError):
    """A wrong input, told in one line that names the file or key, the value and what is allowed."""
