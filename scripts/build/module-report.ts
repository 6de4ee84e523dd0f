import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import type { Plugin } from 'vite';

/** For each script that a build wrote: which modules its code comes from, as paths from the project's root. */
export type ModuleReport = Readonly<Record<string, readonly string[]>>;

/** Records what went into a build's scripts, so that a test can hold the bundles against the layers. */
export function moduleReport(root: string, file: string): Plugin {
  return {
    name: 'chorus:module-report',
    generateBundle(_options, bundle) {
      const report: Record<string, string[]> = {};
      for (const output of Object.values(bundle)) {
        if (output.type !== 'chunk') continue;
        report[output.fileName] = Object.entries(output.modules)
          .filter(([, module]) => module.renderedLength > 0)
          .map(([id]) => relative(root, id.replace(/^\0/, '').replace(/\?.*$/, '')))
          .sort();
      }
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
    },
  };
}

export function readModuleReport(file: string): ModuleReport {
  return JSON.parse(readFileSync(file, 'utf8')) as ModuleReport;
}
