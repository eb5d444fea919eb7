"""One page on the loopback address, and nothing else for nobody else."""

import http.client
import threading
from collections.abc import Iterator

import pytest

from advbench.errors import InputError
from advbench.reports.serve import HOST, page_server

PAGE = "<!doctype html><p>– a page"


@pytest.fixture
def port() -> Iterator[int]:
    with page_server(PAGE) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def answer(port: int, path: str = "/", method: str = "GET", host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_the_page_is_served_and_nothing_else(port: int) -> None:
    assert answer(port) == (200, PAGE)
    assert answer(port, host=f"localhost:{port}") == (200, PAGE)
    assert answer(port, method="HEAD") == (200, "")
    for path in ("/index.html", "/..", "/?", "/etc/passwd", f"http://{HOST}:{port}/"):
        status, body = answer(port, path)
        assert status == 404
        assert PAGE not in body
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert answer(port, method=method)[0] == 501


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:80", ""]
)
def test_a_name_that_is_made_to_lead_here_gets_nothing(port: int, host: str) -> None:
    status, body = answer(port, host=host)
    assert status == 421
    assert PAGE not in body


def test_it_listens_on_the_loopback_address_alone() -> None:
    with page_server(PAGE) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_told() -> None:
    with page_server(PAGE) as server, pytest.raises(InputError) as caught:
        page_server(PAGE, server.server_port)
    assert f"--port {server.server_port} cannot be used: " in str(caught.value)


def test_a_browser_that_leaves_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    with page_server(PAGE) as server:
        for error, is_told in (
            (BrokenPipeError(), False),
            (TimeoutError(), False),
            (KeyError(), True),
        ):
            try:
                raise error
            except Exception:
                server.handle_error(None, ("127.0.0.1", 1))  # type: ignore[arg-type]  # what is told needs none
            assert bool(capsys.readouterr().err) is is_told
