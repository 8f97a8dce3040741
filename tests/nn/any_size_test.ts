/** What is computed by operations for any size against the tables for one size. */
import assert from "node:assert/strict";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { setEngine } from "../../lib/engine/engine.ts";
import { anySizeMultiples } from "../../lib/models/any_size.ts";
import { presets } from "../../lib/models/presets.ts";
import type { HditSpec } from "../../lib/models/spec.ts";
import {
  anySizeLearnedPositions,
  anySizePositions,
  anySizeSincosPositions,
} from "../../lib/nn/any_size_positions.ts";
import * as kinds from "../../lib/nn/attention_kinds.ts";
import { attentionKind, type AttentionSpec } from "../../lib/nn/attention_spec.ts";
import { axialPositions, positionsAtPitch } from "../../lib/nn/axial_positions.ts";
import { learnedPositions } from "../../lib/nn/learned_positions.ts";
import { sincosPositions } from "../../lib/nn/sincos_positions.ts";
import { assertClose, random } from "./assert.ts";

await setEngine("cpu");

const dHead = 4;
/** Grids of one to three axes with sides that are multiples of a number. */
const grids = (multiple: number, most = 12) =>
  fc.array(fc.integer({ min: 1, max: Math.ceil(most / multiple) }), { minLength: 1, maxLength: 3 })
    .map((sides) => sides.map((side) => side * multiple));
const odd = fc.constantFrom(1, 3, 5, 7);

Deno.test("anySize attention of every kind is that of its tables, on one to three axes", () => {
  const specs = fc.oneof(
    fc.constant<AttentionSpec>({ kind: "global", dHead }),
    fc.constant<AttentionSpec>({ kind: "axial", dHead }),
    fc.constant<AttentionSpec>({ kind: "none" }),
    odd.map((kernelSize): AttentionSpec => ({ kind: "sliding-window", dHead, kernelSize })),
    fc.constantFrom(1, 2, 4).map((windowSize): AttentionSpec => ({
      kind: "shifted-window",
      dHead,
      windowSize,
    })),
    fc.tuple(odd, fc.constantFrom(1, 2, 3)).map(([kernelSize, dilation]): AttentionSpec => ({
      kind: "neighborhood",
      dHead,
      kernelSize,
      dilation,
    })),
  );
  const cases = fc.tuple(specs, fc.constantFrom(1, 2, 4), fc.integer({ min: 0, max: 1 }))
    .chain(([spec, coarsening, layer]) => {
      const { multipleOf } = attentionKind(spec).anySize!;
      const multiple = (multipleOf?.(spec) ?? 1) * coarsening;
      return grids(multiple).map((grid) => ({ spec, layer, multiple, grid }));
    });
  const seen = new Set<string>();
  fc.assert(
    fc.property(cases, ({ spec, layer, multiple, grid }) => {
      try {
        attentionKind(spec).check(spec, grid);
      } catch {
        return; // a kernel larger than the grid
      }
      seen.add(spec.kind);
      tf.tidy(() => {
        const tokens = grid.reduce((a, b) => a * b, 1), heads = 2;
        const [q, k, v] = ["q", "k", "v"].map((name) => random([1, tokens, heads, 3], name));
        const kind = attentionKind(spec);
        const multiples = grid.map(() => multiple);
        assertClose(
          kind.anySize!.attention(spec, { grid, heads, multiples }).attend(q, k, v, layer),
          kind.attention(spec, { grid, heads }).attend(q, k, v, layer),
        );
      });
    }),
    { numRuns: 80 },
  );
  assert.deepEqual([...seen].sort(), Object.values(kinds).map(({ kind }) => kind).sort());
});

Deno.test("anySize positions are those of the tables", () => {
  fc.assert(
    fc.property(grids(1), fc.integer({ min: 1, max: 9 }), (grid, side) => {
      tf.tidy(() => {
        const tokens = grid.reduce((a, b) => a * b, 1), axes = grid.length;
        const table = (data: Float32Array, n: number) => tf.tensor(data, [tokens, n]);
        assertClose(anySizePositions(grid), table(axialPositions(grid).data, axes));
        const trainingGrid = grid.map((_, axis) => side + axis);
        assertClose(
          anySizePositions(grid, { trainingGrid }),
          table(positionsAtPitch(grid, { trainingGrid }).data, axes),
        );
        const width = 4 * axes;
        assertClose(
          anySizeSincosPositions({ grid, width }),
          table(sincosPositions({ grid, width }), width),
        );
        const weight = random([...trainingGrid, 3]);
        assertClose(anySizeLearnedPositions(weight, grid), learnedPositions({ weight }, grid));
      });
    }),
    { numRuns: 40 },
  );
});

Deno.test("anySizeMultiples() lets every level's tokens be cut as its kind asks", () => {
  const [outer, middle] = presets["emoji-64"].levels; // patch 4
  const of = (outside: AttentionSpec, inside: AttentionSpec, patchSize = [4, 4]) => {
    const levels = [{ ...outer, attention: outside }, { ...middle, attention: inside }];
    const spec: HditSpec = { ...presets["emoji-64"], patchSize, levels };
    return anySizeMultiples(spec);
  };
  const windows = (windowSize: number): AttentionSpec => ({
    kind: "shifted-window",
    dHead: 64,
    windowSize,
  });
  const dilated: AttentionSpec = { kind: "neighborhood", dHead: 64, kernelSize: 3, dilation: 3 };
  const none: AttentionSpec = { kind: "none" };
  assert.deepEqual(of(none, none), [8, 8]);
  assert.deepEqual(of(windows(8), none), [32, 32]); // 8 tokens of 4 pixels
  assert.deepEqual(of(none, windows(8)), [64, 64]);
  assert.deepEqual(of(windows(3), none, [4, 2]), [24, 12]); // and a merge
  assert.deepEqual(of(windows(4), dilated), [48, 48]);
});
