import os from "node:os";
import { join } from "@std/path";
import { openTensorBoard, type TensorBoard } from "../io/tensorboard.ts";
import { liveChart } from "./live_chart.ts";
import {
  appendLog,
  type DemoRecord,
  type EvaluationRecord,
  type LogRecord,
  type TrainRecord,
} from "./log.ts";
import type { TrainPlan } from "./plan.ts";

/** Writes records to the log, and to TensorBoard and the chart where they are wanted. */
export async function openNotes(
  { dir, config, engine }: TrainPlan,
  { known, step, images, chart }: {
    known: readonly LogRecord[];
    step: number;
    images: number;
    chart: boolean;
  },
) {
  const board = config.log.tensorboard
    ? openTensorBoard(join(dir, "tensorboard"), { step })
    : undefined;
  const drawing = chart ? liveChart(known) : undefined;
  await appendLog(dir, {
    kind: "session",
    step,
    images,
    started: new Date().toISOString(),
    engine,
    cpu: os.cpus()[0]?.model.trim() || Deno.build.arch,
    cores: navigator.hardwareConcurrency,
  });
  return {
    async add(record: TrainRecord | EvaluationRecord | DemoRecord, grid?: Uint8Array) {
      await appendLog(dir, record);
      if (board) show(board, record, grid);
      await drawing?.add(record);
    },
    [Symbol.dispose]: () => board?.[Symbol.dispose](),
  };
}

function show(
  board: TensorBoard,
  record: TrainRecord | EvaluationRecord | DemoRecord,
  grid: Uint8Array | undefined,
): void {
  switch (record.kind) {
    case "train": {
      const { kind: _, step, images, ...numbers } = record;
      return board.scalars(step, {
        images,
        ...Object.fromEntries(
          Object.entries(numbers).map(([name, value]) => [`train/${name}`, value]),
        ),
      });
    }
    case "evaluation": {
      const { step, heldOut, distance } = record;
      return board.scalars(step, {
        "evaluation/held-out loss": heldOut.mean,
        ...(distance && { [`evaluation/FD (${distance.features})`]: distance.value }),
      });
    }
    case "demo":
      return board.image(record.step, "samples", grid!);
  }
}
