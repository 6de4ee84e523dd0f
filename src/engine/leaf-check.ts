import { equal } from '../bytes/index.ts';
import { getComponent, type LeafCheck, type LeafNode } from '../mls/index.ts';
import { decodeAccountBinding, verifyAccountBinding, type AccountBinding, type BoundLeaf } from '../virtual-client/index.ts';
import { EngineError, isNamed } from './errors.ts';
import { COMPONENTS, EMULATION_PROTOCOL, GROUP_SUITE } from './protocol.ts';

/**
 * Policy for leaves of higher-level groups (reading section 15), from group state alone: the
 * authentication service signed the binding, the credential names its account, the leaf uses its key,
 * `key_version` does not fall, and a leaf never passes to another account.
 * @throws EngineError, VirtualClientError 'binding-...', DecodeError
 */
export function virtualLeafCheck(authenticationKey: Uint8Array): LeafCheck {
  return async (leaf, { replaces }) => {
    const previous = replaces && bindingOf(replaces);
    if (previous !== undefined && !equal(previous.accountId, accountOf(leaf))) throw new EngineError('wrong-credential');
    await verifyAccountBinding(EMULATION_PROTOCOL, GROUP_SUITE, authenticationKey, bindingOf(leaf), {
      accountId: accountOf(leaf),
      signatureKey: leaf.signaturePublicKey,
      replacedKeyVersion: previous?.keyVersion,
    });
  };
}

/** Whether a binding that the server has sent is what the device's leaves may carry: others judge it as is done here. */
export async function isVouchedFor(
  authenticationKey: Uint8Array,
  keyVersion: number,
  bytes: Uint8Array,
  leaf: BoundLeaf,
): Promise<boolean> {
  try {
    const binding = decodeAccountBinding(bytes);
    await verifyAccountBinding(EMULATION_PROTOCOL, GROUP_SUITE, authenticationKey, binding, leaf);
    return binding.keyVersion === keyVersion;
  } catch (error) {
    if (!isNamed(error)) throw error;
    return false;
  }
}

/** Leaves of the emulation group: a device never changes its name or its key there. */
export const emulatorLeafCheck: LeafCheck = (leaf, { replaces }) => {
  const deviceId = basicIdentity(leaf);
  if (deviceId.length !== 16) return Promise.reject(new EngineError('wrong-credential'));
  if (
    replaces !== undefined &&
    !(equal(basicIdentity(replaces), deviceId) && equal(replaces.signaturePublicKey, leaf.signaturePublicKey))
  ) {
    return Promise.reject(new EngineError('wrong-credential'));
  }
  return Promise.resolve();
};

/** The account that a leaf of a higher-level group speaks for. @throws EngineError 'wrong-credential' */
export function accountOf(leaf: LeafNode): Uint8Array {
  return basicIdentity(leaf);
}

/** The device that a leaf of an emulation group belongs to. @throws EngineError 'wrong-credential' */
export function deviceIdOf(leaf: LeafNode): Uint8Array {
  return basicIdentity(leaf);
}

/** @throws EngineError 'not-vouched-for' without a binding, DecodeError on a malformed one */
export function bindingOf(leaf: LeafNode): AccountBinding {
  const component = getComponent(leaf.extensions, COMPONENTS.accountBinding);
  if (component === undefined) throw new EngineError('not-vouched-for');
  return decodeAccountBinding(component);
}

function basicIdentity(leaf: LeafNode): Uint8Array {
  if (leaf.credential.credentialType !== 'basic') throw new EngineError('wrong-credential');
  return leaf.credential.identity;
}
