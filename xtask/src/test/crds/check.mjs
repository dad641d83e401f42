// Checks objects of custom resources: against their schemas, and for keys their types do not have.
//
// Usage: node check.mjs OBJECTS, from a directory that has this file's packages. OBJECTS is a JSON list of {name, object}.
// Prints `ok NAME` or `FAIL NAME: REASON` for each.
//
// The schemas let unknown keys pass, so the compiler is asked as well: each object becomes a literal of its interface,
// and TypeScript refuses keys of a literal that its type does not have, at any depth.

import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

const PACKAGES = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

const entries = JSON.parse(readFileSync(process.argv[2], "utf8"));
const failures = new Map(entries.map(({ name }) => [name, []]));
const lines = [];
const owner = [];

for (const [index, { name, object }] of entries.entries()) {
  const [group, version] = object.apiVersion.split("/");
  const path = `@kubernetes-models/${PACKAGES[group]}/${object.apiVersion}/${object.kind}`;
  try {
    const model = (await import(path))[object.kind];
    new model(object).validate();
  } catch (error) {
    failures.get(name).push(error.message);
    continue;
  }
  const text = [
    `import type { I${object.kind} as T${index} } from "${path}";`,
    `export const o${index}: T${index} = ${JSON.stringify(object, null, 1)};`,
  ].join("\n").split("\n");
  lines.push(...text);
  owner.push(...text.map(() => name));
}

writeFileSync("objects.ts", lines.join("\n"));
const program = ts.createProgram(["objects.ts"], {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  types: [],
});
for (const found of ts.getPreEmitDiagnostics(program)) {
  const reason = ts.flattenDiagnosticMessageText(found.messageText, " ");
  const line = found.file ? found.file.getLineAndCharacterOfPosition(found.start).line : 0;
  failures.get(owner[line]).push(reason);
}
for (const [name, reasons] of failures) {
  console.log(reasons.length === 0 ? `ok ${name}` : `FAIL ${name}: ${reasons.join("; ").replaceAll("\n", " ")}`);
}
