"""One page, served on this machine alone."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from advbench.errors import InputError

HOST: Final = "127.0.0.1"

_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class _Server(ThreadingHTTPServer):
    """Says nothing of a browser that has left."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def page_server(page: str, port: int | None = None) -> ThreadingHTTPServer:
    """A server that answers `GET /` with the page, and everything else with an error.

    It listens on the loopback address only, and answers only who has asked for it by that address or as
    localhost: a page of elsewhere whose name is made to lead here gets nothing.

    Args:
        page: in HTML.
        port: where it listens; a free one by default.

    Raises:
        InputError: the port is taken, or may not be used.
    """
    contents = page.encode()

    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        server_version = "advbench"
        sys_version = ""
        timeout = 30

        def do_GET(self) -> None:
            self._answer(contents)

        def do_HEAD(self) -> None:
            self._answer(b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as the library names it
            """Say nothing."""

        def _answer(self, body: bytes) -> None:
            number = server.server_port
            if self.headers.get("Host", "") not in (f"{HOST}:{number}", f"localhost:{number}"):
                self.send_error(421)
            elif self.path != "/":
                self.send_error(404)
            else:
                self.send_response(200)
                for name, text in _HEADERS.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(contents)))
                self.end_headers()
                self.wfile.write(body)

    try:
        server = _Server((HOST, port or 0), Handler)
    except OSError as error:
        raise InputError(
            f"--port {port} cannot be used: {error.strerror}. Leave it out for a free one."
        ) from error
    return server
