import { decodeExact, mlsMessageCodec } from '../../src/mls/index.ts';
import { decodeRecord } from '../../src/engine/record-codec.ts';
import type { Conversation } from '../../src/engine/state.ts';
import type { StoreChanges } from '../../src/engine/ports.ts';
import type { Device } from './device.ts';
import type { Stored } from './disk.ts';
import { Ledger } from './ledger.ts';
import type { Liar } from './liar.ts';
import { checkLine, checkTitle } from './lines.ts';
import { Membership } from './membership.ts';
import { Secrets } from './secrets.ts';
import { Texts } from './texts.ts';
import type { World } from './world.ts';

/** Something that must never be the case is. */
export class Violation extends Error {
  /** What does not hold. */
  readonly claim: string;

  constructor(claim: string, detail: string) {
    super(`${claim}: ${detail}`);
    this.claim = claim;
  }
}

/** Holds the world against what must always hold, whatever happens. */
export class Judge {
  readonly ledger: Ledger;
  readonly texts = new Texts();
  readonly membership = new Membership();
  /** Hex message IDs of what was forged: nobody must show it. */
  readonly forgeries = new Set<string>();
  /** A server that lies: devices may be told different things, and some of it is not followed. */
  lying = false;
  /** How often something was checked. */
  checks = 0;
  /** How often of it was that a device notices what is withheld. */
  withheld = 0;
  readonly #world: World;
  readonly secrets: Secrets;
  #violation: Violation | undefined;

  constructor(world: World) {
    this.#world = world;
    this.ledger = new Ledger((claim, detail) => this.violate(claim, detail));
    this.secrets = new Secrets((claim, detail) => this.violate(claim, detail));
  }

  /** The first counts; it ends the run at the end of the event. */
  violate(claim: string, detail: string): void {
    this.#violation ??= new Violation(claim, detail);
  }

  throwIfViolated(): void {
    if (this.#violation !== undefined) throw this.#violation;
  }

  /** A transaction is complete. */
  stored(device: Device, { changes, by }: Stored): void {
    this.ledger.stepStored(by, device.name);
    this.checks += 1;
    for (const [key, value] of changes.puts) {
      if (key.startsWith('message/')) checkLine(this.#world, device, key, value);
      if (key.startsWith('conversation/'))
        checkTitle(this.#world, device, key.slice('conversation/'.length), decodeRecord<Conversation>(value).title);
    }
    const isHonest = !this.lying && !this.#world.devices.some(({ cloned }) => cloned);
    this.membership.stored(device, changes, (id) => {
      if (isHonest) this.violate('no device loses step among honest ones', `${device.name} in ${id.slice(0, 6)}`);
    });
    this.secrets.stored(device, changes, this.lying);
    if (device.liar !== undefined) this.#checkNotice(device, device.liar.withheld, changes);
  }

  /** Whoever has been told what stands behind an entry, and not the entry, does not go on as if nothing were missing. */
  #checkNotice(device: Device, withheld: Liar['withheld'], { puts }: StoreChanges): void {
    for (const { groupId, position, kind } of withheld) {
      if (kind === 'welcome' || kind === 'creation') continue; // with it the device would only come in
      const id = Buffer.from(groupId).toString('hex');
      const stored = puts.get(`conversation/${id}`);
      if (stored === undefined) continue;
      this.withheld += 1;
      const conversation = decodeRecord<Conversation>(stored);
      const passed = conversation.state === 'member' && conversation.position >= position;
      if (passed && this.membership.isIn(device, id, position)) {
        this.violate('withholding inside a log is noticed', `${device.name} in ${id.slice(0, 6)} at ${position}`);
      }
    }
  }

  /** A request leaves a device. */
  sent(device: Device, path: string, body: Uint8Array): void {
    this.checks += 1;
    const { entropy } = this.#world.ownerOf(device);
    const secrets = [...this.secrets.of(device), ...(entropy === undefined ? [] : [Buffer.from(entropy)])];
    this.texts.checkSecret(body, secrets, (detail) =>
      this.violate('neither text nor secret leaves a device', `${device.name} ${path}: ${detail}`),
    );
    if (!path.endsWith('/messages')) return;
    const { message, messageId } = JSON.parse(Buffer.from(body).toString()) as { message: string; messageId: string };
    if (this.forgeries.has(Buffer.from(messageId, 'base64url').toString('hex'))) return;
    const decoded = decodeExact(mlsMessageCodec, new Uint8Array(Buffer.from(message, 'base64url')));
    if (decoded.wireformat === 'mls_private_message') {
      const refusesNothing = !device.cloned && !this.lying && this.forgeries.size === 0;
      this.ledger.left(device.name, decoded.privateMessage.ciphertext, refusesNothing);
    }
  }
}
