import assert from "node:assert/strict";
import fc from "fast-check";
import { type Density, paperDensity, sigmaAt } from "../../lib/diffusion/densities.ts";
import { densityFromConfig } from "../../lib/diffusion/density_config.ts";
import { inverseNormal } from "../../lib/diffusion/inverse_normal.ts";
import { stratify } from "../../lib/diffusion/stratified.ts";

const context = { sigmaData: 0.5, sigmaMin: 0.01, sigmaMax: 80, size: [128, 96] } as const;
const unit = fc.double({ min: 0, max: 1, noNaN: true });
const near = (a: number, b: number, tolerance: number) =>
  assert.ok(Math.abs(a - b) <= tolerance * Math.abs(b), `${a} is not ${b}`);

const all: Density[] = [
  { kind: "lognormal", loc: -1.2, scale: 1.2 },
  { kind: "split-lognormal", loc: 0.2, scale1: 0.4, scale2: 1.5 },
  { kind: "loglogistic", loc: -0.5, scale: 0.8, minValue: 0.01, maxValue: 50 },
  { kind: "loguniform", minValue: 0.05, maxValue: 5 },
  { kind: "uniform", minValue: 0.05, maxValue: 5 },
  { kind: "v-diffusion", sigmaData: 0.5, minValue: 1e-3, maxValue: 1e3 },
];

Deno.test("inverseNormal() agrees with Python's statistics.NormalDist().inv_cdf", () => {
  const known = [
    [1e-12, -7.034483825301132],
    [1e-6, -4.753424308822899],
    [0.01, -2.3263478740408408],
    [0.3, -0.5244005127080407],
    [0.9, 1.2815515655446006],
    [0.99999, 4.26489079392384],
  ];
  for (const [p, z] of known) near(inverseNormal(p), z, 1e-15);
  assert.equal(inverseNormal(0.5), 0);
  assert.deepEqual([inverseNormal(0), inverseNormal(1)], [-Infinity, Infinity]);
});

Deno.test("sigmaAt() has the quantiles of the paper's density at 32 to 1024 pixels", () => {
  // Quantiles derived from the paper's formula independently of this code, sigmaData 1/2.
  const u = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99];
  const known: Record<number, number[]> = {
    32: [30.894, 3.15178, 1.20753, 0.500751, 0.207913, 0.0800894, 0.0088424],
    128: [111.633, 10.8802, 3.40458, 1.0, 0.293722, 0.0919099, 0.00895789],
    256: [199.58, 20.092, 5.70694, 1.41262, 0.349126, 0.0984795, 0.0090187],
    1024: [493.038, 65.9071, 15.8393, 2.80808, 0.492638, 0.113023, 0.00914282],
  };
  for (const [side, values] of Object.entries(known)) {
    const density = paperDensity([Number(side), Number(side)]);
    values.forEach((v, i) => near(sigmaAt(density, u[i]), v, 1e-5)); // six digits were stated
  }
});

Deno.test("sigmaAt() of the paper's density falls from exactly 1e3 to exactly 1e-3 at any size", () => {
  fc.assert(fc.property(fc.integer({ min: 8, max: 2048 }), unit, unit, (side, a, b) => {
    const density = paperDensity([side, side]);
    near(sigmaAt(density, 0), 1e3, 1e-9);
    near(sigmaAt(density, 1), 1e-3, 1e-9);
    if (a < b) assert.ok(sigmaAt(density, a) >= sigmaAt(density, b) * (1 - 1e-12));
  }));
});

Deno.test("sigmaAt() rises in u for every other density and stays in its range", () => {
  fc.assert(fc.property(fc.constantFrom(...all), unit, unit, (density, a, b) => {
    const [low, high] = [sigmaAt(density, Math.min(a, b)), sigmaAt(density, Math.max(a, b))];
    assert.ok(low > 0 && high < Infinity && low <= high * (1 + 1e-12), `${low}, ${high}`);
  }));
});

Deno.test("sigmaAt() reaches the ends of bounded densities exactly", () => {
  for (const density of all) {
    if (!("minValue" in density)) continue;
    near(sigmaAt(density, 0), density.minValue, 1e-9);
    near(sigmaAt(density, 1), density.maxValue, 1e-9);
  }
});

Deno.test("sigmaAt() stays positive and finite where the range is open", () => {
  const open = { minValue: 0, maxValue: Infinity };
  for (
    const density of [
      { kind: "loglogistic", loc: -0.7, scale: 0.5, ...open },
      { kind: "v-diffusion", sigmaData: 0.5, ...open },
    ] as const
  ) {
    const [low, middle, high] = [0, 0.5, 1].map((u) => sigmaAt(density, u));
    assert.ok(0 < low && low < middle && middle < high && high < Infinity, `${low}, ${high}`);
  }
});

Deno.test("sigmaAt() of split-lognormal is continuous at loc and has each side's mass", () => {
  const density: Density = { kind: "split-lognormal", loc: 0.2, scale1: 0.4, scale2: 1.5 };
  const share = 0.4 / 1.9;
  near(sigmaAt(density, share - 1e-9), Math.exp(0.2), 1e-6);
  near(sigmaAt(density, share + 1e-9), Math.exp(0.2), 1e-6);
  // One standard deviation of the left half: Phi(1) - 1/2 of a half, above the left tail
  const tail = 2 * (1 - 0.841344746068543);
  near(sigmaAt(density, share * tail), Math.exp(0.2 - 0.4), 1e-5);
  near(sigmaAt(density, 1 - (1 - share) * tail), Math.exp(0.2 + 1.5), 1e-5);
});

Deno.test("sigmaAt() refuses u outside [0, 1], NaN too", () => {
  for (const u of [-1e-9, 1.01, NaN]) assert.throws(() => sigmaAt(all[0], u), /u must be in/);
});

Deno.test("densityFromConfig() fills in the reference's defaults and takes its other names", () => {
  assert.deepEqual(densityFromConfig({ type: "lognormal", mean: 1, std: 2 }, context), {
    kind: "lognormal",
    loc: 1,
    scale: 2,
  });
  assert.deepEqual(densityFromConfig({ type: "cosine", max_value: 20 }, context), {
    kind: "v-diffusion",
    sigmaData: 0.5,
    minValue: 1e-3,
    maxValue: 20,
  });
  assert.deepEqual(densityFromConfig({ type: "cosine-interpolated" }, context), {
    kind: "cosine-interpolated",
    sigmaData: 0.5,
    imageD: 128,
    noiseDLow: 32,
    noiseDHigh: 128,
    minValue: 1e-3,
    maxValue: 1e3,
  });
  assert.deepEqual(densityFromConfig({ type: "loguniform" }, context), {
    kind: "loguniform",
    minValue: 0.01,
    maxValue: 80,
  });
});

Deno.test("densityFromConfig() names what is wrong", () => {
  assert.throws(() => densityFromConfig({ type: "gamma" }, context), /type is gamma, known are/);
  assert.throws(() => densityFromConfig({ type: "lognormal", loc: 0 }, context), /scale or std/);
  assert.throws(
    () => densityFromConfig({ type: "loguniform", minvalue: 1 }, context),
    /minvalue, known are type, min_value/,
  );
});

Deno.test("stratify() puts one number into each stratum; groups together cover [0, 1)", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 5 }),
    fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
      minLength: 1,
      maxLength: 8,
    }),
    (groups, random) => {
      const B = random.length;
      const u = Array.from(
        { length: groups },
        (_, group) => [...stratify(random, { group, groups })],
      )
        .flat().sort((a, b) => a - b);
      u.forEach((x, i) => {
        const at = x * B * groups;
        assert.ok(at >= i - 1e-9 && at < i + 1 + 1e-9, `${x} is not in stratum ${i}`);
      });
    },
  ));
  assert.throws(() => stratify([0], { group: 2, groups: 2 }), /group is 2, groups is 2/);
});
