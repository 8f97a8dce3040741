/**
 * The machine that numbers were measured on.
 *
 * @module
 */
import os from "node:os";
import * as tf from "@tensorflow/tfjs";
import { currentEngine } from "../lib/engine/engine.ts";
import config from "../deno.json" with { type: "json" };
import type { Machine } from "./results.ts";

/** The pinned version of a package in `deno.json`. */
function pinned(name: keyof typeof config.imports): string {
  return config.imports[name].split("@").at(-1)!;
}

/** What the results say about where they come from. */
export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() || Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    memory: Deno.systemMemoryInfo().total,
    os: `${Deno.build.os} ${Deno.osRelease()}`,
    deno: Deno.version.deno,
    engine: currentEngine(),
    versions: {
      hdit: config.version,
      "@tensorflow/tfjs": tf.version["tfjs-core"],
      "onnxruntime-node": pinned("onnxruntime-node"),
    },
  };
}

/** The most memory that the process has held, in bytes: the kernel's own count on Linux, else the present one. */
export function peakMemory(): number {
  try {
    const line = Deno.readTextFileSync("/proc/self/status").match(/^VmHWM:\s+(\d+) kB$/m);
    if (line) return Number(line[1]) * 1024;
  } catch {
    // not Linux
  }
  return Deno.memoryUsage().rss;
}
