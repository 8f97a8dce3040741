import { basename, resolve } from "@std/path";
import type { NpyArray } from "../io/npy.ts";
import { readNpz } from "../io/npz.ts";
import { classesOfLabels, NO_LABEL } from "./classes.ts";
import type { Dataset, OpenOptions } from "./dataset.ts";
import { listShards } from "./list_files.ts";
import { openPictures, type PictureOptions } from "./open_pictures.ts";
import { type PictureList, sharedBytes } from "./pictures.ts";

/** A NumPy archive of pictures, as ADM's evaluator reads and `deno task sample` writes. */
export type NpzSource = PictureOptions & {
  kind: "npz";
  path: string;
  /** Channels to decode to (default: as they are). */
  channels?: 1 | 3;
};

/** What the arrays may be called; the first names are those that `np.savez` gives. */
const IMAGES = ["arr_0", "images"], LABELS = ["arr_1", "labels"];

/** A file is read whole; above this other formats serve better. */
const MAX_BYTES = 4 * 2 ** 30;

/**
 * Opens a NumPy archive: pictures [N, H, W, C] or [N, H, W] of uint8 called `arr_0` or `images`, and
 * perhaps their labels [N], whole numbers called `arr_1` or `labels`.
 *
 * Errors: RangeError where there is no such array, its shape is another, or numbers of pictures and
 * labels differ; TypeError where elements are not what is said.
 */
export async function openNpz(
  source: Omit<NpzSource, "kind">,
  options: OpenOptions,
): Promise<Dataset> {
  return await openPictures(await listNpz(source), { ...source, ...options });
}

async function listNpz({ path, channels }: Omit<NpzSource, "kind">): Promise<PictureList> {
  const called = `NumPy file "${path}"`;
  const [file] = listShards(path, { called, endings: /\.npz$/ });
  if (!(file.bytes <= MAX_BYTES)) {
    throw new RangeError(
      `Cannot open the ${called} as it is read whole and may have ${MAX_BYTES} bytes: ` +
        `it has ${file.bytes}`,
    );
  }
  const arrays = await readArrays(file.path, { called });
  const named = (names: string[]) => names.map((name) => arrays.get(name)).find((a) => a);
  const images = named(IMAGES);
  if (!images) {
    throw new RangeError(
      `Cannot open the ${called} as it must hold ${IMAGES.join(" or ")}: ` +
        `it holds ${[...arrays.keys()].join(", ") || "nothing"}`,
    );
  }
  const { shape: [count, height, width], bytes } = pixelsOf(images, { called });
  const data = sharedBytes(images.data.length);
  data.set(images.data as Uint8Array);
  const titles = Array.from({ length: count }, (_, i) => `${file.title}#${i}`);
  const labels = labelsOf(named(LABELS), { count, called });
  return {
    name: basename(path),
    called,
    origin: resolve(path),
    places: { kind: "pixels", block: { data, height, width, bytes } },
    titles,
    stamps: titles.map((_, i) => `${file.stamp}#${i}`),
    ...classesOfLabels(labels, { names: undefined, titles, called }),
    bytes: channels ?? bytes,
    warnings: [],
  };
}

async function readArrays(
  path: string,
  { called }: { called: string },
): Promise<Map<string, NpyArray>> {
  const bytes = await Deno.readFile(path);
  try {
    return readNpz(bytes);
  } catch (cause) {
    const Kind = cause instanceof TypeError ? TypeError : RangeError;
    throw new Kind(`Cannot open the ${called}. ${(cause as Error).message}`, { cause });
  }
}

function pixelsOf(
  { dtype, shape }: NpyArray,
  { called }: { called: string },
): { shape: readonly number[]; bytes: 1 | 3 } {
  if (dtype !== "u1") {
    throw new TypeError(
      `Cannot open the ${called} as its pictures must be uint8 (|u1): they are ${dtype}`,
    );
  }
  const bytes = shape.length === 3 ? 1 : shape[3];
  const fits = (shape.length === 3 || shape.length === 4) && shape.every((side) => side >= 1);
  if (fits && (bytes === 1 || bytes === 3)) return { shape, bytes };
  throw new RangeError(
    `Cannot open the ${called} as its pictures must be [N, H, W, C] with C of 1 or 3, or [N, H, W]: ` +
      `shape is [${shape}]`,
  );
}

function labelsOf(
  array: NpyArray | undefined,
  { count, called }: { count: number; called: string },
): Int32Array {
  if (!array) return new Int32Array(count).fill(NO_LABEL);
  if (!/^[iu]/.test(array.dtype)) {
    throw new TypeError(
      `Cannot open the ${called} as its labels must be whole numbers: they are ${array.dtype}`,
    );
  }
  if (!(array.shape.length === 1 && array.shape[0] === count)) {
    throw new RangeError(
      `Cannot open the ${called} as its labels must be [${count}], one for each picture: ` +
        `shape is [${array.shape}]`,
    );
  }
  return Int32Array.from(array.data as ArrayLike<number>, Number);
}
