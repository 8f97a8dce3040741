/**
 * Command lines: commander with parsers that check ranges, usage errors that exit with 2, and
 * Ctrl-C as an `AbortSignal`.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { nearest } from "./nearest.ts";

/** A command whose usage errors name the nearest option and exit with 2; see {@link runCommand}. */
export function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .helpOption("-h, --help", "show this help")
    .showHelpAfterError("(--help lists all options)")
    .showSuggestionAfterError()
    .allowExcessArguments(false)
    .exitOverride();
}

/**
 * Parses the arguments, runs the command's action, and sets the exit code: 0, 1 where the action
 * fails, 2 where the arguments are wrong.
 *
 * A failing action's message is printed; of what is not the user's to mend, the project's own frames of the stack too.
 */
export async function runCommand(
  program: Command,
  args: readonly string[] = Deno.args,
): Promise<void> {
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has printed its message already
      if (error.exitCode !== 0) Deno.exitCode = 2;
      return;
    }
    console.error(describeFailure(error));
    Deno.exitCode = 1;
  }
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  // the library's own refusals say all that there is to know
  if (/^Cannot /.test(error.message)) return `error: ${error.message}`;
  const frames = (error.stack ?? "").split("\n")
    .filter((line) => /^\s+at .*file:/.test(line) && !line.includes("/node_modules/"));
  return [`error: ${error.message}`, ...frames.slice(0, 5)].join("\n");
}

/** What numbers an option takes; bounds are exclusive (`above`, `below`) or inclusive. */
export type NumberRange = {
  above?: number;
  below?: number;
  min?: number;
  max?: number;
  /** Only whole numbers. Default: false. */
  whole?: boolean;
};

/**
 * A parser for an option that takes a number in a range.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { numberOption } from "./command.ts";
 *
 * const minutes = numberOption({ above: 0 });
 * assert.equal(minutes("2.5"), 2.5);
 * assert.throws(() => minutes("0"), { message: "It must be a number > 0" });
 * ```
 */
export function numberOption(range: NumberRange = {}): (text: string) => number {
  const { above = -Infinity, below = Infinity, min = -Infinity, max = Infinity } = range;
  const bounds = [["> ", above], [">= ", min], ["< ", below], ["<= ", max]] as const;
  const limits = bounds.filter(([, bound]) => Number.isFinite(bound)).map((b) => b.join(""));
  const required = [range.whole ? "a whole number" : "a number", limits.join(" and ")].join(" ");
  return (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    const inside = Number.isFinite(value) && value > above && value < below && value >= min &&
      value <= max;
    if (inside && (!range.whole || Number.isSafeInteger(value))) return value;
    throw new InvalidArgumentError(`It must be ${required.trimEnd()}`);
  };
}

/** A parser for an option that takes one of the known words; the error names the nearest. */
export function choiceOption<const T extends string>(known: readonly T[]): (text: string) => T {
  return (text) => {
    const found = known.find((word) => word === text.trim());
    if (found !== undefined) return found;
    const near = nearest(text.trim(), known);
    const hint = near === undefined ? "" : `. Did you mean ${near}?`;
    throw new InvalidArgumentError(`It must be one of ${known.join(", ")}${hint}`);
  };
}

/**
 * A parser for an option that takes the size of images: a side, or height x width.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sizeOption } from "./command.ts";
 *
 * assert.deepEqual([sizeOption("64"), sizeOption("64x96")], [[64, 64], [64, 96]]);
 * assert.throws(() => sizeOption("64x"), /It must be a side in pixels, or height x width/);
 * ```
 */
export function sizeOption(text: string): [height: number, width: number] {
  const found = /^(\d+)(?:x(\d+))?$/.exec(text.trim());
  const [height, width] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])];
  if (found && height > 0 && width > 0) return [height, width];
  throw new InvalidArgumentError("It must be a side in pixels, or height x width: 64 or 64x96");
}

/**
 * A parser for an option that takes a list with commas, each item parsed by `parse`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { choiceOption, listOption, numberOption } from "./command.ts";
 *
 * assert.deepEqual(listOption(numberOption({ whole: true }))("0, 1,2"), [0, 1, 2]);
 * assert.throws(() => listOption(choiceOption(["skip", "position"]))("skpi"), /Did you mean skip\?/);
 * ```
 */
export function listOption<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => {
    const items = text.split(",").map((item) => item.trim());
    if (items.some((item) => item === "")) {
      throw new InvalidArgumentError("It must be a list with commas, such as a,b, with no gaps");
    }
    return items.map(parse);
  };
}

/** How {@link interruptSignal} answers the first Ctrl-C. */
export type InterruptOptions = {
  /** The line printed at the first signal. */
  message?: string;
};

/**
 * A signal that aborts at the first Ctrl-C (SIGINT) or SIGTERM, so that work can stop in order; a
 * second one exits at once with 130. Its `reason` is a `DOMException` named `AbortError`.
 *
 * Stops listening when disposed of: `using interrupt = interruptSignal();`
 */
export function interruptSignal(
  { message = "Stopping after the current step; press Ctrl-C again to stop at once" }:
    InterruptOptions = {},
): AbortSignal & Disposable {
  const controller = new AbortController();
  const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM"];
  const onSignal = () => {
    if (controller.signal.aborted) Deno.exit(130);
    try {
      console.error(`\n${message}`);
    } catch {
      // a closed terminal must not keep the work from stopping in order
    }
    controller.abort(new DOMException("Stopped by a signal", "AbortError"));
  };
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return Object.assign(controller.signal, {
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
    },
  });
}
