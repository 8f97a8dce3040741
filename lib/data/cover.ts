import type { NdArray } from "ndarray";
import { resizeBytes } from "./resize_bytes.ts";

/**
 * Brings a picture [H, W, C] of bytes to [height, width, C]: resized by Pillow's bicubic until it
 * just covers that, then the middle is cut out.
 *
 * For squares the values are those of torchvision's `Resize` and `CenterCrop` on Pillow pictures,
 * with which the reference reads its data: the longer side is rounded down, the place of the cut
 * to the nearest whole number, halves to the even one.
 */
export function coverBytes(
  picture: NdArray<Uint8Array>,
  { height, width }: { height: number; width: number },
): NdArray<Uint8Array> {
  const [fromHeight, fromWidth] = picture.shape;
  const byHeight = height * fromWidth >= width * fromHeight; // whose sides then fit
  const whole = byHeight
    ? { height, width: Math.floor(height * fromWidth / fromHeight) }
    : { height: Math.floor(width * fromHeight / fromWidth), width };
  const crop = {
    top: halfToEven((whole.height - height) / 2),
    left: halfToEven((whole.width - width) / 2),
    height,
    width,
  };
  return resizeBytes(picture, { ...whole, crop });
}

function halfToEven(x: number): number {
  return x % 2 === 0.5 ? x - 0.5 : Math.round(x);
}
