"""Requests to a service: sent with its key, tried again where that is safe, answered or raised.

The only file that knows the HTTP library. What is asked and what an answer means is for others.
"""

from __future__ import annotations

import json as json_text
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, cast

from framekeep.client.problems import BUSY, UNDER_WAY, error_of
from framekeep.errors import (
    ConfigurationError,
    FramekeepError,
    InvalidInputError,
    ServiceError,
    StorageUnavailableError,
)
from framekeep.names import REVISION_SIZE, Revision

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    try:
        import httpx2 as httpx
    except ImportError:
        try:
            import httpx
        except ImportError as error:
            raise ImportError(
                "framekeep.Client needs httpx2: pip install 'framekeep[client]'", name="httpx2"
            ) from error

T = TypeVar("T")
Params = Mapping[str, Any]

_CONNECT: Final = 10.0
"""Seconds for a connection; waiting longer for a machine that is not there helps nobody."""
_JSON: Final = "application/json"
_IN_MEMORY: Final = 16 << 20
"""Bytes of a frame that are received in memory; more go to a file that has no name."""
_PIECE: Final = 1 << 20
_UNANSWERED: Final = "unanswered"
_UNDER_WAY_WAIT: Final = 1.0
_FIRST_WAIT: Final = 0.1
_WAITS_GROW: Final = 4


@dataclass(frozen=True, slots=True)
class Body:
    """What a request sends.

    Attributes:
        media_type: of the pieces.
        pieces: gives them, and gives them again when the request has to be sent again.
        length: bytes in all, if that is known.
    """

    media_type: str
    pieces: Callable[[], Iterator[bytes]]
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the service.

    Attributes:
        headers: by name in lower case.
        body: all of it; empty if it went elsewhere.
    """

    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def revision(self) -> Revision:
        """The state of the session's data that the answer is about."""
        try:
            found = bytes.fromhex(self.headers["etag"].strip('"'))
        except (KeyError, ValueError):
            found = b""
        if len(found) != REVISION_SIZE:
            raise ServiceError("The service answered without the state of the data. Is it a Framekeep?")
        return Revision(found)

    def document(self) -> dict[str, Any]:
        """Return the JSON object in the body."""
        try:
            found = json_text.loads(self.body)  # not orjson: it makes floats of integers beyond 64 bits
        except ValueError as error:
            raise ServiceError(
                "The service answered something that is not JSON. Is it a Framekeep?"
            ) from error
        if not isinstance(found, dict):
            raise ServiceError("The service answered JSON of another shape. Is it a Framekeep?")
        return found


class Connection:
    """A service, and how to talk to it. Thread-safe.

    Args:
        url: where it is; a path in it is where a proxy has put it.
        api_key: one of its API_KEYS.
        timeout: seconds to wait for the next part of an answer, and for the answer to a request that was sent
            again while the service is still at it.
        retries: how often a request that got no answer is sent again.
        socket: a Unix socket to connect to instead of the host and port of ``url``.
        sleep: waits between two attempts.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout: float,
        retries: int,
        socket: str | Path | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _base(url)
        self._timeout = _seconds(timeout)
        if type(retries) is not int or retries < 0:
            raise ConfigurationError("retries is how often a request is sent again: 0 or more.")
        self._waits = [_FIRST_WAIT * _WAITS_GROW**i for i in range(retries)]
        self._sleep = sleep
        self._http = httpx.Client(
            headers=_headers(api_key),
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, _CONNECT)),
            transport=None if socket is None else httpx.HTTPTransport(uds=str(socket)),
            trust_env=socket is None,
            follow_redirects=False,  # the key goes to nobody else
        )

    def close(self) -> None:
        """Close every connection; later requests raise StorageUnavailableError."""
        self._http.close()

    # --- requests --------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        json: object = None,
        body: Body | None = None,
        expected: Revision | None = None,
        session_id: str | None = None,
        or_status: int | None = None,
    ) -> Reply:
        """Send a request and return its answer.

        Args:
            method: the HTTP method.
            path: below the address of the service.
            params: of the query; None leaves one out, a list repeats it.
            json: what the body says.
            body: instead of ``json``.
            expected: the state of the data that the request is for.
            session_id: for errors.
            or_status: one that is an answer too, though it tells of trouble.

        Raises:
            FramekeepError: of the class that the service names.
            StorageUnavailableError: it cannot be reached.
            ServiceError: it answered what no Framekeep answers.
        """
        if json is not None:
            said = _json(json)
            body = Body(_JSON, lambda: iter([said]), len(said))
        request = _Request(method, path, params, _JSON, body, expected, session_id, or_status)

        def receive(response: httpx.Response) -> Reply:
            if response.status_code != 204:
                _check_type(response, _JSON)
            return Reply(response.headers, response.read())

        return self._tried(request, receive)

    @contextmanager
    def fetched(
        self, path: str, params: Params | None, media_type: str, *, session_id: str | None = None
    ) -> Iterator[tuple[Reply, BinaryIO]]:
        """Receive an answer whole, in a file that is gone after the block; raises as ``ask`` does."""
        request = _Request("GET", path, params, media_type, session_id=session_id)

        def receive(response: httpx.Response) -> tuple[Reply, BinaryIO]:
            _check_type(response, media_type)
            file = cast(BinaryIO, SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - closed with the block
            try:
                for piece in response.iter_bytes(_PIECE):
                    file.write(piece)
            except BaseException:
                file.close()
                raise
            return Reply(response.headers), file

        reply, file = self._tried(request, receive)
        with file:
            yield reply, file

    def streamed(
        self, path: str, params: Params | None, media_type: str, *, session_id: str | None = None
    ) -> tuple[Reply, Iterator[bytes]]:
        """Return an answer whose body is received as its pieces are asked for; raises as ``ask`` does.

        Once it has begun it is not asked for again: pieces that do not come raise StorageUnavailableError.
        """
        request = _Request("GET", path, params, media_type, session_id=session_id)
        response = self._tried(request, lambda response: response, keep=True)
        try:
            _check_type(response, media_type)
        except ServiceError:
            response.close()
            raise
        return Reply(response.headers), self._pieces(response)

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        with closing(response):
            parts = response.iter_bytes(_PIECE)
            while True:
                try:
                    part = next(parts, None)
                except httpx.TransportError as error:
                    failure = self._unavailable(error)
                else:
                    if part is None:
                        return
                    yield part
                    continue
                raise failure

    def _tried(self, request: _Request, take: Callable[[httpx.Response], T], *, keep: bool = False) -> T:
        """Send a request until it is answered, at most as often as allowed; take what is in the answer."""
        headers = request.headers()
        waits, waited = iter(self._waits), 0.0
        while True:
            failure: FramekeepError
            code = ""
            try:
                response, answers = self._sent(request, headers), False
                try:
                    if answers := response.is_success or response.status_code == request.or_status:
                        return take(response)
                    failure, code = error_of(response.status_code, response.read(), request.session_id)
                finally:
                    if not (keep and answers):
                        response.close()
            except httpx.TransportError as trouble:
                failure, code = self._unavailable(trouble), _UNANSWERED
            except httpx.DecodingError:
                raise ServiceError("The service answered with an encoding that is damaged.") from None
            # From here on: what the library raised holds the request, and that holds the key.
            if code == UNDER_WAY and waited < self._timeout:
                wait: float | None = (
                    _UNDER_WAY_WAIT  # the first attempt is being carried out, and will be answered
                )
                waited += _UNDER_WAY_WAIT
            else:
                wait = next(waits, None) if code in (_UNANSWERED, *BUSY) else None
            if wait is None:
                raise failure
            self._sleep(wait)

    def _sent(self, request: _Request, headers: Mapping[str, str]) -> httpx.Response:
        if self._http.is_closed:
            raise StorageUnavailableError("This Client is closed. Make a new one.")
        pieces = request.body.pieces() if request.body is not None else None
        try:
            made = self._http.build_request(
                request.method,
                self.url + request.path,
                params=request.query(),
                content=pieces,
                headers=headers,
            )
        except UnicodeEncodeError as error:
            raise InvalidInputError("A text holds half of a surrogate pair, which no request can.") from error
        return self._http.send(made, stream=True)

    def _unavailable(self, error: httpx.TransportError) -> StorageUnavailableError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            what = "cannot be reached. Is it running, and is the address right?"
        elif isinstance(error, httpx.TimeoutException):
            what = f"did not answer within {self._timeout:g} s. Try again, or wait longer (timeout=)."
        elif isinstance(error, httpx.UnsupportedProtocol):
            what = "has an address that is not http:// or https://."
        else:
            what = "broke the connection. Try again."
        return StorageUnavailableError(f"The service at {self.url} {what} ({type(error).__name__})")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    params: Params | None
    accept: str
    body: Body | None = None
    expected: Revision | None = None
    session_id: str | None = None
    or_status: int | None = None

    def query(self) -> dict[str, Any] | None:
        if self.params is None:
            return None
        found = {name: value for name, value in self.params.items() if value is not None}
        return {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in found.items()
        }

    def headers(self) -> dict[str, str]:
        found = {"accept": self.accept}
        if self.method != "GET":
            # One key for all attempts: what was carried out before its answer got lost is answered again.
            found["idempotency-key"] = token_hex(16)
        if self.body is not None:
            found["content-type"] = self.body.media_type
            if self.body.length is not None:
                found["content-length"] = str(self.body.length)
        if self.expected is not None:
            if not isinstance(self.expected, bytes):
                raise InvalidInputError("A revision is what revision() gives, or what on_revision was told.")
            found["if-match"] = f'"{self.expected.hex()}"'
        return found


def _json(value: object) -> bytes:
    try:
        return json_text.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"Only what JSON has can be sent to a service: {error}.") from error


def _check_type(response: httpx.Response, media_type: str) -> None:
    found = response.headers.get("content-type", "").partition(";")[0].strip()
    if found != media_type:
        raise ServiceError(
            f"The service answered {found[:80] or 'nothing'} where {media_type} was asked for. Is it a "
            "Framekeep?"
        )


def _base(url: object) -> str:
    try:
        found = httpx.URL(url) if isinstance(url, str) else None
    except httpx.InvalidURL:
        found = None
    if found is None or found.scheme not in ("http", "https") or not found.host:
        raise ConfigurationError("A Client takes the address of a service: Client('http://localhost:8000').")
    if found.userinfo or found.query or found.fragment:
        raise ConfigurationError(
            "The address of a service has no user, query or fragment; the key goes into api_key=."
        )
    return str(found).rstrip("/")


def _headers(api_key: object) -> dict[str, str]:
    headers = {"user-agent": "framekeep"}
    if api_key is not None:
        if not isinstance(api_key, str) or not api_key or not api_key.isascii() or not api_key.isprintable():
            raise ConfigurationError(
                "An API key is a text of visible ASCII characters; this one is not shown."
            )
        headers["authorization"] = f"Bearer {api_key}"
    return headers


def _seconds(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ConfigurationError("timeout is a number of seconds above 0.")
    return float(timeout)
