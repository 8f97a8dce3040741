/** Random numbers that are the same at every run. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0; // mulberry32
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) % below;
  };
}

/** Bytes with one piece of damage: bits, a missing piece, a piece too many, a length that lies. */
export function mutate(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const at = random(bytes.length), count = 1 + random(16);
  switch (random(6)) {
    case 0: { // a few bits
      const copy = bytes.slice();
      for (let i = 0; i < count; i++) copy[random(copy.length)] ^= 1 << random(8);
      return copy;
    }
    case 1: // an end that is missing
      return bytes.slice(0, at);
    case 2: // a piece that is missing
      return new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at + count)]);
    case 3: { // a piece too many
      const more = Array.from({ length: count }, () => random(256));
      return new Uint8Array([...bytes.subarray(0, at), ...more, ...bytes.subarray(at)]);
    }
    case 4: { // a piece from elsewhere
      const copy = bytes.slice();
      copy.copyWithin(at, random(bytes.length), bytes.length);
      return copy;
    }
    default: { // a length that lies
      const copy = bytes.slice();
      return copy.fill(random(2) === 0 ? 0 : 255, at, at + 1 + random(4));
    }
  }
}
