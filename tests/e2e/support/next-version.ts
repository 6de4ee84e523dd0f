import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Makes a built app one of a version whose tabs and worker speak otherwise: what a person sends goes by another call's name.
 * The page's script has another address too, as each build's has. @throws Error when the build does not look as expected
 */
export async function renameSendCall(app: string): Promise<void> {
  const assets = await readdir(join(app, 'assets'));
  const script = assets.find((name) => name.endsWith('.js'));
  if (script === undefined) throw new Error('no script');
  await rename(join(app, 'assets', script), join(app, 'assets', 'index-next.js'));
  const address: readonly [RegExp, string] = [new RegExp(script.replace('.', '\\.'), 'g'), 'index-next.js'];
  await replaceIn(join(app, 'assets/index-next.js'), [[/\.ask\(`send`,/g, '.ask(`say`,']]);
  await replaceIn(join(app, 'index.html'), [address]);
  await replaceIn(join(app, 'sw.js'), [
    [/\bsend:(?=async\()/g, 'say:'], // who carries it out
    [/\bsend:(?=\w+\(\{conversationId:)/g, 'say:'], // what it looks like
    address,
    [/(?<=url:`\/index\.html`,revision:`)\w+/g, 'next'],
  ]);
}

async function replaceIn(path: string, changes: readonly (readonly [what: RegExp, by: string])[]): Promise<void> {
  let text = await readFile(path, 'utf8');
  for (const [what, by] of changes) {
    if ([...text.matchAll(what)].length !== 1) throw new Error(`not once in ${path}: ${what.source}`);
    text = text.replace(what, by);
  }
  await writeFile(path, text);
}
