import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt } from './build/build.ts';
import { findOrInstallChromium } from './chromium.ts';
import { playStep, run } from './steps.ts';

// `npm test`: everything that must hold, the quick things first. The last line counts all tests.

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Characters of one failure that are said again: a schedule of the simulation fits. */
const LONGEST_FAILURE = 6000;

const reports = mkdtempSync(join(tmpdir(), 'chorus-reports-'));
const unitReport = join(reports, 'unit.json');
const e2eReport = join(reports, 'e2e.json');
const failures: string[] = [];

await step('types', () => run('npm', ['run', '--silent', 'types']));
await step('lint', () => run('npm', ['run', '--silent', 'lint']));
await step('format', () => run('npm', ['run', '--silent', 'format:check']));
await step('build', () => ensureBuilt());
await step('unit tests', () => run('npx', ['vitest', 'run', '--reporter=dot', '--reporter=json', `--outputFile.json=${unitReport}`]));
await step('browser', () => console.log(findOrInstallChromium()));
await step('end-to-end tests', () =>
  run('npx', ['playwright', 'test', '--reporter=list,json'], { PLAYWRIGHT_JSON_OUTPUT_FILE: e2eReport }),
);

const counts = [unitCount(unitReport), e2eCount(e2eReport)];
// Said again at the end: the end-to-end tests' output is long, and who reads a log has its end first.
const unitFailures = failedUnitTests(unitReport);
const sum = (part: keyof Count): number => counts.reduce((total, count) => total + count[part], 0);
rmSync(reports, { recursive: true });

if (failures.length > 0) console.log(`\nFailed: ${failures.join(', ')}`);
for (const failure of unitFailures) console.log(failure);
// A step that failed without a failed test of its own (types, a build, a crashed runner) counts as one.
const failed = Math.max(sum('failed'), failures.length);
const skipped = sum('skipped');
console.log(`\n${sum('passed')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failures.length > 0 || failed > 0 ? 1 : 0);

/** One step; a failure is kept for the end, so that one run tells all that is wrong. */
async function step(name: string, action: () => unknown): Promise<void> {
  const { failed } = await playStep({ name, action });
  if (failed) failures.push(name);
}

function readReport(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {}; // the runner ended before it wrote a report, and its step has failed
  }
}

function unitCount(file: string): Count {
  const report = readReport(file) as { numPassedTests?: number; numFailedTests?: number; numPendingTests?: number };
  return { passed: report.numPassedTests ?? 0, failed: report.numFailedTests ?? 0, skipped: report.numPendingTests ?? 0 };
}

/** Each failed unit test's name with the beginning of what was wrong. */
function failedUnitTests(file: string): string[] {
  interface Result {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages: readonly string[];
  }
  const { testResults = [] } = readReport(file) as { testResults?: { name: string; message: string; assertionResults: Result[] }[] };
  return testResults.flatMap(({ name, message, assertionResults }) => {
    const failed = assertionResults.filter(({ status }) => status === 'failed');
    const told = failed.map(({ fullName, failureMessages }) => `${fullName}\n${failureMessages.join('\n').slice(0, LONGEST_FAILURE)}`);
    // A file that could not be read has no results, and says why by itself.
    return [...told, ...(message === '' ? [] : [message.slice(0, LONGEST_FAILURE)])].map((text) => `\n${name}: ${text}`);
  });
}

function e2eCount(file: string): Count {
  const { stats } = readReport(file) as { stats?: { expected: number; flaky: number; unexpected: number; skipped: number } };
  return { passed: stats?.expected ?? 0, failed: (stats?.unexpected ?? 0) + (stats?.flaky ?? 0), skipped: stats?.skipped ?? 0 };
}
