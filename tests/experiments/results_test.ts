import assert from "node:assert/strict";
import { join } from "@std/path";
import fc from "fast-check";
import {
  appendResults,
  parseResults,
  readResults,
  type ResultRecord,
  RESULTS_FILE,
} from "../../experiments/results.ts";
import { syntheticRecords } from "./synthetic_results.ts";

const RECORDS = syntheticRecords({ seeds: [0, 1], armsDone: 2 });
const TEXT = RECORDS.map((record) => JSON.stringify(record) + "\n").join("");

function find<K extends ResultRecord["kind"]>(kind: K): Extract<ResultRecord, { kind: K }> {
  return RECORDS.find((record) => record.kind === kind) as Extract<ResultRecord, { kind: K }>;
}

async function withFolder(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "hdit-results-" });
  try {
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("parseResults() sorts records by kind and keeps all of them", () => {
  const { arms, train, evals, samples, costs, done, torn } = parseResults(TEXT);
  const count = arms.length + train.length + evals.length + samples.length + costs.length +
    done.length + 1;
  assert.equal(count, RECORDS.length);
  assert.deepEqual(torn, []);
});

Deno.test("parseResults() lets the later of two records with one key hold", () => {
  const train = find("train");
  const again = { ...train, loss: 7 };
  const results = parseResults(TEXT + JSON.stringify(again));
  const same = results.train.filter(({ arm, seed, step }) =>
    arm === train.arm && seed === train.seed && step === train.step
  );
  assert.deepEqual(same, [again]);
});

Deno.test("parseResults() keeps every session, and the last as the run", () => {
  const resumed = { ...find("run"), started: "2026-02-03T04:05:06+01:00" };
  const { run, sessions } = parseResults(TEXT + JSON.stringify(resumed));
  assert.equal(sessions.length, 2);
  assert.deepEqual(run, resumed);
});

Deno.test("parseResults() forgets a failure once the arm is done", () => {
  const { arm, seed, images } = find("done");
  const failed = { kind: "failed", arm, seed, images, message: "loss is not finite" };
  assert.deepEqual(parseResults(JSON.stringify(failed) + "\n" + TEXT).failed, []);
  const open = { ...failed, arm: "global" };
  assert.equal(parseResults(TEXT + JSON.stringify(open)).failed.length, 1);
});

Deno.test("parseResults() reads a file cut off at any byte after its first line", () => {
  const first = TEXT.indexOf("\n") + 1;
  fc.assert(fc.property(fc.integer({ min: first, max: TEXT.length }), (end) => {
    const cut = TEXT.slice(0, end);
    const whole = cut.split("\n").length - 1;
    const last = cut.slice(cut.lastIndexOf("\n") + 1);
    const isRecord = RECORDS[whole] !== undefined && last === JSON.stringify(RECORDS[whole]);
    const { torn } = parseResults(cut);
    assert.deepEqual(torn, last === "" || isRecord ? [] : [{ line: whole + 1, text: last }]);
  }));
});

Deno.test("parseResults() names the line and the key of a record that does not fit", () => {
  const wrong = JSON.stringify({ ...find("done"), peakRss: "big" });
  assert.throws(() => parseResults(TEXT + wrong), {
    name: "TypeError",
    message: new RegExp(`line ${RECORDS.length + 1} of results.jsonl.*peakRss`),
  });
  assert.throws(() => parseResults(`{"kind":"unheard-of"}`), { name: "TypeError" });
  assert.throws(() => parseResults(""), { name: "TypeError", message: /no run record/ });
});

Deno.test("appendResults() and readResults() are inverse, losses that are not finite included", async () => {
  await withFolder(async (dir) => {
    const diverged = { ...find("train"), loss: NaN, gradNorm: Infinity };
    await appendResults(join(dir, "new", "folder"), [find("run"), find("arm")]);
    await appendResults(join(dir, "new", "folder"), [diverged]);
    const { run, arms, train } = await readResults(join(dir, "new", "folder"));
    assert.deepEqual(run, find("run"));
    assert.deepEqual(arms, [find("arm")]);
    assert.deepEqual(train, [{ ...diverged, gradNorm: NaN }]);
  });
});

Deno.test("appendResults() starts a new line after a torn one", async () => {
  await withFolder(async (dir) => {
    await appendResults(dir, [find("run")]);
    await Deno.writeTextFile(join(dir, RESULTS_FILE), `{"kind":"tra`, { append: true });
    await appendResults(dir, [find("arm")]);
    const { arms, torn } = await readResults(dir);
    assert.equal(arms.length, 1);
    assert.deepEqual(torn, [{ line: 2, text: `{"kind":"tra` }]);
  });
});

Deno.test("appendResults() refuses a record that does not fit, and writes nothing", async () => {
  await withFolder(async (dir) => {
    const wrong = { ...find("arm"), params: -1 };
    await assert.rejects(appendResults(dir, [find("run"), wrong]), { name: "TypeError" });
    await assert.rejects(Deno.stat(join(dir, RESULTS_FILE)), Deno.errors.NotFound);
  });
});
