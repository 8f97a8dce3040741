import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import { findCompiler } from "../../tools/setup/binding.ts";
import { checkSha256, download } from "../../tools/setup/download.ts";
import { findWheel, parseIndexPage, readPipSettings } from "../../tools/setup/package_index.ts";
import { downloadWithPip, findPip, pipArguments } from "../../tools/setup/pip.ts";
import { bindingPath, rootFolder } from "../../tools/setup/places.ts";
import {
  removeTensorflow,
  type SetupOptions,
  setUpTensorflow,
} from "../../tools/setup/tensorflow.ts";
import { keptPath, wheelsFor } from "../../tools/setup/wheels.ts";
import { readEntry, zipEntries } from "../../tools/setup/zip.ts";
import { concat, makeWheel, makeZip, ranged, serve, type Served, sha256 } from "./made_wheel.ts";

/** A folder that is removed at the end of the block. */
async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
const reader = (data: Uint8Array<ArrayBuffer>) => (offset: number, length: number) =>
  Promise.resolve(data.slice(offset, offset + length));
const text = (s: string) => new TextEncoder().encode(s);
async function contents(data: Uint8Array<ArrayBuffer>, name: string): Promise<Uint8Array> {
  const entries = await zipEntries(reader(data), data.length);
  const parts: Uint8Array[] = [];
  for await (const part of readEntry(reader(data), entries.find((e) => e.name === name)!)) {
    parts.push(part);
  }
  return concat(parts);
}

// --- zip ---------------------------------------------------------------------------------------

Deno.test("readEntry() gives back what was packed, stored or deflated", async () => {
  const files = fc.uniqueArray(
    fc.record({
      name: fc.stringMatching(/^[a-z]{1,8}(\/[a-zé]{1,8})?$/),
      data: fc.uint8Array({ maxLength: 3000 }),
      stored: fc.boolean(),
    }),
    { selector: ({ name }) => name, minLength: 1, maxLength: 5 },
  );
  await fc.assert(fc.asyncProperty(files, async (files) => {
    const zip = makeZip(files);
    for (const { name, data } of files) assert.deepEqual(await contents(zip, name), concat([data]));
  }));
});

Deno.test("readEntry() reads the directory and the entry, not the rest", async () => {
  const rest = crypto.getRandomValues(new Uint8Array(60_000));
  const zip = makeZip([
    { name: "a", data: concat([rest, rest, rest]), stored: true },
    { name: "b", data: text("small") },
  ]);
  let bytes = 0;
  const read = (offset: number, length: number) => {
    bytes += length;
    return reader(zip)(offset, length);
  };
  const [, b] = await zipEntries(read, zip.length);
  for await (const _ of readEntry(read, b));
  assert.ok(bytes < 70_000, `${bytes} bytes were read of ${zip.length}`);
});

Deno.test("readEntry() refuses a damaged entry before it ends", async () => {
  const zip = makeZip([{ name: "a", data: new Uint8Array(100).fill(1), stored: true }]);
  zip[50] ^= 1;
  await assert.rejects(contents(zip, "a"), { name: "InvalidData", message: /"a" is damaged/ });
});

Deno.test("zipEntries() refuses what is no archive", async () => {
  const data = new Uint8Array(500);
  await assert.rejects(zipEntries(reader(data), data.length), /no directory at its end/);
});

// --- downloads ---------------------------------------------------------------------------------

const payload = crypto.getRandomValues(new Uint8Array(50_000));

Deno.test("download() goes on where a transfer broke off", async () => {
  await using place = await folder();
  await using server = serve((request, n) => {
    if (n > 0) return ranged(payload, request);
    const broken = new ReadableStream({
      async start(controller) {
        controller.enqueue(payload.slice(0, 20_000));
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.close(); // of the length that was promised, only a part
      },
    });
    return new Response(broken, { headers: { "content-length": `${payload.length}` } });
  });
  const target = join(place.path, "file");
  let seen = 0;
  await download(`${server.url}/file`, target, {
    sha256: sha256(payload),
    onProgress: (bytes) => seen = bytes,
  });
  assert.deepEqual(await Deno.readFile(target), payload);
  assert.equal(seen, payload.length);
  assert.equal(server.requests.length, 2);
  assert.match(server.requests[1], /^\/file bytes=\d+-$/);
});

Deno.test("download() takes up a part that an earlier process left, and starts anew where it must", async () => {
  await using place = await folder();
  for (const ranges of [true, false]) {
    await using server = serve((r) => ranges ? ranged(payload, r) : new Response(payload));
    const target = join(place.path, "file");
    await Deno.writeFile(`${target}.part`, payload.slice(0, 30_000));
    await download(`${server.url}/file`, target, { sha256: sha256(payload) });
    assert.deepEqual(await Deno.readFile(target), payload);
    assert.deepEqual(server.requests, ["/file bytes=30000-"]);
  }
});

Deno.test("download() removes a part with the wrong checksum and says both sums", async () => {
  await using place = await folder();
  await using server = serve((request) => ranged(payload, request));
  const target = join(place.path, "file");
  await assert.rejects(
    download(`${server.url}/file`, target, { sha256: "0".repeat(64) }),
    { name: "InvalidData", message: new RegExp(`SHA-256 is ${sha256(payload)}, must be 0{64}`) },
  );
  assert.deepEqual([...Deno.readDirSync(place.path)], []);
});

Deno.test("download() does not ask again where the server refuses, and keeps secrets to itself", async () => {
  await using place = await folder();
  await using server = serve(() => new Response("no", { status: 403 }));
  await assert.rejects(
    download(`${server.url}/file?token=secret`, join(place.path, "file"), { sha256: "" }),
    ({ message }: Error) => /Cannot download file .* 403/.test(message) && !/secret/.test(message),
  );
  assert.equal(server.requests.length, 1);
});

Deno.test("checkSha256() agrees with a sum known from elsewhere", async () => {
  await using place = await folder();
  const path = join(place.path, "abc");
  await Deno.writeTextFile(path, "abc");
  // FIPS 180-2, appendix B.1
  await checkSha256(path, {
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  });
});

// --- package index -----------------------------------------------------------------------------

Deno.test("parseIndexPage() reads HTML with relative addresses, entities and hashes", () => {
  const hash = "ab".repeat(32);
  const page = `<!DOCTYPE html><html><body>
    <a href="../../files/x-1.0-py3-none-any.whl#sha256=${hash}" data-requires-python="&gt;=3.8">x-1.0-py3-none-any.whl</a><br/>
    <A class=z HREF='https://files.example/y-1.0.whl?a=1&amp;b=2'>y-1.0.whl</A>
    <a name="top">nothing</a></body></html>`;
  const base = "https://index.example/simple/x/";
  assert.deepEqual(parseIndexPage(page, { base, contentType: "text/html; charset=utf-8" }), [
    {
      file: "x-1.0-py3-none-any.whl",
      url: "https://index.example/files/x-1.0-py3-none-any.whl",
      sha256: hash,
    },
    { file: "y-1.0.whl", url: "https://files.example/y-1.0.whl?a=1&b=2", sha256: undefined },
  ]);
});

Deno.test("parseIndexPage() reads JSON", () => {
  const page = JSON.stringify({
    files: [{ filename: "x-1.0.whl", url: "x-1.0.whl", hashes: { sha256: "aa" } }],
  });
  assert.deepEqual(
    parseIndexPage(page, {
      base: "https://index.example/simple/x/",
      contentType: "application/vnd.pypi.simple.v1+json",
    }),
    [{ file: "x-1.0.whl", url: "https://index.example/simple/x/x-1.0.whl", sha256: "aa" }],
  );
});

Deno.test("readPipSettings() ranks environment, chosen file, user and system as pip does", async () => {
  const files: Record<string, string> = {
    "/etc/pip.conf": "[global]\nindex-url = https://system.example/simple\ncert=/etc/ca.pem\n",
    "/home/u/.config/pip/pip.conf":
      "# mine\n[global]\nindex_url: https://user.example/simple\n[download]\nextra-index-url =\n    https://a.example/simple\n    https://b.example/simple\n",
    "/chosen.ini": "[global]\nproxy = http://proxy.example:3128\n",
  };
  const env: Record<string, string> = { HOME: "/home/u", PIP_CONFIG_FILE: "/chosen.ini" };
  const settings = () =>
    readPipSettings({
      env: (name) => env[name],
      read: (path) => Promise.resolve(files[path]),
      os: "linux",
    });
  assert.deepEqual(await settings(), {
    indexes: [
      "https://user.example/simple",
      "https://a.example/simple",
      "https://b.example/simple",
    ],
    cert: "/etc/ca.pem",
    proxy: "http://proxy.example:3128",
  });
  env.PIP_INDEX_URL = "https://env.example/simple";
  assert.equal((await settings()).indexes[0], "https://env.example/simple");
  delete env.PIP_INDEX_URL;
  env.PIP_CONFIG_FILE = "/dev/null";
  assert.deepEqual((await settings()).indexes, []);
});

/** An index with one wheel, whose login only its own host may see. */
function indexServer(made: ReturnType<typeof makeWheel>, listed = made.wheel.sha256): Served {
  return serve((request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/simple/tensorflow-cpu/") {
      return new Response(`<a href="/files/w#sha256=${listed}">${made.wheel.file}</a>`, {
        headers: { "content-type": "text/html" },
      });
    }
    return pathname === "/files/w"
      ? ranged(made.data, request)
      : new Response("none", { status: 404 });
  });
}

Deno.test("findWheel() asks the indexes in turn and sends a login to its own host alone", async () => {
  const made = makeWheel();
  await using first = serve(() => new Response("none", { status: 404 }));
  await using second = indexServer(made);
  const indexes = [
    `${first.url}/simple`,
    `${second.url.replace("//", "//me:se%20cret@")}/simple/`,
  ];
  const found = await findWheel(made.wheel, { settings: { indexes } });
  const authorization = `Basic ${btoa("me:se cret")}`;
  assert.deepEqual(found, { url: `${second.url}/files/w`, headers: { authorization } });
  assert.equal(second.headers[0].get("authorization"), authorization);
  assert.equal(first.headers[0].get("authorization"), null);
});

Deno.test("findWheel() says what to configure where there is no index", async () => {
  await assert.rejects(
    findWheel(makeWheel().wheel, { settings: { indexes: [] } }),
    { name: "NotFound", message: /install Python with pip, or .* pip\.conf .* PIP_INDEX_URL/ },
  );
});

Deno.test("findWheel() refuses an index with another checksum, before any download", async () => {
  const made = makeWheel();
  await using server = indexServer(made, "cd".repeat(32));
  await assert.rejects(
    findWheel(made.wheel, { settings: { indexes: [`${server.url}/simple`] } }),
    { name: "InvalidData", message: /another checksum/ },
  );
  assert.equal(server.requests.length, 1);
});

// --- pip, compiler, tables ---------------------------------------------------------------------

Deno.test("pipArguments() names the wheel's own Python and platforms, not those that run pip", () => {
  const [wheel] = wheelsFor({ os: "linux", arch: "x86_64", flavour: "cpu" });
  const args = pipArguments(wheel, "/downloads").join(" ");
  assert.match(
    args,
    /--no-deps .*--python-version 3\.12 --abi cp312 --platform manylinux_2_27_x86_64/,
  );
  assert.match(args, /--dest \/downloads tensorflow-cpu==2\.21\.0$/);
});

Deno.test("downloadWithPip() passes on what pip said", async () => {
  const { wheel } = makeWheel();
  const runIt = () => Promise.resolve({ success: false, stderr: "a\nb\nERROR: no route\n" });
  assert.equal(await findPip(runIt), undefined);
  await assert.rejects(
    downloadWithPip(wheel, { pip: ["pip"], folder: "/nowhere", runIt }),
    { name: "NotFound", message: /as pip failed: a\nb\nERROR: no route$/ },
  );
});

Deno.test("findCompiler() names the packages that bring one", async () => {
  await assert.rejects(
    findCompiler(["", "no-such-compiler"]),
    { name: "NotFound", message: /tried no-such-compiler\).*apt-get install g\+\+.*gcc-c\+\+/ },
  );
});

Deno.test("wheelsFor() knows the machines it can set up", () => {
  for (const arch of ["x86_64", "aarch64"]) {
    assert.equal(wheelsFor({ os: "linux", arch, flavour: "cpu" }).length, 1);
  }
  const cuda = wheelsFor({ os: "linux", arch: "x86_64", flavour: "cuda" });
  assert.equal(new Set(cuda.map(({ sha256 }) => sha256)).size, cuda.length);
  for (const { sha256, file, bytes } of cuda) {
    assert.match(`${sha256} ${file}`, /^[0-9a-f]{64} [\w.]+-[\w.]+-\w+-\w+-[\w.]+_x86_64\.whl$/);
    assert.ok(bytes > 1e6);
  }
  assert.throws(
    () => wheelsFor({ os: "windows", arch: "x86_64", flavour: "cpu" }),
    { name: "NotSupported", message: /must be linux .*it is windows on x86_64/ },
  );
  assert.throws(
    () => wheelsFor({ os: "linux", arch: "aarch64", flavour: "cuda" }),
    { name: "NotSupported" },
  );
});

Deno.test("keptPath() keeps libraries and the headers that the binding includes", () => {
  const kept: Record<string, string | undefined> = {
    "tensorflow/libtensorflow_cc.so.2": "deps/lib/libtensorflow_cc.so.2",
    "tensorflow/include/tensorflow/c/eager/c_api.h": "deps/include/tensorflow/c/eager/c_api.h",
    "tensorflow/include/tsl/platform/ctstring_internal.h":
      "deps/include/tsl/platform/ctstring_internal.h",
    "tensorflow/python/_pywrap_tfe.so": undefined,
    "tensorflow/include/tensorflow/cc/ops/array_ops.h": undefined,
    "nvidia/cudnn/lib/libcudnn.so.9": "deps/nvidia/cudnn/lib/libcudnn.so.9",
    "nvidia/cuda_nvcc/bin/ptxas": "deps/nvidia/cuda_nvcc/bin/ptxas",
    "nvidia/cudnn/include/cudnn.h": undefined,
    "nvidia/cudnn/__init__.py": undefined,
  };
  for (const [name, path] of Object.entries(kept)) assert.equal(keptPath(name), path, name);
});

Deno.test("rootFolder() can be named by the environment", () => {
  const env: Record<string, string> = { HDIT_TENSORFLOW: "/big/disk", HOME: "/home/u" };
  assert.equal(rootFolder((name) => env[name]), "/big/disk");
  delete env.HDIT_TENSORFLOW;
  assert.ok(rootFolder((name) => env[name]).endsWith(join("hdit", "tensorflow")));
});

// --- the whole set-up, small -------------------------------------------------------------------

/** A checkout of its own: a package with sources, headers, and a "compiler" that counts. */
async function smallSetup(base: string, server: Served) {
  const made = makeWheel();
  const at = (...parts: string[]) => join(base, ...parts);
  for (const path of ["package/binding", "headers"]) {
    await Deno.mkdir(at(path), { recursive: true });
  }
  await Deno.writeTextFile(at("package/binding/tfjs_binding.cc"), "// source\n");
  await Deno.writeTextFile(at("package/package.json"), "{}\n");
  const cxx = at("cxx");
  await Deno.writeTextFile(
    cxx,
    `#!/bin/sh\nfor last; do :; done\necho compiled >> "${
      at("compilations")
    }"\necho binding > "$last"\n`,
    { mode: 0o755 },
  );
  const said: string[] = [];
  const options: SetupOptions = {
    flavour: "cpu",
    confirm: () => true,
    say: (line) => said.push(line),
    root: at("cache"),
    package: at("package"),
    headers: at("headers"),
    wheels: [made.wheel],
    source: {
      kind: "index",
      settings: { indexes: [`${server.url}/simple`], cert: undefined, proxy: undefined },
    },
    compiler: () => Promise.resolve({ command: cxx, version: "cxx 1" }),
    check: () => Promise.resolve({ ok: true, gpu: false, tensorflow: "0.0.1" }),
    sink: { kind: "log", write: () => {} },
  };
  const compilations = async () =>
    (await Deno.readTextFile(at("compilations")).catch(() => "")).split("\n").length - 1;
  return { at, options, said, compilations };
}

Deno.test("setUpTensorflow() does it once, mends what is damaged, and goes away again", async () => {
  await using place = await folder();
  await using server = indexServer(makeWheel());
  const { at, options, said, compilations } = await smallSetup(place.path, server);

  assert.equal((await setUpTensorflow({ ...options, dryRun: true })).kind, "planned");
  assert.match(said.at(-1)!, /downloads \d+ MB in 1 file and keeps about 854 MB/);
  assert.equal((await setUpTensorflow({ ...options, confirm: () => false })).kind, "declined");
  assert.equal(server.requests.length, 0);

  assert.equal((await setUpTensorflow(options)).kind, "ready");
  assert.equal(await Deno.readTextFile(bindingPath(at("package"))), "binding\n");
  const library = at("package/deps/lib/libtensorflow_cc.so.2");
  assert.equal((await Deno.readFile(library)).length, 5000);
  assert.equal(server.requests.length, 2);
  // the package's own files are links into a shared cache: added to, never written
  assert.equal(await Deno.readTextFile(at("package/package.json")), "{}\n");

  const again = await setUpTensorflow(options);
  assert.ok(again.kind === "ready" && again.downloaded === 0 && !again.compiled);
  assert.equal(server.requests.length, 2);
  assert.equal(await compilations(), 1);

  // another checkout with another node_modules: only links are made
  await Deno.mkdir(at("other/binding"), { recursive: true });
  await Deno.copyFile(at("package/binding/tfjs_binding.cc"), at("other/binding/tfjs_binding.cc"));
  await setUpTensorflow({ ...options, package: at("other") });
  assert.equal(await compilations(), 1);
  assert.equal(await Deno.readTextFile(bindingPath(at("other"))), "binding\n");

  await Deno.writeFile(library, new Uint8Array(5000)); // same length, other bytes
  await setUpTensorflow(options);
  assert.equal((await Deno.readFile(library))[0], 7);
  await Deno.writeTextFile(at("package/binding/tfjs_binding.cc"), "// a new release\n");
  await setUpTensorflow(options);
  assert.equal(await compilations(), 2);

  const removed = await removeTensorflow({
    root: at("cache"),
    package: at("package"),
    say: () => {},
  });
  assert.ok(removed.bytes > 5000 && removed.unlinked);
  assert.deepEqual([...Deno.readDirSync(at("package"))].map(({ name }) => name).sort(), [
    "binding",
    "package.json",
  ]);
  assert.deepEqual(
    await removeTensorflow({
      root: at("cache"),
      package: at("package"),
      say: () => {},
    }),
    { bytes: 0, unlinked: false },
  );
});

Deno.test("setUpTensorflow() looks for a compiler before it downloads", async () => {
  await using place = await folder();
  await using server = indexServer(makeWheel());
  const { options } = await smallSetup(place.path, server);
  await assert.rejects(
    setUpTensorflow({ ...options, compiler: () => findCompiler(["no-such-compiler"]) }),
    /no C\+\+ compiler was found/,
  );
  assert.equal(server.requests.length, 0);
});

Deno.test("setUpTensorflow() says what the compiler said", async () => {
  await using place = await folder();
  await using server = indexServer(makeWheel());
  const { at, options } = await smallSetup(place.path, server);
  await Deno.writeTextFile(at("cxx"), "#!/bin/sh\necho 'fatal: c_api.h' >&2\nexit 1\n");
  await assert.rejects(setUpTensorflow(options), {
    name: "InvalidData",
    message: /Cannot compile the binding .*:\nfatal: c_api\.h/,
  });
});

Deno.test("setUpTensorflow() uses files that the package's own install script left", async () => {
  await using place = await folder();
  await using server = indexServer(makeWheel());
  const { at, options } = await smallSetup(place.path, server);
  await Deno.mkdir(at("package/lib/napi-v8"), { recursive: true });
  await Deno.writeTextFile(at("package/lib/napi-v8/tfjs_binding.node"), "its own\n");
  assert.equal((await setUpTensorflow(options)).kind, "own");
  assert.equal(server.requests.length, 0);
  await removeTensorflow({ root: at("cache"), package: at("package"), say: () => {} });
  assert.equal(await Deno.readTextFile(bindingPath(at("package"))), "its own\n");
});

Deno.test("setUpTensorflow() reports a check that fails", async () => {
  await using place = await folder();
  await using server = indexServer(makeWheel());
  const { options } = await smallSetup(place.path, server);
  const check = () => Promise.resolve({ ok: false as const, reason: "it was ended by SIGSEGV" });
  await assert.rejects(setUpTensorflow({ ...options, check }), /failed: it was ended by SIGSEGV/);
});
