import assert from "node:assert/strict";
import fc from "fast-check";
import { presets } from "../../lib/models/presets.ts";
import { checkSpec, type HditSpec, type LevelSpec } from "../../lib/models/spec.ts";

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
