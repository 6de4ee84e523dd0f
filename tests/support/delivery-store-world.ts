import { Refusal } from '../../server/problems.ts';
import type { Caller, Consistency, DeliveryStore } from '../../server/store/store.ts';
import type { ClaimedKeyPackage, CommitRouting, ProblemType, SequenceEntry } from '../../src/engine/ports.ts';
import { groupInfo, welcome } from './mls-headers.ts';
import { commit, creation, emulationCommit, linking, randomBytes } from './submissions.ts';

export const NOW = 1_800_000_000_000;

/** Why the store refused, or `accepted`. */
export async function refusal(work: Promise<unknown>): Promise<ProblemType | 'accepted'> {
  try {
    await work;
    return 'accepted';
  } catch (error) {
    if (error instanceof Refusal) return error.type;
    throw error;
  }
}

export const hex = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');

export interface Person extends Caller {
  readonly emulationGroup: Uint8Array;
}

/** Routing of a commit that brings in who owns this KeyPackage. */
export function adding({ accountId, keyPackageRef }: ClaimedKeyPackage): Partial<CommitRouting> {
  return { adds: [accountId], welcome: { message: welcome(), uses: [{ accountId, keyPackageRef }] } };
}

/** An adapter under test: `open` gives an empty store, `close` deletes it. */
export interface StoreAdapter {
  readonly name: string;
  open(consistency: Consistency): Promise<{ readonly store: DeliveryStore; close(): Promise<void> }>;
}

/** A store, and people who use it. */
export class StoreWorld {
  readonly #adapter: StoreAdapter;
  #opened: Awaited<ReturnType<StoreAdapter['open']>> | undefined;

  readonly #consistency: Consistency;

  constructor(adapter: StoreAdapter, consistency: Consistency = 'strong') {
    this.#adapter = adapter;
    this.#consistency = consistency;
  }

  async open(): Promise<void> {
    this.#opened = await this.#adapter.open(this.#consistency);
  }

  async close(): Promise<void> {
    await this.#opened?.close();
  }

  get store(): DeliveryStore {
    if (this.#opened === undefined) throw new Error('not open');
    return this.#opened.store;
  }

  async person(username: string): Promise<Person> {
    const [deviceId, emulationGroup] = [randomBytes(16), randomBytes(32)];
    const { accountId } = await this.store.createAccount({
      accountId: randomBytes(16),
      username,
      deviceId,
      deviceKey: randomBytes(32),
      signatureKey: randomBytes(32),
      emulationGroupId: emulationGroup,
      emulationGroupInfo: groupInfo(emulationGroup, 0),
      keyVersion: 1,
      binding: randomBytes(140),
    });
    return { accountId, deviceId, emulationGroup };
  }

  /** Announces and uploads `count` KeyPackages; moves the emulation group from epoch 0 to 1. */
  async stock(owner: Person, count: number): Promise<Uint8Array[]> {
    const refs = Array.from({ length: count }, () => randomBytes(32));
    await this.store.submit(owner, emulationCommit(owner.emulationGroup, 0, { announces: refs }), NOW);
    const keyPackages = refs.map((keyPackageRef) => ({ keyPackageRef, keyPackage: randomBytes(100) }));
    await this.store.uploadKeyPackages(owner, keyPackages, NOW);
    return refs;
  }

  /** Links another device; moves the emulation group from epoch 0 to 1. */
  async secondDevice(owner: Person): Promise<Caller> {
    const [deviceId, linkId, tokenHash] = [randomBytes(16), randomBytes(16), randomBytes(32)];
    await this.store.putLinkSlot(linkId, tokenHash, 'request', randomBytes(10), NOW);
    const device = { deviceId, deviceKey: randomBytes(32), linkId, coversPosition: 0 };
    await this.store.submit(owner, linking(owner.emulationGroup, 0, device), NOW);
    return { accountId: owner.accountId, deviceId };
  }

  async claimOne(claimer: Caller, owner: Caller, now = NOW): Promise<ClaimedKeyPackage> {
    const [claimed] = await this.store.claimKeyPackages(claimer, randomBytes(16), [owner.accountId], now);
    if (claimed === undefined) throw new Error('no KeyPackage');
    return claimed;
  }

  /** A group of `a` and `b` in epoch 1. */
  async conversation(a: Person, b: Person): Promise<Uint8Array> {
    const groupId = randomBytes(32);
    await this.stock(b, 1);
    await this.store.submit(a, creation(groupId), NOW);
    await this.store.submit(a, commit(groupId, 0, adding(await this.claimOne(a, b))), NOW);
    return groupId;
  }

  async entriesOf(reader: Caller): Promise<readonly SequenceEntry[]> {
    return (await this.store.readSequence(reader, 0, 256, 1 << 24, NOW)).entries;
  }
}
