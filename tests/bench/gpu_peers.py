#!/usr/bin/env python3
"""gpu_peers.py: PyTorch on the same GPU, in the same run as bench_gpu: ViT-B/16 eager (matmul and softmax), eager with
fused attention, and torch.compile.

    gpu_peers.py [--seconds TOTAL] [--batches 1,256]

Prints one line for each case; stops before the next case once TOTAL seconds are over. What is timed: float images on
the device to logits, as PyTorch's users do; uploads are not in it, so it has the easier task.
"""
import argparse
import sys
import time


def attention_of(torch, fused):
    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        if fused:
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(b, n, d))
    return forward


def make_model(torch, fused):
    nn = torch.nn

    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        forward = attention_of(torch, fused)

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
            self.attn = Attention(width, heads)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Vit(nn.Module):
        def __init__(self, width=768, depth=12, heads=12):
            super().__init__()
            self.patches = nn.Conv2d(3, width, 16, 16)
            self.token = nn.Parameter(torch.randn(1, 1, width))
            self.positions = nn.Parameter(torch.randn(1, 197, width))
            self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
            self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 8)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
            return self.head(self.norm(self.blocks(x)[:, 0]))

    return Vit()


def measure(torch, run, batch):
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    times = []
    begun = time.monotonic()
    while len(times) < 20 or (time.monotonic() - begun < 1.0 and len(times) < 1000):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    median = sorted(times)[len(times) // 2]
    return median, 1000 * batch / median


def measure_case(torch, mode, dtype, batch):
    torch.manual_seed(1)
    torch._dynamo.reset()
    model = make_model(torch, mode != "eager").cuda().to(dtype).eval()
    if mode.startswith("compile"):
        model = torch.compile(model, mode="max-autotune", dynamic=False)
    images = torch.randn(batch, 3, 224, 224, device="cuda", dtype=dtype)
    with torch.inference_mode():
        return measure(torch, lambda: model(images), batch)


def main():
    parser = argparse.ArgumentParser(description="PyTorch's ViT-B/16 on this GPU")
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--batches", default="1,256")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("gpu_peers.py: there is no PyTorch here", file=sys.stderr)
        return 77
    if not torch.cuda.is_available():
        print("gpu_peers.py: PyTorch finds no GPU", file=sys.stderr)
        return 77
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}")
    ends = time.monotonic() + arguments.seconds
    half = [torch.bfloat16] if torch.cuda.is_bf16_supported() else []
    batches = [int(batch) for batch in arguments.batches.split(",")]
    cases = [(mode, dtype, batch) for mode in ("eager", "sdpa") for dtype in half + [torch.float16] for batch in batches]
    cases += [("compile max-autotune", dtype, batch) for dtype in half + [torch.float16] for batch in batches]
    failed = 0
    for mode, dtype, batch in cases:
        if time.monotonic() > ends:
            print(f"{mode} {dtype} batch {batch}: left out, the time is over")
            continue
        what = f"torch {mode} {str(dtype)[6:]} batch {batch:3d}"
        try:
            median, rate = measure_case(torch, mode, dtype, batch)
        except Exception as error:  # torch.compile may lack a compiler, a large batch memory: the other cases still count
            print(f"{what}: {type(error).__name__}: {str(error).strip().splitlines()[:1]}", flush=True)
            failed += 1
            continue
        print(f"{what}: median {median:8.3f} ms, {rate:9.1f} images/s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
