/**
 * `deno task export`: a trained model as one ONNX file, for Python, browsers and anything else that
 * runs ONNX.
 *
 * @module
 */
import { command, numberOption, runCommand } from "../lib/command.ts";
import { setEngine } from "../lib/engine/engine.ts";
import { treeDispose, treeSize } from "../lib/engine/tree.ts";
import { readDenoiserInfo } from "../lib/io/onnx_metadata.ts";
import { writeFileAtomic } from "../lib/io/atomic.ts";
import { exportTrained } from "./export/export_trained.ts";
import { openModel, type TrainedModel } from "./export/trained_model.ts";

type Flags = {
  out: string;
  size?: number;
  dynamicSize?: boolean;
  arm?: string;
  seed?: number;
  batch?: number;
  raw?: boolean;
  force?: boolean;
};

const whole = numberOption({ min: 1, whole: true });
const program = command("export", "Write a trained model as one ONNX file, averaged weights inside")
  .argument("<model>", "a run (runs/emoji), a folder of checkpoints, or a .safetensors file")
  .option("--out <file>", "the file to write", "model.onnx")
  .option("--size <pixels>", "side of the images (default: that of the training)", whole)
  .option("--dynamic-size", "any size that patches, merges and windows divide, instead of one")
  .option("--arm <name>", "of a run: which arm (default: base)")
  .option("--seed <number>", "of a run: which seed", numberOption({ min: 0, whole: true }))
  .option("--batch <number>", "one batch size only (default: any)", whole)
  .option("--raw", "the inner network, without the preconditioning")
  .option("--force", "replace the file where there is one")
  .action(main);

async function main(path: string, flags: Flags): Promise<void> {
  const { out, size, dynamicSize = false, batch, raw, force, arm, seed } = flags;
  if (!force && await exists(out)) {
    throw new TypeError(`Cannot write ${out} as there is such a file: --force replaces it`);
  }
  await setEngine();
  const trained = await openModel(path, { arm, seed });
  try {
    const file = exportTrained(trained, {
      ...(size !== undefined && { size }),
      ...(batch !== undefined && { dynamicBatch: false, batch }),
      dynamicSize,
      denoiser: !raw,
    });
    await writeFileAtomic(out, file);
    console.log(describe(trained, { ...flags, file }));
  } finally {
    treeDispose(trained.params);
  }
}

function describe(
  { params, source }: TrainedModel,
  { out, file, batch, raw }: { file: Uint8Array } & Pick<Flags, "out" | "batch" | "raw">,
): string {
  const { size, sizeMultiple } = readDenoiserInfo(file);
  const weights = 4 * treeSize(params);
  const mega = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;
  return [
    `model   ${source}`,
    `file    ${out}, ${mega(file.length)}: weights ${
      mega(weights)
    }, the rest operations and tables`,
    `size    ${sizeMultiple ? `any multiples of ${sizeMultiple.join(" × ")}` : size.join(" × ")}`,
    `batch   ${batch === undefined ? "any" : batch}`,
    `output  ${raw ? "raw: F(c_in x, sigma)" : "denoised: D(x, sigma)"}`,
  ].join("\n");
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

if (import.meta.main) await runCommand(program);
