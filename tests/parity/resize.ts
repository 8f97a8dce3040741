import ndarray from "ndarray";
import { resizeImages } from "../../lib/data/resize.ts";
import { caseTensors, type Fixture, toleranceOf } from "./fixture.ts";
import { type CaseResult, compareTensors, type Handler } from "./run.ts";

async function* resize(fixture: Fixture): AsyncIterable<CaseResult> {
  const { data, shape: [n, channels, fromHeight, fromWidth] } = fixture.tensors().get("x")!;
  const x = ndarray(Float32Array.from(data as Float32Array), [n, channels, fromHeight, fromWidth])
    .transpose(0, 2, 3, 1); // channels last
  for (const [i, { size, mode, antialias }] of fixture.json.cases.entries()) {
    const [height, width] = size;
    const out = resizeImages(x, { height, width, kernel: mode, antialias });
    const expected = caseTensors(fixture, i).get("out")!;
    const actual = Float32Array.from({ length: expected.data.length }, (_, k) => {
      const column = k % width, row = Math.floor(k / width) % height;
      const channel = Math.floor(k / (width * height)) % channels;
      return out.get(Math.floor(k / (width * height * channels)), row, column, channel);
    });
    yield await compareTensors(`${fixture.label}[${i}]`, {
      actual: { out: actual },
      expected: { out: expected },
      tolerance: toleranceOf(fixture, i),
    });
  }
}

/** Resizing of images. */
export const handlers: Handler[] = [{ room: "util", stem: "resize", run: resize }];
