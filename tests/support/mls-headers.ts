import { utf8 } from '../../src/bytes/index.ts';
import { encode } from '../../src/wire/index.ts';

/** MLS messages as the delivery service sees them: true headers, and filling where only members can read. */

const MLS10 = 1;
const CONTENT = { application: 1, proposal: 2, commit: 3 } as const;

export function privateMessage(groupId: Uint8Array, epoch: number, kind: keyof typeof CONTENT, filling = 'sealed'): Uint8Array {
  return encode((w) =>
    w
      .uint16(MLS10)
      .uint16(2)
      .opaque(groupId)
      .uint64(BigInt(epoch))
      .uint8(CONTENT[kind])
      .opaque(new Uint8Array())
      .opaque(new Uint8Array(16))
      .opaque(utf8(filling)),
  );
}

/** PublicMessage of a sender type (RFC 9420, section 6: 4 is a new member's commit). */
export function publicCommit(groupId: Uint8Array, epoch: number, senderType: number): Uint8Array {
  return encode((w) =>
    w
      .uint16(MLS10)
      .uint16(1)
      .opaque(groupId)
      .uint64(BigInt(epoch))
      .uint8(senderType)
      .opaque(new Uint8Array())
      .uint8(CONTENT.commit)
      .bytes(utf8('a commit in clear')),
  );
}

export function groupInfo(groupId: Uint8Array, epoch: number): Uint8Array {
  return encode((w) =>
    w.uint16(MLS10).uint16(4).uint16(MLS10).uint16(1).opaque(groupId).uint64(BigInt(epoch)).bytes(utf8('tree and so on')),
  );
}

export function welcome(filling = 'secrets for the newcomers'): Uint8Array {
  return encode((w) => w.uint16(MLS10).uint16(3).uint16(1).opaque(utf8(filling)));
}
