"""gateway.py: a gateway on a fleet of harness.py, and the clients that talk to it.

    Gateway  one process of `skinsight-producer serve`; several may share a store
    Client   an API key of one site; asks the gateway as a clinic's program does
"""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess

import harness
from harness import WAIT_S, expect, expect_equal, flags, wait_until

DEATHS = ("accepted", "produced", "delivered", "queued", "arrived", "stored")  # of producer/gateway/faults.h


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def code(self):
        """The code of a problem document, which it has to be."""
        expect_equal(self.headers["Content-Type"], "application/problem+json", "type of a refusal")
        document = self.json()
        expect_equal(set(document), {"type", "title", "status", "detail", "code"}, "a problem's fields")
        expect_equal(document["status"], self.status, "the status in the document")
        return document["code"]


class Gateway:
    def __init__(self, fleet, name="gateway", environment=None, **options):
        self.fleet = fleet
        self.folder = fleet.stack.folder
        self.name = f"{fleet.name}-{name}"
        self.keys = self.folder / f"{fleet.name}-keys.json"
        self.log = self.folder / f"{self.name}.log"
        self.environment = environment or {}
        # On a busy machine the first answer takes longer than a clinic would wait.
        # keep_images goes to the store of the test's own folder, whose flushes cost; a test that wants it says so.
        self.options = {"store": f"sqlite://{self.folder}/{fleet.name}.db", "http_listen": "127.0.0.1:0",
                        "admin_address": "127.0.0.1:0", "api_keys": self.keys, "log_level": "info",
                        "answer_timeout_ms": 60000, "rate_per_s": 0, "brokers": fleet.stack.brokers, "objects": fleet.objects, "keep_images": False,
                        **{topic: fleet.topics[topic] for topic in
                           ("jobs_topic", "urgent_jobs_topic", "predictions_topic", "feedback_topic")}, **options}
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, failure, *_):
        if self.alive() and failure:
            self.kill()
        elif self.alive():
            self.stop()

    def start(self, ready=True, environment=None):
        """Another process than before; without an environment it does not die."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        wanted = self.environment if environment is None else environment
        program = "skinsight-producer-faults" if wanted else "skinsight-producer"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(harness.BIN / program), "serve", *flags(self.options)],
                                            env=self.fleet.env(**wanted), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        self.fleet.stack.register(self.name, self.process.pid)
        self.port = int(wait_until(lambda: self._said(r"event=started port=(\d+)"), f"{self.name} has started"))
        self.admin_port = int(wait_until(lambda: self._said(r"event=listening port=(\d+)"), "its probes listen"))
        if ready:
            wait_until(lambda: self.admin("/readyz").status == 200, f"{self.name} is ready")
        return self

    def _said(self, pattern):
        expect(self.alive(), f"{self.name} ended with {self.process.returncode}")
        found = re.search(pattern, self.log_text())
        return found and found.group(1)

    def log_text(self):
        return self.log.read_bytes()[self._log_start:].decode(errors="replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self):
        return self.process.wait(WAIT_S)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        expect_equal(self.wait_exit(), 0, f"exit code of {self.name}")

    def ask(self, method, path, body=None, headers=None, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def admin(self, path):
        return self.ask("GET", path, port=self.admin_port)

    def add_key(self, site, role="analyst", actor="dr-lee", urgent=False):
        done = harness.run("producer", "keys", "add", "--actor", actor, "--site", site, "--role", role,
                           "--api-keys", self.keys, "--store", self.options["store"], *(["--urgent"] if urgent else []), check=True)
        return Client(self, done.stdout.strip())


class Postgres:
    """A PostgreSQL server of its own in a folder, on a free port; url for the option store. Ends with the with-statement."""

    def __init__(self, stack, name="postgres"):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            raise harness.Skipped("PostgreSQL is not installed")
        self.programs = found[-1]
        self.stack = stack
        self.name = name
        self.folder = stack.folder / name
        self.port = stack.choose_port(name)
        self.url = f"postgresql://skinsight@127.0.0.1:{self.port}/postgres"
        # It does not run as root.
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def __enter__(self):
        self.folder.mkdir()
        if self.as_user:
            shutil.chown(self.folder, "postgres", "postgres")
            self.stack.folder.chmod(0o755)
        data = self.folder / "data"
        self._run("initdb", "--pgdata", data, "--username", "skinsight", "--auth", "trust", "--no-sync")
        self.start()
        return self

    def _run(self, program, *arguments):
        done = subprocess.run([*self.as_user, str(self.programs / program), *map(str, arguments)], cwd=self.folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        expect(done.returncode == 0, f"{program} gave {done.returncode}: {done.stderr}")

    def start(self):
        self._run("pg_ctl", "--pgdata", self.folder / "data", "--wait", "--log", self.folder / "log", "--options",
                  f"-p {self.port} -h 127.0.0.1 -k {self.folder}", "start")
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        self.stack.register(self.name, pid)

    def kill(self):
        """As by kill -9 of all its processes: nothing is written any more."""
        self._run("pg_ctl", "--pgdata", self.folder / "data", "--mode", "immediate", "stop")

    def __exit__(self, *_):
        self._run("pg_ctl", "--pgdata", self.folder / "data", "--mode", "immediate", "stop")


class Client:
    def __init__(self, gateway, key):
        self.gateway = gateway
        self.key = key

    def ask(self, method, path, body=None, gateway=None, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return (gateway or self.gateway).ask(method, path, body, {"Authorization": f"Bearer {self.key}", **names})

    def analyze(self, image, gateway=None, headers=None, **fields):
        """POST of an image's bytes; fields stand beside it."""
        body = json.dumps({"image": base64.b64encode(image).decode(), **fields})
        return self.ask("POST", "/v2/analyze", body, gateway, **{"Content-Type": "application/json",
                                                                 **(headers or {})})

    def read(self, request_id, gateway=None, **headers):
        return self.ask("GET", f"/v2/analyze/{request_id}", None, gateway, **headers)
