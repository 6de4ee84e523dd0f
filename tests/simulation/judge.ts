import { toHex } from '../../src/bytes/index.ts';
import { decodeExact, mlsMessageCodec } from '../../src/mls/index.ts';
import { decodeRecord } from '../../src/engine/record-codec.ts';
import { decodeMessage } from '../../src/engine/records.ts';
import { viewOf } from '../../src/engine/view-builder.ts';
import type { Conversation } from '../../src/engine/state.ts';
import type { StoreChanges, Submission } from '../../src/engine/ports.ts';
import type { Device } from './device.ts';
import type { Stored } from './disk.ts';
import { Ledger } from './ledger.ts';
import { checkLine, checkNotices, checkTitle } from './lines.ts';
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

/** ms */
const MINUTE = 60_000;
/** Requests of one device in a minute: five times as many as a busy one makes. */
const MOST_ASKED = 250;
const OFFLINE = { status: 'offline', waiting: 0, catchingUp: undefined } as const;
/** Lines of who has come in, for the first time or anew. */
const WAYS_IN: ReadonlySet<string> = new Set(['joined', 'rejoined', 'went-on']);

/** Whether a line behind this place says that the device has missed something. */
function hasComeBack({ disk }: Device, conversationId: string, place: number): boolean {
  const prefix = `message/${conversationId}/`;
  const lines = [...disk.records].filter(([key]) => key.startsWith(prefix)).map(([, bytes]) => decodeMessage(bytes));
  return lines.some(({ kind, text, position }) => kind === 'event' && WAYS_IN.has(text) && position > place);
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
  /** By device: when it has asked for something within the last minute, ms. */
  readonly #asked = new Map<string, readonly number[]>();
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
      if (key === 'notices') checkNotices(this.#world, device, value);
      if (key.startsWith('conversation/'))
        checkTitle(this.#world, device, key.slice('conversation/'.length), decodeRecord<Conversation>(value).title);
    }
    const isHonest = !this.lying && !this.#world.devices.some(({ cloned }) => cloned);
    const siblings = this.#world.ownerOf(device).devices.filter((other) => other !== device);
    this.membership.stored(device, siblings, changes, (id) => {
      if (isHonest) this.violate('no device loses step among honest ones', `${device.name} in ${id.slice(0, 6)}`);
    });
    this.secrets.stored(device, changes, this.lying);
    this.#checkNotice(device, changes);
  }

  /**
   * Whoever has been told what stands behind an entry, and not the entry, does not go on as if nothing were missing: it is
   * out of the group, and the view says so, until it has come in anew, and then a line says so.
   */
  #checkNotice(device: Device, { puts }: StoreChanges): void {
    for (const { groupId, position, kind } of device.withheld) {
      if (kind === 'welcome' || kind === 'creation') continue; // with it the device would only come in
      const id = Buffer.from(groupId).toString('hex');
      const stored = puts.get(`conversation/${id}`);
      if (stored === undefined) continue;
      this.withheld += 1;
      const conversation = decodeRecord<Conversation>(stored);
      if (conversation.position < position || !this.membership.wasIn(device, id, position)) continue;
      const where = `${device.name} in ${id.slice(0, 6)} at ${position}`;
      if (conversation.state === 'member' && !hasComeBack(device, id, position + conversation.lineBase)) {
        this.violate('withholding inside a log is noticed', where);
      }
      const shown = viewOf(device.state, OFFLINE, undefined).conversations.find(({ conversationId }) => conversationId === id)?.state;
      if (conversation.state !== 'member' && (shown === 'ready' || shown === 'renewing')) {
        this.violate('who notices that something is withheld says so', `${where} is shown as ${shown}`);
      }
    }
  }

  /** Whatever a device is told, and not told, it does not ask without a pause. */
  #checkPace({ name }: Device, path: string): void {
    const { now } = this.#world.scheduler;
    const asked = [...(this.#asked.get(name) ?? []), now].filter((at) => at > now - MINUTE);
    this.#asked.set(name, asked);
    if (asked.length > MOST_ASKED) this.violate('nobody asks the server without a pause', `${name} ${path}: ${asked.length} in a minute`);
  }

  /** The server has taken a message with a leaf of the account's emulation epoch `named`, when that had come to `current`. */
  fenced(named: number, current: number, { groupId }: Submission): void {
    this.checks += 1;
    if (named < current)
      this.violate(
        'no leaf of an emulation epoch that is over is taken',
        `of ${named} in ${toHex(groupId).slice(0, 6)}, when it was ${current}`,
      );
  }

  /** A request leaves a device. */
  sent(device: Device, path: string, body: Uint8Array): void {
    this.checks += 1;
    this.#checkPace(device, path);
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
