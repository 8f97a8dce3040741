/**
 * SYNTHETIC results of an ablation run, made up by a seeded formula to test readers and the report.
 * No number here was measured.
 *
 * @module
 */
import { join } from "@std/path";
import sharp from "sharp";
import { appendResults, type ArmRecord, type ResultRecord } from "../../experiments/results.ts";

/** How much of a run to make up. */
export type SyntheticOptions = {
  seeds?: number[];
  /** Arms after this many are still waiting, and the one before is half-way. */
  armsDone?: number;
  /** Put in front of names and titles, to test escaping. */
  mark?: string;
  byImage?: boolean;
  grids?: boolean;
};

const IMAGES = 24_000;
const SIGMAS = [0.01, 0.03, 0.1, 0.25, 0.5, 1, 2, 5, 15, 50];

type Made = Pick<ArmRecord, "arm" | "title" | "axes" | "difference" | "macs" | "params"> & {
  gain: number;
  speed: number;
};

const ARMS: Made[] = [
  arm("base", "Base: RoPE, lerp skips, neighborhood attention", ["position", "skip", "attention"], {
    gain: 1,
    macs: 0.2061e9,
    params: 1_713_412,
    speed: 46.1,
  }),
  arm("additive", "Additive positions (2-D sin-cos)", ["position"], {
    difference: { position: { kind: "sincos" } },
    gain: 1.031,
    macs: 0.2061e9,
    params: 1_713_412,
    speed: 47.9,
  }),
  arm("skip-add", "Add skips", ["skip"], {
    difference: { skip: { kind: "add" } },
    gain: 1.012,
    macs: 0.2061e9,
    params: 1_713_411,
    speed: 46.4,
  }),
  arm("skip-concat", "Concatenated skips with a projection", ["skip"], {
    difference: { skip: { kind: "concat" } },
    gain: 1.021,
    macs: 0.2082e9,
    params: 1_721_603,
    speed: 44.2,
  }),
  arm("shifted-window", "Shifted-window attention", ["attention"], {
    difference: { levels: [{ attention: { kind: "shifted-window", windowSize: 8 } }] },
    gain: 1.026,
    macs: 0.2094e9,
    params: 1_713_412,
    speed: 51.3,
  }),
  arm("global", "Global attention at all levels", ["attention"], {
    difference: { levels: [{ attention: { kind: "global" } }] },
    gain: 0.994,
    macs: 0.2329e9,
    params: 1_713_412,
    speed: 39.8,
  }),
];

function arm(
  name: string,
  title: string,
  axes: string[],
  rest: Omit<Made, "arm" | "title" | "axes" | "difference"> & { difference?: Made["difference"] },
): Made {
  return { arm: name, title, axes, difference: {}, ...rest };
}

/** The records of a made-up run, in the order in which a runner would append them. */
export function syntheticRecords(options: SyntheticOptions = {}): ResultRecord[] {
  const { seeds = [0], armsDone = ARMS.length, mark = "", byImage = true } = options;
  const records: ResultRecord[] = [{
    kind: "run",
    name: `${mark}synthetic-test-data`,
    command: `deno task ablate --preset emoji --out runs/${mark}synthetic-test-data`,
    started: "2026-01-02T03:04:05Z",
    base: `${mark}base`,
    seeds,
    images: IMAGES,
    size: 64,
    data: {
      name: `${mark}SYNTHETIC test data`,
      train: 3200,
      heldOut: 256,
      classes: ["Animals & Nature"],
    },
    machine: {
      cpu: "Imaginary CPU @ 2.0 GHz",
      cores: 2,
      memory: 8 * 2 ** 30,
      os: "linux x86_64",
      deno: "2.9.6",
      engine: "onnxruntime",
      versions: { "onnxruntime-node": "1.30.0", "@tensorflow/tfjs": "4.22.0" },
    },
    config: { preset: "emoji", size: 64, batchSize: 16, note: `${mark}synthetic` },
  }];
  for (const { gain: _, speed: __, ...made } of ARMS) {
    const spec = { patchSize: [4, 4], levels: [{ width: 64 }, { width: 128 }] };
    records.push({
      kind: "arm",
      spec,
      ...made,
      arm: mark + made.arm,
      title: mark + made.title,
    });
  }
  records.push({
    kind: "cost",
    model: "HDiT-B/4",
    points: [[128, 31.37e9], [256, 64.72e9], [512, 198.1e9], [1024, 731.6e9]],
  }, {
    kind: "cost",
    model: "DiT-B/4",
    points: [[128, 106.4e9], [256, 657.5e9], [512, 6340.6e9], [1024, 84_736e9]],
  });
  ARMS.forEach((made, index) => {
    if (index > armsDone) return;
    const share = index < armsDone ? 1 : 0.5;
    for (const seed of share < 1 ? seeds.slice(0, 1) : seeds) {
      records.push(...armRecords({ ...made, arm: mark + made.arm }, { seed, share, byImage }));
    }
  });
  return records;
}

function armRecords(
  { arm, gain, speed }: Made,
  { seed, share, byImage }: { seed: number; share: number; byImage: boolean },
): ResultRecord[] {
  const records: ResultRecord[] = [];
  const shared = generator(seed); // the same for all arms: batches and noise are paired
  const own = generator(seed * 7919 + [...arm].reduce((sum, c) => sum + c.charCodeAt(0), 0));
  const quality = gain * (1 + 0.004 * normal(own));
  const last = IMAGES * share;
  for (let step = 10; step * 16 <= last; step += 10) {
    const images = step * 16;
    const loss = curve(images) * quality * (1 + 0.07 * normal(shared) + 0.008 * normal(own));
    records.push({
      kind: "train",
      arm,
      seed,
      step,
      images,
      loss,
      gradNorm: 0.4 + 0.05 * normal(own) ** 2,
      seconds: images / speed,
    });
  }
  for (let images = 4000; images <= last; images += 4000) {
    const sizes = images === IMAGES && /base|additive/.test(arm) ? [64, 96, 128] : [64];
    for (const size of sizes) {
      const strain = 1 + (size / 64 - 1) * (arm.includes("additive") ? 0.5 : 0.12);
      const heldOut = heldOutLoss(curve(images) * quality * strain, { own, seed, byImage });
      const value = 9.5 * quality ** 6 * strain ** 2 * (1 + 0.03 * normal(own));
      const fd = {
        value,
        low: value * 0.93,
        high: value * 1.08,
        n: 256,
        nReference: 256,
        features: "random features",
        floor: 1.3,
      };
      records.push({
        kind: "eval",
        arm,
        seed,
        images,
        size,
        weights: "ema",
        heldOut,
        ...(images === IMAGES ? { fd } : {}),
      });
    }
  }
  records.push({
    kind: "samples",
    arm,
    seed,
    images: last,
    size: 64,
    file: `samples/${arm.replaceAll(/[^\w-]/g, "_")}-${seed}.png`,
    n: 36,
    sampler: "DPM++(3M) SDE",
    steps: 50,
  });
  if (share === 1) {
    records.push({
      kind: "done",
      arm,
      seed,
      images: last,
      seconds: last / speed,
      imagesPerSecond: speed * (1 + 0.01 * normal(own)),
      peakRss: 1_503_238_553,
    });
  }
  return records;
}

function heldOutLoss(
  level: number,
  { own, seed, byImage }: { own: () => number; seed: number; byImage: boolean },
) {
  const images = generator(1000 + seed); // the same held-out images for all arms
  const bySigma = SIGMAS.map((sigma): [number, number] => {
    const bump = Math.exp(-(Math.log(sigma / 0.5) ** 2) / 4);
    return [sigma, level * 2.1 * bump * (1 + 0.004 * normal(own))];
  });
  const mean = bySigma.reduce((sum, [, loss]) => sum + loss, 0) / bySigma.length;
  const losses = Array.from(
    { length: 256 },
    () => mean * (1 + 0.3 * normal(images) + 0.02 * normal(own)),
  );
  const offset = mean - losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  return {
    mean,
    bySigma,
    n: 256,
    ...(byImage ? { byImage: losses.map((loss) => loss + offset) } : {}),
  };
}

function curve(images: number): number {
  return 0.045 + 0.2 * (1 + images / 500) ** -0.8;
}

/** Writes a made-up run into a folder, sample grids included. */
export async function writeSyntheticRun(dir: string, options: SyntheticOptions = {}) {
  const records = syntheticRecords(options);
  await appendResults(dir, records);
  if (options.grids === false) return;
  await Deno.mkdir(join(dir, "samples"), { recursive: true });
  for (const record of records) {
    if (record.kind !== "samples") continue;
    await Deno.writeFile(join(dir, record.file), await syntheticGrid(record.seed));
  }
}

/** A grid of 6 by 6 discs in random colours, with 2 pixels between them. */
async function syntheticGrid(seed: number): Promise<Uint8Array> {
  const random = generator(seed + 1);
  const discs = Array.from({ length: 36 }, (_, i) => {
    const x = 66 * (i % 6) + 2;
    const y = 66 * Math.floor(i / 6) + 2;
    const hue = () => Math.floor(360 * random());
    return `<rect x="${x}" y="${y}" width="64" height="64" fill="hsl(${hue()},40%,88%)"/>` +
      `<circle cx="${x + 32}" cy="${y + 32}" r="${
        14 + 14 * random()
      }" fill="hsl(${hue()},70%,55%)"/>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="398" height="398">` +
    `<rect width="398" height="398" fill="white"/>${discs.join("")}</svg>`;
  return new Uint8Array(await sharp(new TextEncoder().encode(svg)).png().toBuffer());
}

/** Park & Miller's generator, 1988; uniform in (0, 1). */
function generator(seed: number): () => number {
  let state = (seed * 2654435761 + 12345) % 2147483646 + 1;
  for (let i = 0; i < 3; i++) state = state * 16807 % 2147483647;
  return () => (state = state * 16807 % 2147483647) / 2147483647;
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
}
