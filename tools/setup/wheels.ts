/**
 * The Python wheels that hold libtensorflow and the CUDA libraries, pinned by their SHA-256, and
 * what is kept of each. Only files are taken from them; no Python runs.
 *
 * @module
 */

/** `cpu` computes on the processor; `cuda` on an NVIDIA GPU, and on the processor where there is none. */
export type Flavour = "cpu" | "cuda";

/** The release of TensorFlow that the binding is compiled against. */
export const TENSORFLOW = "2.21.0";

/** One wheel: a zip archive. */
export type Wheel = {
  /** The project's name in the package index. */
  project: string;
  file: string;
  bytes: number;
  sha256: string;
};

/** How much is kept of what was unpacked, in bytes; measured, and close enough to say beforehand. */
export const KEPT: Readonly<Record<Flavour, number>> = { cpu: 854e6, cuda: 5.8e9 };

type Pin = [project: string, file: string, bytes: number, sha256: string];

/** The Python tag is of no matter: libtensorflow is the same in each. */
const PY = `${TENSORFLOW}-cp312-cp312-manylinux_2_27`;

const cpu: Readonly<Record<string, Pin>> = {
  x86_64: [
    "tensorflow-cpu",
    `tensorflow_cpu-${PY}_x86_64.whl`,
    274000871,
    "dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb",
  ],
  aarch64: [
    "tensorflow",
    `tensorflow-${PY}_aarch64.whl`,
    281946471,
    "b07d15737406533898e36c7ef7944b1be18e9028dc521b9229952c537bbc5552",
  ],
};

/** libtensorflow with CUDA, and the libraries that it opens; versions as its own requirements allow. */
const cuda: readonly Pin[] = [
  [
    "tensorflow",
    `tensorflow-${PY}_x86_64.whl`,
    572611111,
    "b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0",
  ],
  [
    "nvidia-cublas-cu12",
    "nvidia_cublas_cu12-12.9.3.13-py3-none-manylinux_2_27_x86_64.whl",
    581217458,
    "d7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72",
  ],
  [
    "nvidia-cuda-cupti-cu12",
    "nvidia_cuda_cupti_cu12-12.9.79-py3-none-manylinux_2_25_x86_64.whl",
    10814997,
    "096bcf334f13e1984ba36685ad4c1d6347db214de03dbb6eebb237b41d9d934f",
  ],
  [
    "nvidia-cuda-nvcc-cu12",
    "nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    40546229,
    "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
  ],
  [
    "nvidia-cuda-nvrtc-cu12",
    "nvidia_cuda_nvrtc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    89568129,
    "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
  ],
  [
    "nvidia-cuda-runtime-cu12",
    "nvidia_cuda_runtime_cu12-12.9.79-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    3493179,
    "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
  ],
  [
    "nvidia-cudnn-cu12",
    "nvidia_cudnn_cu12-9.28.0.42-py3-none-manylinux_2_27_x86_64.whl",
    716538495,
    "9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375",
  ],
  [
    "nvidia-cufft-cu12",
    "nvidia_cufft_cu12-11.4.1.4-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    200877592,
    "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28",
  ],
  [
    "nvidia-curand-cu12",
    "nvidia_curand_cu12-10.3.10.19-py3-none-manylinux_2_27_x86_64.whl",
    68295626,
    "49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e",
  ],
  [
    "nvidia-cusolver-cu12",
    "nvidia_cusolver_cu12-11.7.5.82-py3-none-manylinux_2_27_x86_64.whl",
    338117415,
    "15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88",
  ],
  [
    "nvidia-cusparse-cu12",
    "nvidia_cusparse_cu12-12.5.10.65-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    366465088,
    "73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78",
  ],
  [
    "nvidia-nccl-cu12",
    "nvidia_nccl_cu12-2.32.3-py3-none-manylinux_2_27_x86_64.whl",
    351526311,
    "bb94b2348e4861d5e8aa00b36c3d12d9bdf9c6369b82cbb723de0b582280a21c",
  ],
  [
    "nvidia-nvjitlink-cu12",
    "nvidia_nvjitlink_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    39748338,
    "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9",
  ],
];

/**
 * The wheels that a machine needs.
 *
 * @throws {Deno.errors.NotSupported} where there are none for it.
 */
export function wheelsFor(
  { os, arch, flavour }: { os: string; arch: string; flavour: Flavour },
): Wheel[] {
  const pins = flavour === "cuda" ? arch === "x86_64" ? cuda : [] : cpu[arch] ? [cpu[arch]] : [];
  if (os !== "linux" || pins.length === 0) {
    const required = flavour === "cuda" ? "linux on x86_64" : "linux on x86_64 or aarch64";
    throw new Deno.errors.NotSupported(
      `Cannot set up the tensorflow engine (${flavour}) as the machine must be ${required}: ` +
        `it is ${os} on ${arch}. The default engine, onnxruntime, works here`,
    );
  }
  return pins.map(([project, file, bytes, sha256]) => ({ project, file, bytes, sha256 }));
}

/** A wheel's version, from its file name. */
export function versionOf({ file }: Pick<Wheel, "file">): string {
  return file.split("-")[1];
}

/** The platform tags of a wheel, from its file name. */
export function platformsOf({ file }: Pick<Wheel, "file">): string[] {
  return file.replace(/\.whl$/, "").split("-").at(-1)!.split(".");
}

const libraries = /^tensorflow\/(libtensorflow_(?:cc|framework)\.so\.\d+)$/;
const headers =
  /^tensorflow\/include\/((?:tensorflow\/c\/|xla\/tsl\/c\/|(?:tensorflow\/core|tensorflow\/tsl|tsl)\/platform\/ctstring).*\.h)$/;

/**
 * Where a file of a wheel is kept, relative to the folder of the set-up; undefined where it is not.
 *
 * libtensorflow itself looks for the CUDA libraries in `../nvidia/` beside its own folder.
 */
export function keptPath(name: string): string | undefined {
  const library = libraries.exec(name);
  if (library) return `deps/lib/${library[1]}`;
  const header = headers.exec(name);
  if (header) return `deps/include/${header[1]}`;
  if (!name.startsWith("nvidia/")) return undefined;
  return /\/include\/|\.a$|\.py$|\/$/.test(name) ? undefined : `deps/${name}`;
}
