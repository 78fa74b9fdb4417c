"""An error enters, whether it is a fault of the network leaves: the only kind that trying again can mend by itself."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from data_contracts.errors import OmniError

FAULTS = frozenset({
    errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT, errno.ESTALE,
})  # fmt: skip
"""Of an OSError; ESTALE is a network file system whose server came back. A full disk or a missing file is none of them."""
BUSY = frozenset({408, 425, 429, 502, 503, 504})
"""Answers of a server that is starting, overloaded or behind a proxy that is."""
LIBRARIES = {"httpx", "httpcore", "requests", "urllib3", "aiohttp", "botocore"}
NAMES = ("Connect", "Timeout", "Network", "RemoteProtocol", "ProtocolError", "ServerDisconnected", "ChunkedEncoding")
"""How these libraries begin or mark what they raise when a line breaks; importing them all to ask takes seconds."""


def is_network_fault(error: BaseException | None) -> bool:
    """True when the error, or what it was raised from, is a broken line, a timeout or a server that is not up.

    Never for an OmniError: that is a sentence for a person, who should read it now and not after four attempts.
    """
    return error is not None and not isinstance(error, OmniError) and any(_is_fault(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        reason = getattr(found, "reason", None)  # urllib's URLError keeps it there
        found = reason if isinstance(reason, BaseException) else found.__cause__ or found.__context__


def _is_fault(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    if isinstance(error, OSError) and error.errno in FAULTS:
        return True
    if _status(error) in BUSY:
        return True
    kinds = type(error).__mro__
    return any(
        kind.__module__.split(".")[0] in LIBRARIES and any(name in kind.__name__ for name in NAMES) for kind in kinds
    )


def _status(error: BaseException) -> int | None:
    """HTTP status of urllib's, requests', httpx's and Prefect's errors."""
    answer = getattr(error, "response", None)
    status = getattr(answer, "status_code", getattr(error, "code", None))
    return status if isinstance(status, int) else None
