import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import ndarray from "ndarray";
import sharp from "sharp";
import { decodeImage, encodePng, imageGrid, toBytes } from "../../lib/io/images.ts";

/** A 2 × 3 image (height × width) with a colour of its own in each pixel. */
const RGB = Uint8Array.from([
  255,
  0,
  0,
  0,
  255,
  0,
  0,
  0,
  255,
  9,
  8,
  7,
  200,
  100,
  50,
  255,
  255,
  255,
]);
const raw = (data: Uint8Array, channels: 1 | 2 | 3 | 4) =>
  sharp(data, { raw: { width: 3, height: 2, channels } });

Deno.test("decodeImage() reads PNG and lossless WebP exactly, as [H, W, 3]", async () => {
  for (const image of [raw(RGB, 3).png(), raw(RGB, 3).webp({ lossless: true })]) {
    const { data, shape } = await decodeImage(await image.toBuffer());
    assert.deepEqual([shape, [...data]], [[2, 3, 3], [...RGB]]);
  }
});

Deno.test("decodeImage() reads JPEG to within its loss", async () => {
  const grey = new Uint8Array(16 * 16 * 3).fill(120);
  const jpeg = await sharp(grey, { raw: { width: 16, height: 16, channels: 3 } }).jpeg().toBuffer();
  const { data, shape } = await decodeImage(jpeg);
  assert.deepEqual(shape, [16, 16, 3]);
  assert.ok(data.every((v) => Math.abs(v - 120) <= 2));
});

Deno.test("decodeImage() composites transparency on white", async () => {
  const rgba = Uint8Array.from(
    { length: 24 },
    (_, i) => i % 4 === 3 ? [0, 255, 51][(i >> 2) % 3] : 0,
  );
  const { data } = await decodeImage(await raw(rgba, 4).png().toBuffer());
  assert.deepEqual([data[0], data[3], data[6]], [255, 0, 204]); // 255 · (1 − 51 / 255) = 204
});

Deno.test("decodeImage() repeats grey in three channels, with alpha and with 16 bits too", async () => {
  const grey = Uint8Array.from([0, 50, 100, 150, 200, 250]);
  const expected = [...grey].flatMap((v) => [v, v, v]);
  const png = await raw(grey, 1).toColourspace("b-w").png().toBuffer();
  const wide = await sharp(png).toColourspace("grey16").png().toBuffer();
  const alpha = await raw(Uint8Array.from([...grey].flatMap((v) => [v, 255])), 2)
    .toColourspace("b-w").png().toBuffer();
  for (const file of [png, wide, alpha]) {
    const { data, shape } = await decodeImage(file);
    assert.deepEqual([shape, [...data]], [[2, 3, 3], expected]);
  }
});

Deno.test("decodeImage() turns a photograph the way its EXIF orientation says", async () => {
  const turned = await raw(RGB, 3).withMetadata({ orientation: 6 }).png().toBuffer(); // 90° clockwise
  const { data, shape } = await decodeImage(turned);
  assert.deepEqual(shape, [3, 2, 3]);
  assert.deepEqual([...data.subarray(0, 6)], [9, 8, 7, 255, 0, 0]); // bottom left comes to top left
});

Deno.test("decodeImage() refuses a truncated JPEG, text, nothing, and a file of too many pixels", async () => {
  const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251);
  const jpeg = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } }).jpeg()
    .toBuffer();
  const huge = new Uint8Array(await raw(RGB, 3).png().toBuffer());
  const view = new DataView(huge.buffer, huge.byteOffset);
  view.setUint32(16, 50_000); // IHDR: width, height; then the sum over type and data
  view.setUint32(20, 50_000);
  view.setUint32(29, crc32(huge.subarray(12, 29)));
  const files = [
    jpeg.subarray(0, Math.floor(jpeg.length / 2)),
    new TextEncoder().encode("these are words, not pixels"),
    new Uint8Array(0),
    huge,
  ];
  for (const file of files) {
    await assert.rejects(async () => await decodeImage(file), (error: Error) => {
      assert.ok(/^Cannot decode the image: \S/.test(error.message), error.message);
      return error instanceof TypeError;
    });
  }
});

Deno.test("encodePng() then decodeImage() is the identity for RGB and grey of any size", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(1, 3),
      fc.uint8Array({ minLength: 243, maxLength: 243 }),
      async (height, width, channels, bytes) => {
        const pixels = bytes.subarray(0, height * width * channels);
        const png = await encodePng(ndarray(pixels, [height, width, channels]));
        const expected = channels === 3 ? [...pixels] : [...pixels].flatMap((v) => [v, v, v]);
        const { data, shape } = await decodeImage(png);
        assert.deepEqual([shape, [...data]], [[height, width, 3], expected]);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("encodePng() takes strided views, and refuses other shapes by name", async () => {
  const turned = ndarray(RGB, [2, 3, 3]).transpose(1, 0, 2);
  const { data, shape } = await decodeImage(await encodePng(turned));
  assert.deepEqual([shape, [...data.subarray(0, 6)]], [[3, 2, 3], [255, 0, 0, 9, 8, 7]]);
  await assert.rejects(() => encodePng(ndarray(new Uint8Array(4), [1, 2, 2])), {
    name: "RangeError",
    message:
      "Cannot encode a PNG as pixels must be [H, W, C] with C of 1, 3 or 4: shape is [1,2,2]",
  });
});

Deno.test("toBytes() maps -1, 0 and 1, clips what is outside, and makes NaN black", () => {
  assert.deepEqual([...toBytes(Float32Array.of(-1, 0, 1, -7, 7, NaN))], [0, 128, 255, 0, 255, 0]);
});

Deno.test("imageGrid() lays images out in rows with white gaps", async () => {
  const images = Float32Array.of(-1, -1, -1, 1, -1, -1, -1, 1, -1); // black, red, green; 1 × 1 each
  const png = await imageGrid(ndarray(images, [3, 1, 1, 3]), { columns: 2, gap: 1 });
  const { data, shape } = await decodeImage(png);
  const white = [255, 255, 255];
  assert.deepEqual(shape, [3, 3, 3]);
  assert.deepEqual(
    [...data],
    [[0, 0, 0], white, [255, 0, 0], white, white, white, [0, 255, 0], white, white].flat(),
  );
});

Deno.test("imageGrid() draws grey images, and refuses shapes and columns that it cannot draw", async () => {
  const grey = ndarray(new Float32Array(8), [2, 2, 2, 1]);
  assert.deepEqual((await decodeImage(await imageGrid(grey, { gap: 0 }))).shape, [2, 4, 3]);
  const empty = ndarray(new Float32Array(0), [0, 2, 2, 3]);
  await assert.rejects(() => imageGrid(empty), RangeError);
  await assert.rejects(() => imageGrid(grey, { columns: NaN }), /columns is NaN/);
});
