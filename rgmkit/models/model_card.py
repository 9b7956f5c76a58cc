"""The model card: a README whose front matter holds the facts and whose body shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from rgmkit.config import dump_yaml, load_yaml

FENCE = "---\n"
RENAMED = {"figures": "metrics", "sure": "confident", "nearest": "nearest_neighbour_ratio"}
"""Names of facts in the model cards of version 0.1, and their present names."""

Kind: TypeAlias = Literal["generative", "denoiser", "regulariser"]

LIBRARY, FACTS = "rgmkit", "facts"
PIPELINES = {"generative": "unconditional-image-generation", "features": "image-feature-extraction"}
TAGS = {"generative": "restoration-based-generative-model", "features": "feature-extraction"}
"""Metadata of the hub, by the kind of a model."""

TITLES = {
    "generative": "a restoration-based generative model", "denoiser": "a denoiser", "regulariser": "a regulariser",
}  # fmt: skip
GENERATIVE = "A restoration-based generative model: it restores images and generates new ones."
DENOISER = "A denoiser, trained with a mean squared error: it restores images and is not a generative model."
REGULARISER = "A regulariser, an explicit prior g(x): it restores images by gradient descent and generates none."
ABOUT = {"generative": GENERATIVE, "denoiser": DENOISER, "regulariser": REGULARISER}
RESTORING = "Use it: `rgmkit.load(FOLDER)` in Python, `rgmkit restore … --prior FOLDER` in a shell."
USES = {
    "generative": "Use it: `rgmkit.load(FOLDER)` in Python, `rgmkit generate FOLDER` in a shell.",
    "denoiser": RESTORING, "regulariser": RESTORING,
}  # fmt: skip


def write_card(name: str, facts: Mapping[str, Any], *, about: str | None = None, kind: Kind = "generative") -> str:
    """Write a README in Markdown: the facts as YAML front matter, a sentence, and the facts as tables.

    Args:
        name: of the model.
        facts: what is known of it, in order; `metrics` are those of generated images, for each start of the chain.
        about: the sentence. Default: by the kind.
        kind: of the model.

    >>> card = write_card("digits", {"steps": 100, "metrics": {"noise": {"frechet": 1.5}}})
    >>> read_card(card)["steps"]
    100
    """
    plain = {key: value for key, value in facts.items() if key != "metrics"}
    lines = [f"# {name}: {TITLES[kind]}", "", about or ABOUT[kind], ""]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in plain.items()), ""]
    lines += _table(facts.get("metrics") or {})
    lines += [USES[kind], ""]
    return FENCE + dump_yaml(dict(facts)) + FENCE + "\n".join(lines)


def read_card(text: str) -> dict[str, Any]:
    """Read the facts of a model card, under their present names; none without front matter."""
    facts = _split(text)[0]
    if facts.get("library_name") == LIBRARY:  # a card of the hub
        facts = facts.get(FACTS) or {}
    return _rename(facts) if isinstance(facts, dict) else {}


def _split(text: str) -> tuple[dict[Any, Any], str]:
    """Split a model card into its front matter and its body."""
    parts = text.split(FENCE, 2)
    if len(parts) < 3 or parts[0]:
        return {}, text
    front = load_yaml(parts[1])
    return front if isinstance(front, dict) else {}, parts[2]


def write_hub_card(text: str, repo: str, *, kind: str, license: str | None = None, samples: str | None = None) -> str:
    """Write a model card for the Hugging Face hub: its metadata and the facts as front matter, and how to load it.

    Args:
        text: the model card, of a model folder or of the hub.
        repo: where it goes, `user/repo`.
        kind: of the model; "features" for a feature network.
        license: of the weights, by the hub's name for it. Default: that of a card of the hub.
        samples: the name of a picture of samples beside the card.

    >>> card = write_hub_card(write_card("digits", {"steps": 100}), "someone/digits", kind="generative")
    >>> card.splitlines()[1:3], read_card(card)
    (['library_name: rgmkit', 'pipeline_tag: unconditional-image-generation'], {'steps': 100})
    """
    front, body = _split(text)
    license = license or front.get("license")
    metadata = {
        "library_name": LIBRARY,
        **({"license": license} if license else {}),
        "pipeline_tag": PIPELINES.get(kind, "image-to-image"),
        "tags": [LIBRARY, "inverse-problems", "image-restoration", TAGS.get(kind, kind)],
        FACTS: read_card(text),
    }
    own = f"![Samples]({samples})"
    lines = [line for line in body.rstrip().splitlines() if not line.startswith(("Use it", "![Samples]"))]
    name, option = f"hf:{repo}", "--features" if kind == "features" else "--prior"
    load = f'`rgmkit.load("{name}")` in Python, ' if kind != "features" else ""
    use = f"Use it after `pip install 'rgmkit[hub]'`: {load}`{option} {name}` in a shell."
    text = "\n".join(lines).rstrip() + "\n\n" + (f"{own}\n\n" if samples else "") + use + "\n"
    return FENCE + dump_yaml(metadata) + FENCE + text


def _rename(facts: Mapping[Any, Any]) -> dict[str, Any]:
    names = {key: RENAMED.get(key, str(key).replace("real level", "chain started at level")) for key in facts}
    return {names[key]: _rename(value) if isinstance(value, dict) else value for key, value in facts.items()}


def _table(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Make a table with a row for each start of the chain and a column for each metric."""
    if not metrics:
        return []
    columns = list(next(iter(metrics.values())))
    caption = "Of images generated from noise, and of chains started from real images degraded to level k."
    lines = ["## Metrics", "", caption, ""]
    lines += ["| start | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for start, row in metrics.items():
        lines.append(f"| {start} | " + " | ".join(f"{row[column]:.4g}" for column in columns) + " |")
    return [*lines, ""]
