"""The fuzz targets, shortly: seeds, findings of old, and what a seeded mutator makes of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from fuzz.run import CORPUS, Figures, check, inputs, kept
from fuzz.targets import MEMORY, TARGETS
from intelshare.patience import patient

SHORT = 250
SLOW = {
    "proof-file": 40,
    "evidence-file": 60,
    "release-file": 40,
    "settings": 60,
    "treaty": 60,
    "overlay": 60,
    "vault": 60,
}


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_the_bytes_are_they_are_refused_with_a_code_or_read_right(name: str) -> None:
    target, figures = TARGETS[name], Figures()
    target.check(target.seeds()[0])
    for data in islice(inputs(name, 0), len(target.seeds()) + len(kept(name)) + SLOW.get(name, SHORT)):
        check(target, data, figures, patience=patient(1.0))


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_and_no_finding_of_old_takes_more_memory_than_an_input_may(name: str) -> None:
    target = TARGETS[name]
    target.check(target.seeds()[0])
    for data in [*target.seeds()[:3], *kept(name)]:
        tracemalloc.start()
        try:
            target.check(data)
            assert tracemalloc.get_traced_memory()[1] < MEMORY + len(data)
        finally:
            tracemalloc.stop()


def test_findings_are_kept_under_the_names_of_targets() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= set(TARGETS)


def test_a_record_that_encodes_to_other_bytes_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from fuzz import targets

    monkeypatch.setattr(targets, "encode", lambda *_: b"")
    with pytest.raises(AssertionError):
        check(TARGETS["receipt"], TARGETS["receipt"].seeds()[0], Figures())


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_begins_with_something_good(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of what was refused anyway try little."""
    from fuzz import targets

    read, codes = targets._read, list[str]()

    def noted(act: Callable[[], Any]) -> tuple[Any, str]:
        found = read(act)
        codes.append(found[1])
        return found

    monkeypatch.setattr(targets, "_read", noted)
    TARGETS[name].check(TARGETS[name].seeds()[0])
    # A note is looked at by the keys of members, of which the target has none.
    assert "" in codes or (name == "note" and codes == ["SIGNER_UNKNOWN"]), codes
