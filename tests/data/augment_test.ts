import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Augmentation,
  augmentationCond,
  augmentationMatrix,
  augmentationOf,
  drawAugmentation,
} from "../../lib/data/augment.ts";
import { type Affine, warp } from "../../lib/data/warp.ts";
import { readNpz } from "../../lib/io/npz.ts";

/** Of float32 pictures in [-1, 1], and of numbers that go through some ten operations. */
const ROUNDING = 1e-6;

const stream = { seed: 3, stream: "data/train/augment" };
const drawn = (counter: number, prob: number) =>
  augmentationOf(drawAugmentation(stream, counter), { prob });

const real = (size: number) => fc.double({ min: -size, max: size, noNaN: true });
const bit = fc.constantFrom(0, 1);
const augmentations: fc.Arbitrary<Augmentation> = fc.record({
  flipX: bit,
  flipY: bit,
  scale: real(3),
  rotation: real(Math.PI),
  axis: real(Math.PI),
  stretch: real(3),
  shiftX: real(3),
  shiftY: real(3),
});
const none: Augmentation = {
  flipX: 0,
  flipY: 0,
  scale: 0,
  rotation: 0,
  axis: 0,
  stretch: 0,
  shiftX: 0,
  shiftY: 0,
};
const shapes = fc.record({
  height: fc.integer({ min: 1, max: 12 }),
  width: fc.integer({ min: 1, max: 12 }),
  channels: fc.integer({ min: 1, max: 4 }),
});
type Shape = { height: number; width: number; channels: number };

function noise({ height, width, channels }: Shape, seed: number): Float32Array {
  return Float32Array.from(
    { length: height * width * channels },
    (_, i) => Math.sin((i + 1) * (seed + 1) * 12.9898) * 43758.5453 % 1,
  );
}

function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number) {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    assert.ok(
      Math.abs(actual[i] - expected[i]) <= tolerance,
      `${i}: ${actual[i]} and ${expected[i]}`,
    );
  }
}

type Matrix = number[][]; // 3 × 3
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, v, k) => sum + v * b[k][j], 0)));
const square = ([a, b, c, d, e, f]: Affine): Matrix => [[a, b, c], [d, e, f], [0, 0, 1]];
const move = (x: number, y: number): Matrix => [[1, 0, x], [0, 1, y], [0, 0, 1]];
const stretchBy = (x: number, y: number): Matrix => [[x, 0, 0], [0, y, 0], [0, 0, 1]];
const turn = (angle: number): Matrix => [
  [Math.cos(angle), -Math.sin(angle), 0],
  [Math.sin(angle), Math.cos(angle), 0],
  [0, 0, 1],
];

Deno.test("warp() gives scikit-image's values, inside and far outside, of any shape", async () => {
  // made by fixtures/make.py with scikit-image 0.26.0
  const stored = readNpz(await Deno.readFile(new URL("fixtures/warp.npz", import.meta.url)));
  for (const i of [0, 1, 2]) {
    const { data, shape: [height, width, channels] } = stored.get(`${i}.picture`)!;
    const matrix = [...stored.get(`${i}.matrix`)!.data as Float64Array] as unknown as Affine;
    const warped = warp(data as Float32Array, { height, width, channels, matrix });
    assertClose(warped, stored.get(`${i}.warped`)!.data as Float64Array, ROUNDING);
  }
});

Deno.test("augmentationMatrix() undoes EDM's product of eight steps about the centre", () => {
  fc.assert(fc.property(augmentations, shapes, (augmentation, { height, width }) => {
    const { flipX, flipY, scale, rotation, axis, stretch, shiftX, shiftY } = augmentation;
    const cx = (width - 1) / 2, cy = (height - 1) / 2, zoom = 2 ** (0.2 * scale);
    const forward = [
      move(cx, cy),
      stretchBy(1 - 2 * flipX, 1),
      stretchBy(1, 1 - 2 * flipY),
      stretchBy(zoom, zoom),
      turn(-rotation),
      turn(axis),
      stretchBy(2 ** (0.2 * stretch), 2 ** (-0.2 * stretch)),
      turn(-axis),
      move(shiftX * height / 8, shiftY * width / 8), // the reference's trap: one for the other
      move(-cx, -cy),
    ].reduce(product);
    const matrix = augmentationMatrix(augmentation, { height, width });
    assertClose(product(square(matrix), forward).flat(), square([1, 0, 0, 0, 1, 0]).flat(), 1e-9);
  }));
});

Deno.test("augmentationOf() with probability 0 leaves pictures as they are, flips included", () => {
  fc.assert(fc.property(shapes, fc.nat(1000), (shape, counter) => {
    const augmentation = drawn(counter, 0);
    const matrix = augmentationMatrix(augmentation, shape);
    const picture = noise(shape, counter);
    assert.deepEqual(warp(picture, { ...shape, matrix }), picture);
    assert.ok(augmentationCond(augmentation).every((v) => v === 0));
  }));
});

Deno.test("augmentationOf() flips half of the pictures along x, and does each other part as often as asked", () => {
  const n = 4000, prob = 0.12, half = 0.5 * prob;
  const all = Array.from({ length: n }, (_, i) => drawn(i, prob));
  const happens = (part: keyof Augmentation) => all.filter((a) => a[part] !== 0).length / n;
  // five standard deviations of a share of 4,000
  const near = (share: number, p: number) => Math.abs(share - p) < 5 * Math.sqrt(p * (1 - p) / n);
  assert.ok(near(happens("flipX"), 0.5));
  assert.ok(near(happens("flipY"), half));
  for (const part of ["scale", "rotation", "axis", "stretch", "shiftX", "shiftY"] as const) {
    assert.ok(near(happens(part), prob), `${part}: ${happens(part)}`);
  }
  assert.ok(all.every((a) => (a.axis === 0) === (a.stretch === 0)));
  assert.ok(all.every((a) => (a.shiftX === 0) === (a.shiftY === 0)));
});

Deno.test("drawAugmentation() draws from the right distributions, each counter for itself", () => {
  const n = 4000, all = Array.from({ length: n }, (_, i) => drawAugmentation(stream, i));
  const mean = (of: (draws: typeof all[number]) => number) =>
    all.reduce((sum, draws) => sum + of(draws), 0) / n;
  for (const i of [0, 1]) {
    assert.ok(Math.abs(mean(({ angles }) => angles[i]) - 1 / 2) < 0.03); // 5 sd: 0.023
    assert.ok(Math.abs(mean(({ angles }) => angles[i] ** 2) - 1 / 3) < 0.03);
  }
  for (const i of [0, 1, 2, 3]) {
    assert.ok(Math.abs(mean(({ normals }) => normals[i])) < 0.08); // 5 sd: 0.079
    assert.ok(Math.abs(mean(({ normals }) => normals[i] ** 2) - 1) < 0.12);
  }
  assert.deepEqual(drawAugmentation(stream, 17), all[17]);
  assert.notDeepEqual(drawAugmentation({ ...stream, seed: 4 }, 17), all[17]);
});

Deno.test("augmentationCond() determines the matrix, but for a stretch and its opposite", () => {
  fc.assert(fc.property(augmentations, shapes, (augmentation, shape) => {
    const [a0, a1, a2, c, s, u, v, a6, a7] = augmentationCond(augmentation);
    const told = {
      flipX: a0,
      flipY: a1,
      scale: a2,
      rotation: Math.atan2(s, c + 1),
      axis: Math.atan2(v, u),
      stretch: Math.hypot(u, v),
      shiftX: a6,
      shiftY: a7,
    };
    const opposite = { ...told, axis: told.axis + Math.PI, stretch: -told.stretch };
    const actual = augmentationMatrix(augmentation, shape);
    const expected = augmentationMatrix(augmentation.stretch < 0 ? opposite : told, shape);
    assertClose(actual, expected, 1e-4); // the conditioning is float32, the offset up to some 30
  }));
});

Deno.test("augmentationCond() is zero for the identity alone", () => {
  assert.deepEqual([...augmentationCond(none)], new Array(9).fill(0));
  for (const part of Object.keys(none) as (keyof Augmentation)[]) {
    if (part === "axis") continue; // of no stretch
    assert.ok(augmentationCond({ ...none, [part]: 1 }).some((v) => v !== 0), part);
  }
});

Deno.test("warp() flips exactly, and twice back to the picture", () => {
  fc.assert(fc.property(shapes, bit, bit, fc.nat(99), (shape, flipX, flipY, seed) => {
    const picture = noise(shape, seed);
    const matrix = augmentationMatrix({ ...none, flipX, flipY }, shape);
    const flipped = warp(picture, { ...shape, matrix });
    const { height, width, channels } = shape;
    flipped.forEach((v, i) => {
      const c = i % channels, x = Math.floor(i / channels) % width;
      const y = Math.floor(i / channels / width);
      const fromX = flipX ? width - 1 - x : x, fromY = flipY ? height - 1 - y : y;
      assert.equal(v, picture[(fromY * width + fromX) * channels + c]);
    });
    assert.deepEqual(warp(flipped, { ...shape, matrix }), picture);
  }));
});

Deno.test("warp() by a matrix and then by its inverse returns the inside of a smooth picture", () => {
  const height = 40, width = 56, shape = { height, width, channels: 1 };
  const picture = Float32Array.from({ length: height * width }, (_, i) => {
    const x = i % width, y = Math.floor(i / width);
    return Math.sin(x / 5) * Math.cos(y / 6);
  });
  const augmentation = { ...none, flipX: 1, scale: 0.5, rotation: 0.3, stretch: 0.6, axis: 1 };
  const matrix = augmentationMatrix(augmentation, shape), [a, b, c, d, e, f] = matrix;
  const det = a * e - b * d;
  const inverse = [e, -b, b * f - c * e, -d, a, c * d - a * f].map((v) => v / det);
  const there = warp(picture, { ...shape, matrix });
  const back = warp(there, { ...shape, matrix: inverse as unknown as Affine });
  let moved = 0, away = 0;
  for (let y = 14; y < height - 14; y++) {
    for (let x = 18; x < width - 18; x++) {
      moved = Math.max(moved, Math.abs(there[y * width + x] - picture[y * width + x]));
      away = Math.max(away, Math.abs(back[y * width + x] - picture[y * width + x]));
    }
  }
  assert.ok(moved > 0.5, `moved ${moved}`);
  assert.ok(away < 0.004, `away ${away}`); // two interpolations, each O(h³) of waves of 31 pixels
});

Deno.test("warp() treats each channel alone", () => {
  fc.assert(fc.property(shapes, augmentations, fc.nat(99), (shape, augmentation, seed) => {
    const picture = noise(shape, seed), { channels } = shape;
    const matrix = augmentationMatrix(augmentation, shape);
    const whole = warp(picture, { ...shape, matrix });
    for (let c = 0; c < channels; c++) {
      const channel = (p: Float32Array) => p.filter((_, i) => i % channels === c);
      const alone = warp(channel(picture), { ...shape, channels: 1, matrix });
      assert.deepEqual(channel(whole), alone);
    }
  }));
});

Deno.test("warp() and augmentationOf() refuse wrong lengths and probabilities", () => {
  const shape = { height: 2, width: 3, channels: 3, matrix: [1, 0, 0, 0, 1, 0] } as const;
  assert.throws(() => warp(new Float32Array(17), shape), {
    name: "RangeError",
    message:
      "Cannot warp the picture as its length must be height × width × channels, 18: length is 17, length of out is 17",
  });
  assert.throws(() => warp(new Float32Array(18), { ...shape, out: new Float32Array(4) }), /is 4$/);
  assert.throws(() => drawn(0, NaN), /probability is NaN/);
  assert.throws(() => drawn(0, 1.5), RangeError);
});
