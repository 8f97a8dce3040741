/**
 * What a cell puts out, gathered from a kernel's messages.
 *
 * @module
 */
import type { Published } from "./messages.ts";
import type { Output } from "./notebook.ts";

/** The outputs of a notebook that can still be updated, by display id. */
export type Displays = Map<string, Extract<Output, { data: unknown }>[]>;

/** Gathers one cell's outputs. */
export type Outputs = {
  add(message: Published): void;
  /** The outputs so far, with text as lines, as notebooks keep it. */
  list(): Output[];
};

/** Starts on a cell; `displays` is shared by the cells of a notebook. */
export function collectOutputs(displays: Displays): Outputs {
  let outputs: Output[] = [];
  let clearAtNext = false;

  function push(output: Output): void {
    if (clearAtNext) outputs = [];
    clearAtNext = false;
    outputs.push(output);
  }

  function pushDisplay(output: Extract<Output, { data: unknown }>, id: string | undefined): void {
    if (id !== undefined) displays.set(id, [...displays.get(id) ?? [], output]);
    push(output);
  }

  function add(message: Published): void {
    switch (message.type) {
      case "status":
        return;
      case "stream": {
        const { name, text } = message.content;
        const last = clearAtNext ? undefined : outputs.at(-1);
        if (last?.output_type === "stream" && last.name === name) last.text += text;
        else push({ output_type: "stream", name, text });
        return;
      }
      case "display_data": {
        const { data, metadata, transient } = message.content;
        pushDisplay({ output_type: "display_data", data, metadata }, transient?.display_id);
        return;
      }
      case "execute_result": {
        const { data, metadata, transient, execution_count } = message.content;
        const result = { output_type: "execute_result", execution_count, data, metadata } as const;
        pushDisplay({ ...result }, transient?.display_id);
        return;
      }
      case "update_display_data": {
        const { data, metadata, transient } = message.content;
        const shown = displays.get(transient?.display_id ?? "") ?? [];
        for (const output of shown) Object.assign(output, { data, metadata });
        return;
      }
      case "error":
        push({ output_type: "error", ...message.content });
        return;
      case "clear_output":
        if (message.content.wait) clearAtNext = true;
        else outputs = [];
    }
  }
  return { add, list: () => outputs };
}

/** The output as notebooks keep it: text as lines, JSON and base64 as they are. */
export function toFile(output: Output): Output {
  switch (output.output_type) {
    case "stream":
      return { ...output, text: lines([output.text].flat().join("")) };
    case "display_data":
    case "execute_result":
      return { ...output, data: splitTexts(output.data) };
    case "error":
      return output;
  }
}

function splitTexts(data: Record<string, unknown>): Record<string, unknown> {
  const isText = (mime: string) =>
    mime.startsWith("text/") || ["image/svg+xml", "application/javascript"].includes(mime);
  return Object.fromEntries(
    Object.entries(data).map(([mime, value]) => [
      mime,
      isText(mime) && typeof value === "string" ? lines(value) : value,
    ]),
  );
}

/** The lines of a text, each with its line end. */
function lines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}
