/**
 * Calls a function while what native code writes to standard error is dropped.
 *
 * libtensorflow writes two lines as it is loaded, before its own log level applies. Where the C
 * library cannot be reached, the function is simply called.
 */
export function withoutStderr<T>(fn: () => T): T {
  if (Deno.build.os !== "linux") return fn();
  let libc;
  try {
    libc = Deno.dlopen("libc.so.6", {
      open: { parameters: ["buffer", "i32"], result: "i32" },
      dup: { parameters: ["i32"], result: "i32" },
      dup2: { parameters: ["i32", "i32"], result: "i32" },
      close: { parameters: ["i32"], result: "i32" },
    });
  } catch {
    return fn(); // no permission, or another C library
  }
  const { open, dup, dup2, close } = libc.symbols;
  const kept = dup(2);
  const nowhere = open(new TextEncoder().encode("/dev/null\0"), 1 /* O_WRONLY */);
  try {
    if (kept >= 0 && nowhere >= 0) dup2(nowhere, 2);
    return fn();
  } finally {
    if (kept >= 0) {
      dup2(kept, 2);
      close(kept);
    }
    if (nowhere >= 0) close(nowhere);
    libc.close();
  }
}
