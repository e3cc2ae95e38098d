"""monitor.py: a process of `skinsight-monitor run` on a fleet of harness.py."""
import http.client
import json
import re
import ssl
import subprocess

import harness
from harness import WAIT_S, expect, expect_equal, flags, wait_until


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)


class Monitor:
    def __init__(self, fleet, name="monitor", **options):
        self.name = f"{fleet.name}-{name}"
        self.stack = fleet.stack
        self.log = fleet.stack.folder / f"{self.name}.log"
        self.options = {"store": f"sqlite://{fleet.stack.folder}/{self.name}.db", "monitor_listen": "127.0.0.1:0",
                        "log_level": "info", "brokers": fleet.stack.brokers,
                        **{topic: fleet.topics[topic] for topic in ("predictions_topic", "feedback_topic")}, **options}
        self.tls = "http_tls_cert" in options
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(harness.BIN / "skinsight-monitor"), "run", *flags(self.options)],
                                            env=fleet.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.register(self.name, self.process.pid)
        self.port = int(wait_until(self._port, f"{self.name} has started"))

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            self.process.kill()
            self.process.wait()
        elif self.process.poll() is None:
            self.stop()

    def _port(self):
        text = self.log.read_text(errors="replace")
        expect(self.process.poll() is None, f"{self.name} ended: {text.splitlines()[-1:]}")
        found = re.search(r"event=started port=(\d+)", text)
        return found and found.group(1)

    def stop(self):
        self.process.terminate()
        expect_equal(self.process.wait(WAIT_S), 0, f"exit code of {self.name}")

    def ask(self, path, key=None):
        context = ssl._create_unverified_context() if self.tls else None  # pylint: disable=protected-access
        connection = (http.client.HTTPSConnection("127.0.0.1", self.port, timeout=WAIT_S, context=context) if self.tls
                      else http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S))
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def metrics(self):
        """The metrics' text as {name with labels: value}."""
        lines = self.ask("/metrics").body.decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
