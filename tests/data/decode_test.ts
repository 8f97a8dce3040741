import assert from "node:assert/strict";
import { join } from "@std/path";
import { decodeSquare } from "../../lib/data/decode.ts";
import { findPython, runPython } from "../python.ts";

const found = await findPython("numpy", "PIL");
if ("missing" in found) console.log(`Decoding is not compared with Pillow, as ${found.missing}`);

/** Smooth pictures with some noise, and what torchvision's Resize and CenterCrop make of them, one axis at a time. */
const CODE = `
import sys, os, numpy as np
from PIL import Image
root = sys.argv[1]
rng = np.random.default_rng(3)
for name, (h, w), size in (("wide", (200, 300), 64), ("tall", (321, 77), 32), ("small", (20, 31), 48), ("large", (1500, 2000), 64)):
  y, x = np.mgrid[0:h, 0:w] / max(h, w)
  a = np.stack([128 + 100 * np.sin(9 * x + 5 * c * y) for c in range(3)], -1) + rng.normal(0, 6, (h, w, 3))
  image = Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)); image.save(os.path.join(root, name + ".png"))
  s = size / min(h, w)
  nh, nw = (size, int(size * w / h)) if h <= w else (int(size * h / w), size)
  out = image.resize((nw, h), Image.BICUBIC).resize((nw, nh), Image.BICUBIC)
  top, left = round((nh - size) / 2), round((nw - size) / 2)
  np.asarray(out.crop((left, top, left + size, top + size))).tofile(os.path.join(root, name + ".bin"))
`;

Deno.test({
  name: "decodeSquare() gives Pillow's bytes, and nearly those of pictures above 2 megapixels",
  ignore: "missing" in found,
  async fn() {
    const dir = await Deno.makeTempDir();
    try {
      await runPython("python" in found ? found.python : "", { code: CODE, args: [dir] });
      for (
        const [name, size] of [["wide", 64], ["tall", 32], ["small", 48], ["large", 64]] as const
      ) {
        const pixels = await decodeSquare(await Deno.readFile(join(dir, `${name}.png`)), { size });
        const expected = await Deno.readFile(join(dir, `${name}.bin`));
        assert.equal(pixels.length, expected.length);
        const worst = pixels.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i])), 0);
        assert.ok(worst <= (name === "large" ? 3 : 0), `${name}: ${worst}`);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
