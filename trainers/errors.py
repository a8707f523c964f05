"""The exceptions that are no bugs: wrong input by the user, and a fault of the machine or the network."""


class InputError(ValueError):
    """Wrong input; the message is one line that names the file or key, the value and what is allowed."""


class EnvironmentFault(RuntimeError):
    """The machine, its disk or the network does not let work go on; it may later, and nothing is lost."""

    def __init__(self, message: str, folder: str = "", size: int = 0) -> None:
        """``size``: bytes that ``folder`` has no room for; 0 for another fault."""
        super().__init__(message)
        self.folder, self.size = folder, size
