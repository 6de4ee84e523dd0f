import { register } from 'node:module';

/** What a build can be robbed of: the module that is replaced, by the one of that name in this folder. */
const REPLACED = {
  'persist-before-send': 'tests/simulation/durability.ts',
  'guard-rule': 'src/virtual-client/reuse-guard.ts',
  'residue-rule': 'src/virtual-client/operation-secrets.ts',
  'secret-deletion': 'src/engine/higher-level-group.ts',
  'epoch-retention': 'src/engine/retention.ts',
  'epoch-forgetting': 'src/engine/retention.ts',
  'log-order': 'src/engine/higher-level-group.ts',
  'silent-gap': 'src/engine/view-builder.ts',
  'emulation-fence': 'server/store/sqlite-submit.ts',
} as const;

export type Broken = keyof typeof REPLACED;

export const BROKEN = Object.keys(REPLACED) as readonly Broken[];

/**
 * Everything that is imported from now on gets the broken module in the place of the real one, which only the
 * broken one itself sees. To be called before anything of the product is imported.
 */
export function substitute(broken: Broken): void {
  const ending = JSON.stringify(`/${REPLACED[broken]}`);
  const replacement = JSON.stringify(new URL(`${broken}.ts`, import.meta.url).href);
  const hook = `
    export async function resolve(specifier, context, next) {
      const resolved = await next(specifier, context);
      const fromBroken = (context.parentURL ?? '').startsWith(${replacement});
      return resolved.url.endsWith(${ending}) && !fromBroken ? { ...resolved, url: ${replacement} } : resolved;
    }`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
}
