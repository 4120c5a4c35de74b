"""The list of components, as `./run sbom` makes it."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_list_has_what_a_site_installs_and_nothing_else() -> None:
    """Versions and licences too; none of the tools with which fedmq is made."""
    subprocess.run(["./run", "sbom", "base"], cwd=ROOT, check=True, timeout=600)
    listed = json.loads((ROOT / "dist" / "fedmq-base.cdx.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        found = {re.match(r"[A-Za-z0-9._-]+", one) for one in requirements}
        return {match[0].lower() for match in found if match is not None}

    components = {one["name"].lower(): one for one in listed["components"]}
    assert names(project["dependencies"]) <= components.keys()
    assert not names(project["optional-dependencies"]["dev"]) & components.keys()
    assert all(one["version"] and one["licenses"] for one in components.values())
    assert listed["metadata"]["component"]["name"] == "fedmq"
