import assert from "node:assert/strict";
import { presetNames, resolveOptions } from "../../experiments/config.ts";
import { planArms } from "../../experiments/plan.ts";

Deno.test("resolveOptions() gives every preset arms that fit their sizes", () => {
  for (const preset of presetNames) {
    const data = preset === "imagenet-128" ? "some/folder" : undefined;
    const { ablation } = resolveOptions({ preset, ...(data && { data }) });
    const arms = planArms(ablation, { numClasses: 0 });
    assert.equal(arms[0].name, "base");
    assert.ok(arms.length >= 6, preset);
  }
});

Deno.test("resolveOptions() takes fifteen minutes of the preset emoji unless told otherwise", () => {
  const { ablation, budget } = resolveOptions({});
  assert.equal(ablation.preset, "emoji");
  assert.deepEqual(budget, { minutes: 15 });
  assert.deepEqual(ablation.axes, ["position", "skip", "attention", "resolution"]);
});

Deno.test("resolveOptions() names the nearest key of one it does not know", () => {
  assert.throws(() => resolveOptions({ axis: ["skip"] } as never), {
    name: "TypeError",
    message: /axis is not a known key: did you mean "axes"\?/,
  });
});

Deno.test("resolveOptions() refuses minutes and images together, and a preset's missing axis", () => {
  assert.throws(() => resolveOptions({ minutes: 1, images: 8 }), /exclude each other/);
  assert.throws(
    () => resolveOptions({ axes: ["backbone"] }),
    /no arm on it: its axes are position/,
  );
});

Deno.test("resolveOptions() asks for ImageNet's folder before anything else", () => {
  assert.throws(() => resolveOptions({ preset: "imagenet-128" }), /name the folder/);
});

Deno.test("planArms() says which arm does not fit a size", () => {
  const { ablation } = resolveOptions({ size: 40, axes: ["attention"] });
  assert.throws(() => planArms(ablation, { numClasses: 0 }), {
    name: "RangeError",
    message: /windowSize.*arm attention-shifted-window/,
  });
});

Deno.test("planArms() evaluates position arms alone at larger sizes, at the nearest that fit", () => {
  const { ablation } = resolveOptions({ size: 72, axes: ["skip", "resolution"] });
  const sizes = planArms(ablation, { numClasses: 0 })
    .map(({ name, extrapolate }) => [name, extrapolate.map(({ size }) => size)]);
  assert.deepEqual(sizes, [
    ["base", [112, 144]], // 1.5 times is 108; patch 4 and one merge divide 112
    ["position-additive", [112, 144]],
    ["skip-add", []],
    ["skip-concat", []],
  ]);
});
