import { build } from './build/build.ts';

await build().catch(explain);

/** A broken source is no fault of this script: the message says where it is, the stack does not. */
function explain(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
