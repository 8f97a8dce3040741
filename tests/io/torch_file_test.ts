import assert from "node:assert/strict";
import { isTorchTensor, openTorchFile, type TorchValue } from "../../lib/io/torch_file.ts";
import { type TorchTensor, torchTensorData } from "../../lib/io/torch_tensor.ts";
import { makeZip } from "../tools/made_wheel.ts";
import { mutate, seeded } from "./damage.ts";
import {
  global,
  OrderedDict,
  pickle,
  Raw,
  storedZip,
  Tensor,
  torchArchive,
  torchFile,
  Tuple,
} from "./made_torch_file.ts";

/** Files that PyTorch wrote; `make.py` and `make_unzipped.py` beside them say how. */
const fixtures = new URL("./fixtures/torch/", import.meta.url).pathname;
const kinds = Deno.readFileSync(`${fixtures}kinds.pth`);
const unzipped = Deno.readFileSync(`${fixtures}unzipped.pth`);

const f32 = (...numbers: number[]) => new Float32Array(numbers);
const open = (bytes: Uint8Array): TorchValue => openTorchFile(bytes).value;
/** The one tensor of a file, over one storage of float32. */
const tensorOf = (
  made: Partial<ConstructorParameters<typeof Tensor>[0]>,
  storage = f32(0, 1, 2, 3, 4, 5),
) =>
  open(torchFile(
    new Tensor({
      dtype: "F32",
      storage: 0,
      length: storage.length,
      shape: [2, 3],
      strides: [3, 1],
      ...made,
    }),
    [storage],
  )) as TorchTensor;

Deno.test("openTorchFile() reads what torch.save() wrote: types, strides, offsets, protocol 4", () => {
  for (const from of [kinds, `${fixtures}kinds.pth`]) {
    using file = openTorchFile(from);
    const found = Object.fromEntries(
      [...file.value as Map<string, TorchValue>].map(([name, value]) => [
        name,
        isTorchTensor(value) ? [...torchTensorData(value)].map(Number) : value,
      ]),
    );
    const counted = Array.from({ length: 24 }, (_, i) => i); // 4 rows of 6
    assert.deepEqual(found, {
      ...Object.fromEntries(
        ["f64", "f16", "bf16", "i32", "i16", "i8", "u8"].map((name) => [name, counted]),
      ),
      i64: counted.map((i) => i * 2 ** 40),
      bool: counted.map((i) => i > 11 ? 1 : 0),
      transposed: [0, 1, 2, 3, 4, 5].flatMap((c) => [0, 1, 2, 3].map((r) => 6 * r + c)),
      slice: [1, 2, 3].flatMap((r) => [2, 3, 4].map((c) => 6 * r + c)),
      every: [0, 5, 10, 15, 20],
      scalar: [7],
      empty: [],
      parameter: [0, 1],
      size: [4, 6],
      device: "cuda:1",
    });
  }
});

Deno.test("openTorchFile() reads what torch.save() wrote before PyTorch 1.6", () => {
  for (const from of [unzipped, `${fixtures}unzipped.pth`]) {
    using file = openTorchFile(from);
    const found = [...file.value as Map<string, TorchTensor>].map(([name, tensor]) =>
      [name, { shape: tensor.shape, data: [...torchTensorData(tensor)].map(Number) }] as const
    );
    const counted = Array.from({ length: 24 }, (_, i) => i); // 4 rows of 6
    assert.deepEqual(Object.fromEntries(found), {
      whole: { shape: [4, 6], data: counted },
      transposed: {
        shape: [6, 4],
        data: [0, 1, 2, 3, 4, 5].flatMap((c) => [0, 1, 2, 3].map((r) => 6 * r + c)),
      },
      slice: { shape: [3, 3], data: [1, 2, 3].flatMap((r) => [2, 3, 4].map((c) => 6 * r + c)) },
      half: { shape: [6], data: [0, 1, 2, 3, 4, 5] },
      i64: { shape: [3], data: [0, 2 ** 40, 2 ** 41] },
      bool: { shape: [2], data: [1, 0] },
      parameter: { shape: [2], data: [0, 1] },
      empty: { shape: [0], data: [] },
      scalar: { shape: [], data: [7] },
    });
  }
});

Deno.test("openTorchFile() says what is wrong with a file from before PyTorch 1.6", () => {
  const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
  const edited = (edit: (text: string) => string) =>
    Uint8Array.from(edit(text(unzipped)), (c) => c.charCodeAt(0));
  const wrong: [Uint8Array, RegExp][] = [
    [unzipped.slice(0, -1), /truncated|outside of the file/],
    [edited((t) => t.replace("M\xe9\x03", "M\xea\x03")), /version must be 1001: it is 1002/],
    [edited((t) => t.replace("little_endianq\x02\x88", "little_endianq\x02\x89")), /byte order/],
    [
      edited((t) => t.replace("\x06\0\0\0\0\0\0\0", "\x07\0\0\0\0\0\0\0")),
      /must have 6 numbers: it has 7/,
    ],
  ];
  for (const [bytes, message] of wrong) assert.throws(() => open(bytes), { message });
});

Deno.test("openTorchFile() reads each type of storage", () => {
  const made = {
    F64: [new Float64Array([0.5, -1e300]), [0.5, -1e300]],
    F32: [f32(0.5, -1), [0.5, -1]],
    F16: [new Uint16Array([0x3c00, 0xc000]), [1, -2]],
    BF16: [new Uint16Array([0x3fc0, 0xc040]), [1.5, -3]],
    I64: [new BigInt64Array([1n, -(2n ** 60n)]), [1n, -(2n ** 60n)]],
    I32: [new Int32Array([1, -2]), [1, -2]],
    I16: [new Int16Array([1, -2]), [1, -2]],
    I8: [new Int8Array([1, -2]), [1, -2]],
    U8: [new Uint8Array([1, 255]), [1, 255]],
    BOOL: [new Uint8Array([1, 0]), [1, 0]],
  } as const;
  const entries = Object.keys(made).map((dtype, storage) =>
    [
      dtype,
      new Tensor({
        dtype: dtype as keyof typeof made,
        storage,
        length: 2,
        shape: [2],
        strides: [1],
      }),
    ] as const
  );
  const file = torchFile(new OrderedDict(entries), Object.values(made).map(([data]) => data));
  const value = open(file) as Map<string, TorchTensor>;
  for (const [dtype, [, expected]] of Object.entries(made)) {
    const tensor = value.get(dtype)!;
    assert.equal(tensor.dtype, dtype);
    assert.deepEqual([...torchTensorData(tensor)], [...expected]);
  }
});

Deno.test("torchTensorData() follows strides, offsets and shared storages", () => {
  const read = (made: Parameters<typeof tensorOf>[0]) => [...torchTensorData(tensorOf(made))];
  assert.deepEqual(read({}), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(read({ shape: [3, 2], strides: [1, 3] }), [0, 3, 1, 4, 2, 5]); // transposed
  assert.deepEqual(read({ shape: [2, 2], strides: [3, 1], offset: 1 }), [1, 2, 4, 5]); // a slice
  assert.deepEqual(read({ shape: [3], strides: [2] }), [0, 2, 4]);
  assert.deepEqual(read({ shape: [], strides: [], offset: 4 }), [4]);
  assert.deepEqual(read({ shape: [2, 0], strides: [1, 1] }), []);
  assert.deepEqual(read({ shape: [1, 3], strides: [99, 1], offset: 3 }), [3, 4, 5]);
  const file = torchFile(
    [0, 2].map((offset) =>
      new Tensor({ dtype: "F32", storage: 0, length: 4, offset, shape: [2], strides: [1] })
    ),
    [f32(1, 2, 3, 4)],
  );
  const both = open(file) as TorchTensor[];
  assert.deepEqual(both.map((tensor) => [...torchTensorData(tensor)]), [[1, 2], [3, 4]]);
});

Deno.test("torchTensorData() does not copy float32 numbers that lie in one piece", () => {
  const made = new Tensor({ dtype: "F32", storage: 0, length: 2, shape: [2], strides: [1] });
  const file = torchFile(made, [f32(1, 2)]);
  assert.equal(torchTensorData(open(file) as TorchTensor).buffer, file.buffer);
});

Deno.test("openTorchFile() reads what training programs save besides tensors", () => {
  const settings = new Map<unknown, unknown>([
    ["step", 1000],
    ["elapsed", 12.5],
    ["betas", new Tuple([0.9, 0.95])],
    ["state", new Map([[0, new Map([["step", 2 ** 40]])]])],
    ["size", new Raw([...global("torch", "Size"), ...[0x4b, 2, 0x4b, 3, 0x86, 0x85, 0x52]])],
    ["device", new Raw([...global("torch", "device"), ...[0x8c, 3, 99, 112, 117, 0x85, 0x52]])],
    ["none", null],
  ]);
  assert.deepEqual(
    open(torchFile(settings)),
    new Map<unknown, unknown>([
      ["step", 1000],
      ["elapsed", 12.5],
      ["betas", [0.9, 0.95]],
      ["state", new Map([[0, new Map([["step", 2 ** 40]])]])],
      ["size", [2, 3]],
      ["device", "cpu"],
      ["none", null],
    ]),
  );
  const parameter = torchFile(
    new Raw([
      ...[...global("torch._utils", "_rebuild_parameter"), 0x28],
      ...pickle(new Tensor({ dtype: "F32", storage: 0, length: 1, shape: [1], strides: [1] }))
        .slice(2, -1),
      ...[0x88, ...pickle(new OrderedDict([])).slice(2, -1), 0x74, 0x52],
    ]),
    [f32(7)],
  );
  assert.deepEqual([...torchTensorData(open(parameter) as TorchTensor)], [7]);
});

Deno.test("openTorchFile() refuses tensors that reach outside of their storage", () => {
  const cases: [Parameters<typeof tensorOf>[0], RegExp][] = [
    [{ shape: [7], strides: [1] }, /last element is number 6, the storage has 6/],
    [{ offset: 1 }, /reaches outside/],
    [{ shape: [2, 2], strides: [5, 1] }, /reaches outside/],
    [{ shape: [7], strides: [0] }, /more elements than its storage .* 7 elements/],
    [{ shape: [2 ** 26, 2 ** 26], strides: [0, 0] }, /more elements than its storage/],
    [{ shape: [-1], strides: [1] }, /whole numbers >= 0/],
    [{ shape: [1], strides: [-1], offset: 3 }, /whole numbers >= 0/],
    [{ shape: [1.5], strides: [1] }, /whole numbers >= 0/],
    [{ shape: [2], strides: [1, 1] }, /whole numbers >= 0/],
    [{ offset: -1 }, /whole numbers >= 0/],
    [{ length: 5 }, /size of storage 0 contradicts its length: 24 bytes, 5 numbers/],
    [{ length: 2 ** 31 }, /size of storage 0 contradicts/],
    [{ length: 1.5 }, /size of storage 0 contradicts/],
    [{ storage: 9 }, /storage 9 is missing/],
  ];
  for (const [made, message] of cases) {
    assert.throws(() => tensorOf(made), { name: "RangeError", message });
  }
});

Deno.test("openTorchFile() refuses what is not data", () => {
  const refused: [Uint8Array, RegExp][] = [
    [torchArchive(new Uint8Array([0x80, 2, ...global("os", "system"), 46])), /"os\.system"/],
    [
      torchArchive(new Uint8Array([0x80, 2, ...global("torch._utils", "_rebuild_tensor"), 46])),
      /"torch\._utils\._rebuild_tensor"/,
    ],
    [pickle(new Map()), /bare pickle/],
    [storedZip([["archive/version", new Uint8Array()]]), /one data\.pkl: it holds 0/],
    [
      storedZip([["a/data.pkl", pickle(null)], ["b/data.pkl", pickle(null)]]),
      /one data\.pkl: it holds 2/,
    ],
    [
      storedZip([["a/data.pkl", pickle(null)], ["a/constants.pkl", pickle(null)]]),
      /TorchScript/,
    ],
    [
      storedZip([["a/data.pkl", pickle(null)], ["a/byteorder", new TextEncoder().encode("big")]]),
      /byte order must be little/,
    ],
  ];
  for (const [file, message] of refused) {
    assert.throws(() => open(file), { name: "TypeError", message });
  }
  const bomb = makeZip([{ name: "a/data.pkl", data: new Uint8Array(2 ** 26 + 1) }]); // 65 KB
  assert.throws(() => open(bomb), { name: "RangeError", message: /at most 67108864 bytes/ });
  const hooks = new OrderedDict([[0, "a hook"]]);
  assert.throws(() => tensorOf({ hooks }), { name: "TypeError", message: /plain data/ });
  for (const key of ["../0", "0/../1", "", "x", "00000000000"]) {
    const id = new Tuple(["storage", new Raw(global("torch", "FloatStorage")), key, "cpu", 1]);
    const file = torchFile(new Raw([...pickle(id).slice(2, -1), 0x51]), [f32(1)]);
    assert.throws(() => open(file), { name: "SyntaxError", message: /no storage/ });
  }
});

/** Everything in a file, tensors read; bounded, since lists may hold themselves. */
function readAll(value: TorchValue): void {
  const queue: TorchValue[] = [value];
  const seen = new Set<TorchValue>();
  for (let next = queue.pop(); queue.length > 0 || next !== undefined; next = queue.pop()) {
    if (next === undefined || seen.has(next)) continue;
    if (typeof next === "object") seen.add(next);
    if (isTorchTensor(next)) torchTensorData(next);
    else if (next instanceof Map) queue.push(...next.keys(), ...next.values());
    else if (Array.isArray(next)) queue.push(...next);
  }
}

const base = () => {
  const tensor = (storage: number, shape: number[], strides: number[]) =>
    new Tensor({ dtype: "F32", storage, length: 6, shape, strides });
  const value = new Map<unknown, unknown>([
    ["config", new Map<string, unknown>([["model", new Map([["widths", [16, 32]]])]])],
    ["model", new OrderedDict([["a.weight", tensor(0, [2, 3], [3, 1])]])],
    ["model_ema", new OrderedDict([["a.weight", tensor(1, [3, 2], [1, 3])]])],
    [
      "opt",
      new Map<unknown, unknown>([
        ["state", new Map([[0, new Map([["exp_avg", tensor(0, [6], [1])]])]])],
        ["param_groups", [new Map<string, unknown>([["betas", new Tuple([0.9, 0.95])]])]],
      ]),
    ],
    ["step", 70000],
    ["none", null],
    ["flag", true],
  ]);
  return { data: pickle(value), storages: [f32(0, 1, 2, 3, 4, 5), f32(5, 4, 3, 2, 1, 0)] };
};

Deno.test({
  name:
    "openTorchFile() throws nothing but its own errors on 10,000 damaged files, and touches no file",
  permissions: "none", // anything that it opened would be another error
  fn() {
    const { data, storages } = base();
    const whole = torchArchive(data, storages);
    for (const good of [whole, kinds, unzipped]) readAll(open(good));
    const random = seeded(4);
    const outcomes = { read: 0, TypeError: 0, RangeError: 0, SyntaxError: 0 };
    for (let i = 0; i < 10_000; i++) {
      // half of them with a good archive around a damaged pickle, a third of the rest without an archive
      let bytes = i % 2 === 1 ? data : [whole, kinds, unzipped][i / 2 % 3];
      for (let times = 1 + random(3); times > 0 && bytes.length > 4; times--) {
        bytes = mutate(bytes, random);
      }
      if (i % 2 === 1) bytes = torchArchive(bytes, storages);
      try {
        readAll(open(bytes));
        outcomes.read++;
      } catch (error) {
        const name = (error as Error).name as keyof typeof outcomes;
        assert.ok(
          name in outcomes && /^Cannot /.test((error as Error).message),
          `file ${i}: ${error}`,
        );
        outcomes[name]++;
      }
    }
    // the damage reached every layer
    for (const [outcome, count] of Object.entries(outcomes)) assert.ok(count > 100, outcome);
  },
});
