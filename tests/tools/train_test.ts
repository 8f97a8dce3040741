import assert from "node:assert/strict";
import { fromFileUrl, join } from "@std/path";
import ndarray from "ndarray";
import { encodePng } from "../../lib/io/images.ts";
import { ofKind, readLog } from "../../lib/runs/log.ts";

const root = fromFileUrl(new URL("../..", import.meta.url));
const tool = join(root, "tools", "train.ts");

async function train(dir: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", tool, ...args],
    cwd: dir,
    env: { NO_COLOR: "1", XDG_CACHE_HOME: join(dir, "cache") },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

/** A folder of plain pictures in two classes, and one file that is none. */
async function photos(dir: string): Promise<void> {
  for (const [c, name] of ["cats", "dogs"].entries()) {
    await Deno.mkdir(join(dir, "photos", name), { recursive: true });
    for (let i = 0; i < 6; i++) {
      const pixels = new Uint8Array(20 * 24 * 3).fill(40 * i + 50 * c);
      await Deno.writeFile(
        join(dir, "photos", name, `${i}.png`),
        await encodePng(ndarray(pixels, [20, 24, 3])),
      );
    }
  }
  await Deno.writeTextFile(join(dir, "photos", "dogs", "torn.png"), "no picture");
}

async function temporary(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await photos(dir);
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const small = ["--size", "16", "--model", "smoke", "--batch-size", "4"];

Deno.test("deno task train trains on a folder of pictures, and does nothing the second time", async () => {
  await temporary(async (dir) => {
    const config = { data: "photos", size: 16, model: "smoke", batchSize: 4, images: 8 };
    const rest = { sampling: { steps: 2 }, demo: { n: 2 }, evaluate: { heldOut: 2, sigmas: [1] } };
    await Deno.writeTextFile(join(dir, "pets.json"), JSON.stringify({ ...config, ...rest }));
    const first = await train(dir, "pets.json", "--tensorboard");
    assert.equal(first.code, 0, first.err);
    assert.match(
      first.out,
      /photos: \d+ training and \d+ held-out pictures, 16 x 16 px, 2 classes/,
    );
    assert.match(first.out, /torn\.png/);
    assert.match(first.out, /8 images: held-out loss \d/);
    assert.match(first.out, /deno task sample runs\/pets/);
    const log = await readLog(join(dir, "runs", "pets"));
    assert.deepEqual(ofKind(log, "demo").map(({ file }) => file), ["demos/demo_00000008.png"]);
    assert.equal([...Deno.readDirSync(join(dir, "runs", "pets", "tensorboard"))].length, 1);

    const again = await train(dir, "pets.json");
    assert.equal(again.code, 0, again.err);
    assert.match(again.out, /8 images: going on from step 2/);
    // what it saved is a configuration again
    const saved = join("runs", "pets", "config.json");
    const same = await train(dir, saved, "--out", join("runs", "pets"), "--dry-run");
    assert.equal(same.code, 0, same.err);
    assert.match(same.out, /going on with runs\/pets/);
  });
});

Deno.test("deno task train stops in order at Ctrl-C, and the same command goes on", async () => {
  if (Deno.build.os === "windows") return;
  await temporary(async (dir) => {
    const args = ["--data", "photos", ...small, "--images", "400000", "--demo-every", "0"];
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", tool, ...args, "--evaluate-every", "0"],
      cwd: dir,
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = process.output();
    const log = join(dir, "runs", "photos", "log.jsonl");
    while (!(await Deno.readTextFile(log).catch(() => "")).includes('"kind":"train"')) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    process.kill("SIGINT");
    const { code, stdout } = await output;
    assert.equal(code, 130);
    const stopped = Number(
      /([\d,]+) images: stopped/.exec(new TextDecoder().decode(stdout))![1].replaceAll(",", ""),
    );
    const shorter = args.map((arg) => arg === "400000" ? String(stopped + 4) : arg);
    const { out, err } = await train(dir, ...shorter, "--evaluate-every", "0");
    assert.match(out, new RegExp(`going on from step ${stopped / 4}\\b`), err);
    assert.match(out, /done/);
  });
});

Deno.test("deno task train says what is wrong before any work", async () => {
  await temporary(async (dir) => {
    const wrong = async (args: string[], message: RegExp, code = 1) => {
      const result = await train(dir, ...args);
      assert.match(result.err, message);
      assert.equal(result.code, code);
      await assert.rejects(Deno.stat(join(dir, "runs")), Deno.errors.NotFound);
    };
    await wrong([], /there are no pictures: name them with --data/);
    await wrong(["--data", "nowhere"], /nowhere/);
    await wrong(["--data", "photos", "--size", "18"], /multiple of 8.*nearest valid are 16 and 24/);
    await wrong(["--data", "photos", "--model", "smokey"], /Did you mean smoke\?/, 2);
    await wrong(["missing.json"], /missing\.json as it cannot be read/);
    await Deno.writeTextFile(join(dir, "bad.json"), `{"data": "photos", "batchsize": 3}`);
    await wrong(["bad.json"], /did you mean "batchSize"\?/);
  });
});

Deno.test("deno task train takes a configuration of k-diffusion, and names what has no effect", async () => {
  await temporary(async (dir) => {
    const file = {
      model: {
        type: "image_transformer_v2",
        input_channels: 3,
        input_size: [16, 16],
        patch_size: [4, 4],
        depths: [1, 1],
        widths: [16, 32],
        self_attns: [
          { type: "neighborhood", d_head: 16, kernel_size: 3 },
          { type: "global", d_head: 16 },
        ],
        mapping_width: 32,
        mapping_depth: 1,
        sigma_data: 0.5,
        sigma_min: 0.01,
        sigma_max: 80,
        sigma_sample_density: { type: "cosine-interpolated", nosie_d_low: 16 },
        loss_weighting: "soft-min-snr",
      },
      dataset: { type: "imagefolder-class", location: "photos", num_classes: 2 },
    };
    await Deno.writeTextFile(join(dir, "reference.json"), JSON.stringify(file));
    const { code, out, err } = await train(dir, "reference.json", "--images", "64", "--dry-run");
    assert.equal(code, 0, err);
    assert.match(err, /note: .*nosie_d_low/);
    assert.match(out, /layers x width a level: 1 x 16, 1 x 32/);
  });
});

Deno.test("deno task train --schema prints the JSON schema of its configurations", async () => {
  await temporary(async (dir) => {
    const { out } = await train(dir, "--schema");
    assert.ok("batchSize" in JSON.parse(out).properties);
  });
});

Deno.test("deno task train and sample make large pictures from small ones", async () => {
  await temporary(async (dir) => {
    const config = {
      data: "photos",
      size: 16,
      model: { preset: "smoke", numClasses: 0 },
      batchSize: 4,
      images: 8,
      superResolution: { factor: 2 },
      sampling: { steps: 2 },
      demo: { n: 2 },
      evaluate: { heldOut: 2, sigmas: [1] },
    };
    await Deno.writeTextFile(join(dir, "super.json"), JSON.stringify(config));
    const trained = await train(dir, "super.json");
    assert.equal(trained.code, 0, trained.err);
    const sample = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", join(root, "tools", "sample.ts"), "runs/super", ...args],
        cwd: dir,
        env: { NO_COLOR: "1" },
        stdin: "null",
      }).output();
      const text = new TextDecoder();
      return { code, out: text.decode(stdout), err: text.decode(stderr) };
    };
    const bare = await sample();
    assert.match(bare.err, /2 times smaller: name a folder of them with --low-resolution/);
    await Deno.remove(join(dir, "photos", "dogs", "torn.png"));
    const { code, out, err } = await sample("--low-resolution", "photos", "--folder", "large");
    assert.equal(code, 0, err);
    assert.match(out, /12 of 16 x 16/);
    const names = [...Deno.readDirSync(join(dir, "large"))].map(({ name }) => name).sort();
    assert.ok(names.includes("seed000011_picture11.png"), names.join());
  });
});
