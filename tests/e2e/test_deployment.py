"""What operators copy: the compose file, the image, the systemd unit, and the health that they watch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.nodes import PROGRAM, intelshare, ok, running, wait_until
from processes import ended, finished, process

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "docs" / "intelshare@.service"


class NoDuplicates(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word; here it is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        double = {key for key in keys if keys.count(key) > 1}
        if double:
            raise yaml.YAMLError(f"written twice: {sorted(double)}")
        return super().construct_mapping(node, deep)


def compose(text: str | None = None) -> Any:
    return yaml.load(text or (ROOT / "docker-compose.yml").read_text("utf-8"), NoDuplicates)  # noqa: S506 - a safe one


def test_the_loader_refuses_a_key_that_is_written_twice() -> None:
    with pytest.raises(yaml.YAMLError, match="written twice"):
        compose("a: {b: 1, b: 2}")


def test_the_compose_file_is_valid(tmp_path: Path) -> None:
    compose()
    command = shutil.which("docker-compose")
    if command is None:
        pytest.skip("docker-compose is not installed: the file was only read, not validated")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / "secrets").mkdir()
    for member in ("fra", "usa", "ken"):
        (tmp_path / "secrets" / member).write_text("x")
    finished([command, "config", "-q"], cwd=tmp_path, check=True)


def test_every_node_runs_with_the_least_that_it_needs() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] == "10001:10001", name
        assert "privileged" not in service, name
        assert "cap_add" not in service, name
        assert service["healthcheck"]["test"][:3] == ["CMD", "intelshare", "node"], name
        assert service["restart"] == "unless-stopped", name


def test_a_member_shares_only_the_network_between_the_nodes() -> None:
    found = compose()
    networks = [set(service["networks"]) for service in found["services"].values()]
    assert all(len(one) == 2 for one in networks)
    for place, one in enumerate(networks):
        for other in networks[place + 1 :]:
            assert one & other == {"between"}
    assert all(network["internal"] is True for network in found["networks"].values())


def test_passphrases_are_files_and_nowhere_in_the_environment() -> None:
    found = compose()
    for name, service in found["services"].items():
        assert [secret["source"] for secret in service["secrets"]] == [f"{name}_passphrase"]
        assert list(service["environment"]) == ["INTELSHARE_SECRETS"]
    assert all(secret["file"].startswith("./secrets/") for secret in found["secrets"].values())
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()
    assert "secrets" not in (ROOT / ".dockerignore").read_text()


def test_the_image_copies_only_what_exists_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text()
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    for line in text.splitlines():
        if line.startswith("COPY") and "--from" not in line:
            sources = line.split()[1:-1]
            assert set(sources) <= allowed, line
            assert all((ROOT / source).exists() for source in sources), line
    assert "USER 10001:10001" in text
    assert "--require-hashes" in text


def test_the_systemd_unit_is_valid(tmp_path: Path) -> None:
    command = shutil.which("systemd-analyze")
    if command is None:
        pytest.skip("systemd-analyze is not installed: the unit was not verified")
    # It complains of a program that is not installed; the rest of the unit is what is verified here.
    text = UNIT.read_text("utf-8").replace(
        "/opt/intelshare/bin/intelshare", shutil.which("true") or "/bin/true"
    )
    copy = tmp_path / "intelshare@fra.service"
    copy.write_text(text)
    done = finished([command, "verify", "--man=no", copy])
    assert copy.name not in done.err, done


def manifests(name: str = "node.yaml") -> dict[str, Any]:
    """By kind."""
    text = (ROOT / "examples" / "kubernetes" / name).read_text("utf-8")
    found = list(yaml.load_all(text, NoDuplicates))
    assert len({one["kind"] for one in found}) == len(found)
    return {one["kind"]: one for one in found}


def manifests_of(name: str) -> list[Any]:
    text = (ROOT / "examples" / "kubernetes" / name).read_text("utf-8")
    return list(yaml.load_all(text, NoDuplicates))


def test_the_kubernetes_manifests_are_valid_by_its_own_schemas() -> None:
    """`make manifests` brings the schemas, which are large; nothing is fetched here."""
    schemas: Any = pytest.importorskip("kubernetes_validate", reason="`make manifests` brings the schemas")
    newest = schemas.latest_version()
    for name in ("node.yaml", "replicas.yaml"):
        for one in manifests_of(name):
            schemas.validate(one, newest, strict=True)
    wrong = manifests_of("replicas.yaml")[0] | {"replicas": "three"}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, newest, strict=True)


def test_the_compose_files_are_valid_by_the_specification_of_compose(tmp_path: Path) -> None:
    """check-jsonschema carries its schema, and nothing is fetched. Of three files it names the wrong one."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("services: {a: {image: x, read_only_: true}}", "utf-8")
    files = (ROOT / "docker-compose.yml", ROOT / "examples" / "postgres" / "compose.yaml", wrong)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = finished([*command, "--output-format", "json", *files])
    assert {error["filename"] for error in json.loads(done.out)["errors"]} == {str(wrong)}, done


def test_the_manifests_select_the_pod_that_they_make() -> None:
    found = manifests()
    pod = found["StatefulSet"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert found["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    for kind, name in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        assert found[kind]["spec"][name]["matchLabels"] == labels
    assert {one["metadata"]["name"] for one in found.values()} == {"intelshare-fra"}
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"]: port["port"] for port in found["Service"]["spec"]["ports"]} == ports
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in found["StatefulSet"]["spec"]["volumeClaimTemplates"]}
    assert mounted == claims | {volume["name"] for volume in pod["spec"]["volumes"]}


def test_a_pod_has_the_least_that_it_needs_and_its_secret_by_the_documented_door() -> None:
    found = manifests()
    spec = found["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["replicas"] == 1, "a second one would be a clone"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret["defaultMode"] == 0o440
    assert secret["items"] == [{"key": "passphrase", "path": "passphrase"}]
    (variable,) = container["env"]
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert variable == {"name": "INTELSHARE_SECRETS", "value": paths["passphrase"]}
    folder = container["args"][container["args"].index("--folder") + 1]
    assert folder.startswith(f"{paths['data']}/"), "below the volume, whose root a group may write"
    assert container["readinessProbe"]["exec"]["command"] == [
        "intelshare", "node", "health", "--folder", folder,
    ]  # fmt: skip
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][-1] == (
            f"intelshare node health --folder {folder}; test $? -le 1"
        ), "what runs and does not serve is not mended by a restart"


def test_a_log_that_was_moved_away_goes_on_after_a_hangup(tmp_path: Path) -> None:
    folder, log = tmp_path / "fra", tmp_path / "fra-node.log"
    ok("init", "FRA", folder, "--dev")
    words = ["node", "run", "--dev", "--folder", folder, "--log-file", log, "--log-format", "text"]
    with process([*PROGRAM, *words]) as started:
        wait_until(lambda: log.exists() and "node.started" in log.read_text(), "the node to serve")
        log.rename(tmp_path / "fra-node.log.1")
        started.send_signal(signal.SIGHUP)
        wait_until(lambda: log.exists() and "log.reopened" in log.read_text(), "the log to go on")
        assert ok("node", "health", "--folder", folder).out == "SERVING\n"


def test_health_needs_no_certificate_and_says_when_nobody_runs(tmp_path: Path) -> None:
    folder = tmp_path / "fra"
    ok("init", "FRA", folder, "--dev")
    assert intelshare("node", "health", "--folder", folder).code == 6
    shutil.rmtree(folder / "users")
    with running(folder) as process:
        done = ok("node", "health", "--folder", folder, "--json")
        assert (done.json["health"], done.json["codes"], done.json["pid"]) == ("SERVING", [], process.pid)
        said = (folder / "run.json").read_bytes()
        wait_until(lambda: (folder / "run.json").read_bytes() != said, "the file to be written again")
        said = (folder / "run.json").read_bytes()
        process.send_signal(signal.SIGKILL)
        ended(process)
    # What a killed node left behind is believed for seconds only.
    assert (folder / "run.json").read_bytes() == said
    (folder / "run.json").write_bytes(said.replace(b'"at":1', b'"at":0'))
    os.chmod(folder / "run.json", 0o600)
    done = intelshare("node", "health", "--folder", folder)
    assert done.code == 6
    assert "node run" in done.err


def test_replicas_in_a_cluster_share_one_volume_and_each_answers_for_itself() -> None:
    found = manifests("replicas.yaml")
    spec = found["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["replicas"] == 3
    assert "volumeClaimTemplates" not in spec
    claim = found["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in pod[
        "volumes"
    ]
    # One that waits for its turn is never ready: a rolling update and a budget would wait for it for ever.
    assert container["args"][-3:] == ["--together", "--replica", "$(POD)"]
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    labels = spec["template"]["metadata"]["labels"]
    (spread,) = pod["topologySpreadConstraints"]
    for kind in ("NetworkPolicy", "PodDisruptionBudget"):
        selects = found[kind]["spec"].get("podSelector") or found[kind]["spec"]["selector"]
        assert selects["matchLabels"] == labels == spread["labelSelector"]["matchLabels"]
    assert found["Service"]["spec"]["selector"] == spec["selector"]["matchLabels"] == labels
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert "--replica $POD" in container[probe]["exec"]["command"][-1]
    assert pod["securityContext"] == manifests()["StatefulSet"]["spec"]["template"]["spec"]["securityContext"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_replicas_of_the_compose_example_are_alike_and_have_the_least_that_they_need() -> None:
    found = compose((ROOT / "examples" / "postgres" / "compose.yaml").read_text("utf-8"))
    services = found["services"]
    assert sorted(services) == ["a", "b", "c", "database"]
    for name in ("a", "b", "c"):
        one = services[name]
        assert one["command"][-3:] == ["--together", "--replica", name]
        assert one["healthcheck"]["test"][-2:] == ["--replica", name]
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["user"] == "10001:10001"
        assert list(one["environment"]) == ["INTELSHARE_SECRETS"]
        assert one["volumes"] == services["a"]["volumes"]
    assert services["database"]["networks"] == ["database"]
    assert "POSTGRES_PASSWORD" not in services["database"]["environment"]
    assert all(network["internal"] is True for network in found["networks"].values())
