/**
 * Reads Python's pickle format as data: the opcodes that build dicts, lists, tuples, numbers and strings, and calls of
 * the few functions that the caller names. Nothing is imported, looked up or executed.
 *
 * @module
 */
import {
  malformed,
  type PickleInput,
  pickleInput,
  pickleInteger,
  refused,
} from "./pickle_input.ts";

/** A key of a dict. */
export type PickleKey = string | number | bigint | boolean | null;
/** What a pickle holds: dicts are maps, lists arrays, tuples frozen arrays; objects are what the caller's functions made. */
export type PickleValue =
  | PickleKey
  | Uint8Array
  | readonly PickleValue[]
  | Map<PickleKey, PickleValue>
  | PickleObject;
/** Something that a function of the caller made. */
export type PickleObject = { readonly kind: string };
/** A name that a pickle may refer to; those with `call` may be called. */
export type PickleGlobal = PickleObject & { call?: (args: readonly PickleValue[]) => PickleValue };

/** What a pickle may refer to. */
export type ReadPickleOptions = {
  /** By `module.name`; anything else is refused. */
  globals: ReadonlyMap<string, PickleGlobal>;
  /** What a persistent id stands for. */
  persistent?: (id: PickleValue) => PickleValue;
};

/** `collections.OrderedDict`: a map; attributes that are set on it are dropped. */
export const orderedDict: PickleGlobal = {
  kind: "global",
  call: (args) => {
    if (args.length > 0) throw malformed("OrderedDict is called with arguments");
    return new Map();
  },
};

/** The longest pickle that is read: 64 MiB; tensors are kept elsewhere. */
export const MAX_PICKLE = 2 ** 26;
const MAX_STEPS = 1_000_000; // opcodes; a tensor takes about 40

/**
 * Reads the one value of a pickle of protocol 2 to 5.
 *
 * Throws a RangeError where it is truncated or too large, a SyntaxError where it is malformed, and a TypeError that
 * names the global, opcode or type where it needs more than data.
 *
 * Source: the opcodes' descriptions in CPython's `pickletools`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const bytes = new Uint8Array([0x80, 2, 0x5d, 0x28, 0x4b, 7, 0x88, 0x65, 0x2e]); // [7, True]
 * assert.deepEqual(readPickle(bytes, { globals: new Map() }), [7, true]);
 * ```
 */
export function readPickle(bytes: Uint8Array, options: ReadPickleOptions): PickleValue {
  if (!(bytes.length <= MAX_PICKLE)) {
    throw new RangeError(
      `Cannot read the pickle as it must have at most ${MAX_PICKLE} bytes: it has ${bytes.length}`,
    );
  }
  return readPickleFrom(pickleInput(bytes), options);
}

/** Reads the pickle that begins at a cursor, which it leaves behind it; see `readPickle`. */
export function readPickleFrom(
  input: PickleInput,
  { globals, persistent }: ReadPickleOptions,
): PickleValue {
  const memo = new Map<number, PickleValue>();
  let stack: PickleValue[] = [];
  const below: PickleValue[][] = []; // the stacks under the marks

  const pop = (): PickleValue => {
    if (stack.length === 0) throw malformed("its stack is empty");
    return stack.pop()!;
  };
  const top = (): PickleValue => {
    if (stack.length === 0) throw malformed("its stack is empty");
    return stack[stack.length - 1];
  };
  const popMark = (): PickleValue[] => {
    const items = stack;
    stack = below.pop() ?? raise(malformed("a mark is missing"));
    return items;
  };
  const tuple = (count: number) => {
    const items = Array.from({ length: count }, pop).reverse();
    stack.push(Object.freeze(items));
  };
  const recall = (index: number) => {
    const value = memo.get(index);
    if (value === undefined) throw malformed(`nothing is remembered as number ${index}`);
    stack.push(value);
  };
  const find = (module: PickleValue, name: PickleValue) => {
    if (typeof module !== "string" || typeof name !== "string") {
      throw malformed("the name of a global is not text");
    }
    const found = globals.get(`${module}.${name}`);
    if (found === undefined) {
      throw new TypeError(
        `Cannot read the pickle as it asks for a global that is not allowed: ${
          JSON.stringify(`${module}.${name}`)
        }, allowed are ${[...globals.keys()].join(", ") || "none"}`,
      );
    }
    stack.push(found);
  };
  const setItems = (items: PickleValue[]) => {
    const dict = top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      throw malformed("entries are set in what is no dict");
    }
    for (let i = 0; i < items.length; i += 2) dict.set(keyOf(items[i]), items[i + 1]);
  };
  const append = (items: PickleValue[]) => {
    const list = top();
    if (!Array.isArray(list) || Object.isFrozen(list)) {
      throw malformed("items are appended to what is no list");
    }
    for (const item of items) list.push(item);
  };

  for (let step = 0; step < MAX_STEPS; step++) {
    const opcode = input.u8();
    switch (opcode) {
      case 0x80: { // PROTO
        const protocol = input.u8();
        if (!(protocol >= 2 && protocol <= 5)) {
          throw refused(`its protocol must be 2 to 5: it is ${protocol}`);
        }
        break;
      }
      case 0x95: // FRAME
        input.size(8);
        break;
      case 0x2e: { // STOP
        if (!(stack.length === 1 && below.length === 0)) {
          throw malformed(`it ends with ${stack.length} values in place of one`);
        }
        return stack[0];
      }
      case 0x28: // MARK
        below.push(stack);
        stack = [];
        break;
      case 0x30: // POP
        if (stack.length === 0) popMark();
        else stack.pop();
        break;
      case 0x31: // POP_MARK
        popMark();
        break;
      case 0x32: // DUP
        stack.push(top());
        break;
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x4a: // BININT
        stack.push(input.i32());
        break;
      case 0x4b: // BININT1
        stack.push(input.u8());
        break;
      case 0x4d: // BININT2
        stack.push(input.size(2));
        break;
      case 0x8a: // LONG1
        stack.push(pickleInteger(input, input.u8()));
        break;
      case 0x8b: // LONG4
        stack.push(pickleInteger(input, input.size(4)));
        break;
      case 0x47: // BINFLOAT
        stack.push(input.f64());
        break;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(input.text(input.u8()));
        break;
      case 0x58: // BINUNICODE
        stack.push(input.text(input.size(4)));
        break;
      case 0x8d: // BINUNICODE8
        stack.push(input.text(input.size(8)));
        break;
      case 0x43: // SHORT_BINBYTES
        stack.push(input.bytes(input.u8()).slice());
        break;
      case 0x42: // BINBYTES
        stack.push(input.bytes(input.size(4)).slice());
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        stack.push(input.bytes(input.size(8)).slice());
        break;
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        break;
      case 0x61: // APPEND
        append([pop()]);
        break;
      case 0x65: // APPENDS
        append(popMark());
        break;
      case 0x6c: { // LIST
        const items = popMark();
        stack.push(items);
        break;
      }
      case 0x29: // EMPTY_TUPLE
        tuple(0);
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        tuple(opcode - 0x84);
        break;
      case 0x74: { // TUPLE
        const items = popMark();
        stack.push(Object.freeze(items));
        break;
      }
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        break;
      case 0x64: { // DICT
        const items = popMark();
        stack.push(new Map());
        setItems(items);
        break;
      }
      case 0x73: { // SETITEM
        const value = pop();
        setItems([pop(), value]);
        break;
      }
      case 0x75: // SETITEMS
        setItems(popMark());
        break;
      case 0x63: // GLOBAL
        find(input.line(), input.line());
        break;
      case 0x93: { // STACK_GLOBAL
        const name = pop();
        find(pop(), name);
        break;
      }
      case 0x52: { // REDUCE
        const args = pop(), called = pop();
        const call = isGlobal(called, globals) ? called.call : undefined;
        if (!call || !isTuple(args)) throw malformed("what is called is no function");
        stack.push(call(args));
        break;
      }
      case 0x62: // BUILD: attributes, which an OrderedDict may have and which are dropped
        pop();
        if (!(top() instanceof Map)) throw refused("attributes are set on what is no OrderedDict");
        break;
      case 0x71: // BINPUT
        memo.set(input.u8(), top());
        break;
      case 0x72: // LONG_BINPUT
        memo.set(input.size(4), top());
        break;
      case 0x94: // MEMOIZE
        memo.set(memo.size, top());
        break;
      case 0x68: // BINGET
        recall(input.u8());
        break;
      case 0x6a: // LONG_BINGET
        recall(input.size(4));
        break;
      case 0x51: // BINPERSID
        if (!persistent) throw refused("it has persistent ids");
        stack.push(persistent(pop()));
        break;
      default: {
        const name = REFUSED[opcode];
        if (name) throw refused(`the opcode ${name} is not for data`);
        throw malformed(`opcode ${opcode} at byte ${input.position() - 1} is unknown`);
      }
    }
  }
  throw new RangeError(`Cannot read the pickle as it must have at most ${MAX_STEPS} steps`);
}

/** Whether a value is a tuple, and not a list. */
export function isTuple(value: PickleValue): value is readonly PickleValue[] {
  return Array.isArray(value) && Object.isFrozen(value);
}

/** Opcodes that other pickles have: classes, instances, text of protocol 0, sets, buffers outside of the file. */
const REFUSED: Record<number, string> = {
  0x69: "INST",
  0x6f: "OBJ",
  0x81: "NEWOBJ",
  0x92: "NEWOBJ_EX",
  0x82: "EXT1",
  0x83: "EXT2",
  0x84: "EXT4",
  0x50: "PERSID",
  0x49: "INT",
  0x4c: "LONG",
  0x46: "FLOAT",
  0x53: "STRING",
  0x54: "BINSTRING",
  0x55: "SHORT_BINSTRING",
  0x56: "UNICODE",
  0x67: "GET",
  0x70: "PUT",
  0x8f: "EMPTY_SET",
  0x90: "ADDITEMS",
  0x91: "FROZENSET",
  0x97: "NEXT_BUFFER",
  0x98: "READONLY_BUFFER",
};

function isGlobal(
  value: PickleValue,
  globals: ReadonlyMap<string, PickleGlobal>,
): value is PickleGlobal {
  return globals.values().some((known) => known === value);
}

function keyOf(key: PickleValue): PickleKey {
  if (key === null || typeof key !== "object") return key;
  throw refused("the keys of a dict must be text, numbers, True, False or None");
}

function raise(error: Error): never {
  throw error;
}
