import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/build/layout.ts';

/** What a page of docs/ refers to. */

export interface Reference {
  readonly file: string;
  readonly name: string;
  /** Where the link leads whose text it is; undefined when it is none. */
  readonly target: string | undefined;
}

/** `file: name` in code spans, linked or not; other code spans are prose. */
export function referencesOf(text: string): Reference[] {
  const found = [...text.matchAll(/`([\w./-]+\.ts): ([^`]+)`(?:\]\(([^)\s]+)\))?/g)];
  return found.map(([, file, name, target]) => ({ file: file!, name: name!, target }));
}

/** Whether a test of the file has this title, written as a whole string. */
export function isTitled(file: string, title: string): boolean {
  const path = join(ROOT, file);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return new RegExp(`(['"\`])${title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\1,\\s`).test(text);
}

/** What a page of docs/ refers to and is no test of that title below tests/, or does not link to it. */
export function wrongReferencesOf(page: string): string[] {
  const wrong = referencesOf(page).filter(
    ({ file, name, target }) => target !== `../tests/${file}` || !isTitled(join('tests', file), name),
  );
  return wrong.map(({ file, name, target }) => `${file}: ${name} -> ${target ?? 'no link'}`);
}
