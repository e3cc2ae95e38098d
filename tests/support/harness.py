"""harness.py: real services, real workers and an independent reader for the integration and chaos tests.

    Stack    a scratch folder with Kafka, Redis and an S3 server (deploy/services.sh), models and images
    Fleet    topics, a consumer group and an object store of its own on that stack, and the workers in it
    Worker   one process of `skinsight-worker run`

Everything is a with-statement and is stopped whatever happens: a guardian process ends what the stack started
when this process is gone, even by kill -9. What is in conditions.py and broker.py has its name here too.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

import invariants
from broker import Record, ask_broker, create_topic, kcat, read_topic, wire_text, write_topic
from conditions import WAIT_S, Failure, Skipped, expect, expect_equal, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SKINSIGHT_BIN", ROOT / "build/release/bin"))
SERVICES = ROOT / "deploy/services.sh"
DATA = ROOT / "tests/data"
HAM200 = ROOT.parent / "shared/data/dermoscopy/ham200"  # not part of the repository; may be absent

SKIPPED = 77


def clean_environment(**more):
    """The environment without anybody's SkinSight, AWS or state settings."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("SKINSIGHT_", "AWS_", "XDG_STATE_HOME"))}
    return {**kept, **more}


def flags(options):
    """{"http_address": ":0"} -> ["--http-address", ":0"]; properties of librdkafka and switches go by --set."""
    return [text for name, value in options.items()
            for text in (("--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}")
                         if name.startswith("kafka.") or isinstance(value, bool) else
                         ("--" + name.replace("_", "-"), str(value)))]


def run(program, *arguments, env=None, timeout_s=WAIT_S, check=False, umask=-1):
    """One run of skinsight-<program>; its texts and exit code."""
    command = [str(BIN / f"skinsight-{program}"), *map(str, arguments)]
    done = subprocess.run(command, env=env or clean_environment(), capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout_s, umask=umask)
    if check:
        expect(done.returncode == 0, f"{' '.join(command)} gave {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


# ---- images ------------------------------------------------------------------------------------------------


def with_comment(jpeg, text):
    """The same picture as other bytes: a comment segment behind the start marker."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def make_images(folder, count):
    """count files of different bytes from the pictures of tests/data."""
    folder.mkdir(parents=True)
    originals = sorted(DATA.glob("*.jpg"))
    for i in range(count):
        original = originals[i % len(originals)].read_bytes()
        (folder / f"{i:04d}.jpg").write_bytes(with_comment(original, f"variant {i}"))
    return sorted(folder.glob("*.jpg"))


# ---- workers -----------------------------------------------------------------------------------------------


def worker_for(env):
    asks = any(name.startswith("SKINSIGHT_TEST_") for name in env)
    return "skinsight-worker-faults" if asks else "skinsight-worker"


class Worker:
    """A process of `skinsight-worker run`. Its log is <scratch>/<name>.log. program: where it isn't the service's worker,
    or the one with faults (worker/faults.h) where the environment asks for some."""

    def __init__(self, stack, name, options, env, wrapper=(), program=None):
        self.name = name
        self.log = stack.folder / f"{name}.log"
        options = {"http_address": "127.0.0.1:0", "log_level": "info", **options}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*wrapper, str(BIN / (program or worker_for(env))), "run", *flags(options)],
                                            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.register(name, self.process.pid)
        self._port = None

    def log_text(self):
        return self.log.read_text(errors="replace")

    def last_words(self):
        return f"{self.process.returncode}, {self.log_text().splitlines()[-1:]}"

    def alive(self):
        return self.process.poll() is None

    def _find_port(self):
        expect(self.alive(), f"{self.name} ended with {self.process.returncode}")
        return re.search(r"listening.* port=(\d+)", self.log_text())

    def get(self, path):
        """(HTTP status, body) of its own listener."""
        self._port = self._port or wait_until(self._find_port, f"{self.name} listens").group(1)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_ready(self):
        wait_until(lambda: self.get("/readyz")[0] == 200, f"{self.name} is ready")
        return self

    def metric(self, name, label=""):
        """The sum of a metric's samples whose labels contain label."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if re.match(name + r"[ {]", line)]
        expect(lines, f"there is no metric {name}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if label in line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, timeout_s=WAIT_S):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {timeout_s} s") from None

    def stop(self):
        """An orderly stop, which must work."""
        self.terminate()
        expect_equal(self.wait_exit(), 0, f"exit code of {self.name}")


class Fleet:
    """Topics, group and object store of their own, and the workers that serve them."""

    def __init__(self, stack, name, partitions=4, objects=None, topics=True):
        self.stack = stack
        self.name = name
        self.topics = {option: f"{name}.{option[:-6]}" for option in
                       ("jobs_topic", "urgent_jobs_topic", "predictions_topic", "dead_letters_topic",
                        "feedback_topic", "control_topic")}
        self.objects = objects or f"file://{stack.folder}/{name}-objects"
        # What nobody learns from is not kept: a store on a disk costs a flush for each image.
        self.producer_options = {"brokers": stack.brokers, "objects": self.objects, "keep_images": False, **self.topics}
        if self.objects.startswith("s3:"):
            self.producer_options["s3_endpoint"] = stack.env["S3_ENDPOINT"]
        self.workers = []
        if topics:
            self.create_topics(partitions)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        for worker in self.workers:
            if failure:
                worker.kill()
            elif worker.alive():
                worker.stop()

    def create_topics(self, partitions=4):
        run("producer", "topics", "--create", "--partitions", partitions, *flags(self.producer_options), check=True)

    def env(self, **more):
        return self.stack.program_env(**more)

    def start(self, name, environment=None, wrapper=(), program=None, **options):
        """Starts a worker; add .wait_ready() where that is wanted. wrapper: a command that runs it; program: as Worker's."""
        served = {option: topic for option, topic in self.topics.items() if option != "feedback_topic"}
        stores = {name: value for name, value in self.producer_options.items() if name.endswith("endpoint")}
        merged = {"brokers": self.stack.brokers, "objects": self.objects, **stores, **served,
                  "group": self.name, "model": self.stack.model(), "threads": 1, "session_timeout_ms": 6000,
                  **options}
        worker = Worker(self.stack, f"{self.name}-{name}-{len(self.workers)}", merged,
                        self.env(**(environment or {})), wrapper, program)
        self.workers.append(worker)
        return worker

    def submit(self, *arguments, check=True, timeout_s=300, **options):
        """`submit --json`; its lines as objects, or the whole run with check=False."""
        done = run("producer", "submit", "--json", *flags({**self.producer_options, **options}), *arguments,
                   env=self.env(), timeout_s=timeout_s)
        if not check:
            return done
        expect(done.returncode == 0, f"submit gave {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def write_jobs(self, records, urgent=False, partition=0):
        topic = self.topics["urgent_jobs_topic" if urgent else "jobs_topic"]
        write_topic(self.stack.brokers, topic, records, partition)

    def read(self, option):
        return read_topic(self.stack.brokers, self.topics[option])

    def jobs(self):
        return self.read("jobs_topic") + self.read("urgent_jobs_topic")

    def answers(self):
        return self.read("predictions_topic")

    def wait_answers(self, count, timeout_s=WAIT_S):
        """Waits until there are count terminal records; returns them."""
        return wait_until(lambda: (found := self.answers()) and len(found) >= count and found,
                          f"{count} answers of {self.name}", timeout_s)

    def read_object(self, uri):
        """The bytes of an object, from the disk it lies on; None when there is none."""
        expect(uri.startswith(self.objects + "/"), f"{uri} does not lie under {self.objects}")
        s3_folder = str(self.stack.folder / "s3/objects") + "/"
        path = pathlib.Path(uri.replace("file://", "", 1).replace("s3://", s3_folder, 1))
        return path.read_bytes() if path.is_file() else None

    def check(self, jobs=None, omitted=()):
        """Every invariant of the answers to every job record; how many there were. omitted: as in invariants.check."""
        records = self.jobs()
        expect(jobs in (None, len(records)), f"{self.name} has {len(records)} job records, wanted {jobs}")
        complaints = invariants.check(records, self.answers(), self.read("dead_letters_topic"), self.read_object,
                                      omitted)
        expect(not complaints, f"{len(complaints)} complaints:\n  " + "\n  ".join(complaints[:20]))
        return len(records)


# ---- the stack ---------------------------------------------------------------------------------------------


class Stack:
    """A scratch folder and the services in it. Which ones: kafka, redis, s3. Of several brokers each has all topics;
    tests/support/cluster.py tells who leads what."""

    def __init__(self, *services, brokers=1):
        self.services = services
        self.broker_count = brokers
        self.env = {}
        self.folder = None
        self.guardian = None

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skinsight-test."))
        (self.folder / "processes").touch()
        # It waits for the end of its input, which comes when this process closes it or is gone.
        self.guardian = subprocess.Popen(["sh", "-c", 'cat >/dev/null; exec "$0" stop "$1"', SERVICES, self.folder],
                                         stdin=subprocess.PIPE, start_new_session=True)
        try:
            for service in self.services:
                self.start(service)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.guardian.stdin.close()
        self.guardian.wait()

    def _call(self, *arguments):
        done = subprocess.run([str(SERVICES), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True)
        expect(done.returncode == 0, f"services.sh {' '.join(map(str, arguments))} failed")
        return done.stdout.strip()

    def start(self, service):
        """Starts it, or starts it again on the same port with the same data."""
        self._call(f"start-{service}", self.folder, *([self.broker_count] if service == "kafka" else []))
        for line in (self.folder / "env").read_text().splitlines():
            name, value = line.split("=", 1)
            self.env[name] = value

    def kill(self, service):
        self._call(f"kill-{service}", self.folder)

    def broker(self, what, number):
        """start, kill, stop, pause or continue one broker of several, counted from 1."""
        self._call(f"{what}-broker", self.folder, number)

    def choose_port(self, service):
        """The port a service will have that is started later; services.sh remembers it in this file."""
        file = self.folder / f"{service}.port"
        if not file.exists():
            file.write_text(self._call("free-port") + "\n")
        return file.read_text().strip()

    @property
    def brokers(self):
        names = ["kafka", *(f"kafka-{number}" for number in range(2, self.broker_count + 1))]
        return ",".join(f"127.0.0.1:{self.choose_port(name)}" for name in names)

    @property
    def redis_url(self):
        return f"redis://127.0.0.1:{self.choose_port('redis')}"

    def register(self, name, pid):
        """Writes a process down in the way of services.sh, so that the guardian ends it too."""
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return
        with open(self.folder / "processes", "a") as processes:
            processes.write(f"{name} {pid} {stat.rsplit(') ', 1)[1].split()[19]}\n")

    def program_env(self, **more):
        credentials = {name: value for name, value in self.env.items() if name.startswith("AWS_")}
        return clean_environment(XDG_STATE_HOME=str(self.folder / "state"), **credentials, **more)

    def model(self, architecture="vit_tiny_patch16_224", seed=7):
        """A model directory with random weights, made once."""
        directory = self.folder / "models" / f"{architecture}-{seed}"
        if not directory.exists():
            directory.parent.mkdir(exist_ok=True)
            run("trainer", "import", "--arch", architecture, "--random", seed, "--out", directory, check=True)
        return directory

    def fleet(self, name, **options):
        return Fleet(self, name, **options)

    def print_logs(self, since):
        """The end of each log that was written to since then."""
        logs = [path for path in self.folder.glob("*.log") if path.stat().st_mtime >= since]
        for log in sorted(logs, key=lambda path: path.stat().st_mtime):
            tail = log.read_text(errors="replace").splitlines()[-5 if log.name.startswith("kafka") else -25:]
            print(f"---- the end of {log}", *tail, sep="\n", file=sys.stderr)


# ---- a test script -----------------------------------------------------------------------------------------


def skip_without(*programs):
    """Ends the script as skipped when something it needs is not installed or built."""
    needed = [*programs, *(str(BIN / f"skinsight-{name}") for name in ("worker", "producer", "trainer"))]
    missing = [program for program in needed if not shutil.which(program)]
    if missing:
        print(f"skipped: {', '.join(missing)} missing", file=sys.stderr)
        sys.exit(SKIPPED)


def leave_out(what, reason):
    """Says what is not tested, in a line that tests/run.sh repeats behind ctest's summary."""
    print(f"skipped: {what}: {reason}", flush=True)


def run_test(test, stack):
    """Whether it did not fail."""
    started, clock = time.monotonic(), time.time()
    try:
        test(stack)
        print(f"ok      {test.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
        return True
    except Skipped as reason:
        leave_out(test.__name__, reason)
        return True
    except Exception:
        traceback.print_exc()
        stack.print_logs(clock)
        print(f"FAILED  {test.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
        return False


def main(tests, *services):
    """Runs the tests, or those named on the command line, on one stack and exits."""
    skip_without("kcat", "java", "redis-server")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [test for test in tests if len(sys.argv) == 1 or test.__name__ in sys.argv[1:]]
    expect(chosen, f"no such test; there are {', '.join(test.__name__ for test in tests)}")
    with Stack(*services) as stack:
        failures = [test.__name__ for test in chosen if not run_test(test, stack)]
    if failures:
        print(f"{len(failures)} of {len(chosen)} failed; everything they wrote is in {stack.folder}")
        sys.exit(1)
    shutil.rmtree(stack.folder)
