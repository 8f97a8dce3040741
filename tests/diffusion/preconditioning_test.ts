import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import {
  preconditioned,
  type Preconditioning,
  scalings,
  scalingsAt,
} from "../../lib/diffusion/preconditioning.ts";
import { perSample } from "../../lib/diffusion/types.ts";
import { setEngine } from "../../lib/engine/engine.ts";

await setEngine("cpu");

const FLOAT32 = 2e-6; // a few roundings of float32
const positive = fc.double({ min: -3, max: 3, noNaN: true }).map((e) => 10 ** e);
const kinds = fc.constantFrom<Preconditioning["kind"][]>("edm", "x", "eps", "v");

Deno.test("scalingsAt() has EDM's coefficients at sigma 1, sigmaData 1/2 (EDM, Table 1)", () => {
  const { cSkip, cOut, cIn } = scalingsAt(1, { kind: "edm", sigmaData: 0.5 });
  assert.ok(Math.abs(cSkip - 0.2) < 1e-15);
  assert.ok(Math.abs(cOut - 0.5 / Math.sqrt(1.25)) < 1e-15);
  assert.ok(Math.abs(cIn - 1 / Math.sqrt(1.25)) < 1e-15);
});

Deno.test("scalings() agrees with scalingsAt() for every kind", () => {
  fc.assert(fc.property(kinds, positive, positive, (kind, sigma, sigmaData) => {
    const at = scalingsAt(sigma, { kind, sigmaData });
    const s = scalings(tf.tensor1d([sigma]), { kind, sigmaData });
    for (const name of ["cSkip", "cOut", "cIn"] as const) {
      const error = Math.abs(s[name].dataSync()[0] - at[name]);
      assert.ok(error <= FLOAT32 * Math.max(1e-30, Math.abs(at[name])), `${name}: ${error}`);
    }
  }));
});

Deno.test("scalingsAt() gives input, target and error unit variance", () => {
  fc.assert(fc.property(positive, positive, (s, d) => {
    const { cSkip, cOut, cIn } = scalingsAt(s, { kind: "edm", sigmaData: d });
    const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-9 * Math.abs(b), `${a}`);
    near(cIn ** 2 * (s * s + d * d), 1); // EDM, Eq. 114
    // Var of (x - cSkip (x + s n)) / cOut (EDM, Eq. 121)
    near(((1 - cSkip) ** 2 * d * d + cSkip ** 2 * s * s) / cOut ** 2, 1);
    // cSkip makes cOut the smallest: cOut^2 = cSkip s^2
    near(cOut ** 2, cSkip * s * s);
  }));
});

Deno.test("preconditioned() with the network's exact target gives back the clean image, for every kind", () => {
  fc.assert(fc.property(
    kinds,
    fc.double({ min: -1.5, max: 1.5, noNaN: true }).map((e) => 10 ** e),
    fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 }),
    (kind, level, values) => {
      tf.tidy(() => {
        const sigmaData = 0.7;
        const clean = tf.tensor4d(values, [1, 2, 2, 1]),
          noise = tf.tensor4d([0.3, -1, 0.2, 2], [
            1,
            2,
            2,
            1,
          ]);
        const sigma = tf.tensor1d([level]);
        const noisy = clean.add(noise.mul(level)) as tf.Tensor4D;
        const r = Math.hypot(level, sigmaData);
        const target = (): tf.Tensor => {
          switch (kind) {
            case "x":
              return clean;
            case "eps":
              return noise;
            case "v": // alpha n - sin x / d, alpha = d / r, sin = s / r
              return noise.mul(sigmaData / r).sub(clean.mul(level / r / sigmaData));
            case "edm": // the negative of v
              return clean.mul(level / r / sigmaData).sub(noise.mul(sigmaData / r));
          }
        };
        const model = () => target() as tf.Tensor4D;
        const found = preconditioned(model, { kind, sigmaData })(noisy, sigma).dataSync();
        const scale = Math.max(1, level); // D is a difference of terms as large as the noisy image
        found.forEach((x, i) => assert.ok(Math.abs(x - values[i]) < 1e-5 * scale, `${x}`));
      });
    },
  ));
});

Deno.test("preconditioned() is the identity as sigma goes to 0 and ignores x as sigma goes to infinity", () => {
  const model = (x: tf.Tensor4D) => x.mul(3).add(1) as tf.Tensor4D;
  const denoise = preconditioned(model, { kind: "edm", sigmaData: 0.5 });
  const x = tf.tensor4d([0.25, -2], [1, 1, 2, 1]);
  const clean = denoise(x, tf.tensor1d([1e-8])).dataSync();
  assert.ok(Math.abs(clean[0] - 0.25) < 1e-6 && Math.abs(clean[1] + 2) < 1e-6);
  // With cSkip and cIn near 0, D is sigmaData times the network's output at 0
  denoise(x, tf.tensor1d([1e8])).dataSync().forEach((y) => assert.ok(Math.abs(y - 0.5) < 1e-6));
});

Deno.test("preconditioned() scales each sample by its own level", () => {
  const denoise = preconditioned((x) => tf.zerosLike(x), { kind: "edm", sigmaData: 1 });
  const x = tf.ones([3, 1, 2, 1]) as tf.Tensor4D;
  const out = [...denoise(x, tf.tensor1d([0, 1, 3])).dataSync()];
  const want = [1, 1, 0.5, 0.5, 0.1, 0.1]; // 1 / (s^2 + 1)
  out.forEach((y, i) => assert.ok(Math.abs(y - want[i]) < 1e-6));
  assert.deepEqual(perSample(tf.tensor1d([1, 2]), { rank: 3 }).shape, [2, 1, 1]);
});

Deno.test("preconditioned() refuses a sigmaData that is not positive", () => {
  for (const sigmaData of [0, -1, NaN, Infinity]) {
    assert.throws(() => scalingsAt(1, { kind: "edm", sigmaData }), /sigmaData must be a positive/);
  }
});

Deno.test("preconditioned() leaves no tensors behind", () => {
  const denoise = preconditioned((x) => x.mul(2) as tf.Tensor4D, { kind: "edm", sigmaData: 1 });
  const x = tf.ones([1, 2, 2, 1]) as tf.Tensor4D, sigma = tf.tensor1d([1]);
  const before = tf.memory().numTensors;
  for (let i = 0; i < 3; i++) denoise(x, sigma).dispose();
  assert.equal(tf.memory().numTensors, before);
});
