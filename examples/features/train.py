"""Train a feature network for `rgmkit evaluate`: a classifier of the pictures in labelled folders, or of the digits.

    python examples/features/train.py examples/features/cifar10.yaml -o features/cifar10

The class of a picture is the name of its folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from rgmkit.config import build, read_yaml
from rgmkit.core.features import Features
from rgmkit.models.features import save_features
from rgmkit.training.data.files import Folder

FACTS = ("data", "seed", "training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the model folder")
    arguments = parser.parse_args()
    config = read_yaml(arguments.config)
    torch.manual_seed(config["seed"])
    train_set, test_set = (read(config[name], arguments.config.parent) for name in ("data", "test"))
    network = build("features", config["features"]).to(memory_format=torch.channels_last)
    start = time.perf_counter()
    train(network, *train_set, **config["training"])
    facts = {
        "data": config["data"], "training images": len(train_set[0]), "epochs": config["training"]["epochs"],
        "seconds": round(time.perf_counter() - start), "test images": len(test_set[0]),
        "test accuracy": round(measure_accuracy(network, *test_set), 4),
    }  # fmt: skip
    print(facts)
    save_features(arguments.out, network, config, facts)


def read(spec: Any, folder: Path) -> tuple[Tensor, Tensor]:
    """Read all images of a data source, and their classes."""
    data = build("data", spec, folder=folder)
    images = torch.cat([data.take(part, torch.Generator()) for part in torch.arange(len(data)).split(1000)])
    if isinstance(data, Folder):
        names = sorted({file.parent.name for file in data.files})
        return images, torch.tensor([names.index(file.parent.name) for file in data.files])
    return images, data.labels


def train(
    network: Features, images: Tensor, labels: Tensor, *, epochs: int, batch: int, lr: float, shift: int, flip: bool
) -> None:
    """Minimise the cross-entropy by stochastic gradient descent in bfloat16, on shifted and mirrored images."""
    optimizer = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs=epochs, steps_per_epoch=steps, pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        for rows in torch.randperm(len(images))[: steps * batch].view(steps, batch):
            x = augment(images[rows], shift, flip).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(network.classify(x), labels[rows], label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    network.eval()


def augment(x: Tensor, shift: int, flip: bool) -> Tensor:
    """Shift each image by up to `shift` pixels, and mirror half of them."""
    height, width = x.shape[-2:]
    padded = pad(x, (shift,) * 4, mode="reflect") if shift else x
    corners = torch.randint(2 * shift + 1, (len(x), 2)).tolist()
    x = torch.stack([p[:, i : i + height, j : j + width] for p, (i, j) in zip(padded, corners, strict=True)])
    return torch.where((torch.rand(len(x)) < 0.5 * flip).view(-1, 1, 1, 1), x.flip(-1), x)


@torch.no_grad()
def measure_accuracy(network: Features, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose class is found."""
    found = torch.cat([network.classify(part).argmax(1) for part in images.split(500)])
    return float((found == labels).float().mean())


if __name__ == "__main__":
    main()
