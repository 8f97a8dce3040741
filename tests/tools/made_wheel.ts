/** A zip archive made in memory, and a server on loopback that counts what it sends. */
import { createHash } from "node:crypto";
import { crc32, deflateRawSync } from "node:zlib";
import type { Wheel } from "../../tools/setup/wheels.ts";

export type MadeFile = { name: string; data: Uint8Array; stored?: boolean };

export const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

/** A zip archive with the files in order. */
export function makeZip(files: readonly MadeFile[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [], directory: Uint8Array[] = [];
  let offset = 0;
  for (const { name, data, stored = false } of files) {
    const packed = stored ? data : new Uint8Array(deflateRawSync(data));
    const label = new TextEncoder().encode(name);
    const local = new DataView(new ArrayBuffer(30));
    const central = new DataView(new ArrayBuffer(46));
    local.setUint32(0, 0x04034b50, true);
    central.setUint32(0, 0x02014b50, true);
    for (const [view, at] of [[local, 8], [central, 10]] as const) {
      view.setUint16(at, stored ? 0 : 8, true);
      view.setUint32(at + 6, crc32(data), true);
      view.setUint32(at + 10, packed.length, true);
      view.setUint32(at + 14, data.length, true);
      view.setUint16(at + 18, label.length, true);
    }
    central.setUint32(42, offset, true);
    parts.push(bytes(local), label, packed);
    directory.push(bytes(central), label);
    offset += 30 + label.length + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return concat([...parts, ...directory, bytes(end)]);
}

const bytes = ({ buffer }: DataView) => new Uint8Array(buffer as ArrayBuffer);

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const text = (s: string) => new TextEncoder().encode(s);

/** A wheel with what libtensorflow's has, only small. */
export function makeWheel(): { wheel: Wheel; data: Uint8Array<ArrayBuffer> } {
  const data = makeZip([
    { name: "tensorflow/__init__.py", data: text("raise SystemExit") },
    { name: "tensorflow/libtensorflow_cc.so.2", data: new Uint8Array(5000).fill(7) },
    { name: "tensorflow/libtensorflow_framework.so.2", data: text("framework"), stored: true },
    { name: "tensorflow/include/tensorflow/c/c_api.h", data: text("#pragma once\n") },
    { name: "tensorflow/include/tensorflow/cc/ops.h", data: text("not kept\n") },
  ]);
  const file = "tensorflow_cpu-0.0.1-cp312-cp312-manylinux_2_27_x86_64.whl";
  return {
    wheel: { project: "tensorflow-cpu", file, bytes: data.length, sha256: sha256(data) },
    data,
  };
}

export type Served = {
  url: string;
  /** Requests as "path range". */
  requests: string[];
  headers: Headers[];
} & AsyncDisposable;

/** Serves on loopback. */
export function serve(
  answer: (request: Request, n: number) => Response | Promise<Response>,
): Served {
  const requests: string[] = [], headers: Headers[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    requests.push(`${pathname} ${request.headers.get("range") ?? ""}`.trim());
    headers.push(request.headers);
    return answer(request, requests.length - 1);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests,
    headers,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A file, or the range of it that is asked for. */
export function ranged(data: Uint8Array<ArrayBuffer>, request: Request): Response {
  const from = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1];
  if (from === undefined) return new Response(data);
  if (Number(from) >= data.length) return new Response(null, { status: 416 });
  const range = `bytes ${from}-${data.length - 1}/${data.length}`;
  return new Response(data.slice(Number(from)), {
    status: 206,
    headers: { "content-range": range },
  });
}
