#!/usr/bin/python3
"""The files for Kubernetes, Swarm and compose: what they name exists, and what they start starts. The processes of the
Kubernetes manifests are run here as they stand there, with the same arguments, variables, keys and probes; only addresses and
paths are replaced by ones of this machine."""
import base64
import json
import os
import re
import socket
import subprocess
import time
import unittest

import yaml

import lab

DEPLOY = os.path.join(lab.ROOT, "deploy")


def read(path):
    with open(os.path.join(lab.ROOT, path), encoding="utf-8") as f:
        return [d for d in yaml.safe_load_all(f) if d]


def kubernetes():
    """Every object of the manifests."""
    folder = os.path.join(DEPLOY, "kubernetes")
    return [d for name in sorted(os.listdir(folder)) if name.endswith(".yml") and name != "kustomization.yml"
            for d in read(os.path.join("deploy", "kubernetes", name))]


def of_kind(*kinds):
    return [d for d in kubernetes() if d["kind"] in kinds]


def containers(workload):
    return workload["spec"]["template"]["spec"]["containers"]


def help_of(*words):
    return subprocess.run([os.path.join(lab.BIN, words[0]), *words[1:], "--help"], capture_output=True, text=True, timeout=60,
                          check=True).stdout


def check_options(test, words):
    """A command line of leat: the program or command exists, and every option is its own."""
    count = 2 if words[0] == "leat" else 1
    known = set(re.findall(r"--[a-z][a-z-]*", help_of(*words[:count])))
    for word in words[count:]:
        if word.startswith("--"):
            test.assertIn(word.split("=")[0], known, f"{' '.join(words)}")


def check_variables(test, words, variables):
    """Every LEAT_ variable is one that the process, or a command of leat that the probes run, knows."""
    known = set()
    programs = [("leat-ventilator",), ("leat-sink",), ("leat-worker",), ("leat-producer",), ("leat", "ping"), ("leat", "queues")]
    for program in programs:
        known |= set(re.findall(r"\[env:\s+(LEAT_\w+)\]", help_of(*program)))
    for name in variables:
        if name.startswith("LEAT_"):
            test.assertIn(name, known, f"{words}: {name}")


class Kubernetes(unittest.TestCase):
    def test_every_object_has_a_name_and_every_list_of_the_kustomization_a_file(self):
        names = [(d["kind"], d["metadata"]["name"]) for d in kubernetes()]
        self.assertEqual(len(names), len(set(names)))
        for d in kubernetes():
            self.assertTrue(d["apiVersion"], d)
            self.assertEqual(d["metadata"]["labels"]["app.kubernetes.io/name"], "leat")
        for name in read("deploy/kubernetes/kustomization.yml")[0]["resources"]:
            self.assertTrue(os.path.exists(os.path.join(DEPLOY, "kubernetes", name)), name)

    def test_selectors_ports_and_budgets_fit_what_they_are_for(self):
        workloads = of_kind("Deployment", "StatefulSet")
        pods = {w["metadata"]["name"]: w["spec"]["template"] for w in workloads}

        def chosen(selector):
            return [name for name, pod in pods.items() if selector.items() <= pod["metadata"]["labels"].items()]

        for w in workloads:
            self.assertEqual(chosen(w["spec"]["selector"]["matchLabels"]), [w["metadata"]["name"]])
        for service in of_kind("Service"):
            found = chosen(service["spec"]["selector"])
            self.assertEqual(found, [service["metadata"]["name"]])
            ports = {p["name"]: p["containerPort"] for c in pods[found[0]]["spec"]["containers"] for p in c.get("ports", [])}
            for port in service["spec"]["ports"]:
                self.assertEqual(ports[port["targetPort"]], port["port"])
        for w in of_kind("StatefulSet"):
            self.assertIn(w["spec"]["serviceName"], {s["metadata"]["name"] for s in of_kind("Service")})
            self.assertEqual(w["spec"]["replicas"], 1)
            bound = sorted(int(p) for a in containers(w)[0]["args"] for p in re.findall(r"tcp://0\.0\.0\.0:(\d+)", a))
            self.assertEqual(bound, sorted(p["containerPort"] for p in containers(w)[0]["ports"]))
        for budget in of_kind("PodDisruptionBudget"):
            self.assertEqual(chosen(budget["spec"]["selector"]["matchLabels"]), [budget["metadata"]["name"]])
        for scaler in of_kind("ScaledObject"):
            self.assertIn(scaler["spec"]["scaleTargetRef"]["name"], {d["metadata"]["name"] for d in of_kind("Deployment")})
            host, port = re.match(r"http://([\w-]+):(\d+)/", scaler["spec"]["triggers"][0]["metadata"]["url"]).groups()
            self.assertIn(int(port), {p["port"] for s in of_kind("Service") if s["metadata"]["name"] == host for p in s["spec"]["ports"]})

    def test_pods_are_confined_and_their_volumes_and_secrets_exist(self):
        secrets = {"leat-broker", "leat-known", "leat-worker", "leat-producer", "leat-operator"}
        for w in of_kind("Deployment", "StatefulSet"):
            spec = w["spec"]["template"]["spec"]
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            self.assertEqual(spec["securityContext"]["runAsUser"], 5170)
            self.assertEqual((spec["automountServiceAccountToken"], spec["enableServiceLinks"]), (False, False))
            volumes = {v["name"] for v in spec.get("volumes", [])} | {
                v["metadata"]["name"] for v in w["spec"].get("volumeClaimTemplates", [])}
            used = set()
            for c in spec["containers"]:
                self.assertEqual(c["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                        "capabilities": {"drop": ["ALL"]}})
                self.assertIn("memory", c["resources"]["limits"])
                used |= {m["name"] for m in c["volumeMounts"]}
            self.assertEqual(used, volumes)
            for v in spec.get("volumes", []):
                if "secret" in v:
                    self.assertIn(v["secret"]["secretName"], secrets)

    def test_every_command_option_and_variable_exists(self):
        for w in of_kind("Deployment", "StatefulSet"):
            for c in containers(w):
                if c["image"] != "leat":
                    continue
                if c["args"][0].startswith("leat-"):
                    check_options(self, c["args"])
                check_variables(self, c["name"], [e["name"] for e in c["env"]])
                for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                    command = c.get(kind, {}).get("exec", {}).get("command")
                    if command and command[0] == "leat":
                        check_options(self, command)


class Running(unittest.TestCase):
    """The manifests' own command lines, with keys that the scripts made."""

    def setUp(self):
        self.lab = lab.Lab()
        self.addCleanup(self.lab.__exit__, None, None, None)
        ports = {}
        for port in ("5170", "5171", "5172", "5173"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports[port] = probe.getsockname()[1]
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("LEAT_")}
        self.environment["PATH"] = lab.BIN + ":" + self.environment["PATH"]
        self.places = [(rf"tcp://(?:0\.0\.0\.0|127\.0\.0\.1|[a-z-]+):{port}", f"tcp://127.0.0.1:{mine}") for port, mine in ports.items()]
        made = subprocess.run([os.path.join(DEPLOY, "make-keys"), f"{self.lab.dir}/keys"], env=self.environment, capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(made.returncode, 0, made.stderr)
        # What a cluster would mount, out of the Secrets that the other script prints.
        printed = subprocess.run([os.path.join(DEPLOY, "kubernetes", "make-secrets"), f"{self.lab.dir}/keys"], capture_output=True,
                                 text=True, timeout=60, check=True).stdout
        self.secrets = {s["metadata"]["name"]: s["data"] for s in yaml.safe_load_all(printed)}
        for name, data in self.secrets.items():
            self.mount_secret(name, data)

    def mount_secret(self, secret, data):
        """As the kubelet does: the files in a folder of this version, behind a link that is changed at one blow."""
        folder = os.path.join(self.lab.dir, "secrets", secret)
        os.makedirs(folder, exist_ok=True)
        version = f"..version{time.monotonic_ns()}"
        os.makedirs(os.path.join(folder, version))
        for name, text in data.items():
            with open(os.open(os.path.join(folder, version, name), os.O_CREAT | os.O_WRONLY, 0o400), "wb") as f:
                f.write(base64.b64decode(text))
        os.symlink(version, os.path.join(folder, "..new"))
        os.rename(os.path.join(folder, "..new"), os.path.join(folder, "..data"))
        for name in os.listdir(folder):
            if not name.startswith("..") and name not in data:
                os.remove(os.path.join(folder, name))
        for name in data:
            if not os.path.lexists(os.path.join(folder, name)):
                os.symlink(os.path.join("..data", name), os.path.join(folder, name))

    def local(self, text, mounts):
        paths = "|".join(re.escape(m) for m in sorted(mounts, key=len, reverse=True))
        text = re.sub(rf"(?<![\w/])({paths})(?=/|$)", lambda found: mounts[found.group(1)], text)
        for pattern, here in self.places:
            text = re.sub(pattern, here, text)
        return text

    def mounts(self, workload, container):
        """Where each mount path of the container is here."""
        spec = workload["spec"]["template"]["spec"]
        found = {}
        for m in container["volumeMounts"]:
            volume = next((v for v in spec.get("volumes", []) if v["name"] == m["name"]), {})
            secret = volume.get("secret", {}).get("secretName")
            here = os.path.join(self.lab.dir, "secrets", secret) if secret else \
                os.path.join(self.lab.dir, "volume-" + workload["metadata"]["name"] + "-" + m["name"])
            os.makedirs(here, exist_ok=True)
            found[m["mountPath"]] = here
        return found

    def start(self, name):
        """Starts a workload's first container; (its probes' runner, its process)."""
        workload = next(w for w in of_kind("Deployment", "StatefulSet") if w["metadata"]["name"] == name)
        container = containers(workload)[0]
        mounts = self.mounts(workload, container)
        environment = dict(self.environment)
        for e in container["env"]:
            environment[e["name"]] = self.local(e["value"], mounts) if "value" in e else "pod-of-" + name
        words = [self.local(a, mounts) for a in container["args"]]
        log = os.path.join(self.lab.dir, name + ".log")
        with open(log, "wb") as out:
            popen = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.lab.dir,
                                     start_new_session=True)
        process = lab.Process(name, popen, log)
        self.lab.processes.append(process)

        def probe():
            kinds = [k for k in ("startupProbe", "readinessProbe", "livenessProbe") if "exec" in container.get(k, {})]
            return all(subprocess.run(container[k]["exec"]["command"], env=environment, capture_output=True, timeout=60,
                                      check=False).returncode == 0 for k in kinds) and bool(kinds)

        return probe, process, environment, mounts

    def test_the_manifests_make_a_cluster_that_runs_jobs(self):
        for name in ("leat-sink", "leat-ventilator", "leat-worker"):
            probe, process, environment, _ = self.start(name)
            self.lab.wait_for(lambda probe=probe, process=process: probe() or not process.alive(), f"{name} is ready")
            self.assertTrue(process.alive(), process.log_text())
        # A producer with its own key.
        secrets = os.path.join(self.lab.dir, "secrets", "leat-producer")
        client = {**environment, "LEAT_KEY": f"{secrets}/producer.key", "LEAT_SERVER_KEY": f"{secrets}/broker.pub"}
        done = subprocess.run(["leat", "submit", "--type", "sha256", "--wait", "abc"], env=client, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertIn("ba7816bf8f01cfea", done.stdout, done.stderr)
        # It is no operator, and when its key goes from the Secret it is nobody.
        done = subprocess.run(["leat", "pause", "default"], env=client, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.mount_secret("leat-known", {n: t for n, t in self.secrets["leat-known"].items() if n != "producer.pub"})
        self.lab.wait_for(lambda: subprocess.run(["leat", "ping", "ventilator"], env=client, capture_output=True, timeout=60,
                                                 check=False).returncode != 0, "the producer's key is revoked")
        # The autoscaler's number.
        _, depth, environment, mounts = self.start("leat-depth")
        number = os.path.join(mounts["/www"], "depth.json")
        try:
            self.lab.wait_for(lambda: os.path.exists(number), "the number is written")
            with open(number, encoding="utf-8") as f:
                self.assertEqual(json.load(f), {"ready": 0})
        finally:
            os.killpg(depth.pid, 9)  # the shell and its sleep

    def test_the_scripts_change_nothing_when_they_are_run_again_and_keep_what_was_revoked(self):
        folder = os.path.join(self.lab.dir, "keys")
        os.remove(os.path.join(folder, "broker", "known", "producer.pub"))

        def everything():
            return {os.path.join(d, f): open(os.path.join(d, f), "rb").read() for d, _, files in os.walk(folder) for f in files}

        before = everything()
        again = subprocess.run([os.path.join(DEPLOY, "make-keys"), folder], env=self.environment, capture_output=True, text=True,
                               timeout=60, check=False)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(everything(), before)


class Compose(unittest.TestCase):
    def check_services(self, services, keys):
        for name, service in services.items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            command = service.get("command", ["-"])
            if command[0].startswith("leat-"):
                check_options(self, command)
            check_variables(self, name, service.get("environment", {}))
            health = service.get("healthcheck", {}).get("test")
            if health and health[0] == "CMD":
                check_options(self, health[1:])
            for variable, value in service.get("environment", {}).items():
                if variable in ("LEAT_KEY", "LEAT_SERVER_KEY"):
                    self.assertIn(value, keys(service), name)

    def test_what_the_compose_file_names_exists(self):
        whole = read("docker-compose.yml")[0]
        services = whole["services"]
        volumes = set()

        def keys(service):
            mounted = {v.split(":")[0] for v in service["volumes"] if ":/run/secrets/leat" in v}
            self.assertEqual(len(mounted), 1)
            role = mounted.pop().removesuffix("-keys")
            self.assertTrue(all(v.endswith(":ro") for v in service["volumes"] if "/run/secrets" in v))
            return {f"/run/secrets/leat/{role}.key", "/run/secrets/leat/broker.pub"}

        self.check_services(services, keys)
        for name, service in services.items():
            volumes |= {v.split(":")[0] for v in service["volumes"]}
            self.assertIn("mem_limit", service, name)
            self.assertNotIn("ports", service, name)
            self.assertEqual(service["restart"], "no" if name in ("keys", "producer", "leat") else "on-failure")
            for needed in service["depends_on"]:
                self.assertIn(needed, services)
        self.assertEqual(volumes, set(whole["volumes"]))
        self.assertNotIn("version", whole, "the second generation of compose warns of it")
        self.assertIn({"keys": {"condition": "service_completed_successfully"}}, [s["depends_on"] for s in services.values()])

    def test_what_the_stack_for_swarm_names_exists(self):
        whole = read("deploy/swarm.yml")[0]

        def keys(service):
            return {"/run/secrets/" + s["target"] for s in service["secrets"]} | {c["target"] for c in service["configs"]}

        self.check_services(whole["services"], keys)
        for name, service in whole["services"].items():
            self.assertLessEqual({s["source"] for s in service["secrets"]}, set(whole["secrets"]), name)
            self.assertLessEqual({c["source"] for c in service["configs"]}, set(whole["configs"]), name)
            self.assertTrue(all(s["mode"] == 0o400 for s in service["secrets"]), name)
            self.assertEqual(service["networks"], ["leat"])
            for volume in service["volumes"]:
                if isinstance(volume, str):
                    self.assertIn(volume.split(":")[0], whole["volumes"])
            self.assertIn("memory", service["deploy"]["resources"]["limits"])
        # The names that the script makes.
        made = {"leat-%s-key" % role for role in ("broker", "worker")}
        self.assertEqual(set(whole["secrets"]), made)
        self.assertEqual(set(whole["configs"]), {"leat-%s-pub" % role for role in ("broker", "worker", "producer", "operator")})


if __name__ == "__main__":
    lab.main()
