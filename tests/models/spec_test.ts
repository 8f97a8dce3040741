import assert from "node:assert/strict";
import fc from "fast-check";
import { presets } from "../../lib/models/presets.ts";
import { checkSpec, growLevels, type HditSpec, type LevelSpec } from "../../lib/models/spec.ts";

const spec = presets["emoji-64"];
const withLevel = (level: Partial<LevelSpec>): HditSpec => ({
  ...spec,
  levels: [{ ...spec.levels[0], ...level }, spec.levels[1]],
});
const refuses = (spec: HditSpec, size: [number, number], message: RegExp) =>
  assert.throws(() => checkSpec(spec, size), { name: "RangeError", message });

Deno.test("checkSpec() takes any size that patch and merges divide, non-square too", () => {
  const unit = 8; // patch 4, one merge
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 40 }), fc.integer({ min: 4, max: 40 }), (h, w) => {
      checkSpec(spec, [h * unit, w * unit]);
    }),
  );
});

Deno.test("checkSpec() says the nearest valid sizes for one that does not fit", () => {
  refuses(
    spec,
    [100, 64],
    /height must be a multiple of 8.*height is 100, the nearest valid are 96 and 104/,
  );
  refuses(spec, [64, 4], /width is 4, the nearest valid are 8$/);
  refuses(spec, [64, NaN], /width is NaN/);
});

Deno.test("checkSpec() names what does not fit in a level", () => {
  refuses(withLevel({ width: 100 }), [64, 64], /levels\[0\]\.width.*width is 100, dHead is 64/);
  refuses(
    withLevel({ width: 60, attention: { kind: "global", dHead: 20 } }),
    [64, 64],
    /dHead must be a multiple of 8 with rotary positions: dHead is 20/,
  );
  refuses(
    withLevel({ attention: { kind: "shifted-window", dHead: 64, windowSize: 5 } }),
    [64, 64],
    /windowSize is 5, grid is 16 × 16 \(level 0, input 64 × 64\)/,
  );
  refuses(
    withLevel({ attention: { kind: "neighborhood", dHead: 64, kernelSize: 17 } }),
    [64, 64],
    /kernelSize is 17, grid is 16 × 16/,
  );
  refuses(
    withLevel({ attention: { kind: "neighborhood", dHead: 64, kernelSize: 6 } }),
    [64, 64],
    /kernelSize must be odd.*kernelSize is 6/,
  );
  refuses(withLevel({ dropout: 1 }), [64, 64], /dropout must be at least 0 and less than 1/);
  refuses(withLevel({ depth: 1.5 }), [64, 64], /depth must be a whole number >= 0/);
  refuses({ ...spec, levels: [] }, [64, 64], /at least one level/);
});

Deno.test("checkSpec() lets heads of any width pass without rotary positions", () => {
  const spec = withLevel({ width: 60, attention: { kind: "global", dHead: 20 } });
  checkSpec({ ...spec, position: { kind: "sincos" } }, [64, 64]);
});

Deno.test("checkSpec() refuses cross-attention without a sequence, gates that gate nothing, bad positions", () => {
  refuses(
    withLevel({ crossAttention: { dHead: 64 } }),
    [64, 64],
    /crossCondDim must be at least 1 as levels\[0\] has cross-attention: crossCondDim is 0/,
  );
  refuses(
    { ...withLevel({ crossAttention: { dHead: 48 } }), crossCondDim: 4 },
    [64, 64],
    /divisible by the dHead of its crossAttention: width is 64, dHead is 48/,
  );
  refuses({ ...spec, outNorm: { kind: "ada-layer-norm", gate: true } }, [64, 64], /no gate/);
  refuses({ ...spec, patchBottleneck: 0 }, [64, 64], /patchBottleneck is 0/);
  for (const frequencies of [[0, 10], [3, 2], [NaN, 10]] as const) {
    refuses(
      { ...spec, position: { kind: "rope", frequencies } },
      [64, 64],
      /must rise from above 0/,
    );
  }
  refuses({ ...spec, position: { kind: "learned", grid: [16, 0] } }, [64, 64], /grid\[1\] is 0/);
});

Deno.test("checkSpec() refuses class tokens where there are no classes, or where tokens must be a grid", () => {
  const classes: HditSpec = { ...spec, numClasses: 3, mapping: { ...spec.mapping, width: 128 } };
  const tokens = { tokens: 4, from: 1 };
  checkSpec({ ...classes, inContext: tokens }, [64, 64]);
  refuses({ ...spec, inContext: tokens }, [64, 64], /must come with classes: numClasses is 0/);
  refuses({ ...classes, inContext: { ...tokens, from: 4 } }, [64, 64], /from is 4, depth is 4/);
  refuses(
    { ...classes, mapping: spec.mapping, inContext: tokens },
    [64, 64],
    /as wide as the mapping network: width is 128, mapping.width is 256/,
  );
  const [outer, middle] = classes.levels;
  refuses(
    { ...classes, inContext: tokens, levels: [outer, { ...middle, attention: outer.attention }] },
    [64, 64],
    /global attention or none in the middle level.*attention is neighborhood/,
  );
});

Deno.test("growLevels() makes the grids that positions are tied to grow with the input", () => {
  const grown = (position: HditSpec["position"]) =>
    growLevels({ ...spec, position }, { doublings: 2 }).position;
  assert.deepEqual(grown({ kind: "learned", grid: [4, 6] }), { kind: "learned", grid: [16, 24] });
  const pitched = { kind: "rope", positions: "training-pitch" } as const;
  assert.deepEqual(grown({ ...pitched, trainingGrid: [4, 6] }), {
    ...pitched,
    trainingGrid: [16, 24],
  });
  assert.deepEqual(grown({ kind: "rope" }), { kind: "rope" });
});

Deno.test("checkSpec() takes sound and video, and names their axes", () => {
  const video: HditSpec = { ...spec, patchSize: [1, 4, 4], position: { kind: "none" } };
  checkSpec(video, [14, 64, 64]);
  const of = (size: number[]) => () => checkSpec(video, size);
  assert.throws(of([64, 64]), /as many sides as patches have: patch is 1 × 4 × 4, size is 64 × 64/);
  assert.throws(of([15, 64, 64]), /depth must be a multiple of 2.*depth is 15/);
  assert.throws(of([4, 64, 64]), /kernelSize is 7, grid is 4 × 16 × 16/);
  const sound: HditSpec = { ...spec, patchSize: [16] };
  checkSpec(sound, [16 * 64]);
  assert.throws(() => checkSpec(sound, [100]), /length must be a multiple of 32.*length is 100/);
  assert.throws(
    () => checkSpec({ ...spec, patchSize: [1, 2, 4] }, [16, 64, 64]),
    /dHead must be a multiple of 12 with rotary positions: dHead is 64/,
  );
  assert.throws(() => checkSpec({ ...spec, patchSize: [] }, []), /1 to 3 sides.*length is 0/);
});
