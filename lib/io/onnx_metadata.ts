/**
 * What an exported model says of itself, read from the file without a runtime: runtimes for the
 * browser do not hand it out. Imports nothing, so that pages can use it as it is.
 *
 * @module
 */

/** What a sampler needs to know of an exported denoiser. */
export type DenoiserInfo = {
  size: readonly [height: number, width: number];
  /** In a file for any size: what its sides must be multiples of. */
  sizeMultiple?: readonly [height: number, width: number];
  channels: number;
  /** Classes without the null class, whose number is `numClasses`; 0: unconditional. */
  numClasses: number;
  /** Names of the classes; empty where they have none. */
  classNames: string[];
  /** Standard deviation of the training data. */
  sigmaData: number;
  /** The noise levels to sample between. */
  sigmaMin: number;
  sigmaMax: number;
  /** "denoised": D(x; sigma); "raw": the inner network F(c_in x, sigma). */
  output: "denoised" | "raw";
  /** The model's specification, as the library writes it. */
  spec: unknown;
};

/** The value of the key `format`. */
export const DENOISER_FORMAT = "hdit-denoiser-1";

/** A denoiser's description as the metadata of an ONNX file: JSON by key. */
export function denoiserMetadata(info: DenoiserInfo): Record<string, string> {
  return {
    format: DENOISER_FORMAT,
    output: info.output,
    size: JSON.stringify(info.size),
    channels: JSON.stringify(info.channels),
    num_classes: JSON.stringify(info.numClasses),
    class_names: JSON.stringify(info.classNames),
    sigma_data: JSON.stringify(info.sigmaData),
    sigma_min: JSON.stringify(info.sigmaMin),
    sigma_max: JSON.stringify(info.sigmaMax),
    spec: JSON.stringify(info.spec),
    ...(info.sizeMultiple && { size_multiple: JSON.stringify(info.sizeMultiple) }),
  };
}

/**
 * The description of the denoiser in an ONNX file.
 *
 * @throws {TypeError} where the file is not ONNX, or not written by `exportOnnx`.
 */
export function readDenoiserInfo(file: Uint8Array): DenoiserInfo {
  const metadata = readOnnxMetadata(file);
  if (metadata.format !== DENOISER_FORMAT) {
    throw new TypeError(
      `Cannot use the ONNX file as its metadata must have the format ${DENOISER_FORMAT}: format is ${
        metadata.format ?? "absent"
      }`,
    );
  }
  const json = (key: string) => JSON.parse(metadata[key]);
  return {
    size: json("size"),
    channels: json("channels"),
    numClasses: json("num_classes"),
    classNames: json("class_names"),
    sigmaData: json("sigma_data"),
    sigmaMin: json("sigma_min"),
    sigmaMax: json("sigma_max"),
    output: metadata.output as DenoiserInfo["output"],
    spec: json("spec"),
    ...("size_multiple" in metadata && { sizeMultiple: json("size_multiple") }),
  };
}

/** The free text that an ONNX file carries along, by key. */
export function readOnnxMetadata(file: Uint8Array): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const { field, bytes } of fields(file)) {
    if (field !== 14 || !bytes) continue; // ModelProto.metadata_props
    let key = "", value = "";
    for (const { field, bytes: text } of fields(bytes)) { // StringStringEntryProto: key 1, value 2
      if (field === 1 && text) key = decoder.decode(text);
      if (field === 2 && text) value = decoder.decode(text);
    }
    metadata[key] = value;
  }
  return metadata;
}

const decoder = new TextDecoder();

/** The fields of a protocol-buffer message; only those with a length have bytes. */
function* fields(message: Uint8Array): Generator<{ field: number; bytes: Uint8Array | undefined }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new TypeError("Cannot read the ONNX file as it is truncated or not ONNX");
  };
  while (at < message.length) {
    const tag = varint(), wire = tag % 8, field = Math.floor(tag / 8);
    let bytes: Uint8Array | undefined;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      bytes = message.subarray(at, at + length);
      at += length;
    } else at = Infinity;
    if (!(at <= message.length)) {
      throw new TypeError("Cannot read the ONNX file as it is truncated or not ONNX");
    }
    yield { field, bytes };
  }
}
