import { join } from 'node:path';
import { statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makeBackup } from '../server/backup.ts';
import { DataProblem } from '../server/data-problem.ts';

// `npm run backup -- [--to FILE]`: all that a server needs, in one file, while the server runs.
const dataDir = process.env['DATA_DIR'] ?? './data';
const now = Date.now();
const { values } = parseArgs({ options: { to: { type: 'string' } } });
const to = values.to ?? join(dataDir, 'backups', `chorus-${new Date(now).toISOString().replaceAll(':', '-')}.backup`);
try {
  makeBackup(dataDir, to, now);
} catch (error) {
  if (!(error instanceof DataProblem)) throw error;
  console.error(`No backup was made. ${error.message}`);
  process.exit(1);
}
console.log(
  `Backed up ${dataDir} to ${to} (${statSync(to).size} bytes). The authentication key is in it: keep it as you keep the server's own data.`,
);
