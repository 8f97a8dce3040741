/**
 * Spreads `random`, B numbers uniform on [0, 1), evenly over [0, 1): one in each of B strata.
 *
 * u_i = (i G + g + random_i) / (B G), for group g of G groups that together hold B G strata (devices,
 * or micro-batches of one step), so that all groups together cover [0, 1) evenly.
 * Throws a RangeError when group is not one of groups.
 */
export function stratify(
  random: ArrayLike<number>,
  { group = 0, groups = 1 }: { group?: number; groups?: number } = {},
): Float64Array {
  if (!(Number.isInteger(groups) && Number.isInteger(group) && group >= 0 && group < groups)) {
    throw new RangeError(
      `Cannot stratify as group must be a whole number in [0, groups): group is ${group}, groups is ${groups}`,
    );
  }
  const B = random.length;
  return Float64Array.from(random, (u, i) => (i * groups + group + u) / (B * groups));
}
