import type { Handler } from "./run.ts";
import { handlers as augment } from "./augment.ts";
import { handlers as denoiser } from "./denoiser.ts";
import { handlers as dinov2 } from "./dinov2.ts";
import { handlers as evaluation } from "./evaluation.ts";
import { handlers as flops } from "./flops.ts";
import { handlers as inception } from "./inception.ts";
import { handlers as model } from "./model.ts";
import { handlers as module } from "./module.ts";
import { handlers as resize } from "./resize.ts";
import { handlers as sampler } from "./sampler.ts";
import { handlers as train } from "./train.ts";
import { handlers as util } from "./util.ts";

/** Every case that the library can compute. */
export const handlers: Handler[] = [
  ...module,
  ...model,
  ...flops,
  ...denoiser,
  ...sampler,
  ...train,
  ...util,
  ...evaluation,
  ...resize,
  ...augment,
  ...dinov2,
  ...inception,
];
