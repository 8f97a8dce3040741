/** Norms with shift and gate, cross-attention, learned positions, dot products: what is beside the paper's model E. */
import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { adaNorm, adaNormOutputs, addGated, type NormSpec } from "../../lib/nn/ada_norm.ts";
import { crossAttention, type CrossAttentionParams } from "../../lib/nn/cross_attention.ts";
import { globalAttention } from "../../lib/nn/global_attention.ts";
import { learnedPositions } from "../../lib/nn/learned_positions.ts";
import { selfAttention, type SelfAttentionParams } from "../../lib/nn/self_attention.ts";
import { tokenMerge } from "../../lib/nn/token_merge.ts";
import {
  assertCentralDifferences,
  assertClose,
  assertNoLeak,
  assertSameWithGradients,
  random,
} from "./assert.ts";

await setEngine("cpu");

const times = (x: tf.Tensor, w: tf.Tensor) => {
  const rows = tf.matMul(tf.reshape(x, [-1, x.shape[x.rank - 1]]), w, false, true);
  return tf.reshape(rows, [...x.shape.slice(0, -1), w.shape[0]]);
};

const norms: NormSpec[] = [
  { kind: "ada-rms-norm" },
  { kind: "ada-rms-norm", gate: true },
  { kind: "ada-rms-norm", shift: true, gate: true },
  { kind: "ada-layer-norm" },
  { kind: "ada-layer-norm", gate: true },
  { kind: "ada-layer-norm", shift: false },
];

Deno.test("adaNorm() equals its formula with scale, shift and gate, gradients too", () => {
  for (const norm of norms) {
    const n = adaNormOutputs(norm);
    assertSameWithGradients(
      (x, cond, weight) => {
        const { y, gate } = adaNorm({ linear: { weight } }, x, { cond, norm });
        return addGated(x, { y, gate });
      },
      (x, cond, weight) => {
        const all = tf.reshape(times(cond, weight), [2, 1, n * 8]);
        const parts = Array.from({ length: n }, (_, i) => tf.slice(all, [0, 0, 8 * i], [2, 1, 8]));
        const layer = norm.kind === "ada-layer-norm";
        const { mean } = tf.moments(x, -1, true);
        const z = layer ? tf.sub(x, mean) : x;
        const root = tf.sqrt(tf.add(tf.mean(tf.square(z), -1, true), 1e-6));
        let y = tf.mul(tf.div(z, root), tf.add(parts[0], 1));
        if (norm.shift ?? layer) y = tf.add(y, parts[1]);
        return tf.add(x, norm.gate ? tf.mul(parts[n - 1], y) : y);
      },
      [random([2, 6, 8]), random([2, 5], "cond"), random([n * 8, 5], "weight")],
    );
  }
});

Deno.test("adaNorm() by layer norm is blind to what is added to all channels", () => {
  tf.tidy(() => {
    const x = random([1, 3, 8]), cond = random([1, 2], "cond");
    const p = { linear: { weight: random([16, 2], "weight") } };
    const norm: NormSpec = { kind: "ada-layer-norm" };
    const { y } = adaNorm(p, x, { cond, norm });
    assertClose(adaNorm(p, tf.add(x, 3), { cond, norm }).y, y, { tolerance: 1e-4 }); // x + 3 is rounded
  });
});

Deno.test("selfAttention() with dot products is softmax(q kᵀ / √d) v behind its gate, gradients too", () => {
  const [B, N, C, dHead] = [2, 5, 8, 4], heads = C / dHead;
  const norm: NormSpec = { kind: "ada-layer-norm", gate: true };
  assertSameWithGradients(
    (x, cond, ada, qkv, out) => {
      const p: SelfAttentionParams = {
        norm: { linear: { weight: ada } },
        qkv_proj: { weight: qkv },
        out_proj: { weight: out },
      };
      const pos = tf.zeros([N, 2]);
      const attention = globalAttention();
      const options = { cond, pos, attention, norm, dHead, layer: 0, site: "", rate: 0 };
      return selfAttention(p, x, options);
    },
    (x, cond, ada, qkv, out) => {
      const [scale, shift, gate] = tf.split(tf.reshape(times(cond, ada), [B, 1, 3 * C]), 3, -1);
      const { mean, variance } = tf.moments(x, -1, true);
      const normed = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-6)));
      const y = tf.add(tf.mul(normed, tf.add(scale, 1)), shift);
      const [q, k, v] = tf.split(times(y, qkv), 3, -1)
        .map((z) => tf.transpose(tf.reshape(z, [B, N, heads, dHead]), [0, 2, 1, 3]));
      const P = tf.softmax(tf.div(tf.matMul(q, k, false, true), Math.sqrt(dHead)));
      const merged = tf.reshape(tf.transpose(tf.matMul(P, v), [0, 2, 1, 3]), [B, N, C]);
      return tf.add(x, tf.mul(gate, times(merged, out)));
    },
    [
      random([B, N, C]),
      random([B, 3], "cond"),
      random([3 * C, 3], "ada"),
      random([3 * C, C], "qkv"),
      random([C, C], "out"),
    ],
    { tolerance: 1e-4 }, // the gradient passes the variance of tfjs, which rounds more
  );
});

const [B, N, C, S, D] = [2, 6, 8, 5, 3];
const crossParams = (ada: tf.Tensor, q: tf.Tensor, kv: tf.Tensor): CrossAttentionParams => ({
  scale: tf.tensor([10, 4]),
  norm: { linear: { weight: ada } },
  norm_cond: { scale: random([D], "norm") },
  q_proj: { weight: q },
  kv_proj: { weight: kv },
  out_proj: { weight: random([C, C], "out") },
});
const cross = (x: tf.Tensor, tokens: tf.Tensor, padding?: tf.Tensor) =>
  crossAttention(
    crossParams(random([C, 4], "ada"), random([C, C], "q"), random([2 * C, D], "kv")),
    x,
    { cond: random([B, 4], "cond"), cross: { tokens, padding }, site: "", rate: 0 },
  );

Deno.test("crossAttention() equals its formula, gradients of the sequence too", () => {
  const unit = (z: tf.Tensor, scale: tf.Tensor) => {
    const length = tf.sqrt(tf.add(tf.sum(tf.square(z), -1, true), 1e-6));
    return tf.div(tf.mul(z, tf.reshape(tf.sqrt(scale), [2, 1, 1])), length);
  };
  const rms = (z: tf.Tensor) => tf.div(z, tf.sqrt(tf.add(tf.mean(tf.square(z), -1, true), 1e-6)));
  assertSameWithGradients(
    (x, tokens) => cross(x, tokens),
    (x, tokens) => {
      const p = crossParams(random([C, 4], "ada"), random([C, C], "q"), random([2 * C, D], "kv"));
      const scale = tf.reshape(times(random([B, 4], "cond"), p.norm.linear.weight), [B, 1, C]);
      const heads = (z: tf.Tensor) =>
        tf.transpose(tf.reshape(z, [B, z.shape[1]!, 2, C / 2]), [0, 2, 1, 3]);
      const q = unit(heads(times(tf.mul(rms(x), tf.add(scale, 1)), p.q_proj.weight)), p.scale);
      const [k, v] = tf.split(
        times(tf.mul(rms(tokens), p.norm_cond.scale), p.kv_proj.weight),
        2,
        -1,
      );
      const P = tf.softmax(tf.matMul(q, unit(heads(k), p.scale), false, true));
      const merged = tf.reshape(tf.transpose(tf.matMul(P, heads(v)), [0, 2, 1, 3]), [B, N, C]);
      return tf.add(x, times(merged, p.out_proj.weight));
    },
    [random([B, N, C]), random([B, S, D], "tokens")],
  );
});

Deno.test("crossAttention() does not see padding: no effect and exactly no gradient", () => {
  tf.tidy(() => {
    const x = random([B, N, C]), tokens = random([B, S, D], "tokens");
    const padding = tf.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]);
    const shorter = tf.slice(tokens, [0, 0, 0], [B, 3, D]);
    assertClose(cross(x, tokens, padding), cross(x, shorter));
    const gradient = tf.grad((t: tf.Tensor) => tf.sum(tf.square(cross(x, t, padding))))(tokens);
    const size = tf.sum(tf.abs(gradient), -1).arraySync() as number[][];
    for (const row of size) {
      assert.deepEqual(row.map((v) => v !== 0), [true, true, true, false, false]);
    }
  });
});

Deno.test("crossAttention(), adaNorm() with a gate and a merge by a bottleneck have the gradients of central differences", () => {
  assertCentralDifferences((x, tokens, ada, q, kv) =>
    crossAttention(crossParams(ada, q, kv), x, {
      cond: random([B, 4], "cond"),
      cross: { tokens },
      site: "",
      rate: 0,
    }), [
    random([B, N, C]),
    random([B, S, D], "tokens"),
    random([C, 4], "ada"),
    random([C, C], "q"),
    random([2 * C, D], "kv"),
  ]);
  assertCentralDifferences((x, cond, weight) => {
    const norm: NormSpec = { kind: "ada-layer-norm", gate: true };
    return addGated(x, adaNorm({ linear: { weight } }, x, { cond, norm }));
  }, [random([2, 3, 4]), random([2, 3], "cond"), random([12, 3], "weight")]);
  assertCentralDifferences(
    (x, weight, out) => tokenMerge({ proj: { weight }, out_proj: { weight: out } }, x),
    [random([1, 4, 2, 3]), random([2, 12], "weight"), random([5, 2], "out")],
  );
});

Deno.test("learnedPositions() are the table on its own grid", () => {
  const weight = random([3, 4, 2]);
  assertClose(learnedPositions({ weight }, [3, 4]), weight, { tolerance: 0 });
});

Deno.test("learnedPositions() keep constants everywhere and straight lines within the outer centres", () => {
  tf.tidy(() => {
    const ones = learnedPositions({ weight: tf.ones([3, 5, 2]) }, [7, 4]);
    assertClose(ones, tf.ones([7, 4, 2]), { tolerance: 1e-6 });
    // column x holds x: on a grid of 12 for 4 columns, cell i is at (i + ½) / 3 − ½
    const ramp = tf.tile(tf.reshape(tf.range(0, 4), [1, 4, 1]), [2, 1, 1]) as tf.Tensor;
    const found = learnedPositions({ weight: ramp }, [2, 12]).arraySync() as number[][][];
    for (let i = 0; i < 12; i++) {
      const expected = Math.min(Math.max((i + 0.5) / 3 - 0.5, 0), 3);
      assert.ok(Math.abs(found[1][i][0] - expected) < 1e-6, `cell ${i}: ${found[1][i][0]}`);
    }
  });
});

Deno.test("learnedPositions() have the gradients of central differences on another grid", () => {
  assertCentralDifferences((weight) => learnedPositions({ weight }, [5, 3]), [
    random([2, 4, 3]),
  ]);
});

Deno.test("crossAttention(), adaNorm() and learnedPositions() leave no tensors behind", () => {
  const x = random([B, N, C]), tokens = random([B, S, D], "tokens"), table = random([2, 2, 4]);
  assertNoLeak(() =>
    tf.tidy(() => [
      cross(x, tokens, tf.zeros([B, S])),
      learnedPositions({ weight: table }, [4, 6]),
    ])
  );
});
