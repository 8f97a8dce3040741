import assert from "node:assert/strict";
import { parseFeatureSpec } from "../../lib/metrics/open_features.ts";

Deno.test("parseFeatureSpec() takes files with colons in their names, and names what it cannot take", () => {
  assert.deepEqual(parseFeatureSpec("random"), { kind: "random" });
  const weights = "C:\\weights\\inception.pth";
  assert.deepEqual(parseFeatureSpec(`inception:${weights}`), { kind: "inception", weights });
  for (const wrong of ["", "inception", "inception:", "random:x", "clip:vit.pth", ":x"]) {
    assert.throws(
      () => parseFeatureSpec(wrong),
      { message: new RegExp(`random, inception:FILE or dinov2:FILE: they are "${wrong}"`) },
    );
  }
});
