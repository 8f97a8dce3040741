import * as tf from "@tensorflow/tfjs";
import { dct2, frequencyWeights } from "../../lib/diffusion/dct.ts";
import { sigmaAt, splitLognormal } from "../../lib/diffusion/densities.ts";
import { densityFromConfig } from "../../lib/diffusion/density_config.ts";
import { discreteSchedule, vDenoiser, vLoss } from "../../lib/diffusion/external.ts";
import { denoisingLoss, denoisingLossWithVariance } from "../../lib/diffusion/loss.ts";
import { preconditioned, scalings } from "../../lib/diffusion/preconditioning.ts";
import { stratify } from "../../lib/diffusion/stratified.ts";
import { perSample } from "../../lib/diffusion/types.ts";
import { lossWeight, type Weighting } from "../../lib/diffusion/weightings.ts";
import {
  type CaseResult,
  compareTensors,
  errorOf,
  type Fixture,
  type Handler,
  type Json,
  result,
  toleranceOf,
  toTensor,
} from "./run.ts";

const numbersOf = (fixture: Fixture, name: string): Float64Array => {
  const tensor = fixture.tensors().get(name);
  if (!tensor) throw new RangeError(`Cannot find tensor ${name} in ${fixture.label}`);
  return Float64Array.from(tensor.data as Float32Array, Number);
};
/** A stored [B, C, H, W] tensor as [B, H, W, C]. */
const channelsLast = (fixture: Fixture, name: string) =>
  tf.tidy(() => toTensor(fixture.tensors().get(name)!).transpose([0, 2, 3, 1])) as tf.Tensor4D;
const channelsFirst = (x: tf.Tensor) => x.transpose([0, 3, 1, 2]);
/** The expected tensors of a fixture whose names start with a prefix, by the rest of the name. */
const expectedUnder = (fixture: Fixture, prefix: string) =>
  Object.fromEntries(
    [...fixture.tensors()].filter(([name]) => name.startsWith(`${prefix}.`))
      .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor]),
  );

async function* denoiser(fixture: Fixture): AsyncIterable<CaseResult> {
  const tolerance = toleranceOf(fixture);
  const sigmas = toTensor(fixture.tensors().get("sigmas")!) as tf.Tensor1D;
  for (const { prefix, sigma_data: sigmaData } of fixture.json.scalings ?? []) {
    const expected = expectedUnder(fixture, prefix);
    const { cSkip, cOut, cIn } = scalings(sigmas, { kind: "edm", sigmaData });
    const actual: Record<string, tf.Tensor> = { c_skip: cSkip, c_out: cOut, c_in: cIn };
    for (const name of Object.keys(expected)) {
      const kind = /^weight\.(.+)$/.exec(name)?.[1];
      if (!kind) continue;
      actual[name] = lossWeight(sigmas, { weighting: { kind } as Weighting, sigmaData });
    }
    yield await compareTensors(`${fixture.label}[${prefix}]`, { actual, expected, tolerance });
  }
  for (const { prefix, cls, args } of fixture.json.losses ?? []) {
    const actual = lossCase(fixture, { cls: cls.split(".").at(-1), args });
    const expected = expectedUnder(fixture, prefix);
    yield await compareTensors(`${fixture.label}[${prefix}]`, { actual, expected, tolerance });
  }
}

/** The stored toy network: A + 0.3 z cos z + 0.05 ln(sigma or t). */
function lossCase(fixture: Fixture, { cls, args }: { cls: string; args: Json }) {
  const images = channelsLast(fixture, "loss.x"), noise = channelsLast(fixture, "loss.noise");
  const sigma = toTensor(fixture.tensors().get("loss.sigma")!) as tf.Tensor1D;
  const A = channelsLast(fixture, "loss.A");
  const seen: Record<string, tf.Tensor> = {};
  const toy = (z: tf.Tensor4D, level: tf.Tensor1D) => {
    seen.model_input ??= tf.keep(channelsFirst(z));
    seen.model_sigma_or_t ??= tf.keep(level.clone());
    return A.add(z.mul(z.cos()).mul(0.3)).add(perSample(level.log(), z).mul(0.05)) as tf.Tensor4D;
  };
  const batch = { images, noise, sigma }, sigmaData = args.sigma_data ?? 1;
  const noisy = images.add(noise.mul(perSample(sigma, noise))) as tf.Tensor4D;
  const edm = () => channelsFirst(preconditioned(toy, { kind: "edm", sigmaData })(noisy, sigma));
  switch (cls) {
    case "Denoiser": {
      const weighting = { kind: args.weighting ?? "karras" } as Weighting;
      const loss = denoisingLoss(toy, batch, { sigmaData, weighting, scales: args.scales ?? 1 });
      return { loss, denoised: edm(), ...seen };
    }
    case "SimpleLossDenoiser": { // the error of the predicted noise
      const loss = denoisingLoss(toy, batch, { sigmaData, weighting: { kind: "snr" } });
      return { loss, denoised: edm(), ...seen };
    }
    case "DenoiserWithVariance": {
      const loss = denoisingLossWithVariance(
        (z, level) => ({
          output: toy(z, level),
          logVariance: level.log().mul(0.1).add(0.2) as tf.Tensor1D,
        }),
        batch,
        { sigmaData },
      );
      return { loss, denoised: edm(), ...seen };
    }
    case "VDenoiser": {
      const loss = vLoss(toy, batch);
      return { loss, denoised: channelsFirst(vDenoiser(toy)(noisy, sigma)), ...seen };
    }
    default:
      throw new RangeError(`Cannot compute the loss of class ${cls}`);
  }
}

async function* discrete(fixture: Fixture): AsyncIterable<CaseResult> {
  const tolerance = toleranceOf(fixture);
  for (const { i, n, beta: [first, last] } of fixture.json.cases) {
    for (const quantize of [false, true]) {
      const prefix = `${i}.${quantize ? "q" : "c"}`;
      const expected = expectedUnder(fixture, prefix);
      let product = 1; // of 1 - beta, beta evenly spaced
      const alphas = Array.from({ length: n }, (_, t) => {
        product *= 1 - (first + (last - first) * t / (n - 1));
        return product;
      });
      const schedule = discreteSchedule(alphas, { quantize });
      const actual: Record<string, ArrayLike<number>> = {
        alphas_cumprod: alphas,
        sigmas: schedule.sigmas,
        sigma_in: numbersOf(fixture, `${prefix}.sigma_in`),
        t_in: numbersOf(fixture, `${prefix}.t_in`),
        t: numbersOf(fixture, `${prefix}.sigma_in`).map(schedule.timeOfSigma),
        sigma_of_t: numbersOf(fixture, `${prefix}.t_in`).map(schedule.sigmaAtTime),
      };
      for (const name of Object.keys(expected)) {
        const steps = /^get_sigmas_(\d+)$/.exec(name)?.[1];
        if (steps) actual[name] = schedule.schedule(Number(steps));
        else if (name === "get_sigmas") actual[name] = schedule.schedule();
      }
      yield await compareTensors(`${fixture.label}[${prefix}]`, { actual, expected, tolerance });
    }
  }
}

async function* frequencies(fixture: Fixture): AsyncIterable<CaseResult> {
  const tolerance = toleranceOf(fixture);
  const expected = Object.fromEntries(fixture.tensors());
  delete expected.x;
  const actual: Record<string, tf.Tensor | Float32Array> = {
    dct2: channelsFirst(dct2(channelsLast(fixture, "x"))),
  };
  fixture.json.cases.forEach(({ shape, scales }: Json, i: number) => {
    actual[`fw${i}`] = frequencyWeights(shape, scales);
  });
  yield await compareTensors(fixture.label, { actual, expected, tolerance });
}

async function* densities(fixture: Fixture): AsyncIterable<CaseResult> {
  const { metric, value } = toleranceOf(fixture);
  for (const c of fixture.json.cases) {
    const name = c.prefix ?? `${c.i}`, label = `${fixture.label}[${name}]`;
    if (c.groups !== undefined) {
      const actual = stratify(numbersOf(fixture, "strat.rand"), c);
      const error = errorOf(actual, numbersOf(fixture, `${name}.u`), metric);
      yield result(label, { error, tolerance: value });
      continue;
    }
    const { sigma_data, sigma_min, sigma_max, input_size, sigma_sample_density } = c.model_config;
    const density = densityFromConfig(sigma_sample_density, {
      sigmaData: sigma_data,
      sigmaMin: sigma_min,
      sigmaMax: sigma_max,
      size: input_size,
    });
    const expected = numbersOf(fixture, `${name}.sigma`);
    if (density.kind === "split-lognormal") {
      const z = numbersOf(fixture, "split.randn");
      const share = density.scale1 / (density.scale1 + density.scale2);
      const actual = numbersOf(fixture, "split.u").map((u, i) =>
        splitLognormal(density, { left: u < share, z: z[i] })
      );
      yield result(label, { error: errorOf(actual, expected, metric), tolerance: value });
      continue;
    }
    const u = numbersOf(fixture, "u");
    const errors = u.map((p, i) => errorOf([sigmaAt(density, p)], [expected[i]], metric));
    // Two places where the reference's float32 is off, by the fixture's own account: lognormal far out
    // in its tails (3e-3), and where it measured itself against float64 (`f32_vs_f64_rel`).
    const tail = (p: number) => density.kind === "lognormal" && Math.min(p, 1 - p) < 2e-5;
    const own = density.kind === "lognormal" ? 0 : 1.5 * (c.f32_vs_f64_rel ?? 0);
    const limits = Array.from(u, (p) => tail(p) ? 3e-3 : Math.max(value, own));
    const shares = errors.map((error, i) => error / limits[i]);
    const worst = shares.reduce((best, share, i) => share <= shares[best] ? best : i, 0);
    yield result(label, {
      error: errors[worst],
      tolerance: limits[worst],
      note: `u = ${u[worst].toPrecision(6)}`,
    });
  }
}

/** Scalings, losses, DCT, noise densities and discrete schedules. */
export const handlers: Handler[] = [
  { room: "denoiser", stem: "denoiser", run: denoiser },
  { room: "denoiser", stem: "discrete_schedule", run: discrete },
  { room: "denoiser", stem: "freq_weight_dct", run: frequencies },
  { room: "denoiser", stem: "sigma_density", run: densities },
];
