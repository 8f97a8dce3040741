#!/usr/bin/env python3
"""Loads a checkpoint that this library saved in PyTorch, and compares it with another one.

    python3 tools/check_with_torch.py SAVED.safetensors
    python3 tools/check_with_torch.py SAVED.safetensors --against CHECKPOINT.pth

Needs torch. Reads with the package safetensors where that is installed, by itself otherwise. Where
k-diffusion is installed, also builds the model of the checkpoint's own configuration and loads the
weights into it. Exits with 1 where names, shapes or values differ, with 2 where it cannot run.
"""

import argparse
import json
import struct
import sys
from pathlib import Path

try:
    import torch
except ImportError:
    print("Cannot check the checkpoint as torch must be installed", file=sys.stderr)
    sys.exit(2)

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path):
    """Tensors by name, and the metadata."""
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    try:
        from safetensors.torch import load_file

        return load_file(str(path)), metadata
    except ImportError:
        pass
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = torch.frombuffer(data[start:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


def read_weights(path, key):
    """The state dict of either kind of checkpoint."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    contents = torch.load(path, map_location="cpu", weights_only=True)
    return contents[key] if key in contents else contents


def differences(saved, other, tolerance):
    """What differs, in words, and the largest difference of values."""
    problems = [f"{name} is missing" for name in other if name not in saved]
    problems += [f"{name} is not expected" for name in saved if name not in other]
    largest = 0.0
    for name in saved.keys() & other.keys():
        a, b = saved[name].float(), other[name].float()
        if a.shape != b.shape:
            problems.append(f"{name} is {list(a.shape)}, not {list(b.shape)}")
        elif a.numel() > 0:
            difference = (a - b).abs().max().item()
            largest = max(largest, difference)
            if not difference <= tolerance:
                problems.append(f"{name} differs by {difference:g}")
    return problems, largest


def load_in_reference(path, saved):
    """Loads the weights into the reference's model, strictly; says whether it is installed."""
    try:
        import k_diffusion
    except ImportError:
        return False
    config = k_diffusion.config.load_config(path)
    k_diffusion.config.make_model(config).load_state_dict(saved)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved", type=Path, help="the checkpoint (.safetensors)")
    parser.add_argument("--against", type=Path, help="another checkpoint (.safetensors or .pth)")
    parser.add_argument("--key", default="model_ema", help="which weights of a .pth to compare with")
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest difference of values")
    options = parser.parse_args()

    saved, metadata = read_safetensors(options.saved)
    json.loads(metadata["config"])
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in saved.values()})
    print(f"{len(saved)} tensors ({', '.join(dtypes)}) load in torch {torch.__version__}")
    if load_in_reference(options.saved, saved):
        print("They load into k-diffusion's model of their configuration")
    if options.against is None:
        return 0
    other = read_weights(options.against, options.key)
    problems, largest = differences(saved, other, options.tolerance)
    for problem in problems[:20]:
        print(problem)
    print(f"{len(problems)} problems; the largest difference is {largest:g}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
