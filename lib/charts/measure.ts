/**
 * Boxes of SVG elements for a DOM that lays nothing out: text by a table of letter widths, groups
 * as the union of what they hold, transforms followed up to the root. Paths have no box.
 *
 * @module
 */

/** What is asked of an SVG element here; the types of the DOM are not those of Deno. */
export type SvgElement = {
  tagName: string;
  textContent: string | null;
  parentElement: SvgElement | null;
  children: Iterable<SvgElement>;
  getAttribute(name: string): string | null;
  querySelectorAll(selector: string): Iterable<SvgElement>;
};

type Box = { left: number; top: number; right: number; bottom: number };
type Matrix = [number, number, number, number, number, number]; // a b c d e f, as in SVG

/** `getBBox`: in the element's own coordinates. */
export function localRect(element: SvgElement) {
  return rect(ownBox(element));
}

/** `getBoundingClientRect`: in the coordinates of the outermost SVG element. */
export function clientRect(element: SvgElement) {
  let box = ownBox(element);
  for (let at: SvgElement | null = element; box !== undefined && at !== null;) {
    box = transformed(box, transformOf(at));
    at = at.parentElement;
  }
  return rect(box);
}

/** `getTotalLength`, for straight paths such as the line of an arrow. */
export function pathLength(element: SvgElement): number {
  const [x0, y0, x1, y1] = pathEnds(element);
  return Math.hypot(x1 - x0, y1 - y0);
}

/** `getPointAtLength`, for straight paths. */
export function pathPoint(element: SvgElement, length: number): { x: number; y: number } {
  const [x0, y0, x1, y1] = pathEnds(element);
  const share = length / (pathLength(element) || 1);
  return { x: x0 + share * (x1 - x0), y: y0 + share * (y1 - y0) };
}

function ownBox(element: SvgElement): Box | undefined {
  switch (element.tagName) {
    case "text":
      return textBox(element);
    case "rect":
    case "image": {
      const [left, top] = [length(element, "x"), length(element, "y")];
      const [width, height] = [length(element, "width"), length(element, "height")];
      return { left, top, right: left + width, bottom: top + height };
    }
    case "g":
    case "a": {
      let union: Box | undefined;
      for (const child of element.children) {
        const box = ownBox(child);
        if (box !== undefined) union = joined(union, transformed(box, transformOf(child)));
      }
      return union;
    }
    default:
      return undefined;
  }
}

/** Plotly breaks a text into `tspan.line` elements, 1.3 em apart. */
function textBox(element: SvgElement): Box | undefined {
  const size = parseFloat(inherited(element, "font-size") ?? "12");
  const spans = [...element.querySelectorAll("tspan.line")];
  const lines = (spans.length > 0 ? spans : [element]).map(({ textContent }) => textContent ?? "");
  if (lines.every((line) => line === "")) return undefined;
  const width = Math.max(...lines.map(textWidth)) * size;
  const anchor = inherited(element, "text-anchor");
  const before = anchor === "middle" ? width / 2 : anchor === "end" ? width : 0;
  const [x, y] = [length(element, "x"), length(element, "y")];
  return {
    left: x - before,
    right: x - before + width,
    top: y - 0.9 * size,
    bottom: y + (0.25 + 1.3 * (lines.length - 1)) * size,
  };
}

/** Width of a line in ems, between those of Arial and DejaVu Sans. */
export function textWidth(line: string): number {
  let width = 0;
  for (const char of line) {
    if (/[ijl.,:;'|!()[\]ftr\s]/.test(char)) width += 0.34;
    else if (/[mwMW@%]/.test(char)) width += 0.9;
    else if (/[A-Z]/.test(char)) width += 0.7;
    else width += 0.58;
  }
  return width;
}

function inherited(element: SvgElement | null, property: string): string | undefined {
  for (let at = element; at !== null; at = at.parentElement) {
    const style = new RegExp(`(?:^|;)\\s*${property}\\s*:\\s*([^;]+)`).exec(
      at.getAttribute("style") ?? "",
    );
    const value = style?.[1].trim() ?? at.getAttribute(property);
    if (value) return value;
  }
  return undefined;
}

function length(element: SvgElement, name: string): number {
  return parseFloat(element.getAttribute(name) ?? "") || 0;
}

const NUMBER = /-?\d*\.?\d+(?:e-?\d+)?/g;

function pathEnds(element: SvgElement): [number, number, number, number] {
  const numbers = (element.getAttribute("d")?.match(NUMBER) ?? []).map(Number);
  const [x0 = 0, y0 = 0] = numbers;
  const [x1 = x0, y1 = y0] = numbers.slice(-2);
  return [x0, y0, x1, y1];
}

function transformOf(element: SvgElement): Matrix {
  let out: Matrix = [1, 0, 0, 1, 0, 0];
  const text = element.getAttribute("transform") ?? "";
  for (const [, name, list] of text.matchAll(/(\w+)\s*\(([^)]*)\)/g)) {
    const numbers = (list.match(NUMBER) ?? []).map(Number);
    for (const step of matrices(name, numbers)) out = product(out, step);
  }
  return out;
}

function matrices(name: string, numbers: number[]): Matrix[] {
  const [p = 0, q, r] = numbers;
  switch (name) {
    case "translate":
      return [[1, 0, 0, 1, p, q ?? 0]];
    case "scale":
      return [[p, 0, 0, q ?? p, 0, 0]];
    case "rotate": {
      const [cos, sin] = [Math.cos(p * Math.PI / 180), Math.sin(p * Math.PI / 180)];
      const [x, y] = [q ?? 0, r ?? 0];
      return [[1, 0, 0, 1, x, y], [cos, sin, -sin, cos, 0, 0], [1, 0, 0, 1, -x, -y]];
    }
    case "matrix":
      return numbers.length === 6 ? [numbers as Matrix] : [];
    default:
      return [];
  }
}

function product([a, b, c, d, e, f]: Matrix, [p, q, r, s, t, u]: Matrix): Matrix {
  return [
    a * p + c * q,
    b * p + d * q,
    a * r + c * s,
    b * r + d * s,
    a * t + c * u + e,
    b * t + d * u + f,
  ];
}

function transformed({ left, top, right, bottom }: Box, [a, b, c, d, e, f]: Matrix): Box {
  const xs = [];
  const ys = [];
  for (const [x, y] of [[left, top], [right, top], [left, bottom], [right, bottom]]) {
    xs.push(a * x + c * y + e);
    ys.push(b * x + d * y + f);
  }
  return {
    left: Math.min(...xs),
    right: Math.max(...xs),
    top: Math.min(...ys),
    bottom: Math.max(...ys),
  };
}

function joined(a: Box | undefined, b: Box): Box {
  if (a === undefined) return b;
  return {
    left: Math.min(a.left, b.left),
    right: Math.max(a.right, b.right),
    top: Math.min(a.top, b.top),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

function rect(box: Box | undefined) {
  const { left, top, right, bottom } = box ?? { left: 0, top: 0, right: 0, bottom: 0 };
  return {
    x: left,
    y: top,
    left,
    top,
    right,
    bottom,
    width: right - left,
    height: bottom - top,
  };
}
