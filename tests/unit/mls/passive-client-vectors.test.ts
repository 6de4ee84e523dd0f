import { describe, expect, it } from 'vitest';
import { Secret, toHex } from '../../../src/bytes/index.ts';
import {
  applyCommit,
  decodeExact,
  decodeGroup,
  encodeGroup,
  getSuite,
  joinByWelcome,
  keepProposal,
  keyPackageRef,
  mlsMessageCodec,
  open,
  type FindPsk,
  type GroupState,
  type KeyPackage,
} from '../../../src/mls/index.ts';
import { verifyGroupInfoSignature } from '../../../src/mls/group-info.ts';
import { openWelcome } from '../../../src/mls/join.ts';
import { deriveEpochSecret, startEpoch } from '../../../src/mls/key-schedule.ts';
import { verifyConfirmationTag } from '../../../src/mls/transcript.ts';
import { loadSuiteVectors, vectorsPresent, type Vector } from '../../support/mls-vectors.ts';

const accept = (): Promise<void> => Promise.resolve();

function keyPackageOf(bytes: Uint8Array): KeyPackage {
  const message = decodeExact(mlsMessageCodec, bytes);
  if (message.wireformat !== 'mls_key_package') throw new TypeError('no KeyPackage');
  return message.keyPackage;
}

function externalPsks(vector: Vector): FindPsk {
  const known = new Map(vector.vectors('external_psks').map((psk) => [psk.text('psk_id'), psk.bytes('psk')] as const));
  return (id) => {
    const psk = id.psktype === 'external' ? known.get(toHex(id.pskId)) : undefined;
    return psk && Secret.of('psk', psk.slice());
  };
}

/** The random one is of suite 1 only. */
const FILES = {
  1: ['passive-client-welcome', 'passive-client-handling-commit', 'passive-client-random'],
  3: ['passive-client-welcome', 'passive-client-handling-commit'],
} as const;

describe.each([1, 3] as const)('ciphersuite %i', (id) => {
  const suite = getSuite(id);

  describe.skipIf(!vectorsPresent)('working group vectors: welcome', () => {
    const vectors = loadSuiteVectors('welcome', id);

    it('are there', () => expect(vectors.length).toBeGreaterThan(0));

    it.each(vectors)('$name: opens, is signed, and its confirmation tag is right', async (vector) => {
      const { groupInfo, memberSecret } = await openWelcome(suite, vector.bytes('welcome'), {
        keyPackageRef: keyPackageRef(suite, keyPackageOf(vector.bytes('key_package'))),
        initPrivateKey: Secret.of('init_private_key', vector.bytes('init_priv')),
      });
      await verifyGroupInfoSignature(suite, groupInfo, vector.bytes('signer_pub'));
      await expect(verifyGroupInfoSignature(suite, groupInfo, new Uint8Array(32))).rejects.toMatchObject({ code: 'invalid-signature' });
      const { groupContext: context } = groupInfo;
      const { schedule } = startEpoch(suite, deriveEpochSecret(suite, memberSecret, context), { leafCount: 1, useSafeExporter: false });
      verifyConfirmationTag(suite, schedule.confirmationKey, context.confirmedTranscriptHash, groupInfo.confirmationTag);
    });
  });

  describe.skipIf(!vectorsPresent).each(FILES[id])('working group vectors: %s', (file) => {
    const vectors = loadSuiteVectors(file, id);

    it('are there', () => expect(vectors.length).toBeGreaterThan(0));

    it.each(vectors)('$name: every epoch authenticator agrees', async (vector) => {
      const psks = externalPsks(vector);
      const { state: joined } = await joinByWelcome(suite, vector.bytes('welcome'), {
        keyPackageRef: keyPackageRef(suite, keyPackageOf(vector.bytes('key_package'))),
        initPrivateKey: Secret.of('init_private_key', vector.bytes('init_priv')),
        encryptionPrivateKey: Secret.of('encryption_private_key', vector.bytes('encryption_priv')),
        psks,
        ratchetTree: vector.has('ratchet_tree') ? vector.bytes('ratchet_tree') : undefined,
        checkLeaf: accept,
        useSafeExporter: false,
      });
      expect(toHex(joined.schedule.epochAuthenticator)).toBe(vector.text('initial_epoch_authenticator'));

      let state: GroupState = joined;
      for (const epoch of vector.vectors('epochs')) {
        for (const message of epoch.list('proposals')) {
          const opened = await open(suite, state, Uint8Array.from(Buffer.from(String(message), 'hex')));
          if (opened.value.kind !== 'proposal') throw new TypeError('no proposal');
          state = await keepProposal(suite, opened.next, opened.value, { checkLeaf: accept });
        }
        const opened = await open(suite, state, epoch.bytes('commit'));
        if (opened.value.kind !== 'commit') throw new TypeError('no commit');
        const applied = await applyCommit(suite, opened.next, opened.value, { checkLeaf: accept, psks });
        for (const secret of [...opened.spent, ...applied.spent]) secret.wipe();
        state = decodeGroup(encodeGroup(applied.next));
        expect(toHex(state.schedule.epochAuthenticator)).toBe(epoch.text('epoch_authenticator'));
      }
    });
  });
});
