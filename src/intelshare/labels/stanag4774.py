"""Labels as STANAG 4774 XML (ADatP-4774 edition A, Confidentiality Metadata Label Syntax).

What is not understood is an error, unless the standard says that it has no access meaning: a category that is
left out could be the one that keeps somebody from reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from intelshare import instant
from intelshare.instant import Instant
from intelshare.labels.elements import Element, read_elements
from intelshare.labels.label import CONTROLS, RELIDO, Label
from intelshare.labels.ladders import JOINT
from intelshare.labels.parse import TLP_TEXTS
from intelshare.labels.registry import Registry, fold
from intelshare.labels.sound import require_sound, reread

NAMESPACE = "urn:nato:stanag:4774:confidentialitymetadatalabel:1:0"
TLP_POLICY = "TLP"
"""The policy of a label of TLP alone; its classification is the TLP word."""

_ROOT = "originatorConfidentialityLabel"
_ROOTS = (_ROOT, "ConfidentialityLabel")
"""Both say what the originator decided; an alternative label or that of the metadata does not."""
_WITHOUT_ACCESS_MEANING = ("PrivacyMark", "OriginatorID", "CreationDateTime")


@dataclass(frozen=True, slots=True)
class _Tag:
    """A category: its TagName, its Type (ADatP-4774, section on categories) and what may stand in it."""

    name: str
    type: str


_RELEASABLE = _Tag("Releasable To", "PERMISSIVE")  # the reader needs one of the values
_HANDLING = _Tag("Special Handling", "RESTRICTIVE")  # all of them
_TLP = _Tag("TLP", "RESTRICTIVE")
_DISCLOSURE = _Tag("Disclosure", "INFORMATIVE")  # no access meaning: RELIDO changes no decision
_OWNERS = _Tag("Owner", "INFORMATIVE")
_HANDLING_WORDS = {control: control for control in CONTROLS if control != RELIDO}
_TAGS = {fold(tag.name).replace(" ", ""): tag for tag in (_RELEASABLE, _HANDLING, _TLP, _DISCLOSURE, _OWNERS)}


def write_stanag4774(label: Label, registry: Registry, created: Instant) -> str:
    """The label as an ``originatorConfidentialityLabel``, in ASCII, one element a line.

    Raises LabelError INPUT_INVALID for a label that no text could say either.
    """
    require_sound(label, registry)
    policy, classification = label.authority or TLP_POLICY, label.level or label.tlp or ""
    shown = classification.removeprefix(f"{policy} ")
    tlp = () if label.level is None or label.tlp is None else (label.tlp,)
    categories = (
        (_OWNERS, label.owners),
        (_RELEASABLE, label.releasable_to or ()),
        (_HANDLING, tuple(control for control in label.controls if control != RELIDO)),
        (_DISCLOSURE, tuple(control for control in label.controls if control == RELIDO)),
        (_TLP, tlp),
    )
    lines = [
        f'<slab:{_ROOT} xmlns:slab="{NAMESPACE}">',
        "  <slab:ConfidentialityInformation>",
        f"    <slab:PolicyIdentifier>{_escape(policy)}</slab:PolicyIdentifier>",
        f"    <slab:Classification>{_escape(shown)}</slab:Classification>",
    ]
    for tag, values in categories:
        if values:
            lines.append(f'    <slab:Category Type="{tag.type}" TagName="{tag.name}">')
            lines += [f"      <slab:GenericValue>{_escape(value)}</slab:GenericValue>" for value in values]
            lines.append("    </slab:Category>")
    lines += [
        "  </slab:ConfidentialityInformation>",
        f"  <slab:CreationDateTime>{instant.show(created)}</slab:CreationDateTime>",
        f"</slab:{_ROOT}>",
    ]
    return "\n".join(lines) + "\n"


def read_stanag4774(
    text: str,
    registry: Registry,
    at: Instant | None = None,
    use: Literal["read", "write"] = "read",
    *,
    source: str = "label",
) -> Label:
    """The label of an ``originatorConfidentialityLabel``; ``source`` is what errors call the text.

    Case and spaces of a TagName do not matter (``ReleasableTo`` is met as often as ``Releasable to``).

    PrivacyMark, OriginatorID, CreationDateTime and unknown INFORMATIVE categories have no access meaning and
    are left out. Raises LabelError: TOO_LARGE (64 KiB, 8 levels), INPUT_INVALID (no such XML, a DOCTYPE, a
    label that succeeds itself), UNKNOWN_CONTROL (another category that restricts), and as ``parse_label``.
    """
    root = read_elements(text, source, NAMESPACE)
    if root.name not in _ROOTS:
        root.fail("INPUT_INVALID", f"{root.name!r} is not the originator's label", f"expected {_ROOT}")
    for child in root.children:
        if child.name == "SuccessionHandling":
            message = "a label that another one succeeds at a date is not read"
            child.fail("INPUT_INVALID", message, "write a new label at that date")
    root.nothing_but("ConfidentialityInformation", *_WITHOUT_ACCESS_MEANING)
    information = root.only("ConfidentialityInformation")
    information.nothing_but("PolicyIdentifier", "Classification", "Category", *_WITHOUT_ACCESS_MEANING)
    policy, classification = information.only("PolicyIdentifier"), information.only("Classification")
    found = _categories(information)
    authority = fold(policy.value())
    if authority == TLP_POLICY:
        for category in found.values():
            category.fail("UNKNOWN_CONTROL", "nothing stands beside a TLP word")
        return reread(Label(tlp=_word(TLP_TEXTS, "UNKNOWN_LEVEL")(classification)), registry, at, use)
    if authority != JOINT:
        if not registry.is_member(authority):
            policy.fail("UNKNOWN_MEMBER", f"{policy.value()!r} is no state or organisation")
        if _OWNERS.name in found:
            found[_OWNERS.name].fail("UNKNOWN_CONTROL", "only a JOINT label has owners")
    words = _values(found, _TLP, _word(TLP_TEXTS, "UNKNOWN_LEVEL")) or (None,)
    if len(words) > 1:
        found[_TLP.name].fail("DUPLICATE_CONTROL", "TLP stands twice")
    read = Label(
        authority=authority,
        level=_level(classification, authority, registry),
        releasable_to=_values(found, _RELEASABLE, _code(registry.is_known, "state, group or organisation")),
        controls=(
            *(_values(found, _HANDLING, _word(_HANDLING_WORDS, "UNKNOWN_CONTROL")) or ()),
            *(_values(found, _DISCLOSURE, _word({RELIDO: RELIDO}, "UNKNOWN_CONTROL")) or ()),
        ),
        tlp=words[0],
        owners=_values(found, _OWNERS, _code(registry.is_state, "state")) or (),
    )
    return reread(read, registry, at, use)


def _categories(information: Element) -> dict[str, Element]:
    """Categories that are read, by TagName."""
    found: dict[str, Element] = {}
    for category in information.children:
        if category.name != "Category":
            continue
        name, kind = category.attributes.get("TagName", ""), category.attributes.get("Type", "")
        tag = _TAGS.get(fold(name).replace(" ", ""))
        if tag is None and kind == "INFORMATIVE":
            continue
        if tag is None or tag.type != kind:
            known = ", ".join(f"{tag.name} {tag.type}" for tag in _TAGS.values())
            category.fail("UNKNOWN_CONTROL", f"no category {name!r} of type {kind!r} is known", known)
        if tag.name in found:
            category.fail("DUPLICATE_CONTROL", f"{tag.name} stands twice", "put all values into one category")
        category.nothing_but("GenericValue")
        found[tag.name] = category
    return found


def _values(found: dict[str, Element], tag: _Tag, read: Callable[[Element], str]) -> tuple[str, ...] | None:
    category = found.get(tag.name)
    if category is None:
        return None
    if not category.children:
        code = "EMPTY_REL_TO" if tag is _RELEASABLE else "UNKNOWN_CONTROL"
        category.fail(code, f"{tag.name} names nothing")
    return tuple(read(child) for child in category.children)


def _code(test: Callable[[str], bool], expected: str) -> Callable[[Element], str]:
    def read(element: Element) -> str:
        code = fold(element.value())
        if not test(code):
            element.fail("UNKNOWN_MEMBER", f"{element.value()!r} is no known {expected}")
        return code

    return read


def _word(words: Mapping[str, str], code: str) -> Callable[[Element], str]:
    def read(element: Element) -> str:
        word = words.get(fold(element.value()))
        if word is None:
            element.fail(code, f"{element.value()!r} is not known here", "one of " + ", ".join(words))
        return word

    return read


def _level(classification: Element, authority: str, registry: Registry) -> str:
    """NATO's SECRET is written with and without the policy's name before it."""
    names = registry.level_names.get(authority) or {"UNMARKED": "UNMARKED"}
    text = fold(classification.value())
    name = names.get(text) or names.get(f"{authority} {text}")
    if name is None:
        known = ", ".join(sorted(set(names.values())))
        classification.fail(
            "UNKNOWN_LEVEL", f"{authority} has no level {classification.value()!r}", f"one of {known}"
        )
    return name


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
