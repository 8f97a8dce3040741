import assert from "node:assert/strict";
import { join } from "@std/path";
import { encodeSafetensors } from "../../lib/io/safetensors.ts";
import { floatTensor, openStateDict } from "../../lib/io/state_dict_file.ts";
import { inFolder } from "../folder.ts";
import { pickle, Tensor, torchFile } from "./made_torch_file.ts";

const numbers = Float32Array.of(0, 1, 2, 3, 4, 5);
const tensor = new Tensor({ dtype: "F32", storage: 0, length: 6, shape: [2, 3], strides: [3, 1] });

Deno.test("openStateDict() reads the same tensors from safetensors and from PyTorch's files, whatever their names", async () => {
  await inFolder(async (dir) => {
    const files = {
      "a.bin": torchFile(new Map([["layer.weight", tensor]]), [numbers]),
      "b.pth": encodeSafetensors({
        "layer.weight": { dtype: "F32", shape: [2, 3], data: numbers },
      }),
    };
    for (const [name, bytes] of Object.entries(files)) {
      await Deno.writeFile(join(dir, name), bytes);
      using file = await openStateDict(join(dir, name));
      assert.deepEqual(Object.keys(file.tensors), ["layer.weight"]);
      const weight = floatTensor(file.tensors, "layer.weight", [2, 3]);
      assert.deepEqual([...weight.dataSync()], [...numbers]);
      weight.dispose();
    }
  });
});

Deno.test("openStateDict() knows safetensors whose length begins as a pickle or an archive does", async () => {
  await inFolder(async (dir) => {
    const w = { dtype: "F32" as const, shape: [2, 3], data: numbers };
    for (const length of [0x0280, 0x4b50]) { // in a file 80 02 and "PK"
      const fill = (n: number) => encodeSafetensors({ w }, { note: "x".repeat(n) });
      const header = (bytes: Uint8Array) => new DataView(bytes.buffer).getUint32(0, true);
      const bytes = fill(length - header(fill(0)));
      assert.equal(header(bytes), length);
      const path = join(dir, "made.safetensors");
      await Deno.writeFile(path, bytes);
      using file = await openStateDict(path);
      assert.deepEqual(Object.keys(file.tensors), ["w"]);
    }
  });
});

Deno.test("openStateDict() and floatTensor() say what is wrong with a file", async () => {
  await inFolder(async (dir) => {
    const path = join(dir, "made.pth");
    const wrong = async (bytes: Uint8Array, message: RegExp) => {
      await Deno.writeFile(path, bytes);
      await assert.rejects(openStateDict(path), message);
    };
    await wrong(torchFile(tensor, [numbers]), /made\.pth must be a dict/);
    await wrong(torchFile(new Map([["epoch", 3]]), []), /must hold tensors by name: epoch is none/);
    await wrong(pickle(new Map()), /bare pickle/);
    await wrong(new TextEncoder().encode("no weights"), /safetensors/);
    await assert.rejects(openStateDict(join(dir, "missing.pth")), /missing\.pth is none/);

    await Deno.writeFile(path, torchFile(new Map([["w", tensor]]), [numbers]));
    using file = await openStateDict(path);
    assert.throws(() => floatTensor(file.tensors, "v"), /must hold v/);
    assert.throws(() => floatTensor(file.tensors, "w", [3, 2]), /the shape \[3,2\]: it is \[2,3\]/);
    const whole = { w: { ...file.tensors.w, dtype: "I64" as const } };
    assert.throws(() => floatTensor(whole, "w"), /must hold floats: it is I64/);
  });
});
