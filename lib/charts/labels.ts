/**
 * Labels beside points that do not cover each other.
 *
 * @module
 */

/** A point in pixels from the upper left corner of the plot, and the size of its label. */
export type LabelledPoint = {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Ends of a vertical error bar, which no label should cover. */
  top?: number;
  bottom?: number;
};

/** Offset in pixels from the point to the middle of its label. */
export type LabelOffset = { dx: number; dy: number };

type Box = { left: number; right: number; top: number; bottom: number };

const MARKER = 8; // half side of the square that a marker and its outline take

/**
 * Finds a place for each label, one after another: the one of those around its point that covers
 * least of the markers, error bars and labels so far, and among equals the nearest.
 */
export function placeLabels(
  points: LabelledPoint[],
  { width, height }: { width: number; height: number },
): LabelOffset[] {
  const taken: Box[] = points.flatMap(({ x, y, top = y, bottom = y }) => [
    boxAt(x, y, 2 * MARKER, 2 * MARKER),
    { left: x - MARKER, right: x + MARKER, top, bottom },
  ]);
  return points.map((point) => {
    let best: LabelOffset = { dx: 0, dy: 0 };
    let least = Infinity;
    for (const offset of candidates(point)) {
      const box = boxAt(point.x + offset.dx, point.y + offset.dy, point.width, point.height);
      const out = Math.max(0, -box.left) + Math.max(0, box.right - width) +
        Math.max(0, -box.top) + Math.max(0, box.bottom - height);
      const covered = taken.reduce((sum, other) => sum + overlap(box, other), 0);
      const crossed = taken.filter((other) => crosses(point, offset, other)).length;
      const cost = 20 * covered + 200 * out + 100 * crossed + Math.hypot(offset.dx, 2 * offset.dy);
      if (cost < least) {
        least = cost;
        best = offset;
      }
    }
    taken.push(boxAt(point.x + best.dx, point.y + best.dy, point.width, point.height));
    return best;
  });
}

/** Places around a point: beside it at growing distance, then above and below. */
function candidates({ width, height }: LabelledPoint): LabelOffset[] {
  const out: LabelOffset[] = [];
  const beside = width / 2 + MARKER + 4;
  const above = height / 2 + MARKER + 4;
  for (let step = 0; step <= 100; step += 10) {
    for (const dy of step === 0 ? [0] : [-step, step]) {
      for (const dx of [beside, beside + 30, beside + 60]) out.push({ dx, dy }, { dx: -dx, dy });
    }
    out.push({ dx: 0, dy: -above - step }, { dx: 0, dy: above + step });
  }
  return out;
}

/** Whether the line from a point to its label runs through a box that is not the point's own. */
function crosses({ x, y }: LabelledPoint, { dx, dy }: LabelOffset, box: Box): boolean {
  const inside = (px: number, py: number) =>
    px > box.left && px < box.right && py > box.top && py < box.bottom;
  if (inside(x, y)) return false;
  return [0.2, 0.4, 0.6, 0.8, 1].some((share) => inside(x + share * dx, y + share * dy));
}

function boxAt(x: number, y: number, width: number, height: number): Box {
  return {
    left: x - width / 2,
    right: x + width / 2,
    top: y - height / 2,
    bottom: y + height / 2,
  };
}

function overlap(a: Box, b: Box): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}
