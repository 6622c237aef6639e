"""``make sbom``: what is installed with intelshare, as CycloneDX 1.6 writes it, in docs/sbom.cdx.json.

It holds the packages that the wheel needs, and as optional those of the extra postgres, each with the
version of requirements.lock, the licence that it states, and what it needs itself; and the JavaScript of
others in the wheel. It says nothing of when it was written: the same lock gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageMetadata, distribution
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vendored

REPOSITORY = Path(__file__).parents[1]
LOCK = REPOSITORY / "requirements.lock"
SBOM = REPOSITORY / "docs" / "sbom.cdx.json"

OWN = "intelshare"

ALLOWED = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LicenseRef-any-OSI", "MIT", "MIT-0", "PSF-2.0",
}  # fmt: skip
"""Licences under which a package may be needed. Nothing else comes in without a decision."""

BESIDE = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
"""Packages of extras under another licence: as they are, loaded when asked for (decision 62)."""

EXTRAS = ("postgres",)
"""Extras whose packages stand in the bill of materials too, as optional."""

_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "any-OSI": "LicenseRef-any-OSI",
}
"""What packages say that have no SPDX expression in their metadata."""


@dataclass(frozen=True)
class Package:
    """One package that runs with intelshare."""

    name: str
    version: str
    licence: str
    """An SPDX expression."""
    needs: tuple[str, ...]


def runtime(extras: Sequence[str] = ()) -> dict[str, Package]:
    """Everything that an install brings, plain or with extras, intelshare itself included, by name."""
    found: dict[str, Package] = {}
    waiting: list[tuple[str, Sequence[str]]] = [(OWN, extras)]
    while waiting:
        name, wanted = waiting.pop()
        one = distribution(name)
        needed = [
            Requirement(text)
            for text in one.requires or ()
            if any(_applies(Requirement(text), extra) for extra in ("", *wanted))
        ]
        needs = {canonicalize_name(each.name) for each in needed}
        if name in found:
            needs |= set(found[name].needs)
        before = found.get(name)
        found[name] = Package(name, one.version, licence_of(one.metadata), tuple(sorted(needs)))
        if found[name] != before:
            waiting += [(canonicalize_name(each.name), sorted(each.extras)) for each in needed]
    return dict(sorted(found.items()))


def _applies(required: Requirement, extra: str) -> bool:
    return required.marker is None or required.marker.evaluate({"extra": extra})


def licence_of(metadata: PackageMetadata) -> str:
    """The SPDX expression that a package states, or what it says instead."""
    said = [metadata.get("License-Expression") or "", *(metadata.get_all("Classifier") or ())]
    stated = [text for text in said if text and ("::" not in text or text in _SPDX)]
    first = (stated or [metadata.get("License") or "unknown"])[0]
    return _SPDX.get(first, first)


def locked(text: str) -> dict[str, str]:
    """The version of each package in a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))


def wrong(packages: Mapping[str, Package], lock: Mapping[str, str]) -> list[str]:
    """What does not fit: versions that differ from the lock, licences that are not allowed; a line each."""
    found = []
    for package in packages.values():
        if package.name != OWN and lock.get(package.name) != package.version:
            found.append(f"{package.name} {package.version}: the lock has {lock.get(package.name)}")
        if BESIDE.get(package.name) == package.licence:
            continue
        parts = set(re.split(r" (?:OR|AND) |[()]", package.licence)) - {""}
        choice = " OR " in package.licence
        if not (parts & ALLOWED if choice else parts <= ALLOWED):
            found.append(f"{package.name}: licence {package.licence} is not allowed")
    return found


def sbom(packages: Mapping[str, Package], plain: Collection[str] = ()) -> str:
    """The document. What is not in ``plain`` is optional; nothing is if that is empty."""
    components = {name: _component(package) for name, package in packages.items()}
    for name in components.keys() - set(plain) if plain else ():
        components[name].scope = ComponentScope.OPTIONAL
    lying = [_vendored(one) for one in vendored.SOURCES]
    bom = Bom(components=[*(one for name, one in components.items() if name != OWN), *lying])
    bom.metadata.component = components[OWN]
    for package in packages.values():
        needed = [components[name] for name in package.needs]
        bom.register_dependency(components[package.name], needed + (lying if package.name == OWN else []))
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The same packages give the same document, whenever it is written.
    del document["metadata"]["timestamp"]
    names = "\n".join(f"{one.name}=={one.version}" for one in packages.values())
    names += "".join(f"\n{one.package}=={one.version}" for one in vendored.SOURCES)
    document["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_URL, names)}"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _vendored(source: vendored.Source) -> Component:
    return Component(
        name=source.package,
        version=source.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"npm:{source.package}",
        purl=PackageURL("npm", None, source.package, source.version),
        licenses=[LicenseExpression(source.licence)],
    )


def _component(package: Package) -> Component:
    own = package.name == OWN
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.APPLICATION if own else ComponentType.LIBRARY,
        bom_ref=package.name,
        purl=None if own else PackageURL("pypi", None, package.name, package.version),
        licenses=[LicenseExpression(package.licence)],
    )


def bill() -> str:
    """The document of what is installed here."""
    return sbom(runtime(EXTRAS), runtime())


def main() -> int:
    """Write the document; the exit code says whether everything fits the lock and the licences."""
    packages = runtime(EXTRAS)
    SBOM.write_text(bill(), "utf-8")
    found = wrong(packages, locked(LOCK.read_text("utf-8")))
    print("\n".join(found) or f"{len(packages)} packages in {SBOM.relative_to(REPOSITORY)}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
