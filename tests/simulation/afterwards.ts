import { toHex } from '../../src/bytes/index.ts';
import { pendingItems } from '../../src/engine/sending.ts';
import { decodeGroupRecords, decodeMessage, groupPrefix, messageRecordKey } from '../../src/engine/records.ts';
import type { Conversation, EngineState, StoredMessage } from '../../src/engine/state.ts';
import { isOver } from '../../src/engine/linking.ts';
import { MAX_PAST_EPOCHS } from '../../src/mls/index.ts';
import type { Device } from './device.ts';
import { living } from './happen.ts';
import type { Person, World } from './world.ts';

type Report = (what: string) => void;

/** By then a worker has connected, and looked what it has left behind, ms. */
const AFTER_START = 5_000;

/** As many as there are when none are made any more, and those that are made when there is one less (emulation-group.ts). */
const MOST_KEY_PACKAGES = 99 + 20;

/** What must hold when everything has come to rest. */
export async function checkAfterwards(world: World): Promise<void> {
  const shown = world.judge.lying ? undefined : shownTexts(world);
  for (const device of world.people.flatMap(living)) {
    if (!device.cloned && shown !== undefined) await checkReceived(world, device, shown);
    if (isAtRest(world, device) && !world.judge.lying) checkSecrets(world, device);
    world.judge.secrets.checkPunctures(device);
  }
  for (const person of world.people) checkConversations(world, person);
  checkWritten(world);
}

/** Whatever sweep was cut off: after the next start one root is left, where it can go for good, and nothing of others. */
export async function checkRoots(world: World): Promise<void> {
  for (const device of world.devices) device.stop();
  for (const device of world.devices) device.start();
  await world.pause(AFTER_START);
  for (const { name, process, disk } of world.devices) {
    if (process === undefined) continue; // it is never started again
    world.judge.checks += 1;
    if (disk.roots.length > 1) world.judge.violate('after a start no older root is left', `${name} has ${disk.roots.length}`);
  }
}

/** Whatever conversation one device of a person is in, all are: linked at whatever moment, recovered, or there from the start. */
function checkConversations(world: World, person: Person): void {
  if (world.judge.lying || person.devices.some(({ cloned }) => cloned)) return;
  const devices = living(person).filter(({ isAtWork }) => isAtWork);
  const all = new Set(devices.flatMap(membershipsOf));
  for (const device of devices) {
    world.judge.checks += 1;
    const own = new Set(membershipsOf(device));
    const missing = [...all].filter((id) => !own.has(id));
    if (missing.length > 0)
      world.judge.violate('all devices of a person are in the same conversations', `${device.name} misses ${missing.length}`);
  }
}

function membershipsOf({ state }: Device): string[] {
  return [...state.conversations].filter(([, { state: standing }]) => standing === 'member').map(([id]) => id);
}

/** Who exists twice, or has a sibling that does, may have something on its way for ever. */
function isAtRest(world: World, device: Device): boolean {
  return !world.ownerOf(device).devices.some(({ cloned }) => cloned);
}

const RECEIVED = 'every accepted message is at every member that was in its epoch exactly once';

/**
 * Places of logs by the texts that devices show from there: each text at one place, once on each device. A device and its
 * copy may both send what was on its way when the copy was made.
 */
function shownTexts(world: World): Map<string, string> {
  const shown = new Map<string, string>();
  for (const device of world.people.flatMap(living)) {
    if (device.cloned) continue;
    for (const id of device.state.conversations.keys()) {
      const lines = linesOf(device, id).filter(({ text }) => !world.judge.texts.doubled.has(text));
      if (new Set(lines.map(({ text }) => text)).size < lines.length)
        world.judge.violate(RECEIVED, `${device.name} has a text twice in ${id.slice(0, 6)}`);
      for (const { text, position } of lines) {
        const place = `${id}/${position}`;
        if ((shown.get(text) ?? place) !== place) world.judge.violate(RECEIVED, `"${text}" is at two places: ${device.name} has another`);
        shown.set(text, place);
      }
    }
  }
  return shown;
}

/**
 * Every accepted message is at every member that was in its epoch, exactly once, in the log's order. An eventually
 * consistent service also accepts what all pass over, and its author sends anew (draft section 5.9).
 */
async function checkReceived(world: World, device: Device, texts: ReadonlyMap<string, string>): Promise<void> {
  const textAt = new Map([...texts].map(([text, place]) => [place, text]));
  const { conversations, account, device: known } = device.state;
  if (account === undefined || known === undefined) return;
  // Whom the server has given it to: an account that was out of the group for a while has not got it.
  const sequence = await device.server.sequenceOf({ accountId: account.accountId, deviceId: known.deviceId });
  const given = new Set(sequence?.entries.map(({ groupId, position }) => `${toHex(groupId)}/${position}`));
  for (const [id, { position: last }] of conversations) {
    const stays = world.judge.membership.of(device, id);
    for (const { submission, position } of world.server.log.get(id)?.values() ?? []) {
      if (submission.kind !== 'application' || !given.has(`${id}/${position}`)) continue;
      const epoch = BigInt(submission.epoch);
      if (world.service === 'eventual' && !textAt.has(`${id}/${position}`)) continue;
      const wasThere = stays.some(
        ({ from, readFrom, to, readTo }) => position > from && position <= (to === undefined ? last : readTo) && epoch >= readFrom,
      );
      if (!wasThere) continue;
      world.judge.checks += 1;
      const messageId = toHex(submission.messageId);
      // What is sent anew has another name than what was written.
      const sentAnew = world.service === 'eventual' ? textAt.get(`${id}/${position}`) : undefined;
      const text = world.judge.texts.byMessageId.get(messageId)?.text ?? sentAnew;
      const bytes = device.disk.records.get(messageRecordKey(id, position));
      const shown = bytes && decodeMessage(bytes);
      const isForged = world.judge.forgeries.has(messageId);
      if (text === undefined && !isForged && shown !== undefined && world.judge.texts.doubled.has(shown.text)) continue;
      if (shown?.text === text && (text !== undefined || isForged)) continue;
      const what = `"${shown?.text ?? 'nothing'}" for "${text}"`;
      world.judge.violate(RECEIVED, `${device.name} has ${what} at ${position} of ${id.slice(0, 6)}`);
    }
  }
}

/** Every written message was sent (where that may be in vain, somebody has it), or is in the outbox, or was reported there. */
function checkWritten(world: World): void {
  const maySendInVain = world.service === 'eventual' && !world.judge.lying;
  const shown = new Set<string>();
  const sent = new Set<string>();
  for (const log of world.servers.flatMap((server) => [...server.log.values()]))
    for (const { submission } of log.values()) sent.add(toHex(submission.messageId));
  const waiting = new Set<string>();
  for (const device of world.devices) {
    for (const [id, conversation] of device.state.conversations) {
      for (const item of pendingItems(conversation)) if (item.kind === 'text') waiting.add(item.text);
      for (const { text } of linesOf(device, id)) shown.add(text);
    }
  }
  for (const { messageId, kept, text } of world.judge.texts.byText.values()) {
    if (!kept) continue;
    world.judge.checks += 1;
    const isSent = maySendInVain ? shown.has(text) : sent.has(messageId);
    if (!isSent && !waiting.has(text)) {
      world.judge.violate('every written message was sent or is in the outbox or was reported', `"${text}" is nowhere`);
    }
  }
}

/**
 * The secrets that a device keeps at rest are bounded by what is live. Nothing is asked of a device that was removed: it
 * keeps what it had until its person deletes it (docs/threat-model.md).
 */
function checkSecrets(world: World, device: Device): void {
  const { state } = device;
  const { emulation } = state;
  if (emulation === undefined) return;
  world.judge.checks += 1;
  const tooMuch = (what: string): void =>
    world.judge.violate('the secrets kept are bounded by what is live', `${device.name} keeps ${what}`);
  const named = namedEpochs(state);
  const unnamed = [...emulation.epochs.keys()].filter((id) => !named.has(id));
  if (unnamed.length > 0) tooMuch(`${unnamed.length} emulation epochs that nothing names`);
  const outstanding = state.keyPackages.size + (emulation.pending?.keyPackages.length ?? 0);
  if (outstanding > MOST_KEY_PACKAGES) tooMuch(`${outstanding} KeyPackages`);
  for (const [id, { operation, pending }] of state.externalJoins)
    if (operation !== undefined || pending !== undefined) tooMuch(`an external commit into ${id.slice(0, 6)}`);
  checkLink(state, tooMuch);
  const siblings = living(world.ownerOf(device)).length;
  for (const [id, conversation] of state.conversations) {
    if (conversation.state === 'left') checkLeft(device, id, conversation, tooMuch);
    if (conversation.state !== 'member') continue;
    if (conversation.updates.length > siblings) tooMuch(`${conversation.updates.length} updates in ${id.slice(0, 6)}`);
    // A commit that is tried again and again, an Add of somebody without KeyPackages say, may be on its way just now.
    const isSending = conversation.pending !== undefined || conversation.awaitingEcho.length > 0;
    if (conversation.operations.length > 0 && !isSending) tooMuch(`operations in ${id.slice(0, 6)}`);
    if (conversation.pastLeaves.length > MAX_PAST_EPOCHS) tooMuch(`past leaves in ${id.slice(0, 6)}`);
    const records = new Map([...device.disk.records].filter(([key]) => key.startsWith(groupPrefix(id))));
    const group = decodeGroupRecords(id, records);
    if ((group?.pastEpochs.length ?? 0) > MAX_PAST_EPOCHS) tooMuch(`past epochs in ${id.slice(0, 6)}`);
  }
}

/** Of a conversation that the device is out of only lines stay. */
function checkLeft({ disk }: Device, id: string, { leaf, operations, updates, pastLeaves }: Conversation, tooMuch: Report): void {
  const what = [leaf ?? [], operations, updates, pastLeaves].flat();
  if (what.length > 0) tooMuch(`secrets of ${id.slice(0, 6)}, which it has left`);
  if ([...disk.records.keys()].some((key) => key.startsWith(groupPrefix(id)))) tooMuch(`the group of ${id.slice(0, 6)}, which it has left`);
}

/** Linking that is over keeps neither the KeyPackage's keys nor conversations. */
function checkLink({ link, linkBlobs }: EngineState, tooMuch: Report): void {
  if (link !== undefined && !isOver(link)) return;
  if (linkBlobs.size > 0) tooMuch('sealed conversations of a link that is over');
  if (link?.role === 'new' && (link.keys !== undefined || link.welcome !== undefined)) tooMuch('keys of a link that is over');
}

/** Reading section 4: current epoch, live leaves, KeyPackages, what is on its way, past epochs. */
function namedEpochs({ emulation, conversations, keyPackages, externalJoins }: EngineState): Set<string> {
  const named = new Set([emulation?.currentEpochId ?? '']);
  for (const { operation } of [...keyPackages.values(), ...(emulation?.pending?.keyPackages ?? [])]) named.add(toHex(operation.epochId));
  for (const { operation } of externalJoins.values()) if (operation !== undefined) named.add(toHex(operation.epochId));
  for (const { leaf, operations, updates, pastLeaves } of conversations.values()) {
    if (leaf !== undefined) named.add(toHex(leaf.epochId));
    for (const { epochId } of operations) named.add(toHex(epochId));
    for (const { operation } of updates) named.add(toHex(operation.epochId));
    for (const { guardKey } of pastLeaves) named.add(toHex(guardKey.epochId));
  }
  return named;
}

function linesOf(device: Device, id: string): StoredMessage[] {
  const prefix = `message/${id}/`;
  const lines = [...device.disk.records].filter(([key]) => key.startsWith(prefix)).map(([, bytes]) => decodeMessage(bytes));
  return lines.filter(({ kind }) => kind === 'text');
}
