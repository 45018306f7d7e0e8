"""What becomes of workloads on the cluster of `apiserver.py`: pods, and how far they are.

A pod is ready some moments after it was made, but for images that say otherwise: `missing:…` cannot be pulled, `crash:…`
ends again and again, `nowhere:…` fits no node, `never:…` does not become ready.
"""

import time

READY_AFTER = 0.4

WAITING = {
    "missing": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "missing:1"'},
    "crash": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"},
}


def selects(selector, thing):
    """Whether an object has what `a=b,c` asks for."""
    labels = thing["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def applied(store, kind, thing):
    if kind == "Node":
        return
    if kind in ("Deployment", "Job"):
        thing.setdefault("status", {})
        store.times = getattr(store, "times", {})
        place = (kind, thing["metadata"]["namespace"], thing["metadata"]["name"])
        template = repr(thing["spec"])
        if store.times.get(place, (None, 0))[0] != template:
            store.times[place] = (template, time.monotonic())
        pods(store, kind, thing)


def pods(store, kind, thing):
    """One pod stands for all: whatever holds up one holds up the others."""
    meta = thing["metadata"]
    template = thing["spec"]["template"]
    image = template["spec"]["containers"][0]["image"].partition(":")[0]
    name = f"{meta['name']}-pod"
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": dict(template["metadata"]["labels"])},
        "spec": template["spec"], "status": {"phase": "Pending"},
    }
    status = pod["status"]
    if image == "nowhere":
        status["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                 "message": "0/1 nodes are available: 1 Insufficient memory."}]
    elif image in WAITING:
        ended = {"terminated": {"exitCode": 1}} if image == "crash" else {}
        status["containerStatuses"] = [{"name": "c", "image": image, "imageID": "", "ready": False, "restartCount": 0,
                                        "state": {"waiting": WAITING[image]}, "lastState": ended}]
    store.objects[("pods", meta["namespace"], name)] = pod


def deleted(store, kind, thing):
    if kind in ("Deployment", "Job"):
        store.objects.pop(("pods", thing["metadata"]["namespace"], f"{thing['metadata']['name']}-pod"), None)


def tick(store):
    """Time passes."""
    times = getattr(store, "times", {})
    for (plural, namespace, name), thing in list(store.objects.items()):
        if plural not in ("deployments", "jobs"):
            continue
        kind = "Deployment" if plural == "deployments" else "Job"
        image = thing["spec"]["template"]["spec"]["containers"][0]["image"].partition(":")[0]
        is_held = image in WAITING or image in ("nowhere", "never")
        is_ready = time.monotonic() - times.get((kind, namespace, name), ("", 0))[1] > READY_AFTER and not is_held
        if kind == "Job":
            thing["status"] = {"ready": thing["spec"].get("parallelism", 1) if is_ready else 0}
            continue
        wanted = thing["spec"]["replicas"]
        ready = wanted if is_ready else 0
        thing["status"] = {
            "observedGeneration": thing["metadata"].get("generation", 1), "replicas": wanted,
            "updatedReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready,
        }
