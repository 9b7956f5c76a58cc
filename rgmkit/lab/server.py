"""The server of the lab: on this machine alone by default."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from http.server import ThreadingHTTPServer
from typing import Any

from rgmkit.errors import ConfigError
from rgmkit.lab.forms import describe_forms
from rgmkit.lab.handler import Handler
from rgmkit.lab.jobs import Jobs
from rgmkit.models import check_model
from rgmkit.runtime.device import choose_device
from rgmkit.runtime.signals import unwind_on_sigterm

MOST_PIXELS = 16_000_000
log = logging.getLogger(__name__)


class Lab(ThreadingHTTPServer):
    """The server.

    Args:
        host, port: where it listens; port 0 is any that is free.
        models: model folders that are offered beside the shipped models.
        max_pixels: most pixels of an uploaded picture.
        device: where it computes.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        models: Iterable[str] = (),
        max_pixels: int = MOST_PIXELS,
        device: str | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.models, self.max_pixels, self.device = list(models), max_pixels, choose_device(device)
        self.host = host
        self._forms_lock = threading.Lock()
        self.jobs = Jobs()
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        """The address of the page."""
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            self.host, f"[{self.host}]" if ":" in self.host else self.host
        )
        return f"http://{name}:{self.server_address[1]}/"

    @cached_property
    def _forms(self) -> dict[str, list[dict[str, Any]]]:
        return describe_forms(self.models)

    @property
    def forms(self) -> dict[str, list[dict[str, Any]]]:
        """The forms, which are made at the first use."""
        with self._forms_lock:
            return self._forms

    def server_bind(self) -> None:
        """Bind without looking up the name of this machine, which may take long."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def server_close(self) -> None:
        """Cancel all jobs and stop listening."""
        super().server_close()
        self.jobs.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a failure, but not a client that went away."""
        log.debug("a request of %s failed", client_address, exc_info=True)


def serve(
    host: str,
    port: int,
    *,
    models: Iterable[str] = (),
    max_pixels: int = MOST_PIXELS,
    device: str | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ConfigError: if the address cannot be used.
        CheckpointError: if there is no such model.
    """
    for model in models:
        check_model(model)
    try:
        lab = Lab(host, port, models=models, max_pixels=max_pixels, device=device)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}, port {port}: {error.strerror or error}; give another --port"
        ) from error
    say(f"the lab is at {lab.url} (Ctrl-C ends it)")
    if not is_loopback(host):
        say(f"warning: anyone who can reach {host} can use the lab, without a password; they see none of your files")
    threading.Thread(target=lambda: lab.forms, daemon=True).start()  # so that they are there when the page asks
    if browser:
        threading.Thread(target=webbrowser.open, args=(lab.url,), daemon=True).start()
    try:
        with unwind_on_sigterm():
            lab.serve_forever()
    except KeyboardInterrupt:
        say("the lab has ended")
    finally:
        lab.server_close()


def is_loopback(host: str) -> bool:
    """Tell whether a server at this address can be reached from this machine alone.

    >>> is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, False)
    """
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
