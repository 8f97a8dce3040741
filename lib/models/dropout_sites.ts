import { type Grid, tokensOf } from "../nn/attention_kind.ts";
import { checkSpec, extraTokens, type HditSpec, levelGrid } from "./spec.ts";

/** A place of the model where a dropout mask is asked for. */
export type DropoutSite = { site: string; shape: number[]; rate: number };

/**
 * Every mask that a forward pass asks its dropout source for, so that a compiled step can take them as inputs.
 *
 * Places are the mapping network's blocks, attention before its output projection, and feed-forward blocks before
 * theirs; those with rate 0 are left out.
 */
export function dropoutSites(
  spec: HditSpec,
  { size, batch }: { size: Grid; batch: number },
): DropoutSite[] {
  checkSpec(spec, size);
  const { mapping, levels } = spec;
  const sites: DropoutSite[] = Array.from({ length: mapping.depth }, (_, i) => ({
    site: `mapping.blocks.${i}`,
    shape: [batch, mapping.dFf],
    rate: mapping.dropout,
  }));
  const addLevel = (level: number, name: string) => {
    const { depth, width, dFf, attention, crossAttention, dropout: rate } = levels[level];
    for (let i = 0; i < depth; i++) {
      const tokens = tokensOf(levelGrid(spec, { size, level })) +
        extraTokens(spec, { level, layer: i });
      if (attention.kind !== "none") {
        sites.push({ site: `${name}.${i}.self_attn`, shape: [batch, tokens, width], rate });
      }
      if (crossAttention) {
        sites.push({ site: `${name}.${i}.cross_attn`, shape: [batch, tokens, width], rate });
      }
      sites.push({ site: `${name}.${i}.ff`, shape: [batch, tokens, dFf], rate });
    }
  };
  const middle = levels.length - 1;
  for (let i = 0; i < middle; i++) addLevel(i, `down_levels.${i}`);
  addLevel(middle, "mid_level");
  for (let i = middle - 1; i >= 0; i--) addLevel(i, `up_levels.${i}`);
  return sites.filter(({ rate }) => rate > 0);
}
