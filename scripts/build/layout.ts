import { join, resolve } from 'node:path';

/** Where things lie, shared by the build, the scripts and the tests. */
export const ROOT = resolve(import.meta.dirname, '../..');
export const DIST = join(ROOT, 'dist');
export const APP = join(DIST, 'app');
export const SERVER_ENTRY = join(DIST, 'server/main.js');
export const WORKER = join(APP, 'sw.js');

/** Which modules the scripts of one build hold; see module-report.ts. */
export const moduleReportFile = (build: 'app' | 'worker' | 'server'): string => join(DIST, `modules/${build}.json`);
