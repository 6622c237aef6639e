"""Labels as STANAG 4774 XML (ADatP-4774 edition A, Confidentiality Metadata Label Syntax).

Anything that is not understood is an error, unless the standard says that it has no access meaning: a
category that is ignored could be the one that keeps somebody from reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from intelshare import instant
from intelshare.instant import Instant
from intelshare.labels.elements import Element, read_elements
from intelshare.labels.label import CONTROLS, RELIDO, Label
from intelshare.labels.ladders import JOINT
from intelshare.labels.markings import not_carried
from intelshare.labels.parse import TLP_TEXTS
from intelshare.labels.registry import Registry, fold
from intelshare.labels.sound import require_sound, reread

NAMESPACE = "urn:nato:stanag:4774:confidentialitymetadatalabel:1:0"
TLP_POLICY = "TLP"
"""The policy of a label that has only TLP; its classification is the TLP word."""

_ROOT = "originatorConfidentialityLabel"
_ROOTS = (_ROOT, "ConfidentialityLabel")
"""The roots that state the originator's decision; an alternative label, or that of the metadata, does not."""
_WITHOUT_ACCESS_MEANING = ("PrivacyMark", "OriginatorID", "CreationDateTime")


@dataclass(frozen=True, slots=True)
class _Tag:
    """A category: its TagName, its Type (ADatP-4774, section on categories) and its allowed values."""

    name: str
    type: str


_RELEASABLE = _Tag("Releasable To", "PERMISSIVE")  # a reader needs one of the values
_DISPLAYABLE = _Tag(
    "Display Only", "PERMISSIVE"
)  # also stops readers that only REL TO names: strict but safe
_CONTEXT = _Tag("Context", "PERMISSIVE")  # the owner, and whether Releasable To follows
_ONLY = _Tag("Only", "PERMISSIVE")  # no value is modelled: each is an error that names it
_HANDLING = _Tag("Special Handling", "RESTRICTIVE")  # all of them
_SENSITIVITY = _Tag("Additional Sensitivity", "RESTRICTIVE")  # the same, in the policy NATO
_FOREIGN = _Tag("Foreign Government Information", "RESTRICTIVE")
_TLP = _Tag("TLP", "RESTRICTIVE")
_DISCLOSURE = _Tag("Disclosure", "INFORMATIVE")  # no access meaning: RELIDO changes no decision
_OWNERS = _Tag("Owner", "INFORMATIVE")
_HANDLING_WORDS = {control: control for control in CONTROLS if control != RELIDO}
_ALL_TAGS = (
    _CONTEXT, _RELEASABLE, _DISPLAYABLE, _ONLY, _HANDLING, _SENSITIVITY, _FOREIGN, _TLP, _DISCLOSURE, _OWNERS,
)  # fmt: skip
_TAGS = {fold(tag.name).replace(" ", ""): tag for tag in _ALL_TAGS}
_RELEASABLE_CONTEXT = "Releasable"
_CONCEALED = "CONCEALED"


@dataclass(frozen=True, slots=True)
class _Policy:
    """The rules by which labels of one policy are written, if they differ from the usual ones."""

    handling: _Tag = _HANDLING
    context: bool = False
    """True if it requires the category Context: the owner, and ``Releasable`` beside a Releasable To."""
    levels: Mapping[str, str] = field(default_factory=dict)
    """The levels that it names differently from the ladder."""


_POLICIES = {"NATO": _Policy(_SENSITIVITY, context=True, levels={"COSMIC TOP SECRET": "TOP SECRET"})}
"""The policies with special rules. NATO's is published with the standard, in the form of a SPIF."""


def write_stanag4774(label: Label, registry: Registry, created: Instant) -> str:
    """Write the label as an ``originatorConfidentialityLabel``, in ASCII, with one element per line.

    Raises LabelError INPUT_INVALID for a label that no text could state either.
    """
    require_sound(label, registry)
    policy, classification = label.authority or TLP_POLICY, label.level or label.tlp or ""
    rules = _POLICIES.get(policy, _Policy())
    shown = rules.levels.get(classification, classification.removeprefix(f"{policy} "))
    tlp = () if label.level is None or label.tlp is None else (label.tlp,)
    released = () if label.releasable_to is None else (_RELEASABLE_CONTEXT,)
    categories = (
        (_CONTEXT, (policy, *released) if rules.context else ()),
        (_OWNERS, label.owners),
        (_RELEASABLE, label.releasable_to or ()),
        (_DISPLAYABLE, label.displayable_to or ()),
        (rules.handling, tuple(control for control in label.controls if control != RELIDO)),
        (_FOREIGN, (_CONCEALED,) if label.fgi == () else label.fgi or ()),
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
    *,
    source: str = "label",
) -> Label:
    """Read the label of an ``originatorConfidentialityLabel``; ``source`` is the name of the text in errors.

    Case and spaces of a TagName do not matter (``ReleasableTo`` is as common as ``Releasable to``).

    PrivacyMark, OriginatorID, CreationDateTime and unknown INFORMATIVE categories have no access meaning and
    are ignored. Raises LabelError: TOO_LARGE (64 KiB, 8 levels), INPUT_INVALID (not such XML, a DOCTYPE, a
    label that states its successor), UNKNOWN_CONTROL (another category that restricts, or a context or other
    value that is not modelled), COMPARTMENT_NOT_CARRIED, and as ``parse_label``.
    """
    return label_of(read_elements(text, source, NAMESPACE), registry, at)


def label_of(root: Element, registry: Registry, at: Instant | None = None) -> Label:
    """Do what ``read_stanag4774`` does for an element that has been read, all of it in its namespace."""
    if root.name not in _ROOTS:
        root.fail("INPUT_INVALID", f"{root.name!r} is not the originator's label", f"expected {_ROOT}")
    for child in root.children:
        if child.name == "SuccessionHandling":
            message = "a label that is succeeded by another at a date is not supported"
            child.fail("INPUT_INVALID", message, "write a new label on that date")
    root.nothing_but("ConfidentialityInformation", *_WITHOUT_ACCESS_MEANING)
    information = root.only("ConfidentialityInformation")
    information.nothing_but("PolicyIdentifier", "Classification", "Category", *_WITHOUT_ACCESS_MEANING)
    policy, classification = information.only("PolicyIdentifier"), information.only("Classification")
    found = _categories(information)
    authority = fold(policy.value())
    if authority == TLP_POLICY:
        for category in found.values():
            category.fail("UNKNOWN_CONTROL", "nothing may stand beside a TLP word")
        return reread(Label(tlp=_word(TLP_TEXTS, "UNKNOWN_LEVEL")(classification)), registry, at)
    if authority != JOINT:
        if not registry.is_member(authority):
            policy.fail("UNKNOWN_MEMBER", f"{policy.value()!r} is not a state or organisation")
        if _OWNERS.name in found:
            found[_OWNERS.name].fail("UNKNOWN_CONTROL", "only a JOINT label has owners")
    words = _values(found, _TLP, _word(TLP_TEXTS, "UNKNOWN_LEVEL")) or (None,)
    if len(words) > 1:
        found[_TLP.name].fail("DUPLICATE_CONTROL", "TLP is repeated")
    _values(found, _ONLY, _refused)
    read = Label(
        authority=authority,
        level=_level(classification, authority, registry, at),
        releasable_to=_releasable(found, authority, registry),
        controls=(
            *(_values(found, _HANDLING, _handling) or ()),
            *(_values(found, _SENSITIVITY, _handling) or ()),
            *(_values(found, _DISCLOSURE, _word({RELIDO: RELIDO}, "UNKNOWN_CONTROL")) or ()),
        ),
        tlp=words[0],
        owners=_values(found, _OWNERS, _code(registry.is_state, "state")) or (),
        displayable_to=_values(found, _DISPLAYABLE, _code(registry.is_known, _ANY_CODE)),
        fgi=_fgi(found, registry),
    )
    return reread(read, registry, at)


def _releasable(found: dict[str, Element], authority: str, registry: Registry) -> tuple[str, ...] | None:
    """Return the codes of Releasable To, and the owner if the context names it, because it need not be
    repeated there.
    """

    def context(element: Element) -> str:
        word = fold(element.value())
        if word not in (authority, fold(_RELEASABLE_CONTEXT)):
            message = f"the context {element.value()!r} is not modelled"
            element.fail("UNKNOWN_CONTROL", message, f"use {authority} or {_RELEASABLE_CONTEXT}")
        return word

    contexts = _values(found, _CONTEXT, context)
    codes = _values(found, _RELEASABLE, _code(registry.is_known, _ANY_CODE))
    if contexts is None:
        return codes
    if codes is None and fold(_RELEASABLE_CONTEXT) in contexts:
        message = f"the context says {_RELEASABLE_CONTEXT}, but {_RELEASABLE.name} is absent"
        found[_CONTEXT.name].fail("EMPTY_REL_TO", message)
    if codes is not None and authority in contexts and authority not in codes:
        return (authority, *codes)
    return codes


def _fgi(found: dict[str, Element], registry: Registry) -> tuple[str, ...] | None:
    def source(element: Element) -> str:
        if fold(element.value()) == _CONCEALED:
            return _CONCEALED
        return _code(registry.is_member, "state or organisation")(element)

    codes = _values(found, _FOREIGN, source)
    if codes is not None and _CONCEALED in codes:
        if len(codes) > 1:
            found[_FOREIGN.name].fail("UNKNOWN_CONTROL", "a concealed source must stand alone")
        return ()
    return codes


_ANY_CODE = "state, group or organisation"


def _handling(element: Element) -> str:
    what = not_carried(fold(element.value()))
    if what is not None:
        message = f"{element.value()!r} is {what}, which this system never carries"
        element.fail("COMPARTMENT_NOT_CARRIED", message)
    return _word(_HANDLING_WORDS, "UNKNOWN_CONTROL")(element)


def _refused(element: Element) -> str:
    element.fail("UNKNOWN_CONTROL", f"there is no rule here for {element.value()!r} only")


def _categories(information: Element) -> dict[str, Element]:
    """Return the categories that are read, by TagName."""
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
            category.fail("UNKNOWN_CONTROL", f"the category {name!r} of type {kind!r} is not known", known)
        if tag.name in found:
            category.fail("DUPLICATE_CONTROL", f"{tag.name} is repeated", "put all values into one category")
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
            element.fail("UNKNOWN_MEMBER", f"{element.value()!r} is not a known {expected}")
        return code

    return read


def _word(words: Mapping[str, str], code: str) -> Callable[[Element], str]:
    def read(element: Element) -> str:
        word = words.get(fold(element.value()))
        if word is None:
            element.fail(code, f"{element.value()!r} is not known here", "one of " + ", ".join(words))
        return word

    return read


def _level(classification: Element, authority: str, registry: Registry, at: Instant | None) -> str:
    """Read a level. NATO's levels occur with and without the policy's name before them, its highest without
    COSMIC.
    """
    text = fold(classification.value())
    rules = _POLICIES.get(authority, _Policy())
    otherwise = {shown: name for name, shown in rules.levels.items()}
    tried = (otherwise.get(text, text), f"{authority} {text}")
    name = next((name for each in tried if (name := registry.level_named(authority, each, at))), None)
    if name is None:
        known = ", ".join(sorted(set(registry.level_names.get(authority, {"": "UNMARKED"}).values())))
        classification.fail(
            "UNKNOWN_LEVEL", f"{authority} has no level {classification.value()!r}", f"one of {known}"
        )
    return name


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
