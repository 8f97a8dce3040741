import assert from "node:assert/strict";
import fc from "fast-check";
import ndarray from "ndarray";
import { normals } from "../../lib/engine/random.ts";
import { type Features, featureStatistics, frechetDistanceTo } from "../../lib/metrics/frechet.ts";
import { frechetInterval } from "../../lib/metrics/frechet_interval.ts";
import { jackknife } from "../../lib/metrics/jackknife.ts";

function sample({ n, d, seed, shift = 0 }: { n: number; d: number; seed: number; shift?: number }) {
  const z = normals({ seed, stream: "tests/interval" }, 0, n * (d + 1));
  const data = Float64Array.from({ length: n * d }, (_, k) => {
    const i = Math.floor(k / d), a = k % d;
    return shift + z[i * (d + 1) + a] * (1 + a) + z[i * (d + 1) + d];
  });
  return ndarray(data, [n, d]) as Features;
}

Deno.test("frechetInterval() is the jackknife of the distance", async () => {
  const sizes = fc.record({
    n: fc.integer({ min: 8, max: 60 }),
    d: fc.integer({ min: 1, max: 40 }),
    groups: fc.integer({ min: 2, max: 4 }),
    seed: fc.nat(1e6),
    shift: fc.constantFrom(0, 3, 100),
  });
  await fc.assert(
    fc.asyncProperty(sizes, async ({ n, d, groups, seed, shift }) => {
      const x = sample({ n, d, seed, shift }), y = featureStatistics(sample({ n: 50, d, seed: 1 }));
      const toReference = frechetDistanceTo(y);
      const slow = jackknife(x, {
        distance: (x) => toReference(featureStatistics(x)),
        groups,
        seed,
        least: 0,
      });
      const fast = await frechetInterval(x, y, { groups, seed, least: 0 });
      for (const key of ["value", "standardError", "low", "high", "bias"] as const) {
        // eigenvalues that ought to be 0 enter by their square root, as in the distance itself
        const far = Math.abs(fast[key] - slow[key]);
        assert.ok(far < 1e-4 * (1 + slow.value), `${key}: ${fast[key]} and ${slow[key]}`);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("frechetInterval() takes views, and does not change the features", async () => {
  const x = sample({ n: 30, d: 3, seed: 2 }), before = [...x.data];
  const y = featureStatistics(sample({ n: 40, d: 3, seed: 3 }));
  const whole = await frechetInterval(x.lo(10, 0) as Features, y, { groups: 5, seed: 0 });
  const copy = ndarray(Float64Array.from(x.data.slice(30)), [20, 3]);
  assert.deepEqual(whole, await frechetInterval(copy, y, { groups: 5, seed: 0 }));
  assert.deepEqual([...x.data], before);
});

Deno.test("frechetInterval() refuses other dimensions, too many groups and NaN, and stops when asked", async () => {
  const x = sample({ n: 10, d: 3, seed: 1 }), y = featureStatistics(x);
  const other = sample({ n: 10, d: 2, seed: 1 });
  const rejects = async (x: Features, groups: number, message: RegExp) =>
    await assert.rejects(frechetInterval(x, y, { groups, seed: 0 }), { message });
  await rejects(other, 2, /dimensions are 2 and 3/);
  await rejects(x, 6, /groups is 6, N is 10/);
  const stop = new AbortController();
  let groups = 0;
  const onProgress = () => void (++groups === 2 && stop.abort(new Error("enough")));
  const options = { groups: 5, seed: 0, signal: stop.signal, onProgress };
  await assert.rejects(frechetInterval(x, y, options), /enough/);
  assert.equal(groups, 2);
  x.set(4, 1, NaN);
  await rejects(x, 2, /must be finite/);
});
