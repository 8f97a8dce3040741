/**
 * Times in milliseconds, summed over calls: `runMs` inside the runtime, `callMs` in all but for the
 * turn of the event loop, so that their difference is JavaScript (once nothing is traced).
 */
export type CompileStats = {
  traces: number;
  calls: number;
  callMs: number;
  traceMs: number;
  compileMs: number;
  runMs: number;
  /** Operations in the graph that was compiled last. */
  nodes: number;
};
