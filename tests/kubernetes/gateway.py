"""Holds the Gateway API's objects of a file of manifests against the API's schemas; unknown fields are faults.

    python gateway.py FOLDER_OF_SCHEMAS MANIFESTS.yaml
"""

import json
import pathlib
import re
import sys

import jsonschema
import yaml

GROUP = "gateway.networking.k8s.io"


def strict(schema):
    """The schema, with no other members of objects than those it names."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: strict(value) for key, value in schema.items()}
    # Branches of oneOf and the like say more about an object that is described elsewhere.
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        whole.setdefault("additionalProperties", False)
    return whole


def schema_of(folder, version, kind):
    """The API's own schema, which the package keeps as JSON within JavaScript."""
    text = (folder / GROUP / version / f"{kind}.js").read_text()
    schema = json.loads(re.search(r"^const schema = (\{.*?^\});", text, re.M | re.S).group(1))
    schema["properties"]["metadata"] = {"type": "object"}
    return strict(schema)


def main():
    folder, manifests = pathlib.Path(sys.argv[1]), sys.argv[2]
    judged = 0
    for one in yaml.safe_load_all(open(manifests)):
        group, _, version = one["apiVersion"].partition("/")
        if group == GROUP:
            jsonschema.validate(one, schema_of(folder, version, one["kind"]))
            judged += 1
    print(judged)


if __name__ == "__main__":
    main()
