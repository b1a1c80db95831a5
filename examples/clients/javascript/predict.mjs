// Predictions with fetch, in Node 18 and later or in a browser of the same origin. No library.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const url = process.env.FORETELL_URL;
const key = process.env.FORETELL_KEY;
const model = process.env.MODEL_FOLDER;

const read = async (name) => JSON.parse(await readFile(`${model}/${name}`, "utf8"));
const record = await read("sample.request.json");
const expected = await read("sample.response.json");

/** Sends JSON, or bytes with headers of their own; throws what the server says if it refuses. */
async function post(path, body, headers = {}) {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...headers },
    body: body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  if (!response.ok) {
    const { error, code, request_id } = await response.json();
    throw Object.assign(new Error(error), { status: response.status, code, request_id });
  }
  return response;
}

const near = (what, got, wanted) => {
  assert.equal(got.length, wanted.length, what);
  got.forEach((value, at) => assert.ok(Math.abs(value - wanted[at]) < 1e-6, `${what}: ${got}`));
  console.log(`ok: ${what} are ${got}`);
};

// 1. A record by name.
let response = await post("/api/predict/iris", record);
let answer = await response.json();
near("the record's probabilities", answer.prediction.probabilities, expected.probabilities);
assert.equal(answer.prediction.label, expected.label);
console.log(`ok: version ${response.headers.get("x-model-version")} says ${answer.prediction.label}`);

// 2. The Open Inference Protocol with tensors in JSON. The columns of `features` stand in the order of the signature.
const row = Object.values(record);
const input = { name: "features", datatype: "FP64", shape: [1, row.length] };
answer = await (await post("/v2/models/iris/infer", { inputs: [{ ...input, data: row }] })).json();
const output = (name) => answer.outputs.find((output) => output.name === name);
near("V2's probabilities", output("probabilities").data, expected.probabilities);

// 3. The same with raw bytes both ways: many rows cost a fraction of what they cost as JSON.
const rows = 1000;
const numbers = Float64Array.from({ length: rows * row.length }, (_, at) => row[at % row.length]);
const head = new TextEncoder().encode(
  JSON.stringify({
    inputs: [{ ...input, shape: [rows, row.length], parameters: { binary_data_size: numbers.byteLength } }],
    outputs: [{ name: "probabilities", parameters: { binary_data: true } }],
  }),
);
const body = new Uint8Array(head.length + numbers.byteLength);
body.set(head);
body.set(new Uint8Array(numbers.buffer), head.length);
response = await post("/v2/models/iris/infer", body, { "inference-header-content-length": String(head.length) });
const bytes = await response.arrayBuffer();
const jsonBytes = Number(response.headers.get("inference-header-content-length"));
const { outputs } = JSON.parse(new TextDecoder().decode(bytes.slice(0, jsonBytes)));
const probabilities = new Float64Array(bytes.slice(jsonBytes));
assert.deepEqual(outputs[0].shape, [rows, 3]);
near("the last row's probabilities", Array.from(probabilities.slice(-3)), expected.probabilities);

// 4. Server-sent events: what clients of language models read. A model here gives one event.
response = await post("/v2/models/iris/generate_stream", { features: row });
const events = (await response.text()).split("\n\n").filter(Boolean);
assert.equal(events.length, 1);
answer = JSON.parse(events[0].replace(/^data: /, ""));
near("the event's probabilities", answer.probabilities.flat(), expected.probabilities);

// 5. A mistake is told by its place.
const { petal_width, ...incomplete } = record;
await assert.rejects(post("/api/predict/iris", incomplete), (error) => {
  console.log(`ok: ${error.status} ${error.code}: ${error.message}`);
  return error.status === 400 && error.code === "missing_feature" && error.message.includes("petal_width");
});
