/** Runs `work` on 0 … count − 1, at most `limit` at a time, and waits for all; the first error stops it. */
export async function inParallel(
  count: number,
  { limit, work }: { limit: number; work: (i: number) => Promise<void> },
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  const workers = Array.from({ length: Math.min(limit, count) }, worker);
  try {
    await Promise.all(workers);
  } finally {
    next = count;
    await Promise.allSettled(workers);
  }
}
