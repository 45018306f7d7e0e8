"""An API server for tests: what weft asks of a Kubernetes cluster, by the documented rules.

It stands in for a real one where none can be installed. Every object that it stores is held against the API's schemas
(kubernetes-validate, strict, and for the Gateway API its own definitions);
apply is `merge.py`, and what would become of pods on a cluster is `controllers.py`.

    python apiserver.py [--gateway FOLDER] [--certificate FILE --key FILE --clients FILE] [--token TOKEN]

It prints the port that it listens on, on the loopback interface. `GET /test/requests` lists what was asked.
"""

import argparse
import base64
import copy
import datetime
import importlib.resources
import json
import re
import ssl
import sys
import threading
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import kubernetes_validate

sys.dont_write_bytecode = True  # nothing is left beside the tests
sys.path.insert(0, str(Path(__file__).parent))
import controllers  # noqa: E402
import gateway  # noqa: E402
import merge  # noqa: E402

VERSION = "1.37"
GATEWAY = gateway.GROUP
# Group, version, plural, kind, whether namespaced.
KINDS = [
    ("", "v1", "namespaces", "Namespace", False),
    ("", "v1", "nodes", "Node", False),
    ("", "v1", "pods", "Pod", True),
    ("", "v1", "services", "Service", True),
    ("", "v1", "secrets", "Secret", True),
    ("", "v1", "configmaps", "ConfigMap", True),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True),
    ("apps", "v1", "deployments", "Deployment", True),
    ("apps", "v1", "daemonsets", "DaemonSet", True),
    ("batch", "v1", "jobs", "Job", True),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True),
    (GATEWAY, "v1", "gateways", "Gateway", True),
    (GATEWAY, "v1", "httproutes", "HTTPRoute", True),
    (GATEWAY, "v1alpha2", "tcproutes", "TCPRoute", True),
    (GATEWAY, "v1alpha2", "udproutes", "UDPRoute", True),
]


class Refusal(Exception):
    """An answer of kind Status."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }


def load_schemas():
    """The API's definitions, and the definition of each kind."""
    folder = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
    newest = folder / f"v{VERSION}.0-local-strict" / "_definitions.json"
    definitions = json.loads(newest.read_text())
    definitions = definitions["$defs"]
    kinds = {}
    for name, one in definitions.items():
        for kind in one.get("x-kubernetes-group-version-kind", []):
            kinds[(kind["group"], kind["version"], kind["kind"])] = {"$ref": "#/" + name}
    return merge.Schemas(definitions), kinds


class Store:
    def __init__(self, folder):
        self.lock = threading.RLock()
        self.objects = {}
        self.owners = {}
        self.version = 100
        self.address = 10
        self.gateway = Path(folder) if folder else None
        self.schemas, self.kinds = load_schemas()
        self.requests = []

    # --- kinds and schemas

    def kind(self, group, version, plural):
        for one in KINDS:
            if one[:3] == (group, version, plural) and (group != GATEWAY or self.gateway):
                return one
        raise Refusal(404, "NotFound", "the server could not find the requested resource")

    def schema(self, kind):
        group, version, _, name, _ = kind
        return self.kinds.get((group, version, name), {"type": "object"})

    def validate(self, kind, thing):
        try:
            if kind[0] == GATEWAY:
                jsonschema.validate(thing, gateway.schema_of(self.gateway, kind[1], kind[3]))
            else:
                kubernetes_validate.validate(thing, VERSION, strict=True)
        except jsonschema.ValidationError as error:
            path = ".".join(str(part) for part in error.path)
            if "dditional properties" in error.message:
                raise Refusal(400, "BadRequest", f'{kind[3]} in version "{kind[1]}" cannot be handled: strict '
                              f"decoding error: unknown field: {path}: {error.message}") from None
            name = thing["metadata"].get("name")
            raise Refusal(422, "Invalid", f'{kind[3]} "{name}" is invalid: {path}: {error.message}') from None

    # --- reading

    def get(self, kind, namespace, name):
        found = self.objects.get((kind[2], namespace, name))
        if found is None:
            raise Refusal(404, "NotFound", f'{kind[2]}{"." + kind[0] if kind[0] else ""} "{name}" not found')
        return found

    def list(self, kind, namespace, query):
        selector = query.get("labelSelector", "")
        found = [
            thing for (plural, where, _), thing in sorted(self.objects.items())
            if plural == kind[2] and namespace in (None, where) and controllers.selects(selector, thing)
        ]
        start = int(query.get("continue") or 0)
        size = min(int(query.get("limit") or 500), 3)  # small pages, so that they are followed
        meta = {"resourceVersion": str(self.version)}
        if start + size < len(found):
            meta["continue"] = str(start + size)
        return {
            "kind": kind[3] + "List", "apiVersion": "/".join(part for part in kind[:2] if part),
            "metadata": meta, "items": found[start:start + size],
        }

    # --- writing

    def apply(self, kind, namespace, name, query, wanted):
        manager = query.get("fieldManager")
        if not manager:
            raise Refusal(400, "BadRequest", "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: "
                          "is required for apply patch")
        api = "/".join(part for part in kind[:2] if part)
        if wanted.get("kind") != kind[3] or wanted.get("apiVersion") != api:
            raise Refusal(400, "BadRequest", f"{wanted.get('kind')} of {wanted.get('apiVersion')} is no {kind[3]}")
        if wanted.get("metadata", {}).get("name") != name:
            raise Refusal(400, "BadRequest", "the name of the object does not match the name on the URL")
        if kind[4]:
            if wanted["metadata"].setdefault("namespace", namespace) != namespace:
                raise Refusal(400, "BadRequest", "the namespace of the object does not match the namespace on the URL")
            self.get(KINDS[0], "", namespace)
        place = (kind[2], namespace, name)
        live = self.objects.get(place)
        body = {key: copy.deepcopy(value) for key, value in wanted.items() if key not in ("apiVersion", "kind", "status")}
        body["metadata"].pop("name")
        body["metadata"].pop("namespace", None)
        before = {key: value for key, value in (live or {}).items() if key not in ("apiVersion", "kind")}
        try:
            after, owners = merge.apply(self.schemas, self.schema(kind), before, self.owners.get(place, {}), manager,
                                        body, query.get("force") == "true")
        except merge.Conflict as conflict:
            raise Refusal(409, "Conflict", str(conflict)) from None
        after = {"apiVersion": api, "kind": kind[3], **after}
        self.complete(kind, namespace, name, live, after)
        self.immutable(kind, live, after)
        self.validate(kind, after)
        self.manage(after, owners, api)
        if query.get("dryRun") == "All":
            return 200 if live else 201, after
        self.keep(place, live, after)
        self.owners[place] = owners
        controllers.applied(self, kind[3], after)
        return 200 if live else 201, after

    def keep(self, place, live, after):
        plain = lambda thing: {key: value for key, value in thing.items() if key != "metadata"}  # noqa: E731
        if live is None or plain(live) != plain(after):
            after["metadata"]["generation"] = (live["metadata"].get("generation", 0) if live else 0) + 1
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        self.objects[place] = after

    def complete(self, kind, namespace, name, live, after):
        """What the server fills in."""
        meta = after["metadata"]
        meta["name"] = name
        if kind[4]:
            meta["namespace"] = namespace
        old = live["metadata"] if live else {}
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta["uid"] = old.get("uid", str(uuid.uuid4()))
        meta["creationTimestamp"] = old.get("creationTimestamp", now)
        if live and "status" in live:
            after["status"] = live["status"]
        if kind[3] == "Secret":
            for key, value in (after.pop("stringData", None) or {}).items():
                after.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
            after.setdefault("type", "Opaque")
        if kind[3] == "Service":
            spec = after["spec"]
            spec.setdefault("type", "ClusterIP")
            spec.setdefault("sessionAffinity", "None")
            if "clusterIP" not in spec:
                self.address += 1
                spec["clusterIP"] = f"10.43.0.{self.address}"
            for port in spec.get("ports", []):
                port.setdefault("protocol", "TCP")
                port.setdefault("targetPort", port["port"])
        if kind[3] in ("Deployment", "Job"):
            pod = after["spec"]["template"]["spec"]
            pod.setdefault("restartPolicy", "Always")
            pod.setdefault("terminationGracePeriodSeconds", 30)
            for container in pod["containers"]:
                container.setdefault("terminationMessagePath", "/dev/termination-log")
                container.setdefault("imagePullPolicy", "IfNotPresent")
        if kind[3] == "Deployment":
            after["spec"].setdefault("replicas", 1)
            after["spec"].setdefault("revisionHistoryLimit", 10)

    def immutable(self, kind, live, after):
        if not live:
            return
        fixed = {"Job": ["template"], "Deployment": ["selector"]}.get(kind[3], [])
        for field in fixed:
            if live["spec"].get(field) != after["spec"].get(field):
                raise Refusal(422, "Invalid", f'{kind[3]} "{after["metadata"]["name"]}" is invalid: spec.{field}: '
                              "Invalid value: field is immutable")
        if kind[3] == "Service":
            old, new = live["spec"].get("clusterIP"), after["spec"].get("clusterIP")
            if old != new:
                what = "may not change once set" if new != "None" else "may not be set to 'None' once set"
                raise Refusal(422, "Invalid", f'Service "{after["metadata"]["name"]}" is invalid: spec.clusterIPs[0]: '
                              f"Invalid value: {what}")

    def manage(self, after, owners, api):
        after["metadata"]["managedFields"] = [
            {"manager": manager, "operation": "Apply", "apiVersion": api, "fieldsType": "FieldsV1",
             "time": after["metadata"]["creationTimestamp"], "fieldsV1": merge.fields_v1(paths)}
            for manager, paths in sorted(owners.items())
        ]

    def delete(self, kind, namespace, name):
        gone = self.get(kind, namespace, name)
        del self.objects[(kind[2], namespace, name)]
        self.owners.pop((kind[2], namespace, name), None)
        if kind[3] == "Namespace":
            for place in [place for place in self.objects if place[1] == name]:
                del self.objects[place]
        controllers.deleted(self, kind[3], gone)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?$"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = None
    token = None

    def log_message(self, *_):
        pass

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            code, answer = self.decide(body)
        except Refusal as refusal:
            code, answer = refusal.status["code"], refusal.status
        self.answer(code, answer)

    do_GET = do_PATCH = do_DELETE = do_POST = do_PUT = handle_one

    def decide(self, body):
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        store = self.store
        if path == "/test/requests":
            return 200, store.requests
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        found = PATH.match(path)
        if not found:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        kind = store.kind(found["group"] or "", found["core"] or found["version"], found["plural"])
        namespace = found["namespace"] or (None if kind[4] else "")
        name = urllib.parse.unquote(found["name"] or "")
        with store.lock:
            controllers.tick(store)
            store.requests.append(f"{self.command} {kind[3]} {name or namespace or ''}".strip())
            if self.command == "GET" and name:
                return 200, store.get(kind, namespace, name)
            if self.command == "GET":
                return 200, store.list(kind, namespace, query)
            if self.command == "DELETE" and name:
                return 200, store.delete(kind, namespace, name)
            if self.command == "PATCH" and name:
                form = self.headers.get("Content-Type", "")
                if form != "application/apply-patch+yaml":
                    raise Refusal(415, "UnsupportedMediaType", f"{form} is not understood here")
                return store.apply(kind, namespace, name, query, json.loads(body))
            # How a test puts a thing in place that weft does not make: a node, a DaemonSet, another's Service.
            if self.command == "POST":
                thing = json.loads(body)
                store.validate(kind, thing)
                place = (kind[2], namespace, thing["metadata"]["name"])
                paths = merge.leaves(store.schemas, store.schema(kind), {
                    key: value for key, value in thing.items() if key not in ("apiVersion", "kind", "metadata")})
                store.complete(kind, namespace, place[2], None, thing)
                store.keep(place, None, thing)
                store.owners[place] = {"kubectl-create": set(paths)}
                return 201, thing
        raise Refusal(405, "MethodNotAllowed", f"{self.command} is not understood here")


def main():
    options = argparse.ArgumentParser()
    for name in ("gateway", "certificate", "key", "clients", "token"):
        options.add_argument("--" + name)
    given = options.parse_args()
    Handler.store = Store(given.gateway)
    Handler.token = given.token
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate, given.key)
        if given.clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(given.clients)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    # It ends when whoever started it does.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main()
