import {
  APP_DATA_DICTIONARY,
  encodeComponentIds,
  setComponent,
  suiteName,
  type Capabilities,
  type Extension,
  type LeafTemplate,
} from '../mls/index.ts';
import { CONVERSATION_COMPONENT } from './content.ts';
import { COMPONENTS, EMULATION_SUITE, GROUP_SUITE } from './protocol.ts';
import type { AccountState, DeviceState } from './state.ts';

/** What our leaves and groups say of themselves (reading section 1). */

function capabilities(suites: readonly (1 | 3)[]): Capabilities {
  return {
    versions: ['mls10'],
    ciphersuites: suites.map(suiteName),
    extensions: [APP_DATA_DICTIONARY],
    proposals: [],
    credentials: ['basic'],
  };
}

/** One `app_data_dictionary` extension with these components. */
export function components(entries: readonly (readonly [number, Uint8Array])[]): Extension[] {
  return entries.reduce<Extension[]>((extensions, [id, data]) => setComponent(extensions, id, data), []);
}

/** Leaf of the virtual client in a higher-level group. */
export function virtualLeafTemplate(account: AccountState, derivationInfo: Uint8Array): LeafTemplate {
  return {
    signaturePublicKey: account.signatureKey,
    credential: { credentialType: 'basic', identity: account.accountId },
    capabilities: capabilities([GROUP_SUITE.id]),
    extensions: components([
      [COMPONENTS.appComponents, encodeComponentIds([COMPONENTS.derivationInfo, COMPONENTS.accountBinding])],
      [COMPONENTS.derivationInfo, derivationInfo],
      [COMPONENTS.accountBinding, account.binding],
    ]),
  };
}

/**
 * Leaf of this device in the emulation group; its credential names the device, not the person. A device that
 * joins from outside brings `recoverySignature` (reading section 11).
 */
export function emulatorLeafTemplate(device: DeviceState, recoverySignature?: Uint8Array): LeafTemplate {
  return {
    signaturePublicKey: device.emulatorSignatureKey,
    credential: { credentialType: 'basic', identity: device.deviceId },
    capabilities: capabilities([EMULATION_SUITE.id]),
    extensions: components([
      [
        COMPONENTS.appComponents,
        encodeComponentIds([COMPONENTS.virtualClientAction, COMPONENTS.newEmulatorClientState, COMPONENTS.recovery]),
      ],
      [COMPONENTS.safeAad, encodeComponentIds([COMPONENTS.virtualClientAction])],
      ...(recoverySignature === undefined ? [] : [[COMPONENTS.recovery, recoverySignature] as const]),
    ]),
  };
}

/** GroupContext extensions of an emulation group; `recoveryKey` is R of reading section 11. */
export function emulationGroupExtensions(recoveryKey: Uint8Array): Extension[] {
  return components([
    [COMPONENTS.safeAad, encodeComponentIds([COMPONENTS.virtualClientAction])],
    [COMPONENTS.recovery, recoveryKey],
  ]);
}

/** GroupContext extensions of a conversation; `sealedTitle` as `sealTitle` makes it. */
export function conversationExtensions(sealedTitle: Uint8Array): Extension[] {
  return components([[CONVERSATION_COMPONENT, sealedTitle]]);
}
