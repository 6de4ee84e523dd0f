import { expect } from 'vitest';
import type { SequenceEntry, Submission } from '../../src/engine/ports.ts';
import { adding, hex } from './delivery-store-world.ts';
import { newDevice, type Person, register, TestDevice } from './delivery-world.ts';
import { privateMessage } from './mls-headers.ts';
import { application, commit, creation, emulationCommit, randomBytes } from './submissions.ts';

const network = (input: string, init?: RequestInit) => fetch(input, init);
/** All have announced KeyPackages once. */
const FENCE = { emulationEpoch: 1, keyVersion: 1 } as const;
/** KeyPackages that each member claims of one owner while the load goes on; the server allows five unused ones. */
const CLAIMS = 4;
/** Messages that one client has under way at once. */
const WRITERS = 3;

/** Acknowledged submissions after which the server may die. */
const LOADED = 20;

interface Claim {
  readonly claimer: number;
  readonly claimId: Uint8Array;
  readonly owner: Person;
  /** Hex; undefined while no answer has come. */
  ref: string | undefined;
}

interface Sent {
  readonly sender: number;
  readonly submission: Submission;
  /** Undefined while no answer has come. */
  accepted: { readonly position: number; readonly sequence: number } | undefined;
}

/** Three accounts that load one server with what it must not lose, and know what it has acknowledged. */
export class ServerLoad {
  readonly #members: Person[] = [];
  readonly #sent: Sent[] = [];
  readonly #claims: Claim[] = [];
  readonly #groupId = randomBytes(32);
  /** What each member's sequence held at the last look. */
  #seen: (readonly SequenceEntry[])[] = [];
  #epoch = 0;
  #enough = { count: 0, reached: (): void => {} };
  #names = 0;
  #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  get acknowledged(): number {
    return this.#sent.filter(({ accepted }) => accepted !== undefined).length;
  }

  /** Accounts, and the conversation that they are in. */
  async begin(): Promise<void> {
    for (let i = 0; i < 3; i++) this.#members.push(await this.#stocked());
    await this.#device(0).done('submit', creation(this.#groupId, { fence: FENCE }));
    for (const { accountId } of this.#members.slice(1)) {
      const claimed = await this.#device(0).done('claim-key-packages', { claimId: randomBytes(16), accountIds: [accountId] });
      await this.#device(0).done('submit', commit(this.#groupId, this.#epoch++, adding(claimed.keyPackages[0]!), { fence: FENCE }));
    }
  }

  /** The server is at another address now. */
  movedTo(url: string): void {
    this.#url = url;
  }

  /** Messages, commits that race for each epoch, and claims, until the server is gone. @param onLoaded called after some of them */
  async run(onLoaded: () => void): Promise<void> {
    const owner = await this.#stocked();
    this.#enough = { count: this.acknowledged + LOADED, reached: onLoaded };
    const each = this.#members.map((_, sender) => [
      ...Array.from({ length: WRITERS }, () => this.#write(sender)),
      this.#commit(sender),
      this.#claim(sender, owner),
    ]);
    await Promise.all(each.flat());
  }

  /** Sends again what got no answer, then looks at everything. */
  async check(): Promise<void> {
    for (const sent of this.#sent.filter(({ accepted }) => accepted === undefined)) await this.#submitAgain(sent);
    for (const sent of this.#sent.filter(({ accepted }) => accepted !== undefined).slice(-10)) {
      const { position, sequence } = await this.#device(sent.sender).done('submit', sent.submission);
      expect({ position, sequence }).toEqual(sent.accepted);
    }
    await this.#checkLogs();
    await this.#checkClaims();
    this.#epoch = (await this.#device(0).done('fetch-group', { groupId: this.#groupId, epoch: undefined })).epoch;
  }

  async #checkLogs(): Promise<void> {
    const logs = await Promise.all(this.#members.map((_, sender) => this.#sequenceOf(sender)));
    const byPosition = new Map<number, string>();
    logs.forEach((log, member) => {
      expect(log.map(({ sequence }) => sequence)).toEqual(log.map((_, i) => i + 1));
      expect(log.slice(0, this.#seen[member]?.length ?? 0)).toEqual(this.#seen[member] ?? []);
      const ours = log.filter(({ groupId, kind }) => hex(groupId) === hex(this.#groupId) && kind !== 'welcome');
      expect(ours.map(({ position }) => position)).toEqual(ours.map(({ position }) => position).sort((a, b) => a - b));
      const epochs = ours.filter(({ kind }) => kind === 'commit').map(({ epoch }) => epoch);
      expect(new Set(epochs).size).toBe(epochs.length);
      for (const { position, message } of ours) {
        expect(byPosition.get(position) ?? hex(message)).toBe(hex(message));
        byPosition.set(position, hex(message)!);
      }
    });
    const applications = logs[0]!.filter(({ kind }) => kind === 'application');
    expect(new Set(applications.map(({ message }) => hex(message))).size).toBe(applications.length); // none twice
    for (const { sender, submission, accepted } of this.#sent) {
      if (accepted === undefined) continue;
      const there = logs[sender]!.filter(({ messageId }) => hex(messageId) === hex(submission.messageId));
      expect(there.map(({ position, sequence, message }) => ({ position, sequence, message: hex(message) }))).toEqual([
        { ...accepted, message: hex(submission.message) },
      ]);
    }
    this.#seen = logs;
  }

  async #checkClaims(): Promise<void> {
    for (const claim of this.#claims) {
      const before = claim.ref;
      await this.#ask(claim);
      expect(before ?? claim.ref).toBe(claim.ref);
      expect(claim.ref).toBeDefined();
    }
    expect(new Set(this.#claims.map(({ ref }) => ref)).size).toBe(this.#claims.length);
  }

  async #write(sender: number): Promise<void> {
    for (;;) if ((await this.#submit(sender, this.#message())) === 'unreachable') return;
  }

  /** Unlike every other. */
  #message(): Submission {
    const message = privateMessage(this.#groupId, this.#epoch, 'application', hex(randomBytes(16)));
    return application(this.#groupId, this.#epoch, { message });
  }

  async #commit(sender: number): Promise<void> {
    for (;;) {
      const epoch = this.#epoch;
      const outcome = await this.#submit(sender, commit(this.#groupId, epoch, {}, { fence: FENCE }));
      if (outcome === 'unreachable') return;
      if (outcome === 'done') this.#epoch = Math.max(this.#epoch, epoch + 1);
    }
  }

  async #claim(claimer: number, owner: Person): Promise<void> {
    for (let i = 0; i < CLAIMS; i++) {
      const claim: Claim = { claimer, claimId: randomBytes(16), owner, ref: undefined };
      this.#claims.push(claim);
      await this.#ask(claim);
    }
  }

  async #ask(claim: Claim): Promise<void> {
    const { claimer, claimId, owner } = claim;
    const answer = await this.#device(claimer).send('claim-key-packages', { claimId, accountIds: [owner.accountId] });
    if (answer.outcome === 'refused') throw new Error(`claim: ${answer.problem.type}`);
    if (answer.outcome === 'done') claim.ref = hex(answer.value.keyPackages[0]?.keyPackageRef);
  }

  async #submit(sender: number, submission: Submission): Promise<'done' | 'refused' | 'unreachable'> {
    const sent: Sent = { sender, submission, accepted: undefined };
    this.#sent.push(sent);
    const answer = await this.#device(sender).send('submit', submission);
    if (answer.outcome === 'done') {
      sent.accepted = { position: answer.value.position, sequence: answer.value.sequence };
      if (this.acknowledged >= this.#enough.count) this.#enough.reached();
    }
    if (answer.outcome === 'refused') {
      if (answer.problem.type !== 'stale-epoch') throw new Error(`submit: ${answer.problem.type}`);
      this.#sent.splice(this.#sent.indexOf(sent), 1);
    }
    return answer.outcome;
  }

  /** It is in the log once, whether the server had carried it out before or not; or its epoch is over, and it never was. */
  async #submitAgain(sent: Sent): Promise<void> {
    const answer = await this.#device(sent.sender).send('submit', sent.submission);
    if (answer.outcome === 'done') sent.accepted = { position: answer.value.position, sequence: answer.value.sequence };
    else {
      expect(answer).toMatchObject({ outcome: 'refused', problem: { type: 'stale-epoch' } });
      this.#sent.splice(this.#sent.indexOf(sent), 1);
    }
  }

  async #sequenceOf(member: number): Promise<SequenceEntry[]> {
    const all: SequenceEntry[] = [];
    for (;;) {
      const { entries } = await this.#device(member).done('fetch-sequence', { after: all.at(-1)?.sequence ?? 0, limit: 256 });
      if (entries.length === 0) return all;
      all.push(...entries);
    }
  }

  #device(member: number): TestDevice {
    return new TestDevice(newDevice(this.#url, network, Date.now).client, this.#members[member]!.device.proof);
  }

  /** An account with KeyPackages in stock. */
  async #stocked(): Promise<Person> {
    const person = await register(newDevice(this.#url, network, Date.now), `member-${++this.#names}`);
    const announces = Array.from({ length: 20 }, () => randomBytes(32));
    await person.device.done('submit', emulationCommit(person.emulationGroupId, 0, { announces }));
    const keyPackages = announces.map((keyPackageRef) => ({ keyPackageRef, keyPackage: randomBytes(100) }));
    await person.device.done('upload-key-packages', { keyPackages });
    return person;
  }
}
