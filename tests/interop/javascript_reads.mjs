// transformers.js and onnxruntime-web open what albertkit exports.
//
//     node javascript_reads.mjs MODULES FOLDER PAGE
//
// MODULES is the folder with node_modules, FOLDER that of exported_cases.py for ONNX, PAGE the page
// with lines for transformers.js. One JSON line a case, as reading.py prints them.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, folder, page] = process.argv.slice(2).map((each) => path.resolve(each));
const found = createRequire(path.join(modules, "package.json"));
const load = (name) => import(pathToFileURL(found.resolve(name)));
const hub = await load("@huggingface/transformers");
const web = await load("onnxruntime-web");
web.env.wasm.numThreads = 1;
hub.env.allowRemoteModels = false;

const CLASSES = {
  "feature-extraction": "AutoModel",
  "fill-mask": "AutoModelForMaskedLM",
  "text-classification": "AutoModelForSequenceClassification",
  "question-answering": "AutoModelForQuestionAnswering",
};
const FILES = { fp32: "model.onnx", int8: "model_quantized.onnx" };
const DTYPES = { fp32: "fp32", int8: "q8" };

// An array of arrays as a flat one, and its axes.
function flat(numbers) {
  const dims = [];
  for (let each = numbers; Array.isArray(each); each = each[0]) dims.push(each.length);
  return [numbers.flat(Infinity), dims];
}

function tensors(kind, inputs) {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, numbers]) => {
      const [values, dims] = flat(numbers);
      return [name, new kind("int64", BigInt64Array.from(values, BigInt), dims)];
    }),
  );
}

// The largest difference at real positions over the largest expected value, 1 at least.
function difference(expected, given, mask) {
  const [values, dims] = flat(expected);
  if (dims.join() !== Array.from(given.dims).join()) return Infinity;
  const [real, rows] = flat(mask);
  const perToken = dims.slice(0, rows.length).join() === rows.join();
  const width = perToken ? values.length / real.length : values.length;
  let largest = 1;
  let apart = 0;
  for (let n = 0; n < values.length; n++) {
    if (perToken && !real[Math.floor(n / width)]) continue;
    const one = Math.abs(values[n] - given.data[n]);
    if (!(one <= apart)) apart = one; // NaN stays
    largest = Math.max(largest, Math.abs(values[n]));
  }
  return apart / largest;
}

async function read(name) {
  const place = path.join(folder, name);
  const facts = JSON.parse(fs.readFileSync(path.join(place, "case.json"), "utf-8"));
  const { inputs, expected } = facts.numbers;
  const model = path.join(place, "checkpoint");
  const problems = [];
  const differences = {};
  const compare = (program, given) => {
    for (const output of Object.keys(expected)) {
      const apart = difference(expected[output], given[output], inputs.attention_mask);
      differences[`${program} ${output}`] = apart;
      if (!(apart <= facts.tolerance)) problems.push(`${program}: ${output} differs by ${apart}`);
    }
  };
  const file = fs.readFileSync(path.join(model, "onnx", FILES[facts.precision]));
  const session = await web.InferenceSession.create(new Uint8Array(file), {
    executionProviders: ["wasm"], // else it takes the library of transformers.js
  });
  compare("onnxruntime-web", await session.run(tensors(web.Tensor, inputs)));

  // What it has no class for runs as the bare model, which gives every output of the file.
  const kind = hub[CLASSES[facts.task] ?? "AutoModel"];
  const options = { dtype: DTYPES[facts.precision] };
  const opened = await kind.from_pretrained(model, options);
  if (facts.texts !== null) {
    const tokenizer = await hub.AutoTokenizer.from_pretrained(model);
    tokenizer.return_token_type_ids = true; // see the page
    const made = tokenizer(facts.texts, { text_pair: facts.pairs, padding: true });
    for (const [input, numbers] of Object.entries(inputs)) {
      if (Array.from(made[input].data).join() !== flat(numbers)[0].join())
        problems.push(`transformers.js: the tokenizer gives other ${input}`);
    }
  }
  compare("transformers.js", await opened(tensors(hub.Tensor, inputs)));
  if (fs.existsSync(path.join(place, "tiny-onnx"))) problems.push(...pageProblems(place));
  return { problems, differences, left_out: {} };
}

// The lines of the page, run where the folder lies of which they speak.
function pageProblems(place) {
  const block = /```javascript\n(.*?)```/s.exec(fs.readFileSync(page, "utf-8"));
  if (block === null) return ["the page has no lines for transformers.js"];
  fs.symlinkSync(path.join(modules, "node_modules"), path.join(place, "node_modules"));
  fs.writeFileSync(path.join(place, "page.mjs"), block[1]);
  const done = spawnSync(process.execPath, ["page.mjs"], { cwd: place, encoding: "utf-8" });
  return done.stdout.includes("city") ? [] : [`the page: ${done.stdout}${done.stderr}`];
}

let failed = false;
for (const name of fs.readdirSync(folder).sort()) {
  let line;
  try {
    line = await read(name);
  } catch (error) {
    line = { problems: [String(error).slice(0, 500)], differences: {} };
  }
  failed ||= line.problems.length > 0;
  // The key first, without a space behind its colon: so run.py knows the line.
  console.log(JSON.stringify({ case: name, ...line }));
}
process.exit(failed ? 1 : 0);
