/**
 * Resizing of images, [B, H, W, C]. Bilinear interpolation is linear and acts on rows and columns
 * apart, so it is two products with small matrices, and its gradient two with their transposes.
 *
 * @module
 */
import type { OnnxRuntimeBackend } from "../backend.ts";
import type { Constant, Operand } from "../graph.ts";
import { cast, type Kernel, type KernelTable, reshape } from "./kernel.ts";
import { matMul } from "./linear_algebra.ts";

type Grid = { alignCorners: boolean; halfPixelCenters: boolean };

/** Where each of `to` positions falls among `from`, as tfjs places them. */
function positions(from: number, to: number, { alignCorners }: Grid): (i: number) => number {
  const inner = alignCorners && to > 1 ? 1 : 0;
  const ratio = (from - inner) / (to - inner);
  return (i) => ratio * i;
}

function nearest(from: number, to: number, grid: Grid): number[] {
  const at = positions(from, to, grid);
  const centre = grid.halfPixelCenters ? 0.5 : 0;
  const round = grid.alignCorners ? Math.round : Math.floor;
  return Array.from(
    { length: to },
    (_, i) => Math.max(0, Math.min(from - 1, round(at(i + centre)))),
  );
}

/** A matrix [to, from] of interpolation weights, made from (row, column, weight) triples. */
function matrix(
  backend: OnnxRuntimeBackend,
  [to, from]: [number, number],
  entries: Iterable<readonly [number, number, number]>,
): Operand {
  const data = new Float32Array(to * from);
  for (const [row, column, weight] of entries) data[row * from + column] += weight;
  return backend.constant(data, [to, from], "float32");
}

function bilinear(backend: OnnxRuntimeBackend, from: number, to: number, grid: Grid): Operand {
  const at = positions(from, to, grid);
  const entries = function* () {
    for (let i = 0; i < to; i++) {
      const position = grid.halfPixelCenters ? at(i + 0.5) - 0.5 : at(i);
      const below = Math.max(0, Math.floor(position));
      const above = Math.max(0, Math.min(from - 1, Math.ceil(position)));
      yield [i, below, 1 - (position - below)] as const;
      yield [i, above, position - below] as const;
    }
  };
  return matrix(backend, [to, from], entries());
}

function nearestMatrix(backend: OnnxRuntimeBackend, from: number, to: number, grid: Grid) {
  return matrix(backend, [to, from], nearest(from, to, grid).map((j, i) => [i, j, 1] as const));
}

/** rows · x · columnsᵀ in each channel of each image, or with both transposed. */
function apply(
  backend: OnnxRuntimeBackend,
  x: Operand,
  { rows, columns, transposeA = false }: { rows: Operand; columns: Operand; transposeA?: boolean },
): Operand {
  const [batch, height, width, channels] = x.shape;
  const tall = matMul(backend, rows, reshape(x, [batch, height, width * channels]), {
    transposeA,
  }); // [B, H', W · C]
  const newHeight = tall.shape[1];
  const slices = reshape(tall, [batch * newHeight, width, channels]);
  const wide = matMul(backend, columns, slices, { transposeA }); // [B · H', W', C]
  return reshape(wide, [batch, newHeight, wide.shape[1], channels]);
}

type MakeMatrix = typeof bilinear;

/** The transpose of a resizing; tfjs's `cpu` backend leaves halfPixelCenters out of account here. */
function gradient(make: MakeMatrix): Kernel {
  return ({ inputs: { images, dy }, attrs, backend }) => {
    const [, height, width] = images.shape;
    const [, newHeight, newWidth] = dy.shape;
    return apply(backend, dy, {
      rows: make(backend, height, newHeight, attrs),
      columns: make(backend, width, newWidth, attrs),
      transposeA: true,
    });
  };
}

export const resize: KernelTable = {
  ResizeBilinear: ({ inputs: { images }, attrs, backend }) => {
    const [, height, width] = images.shape;
    const [newHeight, newWidth] = attrs.size;
    return apply(backend, cast(backend, images, "float32"), {
      rows: bilinear(backend, height, newHeight, attrs),
      columns: bilinear(backend, width, newWidth, attrs),
    });
  },
  ResizeBilinearGrad: gradient(bilinear),
  ResizeNearestNeighbor: ({ inputs: { images }, attrs, backend }) =>
    [1, 2].reduce((x, axis) => {
      const to = attrs.size[axis - 1];
      const indices: Constant = {
        type: "int32",
        dims: [to],
        values: nearest(x.shape[axis], to, attrs),
      };
      return backend.record("Gather", [x, indices], {
        shape: x.shape.map((dim, i) => i === axis ? to : dim),
        dtype: x.dtype,
        attributes: { axis },
      });
    }, images),
  ResizeNearestNeighborGrad: gradient(nearestMatrix),
};
