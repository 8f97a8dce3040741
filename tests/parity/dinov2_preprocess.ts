/** Images as DINOv2 takes them, of pictures that a formula gives. */
import { createHash } from "node:crypto";
import ndarray, { type NdArray } from "ndarray";
import { denseData } from "../../lib/data/dense.ts";
import {
  type Dinov2BytePreprocessing,
  dinov2Bytes,
  dinov2Images,
  type Dinov2Preprocessing,
} from "../../lib/metrics/dinov2_images.ts";
import { formulaUniform } from "./formula_weights.ts";
import { cropOf, rowsIn, statistics } from "./image_checks.ts";
import {
  caseTensors,
  compareTensors,
  failed,
  type Fixture,
  type Handler,
  type Json,
  toleranceOf,
} from "./run.ts";

export const handlers: Handler[] = [{
  room: "dinov2",
  stem: "preprocess",
  when: ({ json }) => "pipelines" in (json.cases?.[0] ?? {}),
  run: preprocess,
}];

/** The library's names by the fixtures'. */
const PIPELINES: Record<string, Dinov2Preprocessing> = {
  short224_crop224: "short-224",
  short256_crop224: "short-256",
  dgm_eval: "dgm-eval",
  dgm_eval_clean: "dgm-eval-clean",
  kdiffusion: "k-diffusion",
};

async function* preprocess(fixture: Fixture) {
  const { json, label } = fixture;
  const rows = rowsIn(json.what, "crop = ");
  const corner = rowsIn(json.what, "corner = ");
  for (const [i, { H, W, image_name, image_check, pipelines }] of json.cases.entries()) {
    const picture = formulaPicture(image_name, { height: H, width: W });
    yield await comparePicture(`${label}[${i}]/image`, { picture, wanted: image_check });
    const images = ndarray( // u8 / 255 · 2 − 1, each step in float32
      Float32Array.from(denseData(picture), (v) => Math.fround(Math.fround(v / 255) * 2) - 1),
      [1, H, W, 3],
    );
    for (const [pipeline, wanted] of Object.entries(pipelines as Record<string, Json>)) {
      const name = `${label}[${i}]/${pipeline}`;
      const preprocessing = PIPELINES[pipeline];
      if (!preprocessing) {
        yield failed(name, new RangeError(`Cannot prepare images by ${pipeline}`));
        continue;
      }
      const stored = Object.fromEntries(
        [...caseTensors(fixture, i)].filter(([key]) => key.startsWith(`${pipeline}.`))
          .map(([key, tensor]) => [key.slice(pipeline.length + 1), tensor]),
      );
      const { crop_u8, ...floats } = stored;
      const { metric, value } = toleranceOf(fixture, i);
      const tolerance = { metric, value: json.advised_tolerance?.[pipeline] ?? value };
      const out = dinov2Images(images, preprocessing);
      const channels = [0, 1, 2].map((c) => statistics(out.lo(0, 0, 0, c).hi(1, 224, 224, 1)));
      yield await compareTensors(name, {
        actual: {
          crop: cropOf(out, rows),
          corner: cropOf(out, corner),
          "means, deviations": [0, 1].flatMap((k) => channels.map(({ moments }) => moments[k])),
          "least, largest": statistics(out).range,
        },
        expected: {
          ...floats,
          "means, deviations": [...wanted.mean, ...wanted.std],
          "least, largest": [wanted.min, wanted.max],
        },
        tolerance,
      });
      if (crop_u8) {
        const bytes = dinov2Bytes(picture, preprocessing as Dinov2BytePreprocessing);
        yield await compareTensors(`${name}/bytes`, {
          actual: {
            crop_u8: cropOf(floatsOf(bytes), rows),
            u8_mean: [mean(denseData(bytes))],
            sha256: digest(denseData(bytes)),
          },
          expected: {
            crop_u8,
            u8_mean: [wanted.u8_mean],
            sha256: fromHex(wanted.sha256_of_the_224x224x3_HWC_uint8_bytes),
          },
          tolerance: { metric: "exact", value: 0 },
        });
      }
    }
  }
}

/** The picture and what the fixture says of it, exactly. */
function comparePicture(
  label: string,
  { picture, wanted }: { picture: NdArray<Uint8Array>; wanted: Json },
) {
  const bytes = denseData(picture);
  const count = (value: number) => bytes.reduce((n, byte) => n + Number(byte === value), 0);
  const start: number[] = wanted.first_row_first_8_pixels_RGB;
  return compareTensors(label, {
    actual: {
      start: bytes.subarray(0, start.length),
      mean: [mean(bytes)],
      counts: [count(0), count(255)],
      sha256: digest(bytes),
    },
    expected: {
      start,
      mean: [wanted.mean],
      counts: [wanted.n_zero, wanted.n_255],
      sha256: fromHex(wanted.sha256_of_HWC_bytes),
    },
    tolerance: { metric: "exact", value: 0 },
  });
}

/**
 * ⌊127.5 + 110 sin(0.1 x (c + 1) + 0.07 y + 0.3) cos(0.05 (x + y) + 1.3) + 60 u⌋, clipped to bytes,
 * u being the formula's numbers for the picture's name: [height, width, 3].
 */
function formulaPicture(
  name: string,
  { height, width }: { height: number; width: number },
): NdArray<Uint8Array> {
  const noise = formulaUniform(name, height * width * 3);
  const bytes = Uint8Array.from(noise, (u, i) => {
    const c = i % 3, x = Math.floor(i / 3) % width, y = Math.floor(i / 3 / width);
    const wave = Math.sin(0.1 * x * (c + 1) + 0.07 * y + 0.3) * Math.cos(0.05 * (x + y) + 1.3);
    return Math.floor(Math.min(255, Math.max(0, 127.5 + 110 * wave + 60 * u)));
  });
  return ndarray(bytes, [height, width, 3]);
}

function floatsOf(bytes: NdArray<Uint8Array>): NdArray<Float32Array> {
  return ndarray(Float32Array.from(denseData(bytes)), [1, ...bytes.shape]);
}

function mean(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + byte, 0) / bytes.length;
}

function digest(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
