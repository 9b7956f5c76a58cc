"""A server with the part of the Hugging Face hub's interface that rgmkit uses, in this process."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class FakeHub:
    """Repositories by name, each with its commits: the files by the revision, and `main`, the last of them."""

    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        """Add files to a repository and return the revision."""
        commits = self.repos.setdefault(repo, {})
        content = {**commits.get("main", {}), **files}
        revision = hashlib.sha1(repr(sorted(content.items())).encode()).hexdigest()
        commits[revision] = commits["main"] = content
        return revision

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Answer a request: status, headers, content."""
        self.requests.append(f"{method} {path}")
        parts = unquote(urlsplit(path).path).strip("/").split("/")
        if parts[:3] == ["api", "repos", "create"]:
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.repos.setdefault(repo, {})
            self.private.setdefault(repo, asked.get("private") or asked.get("visibility") == "private")
            return as_json({"url": f"{self.address}/{repo}", "name": repo})
        if parts == ["api", "validate-yaml"]:
            return as_json({"errors": [], "warnings": []})
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repo not in self.repos:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if parts[0] == "api":
            return self._api(repo, *(parts[4:6] or ("revision", "main")), body)
        return self._file(repo, parts[3], "/".join(parts[4:]))

    def _api(self, repo: str, what: str, revision: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if what == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            return as_json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        if what == "commit":
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            oid = self.commit(repo, {file["path"]: base64.b64decode(file["content"]) for file in files})
            return as_json({"success": True, "commitUrl": f"{self.address}/{repo}/commit/{oid}", "commitOid": oid})
        if revision not in self.repos[repo]:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = self.repos[repo][revision]
        if what == "tree":
            return as_json([{"type": "file", "path": n, "size": len(c), "oid": etag(c)} for n, c in files.items()])
        return as_json({"id": repo, "sha": self._find(repo, revision), "siblings": [{"rfilename": n} for n in files]})

    def _file(self, repo: str, revision: str, name: str) -> tuple[int, dict[str, str], bytes]:
        if revision not in self.repos[repo]:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        content = self.repos[repo][revision].get(name)
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"X-Repo-Commit": self._find(repo, revision), "ETag": f'"{etag(content)}"'}, content

    def _find(self, repo: str, revision: str) -> str:
        commits = self.repos[repo]
        return next(name for name, files in commits.items() if name != "main" and files is commits[revision])


def as_json(content: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serve() -> Iterator[FakeHub]:
    """Serve an empty hub on a free port of this machine."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = hub.answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
