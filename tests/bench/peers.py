#!/usr/bin/env python3
"""Times PyTorch, ONNX Runtime and OpenVINO against our own bench_vit on one architecture.

    tests/bench/peers.py BENCH_VIT [--arch vit_base_patch16_224[:SIZE]] [--batch 1,8] [--threads 2] [--rounds 10]
                         [--only fp32,bf16,int8] [--avx2] [--json FILE]

One round runs every engine once, in turn, so that a busy machine is busy for all of them; the figure of an engine is
its best round, the ratio is ours against each peer, and the median of the rounds' ratios stands beside it. Peers run in
one Python process with the threads given; ours is a child that runs one batch for each line it reads.

Needs torch, timm, numpy; onnx and onnxruntime, openvino, nncf where there are (what is missing is said and left out).
--avx2 keeps ours to AVX2; the peers ask the processor themselves what it has, and have to be told by other means.
int8: OpenVINO through NNCF (transformer preset, bf16 between where the processor has it), ONNX Runtime dynamic.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

CLASSES = 8
IMAGE_SIZES = {"efficientnet_b4": 320}  # what the others are made for is 224
PAUSE_S = 0.05  # an engine's threads spin for a while after a batch: let them fall asleep before the next one's turn


class Ours:
    def __init__(self, binary, architecture, precision, batch, threads):
        self.child = subprocess.Popen([binary, architecture, precision, str(batch), str(threads)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.child.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{binary} does not start in {precision}")

    def run(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline()) * 1e-3

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Timed:
    """An engine in this process: a function that runs one batch."""

    def __init__(self, function):
        self.function = function
        function()
        function()

    def run(self):
        begin = time.perf_counter()
        self.function()
        return time.perf_counter() - begin

    def close(self):
        self.function = None


def torch_engine(model, images, bf16):
    import torch

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(images)

    return Timed(run)


def export_onnx(model, images, path):
    import torch
    torch.onnx.export(model, (images,), path, input_names=["images"], output_names=["logits"], opset_version=17,
                      dynamo=False)


def ort_engine(path, images, threads, int8):
    import onnxruntime
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantised = path + ".int8.onnx"
        quantize_dynamic(path, quantised, weight_type=QuantType.QInt8, per_channel=True,
                         op_types_to_quantize=["MatMul", "Gemm"])
        path = quantised
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    return Timed(lambda: session.run(None, feed))


def openvino_engine(path, images, threads, precision):
    import openvino
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(images.shape))
    if precision == "int8":
        import nncf
        import numpy
        generator = numpy.random.default_rng(1)
        samples = [generator.standard_normal(images.shape).astype("float32") for _ in range(8)]
        model = nncf.quantize(model, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=8)
    hint = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}[precision]
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()
    feed = images.numpy()
    return Timed(lambda: request.infer({0: feed}))


def engines_of(precision, model, images, path, arguments):
    """Functions that make the engines of a precision, by name."""
    threads = arguments.threads
    batch = images.shape[0]
    level = ":avx2" if arguments.avx2 else ""
    found = {"ours": lambda: Ours(arguments.binary, arguments.arch, precision + level, batch, threads)}
    if precision != "int8":
        found["torch"] = lambda: torch_engine(model, images, precision == "bf16")
    if precision != "bf16":
        found["onnxruntime"] = lambda: ort_engine(path, images, threads, precision == "int8")
    found["openvino"] = lambda: openvino_engine(path, images, threads, precision)
    return found


def start(engines):
    running = {}
    for name, make in engines.items():
        try:
            running[name] = make()
        except Exception as problem:  # a peer that is missing must not end the comparison
            print(f"  {name}: left out ({type(problem).__name__}: {str(problem).splitlines()[0][:100]})",
                  file=sys.stderr)
    return running


def compare(precision, batch, engines, rounds):
    times = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            times[name].append(engine.run())
            time.sleep(PAUSE_S)
    best = {name: min(values) for name, values in times.items()}
    rows = []
    for name, seconds in best.items():
        ratios = sorted(theirs / ours for theirs, ours in zip(times[name], times["ours"]))
        rows.append({"precision": precision, "batch": batch, "engine": name, "images_per_s": batch / seconds,
                     "best_ms": seconds * 1e3, "ours_against_it": seconds / best["ours"],
                     "median_of_rounds": ratios[len(ratios) // 2]})
        print(f"{precision} batch {batch:<3} {name:<12} {batch / seconds:7.2f} images/s  best {seconds * 1e3:8.2f} ms"
              f"  ours against it {seconds / best['ours']:.2f} (median of rounds {rows[-1]['median_of_rounds']:.2f})",
              flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--arch", default="vit_base_patch16_224")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", default="fp32,bf16,int8")
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    import timm
    import torch
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    name, _, size = arguments.arch.partition(":")
    size = int(size) if size else IMAGE_SIZES.get(name, 224)
    model = timm.create_model(name, pretrained=False, num_classes=CLASSES).eval()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for batch in map(int, arguments.batch.split(",")):
            images = torch.randn(batch, 3, size, size)
            path = os.path.join(folder, f"vit{batch}.onnx")
            try:
                export_onnx(model, images, path)
            except Exception as problem:
                print(f"no ONNX file: {problem}", file=sys.stderr)
            for precision in arguments.only.split(","):
                engines = start(engines_of(precision, model, images, path, arguments))
                if "ours" in engines:
                    rows += compare(precision, batch, engines, arguments.rounds)
                for engine in engines.values():
                    engine.close()
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(rows, out, indent=1)


if __name__ == "__main__":
    main()
