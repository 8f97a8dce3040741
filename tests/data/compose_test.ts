import assert from "node:assert/strict";
import fc from "fast-check";
import { composePicture, drawAppearance, lightColour } from "../../lib/data/compose.ts";

const unit = fc.float({ min: 0, max: Math.fround(0.9999999), noNaN: true });
const byte = fc.nat(255);

function compose(pixel: number[], background: [number, number, number]): number[] {
  const out = new Float32Array(3);
  const block = { data: Uint8Array.from(pixel), height: 1, width: 1, bytes: pixel.length as 3 | 4 };
  composePicture(block, { i: 0, background, mirrored: false, out, offset: 0 });
  return [...out];
}

Deno.test("composePicture() is the background where alpha is 0, the picture where it is 255", () => {
  fc.assert(
    fc.property(fc.tuple(byte, byte, byte), fc.tuple(unit, unit, unit), (rgb, background) => {
      const picture = rgb.map((v) => Math.fround(v * 2 / 255 - 1));
      const close = (a: number[], b: number[]) =>
        a.forEach((v, c) => assert.ok(Math.abs(v - b[c]) < 1e-6));
      close(compose([...rgb, 0], background), background.map((v) => v * 2 - 1));
      close(compose([...rgb, 255], background), picture);
      close(compose(rgb, background), picture);
    }),
  );
});

Deno.test("composePicture() lies between picture and background, so in [-1, 1]", () => {
  fc.assert(
    fc.property(
      fc.tuple(byte, byte, byte, byte),
      fc.tuple(unit, unit, unit),
      (rgba, background) => {
        compose(rgba, background).forEach((value, c) => {
          const ends = [rgba[c] * 2 / 255 - 1, background[c] * 2 - 1].sort((a, b) => a - b);
          assert.ok(value >= ends[0] - 1e-6 && value <= ends[1] + 1e-6);
          assert.ok(value >= -1 && value <= 1);
        });
      },
    ),
  );
});

Deno.test("composePicture() mirrored is the picture with its columns reversed", () => {
  const [height, width] = [3, 5];
  const data = Uint8Array.from({ length: 2 * height * width * 4 }, (_, i) => (i * 37) % 256);
  const draw = (mirrored: boolean) => {
    const out = new Float32Array(height * width * 3 + 2).fill(9);
    const background = [0.9, 0.8, 0.7] as const;
    composePicture({ data, height, width, bytes: 4 }, {
      i: 1,
      background,
      mirrored,
      out,
      offset: 2,
    });
    assert.deepEqual([out[0], out[1]], [9, 9]); // what is before the offset is left alone
    return out.slice(2);
  };
  const [plain, mirrored] = [draw(false), draw(true)];
  for (let i = 0; i < plain.length; i++) {
    const c = i % 3, x = Math.floor(i / 3) % width, y = Math.floor(i / 3 / width);
    assert.equal(mirrored[(y * width + width - 1 - x) * 3 + c], plain[i]);
  }
});

Deno.test("lightColour() is light, and of every hue", () => {
  fc.assert(fc.property(fc.tuple(unit, unit, unit), (u) => {
    const colour = lightColour(u);
    assert.ok(Math.max(...colour) >= 0.86 - 1e-6 && Math.max(...colour) <= 1);
    assert.ok(Math.min(...colour) >= 0.86 * 0.68 - 1e-6);
  }));
  const hues = [0, 1 / 3, 2 / 3].map((hue) => lightColour([hue, 1, 1]));
  hues.forEach((colour, i) => assert.equal(colour.indexOf(Math.max(...colour)), i));
});

Deno.test("drawAppearance() depends on the seed, the stream and the counter alone", () => {
  const at = { seed: 3, counter: 8, stream: "a" };
  assert.deepEqual(drawAppearance(at), drawAppearance({ ...at }));
  for (const other of [{ seed: 4 }, { counter: 9 }, { stream: "b" }]) {
    assert.notDeepEqual(drawAppearance(at), drawAppearance({ ...at, ...other }));
  }
});
