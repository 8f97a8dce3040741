import assert from "node:assert/strict";
import fc from "fast-check";
import { inNotebook, progress, type ProgressSink } from "../lib/progress.ts";

/** A clock that is set by hand, in milliseconds. */
function clock() {
  let time = 0;
  return { now: () => time, advance: (ms: number) => void (time += ms) };
}

/** A notebook that keeps what it is sent. */
function notebook() {
  const sent: { type: string; content: Record<string, unknown> }[] = [];
  const sink: ProgressSink = {
    kind: "notebook",
    broadcast: (type, content) => {
      sent.push({ type, content });
      return Promise.resolve();
    },
  };
  return { sent, sink };
}

Deno.test("progress() draws one line of a terminal again and again, cut to its width", () => {
  let text = "";
  const sink: ProgressSink = { kind: "terminal", write: (s) => text += s, columns: () => 60 };
  const { now, advance } = clock();
  const bar = progress({ total: 200, label: "training", unit: "images", sink, now });
  advance(1000);
  bar.update(50, `loss\n${"0".repeat(99)}`);
  bar.end("done");
  const lines = text.split("\r\x1b[K").slice(1);
  assert.equal(lines[0], "░".repeat(14) + " training: 0/200 images (0 %)");
  assert.equal(
    lines[1],
    "█".repeat(4) + "░".repeat(10) + " training: 50/200 images (25 %), 50/s, 3 s le",
  );
  assert.equal(lines[1].length, 59);
  assert.equal(lines.length, 3);
  assert.ok(text.endsWith("\n"));
});

Deno.test("progress() tells the rate of late and the time that remains", () => {
  const lines: string[] = [];
  const { now, advance } = clock();
  const sink: ProgressSink = { kind: "log", write: (line) => lines.push(line) };
  const bar = progress({ total: 1000, initial: 100, unit: "images", sink, now });
  advance(40_000); // a slow start
  bar.update(200);
  for (let done = 300; done <= 700; done += 100) {
    advance(10_000);
    bar.update(done, "loss 0.5");
  }
  bar.end();
  assert.deepEqual(lines, [
    "100/1,000 images (10 %)",
    "200/1,000 images (20 %), 2.5/s, 5 min 20 s left",
    "300/1,000 images (30 %), 10/s, 1 min 10 s left, loss 0.5",
    "400/1,000 images (40 %), 10/s, 1 min 0 s left, loss 0.5",
    "500/1,000 images (50 %), 10/s, 50 s left, loss 0.5",
    "600/1,000 images (60 %), 10/s, 40 s left, loss 0.5",
    "700/1,000 images (70 %), 10/s, 30 s left, loss 0.5",
    "700/1,000 images (70 %) in 1 min 30 s, 6.67/s, loss 0.5",
  ]);
});

Deno.test("progress() writes few lines to a log: 10 s apart at least, and one a minute", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 200 }),
    (steps) => {
      const times: number[] = [];
      const { now, advance } = clock();
      const sink: ProgressSink = { kind: "log", write: () => times.push(now()) };
      const bar = progress({ total: steps.length * 2, sink, now });
      for (const [i, ms] of steps.entries()) {
        advance(ms);
        bar.update(i + 1);
      }
      const gaps = times.slice(1).map((time, i) => time - times[i]);
      assert.ok(gaps.every((gap) => gap >= 10_000 && gap <= 80_000), String(gaps));
      bar.end();
      bar.end();
      bar.update(1);
      assert.equal(times.length, gaps.length + 2);
    },
  ));
});

Deno.test("progress() shows one output in a notebook and updates it ten times a second at most", () => {
  const { sent, sink } = notebook();
  const { now, advance } = clock();
  {
    using bar = progress({ total: 1000, label: "a<b", sink, now });
    for (let i = 1; i <= 1000; i++) {
      advance(10);
      bar.update(i, "loss & so on");
    }
  }
  assert.deepEqual([sent[0].type, sent[1].type], ["display_data", "update_display_data"]);
  assert.ok(sent.slice(1).every(({ type }) => type === "update_display_data"));
  assert.equal(sent.length, 1 + 100 + 1, "the start, ten a second for ten seconds, the end");
  const ids = sent.map(({ content }) => (content.transient as { display_id: string }).display_id);
  assert.equal(new Set(ids).size, 1);
  const data = sent.at(-1)?.content.data as Record<string, string>;
  assert.match(data["text/html"], /^<progress value="1\.0000" max="1".*a&lt;b: 1,000.*&amp; so on/);
  assert.match(data["text/plain"], /^a<b: 1,000\/1,000 \(100 %\) in 10 s, 100\/s, loss & so on$/);
});

Deno.test("progress() throws nothing when the place it is shown in is gone", async () => {
  const closed = () => {
    throw new Deno.errors.BrokenPipe("closed");
  };
  const sinks: ProgressSink[] = [
    { kind: "terminal", write: closed },
    { kind: "log", write: closed },
    { kind: "notebook", broadcast: closed },
    { kind: "notebook", broadcast: () => Promise.reject(new Error("closed")) },
  ];
  for (const sink of sinks) {
    const bar = progress({ total: 2, sink });
    bar.update(1);
    bar.end();
  }
  await new Promise((resolve) => setTimeout(resolve)); // an unhandled rejection would come by now
});

Deno.test("progress() takes a total of 0, and names a total that is none", () => {
  const lines: string[] = [];
  progress({ total: 0, sink: { kind: "log", write: (line) => lines.push(line) }, now: () => 0 })
    .end();
  assert.deepEqual(lines, ["0/0 (100 %)", "0/0 (100 %) in 0 s"]);
  for (const total of [NaN, -1, Infinity]) {
    assert.throws(() => progress({ total }), {
      name: "RangeError",
      message: `Cannot show progress as total must be >= 0: current value is ${total}`,
    });
  }
});

Deno.test("inNotebook() is false outside a notebook", () => assert.equal(inNotebook(), false));
