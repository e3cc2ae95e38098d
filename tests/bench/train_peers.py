#!/usr/bin/env python3
"""Training with bench_train against PyTorch: speed, gradients, and the losses of 50 steps.

    tests/bench/train_peers.py BENCH_TRAIN speed [--arch vit_tiny_patch16_224,...] [--batch 16] [--threads 2]
                               [--rounds 5] [--level avx2|avx512|best] [--dropout 0] [--no-compile]
    tests/bench/train_peers.py BENCH_TRAIN gradients [--arch ...] [--batch 4] [--precision fp32|bf16]
    tests/bench/train_peers.py BENCH_TRAIN steps [--arch ...] [--batch 8]
    tests/bench/train_peers.py BENCH_TRAIN memory [--arch ...] [--batch 16] [--precision fp32|bf16]

speed: one round makes one step with every engine in turn, so that a busy machine is busy for all of them; PyTorch in
fp32 and in bf16 (autocast), eager and compiled. The ratio is ours against the best of PyTorch's, from the best rounds;
the median of the rounds' ratios stands beside it. --cpu-time takes processor time instead, for a machine that others
use, with --threads 1: waiting threads spin. --level avx2 holds PyTorch to AVX2 too.
gradients: per tensor |g - g64| / |g64| against PyTorch in float64, and PyTorch's own in fp32 (or bf16) beside it.
steps: the losses of 50 steps of AdamW, relative difference.
memory: the largest resident size of a process that makes two steps, eager; the Python process's with what it imports.

Needs torch, timm, numpy. Weights and images are derived on both sides (tests/golden/random_weights.py).
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

CLASSES = 8


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("what", choices=("speed", "gradients", "steps", "memory", "peer"))
    parser.add_argument("--arch", default="vit_tiny_patch16_224,vit_small_patch16_224")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--level", default="best", choices=("avx2", "avx512", "best"))
    parser.add_argument("--dropout", type=float, default=0)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    return parser.parse_args()


class Ours:
    def __init__(self, options, arch, precision, batch, *more):
        self.cpu = options.cpu_time
        self.child = subprocess.Popen([options.binary, arch, precision, str(batch), str(options.threads),
                                       str(options.dropout), options.level, *more],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.child.stdout.readline().split()
        if not self.about or self.about[0] != "ready":
            raise RuntimeError(f"{options.binary} does not start with {arch} in {precision}")

    def step(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        ms, cpu_ms, loss = self.child.stdout.readline().split()
        return float(cpu_ms if self.cpu else ms) * 1e-3, float(loss)

    def close(self):
        self.child.stdin.close()
        rest = self.child.stdout.read()
        self.child.wait()
        return rest


def images_of(count, size, step=0):
    import numpy as np
    import torch

    import random_weights

    images = [random_weights.unit(i, "image", size * size * 3).reshape(size, size, 3) for i in range(step * count, (step + 1) * count)]
    labels = torch.arange(step * count, (step + 1) * count) % CLASSES
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), labels


class Theirs:
    """A timm model with AdamW; autocast: bf16."""

    def __init__(self, arch, batch, dropout=0.0, dtype=None, autocast=False, compiled=False, cpu=False):
        import timm
        import torch

        import random_weights

        name, _, size = arch.partition(":")
        size = int(size or 224)
        more = {"proj_drop_rate": dropout, "pos_drop_rate": dropout} if "vit" in name else {}
        if "vit" in name:
            more["img_size"] = size
        self.model = timm.create_model(name, pretrained=False, num_classes=CLASSES, drop_rate=dropout, **more)
        for block in getattr(self.model, "blocks", []):
            if hasattr(block, "ls1"):  # LayerScale is folded where weights are imported
                block.ls1 = block.ls2 = torch.nn.Identity()
        random_weights.fill(self.model, 1)
        self.model.train()
        if dtype:
            self.model.to(dtype)
        self.batch, self.size, self.dtype, self.steps = batch, size, dtype, 0
        self.take_batch()
        self.autocast, self.cpu = autocast, cpu
        self.run = torch.compile(self.model) if compiled else self.model
        matrices = [p for n, p in self.model.named_parameters() if p.dim() > 1 and n not in ("cls_token", "pos_embed")]
        others = [p for n, p in self.model.named_parameters() if not any(p is m for m in matrices)]
        self.optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                                            {"params": others, "weight_decay": 0}], lr=1e-4)

    def take_batch(self):
        self.images, self.labels = images_of(self.batch, self.size, self.steps)
        self.images = self.images.to(self.dtype) if self.dtype else self.images
        self.steps += 1

    def gradients(self):
        import torch
        import torch.nn.functional as F

        self.optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            logits = self.run(self.images)
        loss = F.cross_entropy(logits.float() if self.autocast else logits, self.labels)
        loss.backward()
        return loss.item()

    def step(self):
        import torch

        clock = time.process_time if self.cpu else time.perf_counter
        begin = clock()
        loss = self.gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        took = clock() - begin
        self.take_batch()
        return took, loss

    def close(self):
        self.model = self.run = self.optimiser = None


def engines_of(options, arch, batch):
    import torch

    bf16 = options.level == "best" and torch.backends.mkldnn.is_available()
    engines = {"ours fp32": lambda: Ours(options, arch, "fp32", batch),
               "torch fp32": lambda: Theirs(arch, batch, options.dropout, cpu=options.cpu_time)}
    if bf16:
        engines["ours bf16"] = lambda: Ours(options, arch, "bf16", batch)
        engines["torch bf16"] = lambda: Theirs(arch, batch, options.dropout, autocast=True, cpu=options.cpu_time)
    if not options.no_compile:
        engines["torch fp32 compiled"] = lambda: Theirs(arch, batch, options.dropout, compiled=True,
                                                            cpu=options.cpu_time)
        if bf16:
            engines["torch bf16 compiled"] = lambda: Theirs(arch, batch, options.dropout, autocast=True,
                                                            compiled=True, cpu=options.cpu_time)
    return engines


def speed(options, arch):
    batch = options.batch or 16
    running, times = {}, {}
    for name, make in engines_of(options, arch, batch).items():
        try:
            running[name] = make()
            running[name].step()
            running[name].step()
            times[name] = []
        except Exception as error:  # what one engine lacks is told, and the others go on
            print(f"{name}: left out: {str(error).splitlines()[0]}", file=sys.stderr)
            running.pop(name, None)
    for _ in range(options.rounds):
        for name, engine in running.items():
            times[name].append(engine.step()[0])
            time.sleep(0.05)
    for engine in running.values():
        engine.close()
    best = {name: min(values) for name, values in times.items()}
    for name, seconds in best.items():
        print(f"{arch} batch {batch} {name}: {batch / seconds:.2f} images/s")
    ours = min((n for n in best if n.startswith("ours")), key=best.get)
    theirs = min((n for n in best if n.startswith("torch")), key=best.get)
    ratios = [a / b for a, b in zip(times[theirs], times[ours])]
    print(f"{arch}: {ours} is {best[theirs] / best[ours]:.2f} x {theirs}; median of rounds "
          f"{statistics.median(ratios):.2f}")


def gradients(options, arch):
    import numpy as np
    import torch

    batch, half = options.batch or 4, options.precision == "bf16"
    with tempfile.NamedTemporaryFile() as file:
        ours = Ours(options, arch, options.precision, batch, file.name)
        lines = ours.close().split("\n")
        loss, sizes = float(lines[0]), [(n, int(v)) for n, v in (line.split() for line in lines[1:] if line)]
        flat = np.fromfile(file.name, dtype=np.float32)
    exact = Theirs(arch, batch, dtype=torch.float64)
    peer = Theirs(arch, batch, autocast=half)
    wanted, peer_loss = exact.gradients(), peer.gradients()
    print(f"{arch} {ours.about[1]} {ours.about[2]}: loss {loss:.9g}, float64 {wanted:.9g}, PyTorch {peer_loss:.9g}")
    at, worst, bad = 0, (0, "", 0), 0
    mine = dict(exact.model.named_parameters())
    other = dict(peer.model.named_parameters())
    for name, size in sizes:
        g = torch.from_numpy(flat[at:at + size].astype(np.float64))
        at += size
        if name not in mine:
            continue  # running statistics
        reference, theirs = mine[name].grad.reshape(-1), other[name].grad.reshape(-1).double()
        if name.endswith("qkv.bias"):  # the keys' part is zero but for rounding
            third = size // 3
            keep = torch.cat((torch.arange(third), torch.arange(2 * third, size)))
            g, reference, theirs = g[keep], reference[keep], theirs[keep]
        norm = reference.norm()
        error, own = ((g - reference).norm() / norm).item(), ((theirs - reference).norm() / norm).item()
        limit = max(1e-4, 2 * own)
        bad += error > limit
        if error > limit and bad <= 5:
            print(f"  {name}: {error:.2e}, PyTorch {own:.2e}, limit {limit:.2e}")
        worst = max(worst, (error, name, own))
    assert at == len(flat), (at, len(flat))
    print(f"{arch} {options.precision}: {len(sizes)} tensors, {bad} beyond the limit; worst {worst[1]}: "
          f"{worst[0]:.2e}, PyTorch's own there {worst[2]:.2e}")
    return bad


def steps(options, arch):
    batch = options.batch or 8
    ours, theirs, worst = Ours(options, arch, options.precision, batch), Theirs(arch, batch), 0
    for number in range(50):
        a, b = ours.step()[1], theirs.step()[1]
        worst = max(worst, abs(a - b) / abs(b))
        if number % 10 == 0 or number == 49:
            print(f"  step {number}: {a:.7g}, PyTorch {b:.7g}")
    ours.close()
    print(f"{arch}: greatest relative difference of 50 losses {worst:.2e}")
    return worst > 1e-3


def peer(options, arch):
    theirs = Theirs(arch, options.batch, options.dropout, autocast=options.precision == "bf16")
    theirs.step()
    theirs.step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def memory(options, arch):
    batch = options.batch or 16
    ours = Ours(options, arch, options.precision, batch)
    ours.step()
    ours.step()
    with open(f"/proc/{ours.child.pid}/status", encoding="ascii") as status:
        kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    ours.close()
    again = [sys.executable, os.path.abspath(__file__), options.binary, "peer", "--arch", arch, "--batch", str(batch),
             "--precision", options.precision, "--threads", str(options.threads), "--dropout", str(options.dropout)]
    other = int(subprocess.run(again, stdout=subprocess.PIPE, check=True, text=True).stdout)
    print(f"{arch} batch {batch} {options.precision}: ours {kib >> 10} MiB, PyTorch {other >> 10} MiB, "
          f"{kib / other:.2f}")


def main():
    options = arguments()
    if options.level == "avx2":
        os.environ.update(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2", MKL_ENABLE_INSTRUCTIONS="AVX2",
                          DNNL_MAX_CPU_ISA="AVX2")
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
    import torch

    torch.set_num_threads(options.threads)
    run = {"speed": speed, "gradients": gradients, "steps": steps, "memory": memory,
           "peer": peer}[options.what]
    return 1 if sum(run(options, arch) or 0 for arch in options.arch.split(",")) else 0


sys.exit(main())
