import assert from "node:assert/strict";
import { join } from "@std/path";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { treeEntries } from "../../lib/engine/tree.ts";
import {
  loadCheckpoint,
  restoreTree,
  saveBest,
  saveCheckpoint,
} from "../../lib/training/checkpoint.ts";

await setEngine("cpu");

const stateAt = (step: number) => ({
  params: { w: tf.tensor2d([step, 1.5, -2, 1e-30], [2, 2]), levels: [{ fac: tf.scalar(0.5) }] },
  m: { "levels.0.fac": tf.scalar(step / 7) },
});
const save = (dir: string, step: number, config: unknown = { lr: 1 }) =>
  saveCheckpoint(dir, { state: stateAt(step), meta: { step, config, images: 8 * step } });
const names = async (dir: string) => {
  const all: string[] = [];
  for await (const { name } of Deno.readDir(dir)) all.push(name);
  return all.sort();
};

async function inFolder(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(join(dir, "run"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("saveCheckpoint() then loadCheckpoint() gives back every bit and the counters", () =>
  inFolder(async (dir) => {
    await save(dir, 12);
    const found = (await loadCheckpoint(dir))!;
    assert.deepEqual(found.meta, { step: 12, config: { lr: 1 }, images: 96 });
    assert.deepEqual(found.skipped, []);
    const restored = restoreTree(stateAt(0), found.tensors);
    const want = treeEntries(stateAt(12));
    treeEntries(restored).forEach(([path, leaf], i) => {
      assert.equal(path, want[i][0]);
      assert.deepEqual(leaf.shape, want[i][1].shape);
      assert.deepEqual(leaf.dataSync(), want[i][1].dataSync());
    });
  }));

Deno.test("saveCheckpoint() keeps the newest two and removes what crashes left", () =>
  inFolder(async (dir) => {
    await save(dir, 1);
    await Deno.writeTextFile(join(dir, ".checkpoint_00000009.json.0123abcd.tmp"), "{");
    await Deno.writeTextFile(join(dir, "notes.txt"), "mine");
    for (const step of [2, 3]) await save(dir, step);
    assert.deepEqual(await names(dir), [
      "checkpoint_00000002.json",
      "checkpoint_00000002.safetensors",
      "checkpoint_00000003.json",
      "checkpoint_00000003.safetensors",
      "notes.txt",
    ]);
  }));

Deno.test("loadCheckpoint() passes over torn, changed and half-written files for the one before", () =>
  inFolder(async (dir) => {
    const damage: Record<string, (path: string) => Promise<void>> = {
      "truncated tensors": (p) => Deno.truncate(`${p}.safetensors`, 60),
      "a changed bit": async (p) => {
        const bytes = await Deno.readFile(`${p}.safetensors`);
        bytes[bytes.length - 5] ^= 1;
        await Deno.writeFile(`${p}.safetensors`, bytes);
      },
      "truncated JSON": (p) => Deno.truncate(`${p}.json`, 20),
      "no JSON": (p) => Deno.remove(`${p}.json`),
      "no tensors": (p) => Deno.remove(`${p}.safetensors`),
      "another step's JSON": (p) =>
        Deno.copyFile(join(dir, "checkpoint_00000004.json"), `${p}.json`),
    };
    for (const [name, hurt] of Object.entries(damage)) {
      for (const step of [4, 5]) await save(dir, step);
      await hurt(join(dir, "checkpoint_00000005"));
      const found = (await loadCheckpoint(dir))!;
      assert.equal(found.meta.step, 4, name);
      assert.equal(found.skipped.length, 1, name);
      assert.match(found.skipped[0].path, /checkpoint_00000005\.safetensors$/);
      await Deno.remove(dir, { recursive: true });
    }
  }));

Deno.test("loadCheckpoint() survives a crash at any byte of the writing of a checkpoint", () =>
  inFolder(async (dir) => {
    await save(dir, 1);
    await save(dir, 2);
    const tensors = await Deno.readFile(join(dir, "checkpoint_00000002.safetensors"));
    const json = await Deno.readFile(join(dir, "checkpoint_00000002.json"));
    const write = (name: string, bytes: Uint8Array) => Deno.writeFile(join(dir, name), bytes);
    await Deno.remove(join(dir, "checkpoint_00000002.json"));
    // Files that the system cut short, as if renames had outrun the data
    for (let n = 0; n < tensors.length; n += 7) {
      await write("checkpoint_00000002.safetensors", tensors.subarray(0, n));
      assert.equal((await loadCheckpoint(dir))!.meta.step, 1);
    }
    await write("checkpoint_00000002.safetensors", tensors);
    for (let n = 0; n < json.length - 2; n += 7) {
      await write("checkpoint_00000002.json", json.subarray(0, n));
      assert.equal((await loadCheckpoint(dir))!.meta.step, 1);
    }
    await write("checkpoint_00000002.json", json);
    assert.equal((await loadCheckpoint(dir))!.meta.step, 2);
  }));

Deno.test("loadCheckpoint() is undefined for no folder and for an interrupted first save alone", () =>
  inFolder(async (dir) => {
    assert.equal(await loadCheckpoint(dir), undefined);
    await save(dir, 1);
    await Deno.remove(join(dir, "checkpoint_00000001.json"));
    assert.equal(await loadCheckpoint(dir), undefined);
  }));

Deno.test("loadCheckpoint() refuses to start afresh over checkpoints that are all damaged", () =>
  inFolder(async (dir) => {
    await save(dir, 1);
    await Deno.truncate(join(dir, "checkpoint_00000001.safetensors"), 9);
    await assert.rejects(loadCheckpoint(dir), /no checkpoint in .* is good: .*9 bytes/);
  }));

Deno.test("saveCheckpoint() refuses a folder that holds another configuration", () =>
  inFolder(async (dir) => {
    await save(dir, 1, { lr: 1 });
    const before = await names(dir);
    await assert.rejects(save(dir, 1, { lr: 2 }), /holds one of another configuration/);
    await assert.rejects(save(dir, 2, { lr: 2 }), /use another folder/);
    assert.deepEqual(await names(dir), before);
  }));

Deno.test("restoreTree() names what is missing, left over or of another shape", () => {
  const tensor = (shape: number[]) => ({
    dtype: "F32" as const,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  const tensors = new Map([["a", tensor([2])], ["c", tensor([1])]]);
  assert.throws(
    () => restoreTree({ a: tf.zeros([3]), b: tf.zeros([1]) }, tensors),
    /b is missing; c is left over; a is \[2\], not \[3\]/,
  );
});

Deno.test("saveBest() keeps the checkpoint of the lowest score alone, whatever the order of steps", () =>
  inFolder(async (dir) => {
    const keep = (step: number, score: number) =>
      saveBest(dir, { state: stateAt(step), meta: { step, config: { lr: 1 } }, score });
    const kept: boolean[] = [];
    for (const [step, score] of [[10, 3], [20, 4], [30, 2], [25, 1], [40, 1]]) {
      kept.push(await keep(step, score));
    }
    assert.deepEqual(kept, [true, false, true, true, false]);
    assert.deepEqual(await names(dir), [
      "checkpoint_00000025.json",
      "checkpoint_00000025.safetensors",
    ]);
    const { meta, tensors } = (await loadCheckpoint(dir))!;
    assert.deepEqual([meta.step, meta.score], [25, 1]);
    assert.deepEqual(tensors.get("params.w")!.data, stateAt(25).params.w.dataSync());
    await assert.rejects(keep(50, NaN), /score is NaN/);
    await Deno.truncate(join(dir, "checkpoint_00000025.json"), 9); // a torn one is beaten by any
    assert.ok(await keep(50, 7));
  }));
