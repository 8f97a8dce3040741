"""Runs DIR/model.onnx on DIR/inputs.json and prints outputs and metadata as JSON."""

import json
import sys

import numpy
import onnxruntime

folder = sys.argv[1]
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
with open(f"{folder}/inputs.json", encoding="utf-8") as file:
    inputs = json.load(file)
feeds = {
    name: numpy.array(value["data"], value["type"]).reshape(value["dims"])
    for name, value in inputs.items()
}
(denoised,) = session.run(["denoised"], feeds)
metadata = session.get_modelmeta().custom_metadata_map
json.dump({"denoised": denoised.ravel().tolist(), "metadata": metadata}, sys.stdout)
