import assert from "node:assert/strict";
import ndarray from "ndarray";
import { encodePng } from "../../lib/io/images.ts";
import { maskedCrc32c, openTensorBoard } from "../../lib/io/tensorboard.ts";
import { findPython, runPython } from "../python.ts";

Deno.test("maskedCrc32c() gives the checksums of known texts", () => {
  // RFC 3720, B.4: 32 bytes of zeros have CRC-32C 0x8a9136aa; masked by hand
  const crc = 0x8a9136aa;
  const masked = ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
  assert.equal(maskedCrc32c(new Uint8Array(32)), masked);
});

const found = await findPython("tensorboard");
if ("missing" in found) console.log(`TensorBoard does not read event files, as ${found.missing}`);

Deno.test({
  name: "openTensorBoard() writes what the real TensorBoard reads, over sessions that overlap",
  ignore: "missing" in found,
  async fn() {
    const dir = await Deno.makeTempDir();
    try {
      const pixels = ndarray(Uint8Array.from({ length: 4 * 6 * 3 }, (_, i) => i), [4, 6, 3]);
      {
        using board = openTensorBoard(dir, { now: () => 1_000_000 });
        board.scalars(1, { "loss/train": 0.5, "lr": 1e-3 });
        board.scalars(2, { "loss/train": 0.25 });
        board.scalars(3, { "loss/train": 9 }); // lost when the run is killed: computed again below
        board.image(2, "samples", await encodePng(pixels));
      }
      {
        using board = openTensorBoard(dir, { step: 3, now: () => 2_000_000 });
        board.scalars(3, { "loss/train": 0.125 });
      }
      const code = `
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1], size_guidance={"images": 0, "scalars": 0, "tensors": 0})
a.Reload()
image = a.Images("samples")[0]
print(json.dumps({
  "loss": [[e.step, e.value] for e in a.Scalars("loss/train")],
  "lr": [e.value for e in a.Scalars("lr")],
  "image": [image.step, image.width, image.height],
}))`;
      const read = JSON.parse(
        await runPython("python" in found ? found.python : "", { code, args: [dir] }),
      );
      assert.deepEqual(read.loss, [[1, 0.5], [2, 0.25], [3, 0.125]]);
      assert.deepEqual(read.lr, [Math.fround(1e-3)]);
      assert.deepEqual(read.image, [2, 6, 4]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
