/**
 * Jupyter's messages (protocol 5.3): signed frames on the wire, checked values inside.
 *
 * @module
 */
import { z } from "zod";

const bundle = z.record(z.string(), z.unknown());
const transient = z.object({ display_id: z.string().optional() }).optional();

/** What a kernel publishes while a cell runs; other messages are of no use to a runner. */
const published = z.discriminatedUnion("type", [
  z.object({ type: z.literal("status"), content: z.object({ execution_state: z.string() }) }),
  z.object({
    type: z.literal("stream"),
    content: z.object({ name: z.enum(["stdout", "stderr"]), text: z.string() }),
  }),
  z.object({
    type: z.enum(["display_data", "update_display_data"]),
    content: z.object({ data: bundle, metadata: bundle.default({}), transient }),
  }),
  z.object({
    type: z.literal("execute_result"),
    content: z.object({
      data: bundle,
      metadata: bundle.default({}),
      transient,
      execution_count: z.int(),
    }),
  }),
  z.object({
    type: z.literal("error"),
    content: z.object({ ename: z.string(), evalue: z.string(), traceback: z.array(z.string()) }),
  }),
  z.object({ type: z.literal("clear_output"), content: z.object({ wait: z.boolean() }) }),
]);

/** A message that a kernel publishes. */
export type Published = z.output<typeof published>;

const reply = z.object({
  status: z.string(),
  execution_count: z.int().nullish(),
  ename: z.string().default("Error"),
  evalue: z.string().default(""),
  traceback: z.array(z.string()).default([]),
});

/** A kernel's answer to a request. */
export type Reply = z.output<typeof reply>;

/** A message as received: what it answers, and what it says. */
export type Received =
  & { parentId: string }
  & ({ kind: "reply"; reply: Reply } | { kind: "published"; message: Published });

/** A message to send. */
export type Request = { id: string; session: string; type: string; content: unknown };

const header = z.object({ msg_type: z.string() });
const parentHeader = z.object({ msg_id: z.string().default("") });
const delimiter = "<IDS|MSG>";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A key that signs messages with HMAC-SHA256. */
export function importKey(text: string): Promise<CryptoKey> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", encoder.encode(text), algorithm, false, ["sign"]);
}

/** A request as signed frames. */
export async function encode(request: Request, key: CryptoKey): Promise<Uint8Array[]> {
  const head = {
    msg_id: request.id,
    msg_type: request.type,
    session: request.session,
    username: "",
    date: new Date().toISOString(),
    version: "5.3",
  };
  const parts = [head, {}, {}, request.content].map((part) => encoder.encode(JSON.stringify(part)));
  return [encoder.encode(delimiter), encoder.encode(await sign(parts, key)), ...parts];
}

/** Signed frames as a message; `undefined` where it is of no use or its signature is wrong. */
export async function decode(
  frames: readonly Uint8Array[],
  key: CryptoKey,
): Promise<Received | undefined> {
  const start = frames.findIndex((frame) => decoder.decode(frame) === delimiter);
  const parts = frames.slice(start + 2, start + 6);
  if (start < 0 || parts.length < 4) return undefined;
  if (decoder.decode(frames[start + 1]) !== await sign(parts, key)) return undefined;
  const [head, parent, , content] = parts.map((part): unknown => JSON.parse(decoder.decode(part)));
  const { msg_type: type } = header.parse(head);
  const parentId = parentHeader.parse(parent).msg_id;
  if (type.endsWith("_reply")) return { parentId, kind: "reply", reply: reply.parse(content) };
  const message = published.safeParse({ type, content });
  return message.success ? { parentId, kind: "published", message: message.data } : undefined;
}

async function sign(parts: readonly Uint8Array[], key: CryptoKey): Promise<string> {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, joined)).toHex();
}
