#!/usr/bin/env python3
"""test_services.py: services that are absent, die or come back, and workers that stop or are killed.

Redis makes the worker slower or faster, never wrong. Without a broker submit says so and run goes on trying.
A store that can't be written costs the attention map, not the answer. Damaged weights are refused by name. And
however workers end, every job record has exactly one answer.
"""
import hashlib
import json
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, wait_until


def pictures(stack, count=40):
    folder = stack.folder / f"pictures-{count}"
    return sorted(folder.glob("*.jpg")) if folder.exists() else harness.make_images(folder, count)


def repeated(images, count):
    return [images[i % len(images)] for i in range(count)]


def test_archived_classes(stack):
    """Java refuses an archive of other jars in silence, and starts as slowly as before (deploy/services.sh archive-kafka)."""
    for name in ("kafka", "kafka-controller"):
        process = pathlib.Path(f"/proc/{stack._call('pid', stack.folder, name)}")
        archive = re.search(r"SharedArchiveFile=([^\0]+)", (process / "cmdline").read_text())
        if not archive:
            raise harness.Skipped("Kafka's classes are not archived")
        expect(archive.group(1) in (process / "maps").read_text(), f"{name} does not use {archive.group(1)}")


# ---- Redis -------------------------------------------------------------------------------------------------


def test_redis_absent_killed_and_back(stack):
    """Three times the same images: no Redis yet, Redis filling, Redis killed in the middle and started again."""
    images = pictures(stack)
    with stack.fleet("redis") as fleet:
        worker = fleet.start("worker", cache=stack.redis_url).wait_ready()
        fleet.submit("--wait", *images)
        expect(worker.metric("skinsight_cache_lookups_total", "unavailable") > 0, "no lookup failed without Redis")

        stack.start("redis")
        # The worker asks an absent Redis only now and then; wait until it has noticed.
        wait_until(lambda: fleet.submit("--wait", images[0]) and
                   worker.metric("skinsight_cache_lookups_total", "hit") > 0, "a hit once Redis is there")
        fleet.submit("--wait", *images)
        hits = worker.metric("skinsight_cache_lookups_total", "hit")

        fleet.submit(*repeated(images, 200))
        wait_until(lambda: worker.metric("skinsight_cache_lookups_total", "hit") > hits, "hits of the 200")
        stack.kill("redis")
        fleet.submit("--wait", *images)
        stack.start("redis")
        wait_until(lambda: fleet.submit("--wait", images[0])[0]["answer"]["provenance"]["cache_hit"],
                   "a hit once Redis is back")
        wait_until(lambda: worker.metric("skinsight_unfinished_jobs") == 0, "everything is answered")
        fleet.wait_answers(len(fleet.jobs()))
        fleet.check()
        answers = [json.loads(record.value) for record in fleet.answers()]
        expect(all("prediction" in answer for answer in answers), "a job was answered by an error")
        logits = {answer["provenance"]["image_sha256"]: set() for answer in answers}
        for answer in answers:
            logits[answer["provenance"]["image_sha256"]].add(str(answer["provenance"]["logits"]))
        expect(all(len(variants) == 1 for variants in logits.values()), "an image has two sets of logits")
    stack.kill("redis")


# ---- Kafka -------------------------------------------------------------------------------------------------


def test_broker_absent(stack):
    """Runs first: the broker is not started yet."""
    image = harness.DATA / "ISIC_0000548.jpg"
    fleet = stack.fleet("late", topics=False)
    with fleet:
        started = time.monotonic()
        done = fleet.submit("--timeout-ms", "3000", image, check=False)
        expect_equal(done.returncode, 1, "exit code of submit without a broker")
        expect(stack.brokers in done.stderr, f"submit does not name the broker: {done.stderr!r}")
        expect_equal(done.stdout, "", "standard output of submit without a broker")
        expect(time.monotonic() - started < 20, "submit took far longer than its time-out")

        worker = fleet.start("worker")
        wait_until(lambda: worker.get("/readyz")[0] == 503 and "broker" in worker.get("/readyz")[1],
                   "/readyz says that no broker answers")
        expect_equal(worker.get("/healthz")[0], 200, "/healthz without a broker")
        wait_until(lambda: stack.brokers in worker.log_text(), "the log names the broker")

        stack.start("kafka")
        wait_until(lambda: "topics" in worker.get("/readyz")[1], "/readyz says that topics are missing")
        expect_equal(worker.get("/readyz")[0], 503, "/readyz without topics")
        wait_until(lambda: f"topic '{fleet.topics['jobs_topic']}' does not exist" in worker.log_text(),
                   "the log names the missing topic")
        done = fleet.submit(image, check=False)
        expect(done.returncode == 1 and fleet.topics["jobs_topic"] in done.stderr,
               f"submit does not name the missing topic: {done.stderr!r}")

        fleet.create_topics()
        worker.wait_ready()
        fleet.submit("--wait", image)
        fleet.check(jobs=1)


def test_odd_paths(stack):
    """A checkout and a data folder whose names hold what shells, sed and Java's options take amiss."""
    deploy = stack.folder / "my checkout" / "deploy"
    shutil.copytree(harness.SERVICES.parent, deploy)
    folder = stack.folder / "data & more"
    services = ["sh", deploy / "services.sh"]
    try:
        done = subprocess.run([*services, "start-kafka", folder], capture_output=True, text=True)
        expect_equal(done.returncode, 0, f"exit code of start-kafka ({done.stderr})")
        expect((folder / "kafka/data/meta.properties").exists(), "the broker keeps its data elsewhere")
    finally:
        subprocess.run([*services, "stop", folder], check=False)


def test_broker_killed(stack):
    """kill -9 of the broker in the middle of a run: it comes back, and so do the workers, in place."""
    images = pictures(stack)
    with stack.fleet("broken") as fleet:
        worker = fleet.start("worker", batch_max=2).wait_ready()
        fleet.submit(*repeated(images, 200))
        fleet.wait_answers(20)
        stack.kill("kafka")
        stack.start("kafka")
        fleet.wait_answers(200)
        fleet.check(jobs=200)
        expect(worker.alive(), "the worker is gone")


def test_joining(stack):
    """A worker that the group has not let in yet is not ready: another member that must hear of it does not answer."""
    with stack.fleet("joining") as fleet:
        first = fleet.start("first", session_timeout_ms=30000).wait_ready()
        first.process.send_signal(signal.SIGSTOP)
        second = fleet.start("second", session_timeout_ms=30000)
        wait_until(lambda: second.get("/readyz") == (503, "joining the consumer group\n"), "the second one joins")
        first.process.send_signal(signal.SIGCONT)
        second.wait_ready()
        wait_until(lambda: [worker.metric("skinsight_assigned_partitions") for worker in (first, second)] == [4, 4],
                   "each has its share")


def test_broker_away(stack):
    """Without a broker for a session a worker is not ready and says why, be it with partitions or a spare one; back in its group
    it is."""
    image = pictures(stack)[0]
    with stack.fleet("away", partitions=1) as fleet:
        workers = [fleet.start("worker", session_timeout_ms=2000).wait_ready() for _ in range(2)]
        fleet.submit("--wait", image)
        expect_equal(sorted(worker.metric("skinsight_assigned_partitions") for worker in workers), [0, 2], "partitions")
        stack.kill("kafka")
        for worker in workers:
            reason = wait_until(lambda: (got := worker.get("/readyz"))[0] == 503 and got[1], f"{worker.name} is not ready")
            expect(reason.startswith(f"{stack.brokers}: no broker answer"), f"/readyz without a broker: {reason!r}")
            expect_equal(worker.get("/healthz")[0], 200, "/healthz without a broker")
            wait_until(lambda: worker.metric("skinsight_ready") == 0, "the metric says so too")
        stack.start("kafka")
        for worker in workers:
            worker.wait_ready()
        fleet.submit("--wait", image)
        fleet.check(jobs=2)


# ---- the object store --------------------------------------------------------------------------------------


def submit_inline(fleet, images):
    """The answers; every image goes inside its record, so that only the map needs the store."""
    return [line["answer"] for line in fleet.submit("--wait", *images, inline_limit_bytes=1_000_000)]


def check_maps_missing(fleet, worker, images, reason=""):
    answers = submit_inline(fleet, images)
    for answer in answers:
        expect(answer["prediction"]["attention_map_url"] is None, "a map has a URL that can't exist")
        said = answer["prediction"]["attention_map_error"]
        expect(said and reason in said, f"'{reason}' is not the reason for the missing map: {said!r}")
        expect("attention_map_sha256" not in answer["prediction"], "a map that was not stored has a digest")
    expect_equal(worker.metric("skinsight_attention_upload_failures_total"), len(images), "uploads that failed")
    expect_equal(worker.metric("skinsight_dead_letters_total"), 0, "dead letters")


def wait_for_maps(fleet, images):
    """The store is there again; a worker that gave it a rest has to notice first."""
    wait_until(lambda: all(answer["prediction"]["attention_map_url"] for answer in submit_inline(fleet, images)),
               "maps are stored again")


def test_folder_that_cannot_be_written(stack):
    """A file stands where the folder should be, which stops root too."""
    images = pictures(stack)[:8]
    (stack.folder / "occupied").write_text("a file")
    with stack.fleet("occupied", objects=f"file://{stack.folder}/occupied/objects") as fleet:
        worker = fleet.start("worker", job_budget_ms=300)
        check_maps_missing(fleet, worker, images, "can't make the folder")
        fleet.check(jobs=8)
        (stack.folder / "occupied").unlink()
        wait_for_maps(fleet, images)
        fleet.check()


def test_s3_killed(stack):
    images = pictures(stack)[:8]
    stack.start("s3")
    with stack.fleet("bucket", objects="s3://skinsight/bucket") as fleet:
        worker = fleet.start("worker", job_budget_ms=300)
        fleet.submit("--wait", *images)
        stack.kill("s3")
        check_maps_missing(fleet, worker, images)
        stack.start("s3")
        wait_for_maps(fleet, images)
        fleet.check()


# ---- models that are refused -------------------------------------------------------------------------------


def spoil_byte(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def read_weights(path):
    """(header as an object, the bytes behind it) of a safetensors file."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_weights(model, header, data):
    """Writes the file and its digest into the manifest, so that only the tensors are wrong."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = struct.pack("<Q", len(text)) + text + data
    (model / "model.safetensors").write_bytes(content)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["weights"]["sha256"] = hashlib.sha256(content).hexdigest()
    (model / "manifest.json").write_text(json.dumps(manifest))


def edit_tensors(model, change):
    header, data = read_weights(model / "model.safetensors")
    data = bytearray(data)
    change(header, data)
    write_weights(model, header, bytes(data))


def spoil_middle(model):
    spoil_byte(model / "model.safetensors", 1_000_000)


def cut_file(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1_000_000])


def cut_file_and_digest(model):
    header, data = read_weights(model / "model.safetensors")
    write_weights(model, header, data[:-1000])


def rename_tensor(model):
    edit_tensors(model, lambda header, data: header.update({"blocks.3.mlp.fc9.bias":
                                                            header.pop("blocks.3.mlp.fc1.bias")}))


def reshape_tensor(model):
    edit_tensors(model, lambda header, data: header["blocks.5.attn.proj.weight"].update(shape=[96, 384]))


def put_nan(model):
    def change(header, data):
        begin = header["norm.weight"]["data_offsets"][0]
        data[begin:begin + 4] = struct.pack("<f", float("nan"))
    edit_tensors(model, change)


def take_weights_away(model):
    (model / "model.safetensors").unlink()


def other_architecture(model):
    path = model / "manifest.json"
    path.write_text(path.read_text().replace("vit_tiny_patch16_224", "vit_small_patch16_224"))


def break_manifest(model):
    (model / "manifest.json").write_text('{"schema": "skinsight.model.v1",')


REFUSED_MODELS = [
    (spoil_middle, "model.safetensors"), (cut_file, "model.safetensors"), (take_weights_away, "model.safetensors"),
    (cut_file_and_digest, "tensor '"), (rename_tensor, "blocks.3.mlp.fc"), (put_nan, "norm.weight"),
    (reshape_tensor, "blocks.5.attn.proj.weight"), (other_architecture, "tensor '"),
    (break_manifest, "manifest.json"),
]


def test_damaged_models(stack):
    """Exit 1 and a sentence with the tensor or the file."""
    for spoil, named in REFUSED_MODELS:
        model = stack.folder / spoil.__name__
        shutil.copytree(stack.model(), model)
        spoil(model)
        done = harness.run("worker", "run", "--model", model, "--brokers", stack.brokers,
                           env=stack.program_env())
        expect_equal(done.returncode, 1, f"exit code after {spoil.__name__} ({done.stderr})")
        expect(named in done.stderr, f"{spoil.__name__}: '{named}' is not in {done.stderr!r}")
        shutil.rmtree(model)


# ---- workers that end --------------------------------------------------------------------------------------


def test_orderly_stop(stack):
    """SIGTERM in the middle of 200 jobs: what was begun is answered, the rest by the next worker."""
    with stack.fleet("stopped") as fleet:
        first = fleet.start("worker", batch_max=2).wait_ready()
        fleet.submit(*pictures(stack, 200))
        fleet.wait_answers(20)
        first.stop()
        answered = len(fleet.answers())
        expect(20 <= answered < 200, f"the stop came too late: {answered} of 200 were answered")
        fleet.start("worker")
        fleet.wait_answers(200)
        fleet.check(jobs=200)


def test_killed_workers(stack):
    """kill -9 five times in a run of 300 jobs, one worker of two at a time, each in the middle of a wave."""
    with stack.fleet("killed") as fleet:
        def start(name):
            return fleet.start(name, instance=name, batch_max=2, transaction_timeout_ms=2000)

        workers = {name: start(name).wait_ready() for name in ("left", "right")}
        images, at_work = pictures(stack, 300), 0
        for kill in range(5):
            fleet.submit(*images[60 * kill:60 * (kill + 1)])
            fleet.wait_answers(60 * kill + 10)
            name = ("left", "right")[kill % 2]
            workers[name].kill()
            at_work += len(fleet.answers()) < 60 * (kill + 1)
            workers[name] = start(name)
        expect(at_work >= 3, f"only {at_work} of 5 kills came while there was work")
        fleet.wait_answers(300)
        fleet.check(jobs=300)
        answers = [json.loads(record.value) for record in fleet.answers()]
        expect(all("prediction" in answer for answer in answers), "a job was answered by an error")


if __name__ == "__main__":
    harness.main([test_broker_absent, test_archived_classes, test_odd_paths, test_redis_absent_killed_and_back,
                  test_folder_that_cannot_be_written, test_s3_killed, test_damaged_models,
                  test_orderly_stop, test_killed_workers, test_broker_killed, test_broker_away, test_joining])
