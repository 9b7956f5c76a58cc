"""YAML with PyYAML and the scalars of version 1.2: one table tells reader and writer what a plain word means.

PyYAML alone follows version 1.1, where `on` is true, `12:30` is 750 and `1e-2` is text. Its writer quotes
text that its own reader would misread. The writer here quotes text that the reader here would misread, so that every
value is read back unchanged.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from rgmkit.errors import describe_cause

YAMLError = yaml.YAMLError

SCALARS = {  # tag: the pattern, and the characters that it may start with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
"""The plain scalars of YAML 1.2 that are not text (core schema, section 10.3.2), except that `010` is text here."""

MOST_VALUES = 1_000_000  # of one document
WIDTH = 10**9  # no line is folded
LINE_BREAKS = re.compile("[\n\r\x85\u2028\u2029]")
SPEC_SYNTAX = re.compile(r"[,'\"()\[\]{}]")


class _Reader(yaml.SafeLoader):
    """Safe YAML; a key that is given twice is an error, and so is a value of another kind, such as a set or a date."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - in place of those of version 1.1
    yaml_constructors = {  # noqa: RUF012
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            this = key.tag, str(key.value)
            if this in keys and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            keys.add(this)
        return super().construct_mapping(node, deep)


class _Writer(yaml.SafeDumper):
    """Safe YAML without anchors; text with line breaks stays on one line, escaped."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if LINE_BREAKS.search(text) else None)


class _SpecWriter(_Writer):
    """YAML for a spec: text with a comma, bracket or quote is quoted."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        if LINE_BREAKS.search(text) or not SPEC_SYNTAX.search(text):
            return super().represent_text(text)
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'")


for _writer in (_Writer, _SpecWriter):
    _writer.add_representer(str, _writer.represent_text)
for _class in (_Reader, _Writer):
    for _tag, (_pattern, _first) in SCALARS.items():
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_SpecWriter.yaml_implicit_resolvers = _Writer.yaml_implicit_resolvers


def load_yaml(text: str) -> Any:
    """Read a YAML document.

    Raises:
        YAMLError: if it is malformed, gives a key twice, is nested too deeply, or too large with its aliases expanded.

    >>> load_yaml("{rate: 1e-2, state: on, time: 12:30, ready: true, empty: ~}")
    {'rate': 0.01, 'state': 'on', 'time': '12:30', 'ready': True, 'empty': None}
    """
    loader = _Reader(text)
    try:
        node = loader.get_single_node()
        _count_values(node, {})
        return None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise YAMLError("it is nested too deeply") from error
    except (TypeError, ValueError, LookupError) as error:  # of `!!int ten`, or of a number of thousands of digits
        raise YAMLError(f"a value cannot be read ({describe_cause(error)})") from error
    finally:
        loader.dispose()


def _count_values(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Count the values in a node with its aliases expanded.

    Raises:
        YAMLError: if they are more than `MOST_VALUES`, or one contains itself.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # until it is counted: of an alias within itself
        inner = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_count_values(part, known) for part in inner)
    if known[id(node)] > MOST_VALUES:
        raise YAMLError(f"with its aliases it has more than {MOST_VALUES} values, or one that contains itself")
    return known[id(node)]


def is_whole_value(text: str) -> bool:
    """Whether valid YAML is one value or empty, without a comment or a marker of documents beside it.

    >>> [is_whole_value(text) for text in ("[1, 2]", "", "a#1", "#1", "2 # two", "---")]
    [True, True, True, False, False, False]
    """
    kept = [token for token in yaml.scan(text, _Reader) if token.end_mark.index > token.start_mark.index]
    covered = "".join(text[token.start_mark.index : token.end_mark.index] for token in kept)
    marked = any(isinstance(token, (yaml.DocumentStartToken, yaml.DocumentEndToken)) for token in kept)
    return not marked and "".join(covered.split()) == "".join(text.split())


def dump_yaml(value: Any) -> str:
    """Write plain values as a YAML document that `load_yaml` reads back the same.

    >>> print(dump_yaml({"rate": 0.01, "title": "1e-2"}), end="")
    rate: 0.01
    title: '1e-2'
    """
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=WIDTH)


def dump_flow(value: Any) -> str:
    """Write a plain value in one line, as the value of an option in a spec.

    >>> dump_flow(["a, b", "on", "true", 1e-5])
    "['a, b', on, 'true', 1.0e-05]"
    """
    text = yaml.dump(
        value, Dumper=_SpecWriter, sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=True
    )
    return text.removesuffix("...\n").strip()
