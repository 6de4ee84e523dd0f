import { equal, toHex } from '../../src/bytes/index.ts';
import type { StoreChanges } from '../../src/engine/ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from '../../src/engine/protocol.ts';
import { decodeGroupRecords, groupPrefix } from '../../src/engine/records.ts';
import { decodeRecord } from '../../src/engine/record-codec.ts';
import type { AccountState, Conversation, DeviceState, OutstandingKeyPackage } from '../../src/engine/state.ts';
import { decodeGroup, memberLeaves, type GroupState } from '../../src/mls/index.ts';
import {
  canEvaluate,
  decodeEpochRecords,
  deriveEncryptionKeyPair,
  operationLeaf,
  type EmulationEpoch,
  type Operation,
} from '../../src/virtual-client/index.ts';
import type { Device } from './device.ts';

type Report = (claim: string, detail: string) => void;

const EMULATION_GROUP = 'emulation/group/';
const EMULATION_EPOCH = 'emulation/epoch/';

/** What devices keep: looked at whenever it is stored. */
export class Secrets {
  readonly #report: Report;
  /** Epoch authenticators by group, epoch and, where devices are told different things, transcript. */
  readonly #authenticators = new Map<string, { readonly value: string; readonly device: string }>();
  /** By device and emulation epoch: leaves of operations that are spent. */
  readonly #spent = new Map<string, readonly number[]>();
  /** N_e of each emulation epoch. */
  readonly #leafCounts = new Map<string, number>();

  /** By device and record: what must not leave the device. */
  readonly #own = new Map<string, Map<string, readonly Buffer[]>>();

  constructor(report: Report) {
    this.#report = report;
  }

  stored(device: Device, { puts, deletes }: StoreChanges, lying: boolean): void {
    const own = this.#own.get(device.name) ?? new Map<string, readonly Buffer[]>();
    this.#own.set(device.name, own);
    for (const [key, bytes] of puts) {
      if (key === 'account' || key === 'device' || key.startsWith('conversation/')) own.set(key, ownSecrets(key, bytes));
      if (key.startsWith('group/') && key.endsWith('/header') && key.split('/').length === 3)
        this.#group(device, key.split('/')[1]!, lying);
      if (key === `${EMULATION_GROUP}header`) this.#emulationGroup(device, lying);
      if (key.startsWith('key-package/')) this.#checkResidue(device, decodeRecord<OutstandingKeyPackage>(bytes).operation);
      if (key.startsWith('conversation/')) this.#conversation(device, key.slice('conversation/'.length), bytes);
    }
    const touched = [...puts.keys(), ...deletes].filter((key) => key.startsWith(EMULATION_EPOCH));
    for (const id of new Set(touched.map(epochOf))) this.#checkPunctures(device, id);
  }

  /** Its account's and its own signing keys, the device's proof, keys of its leaves. */
  of(device: Device): Buffer[] {
    return [...(this.#own.get(device.name)?.values() ?? [])].flat();
  }

  #emulationGroup(device: Device, lying: boolean): void {
    // An external commit that the server has not taken yet, and will not if another is first, begins no epoch of the log.
    if (device.disk.records.has('recovering')) return;
    const group = decodeGroup(under(device, EMULATION_GROUP));
    // A copy stops where the other has committed first, unless it knows of no sibling.
    const mayDiffer = device.cloned && memberLeaves(group).length === 1;
    this.#agree(device, toHex(group.context.groupId), group, lying || mayDiffer);
  }

  #group(device: Device, id: string, lying: boolean): void {
    const group = decodeGroupRecords(id, under(device, groupPrefix(id), true));
    if (group !== undefined) this.#agree(device, id, group, lying || device.cloned);
  }

  /** @param mayDiffer Those who have followed other commits of the log may be in another group by now */
  #agree(device: Device, id: string, group: GroupState, mayDiffer: boolean): void {
    const log = mayDiffer ? `/${toHex(group.context.confirmedTranscriptHash)}` : '';
    const key = `${id}/${group.context.epoch}${log}`;
    const value = toHex(group.schedule.epochAuthenticator);
    const known = this.#authenticators.get(key);
    if (known === undefined) this.#authenticators.set(key, { value, device: device.name });
    else if (known.value !== value) {
      const detail = `${device.name} and ${known.device} in epoch ${group.context.epoch} of ${id.slice(0, 6)}`;
      this.#report('devices that have seen the same log agree on every epoch authenticator', detail);
    }
  }

  /** The secret of the active leaf's operation is gone: none that is kept makes its key. */
  #conversation(device: Device, id: string, bytes: Uint8Array): void {
    const { leaf, operations, updates } = decodeRecord<Conversation>(bytes);
    for (const operation of operations) this.#checkResidue(device, operation);
    if (leaf === undefined) return;
    const kept: Operation[] = [...operations, ...updates.map(({ operation }) => operation)];
    for (const operation of kept) {
      if (!equal(operation.epochId, leaf.epochId)) continue;
      const { privateKey } = deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE);
      if (!equal(privateKey.reveal(), leaf.encryptionPrivateKey.reveal())) continue;
      this.#report('no operation secret is stored beside its live leaf', `${device.name} in ${id.slice(0, 6)}`);
    }
  }

  /** Two devices never take the same leaf of the PPRF, hence no DerivationInfo key twice: each keeps to its residue. */
  #checkResidue(device: Device, operation: Operation): void {
    const leafCount = this.#leafCountOf(device, toHex(operation.epochId));
    if (leafCount === undefined) return;
    if (operationLeaf(EMULATION_PROTOCOL, operation.emulatorLeaf, operation.random) % leafCount === operation.emulatorLeaf) return;
    this.#report('no two devices take the same leaf of the PPRF', `${device.name} knows an operation beyond its maker's residue`);
  }

  /** N_e; undefined when the device has forgotten the epoch. */
  #leafCountOf(device: Device, epochId: string): number | undefined {
    const known = this.#leafCounts.get(epochId);
    if (known !== undefined) return known;
    const records = under(device, `${EMULATION_EPOCH}${epochId}/`);
    if (records.size === 0) return undefined;
    const { leafCount } = decodeEpochRecords(EMULATION_PROTOCOL, records);
    this.#leafCounts.set(epochId, leafCount);
    return leafCount;
  }

  /** Of every epoch: when a worker starts, and in the end. */
  checkPunctures(device: Device): void {
    const ids = [...device.disk.records.keys()].filter((key) => key.startsWith(EMULATION_EPOCH) && key.endsWith('/header'));
    for (const id of ids.map(epochOf)) this.#checkPunctures(device, id);
  }

  /** A punctured leaf of the PPRF stays punctured, through every step and every crash. */
  #checkPunctures(device: Device, id: string): void {
    const records = under(device, `${EMULATION_EPOCH}${id}/`);
    if (records.size === 0) return;
    const epoch = decodeEpochRecords(EMULATION_PROTOCOL, records);
    const key = `${device.name}/${id}`;
    const again = (this.#spent.get(key) ?? []).some((leaf) => canEvaluate(epoch.pprf, leaf));
    if (again) this.#report('no spent operation secret is used again', `${device.name} can derive one anew`);
    this.#spent.set(key, gaps(epoch.pprf.tree, 0, 0));
  }
}

function ownSecrets(key: string, bytes: Uint8Array): Buffer[] {
  const kept = (secret: { reveal(): Uint8Array }): Buffer => Buffer.from(secret.reveal());
  if (key === 'account') {
    const account = decodeRecord<AccountState | undefined>(bytes);
    return account === undefined ? [] : [account, ...account.formerKeys].map(({ signer }) => kept(signer));
  }
  if (key === 'device') {
    const device = decodeRecord<DeviceState | undefined>(bytes);
    return device === undefined ? [] : [kept(device.deviceKeySeed), kept(device.emulatorSigner)];
  }
  const { leaf } = decodeRecord<Conversation>(bytes);
  return leaf === undefined ? [] : [kept(leaf.encryptionPrivateKey)];
}

function epochOf(key: string): string {
  return key.slice(EMULATION_EPOCH.length).split('/')[0]!;
}

type Tree = EmulationEpoch['pprf']['tree'];

/** First leaf of each subtree that is gone: its operations are spent. */
function gaps(tree: Tree, first: number, depth: number): number[] {
  if (tree === undefined) return [first];
  if ('secret' in tree) return [];
  return [...gaps(tree.left, first, depth + 1), ...gaps(tree.right, first + 2 ** (31 - depth), depth + 1)];
}

function under(device: Device, prefix: string, whole = false): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const [key, value] of device.disk.records) if (key.startsWith(prefix)) found.set(whole ? key : key.slice(prefix.length), value);
  return found;
}
