import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import type { Dataset } from "../../lib/data/dataset.ts";
import { detectDataSource } from "../../lib/data/detect.ts";
import { openDataset } from "../../lib/data/open_dataset.ts";
import { findPython, runPython } from "../python.ts";

const found = await findPython("numpy", "PIL", "pyarrow");
if ("missing" in found) console.log(`Data sets are not written by Python, as ${found.missing}`);

/** Ten pictures of 8 × 8 (32 × 32 for CIFAR) in two classes by numpy, Pillow, tarfile and zipfile, in every format. */
const WRITE = `
import sys, os, io, json, gzip, struct, tarfile, zipfile
import numpy as np
from PIL import Image
root = sys.argv[1]
n = 10
labels = np.arange(n) % 2
grey = np.stack([np.full((8, 8), 20 * i, np.uint8) for i in range(n)])
rgb = np.stack([np.full((8, 8, 3), (20 * i, 100, 7), np.uint8) for i in range(n)])
def png(a):
  b = io.BytesIO(); Image.fromarray(a).save(b, "PNG"); return b.getvalue()
def folder(name):
  p = os.path.join(root, name); os.makedirs(p); return p
# CIFAR-10
p = folder("cifar")
for name, part in (("data_batch_1.bin", range(0, 8)), ("test_batch.bin", range(8, 10))):
  with open(os.path.join(p, name), "wb") as f:
    for i in part:
      f.write(bytes([labels[i]]))
      f.write(np.stack([np.full((32, 32), v, np.uint8) for v in (20 * i, 100, 7)]).tobytes())
open(os.path.join(p, "batches.meta.txt"), "w").write("cat\\ndog\\n\\n")
# MNIST, one side gzipped
p = folder("mnist")
for side, part, opener, end in (("train", slice(0, 8), open, ""), ("t10k", slice(8, 10), gzip.open, ".gz")):
  with opener(os.path.join(p, side + "-images-idx3-ubyte" + end), "wb") as f:
    f.write(struct.pack(">IIII", 0x803, len(grey[part]), 8, 8) + grey[part].tobytes())
  with opener(os.path.join(p, side + "-labels-idx1-ubyte" + end), "wb") as f:
    f.write(struct.pack(">II", 0x801, len(grey[part])) + labels[part].astype(np.uint8).tobytes())
# NumPy
np.savez(os.path.join(root, "plain.npz"), rgb, labels)
np.savez_compressed(os.path.join(root, "grey.npz"), images=grey)
# EDM / StyleGAN
with zipfile.ZipFile(os.path.join(root, "edm.zip"), "w") as z:
  for i in range(n): z.writestr("00000/img%08d.png" % i, png(rgb[i]))
  z.writestr("dataset.json", json.dumps({"labels": [["00000/img%08d.png" % i, int(labels[i])] for i in range(n)]}))
with zipfile.ZipFile(os.path.join(root, "classes.zip"), "w", zipfile.ZIP_DEFLATED) as z:
  for i in range(n): z.writestr("pets/%s/%d.png" % ("cats" if labels[i] == 0 else "dogs", i), png(rgb[i]))
# WebDataset, labels in .cls and in .json
p = folder("shards")
for k in range(2):
  with tarfile.open(os.path.join(p, "%03d.tar" % k), "w") as t:
    for i in range(5 * k, 5 * k + 5):
      side = ("cls", str(labels[i]).encode()) if k == 0 else ("json", json.dumps({"label": int(labels[i])}).encode())
      for ending, data in (("png", png(rgb[i])), side, ("txt", b"a picture")):
        info = tarfile.TarInfo("%05d.%s" % (i, ending)); info.size = len(data)
        t.addfile(info, io.BytesIO(data))
# Parquet
import pyarrow as pa, pyarrow.parquet as pq
p = folder("parquet")
meta = {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}).encode()}
image = pa.array([{"bytes": png(a), "path": "x.png"} for a in rgb], type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
table = pa.table({"image": image, "label": pa.array(labels, type=pa.int64())}).replace_schema_metadata(meta)
pq.write_table(table.slice(0, 8), os.path.join(p, "train-00000-of-00001.parquet"), compression="snappy", row_group_size=3)
pq.write_table(table.slice(8, 2), os.path.join(p, "test-00000-of-00001.parquet"), compression="zstd")
`;

async function written(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await runPython("python" in found ? found.python : "", { code: WRITE, args: [dir] });
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** First red (or grey) byte and label of all pictures of both sides, by the byte. */
function contents({ train, test, channels }: Dataset, size: number): [number, number][] {
  return [train, test].flatMap((split) =>
    Array.from({ length: split.length }, (_, i): [number, number] => {
      const { data } = split.image(i, { size, seed: 0, counter: 0 });
      assert.equal(data.length, size * size * channels);
      return [Math.round((data[0] + 1) * 127.5), split.label(i)];
    })
  ).sort(([a], [b]) => a - b);
}

const expected = Array.from({ length: 10 }, (_, i): [number, number] => [20 * i, i % 2]);

Deno.test({
  name: "openDataset() reads what Python writes, in every format, from its path alone",
  ignore: "missing" in found,
  async fn() {
    await written(async (dir) => {
      const cacheFolder = join(dir, "cache");
      const cases = [
        { path: "cifar", kind: "cifar", size: 32, channels: 3, classes: ["cat", "dog"], test: 2 },
        { path: "mnist", kind: "idx", size: 8, channels: 1, classes: ["0", "1"], test: 2 },
        { path: "plain.npz", kind: "npz", size: 8, channels: 3, classes: ["0", "1"] },
        { path: "grey.npz", kind: "npz", size: 8, channels: 1, classes: [] },
        { path: "edm.zip", kind: "zip", size: 8, channels: 3, classes: ["0", "1"] },
        { path: "classes.zip", kind: "zip", size: 8, channels: 3, classes: ["cats", "dogs"] },
        {
          path: "parquet",
          kind: "parquet",
          size: 8,
          channels: 3,
          classes: ["cat", "dog"],
          test: 2,
        },
        { path: "shards", kind: "webdataset", size: 8, channels: 3, classes: ["0", "1"] },
        {
          path: "shards/{000..001}.tar",
          kind: "webdataset",
          size: 8,
          channels: 3,
          classes: ["0", "1"],
        },
      ];
      for (const { path, kind, size, channels, classes, test } of cases) {
        const source = detectDataSource(join(dir, path));
        assert.equal(source.kind, kind, path);
        const dataset = await openDataset(source, { size, cacheFolder });
        assert.equal(dataset.channels, channels, path);
        assert.deepEqual(dataset.classes, classes, path);
        assert.equal(dataset.train.length + dataset.test.length, 10, path);
        if (test) assert.equal(dataset.test.length, test, path);
        const wanted = classes.length > 0 ? expected : expected.map(([byte]) => [byte, 0]);
        assert.deepEqual(contents(dataset, size), wanted, path);
      }
    });
  },
});

Deno.test({
  name: "openDataset() names what is damaged, and never takes it for pictures",
  ignore: "missing" in found,
  async fn() {
    await written(async (dir) => {
      const cacheFolder = join(dir, "cache");
      const files = [
        "cifar/data_batch_1.bin",
        "mnist/train-images-idx3-ubyte",
        "mnist/t10k-labels-idx1-ubyte.gz",
        "plain.npz",
        "edm.zip",
        "shards/000.tar",
      ];
      const whole = new Map(files.map((file) => [file, Deno.readFileSync(join(dir, file))]));
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...files),
          fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
          fc.option(fc.integer({ min: 1, max: 255 })),
          async (file, where, flip) => {
            const bytes = whole.get(file)!, at = Math.floor(where * bytes.length);
            const damaged = flip === null ? bytes.slice(0, at) : bytes.slice();
            if (flip !== null) damaged[at] ^= flip;
            Deno.writeFileSync(join(dir, file), damaged);
            const path = file.includes("/") ? join(dir, file.split("/")[0]) : join(dir, file);
            try {
              // an error that says so, or a set whose pictures that cannot be read are named
              await openDataset(detectDataSource(path), { size: 8, cacheFolder });
            } catch (error) {
              assert.ok(error instanceof RangeError || error instanceof TypeError, `${error}`);
              assert.match(error.message, /^Cannot /);
            } finally {
              Deno.writeFileSync(join(dir, file), bytes);
            }
          },
        ),
        { numRuns: 60, seed: 5 },
      );
    });
  },
});

Deno.test("detectDataSource() says what it looked for", async () => {
  const dir = await Deno.makeTempDir();
  try {
    assert.throws(() => detectDataSource(join(dir, "nothing")), /there is nothing there/);
    assert.throws(() => detectDataSource(dir), /holds neither pictures nor/);
    await Deno.writeTextFile(join(dir, "notes.txt"), "");
    assert.throws(
      () => detectDataSource(join(dir, "notes.txt")),
      /^RangeError: Cannot open the data/,
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
