"""Which faults are a trial's own, and which its environment's, that say nothing about the trial."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from trainers.errors import EnvironmentFault

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a full share of it, or a limit of the process or file system for one file."""
AWAY = (
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH),
    *(errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EREMOTEIO),
)
"""What a file system or a network says that does not answer."""
NO_MEMORY = re.compile(r"DefaultCPUAllocator: (can't|not enough memory).*?(\d+) bytes", re.DOTALL)
"""PyTorch's message where the host's memory is exhausted."""


def of_environment(error: BaseException) -> EnvironmentFault | None:
    """The environment's fault that an exception stands for; None for an exception of the program's own."""
    if isinstance(error, EnvironmentFault):
        return error
    number = error.errno if isinstance(error, OSError) else _number_in(error)
    if number in (*NO_ROOM, *AWAY):
        named = error.filename if isinstance(error, OSError) else None
        folder = str(Path(named).parent) if named and number in NO_ROOM else ""
        return EnvironmentFault(str(error), folder, int(number in NO_ROOM))
    if isinstance(error, MemoryError):
        return EnvironmentFault(f"the host's memory is exhausted: {error}")
    if isinstance(error, RuntimeError) and (found := NO_MEMORY.search(str(error))):
        return EnvironmentFault(f"the host's memory is exhausted: no {int(found[2]):,} bytes more")
    return None


@contextmanager
def writing(path: Path, size: int) -> Iterator[None]:
    """Raises EnvironmentFault, with path and bytes, where there is no room for what the block writes."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _number_in(error)
        if number not in NO_ROOM:
            raise
        message = f"{path}: no room for {size:,} bytes"
        raise EnvironmentFault(message, str(path.parent), size) from error


def _number_in(error: BaseException) -> int:
    """Safetensors gives the system's error as text: ``... (os error 28)``."""
    found = re.search(r"os error (\d+)", str(error)) if isinstance(error, SafetensorError) else None
    return int(found[1]) if found else 0
