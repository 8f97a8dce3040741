import assert from "node:assert/strict";
import { join } from "@std/path";
import { unpackTar } from "modern-tar";
import { type ShardSample, writeTarShards } from "../../lib/io/tar_shards.ts";
import { findPython, runPython } from "../python.ts";
import { inFolder } from "../folder.ts";

const python = await findPython("tarfile");
const missing = "missing" in python;
if (missing) console.log(`tar_shards_test: ignored, ${python.missing}`);

const bytes = (text: string) => new TextEncoder().encode(text);
async function* made(n: number): AsyncGenerator<ShardSample> {
  for (let i = 0; i < n; i++) {
    const key = String(i).padStart(6, "0");
    yield { key, files: { png: new Uint8Array(700 * i + 1).fill(i), cls: bytes(`${i % 3}`) } };
  }
}
const namesIn = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

Deno.test("writeTarShards() cuts samples into shards, in order, whole, the same bytes each time", () =>
  inFolder(async (dir) => {
    const out = join(dir, "deep", "shards");
    assert.equal(await writeTarShards(out, made(7), { perShard: 3 }), 3);
    const files = ["samples-000000.tar", "samples-000001.tar", "samples-000002.tar"];
    assert.deepEqual(namesIn(out), files);
    const entries = [];
    for (const file of files) {
      entries.push(...await unpackTar(await Deno.readFile(join(out, file))));
    }
    assert.deepEqual(
      entries.map(({ header }) => header.name),
      Array.from({ length: 7 }, (_, i) => [`00000${i}.png`, `00000${i}.cls`]).flat(),
    );
    assert.deepEqual(entries[12].data, new Uint8Array(4201).fill(6));
    const again = join(dir, "again");
    await writeTarShards(again, made(7), { perShard: 3 });
    for (const file of files) {
      assert.deepEqual(
        await Deno.readFile(join(again, file)),
        await Deno.readFile(join(out, file)),
      );
    }
  }));

Deno.test("writeTarShards() leaves nothing behind where it fails, and touches no full folder", () =>
  inFolder(async (dir) => {
    const out = join(dir, "shards");
    async function* failing() {
      yield* made(2);
      throw new RangeError("No more");
    }
    await assert.rejects(writeTarShards(out, failing(), { perShard: 1 }), /No more/);
    async function* dotted() {
      yield { key: "a.b", files: {} };
      await Promise.resolve();
    }
    await assert.rejects(writeTarShards(out, dotted()), /key is a\.b/);
    assert.deepEqual(namesIn(dir), []);
    await Deno.mkdir(out);
    await writeTarShards(out, made(1)); // into an empty one
    await assert.rejects(writeTarShards(out, made(1)), /it holds samples-000000\.tar/);
  }));

Deno.test({
  name: "writeTarShards() is read by Python's tarfile",
  ignore: missing,
  fn: () =>
    inFolder(async (dir) => {
      const out = join(dir, "shards");
      await writeTarShards(out, made(5));
      const code = `
import sys, tarfile
for member in (tar := tarfile.open(sys.argv[1])):
    data = tar.extractfile(member).read()
    print(member.name, len(data), data[-1], int(member.mtime), member.isreg(), oct(member.mode))`;
      const printed = await runPython((python as { python: string }).python, {
        code,
        args: [join(out, "samples-000000.tar")],
      });
      const lines = printed.trim().split("\n");
      assert.equal(lines.length, 10);
      assert.equal(lines[8], "000004.png 2801 4 0 True 0o644");
      assert.equal(lines[9], `000004.cls 1 ${"1".charCodeAt(0)} 0 True 0o644`);
    }),
});
