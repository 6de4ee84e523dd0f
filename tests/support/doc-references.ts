import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/build/layout.ts';

/** What a page of docs/ refers to. */

/** `file: name` in code spans; other code spans are prose. */
export function referencesOf(text: string): { readonly file: string; readonly name: string }[] {
  return [...text.matchAll(/`([\w./-]+\.ts): ([^`]+)`/g)].map(([, file, name]) => ({ file: file!, name: name! }));
}

/** Whether a test of the file has this title, written as a whole string. */
export function isTitled(file: string, title: string): boolean {
  const path = join(ROOT, file);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return new RegExp(`(['"\`])${title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\1,\\s`).test(text);
}
