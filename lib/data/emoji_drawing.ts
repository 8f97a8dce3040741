import sharp from "sharp";
import { heightAndWidth, type Size } from "./dataset.ts";

type Icons = {
  width?: number;
  height?: number;
  icons: Record<string, { body: string; width?: number; height?: number }>;
};
let drawings: Promise<Icons> | undefined;

/** The vector drawings: 25 MB of JSON, read only where a cache lacks pixels. */
function loadDrawings(): Promise<Icons> {
  drawings ??= import("@iconify-json/noto/icons.json", { with: { type: "json" } })
    .then((module) => module.default as unknown as Icons);
  return drawings;
}

/**
 * Draws one emoji, whole and in the middle, as [H, W, 4] bytes of red, green, blue and alpha (not
 * premultiplied).
 */
export async function rasteriseEmoji(
  name: string,
  { size }: { size: Size },
): Promise<Uint8Array> {
  const [height, width] = heightAndWidth(size);
  const set = await loadDrawings(), { icons } = set;
  const icon = icons[name];
  if (!icon) throw new RangeError(`Cannot draw the emoji as the set has none named "${name}"`);
  const viewBox = `0 0 ${icon.width ?? set.width ?? 128} ${icon.height ?? set.height ?? 128}`;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${width}" height="${height}" viewBox="${viewBox}">${icon.body}</svg>`;
  // the size in the root element: librsvg draws at that size, nothing is resampled
  return await sharp(new TextEncoder().encode(svg)).toColourspace("srgb").ensureAlpha()
    .raw({ depth: "uchar" }).toBuffer();
}
