/**
 * Where finished pictures are kept: a folder for everything that decides their pixels but seed and class.
 *
 * @module
 */
import { basename, join, resolve } from "@std/path";
import { createHash } from "node:crypto";
import {
  removeStaleTemporaries,
  writeFileAtomic,
  writeTextFileAtomic,
} from "../../lib/io/atomic.ts";
import { jsonDifferences } from "../../lib/training/json_differences.ts";
import { type Classes, className } from "./classes.ts";
import type { PixelSettings, Sample } from "./plan.ts";

const SETTINGS_FILE = "settings.json";

/** A folder of pictures, one a seed and class. */
export type Store = {
  dir: string;
  /** The path of a sample's picture. */
  pathOf(sample: Sample): string;
  has(sample: Sample): boolean;
  /** Keeps a picture, whole or not at all; makes the folder at the first. */
  keep(sample: Sample, png: Uint8Array): Promise<void>;
};

/**
 * The folder for pictures of a model unless one is given: another for each setting.
 *
 * Named by the run or file, `runs/samples/photos-1a2b3c4d`.
 */
export function defaultFolder(path: string, settings: PixelSettings): string {
  const digest = createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 8);
  const parts = resolve(path).split(/[\\/]/).slice(-3);
  const run = parts.indexOf("checkpoints"); // runs/NAME/checkpoints/...
  const name = run > 0 ? parts[run - 1] : basename(path).replace(/\.\w+$/, "");
  return join("runs", "samples", `${slug(name)}-${digest}`);
}

/**
 * Opens the folder, which is new, empty, or of earlier samples with the same settings.
 *
 * @throws {TypeError} where it holds something else, or samples of other settings, which are named.
 */
export async function openStore(
  dir: string,
  { settings, about, classes }: {
    settings: PixelSettings;
    /** Written beside the settings, for people. */
    about: Record<string, unknown>;
    classes: Classes;
  },
): Promise<Store> {
  const names = await namesIn(dir);
  if (names.includes(SETTINGS_FILE)) await checkSettings(dir, settings);
  else if (names.length > 0) {
    throw new TypeError(
      `Cannot keep samples in ${dir} as the folder must be new, empty, or of earlier samples: it holds ${
        names[0]
      }`,
    );
  }
  const finished = new Set(names);
  const nameOf = ({ seed, label, start }: Sample) => {
    const of = label === undefined ? "" : `_class${label}_${slug(className(label, classes))}`;
    const from = start === undefined ? "" : `_picture${start}`;
    return `seed${String(seed).padStart(6, "0")}${of}${from}.png`;
  };
  let opened = false;
  const open = async () => {
    opened = true;
    await Deno.mkdir(dir, { recursive: true });
    await removeStaleTemporaries(dir, /\.(png|json)$/);
    if (names.includes(SETTINGS_FILE)) return;
    const text = JSON.stringify({ settings, about }, null, 2) + "\n";
    await writeTextFileAtomic(join(dir, SETTINGS_FILE), text);
  };
  return {
    dir,
    pathOf: (sample) => join(dir, nameOf(sample)),
    has: (sample) => finished.has(nameOf(sample)),
    async keep(sample, png) {
      if (!opened) await open();
      await writeFileAtomic(join(dir, nameOf(sample)), png);
      finished.add(nameOf(sample));
    },
  };
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function checkSettings(dir: string, settings: PixelSettings): Promise<void> {
  const saved = JSON.parse(await Deno.readTextFile(join(dir, SETTINGS_FILE)));
  const differences = jsonDifferences(settings, saved?.settings);
  if (differences.length === 0) return;
  throw new TypeError(
    `Cannot keep samples in ${dir} as its pictures were drawn with other settings; choose another folder, ` +
      `or ask for the same:\n${differences.map((line) => `- ${line}`).join("\n")}`,
  );
}

function slug(name: string): string {
  return name.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "samples";
}
