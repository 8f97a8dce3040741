import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import { cachePath, defaultCacheFolder, readCache, writeCache } from "../../lib/data/cache.ts";

Deno.test("defaultCacheFolder() is where each system keeps caches", () => {
  const at = (os: typeof Deno.build.os, variables: Record<string, string>) =>
    defaultCacheFolder({ os, env: (name) => variables[name] }).replaceAll("\\", "/");
  assert.equal(at("linux", { HOME: "/home/a" }), "/home/a/.cache/hdit");
  assert.equal(at("linux", { HOME: "/home/a", XDG_CACHE_HOME: "/big" }), "/big/hdit");
  assert.equal(at("linux", { HOME: "/home/a", XDG_CACHE_HOME: "big" }), "/home/a/.cache/hdit");
  assert.equal(at("darwin", { HOME: "/Users/a" }), "/Users/a/Library/Caches/hdit");
  assert.equal(at("windows", { LOCALAPPDATA: "C:/a" }), "C:/a/hdit");
  assert.equal(at("linux", {}), "/tmp/hdit");
});

Deno.test("readCache() gives back what writeCache() wrote, and nothing after any change of a byte", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "deep", "a.pixels");
    const data = Uint8Array.from({ length: 100 }, (_, i) => i);
    assert.equal(await readCache(path), undefined);
    assert.equal(await writeCache(path, { head: { size: 5, names: ["ä"] }, data }), true);
    const read = await readCache(path);
    assert.deepEqual(read?.head, { size: 5, names: ["ä"] });
    assert.deepEqual(new Uint8Array(read!.data), data);
    assert.deepEqual([...Deno.readDirSync(join(folder, "deep"))].map((e) => e.name), ["a.pixels"]);

    const whole = await Deno.readFile(path);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const damaged = whole.slice();
          damaged[at] ^= by;
          await Deno.writeFile(path, damaged);
          assert.equal(await readCache(path), undefined);
          await Deno.writeFile(path, whole.subarray(0, at));
          assert.equal(await readCache(path), undefined);
        },
      ),
      { numRuns: 60 },
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cachePath() differs with every part of the key, and has a readable name", async () => {
  const options = { folder: "/cache", name: "Emoji: Food & Drink 64" };
  const paths = await Promise.all([
    { size: 64, version: "1" },
    { size: 32, version: "1" },
    { size: 64, version: "2" },
  ].map((key) => cachePath(key, options)));
  assert.equal(new Set(paths).size, 3);
  assert.match(
    paths[0].replaceAll("\\", "/"),
    /^\/cache\/emoji-food-drink-64-[0-9a-f]{24}\.pixels$/,
  );
});
