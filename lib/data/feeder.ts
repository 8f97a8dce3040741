import { Worker } from "node:worker_threads";
import ndarray from "ndarray";
import type { Split } from "./dataset.ts";
import type { SkippedPicture } from "./draw.ts";
import type { FeedReply } from "./feed_worker.ts";
import { type Feed, type FeedOptions, makeFeed, type TrainingBatch } from "./training_batch.ts";

/** Training batches that are made ahead of their use, in workers. */
export type Feeder = {
  /**
   * Batch `index`: what `feedBatch` gives. The arrays are the caller's.
   *
   * Asking in order is fast, as the batches that follow are made meanwhile; any other order, and
   * asking again, gives the same batches. An error of the worker is thrown here.
   */
  batchAt(index: number): Promise<TrainingBatch>;
  /** Seconds that callers of `batchAt` have waited in all. */
  readonly waited: number;
  /** Ends the workers. */
  [Symbol.asyncDispose](): Promise<void>;
};

/** How far ahead a feeder works. */
export type FeederOptions = FeedOptions & {
  /** Batches that are made ahead of the one asked for (default 3). */
  ahead?: number;
  /** How many workers make them (default 1). */
  workers?: number;
  /** The index that will be asked for first (default 0). */
  first?: number;
  /** Told of each picture that could not be decoded, once. */
  onSkip?: (skipped: SkippedPicture & { title: string }) => void;
};

/**
 * Opens a feeder of a split's training batches.
 *
 * A training step keeps the main thread busy, so the workers are always told of the next `ahead`
 * batches, which they draw, decode where pictures are not held, and augment while it is.
 * Workers do not keep the process alive.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { batchAt } from "./batches.ts";
 * import { openFeeder } from "./feeder.ts";
 * import { openDataset } from "./open_dataset.ts";
 *
 * const { train } = await openDataset({ kind: "emoji", categories: ["flags"] }, { size: 16 });
 * const options = { size: 16, batchSize: 4, seed: 0 };
 * await using feeder = openFeeder(train, options);
 * const { images } = await feeder.batchAt(0);
 * assert.deepEqual(images.data, batchAt(train, { ...options, index: 0 }).images.data);
 * ```
 */
export function openFeeder(
  split: Split,
  { ahead = 3, workers = 1, first = 0, onSkip, ...options }: FeederOptions,
): Feeder {
  for (const [name, value, least] of [["ahead", ahead, 0], ["workers", workers, 1]] as const) {
    if (Number.isInteger(value) && value >= least) continue;
    throw new RangeError(
      `Cannot feed batches as ${name} must be a whole number >= ${least}: ${name} is ${value}`,
    );
  }
  const told = new Set<number>();
  const tellOnce = ({ i, reason }: SkippedPicture) => {
    if (!told.has(i)) onSkip?.({ i, reason, title: split.title(i) });
    told.add(i);
  };
  const feed = makeFeed(split, options);
  const hands = Array.from({ length: workers }, () => openWorker(feed));
  const asked = new Map<number, Promise<MadeBatch>>();
  let waiting = 0, waited = 0, closed = false;

  function ask(index: number): Promise<MadeBatch> {
    const known = asked.get(index);
    if (known) return known;
    const idlest = hands.reduce((best, hand) => hand.load() < best.load() ? hand : best);
    const made = idlest.ask(index);
    made.catch(() => {}); // thrown where the batch is asked for
    asked.set(index, made);
    return made;
  }
  function askAhead(from: number): void {
    for (let index = from; index < from + ahead; index++) ask(index);
  }

  askAhead(first);
  return {
    async batchAt(index) {
      if (closed) throw new TypeError("Cannot get a batch as the feeder is closed");
      if (!(Number.isSafeInteger(index) && index >= 0)) {
        throw new RangeError(
          `Cannot make a batch as index must be a whole number >= 0: index is ${index}`,
        );
      }
      const made = ask(index);
      asked.delete(index); // the next who asks for it gets arrays of their own
      for (const other of asked.keys()) {
        if (other < index || other > index + ahead) asked.delete(other);
      }
      askAhead(index + 1);
      const began = performance.now();
      if (waiting++ === 0) hands.forEach((hand) => hand.ref());
      try {
        const { batch, skipped } = await made;
        skipped.forEach(tellOnce);
        return batch;
      } finally {
        if (--waiting === 0) hands.forEach((hand) => hand.unref());
        waited += (performance.now() - began) / 1000;
      }
    },
    get waited() {
      return waited;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await Promise.all(hands.map((hand) => hand.end()));
    },
  };
}

type MadeBatch = { batch: TrainingBatch; skipped: SkippedPicture[] };

/** One worker, and the promises that it owes. */
function openWorker(feed: Feed) {
  const worker = new Worker(new URL("./feed_worker.ts", import.meta.url), { workerData: feed });
  const owed: PromiseWithResolvers<MadeBatch>[] = []; // it answers in order
  let broken: unknown;
  const fail = (error: unknown) => {
    broken ??= error;
    for (const { reject } of owed.splice(0)) reject(broken);
  };
  worker.on("message", (reply: FeedReply) => {
    const { resolve, reject } = owed.shift()!;
    if ("error" in reply) reject(reply.error);
    else resolve(receive(reply));
  });
  worker.on("error", fail);
  worker.unref();
  return {
    load: () => owed.length,
    ask(index: number): Promise<MadeBatch> {
      if (broken) return Promise.reject(broken);
      const promise = Promise.withResolvers<MadeBatch>();
      owed.push(promise);
      worker.postMessage(index);
      return promise.promise;
    },
    ref: () => worker.ref(),
    unref: () => worker.unref(),
    async end(): Promise<void> {
      fail(new TypeError("Cannot get a batch as the feeder is closed"));
      await worker.terminate();
    },
  };
}

function receive(
  { images, labels, augCond, selfCond, skipped }: Exclude<FeedReply, { error: unknown }>,
): MadeBatch {
  const batch = {
    images: ndarray(images.data, images.shape),
    labels,
    ...(augCond && { augCond }),
    ...(selfCond && { selfCond: ndarray(selfCond.data, selfCond.shape) }),
  };
  return { batch, skipped };
}
