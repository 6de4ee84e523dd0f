import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../../src/bytes/index.ts';
import { decodeGroup, encodeGroup } from '../../../src/mls/group-codec.ts';
import type { GroupState } from '../../../src/mls/group-state.ts';
import { protect, unprotect } from '../../../src/mls/private-message.ts';
import { messageKey } from '../../../src/mls/secret-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { makeStates, nextEpoch, plainOptions, privateMessageOf } from '../../support/mls-state.ts';

const suite = getSuite(1);

/** All that lies on the disk of this member, as hexadecimal text. */
const stored = (state: GroupState): string => [...encodeGroup(state).values()].map(toHex).join(' ');

describe('a stored state', () => {
  it('neither holds nor gives again the key of a message that was read, in order or late, in its epoch or after it', async () => {
    const { states, members } = await makeStates(suite, 2);
    let sender = states[0]!;
    const messages: Uint8Array[] = [];
    for (const text of ['a', 'b', 'c']) {
      const info = { contentType: 'application', applicationData: utf8(text) } as const;
      const { next, value } = await protect(suite, sender, info, plainOptions(members[0]!));
      sender = next;
      messages.push(value.message);
    }
    const keyOf = (generation: number): string =>
      toHex(messageKey(suite, states[1]!.secretTree, 0, 'application', generation).value.key.reveal());

    const readThird = (await unprotect(suite, states[1]!, privateMessageOf(messages[2]!))).next;
    expect(stored(readThird)).not.toContain(keyOf(2));
    expect(stored(readThird)).toContain(keyOf(0)); // skipped, hence kept: so this test would see a key
    const readFirst = (await unprotect(suite, readThird, privateMessageOf(messages[0]!))).next;
    expect(stored(readFirst)).not.toContain(keyOf(0));

    const later = nextEpoch(suite, readFirst);
    const readSecond = (await unprotect(suite, later, privateMessageOf(messages[1]!))).next;
    expect(stored(later)).toContain(keyOf(1));
    expect(stored(readSecond)).not.toContain(keyOf(1));

    const reloaded = decodeGroup(encodeGroup(readSecond));
    for (const message of messages) {
      await expect(unprotect(suite, reloaded, privateMessageOf(message))).rejects.toThrow('message-key-gone');
    }
  });

  it('still opens the echo of a message that was sent before it was stored', async () => {
    const { states, members } = await makeStates(suite, 2);
    const info = { contentType: 'application', applicationData: utf8('echo') } as const;
    const { next, value } = await protect(suite, states[0]!, info, plainOptions(members[0]!));
    const reloaded = decodeGroup(encodeGroup(next));
    expect((await unprotect(suite, reloaded, privateMessageOf(value.message))).value.content).toEqual(value.content);
  });
});
