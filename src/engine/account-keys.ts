import { equal, type Secret } from '../bytes/index.ts';
import { leafAt, type GroupState } from '../mls/index.ts';
import { EngineError } from './errors.ts';
import { bindingOf } from './leaf-check.ts';
import type { SigningKey } from './state.ts';
import type { Turn } from './turn.ts';

/** The account's signing keys: the newest one signs what is new, an earlier one as long as a leaf names it. */

/** The private key that the virtual client's present leaf in `group` names. @throws EngineError 'unknown-signing-key' */
export function signerIn(turn: Turn, group: GroupState): Secret<'signature_private_key'> {
  const { signaturePublicKey } = leafAt(group, group.ownLeaf);
  const { signatureKey, signer, formerKeys } = turn.account();
  if (equal(signatureKey, signaturePublicKey)) return signer;
  const former = formerKeys.find((key) => equal(key.signatureKey, signaturePublicKey));
  if (former === undefined) throw new EngineError('unknown-signing-key');
  return former.signer;
}

/** `key_version` of the virtual client's present leaf in `group`. */
export function ownKeyVersion(group: GroupState): number {
  return bindingOf(leafAt(group, group.ownLeaf)).keyVersion;
}

/** All that a device which is linked now has to get (reading section 10). */
export function signingKeysOf({ formerKeys, ...newest }: SigningKey & { readonly formerKeys: readonly SigningKey[] }): SigningKey[] {
  const { keyVersion, signatureKey, signer } = newest;
  return [{ keyVersion, signatureKey, signer }, ...formerKeys];
}

/** A key goes when no leaf names it. KeyPackages always name the newest, since a change of key revokes them. */
export function forgetUnnamedKeys(turn: Turn): void {
  const { account, conversations } = turn.state;
  if (account === undefined || account.formerKeys.length === 0) return;
  const named = new Set([...conversations.values()].flatMap(({ leaf, keyVersion }) => (leaf === undefined ? [] : [keyVersion])));
  const gone = account.formerKeys.filter(({ keyVersion }) => !named.has(keyVersion));
  if (gone.length === 0) return;
  turn.spend(gone.map(({ signer }) => signer));
  turn.update({ account: { ...account, formerKeys: account.formerKeys.filter((key) => !gone.includes(key)) } });
}
