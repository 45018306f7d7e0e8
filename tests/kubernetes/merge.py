"""Server-side apply: who owns which field, and what an apply changes.

By the rules of https://kubernetes.io/docs/reference/using-api/server-side-apply/: a list is merged by its keys, as a set
or as a whole, and a map by its keys or as a whole, as the API's own schema says (x-kubernetes-list-type,
x-kubernetes-list-map-keys, x-kubernetes-map-type).
"""

import copy
import json


class Schemas:
    """The definitions of an API by reference, `_definitions.json` of kubernetes-validate."""

    def __init__(self, definitions):
        self.definitions = definitions

    def resolve(self, schema):
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self.definitions.get(schema["$ref"].rsplit("/", 1)[-1], {})
        return schema if isinstance(schema, dict) else {}

    def member(self, schema, key):
        schema = self.resolve(schema)
        properties = schema.get("properties") or {}
        if key in properties:
            return self.resolve(properties[key])
        return self.resolve(schema.get("additionalProperties") or {})

    def items(self, schema):
        return self.resolve(self.resolve(schema).get("items") or {})

    def keys(self, schema):
        """The keys of a list that is merged by them."""
        schema = self.resolve(schema)
        if schema.get("x-kubernetes-list-type") == "map":
            return schema.get("x-kubernetes-list-map-keys")
        return None

    def is_whole(self, schema, value):
        """Whether a value has one owner."""
        schema = self.resolve(schema)
        if isinstance(value, dict):
            return not value or schema.get("x-kubernetes-map-type") == "atomic"
        if isinstance(value, list):
            return not value or schema.get("x-kubernetes-list-type") not in ("map", "set")
        return True


def key_of(item, keys):
    return "k:" + json.dumps({key: item.get(key) for key in keys}, sort_keys=True)


def children(schemas, schema, value):
    """(name of the path, schema, value) of what a value consists of."""
    if isinstance(value, dict):
        return [("f:" + key, schemas.member(schema, key), one) for key, one in value.items()]
    keys = schemas.keys(schema)
    if keys:
        return [(key_of(one, keys), schemas.items(schema), one) for one in value]
    return [("v:" + json.dumps(one, sort_keys=True), schemas.items(schema), one) for one in value]


def leaves(schemas, schema, value, path=()):
    """Every field that has an owner, with its value."""
    if schemas.is_whole(schema, value):
        return {path: value}
    found = {}
    # An item of a list has an owner itself, beside those of its fields.
    if path and path[-1].startswith("k:"):
        found[path + (".",)] = None
    for name, inner, one in children(schemas, schema, value):
        found.update(leaves(schemas, inner, one, path + (name,)))
    return found


def merged(schemas, schema, live, wanted):
    """What is there with what is wanted put over it."""
    is_map = schemas.resolve(schema).get("x-kubernetes-map-type") != "atomic"
    if wanted == {} and isinstance(live, dict) and is_map:
        return live
    if live is None or schemas.is_whole(schema, wanted) or type(live) is not type(wanted):
        return copy.deepcopy(wanted)
    if isinstance(wanted, dict):
        whole = dict(live)
        for key, one in wanted.items():
            whole[key] = merged(schemas, schemas.member(schema, key), live.get(key), one)
        return whole
    keys = schemas.keys(schema)
    if not keys:
        return live + [one for one in wanted if one not in live]
    whole = list(live)
    at = {key_of(one, keys): position for position, one in enumerate(whole)}
    for one in wanted:
        position = at.get(key_of(one, keys))
        if position is None:
            whole.append(copy.deepcopy(one))
        else:
            whole[position] = merged(schemas, schemas.items(schema), whole[position], one)
    return whole


def without(schemas, schema, value, gone, path=()):
    """The value less the fields that are gone; None where nothing is left of it."""
    if path in gone:
        return None
    if schemas.is_whole(schema, value):
        return value
    if path + (".",) in gone:
        return None
    if isinstance(value, dict):
        kept = {}
        for key, one in value.items():
            left = without(schemas, schemas.member(schema, key), one, gone, path + ("f:" + key,))
            if left is not None:
                kept[key] = left
        return kept or None
    kept = []
    for name, inner, one in children(schemas, schema, value):
        left = without(schemas, inner, one, gone, path + (name,))
        if left is not None:
            kept.append(left)
    return kept or None


class Conflict(Exception):
    """Fields that somebody else owns and has set to something else."""


def apply(schemas, schema, live, owners, manager, wanted, force):
    """The object after an apply, and who owns what: {manager: set of paths}."""
    fields = leaves(schemas, schema, wanted)
    now = leaves(schemas, schema, live) if live else {}
    owners = {name: set(paths) for name, paths in owners.items()}
    for other in [name for name in owners if name != manager]:
        taken = {path for path in fields if path in owners[other] and now.get(path) != fields[path]}
        if taken and not force:
            first = "".join(part.replace("f:", ".", 1) for part in sorted(taken)[0])
            raise Conflict(f'Apply failed with {len(taken)} conflict: conflict with "{other}": {first}')
        owners[other] -= taken
    others = set().union(*[paths for name, paths in owners.items() if name != manager])
    gone = owners.get(manager, set()) - set(fields) - others
    kept = without(schemas, schema, live, gone) if live else None
    owners[manager] = set(fields)
    return merged(schemas, schema, kept, wanted), {name: paths for name, paths in owners.items() if paths}


def fields_v1(paths):
    """Paths as metadata.managedFields has them."""
    tree = {}
    for path in paths:
        node = tree
        for part in path:
            node = node.setdefault(part, {})
    return tree
