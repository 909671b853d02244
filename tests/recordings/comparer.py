"""Compares our answer with the recorded one, key by key.

Equal: status codes, keys, types (1.0 is no 1), nullness, and every value that is not an id, a time, or a count of
tokens or of an index's bytes, a score, or the number of a citation.
Ids must have the recorded prefix and length, and stand for the same recorded id everywhere.
Keys of ours that were not recorded must stand in `additions.toml`.
"""

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.wire import Event

from understudy.protocol.annotations import CITATION

_ID = re.compile(r"^(?:(asst|thread|msg|run|step|call|vs|vsfb)_|(file)-)[A-Za-z0-9]+$")
_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "usage_bytes",
    "score",
)
_FREE_FORM = ("metadata", "parameters")


def _allowed() -> set[tuple[str, str]]:
    listed = tomllib.loads((Path(__file__).parent / "additions.toml").read_text())["addition"]
    assert all(entry["reason"] for entry in listed)
    return {(entry["object"], key) for entry in listed for key in entry["keys"]}


ALLOWED = _allowed()


@dataclass
class Comparison:
    """Collects differences over a whole recording."""

    ids: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    additions: set[tuple[str, str]] = field(default_factory=set)

    def translate(self, text: str) -> str:
        """Put our ids in the place of the recorded ones."""
        for recorded, ours in self.ids.items():
            text = text.replace(recorded, ours)
        return text

    def _ours(self, recorded: Any) -> Any:
        """Put our ids into a text in which recorded ones stand, such as code that opens a file."""
        return self.translate(recorded) if isinstance(recorded, str) else recorded

    def compare(self, recorded: Any, ours: Any, where: str, polled: bool = False) -> None:
        if polled:
            recorded = _as_fast_as(recorded, ours)
        self._walk(recorded, ours, where, _Place())

    def compare_events(self, recorded: list[Event], ours: list[Event], where: str) -> None:
        pairs = list(itertools.zip_longest(_collapse(recorded), _collapse(ours)))
        order = [tuple(group and group[0].name for group in pair) for pair in pairs]
        if any(theirs != mine for theirs, mine in order):
            listing = "\n".join(f"  {theirs or '-':32}{mine or '-'}" for theirs, mine in order)
            self.differences.append(f"{where}: order of events (recorded, ours)\n{listing}")
            return
        for theirs, mine in pairs:
            for recorded_event, our_event in zip(_representatives(theirs), _representatives(mine), strict=False):
                self._walk(recorded_event.data, our_event.data, f"{where} {our_event.name}", _Place())
            if theirs[0].name.endswith(".delta") and len(theirs) > 1 and len(mine) == 1:
                self.differences.append(f"{where}: {theirs[0].name} came in one piece, recorded in {len(theirs)}")

    def _walk(self, recorded: Any, ours: Any, where: str, place: "_Place") -> None:
        if type(recorded) is not type(ours):
            self._differ(where, recorded, ours)
        elif isinstance(recorded, dict):
            self._walk_object(recorded, ours, where, place)
        elif isinstance(recorded, list):
            self._walk_list(recorded, ours, where, place)
        elif isinstance(recorded, str) and _ID.match(recorded):
            self._walk_id(recorded, ours, where)
        elif not place.varies and _unnumbered(self._ours(recorded)) != _unnumbered(ours):
            self._differ(where, recorded, ours)

    def _walk_object(self, recorded: dict[str, Any], ours: dict[str, Any], where: str, place: "_Place") -> None:
        place = place.inside(recorded)
        for key in recorded:
            if key in ours:
                self._walk(recorded[key], ours[key], f"{where}.{key}", place.at(key))
            else:
                self.differences.append(f"{where}: no key {key!r}")
        for key in ours.keys() - recorded.keys():
            addition = (place.object, place.at(key).path)
            self.additions.add(addition)
            if place.free_form or addition not in ALLOWED:
                self.differences.append(f"{where}: {key!r} was not recorded and is not allowed ({addition})")

    def _walk_list(self, recorded: list[Any], ours: list[Any], where: str, place: "_Place") -> None:
        if place.path.endswith("code_interpreter.outputs"):
            ours = _as_silent_as(recorded, ours)
        if len(recorded) != len(ours):
            self._differ(where, recorded, ours)
        for number, (theirs, mine) in enumerate(zip(recorded, ours, strict=False)):
            self._walk(theirs, mine, f"{where}[{number}]", place.at("[]"))

    def _walk_id(self, recorded: str, ours: str, where: str) -> None:
        known = self.ids.setdefault(recorded, ours)
        shape = [(re.split("[_-]", text)[0], len(text)) for text in (recorded, ours)]
        if known != ours or shape[0] != shape[1] or not _ID.match(ours):
            self._differ(where, f"{recorded} (so far {known})", ours)

    def _differ(self, where: str, recorded: Any, ours: Any) -> None:
        self.differences.append(f"{where}: recorded {recorded!r}, ours {ours!r}")


@dataclass(frozen=True)
class _Place:
    """Where in the answer we are: the enclosing object, the path below it, and whether values may vary."""

    object: str = ""
    path: str = ""
    free_form: bool = False

    @property
    def varies(self) -> bool:
        last = self.path.rsplit(".", 1)[-1]
        return not self.free_form and (last.endswith("_at") or last in _COUNTS or self.is_delta_text)

    @property
    def is_delta_text(self) -> bool:
        return self.object.endswith(".delta") and self.path.rsplit(".", 1)[-1] in ("value", "arguments")

    def inside(self, value: dict[str, Any]) -> "_Place":
        if self.free_form or "object" not in value:
            return self
        return _Place(object=value["object"])

    def at(self, key: str) -> "_Place":
        path = f"{self.path}.{key}" if self.path else key
        return _Place(self.object, path, self.free_form or key in _FREE_FORM)


def _collapse(events: list[Event]) -> list[list[Event]]:
    """Group events; a run of deltas is one group, every other event its own."""
    groups: list[list[Event]] = []
    for event in events:
        if event.name.endswith(".delta") and groups and groups[-1][0].name == event.name:
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups


def _representatives(group: list[Event]) -> Iterator[Event]:
    """Yield the first of a run of deltas and one of the later ones: they differ in shape."""
    yield group[0]
    if len(group) > 1:
        yield group[1]


def _unnumbered(value: Any) -> Any:
    """Leave out the numbers of a citation: they count what is in the thread, each server in its own way."""
    return CITATION.sub("【citation】", value) if isinstance(value, str) else value


def _as_silent_as(recorded: list[Any], ours: list[Any]) -> list[Any]:
    """Leave out our logs where none were recorded: the hosted tool kept the value of a cell to itself."""
    if any(output["type"] == "logs" for output in recorded):
        return ours
    return [output for output in ours if output["type"] != "logs"]


def _as_fast_as(recorded: Any, ours: Any) -> Any:
    """Let a polled run that was recorded as queued be in progress: our worker is quicker."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        if recorded.get("data") and len(recorded["data"]) == len(ours.get("data", ())):
            pairs = zip(recorded["data"], ours["data"], strict=True)
            return recorded | {"data": [_as_fast_as(theirs, mine) for theirs, mine in pairs]}
        if recorded.get("status") == "queued" and ours.get("status") == "in_progress":
            return recorded | {"status": "in_progress", "started_at": ours["started_at"]}
    return recorded
