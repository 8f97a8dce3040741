import assert from "node:assert/strict";
import { join } from "@std/path";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeDispose } from "../../lib/engine/tree.ts";
import {
  loadInferenceCheckpoint,
  loadTrainingCheckpoint,
  saveInferenceCheckpoint,
} from "../../lib/io/k_diffusion_checkpoint.ts";
import { isTorchTensor, openTorchFile, type TorchValue } from "../../lib/io/torch_file.ts";
import { torchTensorData } from "../../lib/io/torch_tensor.ts";
import { initHdit } from "../../lib/models/hdit.ts";
import { presets } from "../../lib/models/presets.ts";

const tool = new URL("../../tools/check_with_torch.py", import.meta.url).pathname;

async function python(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command("python3", {
    args: ["-B", ...args],
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Why PyTorch cannot be used here, or undefined. */
async function missing(): Promise<string | undefined> {
  try {
    const { code } = await python("-c", "import torch");
    return code === 0 ? undefined : "python3 has no torch";
  } catch {
    return "there is no python3";
  }
}
const reason = await missing();
if (reason) console.log(`Ignoring the tests that need PyTorch: ${reason}`);

Deno.test({
  name: "check_with_torch.py loads what saveInferenceCheckpoint() wrote, in each number format",
  ignore: reason !== undefined,
  async fn() {
    await setEngine("cpu");
    const dir = await Deno.makeTempDir();
    const params = initHdit(presets.smoke, { seed: 0, stream: "model" });
    const save = async (dtype: "fp32" | "fp16" | "bf16", seeded = params) => {
      const path = join(dir, `${crypto.randomUUID()}.safetensors`);
      await saveInferenceCheckpoint(path, {
        spec: presets.smoke,
        size: [32, 32],
        params: seeded,
        dtype,
      });
      return path;
    };
    const whole = await save("fp32");
    for (
      const [dtype, tolerance, word] of [
        ["fp32", "0", "float32"],
        ["fp16", "0.01", "float16"],
        ["bf16", "0.1", "bfloat16"],
      ] as const
    ) {
      const path = await save(dtype);
      const { code, text } = await python(tool, path, "--against", whole, "--tolerance", tolerance);
      assert.equal(code, 0, text);
      assert.match(text, new RegExp(`tensors \\(${word}\\) load in torch`));
    }
    const other = initHdit(presets.smoke, { seed: 1, stream: "model" });
    const { code, text } = await python(tool, await save("fp32", other), "--against", whole);
    assert.equal(code, 1);
    assert.match(text, /patch_in\.proj\.weight differs by/);
    treeDispose([params, other]);
  },
});

/** Saves the state of a training as the reference's program does, from a state dict. */
const TRAINING = `
import json, sys, torch
from collections import OrderedDict
from safetensors_reader import read
path, out = sys.argv[1:]
weights, config = read(path)
module = torch.nn.ParameterDict({k.replace(".", "/"): v for k, v in weights.items() if v.dim() < 9})
opt = torch.optim.AdamW(module.parameters(), lr=5e-4, betas=(0.9, 0.95))
for p in module.parameters():
    p.grad = torch.ones_like(p)
opt.step()
state = OrderedDict(weights)
state._metadata = OrderedDict({"": {"version": 1}})
torch.save({
    "config": config, "model": OrderedDict((k, v + 1) for k, v in weights.items()), "model_ema": state,
    "opt": opt.state_dict(), "sched": torch.optim.lr_scheduler.ConstantLR(opt).state_dict(),
    "ema_sched": {"inv_gamma": 1.0, "power": 0.75, "last_epoch": 5},
    "epoch": 2, "step": 1234, "gns_stats": None, "ema_stats": {"loss": 0.25},
    "demo_gen": torch.Generator().manual_seed(7).get_state(), "elapsed": 1.5,
}, out)
`;
const READER = `
import importlib.util, json
def read(path):
    spec = importlib.util.spec_from_file_location("check", ${JSON.stringify(tool)})
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    from pathlib import Path
    tensors, metadata = check.read_safetensors(Path(path))
    return tensors, json.loads(metadata["config"])
`;

Deno.test({
  name: "loadTrainingCheckpoint() and openTorchFile() read what torch.save() wrote",
  ignore: reason !== undefined,
  async fn() {
    await setEngine("cpu");
    const dir = await Deno.makeTempDir();
    const params = initHdit(presets.smoke, { seed: 0, stream: "model" });
    const saved = join(dir, "saved.safetensors"), path = join(dir, "run_00001234.pth");
    await saveInferenceCheckpoint(saved, { spec: presets.smoke, size: [32, 32], params });
    await Deno.writeTextFile(join(dir, "safetensors_reader.py"), READER);
    await Deno.writeTextFile(join(dir, "training.py"), TRAINING);
    const { code, text } = await python(join(dir, "training.py"), saved, path);
    assert.equal(code, 0, text);

    const loaded = loadTrainingCheckpoint(path);
    assert.deepEqual(loaded.spec, presets.smoke);
    assert.equal(loaded.step, 1234);
    const again = join(dir, "again.safetensors");
    await saveInferenceCheckpoint(again, { config: loaded.config, params: loaded.params });
    const compared = await python(tool, again, "--against", path);
    assert.equal(compared.code, 0, compared.text);
    assert.match(compared.text, /0 problems; the largest difference is 0/);
    const inference = await loadInferenceCheckpoint(again);
    assert.deepEqual(inference.config, loaded.config);

    using training = openTorchFile(path);
    const contents = training.value as Map<string, TorchValue>;
    const opt = contents.get("opt") as Map<string, Map<number, Map<string, TorchValue>>>;
    const average = opt.get("state")!.get(0)!.get("exp_avg");
    assert.ok(isTorchTensor(average));
    assert.ok(Math.abs(Number(torchTensorData(average)[0]) - 0.1) < 1e-6); // (1 − β₁) · 1
    const generator = contents.get("demo_gen");
    assert.ok(isTorchTensor(generator) && generator.dtype === "U8" && generator.shape[0] > 1000);
    treeDispose([params, loaded.params, inference.params]);
  },
});
