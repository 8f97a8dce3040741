import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";
import fc from "fast-check";
import sharp from "sharp";
import { hditModel } from "../../lib/diffusion/diffusion_model.ts";
import { imageSampler } from "../../lib/diffusion/sample.ts";
import { setEngine } from "../../lib/engine/engine.ts";
import { decodeImage } from "../../lib/io/images.ts";
import { saveInferenceCheckpoint } from "../../lib/io/k_diffusion_checkpoint.ts";
import { presets } from "../../lib/models/presets.ts";
import { openTraining } from "../../lib/training/run.ts";
import { openModel } from "../../tools/export/trained_model.ts";
import { classesOf, parseClasses } from "../../tools/sample/classes.ts";
import { drawMissing, missingSamples } from "../../tools/sample/draw.ts";
import { fingerprint } from "../../tools/sample/fingerprint.ts";
import { checkOutputs, writeSamplesNpz, writeShards } from "../../tools/sample/outputs.ts";
import { type DrawingFlags, planSamples, type Source } from "../../tools/sample/plan.ts";
import { defaultFolder, openStore } from "../../tools/sample/store.ts";
import { encodeTrajectory, trajectoryOf } from "../../tools/sample/trajectory.ts";
import { livelyParams } from "../io/lively_params.ts";
import { findPython, runPython } from "../python.ts";
import { inFolder } from "../folder.ts";

await setEngine("onnxruntime");

const found = await findPython("numpy", "PIL", "tarfile");
const python = "python" in found ? found.python : "";
if ("missing" in found) console.log(`sample_test: parts ignored, ${found.missing}`);

const size = [16, 16] as [number, number];
const names = ["cats", "dogs", "owls"];
const spec = { ...presets.smoke, numClasses: names.length };
const model = hditModel(spec), params = livelyParams(model);
const trained = {
  spec,
  params,
  size,
  prediction: "edm" as const,
  sigmaData: 0.5,
  sigmaMin: 0.02,
  sigmaMax: 80,
  classNames: names,
  sampling: {},
  source: "a model of the test",
};
const source: Source = { ...trained, fingerprint: fingerprint(trained) };
const plain: Source = { ...source, spec: { ...spec, numClasses: 0 }, classNames: [] };
const engine = "onnxruntime";
const sampler = imageSampler(model);
const drawing = { sampler, params, channels: 3 };

const plan = (flags: DrawingFlags, of = source, guide?: Source) =>
  planSamples({ model: of, guide, engine }, flags);
const open = (dir: string, { settings }: ReturnType<typeof plan>) =>
  openStore(dir, { settings, about: {}, classes: classesOf(source) });

const namesIn = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

Deno.test("parseClasses() takes names, numbers and none, names first", () => {
  const classes = { names, numClasses: 3 };
  assert.deepEqual(parseClasses(["owls", "0", "none"], classes), [2, 0, 3]);
  assert.deepEqual(parseClasses(["1"], { names: ["1", "0"], numClasses: 2 }), [0]);
  assert.throws(() => parseClasses(["owl"], classes), /did you mean owls\?/);
  assert.throws(() => parseClasses(["zebras"], classes), /there are cats, dogs, owls/);
  assert.throws(() => parseClasses(["3"], classes), /classes are 0 to 2, or none/);
  assert.throws(() => parseClasses(["cats"], { names: [], numClasses: 3 }), /does not name/);
  assert.throws(() => parseClasses(["0"], { names: [], numClasses: 0 }), /unconditional/);
});

Deno.test("planSamples() takes what is asked for, else the run's settings, else the paper's", () => {
  const { settings, samples, batchSize, options } = plan({
    n: 4,
    seed: 7,
    classes: ["dogs", "none"],
  });
  assert.deepEqual(samples, [
    { seed: 7, label: 1 },
    { seed: 8, label: 3 },
    { seed: 9, label: 1 },
    { seed: 10, label: 3 },
  ]);
  assert.deepEqual(settings, {
    format: "hdit-samples-1",
    model: source.fingerprint,
    size,
    sampler: { kind: "dpmpp-3m-sde" },
    schedule: { kind: "karras", steps: 50, sigmaMin: 0.02, sigmaMax: 80, shift: 1 },
    guidance: null,
    noise: "independent",
    engine,
  });
  assert.deepEqual([batchSize, options.sigmas!.length], [16, 51]);
  const sampling = {
    sampler: { kind: "dpmpp-2m-sde", eta: 0 },
    steps: 9,
    guidanceScale: 1.5,
  } as const;
  const own = plan({ shift: 2 }, { ...source, sampling });
  assert.deepEqual(own.settings.sampler, sampling.sampler);
  assert.deepEqual([own.settings.schedule.steps, own.settings.noise], [9, null]);
  assert.deepEqual(own.settings.guidance, {
    scale: 1.5,
    above: 0,
    upTo: null,
    rescale: 0,
    guide: null,
  });
  assert.equal(own.options.sigmas![0], 160);
  assert.equal(plan({ sampler: "dpm-adaptive" }).batchSize, 1);
  assert.deepEqual(plan({ seeds: [5, 3] }, plain).samples, [{ seed: 5 }, { seed: 3 }]);
});

Deno.test("planSamples() refuses what cannot be drawn, before any work", () => {
  const refused = (flags: DrawingFlags, message: RegExp, of = source, guide?: Source) =>
    assert.throws(() => plan(flags, of, guide), message);
  refused({ n: 3, seeds: [1, 2] }, /--seeds has 2, --n is 3/);
  refused({ seed: 1, seeds: [1] }, /given twice/);
  refused(
    { guidanceInterval: [0, 1], guidanceRescale: 0.5 },
    /--guidance-interval and --guidance-rescale/,
  );
  refused({}, /Cannot use --guide as nothing is guided/, source, source);
  refused({ guidance: 2, guidanceInterval: [1] }, /two noise levels/);
  refused({ guidance: 2, guidanceInterval: [2, 1] }, /0 <= low < high/);
  refused({ guidance: 2 }, /unconditional/, plain);
  refused({ noise: "brownian", sampler: "heun" }, /heun adds none/);
  refused({ batchSize: 4, sampler: "dpm-adaptive" }, /leave out --batch-size/);
  refused({ size: [18, 16] }, /18/);
  refused({ sigmaMin: 100 }, /sigmaMin is 100/);
  refused({}, /say --size PIXELS/, { ...source, size: undefined });
  refused({}, /mappingCondDim is 4/, { ...source, spec: { ...spec, mappingCondDim: 4 } });
  plan({ guidance: 2 }, plain, plain); // a guide needs no classes
});

Deno.test("fingerprint() and defaultFolder() change with everything that shows in the pixels", () => {
  const folders = new Set<string>();
  const flags: DrawingFlags[] = [
    {},
    { steps: 20 },
    { sampler: "heun" },
    { schedule: "exponential" },
    { guidance: 2 },
    { guidance: 2, guidanceRescale: 0.7 },
    { guidance: 2, guidanceInterval: [0.1, 3] },
    { noise: "brownian" },
    { size: [32, 16] },
    { sigmaMax: 90 },
    { shift: 2 },
  ];
  for (const flag of flags) folders.add(defaultFolder("runs/photos", plan(flag).settings));
  folders.add(defaultFolder("runs/photos", plan({ guidance: 2 }, source, source).settings));
  assert.equal(folders.size, flags.length + 1);
  const same = plan({ n: 3, seed: 5, classes: ["owls"], batchSize: 2 }).settings;
  assert.ok(folders.has(defaultFolder("runs/photos", same)));
  assert.match(defaultFolder("/a/runs/photos/checkpoints/best", same), /photos-[0-9a-f]{8}$/);
  assert.match(defaultFolder("down/model.v2.safetensors", same), /model-v2-[0-9a-f]{8}$/);
  assert.notEqual(fingerprint({ ...trained, prediction: "x" }), source.fingerprint);
  const of = (seed: number) => fingerprint({ ...trained, params: livelyParams(model, { seed }) });
  assert.equal(of(0), source.fingerprint); // the same numbers, other tensors
  assert.notEqual(of(1), source.fingerprint);
});

Deno.test("drawMissing() gives a seed the same picture in any batch, byte for byte or a step beside it", async () => {
  const all = plan({ n: 6, steps: 8, guidance: 2 });
  const bytesOf = async (batchSize: number) => {
    const bytes: Uint8Array[] = [];
    await inFolder(async (dir) => {
      const store = await open(join(dir, "out"), all);
      await drawMissing(drawing, { plan: { ...all, batchSize }, store });
      for (const sample of all.samples) {
        const { data } = await decodeImage(await Deno.readFile(store.pathOf(sample)));
        bytes.push(Uint8Array.from(data));
      }
    });
    return bytes;
  };
  const whole = await bytesOf(6);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), async (batchSize) => {
      for (const [i, bytes] of (await bytesOf(batchSize)).entries()) {
        // matrix products of other sizes round otherwise, which may cross a byte's border
        const steps = bytes.map((byte, at) => Math.abs(byte - whole[i][at]));
        assert.ok(Math.max(...steps) <= 1, `picture ${i} in batches of ${batchSize}`);
        const changed = steps.filter((step) => step > 0).length;
        assert.ok(changed / steps.length < 0.01, `${changed} of ${steps.length} bytes`);
      }
    }),
    { numRuns: 4 },
  );
});

Deno.test("drawMissing() keeps finished batches when stopped and goes on with what is missing", () =>
  inFolder(async (dir) => {
    const all = plan({ n: 7, steps: 3, batchSize: 3 }), out = join(dir, "out");
    const store = await open(out, all), abort = new AbortController(), notes: string[] = [];
    const run = drawMissing(drawing, {
      plan: all,
      store,
      signal: abort.signal,
      onProgress: ({ done, total, note }) => {
        notes.push(`${done}/${total} ${note}`);
        if (note.startsWith("batch 2 of 3, step 2")) abort.abort(new RangeError("Stopped"));
      },
    });
    await assert.rejects(run, /Stopped/);
    assert.deepEqual(notes.slice(0, 5), [
      "0/7 batch 1 of 3, step 1 of 3",
      "1/7 batch 1 of 3, step 2 of 3",
      "2/7 batch 1 of 3, step 3 of 3",
      "3/7 batch 1 of 3",
      "3/7 batch 2 of 3, step 1 of 3",
    ]);
    const first = namesIn(out);
    assert.deepEqual(first, [
      "seed000000_class0_cats.png",
      "seed000001_class1_dogs.png",
      "seed000002_class2_owls.png",
      "settings.json",
    ]);
    const before = await Deno.readFile(join(out, first[0]));
    await Deno.writeFile(join(out, ".seed000003_class0_cats.png.0123abcd.tmp"), new Uint8Array(3));
    await Deno.remove(join(out, first[1]));
    const again = await open(out, all);
    assert.deepEqual(missingSamples(all, again).map(({ seed }) => seed), [1, 3, 4, 5, 6]);
    await drawMissing(drawing, { plan: all, store: again });
    assert.equal(namesIn(out).length, 8); // and no temporary file
    assert.deepEqual(await Deno.readFile(join(out, first[0])), before);
    assert.deepEqual(missingSamples(all, await open(out, all)), []);
  }));

Deno.test("openStore() refuses pictures of other settings, naming them, and other people's folders", () =>
  inFolder(async (dir) => {
    const few = plan({ n: 1, steps: 2 }), out = join(dir, "out");
    await drawMissing(drawing, { plan: few, store: await open(out, few) });
    await assert.rejects(
      open(out, plan({ n: 1, steps: 3, guidance: 2 })),
      /other settings.*\n- schedule\.steps is 3, was 2\n- guidance is .*, was null$/,
    );
    await Deno.writeTextFile(join(dir, "letter.txt"), "");
    await assert.rejects(open(dir, few), /it holds letter\.txt/);
  }));

Deno.test("checkOutputs() looks before any work whether files may be written", () =>
  inFolder(async (dir) => {
    const file = join(dir, "a.npz"), look = { n: 4, size, replace: () => false };
    await Deno.writeTextFile(file, "");
    await assert.rejects(checkOutputs({ npz: file }, look), /there is such a file: --force/);
    await checkOutputs({ npz: file }, { ...look, replace: () => true });
    await assert.rejects(checkOutputs({ webdataset: dir }, look), /it holds a\.npz/);
    await assert.rejects(
      checkOutputs({ grid: join(dir, "b.png") }, { ...look, n: 1025 }),
      /may hold 1024/,
    );
    await assert.rejects(
      checkOutputs({ npz: join(dir, "b.npz") }, { ...look, n: 50_000, size: [256, 256] }),
      /4 GiB: ask for --webdataset/,
    );
  }));

Deno.test({
  name: "writeSamplesNpz() and writeShards() hold the pictures for numpy, tarfile and Pillow",
  ignore: python === "",
  fn: () =>
    inFolder(async (dir) => {
      const all = plan({ n: 5, steps: 2, classes: ["owls", "cats"] }), { samples } = all;
      const store = await open(join(dir, "out"), all);
      await drawMissing(drawing, { plan: all, store });
      await writeSamplesNpz(join(dir, "deep", "a.npz"), { store, samples, size });
      await writeShards(join(dir, "shards"), { store, samples, classes: classesOf(source) });
      const code = `
import io, json, sys, tarfile, numpy as np
from PIL import Image
root = sys.argv[1]
npz = np.load(root + "/deep/a.npz")
images, labels = npz["arr_0"], npz["arr_1"]
assert images.dtype == np.uint8 and images.shape == (5, 16, 16, 3) and labels.dtype == np.int64
tar = tarfile.open(root + "/shards/samples-000000.tar")
assert [m.name for m in tar][:4] == ["000000.png", "000000.cls", "000000.json", "000001.png"]
for i in range(5):
    read = lambda ending: tar.extractfile(f"{i:06}.{ending}").read()
    assert (np.asarray(Image.open(io.BytesIO(read("png")))) == images[i]).all()
    assert int(read("cls")) == labels[i]
    about = json.loads(read("json"))
    assert about == {"seed": i, "class": ["owls", "cats"][i % 2]}, about
print(labels.tolist(), images.std() > 1)`;
      const printed = await runPython(python, { code, args: [dir] });
      assert.equal(printed.trim(), "[2, 0, 2, 0, 2] True");
    }),
});

Deno.test("encodeTrajectory() makes a strip or an animation that ends with the picture", () =>
  inFolder(async (dir) => {
    const one = plan({ n: 1, steps: 12 }), store = await open(join(dir, "out"), one);
    await drawMissing(drawing, { plan: one, store });
    const estimates = await trajectoryOf(drawing, { plan: one, sample: one.samples[0] });
    assert.deepEqual(estimates.shape, [12, 16, 16, 3]);
    const gif = await sharp(await encodeTrajectory(estimates, "gif"), { pages: -1 }).metadata();
    assert.deepEqual([gif.format, gif.pages, gif.pageHeight, gif.width], ["gif", 12, 16, 16]);
    assert.deepEqual(gif.delay, [...Array(11).fill(80), 1500]);
    const webp = await encodeTrajectory(estimates, "webp");
    const frames = await sharp(webp, { pages: -1 }).removeAlpha().raw().toBuffer();
    assert.equal(frames.length, 12 * 768);
    const { data } = await decodeImage(await Deno.readFile(store.pathOf(one.samples[0])));
    assert.deepEqual(Uint8Array.from(frames.subarray(-768)), Uint8Array.from(data));
    const strip = await sharp(await encodeTrajectory(estimates, "png")).metadata();
    assert.deepEqual([strip.width, strip.height], [10 * 16 + 9 * 2, 16]);
  }));

/** A run's folder like that of `train`, a step long. */
async function trainInto(dir: string): Promise<void> {
  const run = await openTraining({
    model,
    size,
    batchAt: () => ({ images: new Float32Array(2 * 768).fill(0.5), labels: [0, 1] }),
    steps: 1,
    config: { classes: names, sigmaMin: 0.02, sigmaMax: 80 },
    save: { dir: join(dir, "checkpoints") },
  });
  for await (const _ of run.steps()) { /* to the end */ }
  run.dispose();
  await Deno.writeTextFile(join(dir, "config.json"), JSON.stringify({ size }));
}

/** Starts `deno task sample`'s program in a folder. */
function start(cwd: string, args: readonly string[]): Deno.ChildProcess {
  const of = (path: string) => fromFileUrl(new URL(`../../${path}`, import.meta.url));
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", of("deno.json"), of("tools/sample.ts"), ...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}
async function call(cwd: string, ...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await start(cwd, args).output(), text = new TextDecoder();
  return { code, text: text.decode(stdout) + text.decode(stderr) };
}

Deno.test("deno task sample draws a grid once, fills in what is missing, and replaces nothing unasked", () =>
  inFolder(async (dir) => {
    await trainInto(join(dir, "run"));
    const dry = await call(dir, "run", "--n", "4", "--steps", "3", "--dry-run");
    assert.equal(dry.code, 0, dry.text);
    assert.match(dry.text, /pictures +4 of 16 x 16, seeds 0 to 3\nclasses +cats, dogs, owls\n/);
    assert.deepEqual(namesIn(dir), ["run"]);
    const first = await call(dir, "run", "--n", "4", "--steps", "3");
    assert.equal(first.code, 0, first.text);
    const [folder] = namesIn(join(dir, "runs", "samples")),
      kept = join(dir, "runs", "samples", folder);
    assert.match(folder, /^run-[0-9a-f]{8}$/);
    const { width, height } = await sharp(join(kept, "grid.png")).metadata();
    assert.deepEqual([width, height], [34, 34]);
    const more = await call(dir, "run", "--n", "6", "--steps", "3", "--npz", "a.npz");
    assert.match(more.text, /where 4 are finished/);
    assert.match(more.text, /drawing: 2\/2 pictures/);
    const again = await call(dir, "run", "--n", "6", "--steps", "3", "--npz", "a.npz");
    assert.equal(again.code, 1);
    assert.match(again.text, /Cannot write a\.npz as there is such a file: --force replaces it/);
    for (
      const [flags, code, message] of [
        [["--classes", "cat"], 1, /did you mean cats\?/],
        [["--guidance-interval", "0.1,2"], 1, /nothing is guided at scale 1/],
        [["--sampler", "dpmpp-2"], 2, /Did you mean dpmpp-2m\?/],
        [["--grid", "a.jpg"], 2, /must be a file that ends in \.png/],
        [["--guide", "nowhere", "--guidance", "2"], 1, /there is nothing at nowhere/],
      ] as const
    ) {
      const wrong = await call(dir, "run", ...flags);
      assert.equal(wrong.code, code, wrong.text);
      assert.match(wrong.text, message);
    }
  }));

Deno.test("deno task sample guides by a weaker model, from a file of k-diffusion", () =>
  inFolder(async (dir) => {
    await trainInto(join(dir, "run"));
    const { params, ...about } = await openModel(join(dir, "run"));
    const path = join(dir, "model.safetensors");
    await saveInferenceCheckpoint(path, { spec: about.spec, size, params });
    const flags = ["--n", "2", "--steps", "2", "--guidance", "1.5", "--guide", "run"];
    const out = await call(
      dir,
      "model.safetensors",
      ...flags,
      "--trajectory",
      "t.gif",
      "--size",
      "16x32",
    );
    assert.equal(out.code, 0, out.text);
    assert.match(out.text, /guidance +1\.5, away from run\/checkpoints\/checkpoint_00000001/);
    const { width, pageHeight } = await sharp(join(dir, "t.gif"), { pages: -1 }).metadata();
    assert.deepEqual([width, pageHeight], [32, 16]);
  }));

Deno.test("deno task sample stops at Ctrl-C with what is finished, and goes on", () =>
  inFolder(async (dir) => {
    await trainInto(join(dir, "run"));
    const flags = ["run", "--n", "6", "--batch-size", "2", "--steps", "150", "--folder", "out"];
    const child = start(dir, flags), out = join(dir, "out");
    while (!await Deno.stat(join(out, "seed000001_class1_dogs.png")).catch(() => undefined)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill("SIGINT");
    const { code, stderr } = await child.output(), text = new TextDecoder().decode(stderr);
    assert.equal(code, 130, text);
    assert.match(text, /Stopped, with [24] pictures left to draw\. The same command goes on/);
    const before = namesIn(out).map((
      name,
    ) => [name, Deno.statSync(join(out, name)).mtime!.getTime()]);
    assert.ok(before.length < 7);
    const rest = await call(dir, ...flags);
    assert.equal(rest.code, 0, rest.text);
    assert.equal(namesIn(out).length, 7);
    for (const [name, time] of before) {
      assert.equal(Deno.statSync(join(out, name as string)).mtime!.getTime(), time);
    }
  }));
