import { randomBytes } from 'node:crypto';
import { decodeExact, mlsMessageCodec } from '../../src/mls/index.ts';
import type { SequenceEntry } from '../../src/engine/ports.ts';
import { settle, type Records } from '../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../support/engine-world.ts';

/** What real devices and a real server had stored and sent. */
export interface Samples {
  readonly conversationId: string;
  /** The store of a device that was linked to another one. */
  readonly records: Records;
  readonly entries: readonly SequenceEntry[];
  /** MLSMessages of all kinds that Chorus sends. */
  readonly messages: readonly Uint8Array[];
  readonly keyPackages: readonly Uint8Array[];
  readonly invitationCode: string;
}

/** Two devices of anna's, ben, a conversation with a link to it. */
export async function collectSamples(): Promise<Samples> {
  const world = new EngineWorld();
  try {
    await world.start();
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    const conversationId = await laptop.startConversation(['ben'], 'Choir');
    await laptop.send(conversationId, 'one');
    await ben.texts(conversationId, 1);
    await laptop.do({ command: 'makeInvitation', conversationId, messageId: new Uint8Array(randomBytes(16)) });
    await laptop.conversation(conversationId, ({ invitation }) => invitation === 'own');
    const invitationCode = (await laptop.runtime.invitationCode(conversationId))!;
    const phone = await world.link(laptop, 'phone');
    await phone.send(conversationId, 'two');
    await ben.texts(conversationId, 2);
    await settle(laptop, phone, ben);
    const entries = [...(await entriesOf(phone)), ...(await entriesOf(ben))];
    const { account } = await laptop.runtime.state();
    const accountIds = [new Uint8Array(Buffer.from(account!.accountId, 'hex'))];
    const claim = { claimId: new Uint8Array(randomBytes(16)), accountIds };
    const keyPackages = (await (await ben.hands()).ask('claim-key-packages', claim)).keyPackages.map(({ keyPackage }) => keyPackage);
    const messages = [...new Map(entries.filter(isMls).map(({ message }) => [Buffer.from(message).toString('hex'), message])).values()];
    return { conversationId, records: await phone.store.load(''), entries, messages, keyPackages, invitationCode };
  } finally {
    await world.close();
  }
}

async function entriesOf(device: TestDevice): Promise<readonly SequenceEntry[]> {
  return (await (await device.hands()).ask('fetch-sequence', { after: 0, limit: 100 })).entries;
}

/** Not what the server itself puts into a log. */
function isMls({ kind, message }: SequenceEntry): boolean {
  if (kind === 'begin-removal' || kind === 'account-key') return false;
  decodeExact(mlsMessageCodec, message);
  return true;
}
