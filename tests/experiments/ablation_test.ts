import assert from "node:assert/strict";
import { join } from "@std/path";
import sharp from "sharp";
import { ablate, type AblationEvent } from "../../experiments/ablation.ts";
import type { AblationOptions } from "../../experiments/config.ts";
import type { Results } from "../../experiments/results.ts";
import { inFolder } from "../folder.ts";
import { writeTinyDinov2 } from "../metrics/made_dinov2.ts";

const options: AblationOptions = { preset: "smoke", axes: ["position", "resolution"], images: 32 };

/** What a run measured, without times. */
function numbers({ evals, done }: Results) {
  return { evals, done: done.map(({ arm, seed, images }) => ({ arm, seed, images })) };
}

Deno.test("ablate() ends with the same numbers however often it is stopped", async () => {
  const whole = await inFolder((dir) => ablate(options, { dir: join(dir, "run") }));
  assert.deepEqual(whole.done.map(({ arm }) => arm), ["base", "position-additive"]);
  assert.deepEqual(whole.evals.map(({ size }) => size), [32, 48, 64, 32, 48, 64]);
  assert.ok(whole.evals.every(({ heldOut, fd }) => heldOut.mean > 0 && fd!.value > 0));

  const pieces = await inFolder(async (parent) => {
    const dir = join(parent, "run");
    // stopped in training, while sampling, in the held-out loss, in the second arm
    const stops: ((event: AblationEvent) => boolean)[] = [
      (e) => e.kind === "arm" && e.phase === "train" && e.done === 16,
      (e) => e.kind === "arm" && e.phase === "sample" && e.size === 32 && e.note !== "",
      (e) => e.kind === "arm" && e.phase === "held-out loss" && e.size === 48,
      (e) => e.kind === "arm" && e.arm === "position-additive" && e.done === 8,
    ];
    for (const isTime of stops) {
      const stop = new AbortController();
      await assert.rejects(
        ablate(options, {
          dir,
          signal: stop.signal,
          onEvent: (event) => isTime(event) && stop.abort(new DOMException("stop", "AbortError")),
        }),
        { name: "AbortError" },
      );
    }
    const results = await ablate(options, { dir });
    assert.equal(results.sessions.length, stops.length + 1);
    assert.match(await Deno.readTextFile(join(dir, "report.html")), /additive positions/);
    return results;
  });
  assert.deepEqual(numbers(pieces), numbers(whole));
});

Deno.test("ablate() refuses a folder that holds another run, or something else", async () => {
  await inFolder(async (parent) => {
    const dir = join(parent, "run");
    const small: AblationOptions = { preset: "smoke", axes: ["skip"], images: 8 };
    await ablate(small, { dir });
    await assert.rejects(
      ablate({ ...small, images: 16 }, { dir }),
      /images is 16, was 8/,
    );
    await assert.rejects(ablate({ ...small, learningRate: 1 }, { dir }), /training.learningRate/);
    await assert.rejects(ablate(small, { dir: parent }), /must be new or hold an earlier run/);
  });
});

Deno.test("ablate() trains on a folder of pictures, its sub-folders as classes, names broken ones and takes features from a file", async () => {
  await inFolder(async (parent) => {
    for (const [i, kind] of ["cats", "dogs"].entries()) {
      await Deno.mkdir(join(parent, "photos", kind), { recursive: true });
      for (let k = 0; k < 6; k++) {
        const background = { r: 40 * k, g: 120 * i, b: 200 - 30 * k };
        await sharp({ create: { width: 50, height: 40, channels: 3, background } })
          .jpeg().toFile(join(parent, "photos", kind, `${k}.jpg`));
      }
    }
    await Deno.writeTextFile(join(parent, "photos", "cats", "broken.png"), "not a picture");
    const { weights } = await writeTinyDinov2(join(parent, "tiny.safetensors"));
    let warnings: readonly string[] = [];
    const results = await ablate(
      {
        preset: "smoke",
        axes: ["skip"],
        images: 8,
        data: join(parent, "photos"),
        features: `dinov2:${weights}`,
      },
      {
        dir: join(parent, "run"),
        onEvent: (event) => {
          if (event.kind === "plan") warnings = event.plan.dataset.warnings;
        },
      },
    );
    assert.deepEqual(results.run.data.classes, ["cats", "dogs"]);
    assert.equal(results.done.length, 3);
    assert.ok(results.evals.every(({ fd }) => fd?.features === "DINOv2 64 × 1/14"));
    const report = await Deno.readTextFile(join(parent, "run", "report.html"));
    assert.match(report, /<th>FD \(DINOv2 64 × 1\/14\)<\/th>/);
    assert.ok(warnings.some((warning) => /broken\.png/.test(warning)), warnings.join("; "));
  });
});

Deno.test("ablate() names an empty folder or missing weights before any work, and writes nothing", async () => {
  await inFolder(async (parent) => {
    await Deno.mkdir(join(parent, "empty"));
    const dir = join(parent, "run");
    const features = `inception:${join(parent, "missing.pth")}`;
    await assert.rejects(ablate({ ...options, features }, { dir }), /missing\.pth is none/);
    await assert.rejects(
      ablate({ ...options, data: join(parent, "empty") }, { dir }),
      /no .*picture|no .*image|empty/i,
    );
    await assert.rejects(Deno.stat(dir), Deno.errors.NotFound);
  });
});
