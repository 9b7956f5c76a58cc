"""What the server of the lab answers: to its own page only."""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from rgmkit.errors import RgmkitError
from rgmkit.images.axes import check_axes
from rgmkit.images.value_range import check_range
from rgmkit.lab import samples
from rgmkit.lab.jobs import DONE, Job
from rgmkit.lab.pictures import Upload, look_at
from rgmkit.lab.request import MOST_IMAGES, MOST_SAMPLES, GenerateRequest, RestoreRequest
from rgmkit.lab.work import generate_images, restore_picture
from rgmkit.runtime.numbers import nulled

if TYPE_CHECKING:
    from rgmkit.lab.server import Lab

HERE = Path(__file__).parent / "page"
PAGES = {"/": "lab.html", "/lab.css": "lab.css", "/lab.js": "lab.js", "/icon.svg": "icon.svg"}
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json",
}  # fmt: skip
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}  # fmt: skip
MARK = "X-Rgmkit-Lab"  # a header that a page of another origin cannot send without asking, which is never allowed
MOST_BYTES = 64 * 2**20  # of one request
CHUNK = 2**20
log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is not answered, with its status."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answer one client."""

    server: Lab
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rgmkit", ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer a GET request."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a POST request."""
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request."""
        log.debug("%s %s", self.address_string(), format % args)

    def _answer(self, method: str) -> None:
        try:
            self._check_origin(method)
            body = self._read_body() if method == "POST" else {}
            path = urlsplit(self.path).path
            for route_method, pattern, function in ROUTES:
                match = pattern.fullmatch(path)
                if match and route_method == method:
                    function(self, body, *map(unquote, match.groups()))
                    return
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        except Refused as error:
            self.send_json({"error": str(error)}, error.status)
        except RgmkitError as error:
            self.send_json({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            log.exception("the lab could not answer %s", self.path)
            self.send_json({"error": f"{type(error).__name__}: {error}"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_origin(self, method: str) -> None:
        """Refuse a name that is not ours (DNS rebinding), and a request of another page (cross-site forgery)."""
        host = self.headers.get("Host", "")
        if not is_own_host(host, self.server.host):
            self.close_connection = True
            name = f"{host[:80]!r} is not the name of this lab"
            raise Refused(HTTPStatus.FORBIDDEN, f"{name}: open it by its address, or start it with --host NAME")
        origin = self.headers.get("Origin")
        if (origin is not None and origin != f"http://{host}") or (method == "POST" and not self.headers.get(MARK)):
            self.close_connection = True
            raise Refused(HTTPStatus.FORBIDDEN, "only the page of the lab itself may ask this")

    def _read_body(self) -> dict[str, Any]:
        """Read the JSON object that was sent, if it is not too large."""
        try:
            length = int(self.headers["Content-Length"])
            if length < 0:
                raise ValueError
        except (TypeError, ValueError):
            self.close_connection = True
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the length of the request is missing") from None
        if length > MOST_BYTES * 4 // 3:
            self.close_connection = True
            while length > 0 and (got := len(self.rfile.read(min(length, CHUNK)))):  # so that the answer is read
                length -= got
            limit = f"{MOST_BYTES / 2**20:g} MiB"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file is too large: the lab takes up to {limit}")
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "the request is not a JSON object")
        return body

    def send_json(self, facts: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send an object as JSON."""
        self.send(json.dumps(nulled(facts)).encode(), ".json", status)

    def send(self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, *, save_as: str = "") -> None:
        """Send bytes with the headers that keep the page to itself."""
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", TYPES.get(kind, "application/octet-stream"))
        self.send_header("Content-Length", str(len(data)))
        if save_as:
            self.send_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(save_as)}")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    # ---- what is answered ------------------------------------------------------------------------------

    def get_page(self, _: dict[str, Any], path: str) -> None:
        """Send the page and what belongs to it."""
        file = PAGES.get(path)
        if file is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        self.send((HERE / file).read_bytes(), Path(file).suffix)

    def get_forms(self, _: dict[str, Any]) -> None:
        """Send the forms, the samples and the limits."""
        limits = {
            "bytes": MOST_BYTES, "pixels": self.server.max_pixels, "samples": MOST_SAMPLES, "images": MOST_IMAGES,
        }  # fmt: skip
        self.send_json({"forms": self.server.forms, "samples": samples.list_samples(), "limits": limits})

    def get_sample(self, _: dict[str, Any], name: str) -> None:
        """Send a sample picture."""
        data = samples.read_sample(name)
        if data is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such sample")
        self.send(data, ".png")

    def post_look(self, body: dict[str, Any]) -> None:
        """Describe an uploaded picture."""
        ends = str(body.get("range") or "")
        axes = check_axes(str(body["axes"])) if body.get("axes") else None
        range = check_range(tuple(ends.split(","))) if ends else None
        upload = Upload.of(body.get("picture"))
        self.send_json(look_at(upload, most=self.server.max_pixels, axes=axes, range=range))

    def post_restore(self, body: dict[str, Any]) -> None:
        """Put a restoration into the queue."""
        lab = self.server
        request = RestoreRequest.of(body, lab.forms)
        self._submit(partial(restore_picture, request, forms=lab.forms, device=lab.device, most=lab.max_pixels))

    def post_generate(self, body: dict[str, Any]) -> None:
        """Put the drawing of a grid into the queue."""
        request = GenerateRequest.of(body, self.server.forms)
        self._submit(partial(generate_images, request, device=self.server.device))

    def _submit(self, work: Callable[[Job], Any]) -> None:
        job = self.server.jobs.submit(work)
        self.send_json({"id": job.id, "place": self.server.jobs.place(job)}, HTTPStatus.ACCEPTED)

    def get_job(self, _: dict[str, Any], name: str) -> None:
        """Send the state of a job, and its result when there is one."""
        job = self._find(name)
        facts: dict[str, Any] = {
            "state": job.state, "place": self.server.jobs.place(job), "step": job.step, "steps": job.steps,
            "detail": job.detail, "error": job.error,
        }  # fmt: skip
        if job.preview:
            facts["preview"] = "data:image/png;base64," + base64.b64encode(job.preview).decode()
        if job.state == DONE and job.result:
            facts["result"] = job.result.facts
        self.send_json(facts)

    def post_cancel(self, _: dict[str, Any], name: str) -> None:
        """Cancel a job."""
        job = self._find(name)
        self.server.jobs.cancel(job)
        self.send_json({"state": job.state})

    def get_file(self, _: dict[str, Any], name: str, file: str) -> None:
        """Send a file of a result: pictures to show, the others to save."""
        result = self._find(name).result
        if result is None or file not in result.files:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such file")
        self.send(result.files[file], Path(file).suffix, save_as=file if file in result.facts["downloads"] else "")

    def _find(self, name: str) -> Job:
        job = self.server.jobs.find(name)
        if job is None:
            raise Refused(HTTPStatus.NOT_FOUND, "this result is no longer kept: run it again")
        return job


Route = tuple[str, re.Pattern[str], Callable[..., None]]
ROUTES: tuple[Route, ...] = (
    ("GET", re.compile(r"/api/forms"), Handler.get_forms),
    ("GET", re.compile(r"/samples/([\w-]+)\.png"), Handler.get_sample),
    ("POST", re.compile(r"/api/look"), Handler.post_look),
    ("POST", re.compile(r"/api/restore"), Handler.post_restore),
    ("POST", re.compile(r"/api/generate"), Handler.post_generate),
    ("GET", re.compile(r"/api/jobs/([\w-]+)"), Handler.get_job),
    ("POST", re.compile(r"/api/jobs/([\w-]+)/cancel"), Handler.post_cancel),
    ("GET", re.compile(r"/jobs/([\w-]+)/([^/]+)"), Handler.get_file),
    ("GET", re.compile(r"(/[\w.]*)"), Handler.get_page),
)


def is_own_host(header: str, host: str) -> bool:
    """Tell whether the Host header of a request names this server: by an address, as localhost, or as `host`.

    A name of another page that resolves to this machine (DNS rebinding) is none of these.

    >>> [is_own_host(name, "127.0.0.1") for name in ("127.0.0.1:80", "[::1]:80", "localhost:80", "evil.org:80")]
    [True, True, True, False]
    """
    with suppress(ValueError):
        name = urlsplit(f"//{header}").hostname or ""
        if name in ("localhost", host.lower()):
            return True
        ipaddress.ip_address(name)
        return True
    return False
