#!/usr/bin/env python3
"""test_command_lines.py: what every program promises on the command line, and the worker's commands without Kafka."""
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from conditions import open_paths
from harness import DATA, expect, expect_equal, run, wait_until
from invariants import png_complaint

COMMANDS = {"worker": ["run", "classify", "preprocess", "bench", "doctor"],
            "producer": ["submit", "topics", "serve", "doctor", "feedback", "keys", "audit"],
            "trainer": ["import", "explore", "train", "quantise", "listen"],
            "monitor": ["run", "cost", "simulate", "report", "plan"]}
GOOD = [DATA / "ISIC_0000013.jpg", DATA / "ISIC_0000548.jpg"]
LARGE = DATA / "ISIC_0000384.jpg"  # over inline_limit_bytes


def test_help_and_version(stack):
    for program, commands in COMMANDS.items():
        done = run(program, "--help", check=True)
        for command in commands:
            expect(command in done.stdout, f"{program} --help does not name {command}")
            text = run(program, command, "--help", check=True).stdout
            expect(text.startswith(f"usage: skinsight-{program} {command}"), f"{program} {command} --help: {text[:80]}")
            expect("example:" in text and f"skinsight-{program} {command}" in text.split("example:")[1],
                   f"{program} {command} --help has no example")
        version = run(program, "--version", check=True).stdout
        expect(re.fullmatch(rf"skinsight-{program} \d+\.\d+\.\d+\S*\n(built without .*\n)?", version), f"--version said {version!r}")
    submit = run("producer", "submit", "--help").stdout
    expect("--objects" in submit and "--control-topic" not in submit, f"options submit does not read: {submit}")


def test_wrong_usage(stack):
    """Exit 2 and one sentence on standard error, nothing on standard output."""
    wrong = [[program, command, "--no-such-option", "1"] for program, commands in COMMANDS.items()
             for command in commands]
    wrong += [[program, *arguments] for program in COMMANDS
              for arguments in ([], ["no-such-command"], ["--config", "/does/not/exist", COMMANDS[program][0]])]
    wrong += [["worker", "run", "--threads", "many"], ["worker", "run", "--threads", "-1"],
              ["worker", "run", "--precision", "fp8"], ["worker", "run", "--set", "brokers"],
              ["worker", "run", "left", "over"], ["worker", "classify"], ["worker", "classify", "--model"],
              ["worker", "preprocess", "one.jpg"], ["worker", "bench", "--batch", "1,x"],
              ["worker", "bench", "--model", stack.model(), "--batch", ",".join(17 * "1")],
              ["producer", "submit"], ["producer", "submit", "--timeout-ms", "0", "x.jpg"],
              ["trainer", "import"], ["trainer", "import", "--arch", "vit_tiny_patch16_224"],
              ["producer", "feedback"], ["producer", "feedback", "a.csv", "b.csv"],
              ["trainer", "listen"], ["trainer", "listen", "--dataset", stack.folder / "x", "--train-after", "5"],
              ["trainer", "listen", "--dataset", stack.folder / "x", "--", "--arch", "vit_tiny_patch16_224"],
              ["worker", "run"],
              ["worker", "run", "--model", "/none", "--cache", "rediss://host"],
              ["worker", "run", "--model", "/none", "--cache", "redis://10.0.0.1"],
              ["worker", "run", "--model", "/none", "--objects", "ftp://host/x"],
              ["worker", "run", "--model", "/none", "--http-address", "foo"],
              ["worker", "run", "--model", "/none", "--set", "kafka.acks=1"],
              ["worker", "run", "--model", "/none", "--dead-letters-topic", "skinsight.jobs"],
              ["worker", "bench", "--model", "/none", "--batch", ""],
              ["producer", "submit", "--objects", "ftp://host/x", GOOD[0]],
              ["producer", "topics", "--set", "kafka.socket.timeout.ms=soon"],
              ["worker", "classify", GOOD[0]],
              ["trainer", "quantise", "--model", stack.folder],
              ["trainer", "import", "--arch", "no_such_net", "--random", "1", "--out", stack.folder / "x"],
              ["trainer", "import", "--arch", "vit_tiny_patch16_224", "--out", stack.folder / "x"]]
    for program, *arguments in wrong:
        done = run(program, *arguments)
        expect_equal(done.returncode, 2, f"exit code of {program} {arguments} ({done.stderr!r})")
        expect(done.stderr.strip() and not done.stdout, f"{program} {arguments} said {done.stdout!r}, {done.stderr!r}")
    hint = run("worker", "run", "--broker", "x").stderr
    expect("--brokers" in hint, f"no hint for a misspelt option: {hint!r}")


def test_failures(stack):
    """Exit 1: well-formed, but it can't be done."""
    missing = stack.folder / "missing"
    for program, *arguments in (["worker", "classify", "--model", missing, GOOD[0]],
                                ["worker", "run", "--model", missing],
                                ["worker", "bench", "--model", missing],
                                ["worker", "preprocess", missing, "--output", stack.folder / "x"],
                                ["worker", "preprocess", GOOD[0], "--output", missing / "x"],
                                ["worker", "run", "--model", stack.model(), "--http-address", "192.0.2.1:1"],
                                ["producer", "submit", "--timeout-ms", "500", "--brokers", "127.0.0.1:1", missing],
                                ["producer", "topics", "--timeout-ms", "500", "--brokers", "127.0.0.1:1"]):
        done = run(program, *arguments)
        expect_equal(done.returncode, 1, f"exit code of {program} {arguments} ({done.stderr!r})")
        expect(done.stderr.strip(), f"{program} {arguments} did not say why")


def test_classify(stack):
    """Good and bad files: a line each in their order, exit 1 because of the bad ones."""
    empty, text = stack.folder / "empty.jpg", stack.folder / "text with \"quotes\".jpg"
    empty.touch()
    text.write_text("no picture")
    cut = stack.folder / "cut.jpg"
    cut.write_bytes(GOOD[0].read_bytes()[:5000])
    large = stack.folder / "large.jpg"
    large.touch()
    os.truncate(large, (20 << 20) + 1)
    odd = os.fsdecode(bytes(stack.folder) + b"/no UTF-8 \xff\nabsent.jpg")
    files = [GOOD[0], empty, text, odd, cut, stack.folder, large, GOOD[1]]
    codes = [None, "image_undecodable", "image_undecodable", "image_unavailable", "image_undecodable",
             "image_unavailable", "image_too_large", None]
    maps = stack.folder / "classified"
    done = run("worker", "classify", "--model", stack.model(), "--attention", maps, *files)
    expect_equal(done.returncode, 1, "exit code with bad files")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expect_equal([line["file"] for line in lines], [str(file).replace("\udcff", "\ufffd") for file in files], "files")
    expect_equal([line.get("error", {}).get("code") for line in lines], codes, "codes")
    for line in lines:
        if "error" in line:
            expect(line["error"]["message"] and set(line) == {"file", "error"}, f"line {line}")
            continue
        expect_equal(set(line), {"file", "model_version", "trained", "logits", "probabilities", "primary_diagnosis",
                                 "ood", "attention", "timings_ms"}, "fields of a line")
        expect(len(line["logits"]) == 8 and abs(sum(line["probabilities"]) - 1) < 1e-6, f"numbers of {line['file']}")
        expect_equal(set(line["timings_ms"]), {"decode", "preprocess", "inference"}, "timings")
        expect(abs(sum(line["attention"])) <= 1 and len(line["attention"]) == 196, "attention over the patches")
        complaint = png_complaint((maps / (pathlib.Path(line["file"]).stem + ".png")).read_bytes())
        expect(complaint is None, f"attention map: {complaint}")
    expect_equal(len(list(maps.iterdir())), 2, "maps written")
    expect("mean nothing" in done.stderr, "the model is untrained and nobody said so")
    again = run("worker", "classify", "--model", stack.model(), *GOOD, check=True)
    for one, other in zip([lines[0], lines[-1]], map(json.loads, again.stdout.splitlines()), strict=True):
        expect_equal(one["logits"], other["logits"], f"logits of {one['file']} another time")


def test_classify_large_map(stack):
    """A noisy map of 896 x 896 pixels, far larger than those of today's networks, is written. One that can't be is
    told of, and costs no prediction."""
    model, maps, noise = stack.folder / "large-model", stack.folder / "large-maps", stack.folder / "noise.jpg"
    run("trainer", "import", "--arch", "resnet18", "--random", "1", "--image-size", "896", "--out", model, check=True)
    picture = GOOD[0].read_bytes()
    scan = picture.index(b"\xff\xda") + 14
    noise.write_bytes(picture[:scan] + random.Random(1).randbytes(400_000).replace(b"\xff", b"") + b"\xff\xd9")
    classify = ["worker", "classify", "--model", model, "--attention", maps]
    run(*classify, noise, check=True)
    written = (maps / "noise.png").read_bytes()
    expect(png_complaint(written, 896) is None and len(written) > 1 << 20,
           f"a map of {len(written)} bytes: {png_complaint(written, 896)}")
    (maps / "noise.png").unlink()
    (maps / "noise.png").mkdir()
    done = run(*classify, noise)
    line = json.loads(done.stdout)
    expect(done.returncode == 1 and "error" not in line and len(line["logits"]) == 8 and
           "noise.png" in line["attention_map_error"], f"exit {done.returncode}, line {line}")


def test_rollout(stack):
    """Another map than the last block's, of the same answer; a network without attention has none."""
    classify = ["worker", "classify", "--backend", "cpu", "--model"]
    last = json.loads(run(*classify, stack.model(), "--explain", "attention", GOOD[0], check=True).stdout)
    rolled = json.loads(run(*classify, stack.model(), "--explain", "rollout", GOOD[0], check=True).stdout)
    plain = json.loads(run(*classify, stack.model(), GOOD[0], check=True).stdout)
    expect_equal((last["logits"], last["attention"]), (plain["logits"], plain["attention"]), "what is given unasked")
    expect_equal(rolled["logits"], plain["logits"], "logits with rollout")
    expect(len(rolled["attention"]) == 196 and rolled["attention"] != last["attention"], "the map of rollout")
    expect(all(share > 0 for share in rolled["attention"]) and sum(rolled["attention"]) < 1, "shares of the patches")
    done = run(*classify, stack.model("resnet18"), "--explain", "rollout", GOOD[0])
    expect_equal((done.returncode, done.stdout), (1, ""), "exit code and output for a convolutional network")
    expect("resnet18 has no attention to roll out" in done.stderr, f"the sentence: {done.stderr!r}")


def test_classify_beyond_numbers(stack):
    """A model whose weights are finite and whose sums are not: an error, and no diagnosis."""
    model = stack.folder / "beyond"
    shutil.copytree(stack.model(), model)
    data = bytearray((model / "model.safetensors").read_bytes())
    start = 8 + struct.unpack_from("<Q", data)[0]
    begin, end = json.loads(data[8:start])["head.weight"]["data_offsets"]
    data[start + begin:start + end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
    (model / "model.safetensors").write_bytes(data)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
    del manifest["known_answers"]
    (model / "manifest.json").write_text(json.dumps(manifest))
    done = run("worker", "classify", "--model", model, GOOD[0])
    line = json.loads(done.stdout)
    expect_equal((done.returncode, line.get("error", {}).get("code")), (1, "internal"), f"exit and code of {line}")


def test_classify_same_stems(stack):
    """Two files whose maps would have one name are refused before anything is done; the same file twice is not."""
    twins = [stack.folder / folder / f"twin.{suffix}" for folder, suffix in (("left", "jpg"), ("right", "jpeg"))]
    for twin, original in zip(twins, GOOD, strict=True):
        twin.parent.mkdir()
        twin.write_bytes(original.read_bytes())
    maps = stack.folder / "twin-maps"
    classify = ["worker", "classify", "--model", stack.model()]
    done = run(*classify, "--attention", maps, twins[0], GOOD[0], twins[1])
    expect_equal((done.returncode, done.stdout), (2, ""), "exit code and output for two files with one stem")
    expect(all(str(twin) in done.stderr for twin in twins), f"it does not name both: {done.stderr!r}")
    expect(not maps.exists(), "it has begun all the same")
    run(*classify, "--attention", maps, twins[0], twins[0], check=True)
    expect_equal([path.name for path in maps.iterdir()], ["twin.png"], "maps of one file named twice")
    run(*classify, *twins, check=True)


def test_import_beyond_memory(stack):
    """A file of a few bytes that claims a head of 3 * 10^9 values: refused for its shape, not for want of memory."""
    source, columns = stack.folder / "beyond.safetensors", 402653184
    size = 8 * columns * 2
    header = json.dumps({"head.weight": {"dtype": "F16", "shape": [8, columns], "data_offsets": [0, size]}}).encode()
    source.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(source, 8 + len(header) + size)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, limits[1]))
    try:
        done = run("trainer", "import", "--arch", "vit_tiny_patch16_224", "--weights", source, "--out",
                   stack.folder / "beyond-memory")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    expect_equal(done.returncode, 1, f"exit code ({done.stderr!r})")
    expect(f"tensor 'head.weight' has shape 8 x {columns}, vit_tiny_patch16_224 needs 8 x 192" in done.stderr,
           f"the sentence: {done.stderr!r}")


def test_preprocess(stack):
    """Without a model 224 pixels a side; a model's manifest gives its own size, mean and deviation."""
    output, model = stack.folder / "view.f32", stack.folder / "manifest-only"
    run("worker", "preprocess", GOOD[0], "--output", output, check=True)
    plain = output.read_bytes()
    expect_equal(len(plain), 3 * 224 * 224 * 4, "bytes written")
    run("worker", "preprocess", "--model", stack.model(), GOOD[0], "--output", output, check=True)
    expect(output.read_bytes() == plain, "a model of 224 pixels wants another view")
    manifest = json.loads((stack.model() / "manifest.json").read_text())
    manifest["image_size"] = manifest["preprocessing"]["crop"] = 320
    manifest["preprocessing"] |= {"resize": 352, "mean": [0, 0, 0], "std": [1, 1, 1]}
    model.mkdir()
    (model / "manifest.json").write_text(json.dumps(manifest))
    run("worker", "preprocess", "--model", model, GOOD[0], "--output", output, check=True)
    values = struct.unpack(f"<{3 * 320 * 320}f", output.read_bytes())
    expect(0 <= min(values) and max(values) <= 1, f"values from {min(values)} to {max(values)}, without mean and deviation")
    done = run("worker", "preprocess", "--model", stack.folder / "missing", GOOD[0], "--output", output)
    expect(done.returncode == 1 and "manifest.json" in done.stderr, f"no such model: {done.returncode}, {done.stderr!r}")


def test_bench(stack):
    done = run("worker", "bench", "--model", stack.model(), "--batch", "1,4", "--seconds", "1", "--json", check=True)
    result = json.loads(done.stdout)
    missing = {"model", "backend", "device", "precision", "threads", "peak_gflops", "rows", "stages_ms"} - set(result)
    expect(not missing, f"bench --json has no {missing}")
    expect_equal([row["batch"] for row in result["rows"]], [1, 4], "batch sizes")
    for row in result["rows"]:
        missing = {"batch", "latency_ms_mean", "latency_ms_sd", "latency_ms_p50", "latency_ms_p99", "images_per_s",
                   "gflops", "share_of_peak", "memory_mb", "model_mb"} - set(row)
        expect(not missing, f"a row of bench --json has no {missing}")
        expect(row["latency_ms_p50"] > 0 and row["images_per_s"] > 0 and row["gflops"] > 0, f"row {row}")
    expect_equal(result["model"], "vit-tiny-v0.1.0", "model")
    stages = result["stages_ms"]
    expect_equal(set(stages), {"decode", "resize", "embed", "blocks", "head", "inference"}, "stages")
    expect(all(ms is not None and ms >= 0 for ms in stages.values()), f"stages {stages}")
    expect(stages["blocks"] > stages["embed"] > stages["head"], f"stages {stages}")
    table = run("worker", "bench", "--model", stack.model(), "--batch", "1", "--seconds", "1", check=True).stdout
    expect(all(word in table for word in ("images/s", "vit-tiny-v0.1.0", "decode", "blocks")), f"the table: {table!r}")
    table = run("worker", "bench", "--model", stack.model(), "--batch", "1", "--seconds", "1", "--image", GOOD[0],
                "--backend", "simulated", check=True).stdout
    expect("blocks -" in table, f"the table of a device that does not tell: {table!r}")


# MB beside the packed weights: the program and its libraries 16, the piece of the file being digested 8, the largest
# tensor of the file being packed 2.4 (vit_base: 9.4), activations 6 (12), pictures 1. The file's other pages have been
# given back: for vit_small they would be 87 more.
BESIDE_WEIGHTS_MB = 40
MOST_MB = {("vit_base_patch16_224", "fp32"): 450, ("vit_base_patch16_224", "int8"): 160}


def test_peak_memory(stack):
    """At batch 1, from opening the model on."""
    cases = [("vit_small_patch16_224", "fp32"), ("vit_small_patch16_224", "int8"), *MOST_MB]
    for architecture, precision in cases:
        done = run("worker", "bench", "--model", stack.model(architecture), "--precision", precision, "--batch", "1",
                   "--seconds", "1", "--backend", "cpu", "--json")
        if done.returncode != 0 and "can't compute in int8" in done.stderr:
            harness.leave_out(f"peak memory of {architecture} in {precision}", "this processor has none")
            continue
        expect_equal(done.returncode, 0, f"exit code; {done.stderr}")
        row = json.loads(done.stdout)["rows"][0]
        most = MOST_MB.get((architecture, precision), row["model_mb"] + BESIDE_WEIGHTS_MB)
        print(f"        {architecture} {precision}: peak {row['memory_mb']:.0f} MB, weights {row['model_mb']:.0f} MB")
        expect(row["memory_mb"] > row["model_mb"], f"the peak of {row} can't be right")
        expect(row["memory_mb"] <= most, f"{architecture} {precision}: peak {row['memory_mb']} MB, allowed are {most}")


def doctor(stack, **options):
    return run("worker", "doctor", *harness.flags({"model": stack.model(), "brokers": stack.brokers, "cache_timeout_ms": 5000, **options}),
               env=stack.program_env())


def test_doctor(stack):
    """0 when everything is there; 1 and what to do about it when anything is not."""
    bad = doctor(stack, cache=stack.redis_url)
    expect_equal(bad.returncode, 1, "exit code of doctor without topics")
    expect("topics --create" in bad.stdout, f"doctor does not say how to get topics: {bad.stdout!r}")
    run("producer", "topics", "--create", "--brokers", stack.brokers, check=True)
    good = doctor(stack, cache=stack.redis_url)
    expect_equal(good.returncode, 0, f"exit code of doctor ({good.stdout})")
    expect("no reference" in good.stdout, f"what the model lacks: {good.stdout}")
    expect("note " not in good.stdout, f"doctor has something against our own topics: {good.stdout}")
    harness.create_topic(stack.brokers, "plain-jobs")
    harness.wait_until(lambda: "plain-jobs" in harness.kcat(stack.brokers, "-L").decode(), "the broker knows the topic")
    noted = doctor(stack, jobs_topic="plain-jobs")
    expect_equal(noted.returncode, 0, f"exit code of doctor with notes ({noted.stdout})")
    for words in ("plain-jobs has compression.type=producer", "plain-jobs has message.timestamp.type=CreateTime"):
        expect_equal(noted.stdout.count(words), 1, f"'{words}' in {noted.stdout}")
    (stack.folder / "plain-file").touch()
    for option, value in (("model", stack.folder / "none"), ("brokers", "127.0.0.1:1"),
                          ("cache", "redis://127.0.0.1:1"), ("policy", stack.folder / "none.json"),
                          ("cache", "redis://10.0.0.1"), ("cache_secret", stack.folder / "none"),
                          ("dead_letters_topic", "skinsight.jobs"),
                          ("objects", f"file://{stack.folder}/plain-file/x")):
        done = doctor(stack, **{"cache": stack.redis_url, option: value})
        expect_equal(done.returncode, 1, f"exit code of doctor with {option} {value}")
        expect_equal(done.stdout.count("wrong "), 1, f"things wrong with {option} {value}: {done.stdout}")


def test_doctor_and_known_answers(stack):
    """A device, or weights, that give other answers than those known are found before a worker is started."""
    model = stack.folder / "unlike"
    shutil.copytree(stack.model(), model)
    known = json.loads((model / "known_answers.json").read_text())
    known["answers"][1]["logits"][3] += 1
    text = json.dumps(known).encode()
    (model / "known_answers.json").write_bytes(text)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["known_answers"]["sha256"] = hashlib.sha256(text).hexdigest()
    (model / "manifest.json").write_text(json.dumps(manifest))
    done = doctor(stack, model=model)
    expect(re.search(r"wrong model, device .*fails known image 2: logit AK is \S+, known is", done.stdout), done.stdout)
    done = doctor(stack, model=model, backend="simulated")
    expect("ok    model, device" in done.stdout, f"the simulated device is compared: {done.stdout!r}")


def print_config(stack, *arguments, **env):
    """{name: (value, origin)} of --print-config"""
    done = run("worker", "run", *arguments, "--print-config", env=stack.program_env(**env), check=True)
    lines = [re.fullmatch(r"(\S+) = (.*?) *# (.*)", line) for line in done.stdout.splitlines()]
    return {line[1]: (line[2].strip(), line[3]) for line in lines}


def test_configuration(stack):
    """built-in < file < environment < command line, each seen and each named."""
    file = stack.folder / "worker.conf"
    file.write_text("# a comment\nthreads = 2\n  batch_max = 3  # another\n\ngroup = from-file\n"
                    "kafka.client.id = me\n")
    config = print_config(stack)
    expect_equal(config["threads"], ("0", "built-in"), "threads with nothing said")
    environment = {"SKINSIGHT_THREADS": "3", "SKINSIGHT_GROUP": "from-environment"}
    config = print_config(stack, "--config", file, "--threads", "4", **environment)
    expect_equal(config["batch_max"][0], "3", "batch_max of the file")
    expect(str(file) in config["batch_max"][1], f"origin {config['batch_max'][1]} is not the file")
    expect_equal(config["group"], ("from-environment", "SKINSIGHT_GROUP"), "group of the environment")
    expect_equal(config["threads"][0], "4", "threads of the command line")
    expect_equal(config["kafka.client.id"][0], "me", "librdkafka's own option")
    expect_equal(print_config(stack, "--set", "threads=5", "--config", file)["threads"][0], "5", "threads by --set")

    printed = stack.folder / "printed.conf"
    printed.write_text(run("worker", "run", "--config", file, "--print-config", check=True).stdout)
    again = {name: value for name, (value, _) in print_config(stack, "--config", printed).items()}
    expect_equal(again, {name: value for name, (value, _) in print_config(stack, "--config", file).items()},
                 "what --print-config wrote, read again")
    secret = run("worker", "run", "--cache", "redis://user:hush@host", "--print-config", check=True).stdout
    expect("hush" not in secret, "a password is printed")

    file.write_text("threads = 2\nno_such_option = 1\n")
    done = run("worker", "run", "--config", file)
    expect(done.returncode == 2 and "no_such_option" in done.stderr and ":2" in done.stderr,
           f"a wrong line of the file: {done.returncode}, {done.stderr!r}")


OPEN_UMASK = ("sh", "-c", 'umask 0; exec "$@"', "sh")


def test_files_are_closed_to_others(stack):
    """Pictures and maps, whatever the umask, and where a file was there before."""
    folder = stack.folder / "closed"
    folder.mkdir(0o750)
    floats = folder / "floats"
    floats.touch()
    floats.chmod(0o666)
    for arguments in (["classify", "--model", stack.model(), "--attention", folder / "maps", GOOD[0]],
                      ["preprocess", "--output", floats, GOOD[0]]):
        subprocess.run([*OPEN_UMASK, harness.BIN / "skinsight-worker", *arguments], check=True, capture_output=True)
    expect_equal(floats.stat().st_size, 4 * 3 * 224 * 224, "bytes of the floats")
    with stack.fleet("closed", partitions=1, objects=f"file://{folder}/state/objects") as fleet:
        fleet.start("worker", backend="simulated", wrapper=OPEN_UMASK).wait_ready()
        subprocess.run([*OPEN_UMASK, harness.BIN / "skinsight-producer", "submit", "--wait", LARGE,
                        *harness.flags({**fleet.producer_options, "inline_limit_bytes": 0})], check=True, capture_output=True)
        fleet.check(jobs=1)
    files = [path for path in folder.rglob("*") if path.is_file()]
    expect_equal(len(files), 4, f"a map, floats, an image and its map: {files}")
    expect_equal(open_paths(folder), [], "open to others")


def dumps_core(folder, command, ready):
    """Whether a process that may leave a core file does when it breaks; ready(pid): it is at work."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    try:
        wait_until(lambda: ready(process.pid), f"{command[0]} is at work")
    finally:
        process.send_signal(signal.SIGSEGV)
        status = os.waitpid(process.pid, 0)[1]
    expect(os.WIFSIGNALED(status), f"{command[0]} ended with {status}")
    return os.WCOREDUMP(status) or bool(list(folder.iterdir()))


def test_no_core_dumps(stack):
    """A core file of a worker or a producer would hold patients' pictures."""
    def threads(pid):
        return int(re.search(r"Threads:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
    if not dumps_core(stack.folder / "core-of-sleep", ["sleep", "60"], lambda pid: b"sleep" in pathlib.Path(f"/proc/{pid}/comm").read_bytes()):
        raise harness.Skipped("no process leaves a core file here")
    with stack.fleet("core", partitions=1) as fleet:
        for name, command in (("worker", ["run", "--model", stack.model(), "--backend", "simulated", "--brokers", stack.brokers]),
                              ("producer", ["submit", "--wait", GOOD[0], *harness.flags(fleet.producer_options)])):
            dumped = dumps_core(stack.folder / f"core-of-{name}", [str(harness.BIN / f"skinsight-{name}"), *map(str, command)],
                                lambda pid: threads(pid) > 2)
            expect(not dumped, f"skinsight-{name} left a core file")


def test_submit_without_wait(stack):
    """A line for each acknowledged job, exit 1 when one file could not be sent, the others sent all the same."""
    with stack.fleet("lines", partitions=2) as fleet:
        lines = fleet.submit(*GOOD)
        expect_equal([line["file"] for line in sorted(lines, key=lambda line: line["file"])], list(map(str, GOOD)),
                     "files")
        for line in lines:
            expect_equal(set(line), {"file", "request_id", "topic", "partition", "offset"}, "fields of a line")
        done = fleet.submit(GOOD[0], stack.folder / "absent.jpg", GOOD[1], check=False)
        expect_equal((done.returncode, len(done.stdout.splitlines())), (1, 2), "exit code and lines")
        expect("absent.jpg" in done.stderr, f"the missing file is not named: {done.stderr!r}")
        stack.env.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")  # there is no S3 here
        away = fleet.submit(GOOD[0], check=False, inline_limit_bytes=0, objects="s3://skinsight/x",
                            s3_endpoint="http://127.0.0.1:1", timeout_ms=1500)
        expect_equal((away.returncode, away.stderr.count("object_store_again")), (1, 1),
                     f"exit code and warnings while the store is away: {away.stderr!r}")
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
            hung = fleet.submit(LARGE, *GOOD, check=False, objects="s3://skinsight/x", timeout_ms=3000,
                                object_timeout_ms=1000, s3_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        hung_lines = [json.loads(line) for line in hung.stdout.splitlines()]
        expect_equal((hung.returncode, {line["file"] for line in hung_lines}), (1, set(map(str, GOOD))),
                     f"exit code and files sent while the store hangs: {hung.stderr!r}")
        sent = {(line["partition"], line["offset"]): line["request_id"]
                for line in lines + hung_lines + [json.loads(line) for line in done.stdout.splitlines()]}
        read = {(record.partition, record.offset): record.key.decode() for record in fleet.read("jobs_topic")}
        expect_equal(read, sent, "records and the lines that told of them")


if __name__ == "__main__":
    harness.main([test_help_and_version, test_wrong_usage, test_failures, test_classify, test_rollout,
                  test_classify_large_map, test_classify_beyond_numbers, test_classify_same_stems,
                  test_import_beyond_memory, test_preprocess, test_bench, test_peak_memory, test_configuration,
                  test_doctor, test_doctor_and_known_answers, test_files_are_closed_to_others,
                  test_no_core_dumps, test_submit_without_wait], "kafka", "redis")
