"""The JavaScript of others is what its packages ship, under licences that are allowed, byte for byte."""

from __future__ import annotations

import json

import supply
import vendored
from intelshare.console.pages import SERVED


def test_every_vendored_file_is_in_the_table_and_has_the_bytes_that_it_says() -> None:
    rows = {row["name"]: row for row in vendored.table()}
    lying = {path.name for path in vendored.FOLDER.iterdir()} - {vendored.TABLE.name}
    assert lying == set(rows)
    for name, row in rows.items():
        assert vendored.digest((vendored.FOLDER / name).read_bytes()) == row["sha256"], name


def test_every_package_has_its_licence_beside_it_and_it_is_one_that_is_allowed() -> None:
    rows = vendored.table()
    for package in {row["package"] for row in rows}:
        assert f"{package}.LICENSE" in {row["name"] for row in rows}
    assert {row["licence"] for row in rows} <= supply.ALLOWED
    assert {(one.package, one.version, one.licence) for one in vendored.SOURCES} == {
        (row["package"], row["version"], row["licence"]) for row in rows
    }


def test_every_vendored_file_is_served_but_for_licences_and_the_table() -> None:
    served = {name.removeprefix("vendor/") for name in SERVED.values() if name.startswith("vendor/")}
    assert served == {row["name"] for row in vendored.table() if not row["name"].endswith(".LICENSE")}


def test_the_bill_of_materials_names_what_is_vendored() -> None:
    listed = {one["name"]: one for one in json.loads(supply.SBOM.read_text("utf-8"))["components"]}
    for one in vendored.SOURCES:
        assert listed[one.package]["purl"] == f"pkg:npm/{one.package}@{one.version}"


def test_an_import_of_a_package_becomes_one_of_the_file_beside_it() -> None:
    assert vendored.rewritten('import{a}from"d3-array";x') == 'import{a}from"./d3-array.js";x'
    assert vendored.rewritten("x\n//# sourceMappingURL=a.map\n") == "x\n"
