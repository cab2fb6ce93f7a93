// Fails on a custom resource that breaks the schema of its kind, or has a field that the schema does not know.
//
//   node custom_schemas.mjs FOLDER OBJECTS.json
//
// FOLDER/node_modules has the @kubernetes-models packages of PACKAGES; other kinds are passed over. Prints what it
// checked; the exit code is 1 if anything is wrong.
import fs from 'node:fs';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const PACKAGES = {
  'gateway.networking.k8s.io': 'gateway-api',
  'keda.sh': 'keda',
  'monitoring.coreos.com': 'prometheus-operator',
};

// The compiled schemas let unknown fields pass, but never look at them: this notes which fields nobody looked at.
function watched(value, where, unread) {
  if (value === null || typeof value !== 'object') return value;
  const inner = Array.isArray(value) ? [] : {};
  for (const key of Object.keys(value)) {
    if (!Array.isArray(value)) unread.add(`${where}/${key}`);
    inner[key] = watched(value[key], `${where}/${key}`, unread);
  }
  return new Proxy(inner, {
    get(target, key) {
      unread.delete(`${where}/${String(key)}`);
      return target[key];
    },
  });
}

const [folder, file] = process.argv.slice(2);
let wrong = 0;
for (const object of JSON.parse(fs.readFileSync(file, 'utf8'))) {
  const [group, version] = object.apiVersion.split('/');
  if (!(group in PACKAGES)) continue;
  const name = `${object.kind} ${object.metadata.name}`;
  const module = `node_modules/@kubernetes-models/${PACKAGES[group]}/${group}/${version}/index.js`;
  const Kind = (await import(pathToFileURL(path.resolve(folder, module))))[object.kind];
  const unread = new Set();
  try {
    // Not on a `new Kind`, which would copy the object and so look at everything.
    Kind.prototype.validate.call({...object, spec: watched(object.spec, 'spec', unread)});
    for (const field of unread) throw new Error(`${field} is unknown`);
    console.log(`  ${name}: fits`);
  } catch (error) {
    console.error(`error: ${name}: ${error.message}`);
    wrong = 1;
  }
}
process.exit(wrong);
