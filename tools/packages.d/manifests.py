"""Validates the manifests against the schemas of Kubernetes that kubernetes-validate brings.

With kubectl or kustomize, everything that they can be built into: the base, the example, and the base with each of the
components; without them, only the files of the base. What the Prometheus Operator defines has no schema there.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

NEWEST = "1.34"
# Of each component, the oldest version that it is for.
OLDEST = {"without-sleep": "1.25"}
BASE_OLDEST = "1.30"
FOREIGN = {"ServiceMonitor"}


def builder():
    for name, words in (("kubectl", ["kubectl", "kustomize"]), ("kustomize", ["kustomize", "build"])):
        if shutil.which(name):
            return words
    return None


def built(words, folder):
    done = subprocess.run([*words, str(folder)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"{folder}: {done.stderr.strip()}")
    return list(yaml.safe_load_all(done.stdout))


def with_components(words, root, components):
    """The base and these components, as an overlay beside them would have it."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../base"],
            "components": [f"../components/{component}" for component in components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return built(words, folder)


def sets(root):
    words = builder()
    if words is None:
        print("neither kubectl nor kustomize is here: only the files of the base")
        files = sorted((root / "base").glob("*.yaml"))
        plain = [file for file in files if file.name not in ("kustomization.yaml", "conf.yaml")]
        yield "base", BASE_OLDEST, [each for file in plain for each in yaml.safe_load_all(file.read_text())]
        return
    for name in ("base", "overlays/example"):
        yield name, BASE_OLDEST, built(words, root / name)
    names = sorted(folder.name for folder in (root / "components").iterdir())
    for name in names:
        yield name, OLDEST.get(name, BASE_OLDEST), with_components(words, root, [name])
    for order in (names, names[::-1]):
        manifests = with_components(words, root, order)
        yield " + ".join(order), BASE_OLDEST, manifests


def misnamed(name, manifests):
    """A ConfigMap that is reloaded in place has one name; any other has one for each content."""
    names = [each["metadata"]["name"] for each in manifests if each["kind"] == "ConfigMap"]
    is_fixed = "reload-in-place" in name
    return [each for each in names if (each == "evener") != is_fixed]


def main():
    failures = 0
    for name, oldest, manifests in sets(Path(sys.argv[1])):
        for version in (oldest, NEWEST):
            for manifest in manifests:
                kind = manifest["kind"]
                if kind in FOREIGN:
                    continue
                try:
                    kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    failures += 1
                    place = ".".join(str(part) for part in error.path)
                    print(f"{name}, Kubernetes {version}: {kind} {manifest['metadata']['name']}: {place}: {error.message}")
        for wrong in misnamed(name, manifests):
            failures += 1
            print(f"{name}: the name of the ConfigMap is {wrong}")
        kinds = ", ".join(manifest["kind"] for manifest in manifests)
        print(f"{name}: Kubernetes {oldest} and {NEWEST}: {kinds}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
