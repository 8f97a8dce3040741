import assert from "node:assert/strict";
import { join } from "@std/path";
import ndarray from "ndarray";
import { setEngine } from "../../lib/engine/engine.ts";
import { normals } from "../../lib/engine/random.ts";
import { encodeSafetensors, type SafetensorsInput } from "../../lib/io/safetensors.ts";
import { inceptionExtractor } from "../../lib/metrics/inception_features.ts";
import { inFolder } from "../folder.ts";
import { drawnState } from "./inception_state.ts";

Deno.test("inceptionExtractor() reads a file, and its features depend on nothing but image and preprocessing", async () => {
  await setEngine("onnxruntime");
  await inFolder(async (dir) => {
    const weights = join(dir, "inception.safetensors");
    const state = Object.entries(drawnState()).map(([name, { shape, read }]) =>
      [name, { dtype: "F32", shape, data: read() }] as [string, SafetensorsInput]
    );
    await Deno.writeFile(weights, encodeSafetensors(Object.fromEntries(state)));
    const values = normals({ seed: 1, stream: "tests/inception" }, 0, 3 * 20 * 16);
    const grey = ndarray(values.map(Math.tanh), [3, 20, 16, 1]);

    const extractor = await inceptionExtractor({ weights, batchSize: 2 });
    const [all, coloured, last] = [
      await extractor.extract(grey),
      await extractor.extract(
        ndarray(Float32Array.from({ length: 960 * 3 }, (_, i) => grey.data[Math.floor(i / 3)]), [
          3,
          20,
          16,
          3,
        ]),
      ),
      await extractor.extract(grey.lo(2)),
    ];
    extractor.dispose();
    assert.deepEqual([extractor.name, extractor.dimension], ["Inception", 2048]);
    assert.deepEqual([all.shape, last.shape], [[3, 2048], [1, 2048]]);
    assert.deepEqual(all.data, coloured.data);
    const far = last.data.map((v, i) => Math.abs(v - all.get(2, i)));
    assert.ok(Math.max(...far) < 1e-5);
    const differ = last.data.filter((v, i) => Math.abs(v - all.get(1, i)) > 1e-3).length;
    assert.ok(differ > 1000, `${differ}`);

    const other = await inceptionExtractor({ weights, preprocessing: "k-diffusion", batchSize: 1 });
    const otherwise = await other.extract(grey.lo(2));
    other.dispose();
    assert.ok(otherwise.data.some((v, i) => Math.abs(v - last.data[i]) > 1e-3));
  });
});

Deno.test("inceptionExtractor() says what is wrong before it extracts anything", async () => {
  await inFolder(async (dir) => {
    const weights = join(dir, "other.safetensors");
    const tensor: SafetensorsInput = { dtype: "F32", shape: [1], data: [0] };
    await Deno.writeFile(weights, encodeSafetensors({ "proj.weight": tensor }));
    await assert.rejects(inceptionExtractor({ weights }), /470 of 470 tensors are missing/);
    await assert.rejects(
      inceptionExtractor({ weights: join(dir, "missing.pth") }),
      /there must be a file: .*missing\.pth is none/,
    );
    await assert.rejects(inceptionExtractor({ weights, batchSize: 0 }), /batchSize is 0/);
  });
});
