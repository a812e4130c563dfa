#!/usr/bin/env python3
"""What stands for `pgo`, the client of Crunchy's PostgreSQL Operator 4, and for the operator behind it: neither can be installed here. As
`pgo` it does what client and pgo-apiserver of 4.2.2 do, with the same words and the same exit codes, which lie; as `operator URL STATE` it
does what the operator does with Pgtasks and labels, in hundreds of milliseconds; as `inside URL STATE NAMESPACE` it is what runs in Pods. Objects are on the tests' API server (PGO_APISERVER_URL); what
is in repositories, and what is to go wrong, is in a file (PGOUSER)."""
import fcntl, json, os, random, signal, sys, time, urllib.error, urllib.request
from datetime import datetime, timezone

PLURALS = {"Pgcluster": "crunchydata.com/v1/pgclusters", "Pgtask": "crunchydata.com/v1/pgtasks", "Job": "batch/v1/jobs",
           "Deployment": "apps/v1/deployments", "Pod": "v1/pods", "ConfigMap": "v1/configmaps",
           "PersistentVolumeClaim": "v1/persistentvolumeclaims", "ResourceQuota": "v1/resourcequotas", "CustomResourceDefinition": "apiextensions.k8s.io/v1/customresourcedefinitions"}


class State:
    """The file with repositories and faults: changed by one at a time, and whole whenever somebody reads it."""

    def __init__(self, path):
        self.path = path

    def read(self):
        with open(self.path) as file:
            return json.load(file)

    def change(self, how):
        with open(self.path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            result = how(state)
            with open(self.path + ".new", "w") as file:
                json.dump(state, file)
            os.replace(self.path + ".new", self.path)
            return result


class Api:
    def __init__(self, url):
        self.url = url

    def ask(self, method, kind, namespace, name="", body=None, query="", sub=""):
        path = PLURALS[kind]
        version, plural = path.rsplit("/", 1)
        root = "/api/" if version == "v1" else "/apis/"
        within = f"/namespaces/{namespace}" if namespace else ""
        url = self.url + root + version + within + "/" + plural + ("/" + name if name else "") + sub + query
        kinds = {"PATCH": "application/merge-patch+json"}
        request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": kinds.get(method, "application/json")})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def get(self, kind, namespace, name):
        return self.ask("GET", kind, namespace, name)

    def list(self, kind, namespace, **labels):
        found = self.ask("GET", kind, namespace)["items"]
        wanted = {key.replace("_", "-"): value for key, value in labels.items()}
        has = lambda one: one["metadata"].get("labels", {})
        return [one for one in found if all(has(one).get(key) == value for key, value in wanted.items())]

    def make(self, object):
        namespace = object["metadata"].get("namespace", "")
        status = object.get("status")
        made = self.ask("POST", object["kind"], namespace, body=object)
        if status and object["kind"] in ("Pod", "Job", "Deployment", "ResourceQuota"):
            self.set_status(object["kind"], namespace, object["metadata"]["name"], status)
        return made

    def set_status(self, kind, namespace, name, status):
        sub = "" if kind.startswith("Pg") else "/status"
        return self.ask("PATCH", kind, namespace, name, body={"status": status}, sub=sub)

    def patch(self, kind, namespace, name, body):
        return self.ask("PATCH", kind, namespace, name, body=body)

    def delete(self, kind, namespace, name):
        return self.ask("DELETE", kind, namespace, name)


def labelled(kind, namespace, name, labels, **more):
    version = PLURALS[kind].rsplit("/", 1)[0]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels}, **more}


def pod(namespace, name, labels, ready=True):
    status = {"phase": "Running" if ready else "Pending", "containerStatuses": [{"name": "database", "ready": ready}]}
    return labelled("Pod", namespace, name, labels, spec={"containers": [{"name": "database", "image": "crunchy:4"}]}, status=status)


# --- the client, and the apiserver that it asks -------------------------------------------------------------------------------------

def fail(text):
    print("Error: " + text)
    sys.exit(2)


def maybe_killed(state, moment, command):
    """Kills the engine where the test says so: once."""
    def take(found):
        wanted = found.get("kill")
        if wanted and wanted["moment"] == moment and wanted["command"] == command:
            wanted["after"] = wanted.get("after", 0) - 1
            if wanted["after"] >= 0:
                return None
            found["kill"] = None
            return wanted["pid_file"]
    pid_file = state.change(take)
    if pid_file:
        os.kill(int(open(pid_file).read()), signal.SIGKILL)


def options(argv):
    return dict(word[2:].split("=", 1) if "=" in word else (word[2:], "true") for word in argv if word.startswith("--"))


def client(argv):
    api, state = Api(os.environ["PGO_APISERVER_URL"]), State(os.environ["PGOUSER"])
    namespace, given = argv[argv.index("-n") + 1], options(argv)
    command = argv[0] + " " + argv[1] if argv[0] in ("show", "create", "delete", "update") else argv[0]
    reads = argv[0] in ("show", "version")
    if not reads:
        state.change(lambda found: found.setdefault("asked", []).append(" ".join(argv)))
        maybe_killed(state, "before", argv[0])
    lies = state.read().get("lies", {})
    lie = lies.get(command, next((said for words, said in lies.items() if words in " ".join(argv)), None))
    if lie is not None:
        print(lie)
        return
    COMMANDS[command](api, state, namespace, argv, given)
    if not reads:
        maybe_killed(state, "after", argv[0])


def show_cluster(api, state, namespace, argv, given):
    found = api.get("Pgcluster", namespace, argv[2])
    if not found:
        print("No clusters found.")
        return
    print(json.dumps({"results": [{"cluster": found}]}, indent=4))


def offered(cluster):
    return cluster["spec"].get("userlabels", {}).get("backrest-storage-type", "")


def clock(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def show_backup(api, state, namespace, argv, given):
    cluster = api.get("Pgcluster", namespace, argv[2])
    if not cluster:
        print("No pgBackRest found.")
        return
    print("\nbackrest : " + argv[2])
    has = offered(cluster) or "local"
    for storage in [one for one in ("local", "s3") if one in has.split(",")]:
        print(f"\nStorage Type: {storage}\nstanza: db\n    status: ok\n    cipher: none\n\n    db (current)\n        wal archive min/max (12-1): 01/0A")
        for one in state.read()["backups"]:
            if one["storage"] == storage:
                print(f"\n        {one['type']} backup: {one['label']}\n            timestamp start/stop: {clock(one['start'])} / {clock(one['stop'])}")
                print("            wal start/stop: 02 / 02\n            database size: 31.0MB, backup size: 31.0MB")
                print("            repository size: 3.7MB, repository backup size: 3.7MB")


def allowed(given, cluster):
    has, asked = offered(cluster), given.get("pgbackrest-storage-type", "")
    if "s3" in asked and "s3" not in has:
        fail("Storage type 's3' not allowed. S3 storage is not enabled for pgBackRest in this cluster")
    if (asked == "" or "local" in asked) and has and "local" not in has:
        fail("Storage type 'local' not allowed. Local storage is not enabled for pgBackRest in this cluster.")


def repository(api, namespace, name):
    pods = api.list("Pod", namespace, pg_cluster=name, pgo_backrest_repo="true")
    if len(pods) != 1:
        fail("backrestrepo pod not found for cluster " + name)
    return pods[0]["metadata"]["name"]


def backup(api, state, namespace, argv, given):
    name = argv[1]
    cluster = api.get("Pgcluster", namespace, name)
    if not cluster:
        fail(name + " was not found, verify cluster name")
    allowed(given, cluster)
    task = "backrest-backup-" + name
    if api.get("Pgtask", namespace, task):
        api.delete("Pgtask", namespace, task)
        for job in api.list("Job", namespace, pg_cluster=name, backrest_command="backup"):
            api.delete("Job", namespace, job["metadata"]["name"])
        for one in api.list("Pod", namespace, job_name=task):
            api.delete("Pod", namespace, one["metadata"]["name"])
    repository(api, namespace, name)
    opts, storage = given["backup-opts"], given.get("pgbackrest-storage-type", "")
    make_backup_task(api, namespace, name, opts, storage)
    print("created Pgtask " + task)


def make_backup_task(api, namespace, name, opts, storage, more=None):
    task = "backrest-backup-" + name
    parameters = {"pg-cluster": name, "job-name": task, "backrest-opts": opts, "backrest-storage-type": storage, **(more or {})}
    spec = {"name": task, "namespace": namespace, "tasktype": "backrest", "status": "", "parameters": parameters}
    api.make(labelled("Pgtask", namespace, task, {"pg-cluster": name}, spec=spec))


def create_schedule(api, state, namespace, argv, given):
    name, cron, kind = argv[2], given["schedule"], given["pgbackrest-backup-type"]
    # Looked at by the client itself, which then ends with 0.
    if len(cron.split()) != 5:
        print(cron + " is not a valid schedule: ")
        return
    cluster = api.get("Pgcluster", namespace, name)
    if not cluster:
        print("No clusters found.")
        return
    allowed(given, cluster)
    schedule = f"{name}-{given['schedule-type']}-{kind}"
    if api.get("ConfigMap", namespace, schedule):
        fail(f"Schedule {schedule} already exists")
    backrest = {"deployment": "", "label": f"pg-cluster={name}", "container": "database", "type": kind, "options": given.get("schedule-opts", "")}
    if given.get("pgbackrest-storage-type"):
        backrest["storageType"] = given["pgbackrest-storage-type"]
    told = {"version": "v1", "name": schedule, "created": clock(time.time()), "schedule": cron, "namespace": namespace, "type": "pgbackrest", "cluster": name, "pgbackrest": backrest}
    api.make(labelled("ConfigMap", namespace, schedule, {"pg-cluster": name, "crunchy-scheduler": "true"}, data={schedule: json.dumps(told)}))
    print(f"created schedule {schedule} for cluster {name}")


def delete_schedule(api, state, namespace, argv, given):
    assert given["no-prompt"], "it would ask"
    if not api.delete("ConfigMap", namespace, given["schedule-name"]):
        fail("Could not delete ConfigMap " + given["schedule-name"])
    print("deleted schedule " + given["schedule-name"])


def version(api, state, namespace, argv, given):
    found = state.read().get("version", "4.2.2")
    print(f"pgo client version {found}\npgo-apiserver version {found}")


def update_cluster(api, state, namespace, argv, given):
    assert given["no-prompt"], "it would ask"
    cluster = api.get("Pgcluster", namespace, argv[2])
    if not cluster:
        fail(f'pgclusters.crunchydata.com "{argv[2]}" not found')
    # `=false` of 4.2.2 says nothing at all.
    wanted = "true" if given.get("enable-autofail") == "true" else "false" if given.get("disable-autofail") == "true" else None
    if wanted and cluster["metadata"]["labels"]["autofail"] != wanted:
        api.patch("Pgcluster", namespace, argv[2], {"metadata": {"labels": {"autofail": wanted}}})
        # The operator hears of each change, also of two in a moment.
        state.change(lambda found: found.setdefault("toggles", []).append([argv[2], wanted]))
    print("updated pgcluster " + argv[2])


def restore(api, state, namespace, argv, given):
    assert given["no-prompt"], "it would ask"
    name = argv[1]
    opts = options(given.get("backup-opts", "").split())
    for one in opts:
        if one not in ("type", "set", "target-action", "target-timeline", "delta"):
            fail("unknown flag: --" + one)
    cluster = api.get("Pgcluster", namespace, name)
    if not cluster:
        fail(name + " was not found, verify cluster name")
    allowed(given, cluster)
    workflow, task = "".join(random.choices("0123456789abcdef", k=32)), name + "-pgbackrestrestore"
    if api.get("Pgtask", namespace, task):
        api.delete("Pgtask", namespace, task)
    steps = {"task submitted": clock(time.time()), "pg-cluster": name, "workflowid": workflow}
    api.make(labelled("Pgtask", namespace, task, {"pg-cluster": name, "workflowid": workflow}, spec={"name": task, "tasktype": "workflow", "parameters": steps}))
    to, target = name + "-" + letters(), given.get("pitr-target", "")
    told = {"workflowid": workflow, "cluster": name, "to": to, "opts": given.get("backup-opts", ""), "target": target, "storage": given.get("pgbackrest-storage-type", "")}
    restoring = f"backrest-restore-{name}-to-{to}"
    api.make(labelled("Pgtask", namespace, restoring, {}, spec={"name": restoring, "tasktype": "restore", "parameters": told}))
    if state.read().get("answer_lost"):
        fail("Post https://127.0.0.1:8443/restore: EOF")
    print(f"restore performed on {name} to {to} opts={told['opts']} pitr-target={target}\nworkflow id {workflow}")


def letters():
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=4))


COMMANDS = {"version": version, "update cluster": update_cluster, "restore": restore, "create schedule": create_schedule, "delete schedule": delete_schedule, "show cluster": show_cluster, "show backup": show_backup, "backup": backup}


# --- the operator -------------------------------------------------------------------------------------------------------------------

def operate(url, path, namespace):
    api, state, done = Api(url), State(path), set()
    while os.getppid() != 1:
        time.sleep(0.03)
        found = state.read()
        if found.get("asleep"):
            continue
        for cluster, wanted in state.change(lambda found: found.pop("toggles", [])) if found.get("toggles") else []:
            pause(api, namespace, scope_of(api, namespace, cluster), wanted == "false")
        for task in api.list("Pgtask", namespace):
            uid = task["metadata"]["uid"]
            if uid not in done and task["spec"]["tasktype"] in WORK:
                done.add(uid)
                WORK[task["spec"]["tasktype"]](api, state, namespace, task)


def job_of(api, namespace, name, labels):
    api.make(labelled("Job", namespace, name, labels, spec={"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [{"name": "it", "image": "crunchy:4"}]}}}, status={"active": 1}))
    api.make(pod(namespace, name + "-pod", {**labels, "job-name": name}, False))


def made_backup(state, opts, storage):
    words = dict(word.lstrip("-").split("=", 1) for word in opts.split())
    kind, now = words.get("type", "incr"), time.time()

    def add(found):
        for one in (storage or "local").split(","):
            fulls = [other["label"] for other in found["backups"] if other["storage"] == one and other["type"] == "full"]
            stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%d-%H%M%S")
            real = kind if fulls else "full"
            label = stamp + "F" if real == "full" else fulls[-1] + "_" + stamp + ("D" if real == "diff" else "I")
            found["backups"].append({"type": real, "label": label, "storage": one, "start": now - 1, "stop": now + 1})
            keep = int(words.get("repo1-retention-full", 0))
            fulls = [other["label"] for other in found["backups"] if other["storage"] == one and other["type"] == "full"]
            for gone in fulls[:-keep] if keep else []:
                found["backups"] = [other for other in found["backups"] if not other["label"].startswith(gone)]
    state.change(add)


def work_backup(api, state, namespace, task):
    name, given = task["spec"]["name"], task["spec"]["parameters"]
    labels = {"pgo-backrest": "true", "backrest-command": "backup", "pg-cluster": given["pg-cluster"]}
    job_of(api, namespace, name, labels)
    time.sleep(0.15)
    if state.read().get("backup_fails"):
        api.set_status("Job", namespace, name, {"active": None, "failed": 1})
        return
    made_backup(state, given["backrest-opts"], given["backrest-storage-type"])
    api.set_status("Job", namespace, name, {"active": None, "succeeded": 1})
    time.sleep(0.05)
    api.patch("Pgtask", namespace, name, {"spec": {"status": "job completed"}})
    if given.get("pgha-backup-type") == "bootstrap":
        api.set_status("Pgcluster", namespace, given["pg-cluster"], {"state": "pgcluster Initialized"})


def scope_of(api, namespace, name):
    return api.get("Pgcluster", namespace, name)["metadata"]["labels"]["crunchy-pgha-scope"]


def pause(api, namespace, scope, paused):
    """Whether there is such a ConfigMap, without which nothing is paused."""
    config = json.dumps({"pause": True, "ttl": 30} if paused else {"ttl": 30}, separators=(",", ":"))
    return api.patch("ConfigMap", namespace, scope + "-config", {"metadata": {"annotations": {"config": config}}}) is not None


def aborts(found, given):
    """Why pgBackRest or PostgreSQL stop a restore; empty when they do not."""
    opts = options(given["opts"].split())
    if found.get("restore_fails"):
        return "ERROR: [056]: unable to find primary cluster - cannot proceed"
    if given["target"] and opts.get("type") != "time":
        return "ERROR: [031]: option 'target' not valid without option 'type'"
    backups = [one for one in found["backups"] if one["storage"] == (given["storage"] or "local") and opts.get("set", one["label"]) == one["label"]]
    if not backups:
        return "ERROR: [075]: backup set is not valid"
    if given["target"] and clock(backups[-1]["stop"]) >= given["target"][:19]:
        return "FATAL: recovery ended before the backup was consistent"
    return ""


def work_restore(api, state, namespace, task):
    given = task["spec"]["parameters"]
    name, to, workflow = given["cluster"], given["to"], given["cluster"] + "-pgbackrestrestore"
    if not pause(api, namespace, scope_of(api, namespace, name), True) or state.read().get("no_room"):
        return
    api.make(labelled("PersistentVolumeClaim", namespace, to, {"pg-cluster": name}, spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}))
    for kind in ("Deployment", "Pod"):
        for one in api.list(kind, namespace, pg_cluster=name, pgo_pg_database="true"):
            api.delete(kind, namespace, one["metadata"]["name"])
    api.set_status("Pgcluster", namespace, name, {"state": "pgcluster Restoring"})
    time.sleep(0.1)
    job = "restore-" + name + "-" + letters()
    labels = {"pgo-backrest-restore": "true", "pg-cluster": name, "backrest-restore-to-pvc": to, "workflowid": given["workflowid"]}
    job_of(api, namespace, job, {**labels, "service-name": name})
    said = lambda what: api.patch("Pgtask", namespace, workflow, {"spec": {"parameters": {what: clock(time.time())}}})
    said("restore job created")
    api.set_status("Pod", namespace, job + "-pod", {"phase": "Running"})
    time.sleep(0.1)
    found = state.read()
    if aborts(found, given):
        api.set_status("Pod", namespace, job + "-pod", {"phase": "Failed"})
        api.set_status("Job", namespace, job, {"active": None, "failed": 1})
        return
    api.set_status("Pod", namespace, job + "-pod", {"phase": "Succeeded"})
    api.set_status("Job", namespace, job, {"active": None, "succeeded": 1})
    labels = {"pg-cluster": name, "pgo-pg-database": "true", "service-name": name, "deployment-name": to}
    api.make(deployment(namespace, to, labels, 0))
    api.make(pod(namespace, to + "-0", labels, False))
    names = {"crunchy-pgha-scope": to, "current-primary": to, "deployment-name": to}
    api.patch("Pgcluster", namespace, name, {"metadata": {"labels": names}})
    said("restored Primary created")
    time.sleep(0.1)
    opts = options(given["opts"].split())
    state.change(lambda found: found.update(rows=found["had"] if given["target"] and given["target"][:19] < clock(found["deleted"]) else found["rows"],
                                            open=not given["target"] or opts.get("target-action") == "promote"))
    autofail = api.get("Pgcluster", namespace, name)["metadata"]["labels"]["autofail"]
    api.make(patroni(namespace, to, name))
    pause(api, namespace, to, autofail == "false")
    api.set_status("Pod", namespace, to + "-0", {"phase": "Running", "containerStatuses": [{"name": "database", "ready": True}]})
    api.set_status("Deployment", namespace, to, {"replicas": 1, "readyReplicas": 1})
    backup_task = "backrest-backup-" + name
    for kind in ("Pgtask", "Job"):
        api.delete(kind, namespace, backup_task)
    api.delete("Pod", namespace, backup_task + "-pod")
    make_backup_task(api, namespace, name, "--type=full", given["storage"], {"pgha-backup-type": "bootstrap"})


def deployment(namespace, name, labels, ready):
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "database", "image": "crunchy:4"}]}}
    return labelled("Deployment", namespace, name, labels, spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template}, status={"replicas": 1, "readyReplicas": ready})


def patroni(namespace, scope, name):
    config = labelled("ConfigMap", namespace, scope + "-config", {"pg-cluster": name})
    config["metadata"]["annotations"] = {"config": '{"ttl":30}'}
    return config


WORK = {"backrest": work_backup, "restore": work_restore}


# --- what runs in Pods --------------------------------------------------------------------------------------------------------------

def inside(path, argv):
    found = State(path).read()
    if argv[0] == "pgbackrest":
        storage = "s3" if "--repo-type=s3" in argv else "local"
        backups = [{"label": one["label"], "type": one["type"], "database": {"id": 1}, "timestamp": {"start": int(one["start"]), "stop": int(one["stop"])}} for one in found["backups"] if one["storage"] == storage]
        print(json.dumps([{"name": "db", "archive": [{"id": "12-1"}], "backup": backups, "db": [{"id": 1, "system-id": 6999999999999999901, "version": "12"}], "status": {"code": 0 if backups else 2, "message": "ok"}}]))
    elif "pg_is_in_recovery" in argv[-1]:
        print("f" if found["open"] else "t")
    elif "system_identifier" in argv[-1]:
        print("6999999999999999901")
    elif "pg_stat_archiver" in argv[-1]:
        print(f"{int(time.time()) - 60}|0")
    elif found["rows"]:
        print(found["rows"])


# --- what a test begins with --------------------------------------------------------------------------------------------------------

def seed(url, path, namespace):
    api = Api(url)
    for kind in ("Pgcluster", "Pgtask"):
        plural = kind.lower() + "s"
        names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": kind + "List"}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        spec = {"group": "crunchydata.com", "scope": "Namespaced", "names": names, "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]}
        api.make({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": plural + ".crunchydata.com"}, "spec": spec})
    labels = {"name": "hippo", "pg-cluster": "hippo", "pgo-backrest": "true", "autofail": "true", "crunchy-pgha-scope": "hippo", "current-primary": "hippo", "deployment-name": "hippo"}
    storage = os.environ.get("STORAGE", "")
    api.make(labelled("Pgcluster", namespace, "hippo", labels, spec={"name": "hippo", "PrimaryStorage": {"storageclass": "", "size": "1Gi"}, "userlabels": {"backrest-storage-type": storage}}, status={"state": "pgcluster Initialized"}))
    of_primary = {"pg-cluster": "hippo", "pgo-pg-database": "true", "service-name": "hippo", "deployment-name": "hippo"}
    api.make(deployment(namespace, "hippo", of_primary, 1))
    api.make(pod(namespace, "hippo-0", of_primary))
    api.make(patroni(namespace, "hippo", "hippo"))
    quota = {"requests.storage": "10Gi", "persistentvolumeclaims": "9"}
    api.make(labelled("ResourceQuota", namespace, "room", {}, spec={"hard": quota}, status={"hard": quota, "used": {"requests.storage": "1Gi", "persistentvolumeclaims": "1"}}))
    api.make(pod(namespace, "hippo-repo-0", {"pg-cluster": "hippo", "pgo-backrest-repo": "true"}))
    night = time.time() - 8 * 3600
    stamp = datetime.fromtimestamp(night, timezone.utc).strftime("%Y%m%d-%H%M%S")
    backups = [{"type": "full", "label": stamp + "F", "storage": one, "start": night, "stop": night + 60} for one in (storage or "local").split(",")]
    with open(path, "w") as file:
        json.dump({"backups": backups, "open": True, "rows": 0, "had": 1200, "deleted": time.time() - 3600}, file)


if __name__ == "__main__":
    if sys.argv[1] == "operator":
        operate(*sys.argv[2:5])
    elif sys.argv[1] == "inside":
        inside(sys.argv[3], sys.argv[5:])
    elif sys.argv[1] == "seed":
        seed(*sys.argv[2:5])
    else:
        client(sys.argv[1:])
