"""Ask the lab for many restorations from several clients at once: is one lost, and does its memory grow?

python benchmarks/lab.py --requests 50 --clients 4
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import threading
import time
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

import numpy as np
import psutil
from PIL import Image
from skimage import data

from rgmkit.lab.handler import MARK
from rgmkit.lab.server import Lab

POLL = 0.05  # seconds between two questions of a client


class Client:
    """A page of the lab."""

    def __init__(self, lab: Lab) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(lab.url).netloc, timeout=600)

    def ask(self, path: str, given: object = None) -> bytes:
        """Return the answer of the lab."""
        body = None if given is None else json.dumps(given)
        self.connection.request("GET" if body is None else "POST", path, body, {MARK: "1"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(content.decode())
        return content

    def restore(self, given: dict[str, object]) -> dict[str, object]:
        """Restore a picture as the page does; return the job when it has ended, and fetch its pictures."""
        name = json.loads(self.ask("/api/restore", given))["id"]
        while (job := json.loads(self.ask(f"/api/jobs/{name}")))["state"] in ("waiting", "running"):
            time.sleep(POLL)
        for entry in job["result"]["pictures"]:
            assert self.ask(f"/jobs/{name}/{entry['file']}").startswith(b"\x89PNG")
        return job


def make_request(seed: int, side: int) -> dict[str, object]:
    """Return a request with a picture of its own, so that answers cannot be mixed up unseen."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(data.camera()[seed : seed + side, :side])).save(file, "PNG")
    picture = {"name": f"{seed}.png", "data": base64.b64encode(file.getvalue()).decode()}
    return {
        "picture": picture, "simulate": True, "seed": str(seed), "side": "", "prior": {"name": "tv"},
        "degradation": {"name": "blur", "options": {"std": "1"}}, "noise": {"name": "white", "options": {"std": ".02"}},
    }  # fmt: skip


def run_clients(lab: Lab, requests: int, clients: int, side: int) -> tuple[dict[int, str], list[float]]:
    """Return the command line of each answer by its seed, and the memory in MiB after each."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for seed in range(requests):
        waiting.put(seed)
    answers: dict[int, str] = {}
    memory: list[float] = []

    def work() -> None:
        client = Client(lab)
        while True:
            try:
                seed = waiting.get_nowait()
            except Empty:
                return
            job = client.restore(make_request(seed, side))
            answers[seed] = job["result"]["commands"]["shell"]  # type: ignore[index]
            memory.append(psutil.Process().memory_info().rss / 2**20)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, memory


def main() -> None:
    """Print how many answers came and were the right ones, and the memory at the beginning and the end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    lab = Lab(device="cpu")
    threading.Thread(target=lab.serve_forever, daemon=True).start()
    started = time.perf_counter()
    answers, memory = run_clients(lab, options.requests, options.clients, options.side)
    right = sum(f"rgmkit degrade {seed}.png" in text for seed, text in answers.items())
    seconds, half = time.perf_counter() - started, len(memory) // 2
    first, second = max(memory[:half]), max(memory[half:])
    print(f"{right} of {options.requests} requests of {options.clients} clients answered in {seconds:.0f} s")
    print(f"memory: {memory[0]:.0f} MiB after the first, at most {first:.0f} in the first half and {second:.0f} after")
    lab.shutdown()
    lab.server_close()


if __name__ == "__main__":
    main()
