"""Amazon's EC2 API for tests: moto's, with what moto leaves out and what can go wrong.

    python server.py [--api URL]

It prints its port on the loopback interface, and the key of an account, in one line. Requests must be signed by that key:
moto checks the signature. Beside moto's it has

- the client tokens of RunInstances: the same request again is answered with the instance that the first one booted;
- nodes: a machine that was booted joins the cluster whose API server is at --api, under the name that its tag says;
- faults: POST /test/faults [{"action": "RunInstances", "after": 1, "times": 2, "kind": "throttle"}]. `after` calls are
  let pass first. Kinds: throttle, capacity, error, garbage, html, truncated, close, hold (the call is made, and its answer
  is held back until POST /test/release; GET /test/held tells whether one is);
- GET /test/calls, the calls that were made, GET /test/orders, the parameters of those of RunInstances, and POST /test/forget,
  which empties both lists.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ACCOUNT = "123456789012"
AMI = {
    "ami_id": "ami-0noble", "name": "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101",
    "description": "Canonical, Ubuntu, 24.04 LTS", "owner_id": "099720109477", "public": True,
    "virtualization_type": "hvm", "architecture": "x86_64", "state": "available", "platform": None,
    "image_type": "machine", "hypervisor": "xen", "root_device_name": "/dev/sda1", "root_device_type": "ebs",
    "sriov": "simple", "creation_date": "2026-01-01T00:00:00.000Z", "tags": {},
}
OLD = {**AMI, "ami_id": "ami-0old", "creation_date": "2025-01-01T00:00:00.000Z"}
OTHER = {**AMI, "ami_id": "ami-0other", "owner_id": "111111111111", "creation_date": "2026-06-01T00:00:00.000Z"}

FAULTS = {
    "throttle": ("503 Service Unavailable", "RequestLimitExceeded", "Request limit exceeded."),
    "error": ("500 Internal Server Error", "InternalError", "An internal error has occurred."),
    "capacity": ("500 Internal Server Error", "InsufficientInstanceCapacity", "There is no t3.small capacity left."),
    "limit": ("400 Bad Request", "VcpuLimitExceeded", "You have requested more vCPU capacity than your limit."),
}


def images():
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump([OLD, AMI, OTHER], file)
    return file.name


os.environ["MOTO_AMIS_PATH"] = images()
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

from moto.iam.models import iam_backends  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402


def account_key():
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_user("us-east-1", "weft")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}]}
    backend.put_user_policy("weft", "ec2", json.dumps(everything))
    key = backend.create_access_key("weft")
    return key.access_key_id, key.secret_access_key


def refusal(code, message):
    return (f"<?xml version='1.0'?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            "</Errors><RequestID>r</RequestID></Response>").encode()


class Lab:
    """A WSGI application around moto's."""

    def __init__(self, moto, api):
        self.moto = moto
        self.api = api
        self.lock = threading.Lock()
        self.calls = []
        self.orders = []
        self.faults = []
        self.tokens = {}
        self.held = threading.Event()
        self.released = threading.Event()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if path.startswith("/test/"):
            answer = json.dumps(self.control(path[6:], body)).encode()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
            return [answer]
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        action = form.get("Action", "")
        with self.lock:
            self.calls.append(action)
            if action == "RunInstances":
                self.orders.append(form)
            fault = self.fault(action)
        if fault in FAULTS:
            status, code, message = FAULTS[fault]
            return self.say(start_response, status, refusal(code, message))
        if fault == "close":
            raise ConnectionAbortedError
        if fault == "garbage":
            return self.say(start_response, "200 OK", b"\x00\xff<RunInstancesResponse><a></b>")
        if fault == "html":
            return self.say(start_response, "502 Bad Gateway", b"<html><body>Bad Gateway</body></html>")
        status, answer = self.answer(environ, form, body)
        if fault == "truncated":
            answer = answer[: len(answer) // 2]
        if fault == "hold":
            self.released.clear()
            self.held.set()
            self.released.wait(30)
            self.held.clear()
        return self.say(start_response, status, answer)

    def say(self, start_response, status, body):
        start_response(status, [("Content-Type", "text/xml;charset=UTF-8"), ("Content-Length", str(len(body)))])
        return [body]

    def control(self, what, body):
        if what == "faults":
            self.faults = json.loads(body)
        elif what == "calls":
            return self.calls
        elif what == "orders":
            return self.orders
        elif what == "forget":
            self.calls, self.orders = [], []
        elif what == "held":
            return self.held.is_set()
        elif what == "release":
            self.released.set()
        return True

    def fault(self, action):
        """What goes wrong with this call."""
        for one in self.faults:
            if one["action"] not in (action, "*"):
                continue
            if one.get("after", 0) > 0:
                one["after"] -= 1
            elif one.get("times", 1) > 0:
                one["times"] = one.get("times", 1) - 1
                return one["kind"]
        return None

    def answer(self, environ, form, body):
        token = form.get("ClientToken") if form.get("Action") == "RunInstances" else None
        if token and token in self.tokens:
            before, answer = self.tokens[token]
            if before != form:
                return "400 Bad Request", refusal("IdempotentParameterMismatch", "arguments differ")
            return "200 OK", answer
        status, answer = self.pass_on(environ, body)
        if token and status.startswith("200"):
            self.tokens[token] = (form, answer)
            self.join(form)
        return status, answer

    def pass_on(self, environ, body):
        import io

        seen = {}

        def start(status, headers, _=None):
            seen["status"] = status

        environ = {**environ, "wsgi.input": io.BytesIO(body)}
        answer = b"".join(self.moto(environ, start))
        return seen["status"], answer

    def join(self, form):
        """What cloud-init would do: the machine becomes a node."""
        if not self.api:
            return
        keys = [key for key in form if key.startswith("TagSpecification.1.") and key.endswith(".Key")]
        tags = {form[key]: form.get(key[:-3] + "Value") for key in keys}
        if "weft:node" not in tags:
            return
        node = {
            "apiVersion": "v1", "kind": "Node", "spec": {},
            "metadata": {"name": tags["weft:node"], "labels": {"weft/machine": tags["weft:machine"]}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                       "nodeInfo": dict.fromkeys(["architecture", "bootID", "containerRuntimeVersion", "kernelVersion",
                                                  "kubeProxyVersion", "machineID", "operatingSystem", "osImage",
                                                  "systemUUID"], "x") | {"kubeletVersion": "v1.34.1+k3s1"}},
        }

        def later():
            time.sleep(0.2)
            request = urllib.request.Request(f"{self.api}/api/v1/nodes", json.dumps(node).encode(), method="POST")
            try:
                urllib.request.urlopen(request, timeout=5).read()
            except OSError as error:
                print(error, file=sys.stderr)

        threading.Thread(target=later, daemon=True).start()


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--api")
    given = options.parse_args()
    lab = Lab(DomainDispatcherApplication(create_backend_app), given.api)
    key, secret = account_key()
    server = make_server("127.0.0.1", 0, lab, threaded=True, request_handler=Quiet)
    print(server.server_port, key, secret, flush=True)
    # It ends when whoever started it does.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os.unlink(os.environ["MOTO_AMIS_PATH"])


main()
