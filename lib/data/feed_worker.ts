/**
 * The worker of a feeder: makes the batches that it is asked for, one after the other.
 *
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { denseData } from "./dense.ts";
import type { SkippedPicture } from "./draw.ts";
import { type Feed, feedBatch } from "./training_batch.ts";

/** An array that can be sent: its memory changes hands. */
export type SentArray = { data: Float32Array; shape: number[] };

/** What a worker answers to an index. */
export type FeedReply =
  & { index: number }
  & (
    | {
      images: SentArray;
      labels: Int32Array;
      augCond: Float32Array | undefined;
      selfCond: SentArray | undefined;
      skipped: SkippedPicture[];
    }
    | { error: unknown }
  );

async function answer(index: number): Promise<void> {
  try {
    const skipped: SkippedPicture[] = [];
    const onSkip = (picture: SkippedPicture) => void skipped.push(picture);
    const batch = await feedBatch(workerData as Feed, { index, onSkip });
    const { labels, augCond } = batch;
    const images = { data: denseData(batch.images), shape: batch.images.shape };
    const selfCond = batch.selfCond &&
      { data: denseData(batch.selfCond), shape: batch.selfCond.shape };
    const reply: FeedReply = { index, images, labels, augCond, selfCond, skipped };
    const moved = [images.data, labels, augCond, selfCond?.data].flatMap((a) => a?.buffer ?? []);
    parentPort!.postMessage(reply, moved as ArrayBuffer[]);
  } catch (error) {
    parentPort!.postMessage({ index, error } satisfies FeedReply);
  }
}

let last = Promise.resolve();
parentPort!.on("message", (index: number) => {
  last = last.then(() => answer(index));
});
