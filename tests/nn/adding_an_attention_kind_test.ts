import assert from "node:assert/strict";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { join } from "@std/path";

const root = fileURLToPath(new URL("../../", import.meta.url));
const GUIDE = join(root, "docs/adding_an_attention_kind.md");

/** The guide's code by the file that each block names in its first line. */
function blocks(): Map<string, string> {
  const found = readFileSync(GUIDE, "utf8").matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g);
  return new Map(Array.from(found, ([, file, code]) => [file, code]));
}

Deno.test("docs/adding_an_attention_kind.md adds a kind to a copy of the library, type-checked and run", async () => {
  const code = blocks();
  const [kind, line, program] = [...code.keys()];
  assert.equal(line, "lib/nn/attention_kinds.ts");
  assert.equal(code.get(line)!.trim().split("\n").length, 1, "one line in the union");
  const copy = mkdtempSync(join(tmpdir(), "hdit-kind-"));
  try {
    cpSync(join(root, "lib"), join(copy, "lib"), { recursive: true });
    writeFileSync(join(copy, kind), code.get(kind)!);
    appendFileSync(join(copy, line), code.get(line)!);
    writeFileSync(join(copy, program), code.get(program)!);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--check", "--no-lock", "--config", join(root, "deno.json"), program],
      cwd: copy,
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.ok(success, text(stderr));
    assert.match(text(stdout), /grid attention agrees with its rule/);
  } finally {
    rmSync(copy, { recursive: true });
  }
});
