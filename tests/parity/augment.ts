import { augmentationCond, augmentationMatrix, augmentationOf } from "../../lib/data/augment.ts";
import { warp } from "../../lib/data/warp.ts";
import { type Fixture, toleranceOf } from "./fixture.ts";
import { type CaseResult, compareTensors, type Handler } from "./run.ts";

/** [H, W, C] as the reference has it, [C, H, W]. */
function channelsFirst(picture: Float32Array, channels: number): Float32Array {
  const pixels = picture.length / channels;
  return picture.map((_, k) => picture[(k % pixels) * channels + Math.floor(k / pixels)]);
}

async function* augment(fixture: Fixture): AsyncIterable<CaseResult> {
  const tensors = fixture.tensors();
  for (const [index, c] of fixture.json.cases.entries()) {
    const { data, shape: [height, width, channels = 1] } = tensors.get(`${c.i}.image_u8`)!;
    const picture = Float32Array.from(data as Int32Array, (v) => v / 127.5 - 1);
    const augmentation = augmentationOf({
      flips: c.randint_flipx_flipy,
      gates: c.do_u,
      angles: [c.rot_u, c.aniso_u],
      normals: c.randn_a2_a5_a6_a7,
    }, { prob: c.a_prob });
    const matrix = augmentationMatrix(augmentation, { height, width });
    const out = warp(picture, { height, width, channels, matrix });
    const expected = (name: string) => tensors.get(`${c.i}.${c.j}.${name}`)!;
    yield await compareTensors(`${fixture.label}[${index}]`, {
      actual: {
        out: channelsFirst(out, channels),
        cond: augmentationCond(augmentation),
        orig: channelsFirst(picture, channels),
      },
      expected: { out: expected("out"), cond: expected("cond"), orig: expected("orig") },
      tolerance: toleranceOf(fixture, index),
    });
  }
}

/** The augmentation pipeline, its random draws given. */
export const handlers: Handler[] = [{ room: "augment", stem: "augment", run: augment }];
