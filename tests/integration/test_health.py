#!/usr/bin/env python3
"""test_health.py: a worker whose device computes wrong, fails, or hangs, and one that can never publish.

Known images are computed before the first job and every known_answer_batches batches. A worker that finds its
device wrong takes no more jobs, publishes nothing more, and ends with exit code 1; another one does the rest. The
faults are asked for through SKINSIGHT_TEST_... (worker/faults.h).
"""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal

CHECKS = "skinsight_known_answer_checks_total"
SIMULATED = {"backend": "simulated", "batch_max": 1, "batch_delay_ms": 0}


def logits_by_image(answers):
    return {answer["provenance"]["image_sha256"]: answer["provenance"]["logits"] for answer in answers}


def ended_badly(worker, sentence):
    expect_equal(worker.wait_exit(), 1, f"exit code of {worker.name}")
    expect(re.search(sentence, worker.log_text()), f"{worker.name} does not say '{sentence}'")


def test_checked_at_start_and_again(stack):
    """On the real device: checks pass, also with precisions that round, and come as often as asked for."""
    images = harness.make_images(stack.folder / "few", 10)
    with stack.fleet("checked") as fleet:
        worker = fleet.start("fp32", batch_max=1, known_answer_batches=3).wait_ready()
        expect_equal(worker.metric(CHECKS, "passed"), 1, "checks before the first job")
        fleet.submit("--wait", *images)
        expect_equal(worker.metric("skinsight_batches_total"), len(images), "batches")
        expect_equal(worker.metric(CHECKS, "passed"), 1 + len(images) // 3, "checks after the jobs")
        expect_equal(worker.metric(CHECKS, "failed"), 0, "failed checks")
        expect("known_answers_absent" not in worker.log_text(), "the stored answers are not used")
        worker.stop()
        for precision in ("bf16", "int8"):
            tried = harness.run("worker", "classify", "--model", stack.model(), "--precision", precision, images[0])
            if f"can't compute in {precision}" in tried.stderr:
                harness.leave_out(precision, "this processor has none")
                continue
            fleet.start(precision, precision=precision).wait_ready().stop()
        fleet.check(jobs=len(images))


def spoilt_model(stack, name, share, calibration=None):
    """A model whose second known answer has one logit off by that share of their spread."""
    model = stack.folder / "models" / name
    shutil.copytree(stack.model(), model)
    known = json.loads((model / "known_answers.json").read_text())
    logits = known["answers"][1]["logits"]
    logits[3] += share * (max(logits) - min(logits))
    text = json.dumps(known).encode()
    (model / "known_answers.json").write_bytes(text)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["known_answers"]["sha256"] = hashlib.sha256(text).hexdigest()
    manifest |= {"calibration": calibration} if calibration else {}
    (model / "manifest.json").write_text(json.dumps(manifest))
    return model


def test_a_device_unlike_the_stored_answers(stack):
    """Never ready, never in the group."""
    with stack.fleet("unlike") as fleet:
        worker = fleet.start("worker", model=spoilt_model(stack, "spoilt", 1e-3))
        ended_badly(worker, r"device '.*' fails known image 2: logit AK is \S+, known is")
        expect("assigned" not in worker.log_text(), "it joined the group")


def test_a_precision_unlike_the_stored_answers(stack):
    """Where nobody has measured the precision it is named, and not the device; where quantise has, the device."""
    if "can't compute in bf16" in harness.run("worker", "classify", "--model", stack.model(), "--precision", "bf16",
                                              harness.make_images(stack.folder / "one", 1)[0]).stderr:
        raise harness.Skipped("this processor has no bf16")
    measured = {"images": 200, "backend": "cpu",
                "precisions": {"bf16": {"difference_p99": 0.004, "first_class": 1, "decided": 100}}}
    with stack.fleet("rounded") as fleet:
        worker = fleet.start("uncalibrated", model=spoilt_model(stack, "far", 2), precision="bf16")
        ended_badly(worker, r"gives other answers in bf16 than those known \(image 2\); run it in fp32, or calibrate it "
                            r"with 'skinsight-trainer quantise'; .*: probability of \S+ is \S+, known is")
        expect("fails known image" not in worker.log_text(), "it takes the device for bad")
        worker = fleet.start("calibrated", model=spoilt_model(stack, "measured", 2, measured), precision="bf16")
        ended_badly(worker, r"device '.*' fails known image 2: probability of \S+ is \S+, known is")


def test_a_directory_without_known_answers(stack):
    """It is compared with itself only, and says so."""
    model = stack.folder / "models" / "old"
    shutil.copytree(stack.model(), model)
    (model / "known_answers.json").unlink()
    manifest = json.loads((model / "manifest.json").read_text())
    del manifest["known_answers"]
    (model / "manifest.json").write_text(json.dumps(manifest))
    with stack.fleet("old") as fleet:
        worker = fleet.start("worker", model=model).wait_ready()
        expect("known_answers_absent" in worker.log_text(), "it does not say that there are none")
        expect_equal(worker.metric(CHECKS, "passed"), 1, "checks")


def test_a_flipped_bit(stack):
    """After 20 batches one bit of every answer is wrong: found by batch 24, and those 4 are not published."""
    images = harness.make_images(stack.folder / "many", 60)
    with stack.fleet("flipped", partitions=1) as fleet:
        broken = fleet.start("broken", instance="one", known_answer_batches=8, **SIMULATED,
                             environment={"SKINSIGHT_TEST_FLIP_AFTER": "20", "SKINSIGHT_SIMULATED_US": "20000,0"})
        fleet.submit(*images)
        ended_badly(broken, "fails known image 1: it was computed before with other bits")
        suspect = re.search(r"answers_suspect worker=one since_unix_ms=(\d+) batches=8", broken.log_text())
        expect(suspect, "it does not say which answers are suspect")
        published = [json.loads(record.value) for record in fleet.answers()]
        expect(len(published) < 24, f"{len(published)} answers were published, the 24th batch is where it ends")
        fleet.start("mended", instance="one", **SIMULATED, environment={"SKINSIGHT_SIMULATED_US": "0,0"})
        answers = [json.loads(record.value) for record in fleet.wait_answers(len(images))]
        fleet.check(jobs=len(images))
        with stack.fleet("right", partitions=1) as other:
            other.start("worker", **SIMULATED, environment={"SKINSIGHT_SIMULATED_US": "0,0"})
            right = logits_by_image(line["answer"] for line in other.submit("--wait", *images))
        wrong = [answer for answer in answers
                 if answer["provenance"]["logits"] != right[answer["provenance"]["image_sha256"]]]
        for answer in wrong:  # what slips out between two checks is named by the log
            expect_equal(answer["provenance"]["worker"], "one", "who published a wrong answer")
            expect(answer["provenance"]["timestamps"]["inferred"] >= int(suspect.group(1)), "a wrong answer is not named")
        expect(len(wrong) <= 8, f"{len(wrong)} wrong answers between two checks of 8 batches")


def cached_images(stack):
    """The digests of the images that the cache holds an answer for (worker/cache/cache.h says where)."""
    port = stack.env["REDIS_URL"].rsplit(":", 1)[1]
    redis = lambda *words: subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, check=True).stdout
    keys = redis("KEYS", "skinsight:*").decode().split()
    return [redis("--raw", "GET", key)[520:552].hex() for key in keys]


def test_a_flipped_bit_leaves_the_cache(stack):
    """What a device stored since its last good check goes when it fails the next; what is older stays."""
    images = harness.make_images(stack.folder / "cached", 40)
    cache = {"cache": stack.redis_url, "cache_timeout_ms": 5000, **SIMULATED}
    with stack.fleet("cleaned", partitions=1) as fleet:
        broken = fleet.start("broken", instance="one", known_answer_batches=8, **cache,
                             environment={"SKINSIGHT_TEST_FLIP_AFTER": "18", "SKINSIGHT_SIMULATED_US": "20000,0"})
        fleet.submit(*images)
        ended_badly(broken, "fails known image 1: it was computed before with other bits")
        cleaned = re.search(r"cache_cleaned values=(\d+)", broken.log_text())
        expect(cleaned and int(cleaned.group(1)) > 0, "no value was deleted")
        expect("cache_not_cleaned" not in broken.log_text(), "a value could not be deleted")
        kept = cached_images(stack)
        expect(0 < len(kept) <= 16, f"{len(kept)} values are left, 16 batches were computed before the last good check")
        fleet.start("mended", instance="one", **cache, environment={"SKINSIGHT_SIMULATED_US": "0,0"})
        fleet.wait_answers(len(images))
        again = fleet.submit("--wait", *images)
        with stack.fleet("right-again", partitions=1) as other:
            other.start("worker", **SIMULATED, environment={"SKINSIGHT_SIMULATED_US": "0,0"})
            right = logits_by_image(line["answer"] for line in other.submit("--wait", *images))
        expect_equal(logits_by_image(line["answer"] for line in again), right, "answers from the cache afterwards")
        hits = {line["answer"]["provenance"]["image_sha256"] for line in again if line["answer"]["provenance"]["cache_hit"]}
        expect(set(kept) <= hits, "what was left is not answered from the cache")


def test_a_device_error(stack):
    """One error after which the known images come out right costs nothing; at start it ends the worker."""
    images = harness.make_images(stack.folder / "error", 10)
    with stack.fleet("error", partitions=1) as fleet:
        ended_badly(fleet.start("dead", **SIMULATED, environment={"SKINSIGHT_TEST_DEVICE_ERROR_AT": "0"}),
                    "fails known image 1: the device failed")
        worker = fleet.start("shaken", **SIMULATED, environment={"SKINSIGHT_TEST_DEVICE_ERROR_AT": "5"}).wait_ready()
        fleet.submit("--wait", *images)
        expect("device_error" in worker.log_text(), "there was no error")
        expect_equal(worker.metric(CHECKS, "passed"), 2, "checks")
        fleet.check(jobs=len(images))


def test_the_service_has_no_fault_switches(stack):
    """Each of these ends a worker that has them, or bends its answer."""
    expect(b"SKINSIGHT_TEST_" not in (harness.BIN / "skinsight-worker").read_bytes(), "the service names the switches")
    image, = harness.make_images(stack.folder / "switches", 1)
    switches = {"SKINSIGHT_TEST_DEVICE_ERROR_AT": "0", "SKINSIGHT_TEST_FLIP_AFTER": "0", "SKINSIGHT_TEST_FAULT_REPORTED_AT": "0",
                "SKINSIGHT_TEST_ABORT_ON": hashlib.sha256(image.read_bytes()).hexdigest()}
    with stack.fleet("switches", partitions=1) as fleet:
        worker = fleet.start("service", **SIMULATED, program="skinsight-worker", environment=switches).wait_ready()
        fleet.submit("--wait", image)
        fleet.check(jobs=1)
        for switch in switches:
            expect(f"environment_ignored variable={switch}" in worker.log_text(), f"{switch} is not said to be ignored")
        expect("fault_on_request" not in worker.log_text(), "a fault was on request")


def test_a_device_that_reports_a_fault(stack):
    """No answer after it, whether it comes with a batch or while the worker is idle; another worker does the rest."""
    images = harness.make_images(stack.folder / "fault", 30)
    with stack.fleet("fault", partitions=1) as fleet:
        def start(name, asked):
            return fleet.start(name, instance="one", **SIMULATED,
                               environment={"SKINSIGHT_TEST_FAULT_REPORTED_AT": str(asked)})
        ended_badly(start("idle", 2), 'device_fault reason="the device reported a fault')
        fleet.submit(*images)
        ended_badly(start("broken", 12), 'device_fault reason="the device reported a fault')
        published = len(fleet.answers())
        expect(published < 12, f"{published} answers were published, the fault is there after the 12th batch")
        fleet.start("mended", instance="one", **SIMULATED).wait_ready()
        fleet.wait_answers(len(images))
        fleet.check(jobs=len(images))


def test_a_device_that_hangs(stack):
    """The watchdog names the stage, /readyz says so, and the process ends."""
    with stack.fleet("hangs", partitions=1) as fleet:
        worker = fleet.start("worker", stage_timeout_ms=3000, **SIMULATED,
                             environment={"SKINSIGHT_SIMULATED_US": "600000000,0"})
        status, reason = harness.wait_until(lambda: "hangs" in (got := worker.get("/readyz"))[1] and got, "it hangs")
        expect_equal((status, reason.strip()), (503, "stage infer hangs"), "/readyz")
        ended_badly(worker, 'stage_hangs stage=infer busy_ms=3[0-9]{3}')
        expect('worker_ends reason="stage infer hangs"' in worker.log_text(), "it does not say why it ends")


def test_a_producer_that_cannot_be_made(stack):
    """The consumer takes the property, the producer does not: said once, and not tried again for ever."""
    with stack.fleet("unmade") as fleet:
        worker = fleet.start("worker", **SIMULATED, **{"kafka.message.send.max.retries": "0"})
        ended_badly(worker, r"worker_failed reason=.*Kafka client: .*retries")


if __name__ == "__main__":
    harness.main([test_checked_at_start_and_again, test_a_device_unlike_the_stored_answers,
                  test_a_precision_unlike_the_stored_answers,
                  test_a_directory_without_known_answers, test_a_flipped_bit, test_a_flipped_bit_leaves_the_cache,
                  test_the_service_has_no_fault_switches, test_a_device_error, test_a_device_that_reports_a_fault,
                  test_a_device_that_hangs, test_a_producer_that_cannot_be_made], "kafka", "redis")
