import assert from "node:assert/strict";
import fc from "fast-check";
import { figureMeta, plotlyText, wrapLabel } from "../../lib/charts/figure.ts";
import { placeLabels } from "../../lib/charts/labels.ts";

const PLOT = { width: 640, height: 350 };

Deno.test("placeLabels() keeps labels in the plot, off each other and off the points", () => {
  const point = fc.record({
    x: fc.integer({ min: 40, max: PLOT.width - 40 }),
    y: fc.integer({ min: 40, max: PLOT.height - 40 }),
    width: fc.constant(90),
    height: fc.constant(15),
  });
  fc.assert(fc.property(fc.array(point, { minLength: 1, maxLength: 6 }), (points) => {
    const boxes = placeLabels(points, PLOT).map(({ dx, dy }, i) => ({
      left: points[i].x + dx - 45,
      right: points[i].x + dx + 45,
      top: points[i].y + dy - 7.5,
      bottom: points[i].y + dy + 7.5,
    }));
    boxes.forEach((a, i) => {
      assert.ok(a.left >= 0 && a.right <= PLOT.width && a.top >= 0 && a.bottom <= PLOT.height);
      for (const { x, y } of points) {
        assert.ok(!(x > a.left && x < a.right && y > a.top && y < a.bottom));
      }
      for (const b of boxes.slice(i + 1)) {
        const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top ||
          b.bottom <= a.top;
        assert.ok(apart);
      }
    });
  }));
});

Deno.test("wrapLabel() breaks between words only, and loses none of a short title", () => {
  fc.assert(fc.property(
    fc.array(fc.stringMatching(/^[a-z<&]{1,8}$/), { minLength: 1, maxLength: 6 }),
    (words) => {
      const lines = wrapLabel(words.join(" "), { width: 20, lines: 9 }).split("<br>");
      assert.equal(lines.join(" "), plotlyText(words.join(" ")));
    },
  ));
});

Deno.test("wrapLabel() cuts what is too long, with an ellipsis", () => {
  assert.equal(wrapLabel("one two three", { width: 4, lines: 2 }), "one<br>two …");
  assert.equal(wrapLabel("x".repeat(50), { width: 10 }), "x".repeat(11) + "…");
});

Deno.test("figureMeta() refuses a figure without a name", () => {
  assert.throws(() => figureMeta({ data: [], layout: {} }), { name: "TypeError" });
});
