import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { SequenceEntry } from '../../../src/engine/ports.ts';
import { decodeRecord, encodeRecord } from '../../../src/engine/record-codec.ts';
import { newJoin } from '../../../src/engine/external-join.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from '../../../src/engine/protocol.ts';
import { decodeGroupRecords, decodeMessage, decodeState, groupPrefix, messageRecordKey } from '../../../src/engine/records.ts';
import type { Conversation, StoredMessage } from '../../../src/engine/state.ts';
import { MAX_PAST_EPOCHS, memberLeaves } from '../../../src/mls/index.ts';
import { encodeHeader } from '../../../src/mls/group-records.ts';
import { deriveEncryptionKeyPair, guardKey, operationLeaf, type Operation } from '../../../src/virtual-client/index.ts';
import { opfsRootKeyStore, StoreError, type StoreErrorCode } from '../../../src/store/index.ts';
import { checkAfterwards, checkRoots } from '../../simulation/afterwards.ts';
import { canDerive, conspire } from '../../simulation/conspiracy.ts';
import type { Device } from '../../simulation/device.ts';
import * as errands from '../../simulation/errands.ts';
import { happen } from '../../simulation/happen.ts';
import { Ledger } from '../../simulation/ledger.ts';
import { Origin } from '../../simulation/origin.ts';
import { comeToRest } from '../../simulation/quiet.ts';
import type { Accepted } from '../../simulation/sim-server.ts';
import type { Shape } from '../../simulation/schedule.ts';
import { Scheduler } from '../../simulation/scheduler.ts';
import { World, type Person } from '../../simulation/world.ts';

// What the simulation asks for, seen to be asked: a world at rest, in which then one thing is not as it must be.

const SHAPE: Shape = { people: 2, devices: 3, conversations: 9, minutes: 10 };

let world: World;
let laptop: Device;
let phone: Device;
let ben: Device;
/** Anna with two devices, and ben. */
let club: string;
/** Ben has been removed from it. */
let past: string;
/** The laptop's records before it removed ben. */
let before: Map<string, Uint8Array>;

beforeAll(async () => {
  world = new World('judge', 'strong');
  await world.run(async () => {
    laptop = (await errands.signUp(world, 'anna')).devices[0]!;
    ben = (await errands.signUp(world, 'ben')).devices[0]!;
    await world.pause(2_000);
    club = (await errands.create(world, laptop, 1))!;
    await errands.link(world, laptop);
    phone = world.people[0]!.devices[1]!;
    await world.pause(30_000);
    for (const device of [laptop, phone, ben]) await errands.write(world, device, 0);
    await errands.link(world, laptop);
    await errands.removeDevice(world, laptop, 1); // after it come KeyPackages of an emulation epoch with two devices
    await comeToRest(world);
    past = (await errands.create(world, laptop, 1))!;
    await world.until(() => (ben.state.conversations.get(past)?.state === 'member' ? true : undefined));
    await world.pause(5_000);
    before = new Map(laptop.disk.records);
    const accountId = Buffer.from(ben.state.account!.accountId).toString('hex');
    world.judge.texts.expelled.set(past, new Set(['ben']));
    await world.command(laptop, { command: 'removeMember', conversationId: past, accountId });
    await comeToRest(world);
  });
});

afterAll(() => world.close());

type Records = Map<string, Uint8Array>;

/** What the judge says while `act` runs. */
async function said(act: () => unknown): Promise<string> {
  const violate = vi.spyOn(world.judge, 'violate').mockImplementation(() => undefined);
  try {
    await act();
    return violate.mock.calls.map((call) => call.join(': ')).join('\n');
  } finally {
    violate.mockRestore();
  }
}

/** What it says in the end, with one device's disk changed. */
async function saidAfterwards(device: Device, change: (records: Records) => void): Promise<string> {
  const { disk } = device;
  const kept = new Map(disk.records);
  try {
    change(disk.records);
    disk.version += 1;
    return await said(() => world.run(() => checkAfterwards(world)));
  } finally {
    disk.records.clear();
    for (const [key, bytes] of kept) disk.records.set(key, bytes);
    disk.version += 1;
  }
}

/** What it says when a device stores this. */
function saidOf(device: Device, puts: Readonly<Record<string, unknown>>): Promise<string> {
  const records = new Map(Object.entries(puts).map(([key, value]) => [key, encodeRecord(value)]));
  return said(() => world.judge.stored(device, { changes: { puts: records, deletes: [] }, by: device.process!.mortal }));
}

const conversationIn = (device: Device, id: string): Conversation => decodeRecord(device.disk.records.get(`conversation/${id}`)!);
const changed = (id: string, fields: Partial<Conversation>) => (records: Records) => {
  const key = `conversation/${id}`;
  records.set(key, encodeRecord({ ...decodeRecord<Conversation>(records.get(key)!), ...fields }));
};

function texts(device: Device): StoredMessage[] {
  const lines = [...device.disk.records].filter(([key]) => key.startsWith(`message/${club}/`));
  return lines.map(([, bytes]) => decodeMessage(bytes)).filter(({ kind }) => kind === 'text');
}

/** Of one of its KeyPackages; of an emulation epoch with two devices. */
function anOperation(device: Device): Operation {
  const { keyPackages, emulation } = device.state;
  const operations = [...keyPackages.values()].map(({ operation }) => operation);
  return operations.find(({ epochId }) => emulation!.epochs.get(Buffer.from(epochId).toString('hex'))?.leafCount === 2)!;
}

describe('when all has come to rest', () => {
  it('nothing is said of a world in which nothing is wrong', async () => {
    expect(texts(ben)).toHaveLength(3);
    expect(ben.state.conversations.get(past)?.state).toBe('left');
    expect(await saidAfterwards(laptop, () => undefined)).toBe('');
  });

  const RECEIVED = 'every accepted message is at every member that was in its epoch exactly once';
  const BOUNDED = 'the secrets kept are bounded by what is live';

  it('a text is missed', async () => {
    const [{ position }] = texts(ben) as [StoredMessage];
    expect(await saidAfterwards(ben, (records) => records.delete(messageRecordKey(club, position)))).toContain(`${RECEIVED}: ben 1 has`);
  });

  it('a text that is there twice is found', async () => {
    const [line] = texts(ben) as [StoredMessage];
    const again = { ...line, position: 900 };
    const twice = (records: Records) => records.set(messageRecordKey(club, 900), encodeRecord(again));
    expect(await saidAfterwards(ben, twice)).toContain(`${RECEIVED}: ben 1 has a text twice`);
  });

  it('texts that have changed places are found', async () => {
    const [one, other] = texts(ben) as [StoredMessage, StoredMessage];
    const swapped = (records: Records): void => {
      records.set(messageRecordKey(club, one.position), encodeRecord({ ...other, position: one.position }));
      records.set(messageRecordKey(club, other.position), encodeRecord({ ...one, position: other.position }));
    };
    expect(await saidAfterwards(ben, swapped)).toContain('is at two places');
  });

  it('a text that was kept and is nowhere is missed', async () => {
    const lost = { text: 'lost', username: 'anna', device: laptop.name, conversationId: club, messageId: 'lost', kept: true };
    world.judge.texts.write(lost);
    const claim = 'every written message was sent or is in the outbox or was reported: "lost" is nowhere';
    expect(await saidAfterwards(laptop, () => undefined)).toBe(claim);
    lost.kept = false;
    expect(await saidAfterwards(laptop, () => undefined)).toBe('');
  });

  it('a device that is not in a conversation of its siblings is found', async () => {
    const out = changed(club, { state: 'out-of-step' });
    expect(await saidAfterwards(phone, out)).toContain('all devices of a person are in the same conversations: anna 2 misses 1');
  });

  it.each<[string, (records: Records) => void]>([
    [
      '1 emulation epochs that nothing names',
      (records) => {
        const prefix = 'emulation/epoch/';
        const [id] = [...records.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length).split('/')[0]!);
        for (const [key, bytes] of [...records]) {
          if (key.startsWith(`${prefix}${id}/`)) records.set(key.replace(id!, 'ff'.repeat(32)), bytes);
        }
      },
    ],
    [
      '120 KeyPackages',
      (records) => {
        const [bytes] = [...records].filter(([key]) => key.startsWith('key-package/')).map(([, value]) => value);
        const there = [...records.keys()].filter((key) => key.startsWith('key-package/')).length;
        for (let at = there; at < 120; at++) records.set(`key-package/${at.toString(16).padStart(64, '0')}`, bytes!);
      },
    ],
    [
      'an external commit into',
      (records) => {
        const { groupId } = conversationIn(laptop, club);
        const join = { ...newJoin(groupId), operation: anOperation(laptop) };
        records.set(`external-join/${club}`, encodeRecord(join));
      },
    ],
    [
      'sealed conversations of a link that is over',
      (records) => {
        records.set(`link-blob/${club}`, encodeRecord(new Uint8Array(8)));
      },
    ],
    [
      'keys of a link that is over',
      (records) => {
        const { link } = laptop.state;
        records.set('link', encodeRecord({ ...link, role: 'new', step: 'done', keys: {}, welcome: undefined }));
      },
    ],
    [
      '3 updates in',
      (records) => {
        const update = { operation: anOperation(laptop), encryptionKey: new Uint8Array(32), at: 0 };
        changed(club, { updates: [update, update, update] })(records);
      },
    ],
    ['operations in', (records) => changed(club, { operations: [anOperation(laptop)] })(records)],
    [
      'past leaves in',
      (records) => {
        const leaf = conversationIn(laptop, club).leaf!;
        const key = guardKey(laptop.state.emulation!.epochs.get(Buffer.from(leaf.epochId).toString('hex'))!, leaf);
        const pastLeaves = Array.from({ length: MAX_PAST_EPOCHS + 1 }, (_, at) => ({ groupEpoch: BigInt(at), guardKey: key }));
        changed(club, { pastLeaves })(records);
      },
    ],
  ])('what is kept beyond its time is found: %s', async (what, change) => {
    expect(await saidAfterwards(laptop, change)).toContain(`${BOUNDED}: anna 1 keeps ${what}`);
  });

  it('secrets of a conversation that was left are found', async () => {
    const { leaf } = conversationIn(ben, club);
    expect(await saidAfterwards(ben, changed(past, { leaf }))).toContain(`${BOUNDED}: ben 1 keeps secrets of`);
    const group = (records: Records): void => {
      for (const [key, bytes] of [...records]) if (key.startsWith(groupPrefix(club))) records.set(key.replace(club, past), bytes);
    };
    expect(await saidAfterwards(ben, group)).toContain(`${BOUNDED}: ben 1 keeps the group of`);
  });
});

describe('when all workers have been started once more', () => {
  it('an older root that is left is found', async () => {
    const check = (): Promise<string> => said(() => world.run(() => checkRoots(world)));
    expect(await check()).toBe('');
    const roots = vi.spyOn(phone.disk, 'roots', 'get').mockReturnValue(['chorus-root-00', 'chorus-root-01']);
    expect(await check()).toBe('after a start no older root is left: anna 2 has 2');
    roots.mockRestore();
  });

  it('a sweep that is cut off by something else than a full disk is found', async () => {
    const whenDue = vi.spyOn(phone.process!.sweeper, 'whenDue');
    const saidIf = (code: StoreErrorCode): Promise<string> => {
      whenDue.mockRejectedValue(new StoreError(code));
      return said(() =>
        world.run(async () => {
          await errands.write(world, ben, 0); // a sweep is looked for after an event
          await world.pause(5_000);
        }),
      );
    };
    expect(await saidIf('quota-exceeded')).toBe('');
    expect(await saidIf('root-missing')).toContain('a sweep only fails where the disk is full: anna 2: root-missing');
    whenDue.mockRestore();
  });

  it('buckets, files and swap files count, the halves of one root as one', async () => {
    const scheduler = new Scheduler(0);
    scheduler.actor = world.fate;
    const home = { scheduler, isFull: () => false, refused: () => undefined, committed: () => undefined };
    const origin = new Origin(home, () => undefined);
    expect(origin.roots).toEqual([]);
    const root = await opfsRootKeyStore(() => Promise.resolve(origin.rootDirectory)).create();
    expect(origin.roots).toEqual([root]);
    await origin.rootDirectory.createWritable(`${root}-1`);
    await origin.storageBuckets.open('chorus-root-00', { durability: 'strict', persisted: true });
    expect(origin.roots).toEqual(['chorus-root-00', root, `${root}-1.crswap`]);
  });
});

describe('whenever something is stored', () => {
  it('a punctured leaf that is whole again is found', async () => {
    const { records } = laptop.disk;
    const kept = new Map(records);
    const check = (): void => world.judge.secrets.checkPunctures(laptop);
    expect(await said(check)).toBe('');
    const id = laptop.state.emulation!.currentEpochId;
    const isOfEpoch = (key: string): boolean => key.startsWith(`emulation/epoch/${id}/`);
    for (const key of [...records.keys()].filter(isOfEpoch)) records.delete(key);
    for (const [key, bytes] of before) if (isOfEpoch(key)) records.set(key, bytes);
    expect(await said(check)).toBe('no spent operation secret is used again: anna 1 can derive one anew');
    records.clear();
    for (const [key, bytes] of kept) records.set(key, bytes);
  });

  it('an operation beyond its maker’s residue is found', async () => {
    const operation = anOperation(phone);
    expect(await saidOf(phone, { 'key-package/00': { operation } })).toBe('');
    const residueOf = (random: Uint8Array): number => operationLeaf(EMULATION_PROTOCOL, operation.emulatorLeaf, random) % 2;
    const random = operation.random.slice();
    while (residueOf(random) === operation.emulatorLeaf) random[0]! += 1;
    const claim = 'no two devices take the same leaf of the PPRF: anna 2 knows an operation beyond';
    expect(await saidOf(phone, { 'key-package/00': { operation: { ...operation, random } } })).toContain(claim);
  });

  it('an operation secret beside its live leaf is found', async () => {
    const operation = anOperation(laptop);
    const { privateKey } = deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE);
    const conversation = conversationIn(laptop, club);
    const leaf = { ...conversation.leaf!, epochId: operation.epochId, encryptionPrivateKey: privateKey };
    const claim = 'no operation secret is stored beside its live leaf: anna 1';
    expect(await saidOf(laptop, { [`conversation/${club}`]: { ...conversation, leaf, operations: [operation] } })).toContain(claim);
    expect(await saidOf(laptop, { [`conversation/${club}`]: { ...conversation, leaf } })).toBe('');
  });

  it('an epoch of which two devices have different authenticators is found', async () => {
    const { records } = ben.disk;
    const key = `${groupPrefix(club)}header`;
    const kept = records.get(key)!;
    const group = decodeGroupRecords(club, new Map([...records].filter(([name]) => name.startsWith(groupPrefix(club)))))!;
    const schedule = { ...group.schedule, epochAuthenticator: new Uint8Array(32) };
    records.set(key, encodeHeader({ ...group, schedule }));
    const stored = { changes: { puts: new Map([[key, records.get(key)!]]), deletes: [] }, by: ben.process!.mortal };
    expect(await said(() => world.judge.stored(ben, stored))).toContain('agree on every epoch authenticator: ben 1 and ');
    records.set(key, kept);
  });

  it('so is one of the emulation group of which a copy and its siblings have different ones, not of one that knows of no sibling', async () => {
    const key = 'emulation/group/header';
    const differs = async (device: Device): Promise<string> => {
      const { records } = device.disk;
      const kept = records.get(key)!;
      const { group } = decodeState(records).emulation!;
      records.set(key, encodeHeader({ ...group, schedule: { ...group.schedule, epochAuthenticator: new Uint8Array(32) } }));
      device.cloned = true;
      const puts = new Map([[key, records.get(key)!]]);
      const words = await said(() => world.judge.stored(device, { changes: { puts, deletes: [] }, by: device.process!.mortal }));
      device.cloned = false;
      records.set(key, kept);
      return words;
    };
    expect(await differs(phone)).toContain('agree on every epoch authenticator: anna 2 and ');
    expect(await differs(ben)).toBe('');
  });

  it('a leaf of an emulation epoch that is over is found when the server has taken it', async () => {
    const [{ submission }] = [...world.server.log.get(club)!.values()] as [Accepted];
    expect(await said(() => world.judge.fenced(4, 5, submission))).toContain('no leaf of an emulation epoch that is over is taken: of 4');
    expect(await said(() => world.judge.fenced(5, 5, submission))).toBe('');
  });

  it('a device that loses step is found', async () => {
    const conversation = { ...conversationIn(phone, club), state: 'out-of-step' };
    expect(await saidOf(phone, { [`conversation/${club}`]: conversation })).toContain('no device loses step among honest ones: anna 2');
  });

  it('a device that goes on over what is withheld from it is found, and one that does not say so', async () => {
    const { position, state } = conversationIn(phone, club);
    expect(state).toBe('member');
    const groupId = new Uint8Array(Buffer.from(club, 'hex'));
    phone.unheard = [{ groupId, position, kind: 'commit' } as SequenceEntry];
    const saidWith = (fields: Partial<Conversation>): Promise<string> =>
      saidOf(phone, { [`conversation/${club}`]: { ...conversationIn(phone, club), ...fields } });
    const words = [await saidWith({ position: position - 1 }), await saidWith({}), await saidWith({ state: 'left' })];
    phone.unheard = [];
    expect(words[0]).toBe('');
    expect(words[1]).toContain('withholding inside a log is noticed: anna 2');
    expect(words[2]).toContain('who notices that something is withheld says so: anna 2');
  });

  it('another title is found', async () => {
    const conversation = { ...conversationIn(phone, club), title: 'another' };
    expect(await saidOf(phone, { [`conversation/${club}`]: conversation })).toContain('nothing false is shown as true: anna 2');
  });

  it.each(['cloned-device', 'unknown-device'])('a notice of a %s is found where there is none', async (kind) => {
    expect(await saidOf(phone, { notices: [{ kind, text: '' }] })).toContain(`a notice of a ${kind}`);
  });

  describe('a false line is found', () => {
    const line = (device: Device, from: Device): StoredMessage => texts(device).find(({ text }) => text.endsWith(`by ${from.name}`))!;
    const saidOfLine = (device: Device, message: StoredMessage, id = club): Promise<string> =>
      saidOf(device, { [messageRecordKey(id, message.position)]: message });

    it('and a true one is none', async () => {
      for (const from of [laptop, phone, ben]) expect(await saidOfLine(phone, line(phone, from))).toBe('');
    });

    it('a text that nobody wrote', async () => {
      expect(await saidOfLine(phone, { ...line(phone, ben), text: 'invented' })).toContain('a text that nobody wrote');
    });

    it('a text of another conversation', async () => {
      expect(await saidOfLine(phone, line(phone, ben), past)).toContain('a text of another conversation');
    });

    it('a text in another person’s name', async () => {
      const sender = phone.state.account!.accountId;
      expect(await saidOfLine(phone, { ...line(phone, ben), sender })).toContain('ben’s text as anna’s'.replaceAll('’', "'"));
    });

    it('a text of another person’s that names a device', async () => {
      const device = { name: 'x', own: false, known: true };
      expect(await saidOfLine(phone, { ...line(phone, ben), device })).toContain('names a device of another person');
    });

    it('a text of a sibling’s as one’s own, as nobody’s, and as a third one’s', async () => {
      const theirs = line(phone, laptop);
      expect(await saidOfLine(phone, { ...theirs, device: { ...theirs.device!, own: true } })).toContain("anna 1's text to itself");
      expect(await saidOfLine(phone, { ...theirs, device: undefined })).toContain('to none');
      expect(await saidOfLine(phone, { ...theirs, device: { ...theirs.device!, name: 'x' } })).toContain("anna 1's text to x");
    });

    it('an alarm without cause', async () => {
      expect(await saidOfLine(phone, { ...line(phone, laptop), alarm: true })).toContain('raises an alarm without cause');
    });

    it('that somebody has come, or gone, whom nobody has asked to', async () => {
      const sender = phone.state.account!.accountId;
      const event = { ...line(phone, ben), kind: 'event' as const, text: 'changed', device: undefined };
      expect(await saidOfLine(phone, { ...event, added: [sender] })).toContain('anna was added unasked');
      expect(await saidOfLine(phone, { ...event, removed: [sender] })).toContain('anna was removed unasked');
    });
  });
});

describe('a removed device that conspires', () => {
  it('is found out by what it can derive the leaf’s key from: not by what it keeps, but by what it had before the leaf was made', () => {
    const group = decodeGroupRecords(past, new Map([...laptop.disk.records].filter(([key]) => key.startsWith(groupPrefix(past)))))!;
    const { leaf } = memberLeaves(group)[0]!;
    for (const device of [laptop, phone, ben]) expect(canDerive(device.state, leaf)).toBe(false);
    expect(canDerive(decodeState(before), leaf)).toBe(true);
  });

  it('is found out when it can read on after the leaf has a new key', async () => {
    const earlier = decodeState(laptop.disk.records);
    const [anna, member] = world.people as [Person, Person];
    const told = await world.run(async () => {
      const id = (await errands.create(world, laptop, 1))!;
      await world.until(() => (ben.state.conversations.get(id)?.state === 'member' ? true : undefined));
      const where = [...ben.state.conversations]
        .flatMap(([each, { state }]) => (state === 'member' ? [each] : []))
        .toSorted()
        .indexOf(id);
      const removed = anna.devices.find(({ isUnlinked }) => isUnlinked)!;
      const words = [await said(() => conspire(world, member, where))];
      const account = { ...earlier.account!, signatureKey: new Uint8Array(32), formerKeys: [] };
      const state = vi.spyOn(removed, 'state', 'get').mockReturnValue({ ...earlier, account });
      words.push(await said(() => conspire(world, member, where)));
      state.mockRestore();
      return words;
    });
    expect(told).toEqual(['', expect.stringContaining('a removed device cannot read on: anna')]);
  });
});

describe('whatever a person asks for', () => {
  it('is answered', async () => {
    const command = vi.spyOn(phone.process!.runtime, 'command').mockRejectedValue(new TypeError('no answer'));
    const who = world.devices.filter(({ isAtWork }) => isAtWork).indexOf(phone);
    const words = await said(() =>
      world.run(async () => {
        await happen(world, SHAPE, { do: 'renew', after: 0, who });
        await world.pause(1_000);
      }),
    );
    command.mockRestore();
    expect(words).toContain('every command is answered: TypeError: no answer');
  });
});

describe('whatever is read', () => {
  it('is held against what was written', async () => {
    const { records } = phone.disk;
    const kept = records.get('contacts')!;
    const restart = (): Promise<string> =>
      said(() =>
        world.run(async () => {
          phone.stop();
          phone.start();
          await world.pause(5_000);
        }),
      );
    expect(await restart()).toBe('');
    records.set('contacts', Uint8Array.of(...kept, 0));
    const words = await restart();
    records.set('contacts', kept);
    expect(words).toContain('what is read is what was written: anna 2: contacts');
  });
});

describe('whatever leaves a device', () => {
  const saidOfBody = (body: string): Promise<string> =>
    said(() => world.judge.sent(phone, '/v1/anything', new Uint8Array(Buffer.from(body))));
  const claim = 'neither text nor secret leaves a device: anna 2 /v1/anything';

  it('is searched for texts, in clear and in base64url', async () => {
    const [{ text }] = texts(phone) as [StoredMessage];
    expect(await saidOfBody('"nothing"')).toBe('');
    expect(await saidOfBody(`"${text}"`)).toContain(`${claim}: a text, title or name in clear`);
    expect(await saidOfBody(`"${Buffer.from(`${text} and more of it`).toString('base64url')}"`)).toContain('in base64url');
  });

  it('is searched for the keys that the device has', async () => {
    const { deviceKeySeed } = phone.state.device!;
    expect(await saidOfBody(`"${Buffer.from(deviceKeySeed.reveal()).toString('base64url')}"`)).toContain(`${claim}: a secret in base64url`);
  });

  it('is counted', async () => {
    const asks = (times: number): Promise<string> =>
      said(() => {
        for (let time = 0; time < times; time++) world.judge.sent(ben, '/v1/sequence', new Uint8Array());
      });
    expect(await asks(200)).toBe('');
    expect(await asks(100)).toContain('nobody asks the server without a pause: ben 1 /v1/sequence');
  });
});

describe('the ledger of AEAD uses', () => {
  const actor = { name: 'somebody', alive: true, indexedDB: undefined, bytes: () => new Uint8Array(0), point: () => Promise.resolve() };
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
  const told: string[] = [];
  const ledger = (): Ledger => {
    told.length = 0;
    return new Ledger((claim, detail) => told.push(`${claim}: ${detail}`));
  };

  it('finds two plaintexts under one key and nonce, in whatever process, and no fault in one that is sealed again', () => {
    const uses = ledger();
    uses.sealed(actor, bytes('key'), bytes('nonce'), bytes('one'), bytes('c1'));
    uses.sealed(actor, bytes('key'), bytes('nonce'), bytes('one'), bytes('c1'));
    uses.sealed(actor, bytes('key'), bytes('other'), bytes('two'), bytes('c2'));
    expect(told).toEqual([]);
    uses.sealed(undefined, bytes('key'), bytes('nonce'), bytes('two'), bytes('c3'));
    expect(told).toEqual(['no (key, nonce) pair was ever used for two different plaintexts: by nobody']);
  });

  it('finds a nonce of the store that comes again, with the same record too', () => {
    const uses = ledger();
    uses.storedUnder(bytes('key'), bytes('nonce'));
    expect(told).toEqual([]);
    uses.storedUnder(bytes('key'), bytes('nonce'));
    expect(told).toHaveLength(1);
  });

  it('finds two messages that leave under one key, not one that leaves twice', () => {
    const uses = ledger();
    uses.sealed(actor, bytes('key'), bytes('nonce 1'), bytes('one'), bytes('c1'));
    uses.sealed(actor, bytes('key'), bytes('nonce 2'), bytes('two'), bytes('c2'));
    for (const message of ['c1', 'c1']) uses.left('laptop', bytes(message), true);
    expect(told).toEqual([]);
    uses.left('laptop', bytes('c2'), true);
    expect(told).toEqual(['no spent generation is used again: laptop has sent two messages under one key']);
  });

  it('finds a message under a key that the device has read with, in a step that was stored', () => {
    const seals = (uses: Ledger): void => {
      uses.sealed(actor, bytes('key'), bytes('nonce'), bytes('one'), bytes('c1'));
      uses.left('laptop', bytes('c1'), true);
    };
    const abandoned = ledger();
    abandoned.stepBegins(actor, 'laptop');
    abandoned.opened(actor, bytes('key'));
    abandoned.stepBegins(actor, 'laptop');
    abandoned.stepStored(actor, 'laptop');
    seals(abandoned);
    expect(told).toEqual([]);
    const stored = ledger();
    stored.stepBegins(actor, 'laptop');
    stored.opened(actor, bytes('key'));
    stored.stepStored(actor, 'laptop');
    seals(stored);
    expect(told).toEqual(['no spent generation is used again: laptop has sent under a key that it has read with']);
  });
});

describe('a world that does not come to rest', () => {
  it('is found, with what is left to do', async () => {
    phone.retire(); // a device that never comes back, and that nobody has removed
    expect(await said(() => world.run(() => comeToRest(world)))).toContain('everything comes to rest: anna 2: no worker');
  });
});
