import assert from "node:assert/strict";
import fc from "fast-check";
import { armStyles, chartTemplate, DARK, LIGHT } from "../../lib/charts/theme.ts";

const PAPER_ARMS = [
  "base",
  "position-additive",
  "skip-add",
  "skip-concat",
  "attention-shifted-window",
  "attention-global",
];

Deno.test("armStyles() draws the base blue, solid and with circles, whatever it is called", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 12 }), (arms) => {
    const style = armStyles(arms, { base: arms[0] }).get(arms[0]);
    assert.deepEqual(style, { color: "#0072B2", dash: "solid", symbol: "circle" });
  }));
});

Deno.test("armStyles() keeps an arm of the paper's ablations the same in any company and order", () => {
  const all = armStyles(PAPER_ARMS, { base: "base" });
  fc.assert(fc.property(fc.shuffledSubarray(PAPER_ARMS), (arms) => {
    for (const [arm, style] of armStyles(arms, { base: "base" })) {
      assert.deepEqual(style, all.get(arm));
    }
  }));
});

Deno.test("armStyles() tells up to 48 arms apart", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 48 }), (arms) => {
    const styles = [...armStyles(arms, { base: arms[0] }).values()];
    assert.equal(new Set(styles.map((style) => JSON.stringify(style))).size, arms.length);
  }));
});

Deno.test("armStyles() tells the paper's arms apart by dash and by marker alone, for print in black", () => {
  const styles = [...armStyles(PAPER_ARMS, { base: "base" }).values()];
  assert.equal(new Set(styles.map(({ dash }) => dash)).size, PAPER_ARMS.length);
  assert.equal(new Set(styles.map(({ symbol }) => symbol)).size, PAPER_ARMS.length);
});

/** Contrast ratio of two colours (WCAG 2.2, "contrast ratio"). */
function contrast(a: string, b: string): number {
  const luminance = (color: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

Deno.test("chartTemplate() has readable text and visible arms, in light and dark", () => {
  for (const ground of [LIGHT, DARK]) {
    assert.equal(chartTemplate(ground).layout.paper_bgcolor, ground.paper);
    // WCAG 2.2: 4.5 for text; arms carry a marker too, so 2 is enough to see them
    assert.ok(contrast(ground.ink, ground.paper) > 7);
    assert.ok(contrast(ground.muted, ground.paper) > 4.5);
    for (const { color } of armStyles(PAPER_ARMS, { base: "base" }).values()) {
      assert.ok(contrast(color, ground.paper) > 2, `${color} on ${ground.paper}`);
    }
  }
});
