import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";

const root = fromFileUrl(new URL("../../", import.meta.url));

async function parity(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(root, "tools/parity.ts"), ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("deno task parity exits with 0 only where every case is there and right", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const module = join(dir, "module");
    const file = (name: string) => join(module, name);
    await Deno.mkdir(module);
    for (const name of ["linear_geglu.json", "linear_geglu.safetensors"]) {
      await Deno.copyFile(join(root, "tests/fixtures/module", name), file(name));
    }
    const good = await parity("--fixtures", dir);
    assert.equal(good.code, 0, good.text);
    assert.match(good.text, /module\/linear_geglu\[0\] .* ok.*\n.*\n2 cases on onnxruntime: 2 ok/);

    const json = JSON.parse(await Deno.readTextFile(file("linear_geglu.json")));
    const strict = { ...json, tolerance: { ...json.tolerance, value: 1e-12 } };
    await Deno.writeTextFile(file("linear_geglu.json"), JSON.stringify(strict));
    const failing = await parity("--fixtures", dir);
    assert.equal(failing.code, 1, failing.text);
    assert.match(failing.text, /module\/linear_geglu\[0\] .* FAIL/);

    await Deno.writeTextFile(file("linear_geglu.json"), JSON.stringify(json));
    await Deno.writeTextFile(file("something_new.json"), JSON.stringify({ cases: [{}] }));
    const missing = await parity("--fixtures", dir);
    assert.equal(missing.code, 1, missing.text);
    assert.match(missing.text, /something_new\[0\] +missing[^]*2 ok, 0 failed, 1 missing/);
    assert.equal((await parity("--fixtures", dir, "--allow-missing")).code, 0);

    const nothing = await parity("--fixtures", join(dir, "nowhere"));
    assert.equal(nothing.code, 1);
    assert.match(nothing.text, /the folder must exist/);
    assert.equal((await parity()).code, 2);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
