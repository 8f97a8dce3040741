/**
 * Kernels that the package lacks: they run on tfjs's own `cpu` backend, with the numbers copied
 * there and back. None is used in the library; they are here so that tfjs code runs unchanged.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/** The names of the kernels that were added. */
export function addMissingKernels(): string[] {
  const known = new Set(tf.getKernelsForBackend("tensorflow").map(({ kernelName }) => kernelName));
  const missing = tf.getKernelsForBackend("cpu").filter(({ kernelName }) => !known.has(kernelName));
  for (const { kernelName, kernelFunc } of missing) {
    tf.registerKernel({
      kernelName,
      backendName: "tensorflow",
      kernelFunc: ({ inputs, attrs, backend }) => {
        const cpu = tf.findBackend("cpu") as tf.KernelBackend;
        const here = backend as tf.KernelBackend;
        const copies = Object.fromEntries(
          Object.entries(inputs).map(([name, info]) => {
            if (info === undefined || info === null) return [name, info];
            const { dataId, shape, dtype } = info as tf.TensorInfo;
            const values = here.readSync(dataId) as tf.backend_util.BackendValues;
            return [name, { dataId: cpu.write(values, shape, dtype), shape, dtype }];
          }),
        );
        const out = kernelFunc({ inputs: copies as tf.NamedTensorInfoMap, attrs: attrs ?? {}, backend: cpu });
        const results = (Array.isArray(out) ? out : [out]).map(({ dataId, shape, dtype }) => {
          const values = cpu.readSync(dataId) as tf.backend_util.BackendValues;
          return { dataId: here.write(values, shape, dtype), shape, dtype };
        });
        const used = [...Object.values(copies), ...(Array.isArray(out) ? out : [out])];
        for (const info of used) if (info) cpu.disposeData((info as tf.TensorInfo).dataId, true);
        return Array.isArray(out) ? results : results[0];
      },
    });
  }
  return missing.map(({ kernelName }) => kernelName);
}
