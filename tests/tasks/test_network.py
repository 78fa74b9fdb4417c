import errno
import io
import socket
import urllib.error

import httpx
import pytest
import requests

from data_contracts.errors import PromotionError
from tasks.network import is_network_fault

ASKED = httpx.Request("GET", "http://here")


def status_error(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://here", code, "said", {}, io.BytesIO())


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [
    ConnectionRefusedError(), ConnectionResetError(), TimeoutError(), socket.gaierror(-3, "no name server"),
    OSError(errno.ENETUNREACH, "no route"), OSError(errno.ESTALE, "stale file handle"),
    urllib.error.URLError(ConnectionRefusedError()), urllib.error.URLError(TimeoutError()),
    status_error(503), httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"),
    requests.exceptions.ConnectionError("refused"), requests.exceptions.ReadTimeout("slow"),
    httpx.HTTPStatusError("busy", request=ASKED, response=httpx.Response(503, request=ASKED)),
    raised_from(RuntimeError("the upload failed"), ConnectionResetError()),
])  # fmt: skip
def test_a_broken_line_is_tried_again(error):
    assert is_network_fault(error)


@pytest.mark.parametrize("error", [
    None, ValueError("our mistake"), FileNotFoundError("gone"), PermissionError("not yours"), MemoryError(),
    OSError(errno.ENOSPC, "disk full"), OSError(errno.EIO, "disk broken"), status_error(404), status_error(403),
    status_error(500), httpx.HTTPStatusError("no", request=ASKED, response=httpx.Response(422, request=ASKED)),
    requests.exceptions.InvalidURL("x"), raised_from(PromotionError("the registry does not answer"), ConnectionError()),
])  # fmt: skip
def test_what_a_person_must_mend_is_not(error):
    assert not is_network_fault(error)
